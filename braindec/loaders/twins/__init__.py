"""Synthetic twins: a small file tree in the layout of a published data set, with planted truth; one layout a file."""
