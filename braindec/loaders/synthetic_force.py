"""Grip force and the electrocorticogram that goes with it, made up: high-gamma power rises before the force does.

Source: form of the data after Schalk et al. 2007 (J Neural Eng 4:264) and Merk et al. 2022 (eLife 11:e75126): bursts of
70 to 150 Hz over motor cortex, beta that falls during movement, noise with a 1/f spectrum. Nothing is measured.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import butter, sosfiltfilt

from braindec.errors import BraindecError
from braindec.signal.coloured_noise import coloured
from braindec.types import Recording

__all__ = ["force_recording"]

_LEAD = 0.15  # s that the brain is ahead of the force
_BURST = 0.8  # s of a grip, on average


def force_recording(
    subject: str = "01", *, duration: float = 120.0, n_channels: int = 8, gain: float = 1.0, sfreq: float = 500.0, seed: int = 0
) -> tuple[Recording, dict[str, np.ndarray]]:  # fmt: skip
    """Make one run.

    Parameters
    ----------
    subject : str
        Its label; subjects differ.
    duration : float
        s.
    n_channels : int
        ECoG contacts; the first half follows the force, the others do not.
    gain : float
        How much the logarithm of high-gamma amplitude rises from rest to full force; 0 for none.
    sfreq : float
        Hz, at least 400.
    seed : int

    Returns
    -------
    recording : Recording
        Channels ECOG_01 ... (V) and ``force`` (misc, share of the largest grip).
    truth : dict
        ``follows`` (n_channels,) bool and ``lead`` (s).

    Raises
    ------
    BraindecError
        If the sampling frequency does not hold 150 Hz, or there is nothing to record.
    """
    if sfreq < 400 or duration < 5 or n_channels < 2:
        raise BraindecError(
            "simulated force needs time, channels and a rate that holds 150 Hz", found=f"{duration:g} s, {n_channels} channels, {sfreq:g} Hz",
            allowed="5 s, 2 channels, 400 Hz or more",
        )  # fmt: skip
    rng = np.random.default_rng([seed, *subject.encode()])
    n = round(duration * sfreq)
    lead = round(_LEAD * sfreq)
    course = _grips(n + lead, sfreq, rng)  # what the brain intends
    force = course[:n]
    drive = course[lead:]
    follows = np.arange(n_channels) < (n_channels + 1) // 2
    noise = coloured(rng, (n_channels, n), sfreq, exponent=1.0, corner=1.0)
    high = sosfiltfilt(butter(4, [70, 150], btype="band", fs=sfreq, output="sos"), rng.standard_normal((n_channels, n)), axis=1)  # fmt: skip
    beta = sosfiltfilt(butter(4, [15, 25], btype="band", fs=sfreq, output="sos"), rng.standard_normal((n_channels, n)), axis=1)  # fmt: skip
    strength = gain * follows * rng.uniform(1.0, 1.6, n_channels)
    rise, fall = np.exp(strength[:, None] * drive), np.exp(-0.7 * strength[:, None] * drive)
    signal = 1e-5 * (noise + 0.3 * high / high.std() * rise + 0.3 * beta / beta.std() * fall)
    names = [f"ECOG_{k + 1:02d}" for k in range(n_channels)]
    channels = pd.DataFrame({
        "name": [*names, "force"], "type": ["ecog"] * n_channels + ["misc"], "unit": ["V"] * n_channels + ["a.u."],
        "x": [*np.full(n_channels, -0.038), np.nan], "y": [*(-0.03 + 0.006 * np.arange(n_channels)), np.nan], "z": [*np.full(n_channels, 0.06), np.nan],
        "region": [*np.where(follows, "Left Precentral Gyrus", "Left Middle Frontal Gyrus"), "n/a"],
    })  # fmt: skip
    info = {"dataset": "simulated grip force", "subject": subject, "task": "grip", "modality": "ieeg", "space": "MNI152NLin2009cAsym"}  # fmt: skip
    data = np.concatenate([signal, force[None]]).astype(np.float32)
    return Recording(data, sfreq, channels, info=info), {"follows": follows, "lead": np.array(_LEAD)}


def _grips(n: int, sfreq: float, rng: np.random.Generator) -> np.ndarray:
    """Raised cosines of random height and length, at random times that do not overlap."""
    course, place = np.zeros(n), round(rng.uniform(0.5, 1.5) * sfreq)
    while True:
        length = round(rng.uniform(0.5, 1.5) * _BURST * sfreq)
        if place + length >= n:
            return course
        course[place : place + length] = rng.uniform(0.4, 1.0) * 0.5 * (1 - np.cos(2 * np.pi * np.arange(length) / length))  # fmt: skip
        place += length + round(rng.uniform(0.5, 2.5) * sfreq)
