"""Spike trains: counts, correlations, distances, spectra, point-process models, state models."""
