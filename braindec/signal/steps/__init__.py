"""Stateless steps, one a file: recording in, recording out."""
