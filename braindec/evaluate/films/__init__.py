"""Metrics of decoded films, one a file: frames, clips, motion."""
