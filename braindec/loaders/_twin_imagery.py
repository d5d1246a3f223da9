"""EEG of imagined movements for twins: rhythms over four places that are weaker while their limb is imagined."""

from __future__ import annotations

import numpy as np

from braindec.loaders._twin_evoked import background

__all__ = ["CLASSES", "EEG", "imagery_run"]

EEG = (
    "Fz",
    "FC3",
    "FC1",
    "FCz",
    "FC2",
    "FC4",
    "C5",
    "C3",
    "C1",
    "Cz",
    "C2",
    "C4",
    "C6",
    "CP3",
    "CP1",
    "CPz",
    "CP2",
    "CP4",
    "P1",
    "Pz",
    "P2",
    "POz",
)
CLASSES = ("left_hand", "right_hand", "feet", "tongue")
_SOURCES = {"left_hand": "C4", "right_hand": "C3", "feet": "Cz", "tongue": "FCz"}
_ROWS = {"F": 2.0, "FC": 1.0, "C": 0.0, "CP": -1.0, "P": -2.0, "PO": -3.0}


def places() -> np.ndarray:
    """Places of the channels on a plane, (n_channels, 2): one unit is the distance of neighbours."""
    found = []
    for name in EEG:
        row, number = name.rstrip("z123456"), name[-1]
        side = 0.0 if number == "z" else (-1) ** int(number) * np.ceil(int(number) / 2)
        found.append((side, _ROWS[row]))
    return np.array(found)


def imagery_run(
    rng: np.random.Generator, classes: np.ndarray, onset: np.ndarray, n_times: int, *, sfreq: float, depth: float, rhythm: float,
    spread: float = 0.9,
) -> np.ndarray:  # fmt: skip
    """Signal of one run in V, shape (n_channels, n_times).

    Parameters
    ----------
    classes : array of int
        Place in :data:`CLASSES` of each trial.
    onset : array of int
        Sample of each cue; the rhythm is weaker from 0.5 to 4 s after it.
    depth : float
        Share by which the amplitude falls.
    rhythm : float
        Amplitude of the rhythms at their place, in standard deviations of the background (10 microvolt).
    """
    where = places()
    signal = background(rng, len(EEG), n_times, sfreq=sfreq, shared=0.4)
    frequency = np.fft.rfftfreq(n_times, 1 / sfreq)
    times = np.arange(n_times)
    for number, name in enumerate(CLASSES):
        band = np.exp(-0.5 * ((frequency - (11.0 + 0.3 * number)) / 1.2) ** 2) + 0.4 * np.exp(
            -0.5 * ((frequency - 22.0) / 2.0) ** 2
        )
        wave = np.fft.irfft((rng.normal(size=len(band)) + 1j * rng.normal(size=len(band))) * band, n=n_times)
        gain = np.ones(n_times)
        for start in onset[classes == number]:
            gain[(times >= start + 0.5 * sfreq) & (times < start + 4.0 * sfreq)] = 1 - depth
        distance = np.linalg.norm(where - where[EEG.index(_SOURCES[name])], axis=1)
        signal += rhythm * np.exp(-0.5 * (distance / spread) ** 2)[:, None] * (gain * wave / wave.std())
    return 10e-6 * signal
