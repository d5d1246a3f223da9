"""Results back as images of the brain: NIfTI, GIFTI or CIFTI, named as BIDS derivatives; and such images read again.

>>> write_maps(recording, {"r": encoding.r}, "derivatives/braindec", entities={"desc": "banded"})    # doctest: +SKIP
[.../sub-01/func/sub-01_task-movie_space-fsLR_den-91k_stat-r_desc-banded_statmap.dscalar.nii]

NaN stays NaN (a voxel without a score has none), and what was no channel is NaN as well, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.files import write_text
from braindec.loaders import _brain_map_images as images
from braindec.loaders import _brain_map_names as naming
from braindec.loaders._brain_map_read import read_channels
from braindec.loaders._cifti_labels import CiftiLabels, read_labels
from braindec.loaders._cifti_write import save_image
from braindec.loaders._fmri_signal import open_image
from braindec.loaders.surfaces import read_surface_labels

__all__ = ["BrainMap", "read_map", "write_maps"]

KINDS = ("auto", "nifti", "gifti", "cifti", "table")
_OF_TYPE = {"voxel": "nifti", "vertex": "gifti", "grayordinate": "cifti"}


@dataclass(frozen=True, eq=False)
class BrainMap:
    """Maps on the brain.

    Parameters
    ----------
    maps : dict of str to array of shape (n_channels,)
        Values by name.
    channels : DataFrame
        What each value belongs to, as in a Recording (voxel, vertex or grayordinate).
    info : dict
        grid, affine, n_vertices, space, path.
    """

    maps: dict[str, np.ndarray]
    channels: pd.DataFrame
    info: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{n} {k}" for k, n in self.channels["type"].value_counts().items())
        names = ", ".join(list(self.maps)[:6]) + (", ..." if len(self.maps) > 6 else "")
        return f"<BrainMap {Path(str(self.info.get('path'))).name}: {kinds}; {len(self.maps)} maps: {names}>"


def write_maps(
    source: Any,
    maps: Mapping[str, Any],
    folder: str | Path,
    *,
    entities: Mapping[str, Any] | None = None,
    kind: str = "auto",
    suffix: str = "statmap",
    one_file: bool = False,
    like: Any = None,
    labels: Any = None,
    description: str | None = None,
) -> list[Path]:
    """Write maps of one value a channel.

    Parameters
    ----------
    source : Recording, Windows, BrainMap, or (channels, info)
        What the channels are; a channel table and info as the readers give them.
    maps : dict of str to array of shape (n_channels,)
        Values by name; NaN is kept.
    folder : str or Path
        A folder of derivatives; files go to ``sub-01/[ses-1/]func`` in it when the subject is known, and
        ``dataset_description.json`` beside these.
    entities : dict, optional
        Entities of the names, short or long ("desc", "session", ...). Subject, task, space and density come from ``info``;
        None leaves one out. ``stat`` is the name of the map.
    kind : {"auto", "nifti", "gifti", "cifti", "table"}
        "auto": voxels become NIfTI, vertices GIFTI (one file a hemisphere), grayordinates a dscalar, parcels the image that
        their labels are (or a pscalar of the file of parcels they came from). A table (.tsv) is written where labels, volume
        or surface are not known.
    suffix : str
        Last part of the names.
    one_file : bool
        All maps in one file (4-D NIfTI, several arrays or named maps) instead of one file a map.
    like : path, Cifti2Image or brain model, optional
        The brain model of a dscalar; that of the recording's file (while it is there) by default.
    labels : path, image, CiftiLabels, or list of paths, optional
        Labels to paint parcels with; those that ``info`` names (atlas, parcels, labels) by default.
    description : str, optional
        A sentence for the sidecars.

    Returns
    -------
    list of Path
        The images or tables, in order of the maps (left before right).

    Raises
    ------
    BraindecError
        If lengths differ, two maps would have one name, or the channels do not say where they lie.
    """
    channels, info = _source(source)
    values = _values(maps, len(channels))
    folder, names = Path(folder), list(maps)
    kind, paint = _kind(kind, channels, info, labels)
    common = naming.entities_for(info, entities, n_channels=len(channels))
    groups = [(names, values)] if one_file else [([n], v[None]) for n, v in zip(names, values, strict=True)]
    stats = [{} if one_file or "stat" in common else {"stat": naming.plain_label(n)} for (n, *_), _ in groups]
    if len({tuple(s.items()) for s in stats}) < len(stats) or any(v == "" for s in stats for v in s.values()):
        raise BraindecError(
            "two maps would get one name", found=f"{names} with entities {common}", fix="other names, or one_file=True"
        )
    full = images.model_of(like, info) if kind == "cifti" else None
    written: list[Path] = []
    for (some, block), stat in zip(groups, stats, strict=True):
        about = {"Description": description, "Maps": some, "SpatialReference": info.get("space"),
                 "MissingValues": "NaN: no value", "Sources": [str(info["path"])] if info.get("path") else []}  # fmt: skip
        made = _images(
            kind, paint, some, block, channels, info, full=full, strict=like is not None, space=common.get("space")
        )
        for ending, side, image in made:
            parts = {**common, **stat, **({"hemi": side} if side else {})}
            path = naming.map_path(folder, parts, naming.plain_label(suffix), ending)
            _save(image, path)
            naming.write_sidecar(path, ending, about)
            written.append(path)
    naming.write_description(folder, f"braindec maps of {info.get('dataset') or 'a recording'}")
    return written


def read_map(path: str | Path, *, like: Any = None) -> BrainMap:
    """Read an image of maps (NIfTI, GIFTI, dscalar, pscalar, dlabel); the other hemisphere of a GIFTI is found beside it.

    Parameters
    ----------
    path : str or Path
        The image.
    like : Recording, Windows, BrainMap, or (channels, info), optional
        Return the values of these channels, in their order. Otherwise all vertices and grayordinates, and the voxels that
        have a value in one map or more.

    Raises
    ------
    UnreadableError
        If it is damaged or no image of maps.
    BraindecError
        If it lies on another grid, surface or brain model than ``like``, or lacks one of its channels.
    """
    maps, channels, info = read_channels(Path(path), None if like is None else _source(like))
    return BrainMap(maps, channels, info)


def _source(source: Any) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    if hasattr(source, "recordings"):
        source = source.recordings[0]
    if isinstance(source, tuple) and len(source) == 2:
        return source[0].reset_index(drop=True), dict(source[1])
    if not (hasattr(source, "channels") and hasattr(source, "info")):
        raise BraindecError(
            "what are the channels?", found=type(source).__name__, allowed="a Recording, or (channels, info)"
        )
    return source.channels.reset_index(drop=True), dict(source.info)


def _values(maps: Mapping[str, Any], n: int) -> np.ndarray:
    if not isinstance(maps, Mapping) or not maps:
        raise BraindecError("there is no map to write", found=type(maps).__name__, fix="maps={'r': values}")
    plain = {k: np.asarray(v) for k, v in maps.items()}
    odd = {k: str(v.dtype) for k, v in plain.items() if v.dtype.kind not in "iufb"}
    if odd:
        raise BraindecError("a map holds one real number a channel", found=f"dtypes {odd}")
    found = {k: v.astype(np.float32) for k, v in plain.items()}
    wrong = {k: v.shape for k, v in found.items() if v.shape != (n,)}
    if wrong:
        raise BraindecError("a map has one value a channel", found=f"shapes {wrong}", allowed=f"({n},)")
    return np.stack(list(found.values()))


def _kind(kind: str, channels: pd.DataFrame, info: Mapping[str, Any], labels: Any) -> tuple[str, Any]:
    """The kind of image, and the labels to paint parcels with (None for single places)."""
    if kind not in KINDS:
        raise BraindecError(f"kind {kind!r} is unknown{did_you_mean(kind, KINDS)}", allowed=", ".join(KINDS))
    types = set(channels["type"])
    if kind == "table":
        return "table", None
    if types != {"parcel"}:
        found = {_OF_TYPE.get(str(t)) for t in types}
        if len(found) != 1 or None in found:
            raise BraindecError("these channels are not of one kind of place", found=f"types {sorted(types)}")
        return (_placed(str(found.pop()), info) if kind == "auto" else kind), None
    known = (
        labels if labels is not None else next((info[k] for k in ("parcels", "labels", "atlas") if info.get(k)), None)
    )
    if known is None:
        of_parcels = str(info.get("path", "")).endswith(".ptseries.nii") and Path(str(info["path"])).is_file()
        if kind not in ("auto", "cifti") or (kind == "cifti" and not of_parcels):
            raise BraindecError("parcels need the labels they are made of", fix="labels=path, or kind='table'")
        return ("cifti", None) if of_parcels else ("table", None)
    if "label" not in channels and not isinstance(known, CiftiLabels) and _image_of(known) == "nifti":
        return "table", None
    return (_image_of(known) if kind == "auto" else kind), _labels(known)


def _placed(kind: str, info: Mapping[str, Any]) -> str:
    """The kind of image, or a table when the channels do not say the volume or surface that they are of."""
    volume = info.get("grid") is not None and info.get("affine") is not None
    known = volume if kind == "nifti" else volume or bool(info.get("n_vertices"))
    return kind if known else "table"


def _image_of(labels: Any) -> str:
    if isinstance(labels, CiftiLabels):
        return "cifti" if any(not b.surface or b.count < b.n_vertices for b in labels.model.blocks) else "gifti"
    name = str(labels[0] if isinstance(labels, (list, tuple)) else labels)
    return "cifti" if ".dlabel." in name else "gifti" if ".gii" in name else "nifti"


def _labels(known: Any) -> Any:
    if isinstance(known, (list, tuple)) or ".gii" in str(known):
        return read_surface_labels(known)
    if isinstance(known, (str, Path)):
        return read_labels(known) if ".dlabel." in str(known) else open_image(known)
    return known


def _images(
    kind: str, paint: Any, names: Sequence[str], values: np.ndarray, channels: pd.DataFrame, info: Mapping[str, Any],
    *, full: Any, strict: bool, space: str | None,
) -> list[tuple[str, str | None, Any]]:  # fmt: skip
    """(ending, hemisphere, image) of a group of maps."""
    if kind == "table":
        keep = [c for c in ("name", "region", "structure", "label", "x", "y", "z") if c in channels]
        table = channels[keep].assign(**dict(zip(names, values, strict=True)))
        return [(".tsv", None, table)]
    if kind == "nifti":
        if paint is not None:
            return [(".nii.gz", None, images.painted_volume(values, channels, paint, space))]
        return [(".nii.gz", None, images.volume_image(values, channels, info, space))]
    if kind == "cifti":
        if paint is not None:
            return [(".dscalar.nii", None, images.painted_cifti(values, names, channels, paint, full))]
        image = images.cifti_image(values, names, channels, info, full, strict=strict)
        return [(".pscalar.nii" if set(channels["type"]) == {"parcel"} else ".dscalar.nii", None, image)]
    if paint is not None:
        made = images.painted_hemispheres(values, names, channels, paint)
    else:
        made = images.hemispheres(values, names, channels, info)
    return [(".func.gii", side, image) for side, image in made.items()]


def _save(image: Any, path: Path) -> None:
    if isinstance(image, pd.DataFrame):
        write_text(path, image.to_csv(sep="\t", index=False, na_rep="n/a"))
    elif path.name.endswith(".gii"):
        images.save_gifti(image, path)
    elif path.name.endswith(".nii.gz"):
        images.save_nifti(image, path)
    else:
        save_image(image, path)
