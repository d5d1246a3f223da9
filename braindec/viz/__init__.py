"""Pictures, one a file: each returns a matplotlib Figure."""
