"""Atlas: labels of voxels, vertices or grayordinates with their names and space; spaces compared by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._cifti_model import BrainModel

__all__ = ["Atlas", "compare_spaces"]


@dataclass(frozen=True, eq=False)
class Atlas:
    """Labels of places in a brain space; 0 is no region.

    Parameters
    ----------
    name : str
        Of the card, or the file.
    kind : str
        "volume", "surface" or "cifti".
    space : str or None
        Coordinate system, in the words of BIDS (MNI152NLin6Asym, fsLR, fsaverage5, ...).
    names : dict of int to str
        Name of each label that occurs.
    labels : array of int32 or None
        (x, y, z) for a volume, (n,) otherwise; None while only probabilities are known.
    affine : array of shape (4, 4), optional
        Voxel to mm, for a volume.
    model : BrainModel, optional
        Which vertex or voxel each label belongs to, for surfaces and CIFTI.
    probabilities : array of shape (x, y, z, region) or (n, region), optional
        As the file holds them (0 to 1, or percent); column k belongs to label k + 1.
    path : str
        Where the labels came from.
    notes : tuple of str
        What was found on reading (labels without names, overlaps, ...).
    """

    name: str
    kind: str
    space: str | None
    names: Mapping[int, str]
    labels: np.ndarray | None
    affine: np.ndarray | None = None
    model: BrainModel | None = None
    probabilities: np.ndarray | None = None
    path: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def region_names(self) -> list[str]:
        """Names of the regions in order of their labels."""
        return [self.names[k] for k in sorted(self.names)]

    @property
    def sizes(self) -> dict[int, int]:
        """Number of voxels or vertices of each label."""
        found, counts = np.unique(self.need_labels(), return_counts=True)
        return {int(k): int(n) for k, n in zip(found, counts, strict=True) if k != 0}

    def centres(self) -> pd.DataFrame:
        """Return label, name, x, y, z (m, mean of the voxels) and n (voxels) of each region of a volume.

        The mean of a bent region may lie outside it: good for a picture of parcels, not for a look-up.
        """
        labels = self.need_labels()
        if self.affine is None:
            raise BraindecError(f"{self.name} is a {self.kind} atlas: its regions have no place in a volume")
        keys = np.array(sorted(self.names))
        ijk = np.argwhere(labels)
        row = np.searchsorted(keys, labels[tuple(ijk.T)])
        counts = np.bincount(row, minlength=len(keys))
        mean = np.stack([np.bincount(row, ijk[:, a], len(keys)) for a in range(3)], axis=1) / counts[:, None]
        xyz = (mean @ self.affine[:3, :3].T + self.affine[:3, 3]) / 1000
        return pd.DataFrame(
            {"label": keys, "name": self.region_names, "x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2], "n": counts}
        )

    def need_labels(self) -> np.ndarray:
        """Return the labels.

        Raises
        ------
        BraindecError
            If the atlas holds probabilities that nobody asked to threshold.
        """
        if self.labels is None:
            raise BraindecError(
                f"the atlas {self.name} holds probabilities, not labels", found=self._range(),
                fix="choose a threshold: open_atlas(..., threshold=...), or atlas.thresholded(...)",
            )  # fmt: skip
        return self.labels

    def thresholded(self, threshold: float) -> Atlas:
        """Return labels from probabilities: the region with the highest one, where that is at least ``threshold``.

        Parameters
        ----------
        threshold : float
            In the unit of the file (0 to 1, or percent), above 0.
        """
        if self.probabilities is None:
            raise BraindecError(f"the atlas {self.name} holds labels, not probabilities", fix="leave threshold away")
        top = float(np.nanmax(self.probabilities))
        if not 0 < threshold <= top:
            raise BraindecError(
                f"a threshold of {threshold:g} leaves {'everything' if threshold <= 0 else 'nothing'} of {self.name}",
                found=self._range(), allowed=f"above 0, up to {top:g}",
            )  # fmt: skip
        values = np.nan_to_num(self.probabilities)
        labels = np.where(values.max(axis=-1) >= threshold, values.argmax(axis=-1) + 1, 0).astype(np.int32)
        lost = [self.names[k] for k in sorted(set(self.names) - set(np.unique(labels).tolist()))]
        said = f"regions are where the highest probability is at least {threshold:g}"
        if lost:
            said += f"; {len(lost)} have no such place: {', '.join(lost[:6])}"
        kept = {k: n for k, n in self.names.items() if n not in lost}
        return replace(self, labels=labels, names=kept, notes=(*self.notes, said))

    def _range(self) -> str:
        assert self.probabilities is not None
        return f"values from {np.nanmin(self.probabilities):g} to {np.nanmax(self.probabilities):g}"

    def __repr__(self) -> str:
        what = f"{len(self.names)} regions" + ("" if self.labels is not None else " (probabilities)")
        return f"<Atlas {self.name}: {what}, {self.kind} in {self.space or 'an unknown space'}>"


def compare_spaces(one: str | None, two: str | None) -> str:
    """Say whether two names of spaces mean "same", "near" (MNI without saying which), "other" or "unknown".

    fsaverage and fsaverage5 are one space at two densities; vertex counts tell them apart.
    """
    a, b = _plain(one), _plain(two)
    if a is None or b is None:
        return "unknown"
    if a == b:
        return "same"
    vague = {"mni", "mni152", "mni152lin", "icbm152", "mniicbm152"}
    both_mni = all(s.startswith(("mni", "icbm")) and not s.startswith("mni305") for s in (a, b))
    return "near" if both_mni and (a in vague or b in vague) else "other"


def _plain(space: str | None) -> str | None:
    text = re.sub(r"[^a-z0-9]", "", str(space).lower()) if space is not None else ""
    if text in ("", "na", "none", "unknown", "other", "aligned"):
        return None
    text = re.sub(r"^fslr(32k|164k|59k)?$", "fslr", text)
    return re.sub(r"^fsaverage[3-6]$", "fsaverage", text)


def need_space(atlas: Atlas, space: str | None, what: str, said: list[str], *, trust: bool) -> None:
    """Refuse positions in another space than the atlas.

    Parameters
    ----------
    atlas : Atlas
        Its space is compared.
    space : str or None
        Space of the positions.
    what : str
        Whose they are, for messages.
    said : list of str
        Is told what could not be checked.
    trust : bool
        Go on, and say so, where a space is not known: grids or surfaces were found to be the same, or the caller asked for
        a look-up by position.
    """
    found = compare_spaces(atlas.space, space)
    if found == "other" or (found == "unknown" and not trust):
        raise BraindecError(
            f"{what} and the atlas {atlas.name} "
            + ("lie in different spaces" if found == "other" else "cannot be compared: a space is not known"),
            found=f"{space or 'unknown'} against {atlas.space or 'unknown'}",
            fix="use an atlas in the space of the positions, or transform one of them; when you know that a name is wrong, "
            "missing or near enough, say it: space='...' (of the positions, or of the atlas in open_atlas)",
        )
    if found == "near":
        said.append(
            f"{what}: {space}, the atlas {atlas.name}: {atlas.space}; taken as the same (they differ by a few mm)"
        )
    elif found == "unknown":
        said.append(
            f"{what}: space {space or 'unknown'}, the atlas {atlas.name}: {atlas.space or 'unknown'}; taken as the same"
        )
