"""Kernels, one a file: a numpy definition and a compiled version with the same name and the same result."""
