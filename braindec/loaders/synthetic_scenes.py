"""Brains that see drawn scenes, in memory and with known truth: fMRI and EEG of one subject, and a cohort of several.

Every attribute of a scene is in the signal of some region (fMRI) or at some time (EEG), weakly enough that single trials
are read well above chance but not perfectly: place, shape, colour and, in films, direction of motion. One region of the
fMRI carries nothing. The same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from braindec.loaders import _scene_fmri
from braindec.loaders._scene_trials import plan
from braindec.loaders.scenes import check_scenes
from braindec.types import Pictures, Windows

__all__ = ["scene_fmri"]


def scene_fmri(
    pictures: Pictures, *, n_voxels: int = 400, noise: float = 1.0, seed: int = 0, subject: str = "01", repetitions: int = 1,
    runs: int = 8, stimulus_ids: Sequence[Any] | None = None,
) -> Windows:  # fmt: skip
    """Return the betas of one subject, one sample a trial.

    Parameters
    ----------
    pictures : Pictures
        Of :func:`braindec.loaders.scenes.scene_pictures`; responses are standardised over all of them, so draw training
        and test scenes together.
    n_voxels : int
        In regions V1 (contrast and luminance in receptive fields), V4 (hue), LOC (shape), MT (direction; films only)
        and control (noise alone), see ``channels.region``.
    noise : float
        1 by default; 0 is a brain without noise.
    seed, subject
        Decide the voxels; two subjects share no voxel.
    repetitions, runs : int
        How often each scene is shown, and over how many runs.
    stimulus_ids : sequence, optional
        The scenes that are shown; all by default.

    Returns
    -------
    Windows of shape (n_trials, n_voxels, 1)
        In random order; trials hold subject, session, run, onset, repetition, stimulus_id, concept_id, shape, colour, x, y,
        motion, ... ``info["truth"]`` has arrays: ``response`` (picture, voxel) without noise, in the order of
        ``pictures``, ``noise_sd`` and ``noise_ceiling`` (voxel,; the correlation of a single trial with the truth),
        ``region``, ``rf_x``, ``rf_y``, ``rf_size`` (V1, -1 to 1), ``hue`` (V4), ``shape_tuning`` (LOC), ``direction``
        (MT, degrees).

    Raises
    ------
    BraindecError
        If the pictures are no drawn scenes, or a number makes no sense.
    """
    check_scenes(pictures)
    trials = plan(pictures, subject=subject, repetitions=repetitions, runs=runs, seed=seed, stimulus_ids=stimulus_ids)
    return _scene_fmri.respond(pictures, trials, n_voxels=n_voxels, noise=noise, seed=seed, subject=subject)
