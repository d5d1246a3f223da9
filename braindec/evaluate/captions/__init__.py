"""Metrics of decoded captions, one a file; several references an item are allowed."""
