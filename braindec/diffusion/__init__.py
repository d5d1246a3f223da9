"""Diffusion models that a brain recording steers: modules and pipelines in the conventions of diffusers."""
