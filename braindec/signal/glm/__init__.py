"""Single-trial general linear models: one response (beta) a trial, voxel by voxel."""
