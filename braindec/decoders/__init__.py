"""Estimators with fit, predict and score, one a file."""
