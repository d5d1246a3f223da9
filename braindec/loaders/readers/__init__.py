"""Readers, one a file: subjects(root), files(root, subject), load(root, subject)."""
