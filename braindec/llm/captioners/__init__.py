"""Captioners: from embeddings or tokens of an image to words; one a file."""
