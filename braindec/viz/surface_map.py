"""Surface map: values at the vertices of the cortex, each hemisphere from outside and from the midline.

The mesh is the inflated fsaverage5 that nilearn bundles (10,242 vertices a hemisphere; Fischl et al. 1999), shaded by its
sulcal depth; any other mesh may be given as arrays. ``project_to_surface`` takes values of voxels to its vertices.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._brain import NOTHING, above, bundled, colour_bar, colours, heading, metres
from braindec.viz._render import View, render
from braindec.viz._style import SINGLE, WIDE, numbers, panes, plain_axes, styled
from braindec.viz.voxel_map import voxel_size

__all__ = ["surface_map", "project_to_surface"]

_SIDES = {"left": -1, "right": 1}
_ORDER = {"left": ("lateral", "medial"), "right": ("medial", "lateral")}
_FINE = 450  # pixels of the longest side of a view


@styled
def surface_map(
    left: Any = None,
    right: Any = None,
    *,
    mesh: Any = "fsaverage5",
    label: str = "r",
    unit: str = "",
    top: float | None = None,
    title: str | None = None,
    threshold: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw values at vertices of the cortex, lateral and medial views of each hemisphere that is given.

    Every pixel shows the value of the vertex nearest to it: nothing is smoothed.

    Parameters
    ----------
    left, right : array of shape (n_vertices,), optional
        Values of a hemisphere; NaN (the medial wall, vertices without data) is grey.
    mesh : "fsaverage5" or mapping
        The bundled mesh (10,242 vertices a hemisphere), or {"left": (coordinates, faces), "right": ...} with
        coordinates (n_vertices, 3), x to the right, y to the front, z up, and faces (n_faces, 3); a third entry, sulcal
        depth (n_vertices,), shades it.
    label, unit : str
        For the colour bar.
    top : float, optional
        Where the colours end, for maps that are compared; the largest absolute value by default.
    title : str, optional
        Above the picture.
    threshold : float, optional
        Vertices with a smaller absolute value are grey.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If no hemisphere is given, its values do not fit the mesh, or none is finite.
    """
    given = {
        name: numbers(name, values, ndim=1, finite=False)
        for name, values in (("left", left), ("right", right))
        if values is not None
    }
    if not given:
        raise BraindecError("surface_map needs the values of a hemisphere", fix="give left, right or both")
    parts = {name: _part(mesh, name, len(values)) for name, values in given.items()}
    together = np.concatenate(list(given.values()))
    if not np.isfinite(together).any():
        raise BraindecError("no vertex has a value that is finite", found=f"{len(together):,} vertices")
    shades = colours(together, top)
    kept = {name: above(values, threshold) for name, values in given.items()}
    views = [(name, view) for name in given for view in _ORDER[name]]
    figure, axes = panes(ax, 1, len(views), width=WIDE if len(views) == 4 else SINGLE + 0.6, height=2.3)
    for cell, (name, view) in zip(axes[0], views, strict=True):
        coordinates, faces, depth = parts[name]
        side = _SIDES[name] * (1 if view == "lateral" else -1)
        seen = render(coordinates, faces, side=side, pixel=np.ptp(coordinates, axis=0).max() / _FINE)
        picture = _paint(seen, kept[name], depth, shades)
        cell.imshow(picture, origin="lower", extent=seen.extent, interpolation="antialiased")
        plain_axes(cell)
        cell.set_title(f"{name}, {view}", loc="center", fontsize=8.5, fontweight="normal")
    n = int(np.isfinite(together).sum())
    shown = sum(int(np.isfinite(values).sum()) for values in kept.values())
    words = f"n = {n:,} of {len(together):,} vertices"
    words += f"\n{shown:,} at |{label}| ≥ {threshold:g}" if threshold is not None else ""
    colour_bar(figure, axes.ravel(), shades, label, unit=unit, below=words)
    heading(figure, title)
    return figure


