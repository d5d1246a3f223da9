"""Regions of electrodes: the label nearest to each, how far it is, and what else lies around.

Source: the three procedures of Tzourio-Mazoyer et al. (2002), NeuroImage 15:273, "Labeling of an extremum" and "percentage of
voxels in a sphere".

Differs from the reference in: the distance is that to the voxel as a box (0 inside it), not to its centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._atlas import Atlas, need_space
from braindec.types import Recording

__all__ = ["electrode_regions", "with_regions"]

_MANY = 6  # regions named around an electrode


def electrode_regions(
    electrodes: Recording | Any,
    atlas: Atlas,
    *,
    max_distance: float = 5e-3,
    radius: float | None = None,
    names: Sequence[str] | None = None,
    space: str | None = None,
    said: list[str] | None = None,
) -> pd.DataFrame:
    """Give each electrode the region of the nearest labelled voxel.

    Parameters
    ----------
    electrodes : Recording or array of shape (n, 3)
        Positions in m, in the space of the atlas.
    atlas : Atlas
        A label volume.
    max_distance : float
        In m; electrodes that lie farther from any labelled voxel get the region "n/a" (the distance is reported).
    radius : float, optional
        In m, of the sphere whose labels are counted; ``max_distance`` when left out.
    names : list of str, optional
        Of the positions, when these are an array.
    space : str, optional
        Space of the positions; needed for an array, and where a recording does not say it. It wins.
    said : list of str, optional
        Is told what was taken on trust, and how many electrodes have no position or no region.

    Returns
    -------
    DataFrame
        name; region ("n/a": none within ``max_distance``); label (0: none); distance (mm, to the nearest labelled voxel, 0
        inside one); nearest (the region of that voxel, however far); n_voxels (labelled voxels in the sphere); share (of
        these, in the region); around (the largest regions in the sphere with their shares).

    Raises
    ------
    BraindecError
        If the positions are in another or an unknown space, look like mm, or there are none.
    """
    said = [] if said is None else said
    positions, names, space, label = _given(electrodes, names, space)
    if atlas.kind != "volume":
        raise BraindecError(
            f"electrodes need a label volume, {atlas.name} is a {atlas.kind} atlas", fix="use its volume form"
        )
    radius = max_distance if radius is None else radius
    if not (np.isfinite([max_distance, radius]).all() and max_distance >= 0 and radius > 0 and radius < 0.1):
        raise BraindecError(
            "max_distance and radius are in m", found=f"{max_distance:g} and {radius:g}", allowed="0.005 is 5 mm"
        )
    there = np.isfinite(positions).all(axis=1)
    if not there.any():
        raise BraindecError(f"{label} has no electrode positions", fix="read them from electrodes.tsv")
    if np.abs(positions[there]).max() > 0.5:
        raise BraindecError(
            f"positions of {label} must be in m", found=f"up to {np.abs(positions[there]).max():g}",
            fix="divide millimetres by 1000",
        )  # fmt: skip
    need_space(atlas, space, label, said, trust=False)
    labels, distance, n_voxels, share, around = _look(positions[there] * 1000, atlas, radius * 1000)
    far = distance > max_distance * 1000 + 1e-9
    table = pd.DataFrame({"name": list(names), "region": "n/a", "label": 0, "distance": np.nan, "nearest": "n/a", "n_voxels": 0,
                          "share": np.nan, "around": ""})  # fmt: skip
    rows = np.flatnonzero(there)
    called = [atlas.names.get(int(k), f"region-{int(k)}") for k in labels]
    table.loc[rows, "region"] = np.where(far, "n/a", called)
    table.loc[rows, "label"] = np.where(far, 0, labels)
    table.loc[rows, "distance"], table.loc[rows, "nearest"] = distance, called
    table.loc[rows, "n_voxels"] = n_voxels
    table.loc[rows, "share"] = np.where(far, np.nan, share)
    table.loc[rows, "around"] = around
    if not there.all():
        said.append(f"{int((~there).sum())} of {len(there)} electrodes have no position and no region")
    if far.any():
        said.append(
            f"{int(far.sum())} electrodes lie more than {1000 * max_distance:g} mm from any region of {atlas.name}"
        )
    return table


def with_regions(recording: Recording, table: pd.DataFrame) -> Recording:
    """Return the recording with the regions of :func:`electrode_regions` in its channel table, matched by name."""
    unknown = [n for n in table["name"] if n not in set(recording.ch_names)]
    if unknown:
        raise BraindecError(f"{recording.label} has no channel {unknown[0]!r}", found=f"{len(unknown)} unknown names")
    rows = table.set_index("name")
    channels = recording.channels.copy()
    name = channels["name"]
    known = name.isin(rows.index)
    channels.loc[known, "region"] = name[known].map(rows["region"]).to_numpy()
    channels["region_distance"] = name.map(rows["distance"]).to_numpy(dtype=float) / 1000
    return replace(recording, channels=channels)


def _look(
    mm: np.ndarray, atlas: Atlas, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Label and distance (mm) of the nearest labelled voxel, and the labels within ``radius`` mm of each point."""
    from scipy.spatial import cKDTree

    volume, affine = atlas.need_labels(), np.asarray(atlas.affine, dtype=float)
    ijk = np.argwhere(volume)
    keys = volume[tuple(ijk.T)]
    tree = cKDTree(ijk @ affine[:3, :3].T + affine[:3, 3])
    half = float(np.linalg.norm(affine[:3, :3], axis=0) @ np.ones(3)) / 2  # no corner is farther from its centre
    nearest = tree.query(mm)[0]
    labels, distance, n_voxels = np.zeros(len(mm), np.int32), np.zeros(len(mm)), np.zeros(len(mm), np.int64)
    share, around = np.full(len(mm), np.nan), []
    back = np.linalg.inv(affine)
    for k, point in enumerate(mm):
        near = np.array(tree.query_ball_point(point, nearest[k] + half + 1e-9))
        inside = (back[:3, :3] @ point + back[:3, 3])[None] - ijk[near]  # in voxels, from the centre of each
        gap = (inside - np.clip(inside, -0.5, 0.5)) @ affine[:3, :3].T
        gaps = np.linalg.norm(gap, axis=1)
        first = np.lexsort((np.linalg.norm(inside @ affine[:3, :3].T, axis=1), gaps.round(9)))[0]
        labels[k], distance[k] = keys[near[first]], gaps[first]
        held, counts = np.unique(keys[tree.query_ball_point(point, radius)], return_counts=True)
        n_voxels[k] = counts.sum()
        share[k] = counts[held == labels[k]].sum() / counts.sum() if len(counts) else np.nan
        order = np.argsort(-counts, kind="stable")[:_MANY]
        words = [f"{atlas.names.get(int(held[o]), held[o])} {counts[o] / counts.sum():.2f}" for o in order]
        around.append("; ".join(words) + ("; ..." if len(held) > _MANY else ""))
    return labels, distance, n_voxels, share, around


def _given(
    electrodes: Any, names: Sequence[str] | None, space: str | None
) -> tuple[np.ndarray, list[str], str | None, str]:
    if isinstance(electrodes, Recording):
        if names is not None:
            raise BraindecError("names belong to an array of positions; a recording has its own")
        known = space if space is not None else electrodes.info.get("space")
        return electrodes.positions, electrodes.ch_names, known, electrodes.label
    positions = np.asarray(electrodes, dtype=float)
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise BraindecError("positions must be (electrode, 3), in m", found=f"shape {positions.shape}")
    called = [f"electrode-{k + 1}" for k in range(len(positions))] if names is None else [str(n) for n in names]
    if len(called) != len(positions):
        raise BraindecError("names and positions differ in number", found=f"{len(called)} and {len(positions)}")
    return positions, called, space, "the electrodes"
