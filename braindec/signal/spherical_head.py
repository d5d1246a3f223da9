"""What electrodes on the scalp see of current dipoles in a spherical head.

Source: three-shell sphere (Berg & Scherg 1994) through ``mne.make_sphere_model`` and ``mne.make_forward_solution``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindec.errors import BraindecError

__all__ = ["ORIGIN", "RADIUS", "eeg_gains", "montage_info"]

ORIGIN = np.array([0.0, 0.0, 0.04])  # of the sphere in head coordinates, m
RADIUS = 0.09


def montage_info(channels: Sequence[str], sfreq: float):
    """Return ``mne.Info`` of EEG channels at their places in the standard 10-05 system."""
    import mne

    info = mne.create_info(list(channels), sfreq, "eeg")
    with mne.use_log_level("ERROR"):
        new = "colin27_1005"  # the name of standard_1005 from MNE 1.13 on
        info.set_montage(new if new in mne.channels.get_builtin_montages() else "standard_1005")
    return info


def eeg_gains(
    channels: Sequence[str], places: np.ndarray, normals: np.ndarray, *, reference: Sequence[str] = ("TP9", "TP10")
) -> np.ndarray:
    """Return the potential of each channel for a dipole of 1 A m at each place.

    Parameters
    ----------
    channels : sequence of str
        Names of the standard 10-05 system.
    places : array of shape (n_dipoles, 3)
        m, relative to :data:`ORIGIN`; inside the brain shell (within 0.9 of the radius).
    normals : array of shape (n_dipoles, 3)
        Directions of length 1.
    reference : sequence of str
        Channels whose mean is taken off.

    Returns
    -------
    array of shape (n_channels, n_dipoles)
        V / (A m).

    Raises
    ------
    BraindecError
        If a dipole lies outside the brain shell.
    """
    import mne

    places, normals = np.asarray(places, dtype=float), np.asarray(normals, dtype=float)
    far = np.linalg.norm(places, axis=1).max(initial=0)
    if far > 0.9 * RADIUS:
        raise BraindecError("a dipole lies outside the brain of the spherical head", found=f"{far:.4g} m from the origin",
                            allowed=f"up to {0.9 * RADIUS:.4g} m")  # fmt: skip
    channels = list(channels)
    info = montage_info([*channels, *reference], 100.0)
    with mne.use_log_level("ERROR"):
        sphere = mne.make_sphere_model(r0=ORIGIN, head_radius=RADIUS)
        source = mne.setup_volume_source_space(
            pos={"rr": places + ORIGIN, "nn": normals}, sphere_units="m", sphere=(*ORIGIN, RADIUS)
        )
        solution = mne.make_forward_solution(info, trans=None, src=source, bem=sphere, meg=False, eeg=True, mindist=0.0)
        free = solution["sol"]["data"].reshape(len(info["ch_names"]), len(places), 3)
    gains = np.einsum("cdx,dx->cd", free, normals)
    n = len(channels)
    return gains[:n] - gains[n:].mean(axis=0)
