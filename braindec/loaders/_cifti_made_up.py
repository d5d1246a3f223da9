"""Brain models of the standard size with made-up places, for tests and synthetic data: counts are real, places are not.

Source: counts of the 91,282 grayordinates of the HCP (Glasser et al. 2013, NeuroImage 80:105): 29,696 and 29,716 of 32,492
vertices, and 31,870 voxels of 2 mm in 19 structures of the MNI152 grid 91 x 109 x 91.
"""

from __future__ import annotations

import numpy as np

from braindec.loaders._cifti_model import PREFIX, Block, BrainModel

GRID = (91, 109, 91)
AFFINE = np.array([[-2.0, 0, 0, 90.0], [0, 2.0, 0, -126.0], [0, 0, 2.0, -72.0], [0, 0, 0, 1.0]])
VOXELS = {
    "ACCUMBENS_LEFT": 135, "ACCUMBENS_RIGHT": 140, "AMYGDALA_LEFT": 315, "AMYGDALA_RIGHT": 332, "BRAIN_STEM": 3472,
    "CAUDATE_LEFT": 728, "CAUDATE_RIGHT": 755, "CEREBELLUM_LEFT": 8709, "CEREBELLUM_RIGHT": 9144,
    "DIENCEPHALON_VENTRAL_LEFT": 706, "DIENCEPHALON_VENTRAL_RIGHT": 712, "HIPPOCAMPUS_LEFT": 764,
    "HIPPOCAMPUS_RIGHT": 795, "PALLIDUM_LEFT": 297, "PALLIDUM_RIGHT": 260, "PUTAMEN_LEFT": 1060, "PUTAMEN_RIGHT": 1010,
    "THALAMUS_LEFT": 1288, "THALAMUS_RIGHT": 1248,
}  # fmt: skip
CORTEX = {"CORTEX_LEFT": 29696, "CORTEX_RIGHT": 29716}


def made_up_model(
    seed: int = 0,
    *,
    n_vertices: int = 32492,
    cortex: dict[str, int] | None = None,
    voxels: dict[str, int] | None = None,
    grid: tuple[int, int, int] = GRID,
    affine: np.ndarray = AFFINE,
) -> BrainModel:
    """Return a brain model with the counts asked for, at places drawn at random.

    Parameters
    ----------
    seed : int
        Same seed, same places.
    n_vertices : int
        Vertices of each whole surface.
    cortex, voxels : dict of str to int
        Vertices and voxels of each structure (names without CIFTI_STRUCTURE_); the 91,282 grayordinates by default.
    grid, affine
        Of the volume; affine in mm.
    """
    rng = np.random.default_rng(seed)
    cortex, voxels = (CORTEX if cortex is None else cortex), (VOXELS if voxels is None else voxels)
    blocks, vertex, voxel = [], [], []
    for name, count in cortex.items():
        blocks.append(Block(PREFIX + name, count, n_vertices))
        vertex.append(np.sort(rng.permutation(n_vertices)[:count]))
    flat = rng.permutation(int(np.prod(grid)))[: sum(voxels.values())]
    edges = np.cumsum([0, *voxels.values()])
    for k, (name, count) in enumerate(voxels.items()):
        blocks.append(Block(PREFIX + name, count))
        here = np.sort(flat[edges[k] : edges[k + 1]])
        voxel.append(np.stack(np.unravel_index(here, grid, order="F"), axis=1))
    n_surface, n_volume = sum(cortex.values()), len(flat)
    return BrainModel(
        tuple(blocks),
        np.concatenate([*vertex, np.full(n_volume, -1)]).astype(np.int64),
        np.concatenate([np.full((n_surface, 3), -1), *voxel]).astype(np.int64),
        grid if voxels else None,
        np.asarray(affine, dtype=float) if voxels else None,
    )
