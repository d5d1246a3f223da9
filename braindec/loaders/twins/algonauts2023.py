"""Twin of the Algonauts 2023 challenge: responses of vertices in .npy files, as the reader ``algonauts2023`` describes them.

One response an image (three repetitions averaged), no responses to test images, as published; the images are empty files, since
only their names are read. Truth: ``latents`` (stimulus, 20) in the order of the features' items, and for a subject
"01/weights" (20, vertex), "01/area" (vertex,; 0 early, 1 mid, 2 high, 3 none), left hemisphere first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.loaders.twins._images import AREAS, areas_in_order, make_brain, make_stimuli

__all__ = ["make"]

_N_FSAVERAGE = 163842
_STREAMS = {"early": 1, "mid": 2, "high": 5, "none": 0}


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 3,
    n_images: int = 240,
    n_shared: int = 40,
    n_vertices: int = 180,
    noise: float = 7.0,
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects : int
        Subjects subj01, subj02, ...
    n_images, n_shared : int
        Images a subject, and how many of them all subjects see.
    n_vertices : int
        Vertices a hemisphere of the first subject; others have up to 20 % more or less.
    noise : float
        Standard deviation of the noise of a single trial; responses are means of three.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 105])
    n_own = n_images - n_shared
    n_stimuli = n_shared + n_subjects * n_own
    stimuli = make_stimuli(rng, rng.integers(max(4, n_stimuli // 12), size=n_stimuli))
    numbers = np.sort(rng.choice(73_000, n_stimuli, replace=False))
    mixed = rng.permutation(n_stimuli)
    truth = {"latents": stimuli.latents, "concept": stimuli.concept}
    for number in range(1, n_subjects + 1):
        label = f"{number:02d}"
        shown = np.sort(np.concatenate([mixed[:n_shared], mixed[n_shared + (number - 1) * n_own :][:n_own]]))
        sizes = [n_vertices if number == 1 else round(n_vertices * rng.uniform(0.8, 1.2)) for _ in range(2)]
        brains = [make_brain(rng, areas_in_order(size), noise=noise / np.sqrt(3)) for size in sizes]
        base = folder / f"subj{label}"
        for side, brain in zip(("lh", "rh"), brains, strict=True):
            betas = brain.respond(rng, stimuli.latents[shown], drift=0.0)
            _write_side(base, side, (betas - brain.mean).astype(np.float32), brain.area, rng)
        images = base / "training_split" / "training_images"
        images.mkdir(parents=True)
        for row, image in enumerate(shown, start=1):
            (images / f"train-{row:04d}_nsd-{numbers[image]:05d}.png").touch()
        area = np.concatenate([brain.area for brain in brains])
        truth |= {f"{label}/weights": np.concatenate([b.weights for b in brains], axis=1),
                  f"{label}/area": np.array([list(AREAS).index(a) for a in area])}  # fmt: skip
    write_features(folder, stimuli.table([f"nsd-{n:05d}" for n in numbers]))
    write_truth(folder, truth)
    about = {"n_subjects": n_subjects, "n_images": n_images, "n_shared": n_shared, "seed": seed}
    return Twin(folder, "algonauts2023", "algonauts2023", "fmri_image_retrieval", about=about)


def _write_side(base: Path, side: str, betas: np.ndarray, area: np.ndarray, rng: np.random.Generator) -> None:
    flags = np.zeros(_N_FSAVERAGE, np.uint8)
    flags[np.sort(rng.choice(_N_FSAVERAGE, len(area), replace=False))] = 1
    masks, responses = base / "roi_masks", base / "training_split" / "training_fmri"
    masks.mkdir(parents=True, exist_ok=True)
    responses.mkdir(parents=True, exist_ok=True)
    np.save(masks / f"{side}.all-vertices_fsaverage_space.npy", flags)
    np.save(masks / f"{side}.streams_challenge_space.npy", np.array([_STREAMS[a] for a in area]))
    np.save(masks / f"{side}.prf-visualrois_challenge_space.npy", (area == "early").astype(int))
    np.save(responses / f"{side}_training_fmri.npy", betas)
