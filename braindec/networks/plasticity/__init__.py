"""Plasticity rules: one a file."""
