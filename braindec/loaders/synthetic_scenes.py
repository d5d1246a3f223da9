"""Brains that see drawn scenes, in memory and with known truth: fMRI and EEG of one subject, and a cohort of several.

Every attribute of a scene is in the signal of some region (fMRI) or at some time (EEG), weakly enough that single trials
are read well above chance but not perfectly: place, shape, colour and, in films, direction of motion. One region of the
fMRI carries nothing. The same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from braindec.loaders import _scene_eeg, _scene_fmri
from braindec.loaders._scene_trials import plan
from braindec.loaders.scenes import check_scenes
from braindec.types import Pictures, Windows

__all__ = ["scene_eeg", "scene_fmri"]


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


def scene_eeg(
    pictures: Pictures, *, noise: float = 1.0, seed: int = 0, subject: str = "01", repetitions: int = 1, runs: int = 8,
    stimulus_ids: Sequence[Any] | None = None, channels: Sequence[str] | None = None, sfreq: float = 100.0, tmin: float = -0.1,
    tmax: float = 0.6,
) -> Windows:  # fmt: skip
    """Return the EEG of one subject around each scene, in V, cut from continuous runs.

    Parameters
    ----------
    pictures : Pictures
        Of :func:`braindec.loaders.scenes.scene_pictures`; drives are standardised over all of them, so draw training and
        test scenes together.
    noise : float
        Scale of the ongoing activity (1/f, alpha, sensors); 1 by default.
    seed, subject
        Decide the head; subjects share what drives the sources, not the topographies.
    repetitions, runs, stimulus_ids
        See :func:`scene_fmri`.
    channels : sequence of str, optional
        Names of the 10-05 system; 32 by default, against linked mastoids.
    sfreq, tmin, tmax : float
        Hz; s from onset (``tmax`` not included).

    Returns
    -------
    Windows of shape (n_trials, n_channels, n_times)
        ``info["truth"]`` has arrays: ``attribute``, ``name``, ``latency`` (s) and ``position`` (m) of each source,
        ``topographies`` (channel, source; V a unit of drive), ``courses`` (source, time) over ``times``, ``drives`` (picture,
        source), ``evoked`` (channel, time), ``noise_sd`` (channel,; V).

    Raises
    ------
    BraindecError
        If the pictures are no drawn scenes, a channel is unknown, or a number makes no sense.
    """
    check_scenes(pictures)
    trials = plan(pictures, subject=subject, repetitions=repetitions, runs=runs, seed=seed, stimulus_ids=stimulus_ids)
    given = list(channels) if channels is not None else None
    return _scene_eeg.respond(
        pictures, trials, noise=noise, seed=seed, subject=subject, channels=given, sfreq=sfreq, tmin=tmin, tmax=tmax
    )
