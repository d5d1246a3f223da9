"""A coarse brain for twins: a grid, the voxels of the MNI152 brain, and which bands of features drive which voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

__all__ = ["REGIONS", "Brain", "brain", "shares_at"]


def _ramp(distance: np.ndarray) -> np.ndarray:
    """1 from 15 mm inside a border, 0 outside it."""
    return np.clip(distance / 15, 0, 1)


REGIONS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {  # of x, y, z in mm
    "occipital": lambda x, y, z: _ramp(-58 - y) * _ramp(32 - z),
    "temporal": lambda x, y, z: _ramp(np.abs(x) - 36) * _ramp(8 - y) * _ramp(y + 78) * _ramp(22 - z),
    "auditory": lambda x, y, z: _ramp(np.abs(x) - 30) * _ramp(10 - y) * _ramp(y + 52) * _ramp(z + 18) * _ramp(30 - z),
}


@dataclass(frozen=True)
class Brain:
    """Voxels of a grid.

    Parameters
    ----------
    mask : array of shape (nx, ny, nz), bool
        Voxels of the brain.
    affine : array of shape (4, 4)
        mm.
    voxels : array of int, shape (n_voxels, 3)
        Their indices, in Fortran order of the grid (that of the readers).
    shares : dict of str to array of shape (n_voxels,)
        Share of variance that each band brings.
    """

    mask: np.ndarray
    affine: np.ndarray
    voxels: np.ndarray
    shares: Mapping[str, np.ndarray]

    @property
    def region(self) -> np.ndarray:
        """Sum of 1, 2, 4, ... for the bands (in order) that drive a voxel; 0 for none, shape (n_voxels,)."""
        return sum((1 << k) * (s > 0) for k, s in enumerate(self.shares.values())).astype(np.int16)

    @property
    def places(self) -> tuple[np.ndarray, ...]:
        """Index of the voxels in an array of the grid."""
        return tuple(self.voxels.T)

    def volumes(self, values: np.ndarray) -> np.ndarray:
        """Put (n_times, n_voxels) into the grid, shape (nx, ny, nz, n_times); 0 outside the brain."""
        out = np.zeros((*self.mask.shape, len(values)), dtype=values.dtype)
        out[self.places] = values.T
        return out

    def smooth(self, white: np.ndarray) -> np.ndarray:
        """Make noise (n_times, n_voxels) of neighbouring voxels alike."""
        volumes = np.zeros((len(white), *self.mask.shape))
        volumes[(slice(None), *self.places)] = white
        return gaussian_filter(volumes, (0, 0.5, 0.5, 0.5))[(slice(None), *self.places)]

    def truth(self) -> dict[str, np.ndarray]:
        """Return mask, affine and region for ``truth.h5``."""
        return {"mask": self.mask, "affine": self.affine, "region": self.region}


def brain(drives: Mapping[str, tuple[str, float]], *, voxel: int = 12) -> Brain:
    """Return the MNI152 brain on a grid of ``voxel`` mm (12 mm: about 1,100 voxels).

    Parameters
    ----------
    drives : mapping of str to (str, float)
        For each band the region of REGIONS that it drives, and its share of the variance in the heart of that region.
    """
    from nilearn.datasets import load_mni152_brain_mask

    image = load_mni152_brain_mask(resolution=voxel)
    mask, affine = np.asarray(image.dataobj) > 0.5, np.asarray(image.affine, dtype=float)
    voxels = np.stack(np.unravel_index(np.flatnonzero(mask.ravel(order="F")), mask.shape, order="F"), axis=1)
    return Brain(mask, affine, voxels, shares_at(voxels @ affine[:3, :3].T + affine[:3, 3], drives))


def shares_at(places: np.ndarray, drives: Mapping[str, tuple[str, float]]) -> dict[str, np.ndarray]:
    """Return the share of variance of each band at ``places`` (n, 3) in mm."""
    x, y, z = places.T
    return {band: amount * REGIONS[region](x, y, z) for band, (region, amount) in drives.items()}
