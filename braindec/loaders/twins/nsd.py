"""Twin of the Natural Scenes Dataset: the layout that the reader ``nsd`` describes, with a few hundred voxels and trials.

Truth: ``latents`` (stimulus, 20), ``concept`` (stimulus,), and a subject "subj01/weights" (20, voxel), "subj01/area" (voxel,; 0
early, 1 mid, 2 high, 3 none), "subj01/ncsnr" (voxel,), voxels in the order of the mask nsdgeneral. Row i of ``latents`` is
the image with number i + 1. Each image is shown three times; the shared images are those of the part "test".
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from braindec.files import written_whole
from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.loaders.twins._images import AREAS, Brain, areas_in_order, ellipsoid, make_brain, make_stimuli, order_of
from braindec.types.storage import hdf5

__all__ = ["make"]

_AFFINE = np.array([[1.8, 0, 0, -12.6], [0, 1.8, 0, -90.0], [0, 0, 1.8, -9.0], [0, 0, 0, 1.0]])
_STREAMS = {"early": 1, "mid": 2, "high": 5, "none": 0}  # numbers of NSD's "streams": early, midventral, ventral
_CTAB = "0 Unknown 0 0 0 0\n1 early 255 0 0 0\n2 midventral 255 128 0 0\n5 ventral 0 0 255 0\n"
_N_RUNS = 6


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 4,
    n_sessions: int = 3,
    n_trials: int = 96,
    n_voxels: int = 420,
    n_shared: int = 24,
    noise: float = 4.0,
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_sessions : int
        Subjects subj01, subj02, ... and their sessions.
    n_trials : int
        Trials a session (750 in the published data).
    n_voxels : int
        Voxels of the mask nsdgeneral of the first subject; others have up to 25 % more or less.
    n_shared : int
        Images that all subjects see (the test part); all others are a subject's own.
    noise : float
        Standard deviation of the noise of a single trial, in units of a strong voxel's signal.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 101])
    n_total = n_sessions * n_trials
    n_images = -(-n_total // 3)
    n_own = n_images - n_shared
    n_stimuli = n_shared + n_subjects * n_own
    stimuli = make_stimuli(rng, rng.integers(max(4, n_stimuli // 12), size=n_stimuli))
    numbers = rng.permutation(n_stimuli)  # shared and own images are mixed among the 73,000, as in the published data
    shared = np.sort(numbers[:n_shared])
    own = np.sort(numbers[n_shared:].reshape(n_subjects, n_own), axis=1)
    images = np.concatenate([np.tile(shared, (n_subjects, 1)), own], axis=1)
    order = order_of(rng, n_images, n_total)
    _write_design(folder, order, images, shared, n_sessions, n_trials)
    truth = {"latents": stimuli.latents, "concept": stimuli.concept}
    for number in range(n_subjects):
        name = f"subj{number + 1:02d}"
        size = n_voxels if number == 0 else round(n_voxels * rng.uniform(0.75, 1.25))
        shape = _grid(size, number)
        voxels = ellipsoid(shape, size)
        brain = make_brain(rng, areas_in_order(size), noise=noise)
        _write_masks(folder, name, shape, voxels, brain)
        latents = stimuli.latents[images[number, order]]
        for session in range(n_sessions):
            betas = brain.respond(rng, latents[session * n_trials : (session + 1) * n_trials])
            _write_session(folder, name, session + 1, shape, voxels, betas)
        back = np.lexsort((voxels[:, 0], voxels[:, 1], voxels[:, 2]))  # the order of the mask: x runs fastest
        truth |= {f"{name}/weights": brain.weights[:, back], f"{name}/ncsnr": brain.ncsnr[back],
                  f"{name}/area": np.array([list(AREAS).index(a) for a in brain.area])[back]}  # fmt: skip
    write_features(folder, stimuli.table([str(i + 1) for i in range(n_stimuli)]))
    write_truth(folder, truth)
    sizes = {
        "n_subjects": n_subjects,
        "n_sessions": n_sessions,
        "n_trials": n_trials,
        "n_shared": n_shared,
        "seed": seed,
    }
    return Twin(folder, "nsd", "nsd", "fmri_image_retrieval", options={"trials_per_session": n_trials}, about=sizes)


def _grid(n_voxels: int, number: int) -> tuple[int, int, int]:
    """A grid (x, y, z) that holds the voxels with some room; another one for each subject."""
    side = max(4, int(np.ceil((2.6 * n_voxels) ** (1 / 3))))
    return side + number % 2, side + 1 + number % 3, side


def _write_design(
    folder: Path, order: np.ndarray, images: np.ndarray, shared: np.ndarray, n_sessions: int, n_trials: int
) -> None:
    import scipy.io

    slots = -(-n_trials // _N_RUNS) + 1
    pattern = np.zeros((n_sessions, _N_RUNS, slots), dtype=np.uint8)
    counts = np.full(_N_RUNS, n_trials // _N_RUNS) + (np.arange(_N_RUNS) < n_trials % _N_RUNS)
    for run, count in enumerate(counts):
        pattern[:, run, :count] = 1
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"masterordering": order[None] + 1.0, "subjectim": images + 1.0, "sharedix": shared[None] + 1.0,
                              "stimpattern": pattern})  # fmt: skip
    text = b"MATLAB 5.0 MAT-file, synthetic".ljust(116)  # scipy writes the time of day here
    path = folder / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat"
    with written_whole(path) as temporary:
        temporary.write_bytes(text + buffer.getvalue()[116:])


def _write_masks(folder: Path, name: str, shape: tuple[int, int, int], voxels: np.ndarray, brain: Brain) -> None:
    import nibabel as nib

    place = tuple(voxels.T)
    general, streams, early = (np.full(shape, -1, np.int16) for _ in range(3))
    general[place], streams[place] = 1, [_STREAMS[a] for a in brain.area]
    early[place] = brain.area == "early"
    ncsnr = np.zeros(shape, np.float32)
    ncsnr[place] = brain.ncsnr
    base = folder / "nsddata" / "ppdata" / name / "func1pt8mm"
    betas = folder / "nsddata_betas" / "ppdata" / name / "func1pt8mm" / "betas_fithrf_GLMdenoise_RR"
    paths = {base / "roi" / "nsdgeneral.nii.gz": general, base / "roi" / "streams.nii.gz": streams,
             base / "roi" / "prf-visualrois.nii.gz": early, base / "brainmask.nii.gz": np.ones(shape, np.int16),
             betas / "ncsnr.nii.gz": ncsnr}  # fmt: skip
    for path, values in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, _AFFINE), path)
    label = folder / "nsddata" / "freesurfer" / name / "label"
    label.mkdir(parents=True)
    (label / "streams.mgz.ctab").write_text(_CTAB, encoding="utf8")
    (label / "prf-visualrois.mgz.ctab").write_text("0 Unknown 0 0 0 0\n1 V1v 255 0 0 0\n", encoding="utf8")


def _write_session(
    folder: Path, name: str, session: int, shape: tuple[int, int, int], voxels: np.ndarray, betas: np.ndarray
) -> None:
    stored = np.zeros((len(betas), *shape[::-1]), np.int16)
    stored[(slice(None), *voxels[:, ::-1].T)] = np.clip(np.round(betas * 300), -32767, 32767)
    base = folder / "nsddata_betas" / "ppdata" / name / "func1pt8mm" / "betas_fithrf_GLMdenoise_RR"
    with hdf5(base / f"betas_session{session:02d}.hdf5", "w") as file:
        file.create_dataset("betas", data=stored, chunks=(len(betas), 1, 1, 1))  # the chunks of the published files
