"""What electrodes on the scalp see of current dipoles in a spherical head.

The 10-05 system has the places of a real head, 85 to 112 mm from the centre of this one of 90 mm. ``on_sphere=True`` puts
each electrode where its direction meets the sphere, and potentials are then those of the series for four shells (within
1 %). Without it MNE extends the formula of the surface to each electrode's own distance, which makes far ones some 30 %
smaller.

Source: sphere of four shells (brain, fluid, skull, scalp) by equivalent dipoles, Berg & Scherg 1994 (Electroencephalography
and Clinical Neurophysiology 90:58), through ``mne.make_sphere_model`` and ``mne.make_forward_solution``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindec.errors import BraindecError, did_you_mean

__all__ = ["ORIGIN", "RADIUS", "eeg_gains", "montage_info"]

ORIGIN = np.array([0.0, 0.0, 0.04])  # of the sphere in head coordinates, m
RADIUS = 0.09


def montage_info(channels: Sequence[str], sfreq: float):
    """Return ``mne.Info`` of EEG channels at their places in the standard 10-05 system.

    Raises
    ------
    BraindecError
        If there is no channel, one comes twice, or one is not in the system.
    """
    import mne

    names = _names(channels)
    with mne.use_log_level("ERROR"):
        new = "colin27_1005"  # the name of standard_1005 from MNE 1.13 on
        montage = mne.channels.make_standard_montage(
            new if new in mne.channels.get_builtin_montages() else "standard_1005"
        )
    for name in names:
        if name not in montage.ch_names:
            raise BraindecError(
                f"the 10-05 system has no channel {name!r}{did_you_mean(str(name), montage.ch_names)}",
                allowed="names such as Fz, Cz, PO7",
            )
    info = mne.create_info(names, sfreq, "eeg")
    with mne.use_log_level("ERROR"):
        info.set_montage(montage)
    return info


def eeg_gains(
    channels: Sequence[str], places: np.ndarray, normals: np.ndarray, *, reference: Sequence[str] = ("TP9", "TP10"),
    on_sphere: bool = False,
) -> np.ndarray:  # fmt: skip
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
    on_sphere : bool
        Whether electrodes are moved onto the sphere.

    Returns
    -------
    array of shape (n_channels, n_dipoles)
        V / (A m).

    Raises
    ------
    BraindecError
        If a dipole lies outside the brain shell, directions are not of length 1, shapes do not fit, or a channel is not
        in the system.
    """
    import mne

    places, normals = np.asarray(places, dtype=float), np.asarray(normals, dtype=float)
    if places.ndim != 2 or not len(places) or places.shape[1] != 3 or normals.shape != places.shape:
        raise BraindecError("dipoles need a place and a direction (x, y, z) each", found=f"{places.shape} and {normals.shape}",
                            allowed="(n_dipoles, 3), one dipole or more")  # fmt: skip
    if not (np.isfinite(places).all() and np.allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-6)):
        raise BraindecError("places of dipoles must be finite, and their directions of length 1",
                            fix="divide each direction by its length; strengths go into what it is multiplied with")  # fmt: skip
    far = np.linalg.norm(places, axis=1).max(initial=0)
    if far > 0.9 * RADIUS:
        raise BraindecError("a dipole lies outside the brain of the spherical head", found=f"{far:.4g} m from the origin",
                            allowed=f"up to {0.9 * RADIUS:.4g} m")  # fmt: skip
    channels, reference = _names(channels), _names(reference)
    info = montage_info(channels + [name for name in reference if name not in channels], 100.0)
    for channel in info["chs"] if on_sphere else ():
        outward = channel["loc"][:3] - ORIGIN
        channel["loc"][:3] = ORIGIN + RADIUS * outward / np.linalg.norm(outward)
    with mne.use_log_level("ERROR"):
        sphere = mne.make_sphere_model(r0=ORIGIN, head_radius=RADIUS)
        source = mne.setup_volume_source_space(
            pos={"rr": places + ORIGIN, "nn": normals}, sphere_units="m", sphere=(*ORIGIN, RADIUS)
        )
        solution = mne.make_forward_solution(info, trans=None, src=source, bem=sphere, meg=False, eeg=True, mindist=0.0)
        free = solution["sol"]["data"].reshape(len(info["ch_names"]), len(places), 3)
    gains = np.einsum("cdx,dx->cd", free, normals)
    at = {name: row for row, name in enumerate(info["ch_names"])}
    return gains[: len(channels)] - gains[[at[name] for name in reference]].mean(axis=0)


def _names(channels: Sequence[str]) -> list[str]:
    names = [channels] if isinstance(channels, str) else list(channels)
    if not names or len(set(names)) < len(names):
        raise BraindecError("a cap needs channels, each once", found=str(names[:20]))
    return names
