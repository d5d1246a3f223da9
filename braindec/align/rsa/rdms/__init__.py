"""Measures of dissimilarity; one a file."""
