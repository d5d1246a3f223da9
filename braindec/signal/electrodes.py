"""Electrodes in the brain: do they have places, in a space that is known, inside a head?

Source: extent of the MNI152 template (Fonov et al. 2011, NeuroImage 54:313): the scalp lies within an ellipsoid around
(0, -18, 8) mm with half axes of 85, 110 and 95 mm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from braindec.errors import BraindecError
from braindec.types import Recording, Windows

__all__ = ["ElectrodePlaces", "check_electrodes", "electrode_places"]

TYPES = ("ecog", "seeg", "dbs")
_MNI = ("mni", "icbm", "fsaverage", "fsnative2mni", "ixi", "nihpd", "oasis")  # beginnings of names of spaces
_CENTRE, _AXES = np.array([0.0, -0.018, 0.008]), np.array([0.085, 0.110, 0.095])  # m
_LARGEST = 0.25  # m between two electrodes of one head, in any space
_UNKNOWN = ("", "n/a", "none", "unknown", "other", "pixels")


@dataclass(frozen=True)
class ElectrodePlaces:
    """What is known of the electrodes of one recording.

    Parameters
    ----------
    names : list of str
        All electrodes (types ecog, seeg, dbs).
    without : list of str
        Those that have no position.
    outside : list of str
        Those whose position cannot be inside a head.
    space : str or None
        Coordinate system, None when it is not said.
    """

    names: list[str]
    without: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    space: str | None = None

    @property
    def is_template(self) -> bool:
        """Whether positions are in the space of a template brain, so that regions of an atlas can be looked up."""
        return self.space is not None and self.space.lower().startswith(_MNI)


def electrode_places(recording: Recording | Windows) -> ElectrodePlaces:
    """Look at the electrodes of a recording; nothing is raised.

    Parameters
    ----------
    recording : Recording or Windows
        Positions in m.
    """
    first = recording.recordings[0] if isinstance(recording, Windows) else recording
    kinds = first.channels["type"].isin(TYPES).to_numpy()
    names = np.array(first.ch_names, dtype=object)[kinds]
    points = first.positions[kinds]
    known = np.isfinite(points).all(axis=1) & np.any(points != 0, axis=1)
    space = first.info.get("space")
    space = None if space is None or str(space).strip().lower() in _UNKNOWN else str(space)
    found = ElectrodePlaces(list(names), list(names[~known]), [], space)
    outside = np.zeros(len(names), dtype=bool)
    if found.is_template:
        outside[known] = (((points[known] - _CENTRE) / _AXES) ** 2).sum(axis=1) > 1
    elif known.any():
        middle = np.median(points[known], axis=0)
        outside[known] = np.linalg.norm(points[known] - middle, axis=1) > _LARGEST
    return ElectrodePlaces(found.names, found.without, list(names[outside]), found.space)


def check_electrodes(recording: Recording | Windows, *, template: bool = False, all_of_them: bool = False) -> ElectrodePlaces:  # fmt: skip
    """Raise unless the electrodes have places that can be used.

    Parameters
    ----------
    recording : Recording or Windows
    template : bool
        Positions must be in the space of a template brain (MNI, fsaverage), as maps over subjects and atlases need.
    all_of_them : bool
        Every electrode must have a position; by default one is enough.

    Raises
    ------
    BraindecError
        If there are no electrodes, they have no positions, the space is not said, or a position is outside a head.
    """
    found = electrode_places(recording)
    label = recording.recordings[0].label if isinstance(recording, Windows) else recording.label
    if not found.names:
        raise BraindecError(f"{label} has no electrodes in the brain", allowed=f"channels of type {', '.join(TYPES)}",
                            fix="say the types in channels.tsv")  # fmt: skip
    if len(found.without) == len(found.names) or (all_of_them and found.without):
        raise BraindecError(
            f"{label}: {len(found.without)} of {len(found.names)} electrodes have no position", found=_some(found.without),
            fix="give electrodes.tsv with x, y, z and coordsystem.json with the space and the unit, or leave them out",
        )  # fmt: skip
    if found.space is None:
        raise BraindecError(
            f"{label}: positions of electrodes are in an unknown space", found="no coordinate system is named",
            allowed="MNI152NLin2009cAsym, fsaverage, ... for a template brain, or the subject's own (ACPC, ScanRAS)",
            fix="name it: iEEGCoordinateSystem in coordsystem.json, or the reader's option space",
        )  # fmt: skip
    if template and not found.is_template:
        raise BraindecError(
            f"{label}: electrodes are in the space {found.space!r}, not in that of a template brain",
            allowed="names that begin with MNI, ICBM, fsaverage", fix="warp the positions to MNI space first",
        )  # fmt: skip
    if found.outside:
        raise BraindecError(
            f"{label}: {len(found.outside)} of {len(found.names)} electrodes lie outside the head", found=_some(found.outside),
            fix="check the unit (m, mm) and the sign of the axes (x to the right, y to the front, z up), or mark them bad and leave them out",
        )  # fmt: skip
    return found


def _some(names: list[str]) -> str:
    return ", ".join(map(str, names[:6])) + (", ..." if len(names) > 6 else "")
