"""Triangles seen from one side, as pixels: which vertex each pixel shows, and how the surface is turned there.

A plain depth-sorted rasteriser: the pixels of the box of each triangle that faces the viewer are tried, those inside
keep the vertex nearest to them, and nearer triangles are written over farther ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """One view of a mesh: per pixel, the vertex shown (-1: none) and the cosine between surface and line of sight."""

    vertex: np.ndarray  # (row, column), row 0 is the lowest
    facing: np.ndarray  # (row, column), 0 to 1
    extent: tuple[float, float, float, float]  # left, right, bottom, top in the units of the mesh


def render(coordinates: np.ndarray, faces: np.ndarray, *, side: int, pixel: float) -> View:
    """Look at a mesh along x.

    Parameters
    ----------
    coordinates : array of shape (n_vertices, 3)
        x to the right, y to the front, z up.
    faces : array of shape (n_faces, 3)
        Vertices of each triangle.
    side : {-1, 1}
        From the left (-1: the front is on the left) or from the right (1).
    pixel : float
        Size of a pixel in the units of the mesh.
    """
    flat = np.stack([side * coordinates[:, 1], coordinates[:, 2]], axis=1)  # (vertex, 2): to the right, up
    depth = side * coordinates[:, 0]  # larger is nearer
    low = flat.min(axis=0) - 2 * pixel
    shape = (np.ceil((flat.max(axis=0) + 2 * pixel - low) / pixel)).astype(int)[::-1]  # rows, columns
    corners = (flat - low) / pixel - 0.5  # in pixels, whole numbers at their centres
    faces = faces[np.argsort(depth[faces].mean(axis=1), kind="stable")]
    face, row, column, weight = _inside(corners[faces], shape)
    cosine = np.abs(_normals(coordinates, faces)[:, 0])
    vertex = np.full(shape, -1)
    vertex[row, column] = faces[face, weight.argmax(axis=1)]  # the last written, the nearest, stays
    facing = np.zeros(shape)
    facing[row, column] = (cosine[faces[face]] * weight).sum(axis=1)
    far = low + pixel * shape[::-1]
    return View(vertex, facing, (low[0], far[0], low[1], far[1]))


def _inside(corners: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (face, row, column, barycentric weights) of each pixel inside each triangle; ``corners`` (face, 3, 2)."""
    first = np.maximum(np.ceil(corners.min(axis=1)), 0).astype(int)  # (face, 2): column, row
    last = np.minimum(np.floor(corners.max(axis=1)), shape[::-1] - 1).astype(int)
    size = np.maximum(last - first + 1, 0)
    count = size.prod(axis=1)
    face = np.repeat(np.arange(len(corners)), count)
    within = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
    column = first[face, 0] + within % size[face, 0]
    row = first[face, 1] + within // size[face, 0]
    a, b, c = corners[face].transpose(1, 2, 0)  # each (2, n)
    area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
    area = np.where(np.abs(area) < 1e-9, np.nan, area)
    second = ((column - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (row - a[1])) / area
    third = ((b[0] - a[0]) * (row - a[1]) - (column - a[0]) * (b[1] - a[1])) / area
    weight = np.stack([1 - second - third, second, third], axis=1)
    here = (weight >= -1e-6).all(axis=1)  # NaN, a triangle seen from its edge, is not
    return face[here], row[here], column[here], weight[here]


def _normals(coordinates: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the unit normal of each vertex, shape (n_vertices, 3), weighted by the area of its triangles."""
    a, b, c = coordinates[faces].transpose(1, 0, 2)
    across = np.cross(b - a, c - a)
    total = np.stack(
        [sum(np.bincount(faces[:, i], across[:, k], len(coordinates)) for i in range(3)) for k in range(3)], axis=1
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.where(length > 0, length, 1.0)
