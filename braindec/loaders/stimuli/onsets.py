"""onsets: where a sound gets louder: the rises of its envelope, falls are zero.

Source: Hertrich et al. 2012 (Psychophysiology 49:322) and Daube et al. 2019 (Curr Biol 29:1924), acoustic onsets as half-wave
rectified derivative of the envelope.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.loaders.audio import as_sound
from braindec.loaders.stimuli.envelope import envelope
from braindec.loaders.stimulus_series import make_series, stretches
from braindec.types import Recording

__all__ = ["onsets"]


def onsets(
    sound: Any, *, sfreq: float = 100.0, kind: str = "hilbert", power: float = 1.0, lowpass: float | None = None,
    n_bands: int = 28, fmin: float = 50.0, fmax: float = 5000.0, audio_sfreq: float = 16000.0, blocks: Any = None,
) -> Recording:  # fmt: skip
    """Compute the half-wave rectified derivative of the envelope: one unit, per second.

    Parameters
    ----------
    sound : path, Sound, or (samples, sfreq)
    sfreq : float
        Samples of the series a second, Hz.
    kind, power, lowpass, n_bands, fmin, fmax, audio_sfreq
        Of the envelope, see :func:`braindec.loaders.stimuli.envelope.envelope`.
    blocks : DataFrame or sequence of (start, stop), optional
        The sound is cut there first (s); the first sample of each block is 0.

    Raises
    ------
    BraindecError
        If the sound cannot be used, or an option makes no sense.
    """
    sound = as_sound(sound, sfreq=audio_sfreq)
    loud = envelope(
        sound, sfreq=sfreq, kind=kind, power=power, lowpass=lowpass, n_bands=n_bands, fmin=fmin, fmax=fmax,
        audio_sfreq=audio_sfreq, blocks=blocks,
    )  # fmt: skip
    course = loud.load().astype(np.float64)
    rises = np.maximum(np.diff(course, axis=1, prepend=course[:, :1]), 0.0) * sfreq
    parts = stretches(blocks, sound.duration, sfreq=sfreq, name=sound.name)
    rises[:, [part.first for part in parts]] = 0.0
    return make_series(rises.astype(np.float32), sfreq, ["onsets"], feature="onsets", stimulus=sound.name, path=sound.path,
                       content=sound.content, settings=loud.info["settings"])  # fmt: skip
