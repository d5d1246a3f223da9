"""Stimulus images: opened lazily in one size, and described by features that need no pretrained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files
from braindec.loaders._events import read_tsv
from braindec.loaders._image_maps import KINDS
from braindec.types import Features

__all__ = ["Images", "image_features", "load_images"]

_DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")


@dataclass(frozen=True, eq=False)
class Images:
    """Pictures in one size, read when they are asked for.

    Parameters
    ----------
    paths : tuple of Path
        One file an image.
    items : DataFrame
        stimulus_id, path and any other column of the table, one row an image.
    size : (int, int)
        Height and width in pixels.
    """

    paths: tuple[Path, ...]
    items: pd.DataFrame
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, height, width, 3)."""
        return (len(self.paths), *self.size, 3)

    @property
    def ids(self) -> np.ndarray:
        """The stimulus_id of each image."""
        return self.items["stimulus_id"].to_numpy(dtype=object)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Read images, uint8 (n, height, width, 3); one integer gives one image."""
        kept = np.arange(len(self))[rows]
        if np.ndim(kept) == 0:
            return _read(self.paths[int(kept)], self.size)
        return (
            np.stack([_read(self.paths[int(i)], self.size) for i in kept])
            if len(kept)
            else np.zeros((0, *self.size, 3), np.uint8)
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def of(self, stimulus_ids: Sequence[Any]) -> np.ndarray:
        """Read the images of stimuli in the order given, uint8 (n, height, width, 3)."""
        place = {str(s): i for i, s in enumerate(self.ids)}
        missing = [str(s) for s in stimulus_ids if str(s) not in place]
        if missing:
            raise BraindecError(
                f"there is no image {missing[0]!r}{did_you_mean(missing[0], place)}",
                found=f"{len(missing)} missing of {len(place)}",
            )
        return self[np.array([place[str(s)] for s in stimulus_ids], dtype=int)]

    def __repr__(self) -> str:
        return f"<Images {len(self)} of {self.size[0]} x {self.size[1]}>"


def load_images(source: str | Path, *, size: int | tuple[int, int] = 128, folder: str | Path | None = None) -> Images:
    """Find images; none is decoded yet.

    Parameters
    ----------
    source : str or Path
        A folder of images (ids are their paths inside it without the ending), or a table (.tsv, .csv) with
        ``stimulus_id`` and a column ``path``, ``stim_file`` or ``file`` of paths inside ``folder``.
    size : int or (int, int)
        Height and width; images are scaled (area average going down, bilinear going up) and cropped in the middle.
    folder : str or Path, optional
        Where the paths of a table start; its own folder by default.

    Raises
    ------
    BraindecError
        If there are no images, an id stands twice, or a path leaves the folder.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 8:
        raise BraindecError(f"images of {height} x {width} are too small", allowed="8 or more pixels a side")
    path = _files.existing(source)
    if path.is_dir():
        paths = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and not p.name.startswith("."))
        items = pd.DataFrame(
            {
                "stimulus_id": [p.relative_to(path).with_suffix("").as_posix() for p in paths],
                "path": [p.relative_to(path).as_posix() for p in paths],
            }
        )
    else:
        base = Path(folder) if folder is not None else path.parent
        items = read_tsv(path, separator="," if path.suffix.lower() == ".csv" else "\t")
        column = next((c for c in ("path", "stim_file", "file") if c in items), None)
        if "stimulus_id" not in items or column is None:
            raise BraindecError(
                f"{path} does not name images", found=f"columns {list(items.columns)}", allowed="stimulus_id and path"
            )
        for text in items[column]:
            _files.check_inside(str(text))
        paths = [base / str(text) for text in items[column]]
        missing = [p for p in paths if not p.is_file()]
        if missing:
            raise BraindecError(
                f"{len(missing)} of {len(paths)} images are not there",
                found=", ".join(map(str, missing[:3])),
                fix="give folder=",
            )
    if not paths:
        raise BraindecError(f"there are no images in {source}", allowed=", ".join(_SUFFIXES))
    ids = items["stimulus_id"]
    if ids.duplicated().any():
        raise BraindecError(
            f"{source}: a stimulus id stands twice",
            found=", ".join(ids[ids.duplicated()].unique()[:5]),
            fix="one file an id",
        )
    return Images(tuple(paths), items.reset_index(drop=True), (int(height), int(width)))


