"""Nuisance of a simulated run and the table of confounds that fMRIPrep would have written of it.

Source: fMRIPrep documentation, "Confounds": names of the columns; derivatives and framewise displacement have no value in
the first volume (n/a).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from braindec.loaders._synthetic_fmri import framewise_displacement, motion

__all__ = ["Nuisance", "nuisance"]

_AXES = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
_MM = np.array([1, 1, 1, 50, 50, 50])  # rotations on a sphere of 50 mm


class Nuisance:
    """Head motion and breathing of one run: what they add to channels, and their table.

    Parameters
    ----------
    moved : array of shape (n_volumes, 6)
        mm and rad.
    breath : array of shape (n_volumes,)
        Of unit variance.
    """

    def __init__(self, moved: np.ndarray, breath: np.ndarray) -> None:
        self.moved, self.breath = moved, breath

    def of(self, rim: np.ndarray, loading: np.ndarray) -> np.ndarray:
        """Return (n_volumes, n_channels): motion seen through ``rim`` (6, n_channels), a mm each, and breathing."""
        return (self.moved - self.moved.mean(axis=0)) * _MM @ rim + np.outer(self.breath, loading)

    def table(self, data: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """Return the confounds of a run whose channels are ``data`` (n_volumes, n_channels)."""
        n = len(data)
        step = np.concatenate([[np.nan], np.sqrt(np.mean(np.diff(data, axis=0) ** 2, axis=1))])
        fd = framewise_displacement(self.moved)
        columns: dict[str, np.ndarray] = {
            "global_signal": data.mean(axis=1),
            "csf": data.mean() + 8 * self.breath + 4 * rng.standard_normal(n),
            "white_matter": data.mean() + 3 * self.breath + 2 * rng.standard_normal(n),
            "dvars": step, "std_dvars": step / np.nanmedian(step), "framewise_displacement": fd,
        }  # fmt: skip
        basis = np.stack([self.breath + 0.3 * rng.standard_normal(n), *rng.standard_normal((5, n))], axis=1)
        basis = np.linalg.qr(basis - basis.mean(axis=0))[0]
        columns |= {f"a_comp_cor_{k:02d}": basis[:, k] for k in range(6)}
        place = (np.arange(n) + 0.5) / n
        columns |= {f"cosine{k:02d}": np.sqrt(2 / n) * np.cos(np.pi * (k + 1) * place) for k in range(3)}
        for k, axis in enumerate(_AXES):
            value = self.moved[:, k]
            change = np.concatenate([[np.nan], np.diff(value)])
            columns |= {axis: value, f"{axis}_derivative1": change, f"{axis}_power2": value**2, f"{axis}_derivative1_power2": change**2}  # fmt: skip
        for number, volume in enumerate(np.flatnonzero(fd > 0.5)):
            columns[f"motion_outlier{number:02d}"] = (np.arange(n) == volume).astype(float)
        return pd.DataFrame(columns)


def nuisance(n_volumes: int, rng: np.random.Generator) -> Nuisance:
    """Draw the motion and breathing of one run."""
    breath = lfilter([0.6], [1, -0.8], rng.standard_normal(n_volumes + 20))[20:]
    return Nuisance(motion(n_volumes, rng), (breath - breath.mean()) / breath.std())
