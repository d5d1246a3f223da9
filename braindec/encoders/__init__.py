"""Recordings to embeddings, one paper a file."""
