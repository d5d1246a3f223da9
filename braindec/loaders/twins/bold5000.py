"""Twin of BOLD5000 release 2.0 (Chang et al. 2019): regions or volumes, and presentation lists, as the reader ``bold5000`` describes.

All subjects see the same images in an order of their own; some images are repeated (the test part). Truth: ``latents``
(stimulus, 20) in the order of the features' items, and for a subject "CSI1/weights" (20, voxel), "CSI1/area" (voxel,; 0
early, 1 mid, 2 high, 3 none), voxels in the order of the channels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.loaders.twins._images import AREAS, Brain, ellipsoid, make_brain, make_stimuli

__all__ = ["make"]

_STEM = "GLMbetas-TYPED-FITHRF-GLMDENOISE-RR"
_ROIS = {
    "EarlyVis": ("early", 0.3),
    "LOC": ("high", 0.3),
    "OPA": ("mid", 0.15),
    "PPA": ("high", 0.15),
    "RSC": ("mid", 0.1),
}
_PER_RUN = 37


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 3,
    n_sessions: int = 3,
    n_images: int = 260,
    n_repeated: int = 18,
    n_repeats: int = 4,
    n_voxels: int = 340,
    noise: float = 4.5,
    form: str = "regions",
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_sessions : int
        Subjects CSI1, CSI2, ... and their sessions.
    n_images, n_repeated, n_repeats : int
        Images, how many of them are repeated, and how often.
    n_voxels : int
        Voxels of the first subject; others have up to 20 % more or less.
    noise : float
        Standard deviation of a trial's noise.
    form : {"regions", "volumes"}
        Which of the two published forms.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 104])
    n_concepts = max(6, n_images // 10)
    concept = rng.permutation(np.arange(n_images) % n_concepts)
    stimuli = make_stimuli(rng, concept)
    ids = [_name(i, int(c)) for i, c in enumerate(concept)]
    repeated = np.arange(n_repeated)
    _write_lines(
        folder / "BOLD5000_Stimuli" / "Scene_Stimuli" / "repeated_stimuli_113_list.txt", [ids[i] for i in repeated]
    )
    truth = {"latents": stimuli.latents, "concept": concept}
    for number in range(1, n_subjects + 1):
        name = f"CSI{number}"
        shown = rng.permutation(np.concatenate([np.arange(n_images), np.tile(repeated, n_repeats - 1)]))
        sessions = np.array_split(shown, n_sessions)
        size = n_voxels if number == 1 else round(n_voxels * rng.uniform(0.8, 1.2))
        regions = _regions(size)
        brain = make_brain(rng, np.array([_ROIS[r[2:]][0] for r in regions], dtype=object), noise=noise)
        betas = [brain.respond(rng, stimuli.latents[part]) for part in sessions]
        _write_lists(folder, name, ids, sessions)
        back = np.arange(size)
        if form == "regions":
            _write_regions(folder, name, regions, np.concatenate(betas))
        else:
            back = _write_volumes(folder, name, betas)
        truth |= _truth(name, brain, back)
    write_features(folder, stimuli.table(ids))
    write_truth(folder, truth)
    sizes = {
        "n_subjects": n_subjects,
        "n_sessions": n_sessions,
        "n_images": n_images,
        "n_repeated": n_repeated,
        "seed": seed,
    }
    options = {} if form == "regions" else {"form": form}
    return Twin(folder, "bold5000", "bold5000", "fmri_image_retrieval", options=options, about=sizes)


def _name(image: int, concept: int) -> str:
    """A name like those of the three sources of images."""
    if image % 3 == 0:
        return f"n{1_440_764 + concept:08d}_{image}.JPEG"
    return f"COCO_train2014_{image:012d}.jpg" if image % 3 == 1 else f"scene{chr(97 + concept % 26)}{image}.jpg"


def _regions(n: int) -> np.ndarray:
    """Region of each voxel, "LHEarlyVis" first; the two hemispheres share each region."""
    counts = [round(n * share) for _, share in _ROIS.values()]
    counts[0] += n - sum(counts)
    parts = [
        np.repeat([f"LH{roi}", f"RH{roi}"], [count // 2, count - count // 2])
        for roi, count in zip(_ROIS, counts, strict=True)
    ]
    return np.concatenate(parts).astype(object)


def _truth(name: str, brain: Brain, back: np.ndarray) -> dict[str, np.ndarray]:
    area = np.array([list(AREAS).index(a) for a in brain.area])
    return {f"{name}/weights": brain.weights[:, back], f"{name}/area": area[back]}


def _write_lists(folder: Path, name: str, ids: list[str], sessions: list[np.ndarray]) -> None:
    seen: set[int] = set()
    base = folder / "BOLD5000_Stimuli" / "Stimuli_Presentation_Lists" / name
    for number, part in enumerate(sessions, start=1):
        lines = []
        for image in part.tolist():
            lines.append(f"rep_{ids[image]}" if image in seen else ids[image])
            seen.add(image)
        for run, start in enumerate(range(0, len(lines), _PER_RUN), start=1):
            path = base / f"{name}_sess{number:02d}" / f"CSI_sess{number:02d}_run{run:02d}.txt"
            _write_lines(path, lines[start : start + _PER_RUN])


def _write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf8")


def _write_regions(folder: Path, name: str, regions: np.ndarray, betas: np.ndarray) -> None:
    base = folder / "BOLD5000_GLMsingle_ROI_betas" / "py"
    base.mkdir(parents=True, exist_ok=True)
    for region in dict.fromkeys(regions):
        np.save(base / f"{name}_{_STEM}_allses_{region}.npy", betas[:, regions == region])


def _write_volumes(folder: Path, name: str, betas: list[np.ndarray]) -> np.ndarray:
    """Write one volume series a session; return the voxels in the order of the mask."""
    import nibabel as nib

    n = betas[0].shape[1]
    side = max(4, int(np.ceil((2.2 * n) ** (1 / 3))))
    shape, affine = (side, side + 1, side), np.diag([2.0, 2.0, 2.0, 1.0])
    voxels = ellipsoid(shape, n)
    mask = np.zeros(shape, np.uint8)
    mask[tuple(voxels.T)] = 1
    nib.save(nib.Nifti1Image(mask, affine), folder / f"{name}_brainmask.nii.gz")
    for number, part in enumerate(betas, start=1):
        volume = np.zeros((*shape, len(part)), np.float32)
        volume[tuple(voxels.T)] = part.T
        nib.save(nib.Nifti1Image(volume, affine), folder / f"{name}_{_STEM}_ses-{number:02d}.nii.gz")
    return np.lexsort((voxels[:, 0], voxels[:, 1], voxels[:, 2]))
