"""Which picture shows one number a channel: glass brain, surface or slices, as the places of the channels allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braindec.align.responses import Responses
from braindec.errors import BraindecError, UnreadableError

__all__ = ["Brain"]

_CORTEX = {"left": "CIFTI_STRUCTURE_CORTEX_LEFT", "right": "CIFTI_STRUCTURE_CORTEX_RIGHT"}
_MNI = ("MNI", "ICBM", "TALAIRACH", "FSLR")  # the voxels of fsLR grayordinates lie in MNI152NLin6Asym
_FSAVERAGE5 = 10242  # the first vertices of the finer fsaverage meshes are those of fsaverage5


class Brain:
    """Pictures of the channels of some responses.

    Parameters
    ----------
    responses : Responses
        Their channels and space.
    arrays : dict
        Of the result; arrays that pictures need are added.
    mesh : mapping
        "left" and "right": GIFTI surfaces that vertices are drawn on.
    """

    def __init__(self, responses: Responses, arrays: dict[str, np.ndarray], mesh: Mapping[str, str]) -> None:
        self.channels, self.info, self.arrays = responses.channels, responses.info, arrays
        self.space = str(self.info.get("space") or "")
        self.positions = self.channels[["x", "y", "z"]].to_numpy(dtype=float)
        self.vertex = (
            self.channels["vertex"].to_numpy(dtype=int)
            if "vertex" in self.channels
            else np.full(len(self.channels), -1)
        )
        self.mesh = {side: _surface(path) for side, path in mesh.items()}
        self._slices = ""  # the first map: slices of all maps are chosen by it

    def map(
        self, name: str, values: np.ndarray, title: str, label: str, caption: str, *, top: float | None = None
    ) -> list[dict[str, Any]]:
        """Return the panels that show ``values``, colours ending at ``top``; none where nothing is finite or channels have no place."""
        panel = {"title": title, "caption": caption}
        if not np.isfinite(values).any():
            return []
        self.arrays[f"map/{name}"] = np.asarray(values, dtype=np.float32)
        found = [self._surface_panel(name, values, label, panel), self._volume_panel(name, values, label, panel)]
        kept = [p for p in found if p is not None]
        for one in kept:
            one["args"] |= {"top": top} if top else {}
        return kept

    def _surface_panel(self, name: str, values: np.ndarray, label: str, panel: dict[str, Any]) -> dict[str, Any] | None:
        structure = self.channels["structure"].to_numpy() if "structure" in self.channels else np.full(len(values), "")
        sizes = self.info.get("n_vertices") or {}
        args: dict[str, Any] = {"label": label}
        for side, cortex in _CORTEX.items():
            inside = (structure == cortex) & (self.vertex >= 0)
            if not inside.any():
                continue
            whole = np.full(int(sizes[cortex]), np.nan, dtype=np.float32)
            whole[self.vertex[inside]] = values[inside]
            if side in self.mesh:
                if len(self.mesh[side][0]) != len(whole):
                    raise BraindecError(
                        f"the {side} surface does not fit the data",
                        found=f"{len(self.mesh[side][0])} vertices for {len(whole)}",
                    )
                self.arrays[f"mesh/{side}/places"], self.arrays[f"mesh/{side}/faces"] = self.mesh[side]
                args.setdefault("mesh", {})[side] = [f"@mesh/{side}/places", f"@mesh/{side}/faces"]
            elif self.space.startswith("fsaverage"):
                whole = whole[:_FSAVERAGE5]
            else:
                return None
            self.arrays[f"map/{name}-{side}"] = whole
            args[side] = f"@map/{name}-{side}"
        return {**panel, "draw": "surface_map", "args": args} if len(args) > 1 else None

    def _volume_panel(self, name: str, values: np.ndarray, label: str, panel: dict[str, Any]) -> dict[str, Any] | None:
        inside = self.vertex < 0
        placed = inside & np.isfinite(self.positions).all(axis=1)
        if placed.any() and np.isfinite(values[placed]).any():
            draw = "glass_brain" if self.space.upper().startswith(_MNI) else "voxel_map"
            extra = "" if inside.all() else " Voxels below the cortex."
            if extra and not self.mesh and not self.space.startswith("fsaverage"):
                extra = " Voxels below the cortex only: name surfaces (left, right: GIFTI) to draw the cortex."
            args = {"values": self._kept(name, values, placed), "positions": self._places(placed), "label": label}
            if draw == "glass_brain":
                extra += " Seen through: the largest value along each line of sight."
            title = panel["title"] if inside.all() else f"{panel['title']}, below the cortex"
            caption = panel["caption"] + extra
            return {
                "title": title,
                "caption": caption,
                "draw": draw,
                "args": args | self._same_slices(draw, args["values"]),
            }
        if {"i", "j", "k"} <= set(self.channels) and inside.all():
            self.arrays["map/indices"] = self.channels[["i", "j", "k"]].to_numpy(dtype=float) * 1e-3
            args = {"values": f"@map/{name}", "positions": "@map/indices", "axes": "indices", "label": label}
            extra = " Places are voxel indices: the file says no sizes and directions."
            return {
                **panel,
                "draw": "voxel_map",
                "caption": panel["caption"] + extra,
                "args": args | self._same_slices("voxel_map", args["values"]),
            }
        return None

    def _same_slices(self, draw: str, values: str) -> dict[str, str]:
        self._slices = self._slices or values
        return {"strongest": self._slices} if draw == "voxel_map" else {}

    def _kept(self, name: str, values: np.ndarray, rows: np.ndarray) -> str:
        if rows.all():
            return f"@map/{name}"
        self.arrays[f"map/{name}-placed"] = np.asarray(values[rows], dtype=np.float32)
        return f"@map/{name}-placed"

    def _places(self, rows: np.ndarray) -> str:
        self.arrays["map/positions"] = self.positions[rows]
        return "@map/positions"


def _surface(path: str) -> tuple[np.ndarray, np.ndarray]:
    import nibabel

    try:
        image: Any = nibabel.load(path)
        return np.asarray(image.darrays[0].data, dtype=float), np.asarray(image.darrays[1].data, dtype=int)
    except Exception as error:
        raise UnreadableError(
            f"{path} is not a GIFTI surface", found=f"{type(error).__name__}: {error}", allowed=".surf.gii"
        ) from error
