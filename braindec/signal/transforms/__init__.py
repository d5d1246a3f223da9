"""Stateful transforms, one a file: fitted on training rows, with a record of the rows they saw."""
