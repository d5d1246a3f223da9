"""Spiking and brain-like networks that model language: one paper a file."""
