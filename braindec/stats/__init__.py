"""Nulls, permutation, bootstrap, intervals, false discovery rate: plain functions on arrays."""
