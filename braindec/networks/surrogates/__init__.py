"""Surrogate gradients of the spike: one a file."""
