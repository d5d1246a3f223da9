"""Comparators of dissimilarity matrices; one a file."""
