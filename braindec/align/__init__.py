"""Alignment: Features against brain recordings, scores with intervals, ceilings and calibrated p-values."""