def image_features(
    images: Images | np.ndarray,
    kind: str = "gist",
    *,
    stimulus_ids: Sequence[Any] | None = None,
    grid: int = 4,
    standardise_on: Sequence[Any] | None = None,
    network: Callable[[np.ndarray], Any] | None = None,
    batch: int = 64,
) -> Features:
    """Describe images by numbers; nothing is fitted unless ``standardise_on`` is given.

    Parameters
    ----------
    images : Images or array of shape (n, height, width, 3)
        uint8, or floats of 0 to 1.
    kind : {"gist", "hog", "colour", "pixels", "all", "network"}
        "gist": oriented energy at 4 frequencies and 8 orientations on a grid; "hog": histograms of oriented
        gradients; "colour": mean and spread of opponent channels; "pixels": red, green and blue at 4 ``grid`` pixels a
        side (one channel for an array of grey pictures); "all": the first three side by side; "network": what ``network`` returns.
    stimulus_ids : sequence, optional
        Ids of the rows, for an array.
    grid : int
        Cells a side.
    standardise_on : sequence of ids, optional
        Ids of training images whose mean and spread each unit is scaled by.
    network : callable, optional
        Takes float32 images (n, height, width, 3) of 0 to 1 and returns numbers (n, ...): a torch module wrapped so,
        for instance.
    batch : int
        Images at once.

    Returns
    -------
    Features of shape (n, n_units)
        ``units`` names component and place of each; the same pixels give the same numbers.
    """
    kinds = (*KINDS, "all", "network")
    if kind not in kinds:
        raise BraindecError(
            f"there is no kind of image features {kind!r}{did_you_mean(kind, kinds)}", allowed=", ".join(kinds)
        )
    if (kind == "network") != (network is not None):
        raise BraindecError(
            "kind 'network' and network go together", fix="image_features(images, 'network', network=f)"
        )
    n = len(images)
    if not n:
        raise BraindecError("there are no images to describe")
    ids = stimulus_ids if stimulus_ids is not None else images.ids if isinstance(images, Images) else np.arange(n)
    if len(ids) != n:
        raise BraindecError("images and stimulus_ids differ in number", found=f"{n} and {len(ids)}")
    parts: list[np.ndarray] = []
    names: list[str] = []
    grey = kind == "pixels" and isinstance(images, np.ndarray) and bool((images == images[..., :1]).all())
    for start in tqdm(range(0, n, batch), desc="describing images", disable=None, leave=False):
        pictures = _float(np.asarray(images[start : start + batch]))
        if kind == "network":
            values = np.asarray(_numpy(network(pictures)), dtype=np.float32).reshape(len(pictures), -1)  # type: ignore[misc]
            names = [f"network-{i}" for i in range(values.shape[1])]
        else:
            pictures = pictures[..., :1] if grey else pictures  # three equal channels would say the same thing thrice
            made = [KINDS[k](pictures, grid) for k in (("gist", "hog", "colour") if kind == "all" else (kind,))]
            values = np.concatenate([m[0] for m in made], axis=1)
            names = [name for m in made for name in m[1]]
        parts.append(values.astype(np.float32))
    values = np.concatenate(parts)
    info: dict[str, Any] = {
        "made_by": "braindec.loaders.images.image_features",
        "kind": kind,
        "grid": grid,
        "n_images": n,
    }
    found = Features.from_array(values, ids)
    if standardise_on is not None:
        rows = found.rows_of(standardise_on)
        mean, spread = values[rows].mean(axis=0, dtype=np.float64), values[rows].std(axis=0, dtype=np.float64)
        values = ((values - mean) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
        info["standardised_on"] = len(rows)
    items = images.items if isinstance(images, Images) and stimulus_ids is None else found.items
    units = pd.DataFrame({"name": names, "component": [name.split("-")[0] for name in names]})
    return Features(values, items, units, info)  # type: ignore[arg-type]


def _float(pictures: np.ndarray) -> np.ndarray:
    if pictures.ndim != 4 or pictures.shape[3] != 3:
        raise BraindecError("images must be (n, height, width, 3)", found=f"shape {pictures.shape}")
    if pictures.dtype == np.uint8:
        return pictures.astype(np.float32) / 255
    pictures = pictures.astype(np.float32)
    if not np.isfinite(pictures).all() or pictures.min() < 0 or pictures.max() > 1:
        raise BraindecError(
            "images of floats must be between 0 and 1", found=f"{pictures.min():.3g} to {pictures.max():.3g}"
        )
    return pictures


def _numpy(values: Any) -> Any:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


def _read(path: Path, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode in _DEEP:  # their conversion to 8 bits cuts off all that is brighter
                raise UnreadableError(f"{path} holds more than 8 bits a channel", found=f"mode {image.mode}",
                                      allowed="8 bits, grey or colour", fix="save it with 8 bits")  # fmt: skip
            image = ImageOps.exif_transpose(image)  # first: what is mixed with white forgets how it was turned
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                clear = image.convert("RGBA")
                white = Image.new("RGBA", clear.size, (255, 255, 255, 255))
                image = Image.alpha_composite(white, clear)
            picture = image.convert("RGB")
            shrinking = min(picture.size[0] / size[1], picture.size[1] / size[0]) > 1
            method = Image.Resampling.BOX if shrinking else Image.Resampling.BILINEAR
            return np.asarray(ImageOps.fit(picture, (size[1], size[0]), method=method), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError(
            f"{path} cannot be read as an image",
            found=f"{type(error).__name__}: {str(error)[:150]}",
            fix="the file is damaged or no image",
        ) from error