def project_to_surface(
    values: Any, positions: Any, *, mesh: str = "fsaverage5", distance: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of the voxel nearest to each vertex, half way between the white and the pial surface.

    fsaverage lies in MNI305, up to a few mm from the other MNI spaces: good for a picture, not for a measurement.

    Parameters
    ----------
    values : array of shape (n_voxels,)
        NaN stays NaN.
    positions : array of shape (n_voxels, 3)
        MNI coordinates of the voxels' centres in m.
    mesh : "fsaverage5"
        The bundled mesh.
    distance : float, optional
        Vertices farther than this from any voxel, in m, are NaN; without it, the size of a voxel along its longest side.

    Returns
    -------
    left, right : array of shape (10242,)

    Raises
    ------
    BraindecError
        If shapes do not fit, positions are not in m, or no vertex is near a voxel.
    """
    from scipy.spatial import cKDTree

    values = numbers("values", values, ndim=1, finite=False)
    places = metres(positions, len(values))
    known = np.isfinite(places).all(axis=1)
    if mesh != "fsaverage5":
        raise BraindecError("voxels are projected to a bundled mesh only", found=f"mesh={mesh!r}", allowed="fsaverage5")
    reach = float(voxel_size(places[known]).max()) if distance is None else float(distance)
    tree = cKDTree(places[known])
    out = []
    for name in _SIDES:
        middle = (_gifti(f"white_{name}")[0] + _gifti(f"pial_{name}")[0]) / 2000.0  # mm to m
        gap, nearest = tree.query(middle, distance_upper_bound=reach * (1 + 1e-9))
        near = np.isfinite(gap)
        found = np.full(len(middle), np.nan)
        found[near] = values[known][nearest[near]]
        out.append(found)
    if not any(np.isfinite(part).any() for part in out):
        raise BraindecError(
            f"no vertex of {mesh} is within {1000 * reach:.3g} mm of a voxel with a value",
            found=" to ".join(str(np.round(1000 * end(places[known], axis=0), 1)) for end in (np.min, np.max)) + " mm",
            fix="give positions in m of MNI space, or a larger distance",
        )
    return out[0], out[1]


def _part(mesh: Any, name: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return coordinates, faces and sulcal depth (or None) of one hemisphere; ``n`` values must fit them."""
    if isinstance(mesh, str):
        if mesh != "fsaverage5":
            raise BraindecError("no such mesh is bundled", found=f"mesh={mesh!r}", allowed="fsaverage5, or arrays")
        coordinates, faces = _gifti(f"infl_{name}")
        depth: np.ndarray | None = _gifti(f"sulc_{name}")[0]
    else:
        if not isinstance(mesh, Mapping) or name not in mesh:
            raise BraindecError(
                f"the mesh must hold the {name} hemisphere",
                found=", ".join(map(str, mesh)) if isinstance(mesh, Mapping) else type(mesh).__name__,
                allowed='"fsaverage5" or {"left": (coordinates, faces), "right": ...}',
            )
        coordinates, faces, depth = _own(name, mesh[name])
    if len(coordinates) != n:
        raise BraindecError(
            f"{name} must have one value a vertex", found=f"{n:,} values, {len(coordinates):,} vertices",
            fix="project voxels with braindec.viz.surface_map.project_to_surface" if isinstance(mesh, str) else None,
        )  # fmt: skip
    return coordinates, faces, depth


def _own(name: str, arrays: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Check a mesh that the caller gives."""
    try:
        count = len(arrays)
    except TypeError:
        count = 0
    if count not in (2, 3):
        raise BraindecError(
            f"the mesh of the {name} hemisphere must be (coordinates, faces) or (coordinates, faces, depth)",
            found=f"{count} entries",
        )
    coordinates = numbers("coordinates", arrays[0], ndim=2)
    faces = numbers("faces", arrays[1], ndim=2)
    if coordinates.shape[1] != 3 or faces.shape[1] != 3:
        raise BraindecError(
            "a mesh is (n, 3) coordinates and (n, 3) faces", found=f"{coordinates.shape}, {faces.shape}"
        )
    if (faces != np.round(faces)).any() or faces.min() < 0 or faces.max() >= len(coordinates):
        raise BraindecError(
            "faces must be numbers of vertices",
            found=f"{faces.min():g} to {faces.max():g}",
            allowed=f"0 to {len(coordinates) - 1}",
        )
    depth = numbers("depth", arrays[2], ndim=1, n=len(coordinates), finite=False) if count == 3 else None
    return coordinates, faces.astype(int), depth


def _paint(seen: View, values: np.ndarray, depth: np.ndarray | None, shades: ScalarMappable) -> np.ndarray:
    """Return the view as colours, shape (row, column, 4): values, grey sulci under them, a little shadow at the rim."""
    there = seen.vertex >= 0
    grey = np.tile(to_rgb(NOTHING), (len(values), 1))
    if depth is not None:
        grey = grey * np.where(np.nan_to_num(depth) > 0, 0.86, 1.03)[:, None]
    shown = shades.to_rgba(np.nan_to_num(values))[:, :3]
    if depth is not None:
        shown = shown * np.where(np.nan_to_num(depth) > 0, 0.95, 1.0)[:, None]  # a hint of the folds under the values
    own = np.where(np.isfinite(values)[:, None], shown, grey)
    light = 0.72 + 0.28 * np.clip(seen.facing, 0, 1) ** 0.7
    picture = np.ones((*seen.vertex.shape, 4))
    picture[..., 3] = there
    picture[there, :3] = np.clip(own[seen.vertex[there]] * light[there][:, None], 0, 1)
    return picture


@cache
def _gifti(name: str) -> tuple[np.ndarray, ...]:
    """Read the arrays of one bundled file: coordinates and faces, or one array a vertex."""
    import nibabel

    image: Any = nibabel.load(bundled("datasets", "data", "fsaverage5", f"{name}.gii.gz"))
    return tuple(np.asarray(part.data, dtype=int if part.data.dtype.kind == "i" else float) for part in image.darrays)
