"""Control rows, one a file."""
