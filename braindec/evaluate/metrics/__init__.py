"""Metrics, one a file; each has a version and a chance level."""
