"""Surface and grayordinate runs beside the volumes of a twin, named as fMRIPrep names them; few places hold numbers.

``*_hemi-{L,R}_space-fsaverage5_bold.func.gii`` have 10,242 vertices a hemisphere, of which 300 hold numbers (the others are
NaN, as the medial wall); ``*_space-fsLR_den-91k_bold.dtseries.nii`` has 300 vertices a hemisphere and 60 voxels. Of the
vertices of a hemisphere the first third belongs to the first band, the second to the second, the others to none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from braindec.loaders._cifti_made_up import made_up_model
from braindec.loaders._cifti_write import make_image, save_image
from braindec.loaders._twin_bold import Planted, ar_noise, plant
from braindec.loaders._twin_files import save_json

__all__ = ["plant_surface", "surface_region", "write_surfaces"]

_PER_HEMISPHERE, _VOXELS, _FSAVERAGE5 = 300, 30, 10242


def surface_region() -> np.ndarray:
    """Return which band drives each place (0 none, 1, 2): left and right vertices, then voxels; shape (n_places,)."""
    third = np.repeat([1, 2, 0], _PER_HEMISPHERE // 3)
    return np.concatenate([third, third, np.zeros(2 * _VOXELS, int)])


def plant_surface(
    course: np.ndarray, bands: Mapping[str, slice], drives: Sequence[tuple[str, float]], rng: np.random.Generator
) -> Planted:
    """Plant bands in the places; ``drives`` are the two bands and their shares of variance."""
    region = surface_region()
    shares = {b: s * (region == k) * rng.uniform(0.5, 1.0, len(region)) for k, (b, s) in enumerate(drives, start=1)}
    return plant(course, bands, shares, rng)


def write_surfaces(
    folder: Path, run: str, signal: np.ndarray, planted: Planted, *, tr: float, seed: int, rng: np.random.Generator
) -> None:
    """Write one run; ``run`` is "sub-01_task-clips_run-01" and the like.

    Parameters
    ----------
    signal : array of shape (n_volumes, n_places)
        Response without noise; 1 is one percent of the mean signal.
    """
    out = folder / "derivatives" / "fmriprep" / run.split("_")[0] / "func"
    data = 10000 + 100 * (signal + planted.noise * ar_noise(*signal.shape, rng))
    data = data.astype(np.float32)
    side = {"RepetitionTime": tr}
    cortex = {"CORTEX_LEFT": _PER_HEMISPHERE, "CORTEX_RIGHT": _PER_HEMISPHERE}
    model = made_up_model(seed, cortex=cortex, voxels={"THALAMUS_LEFT": _VOXELS, "THALAMUS_RIGHT": _VOXELS})
    name = f"{run}_space-fsLR_den-91k_bold"
    save_image(make_image(data, model, step=tr), out / f"{name}.dtseries.nii")
    save_json(out / f"{name}.json", side)
    places = np.random.default_rng([seed, 9])
    for k, side_name in enumerate("LR"):
        vertices = np.sort(places.permutation(_FSAVERAGE5)[:_PER_HEMISPHERE])
        values = np.full((len(data), _FSAVERAGE5), np.nan, dtype=np.float32)
        values[:, vertices] = data[:, k * _PER_HEMISPHERE : (k + 1) * _PER_HEMISPHERE]
        name = f"{run}_hemi-{side_name}_space-fsaverage5_bold"
        _save_gifti(out / f"{name}.func.gii", values, ("CortexLeft", "CortexRight")[k])
        save_json(out / f"{name}.json", side)


def _save_gifti(path: Path, values: np.ndarray, structure: str) -> None:
    from nibabel import gifti

    arrays = [
        gifti.GiftiDataArray(v, intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32", encoding="B64GZ")
        for v in values
    ]
    meta = gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure})
    path.write_bytes(gifti.GiftiImage(darrays=arrays, meta=meta).to_bytes())
