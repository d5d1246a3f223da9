"""Ridge regression engine: plain and banded, one penalty a target, fast and flat in memory."""
