"""Checks of the audit, one a file."""
