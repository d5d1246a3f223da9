"""The stimuli of a data set as :class:`Pictures`: from a source of recordings, a folder of images, or a table that names them.

Nothing is scaled, cropped or turned grey unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _files, _twin_pictures
from braindec.loaders._picture_values import Lazy, agree, check_mode, fitted, from_hdf5, headers, of_mode, pair
from braindec.loaders.images import Images, load_images
from braindec.loaders.source import Source
from braindec.types import Pictures, Windows

__all__ = ["load_pictures"]

_TABLES = ("stimuli.tsv", "stimuli.csv")
_NSD = ("nsddata_stimuli", "stimuli", "nsd", "nsd_stimuli.hdf5")


def load_pictures(
    source: Source | str | Path, *, size: int | tuple[int, int] | None = None, mode: str | None = None,
    folder: str | Path | None = None, stimulus_ids: Sequence[Any] | None = None,
) -> Pictures:  # fmt: skip
    """Open the pictures of a source, a folder or a table; files are decoded when they are asked for.

    Parameters
    ----------
    source : Source, str or Path
        * A source of recordings: the pictures that its reader gives (digits69), NSD's own file of stimuli, the folder
          ``stimuli`` of a BIDS data set (with its ``stimuli.tsv``), pictures drawn from the latents of a twin; or those of
          ``folder``, matched with the stimuli of its trials.
        * A folder of images: ``stimulus_id`` is the path inside it without the ending.
        * A table (.tsv, .csv) with ``stimulus_id`` and ``path``, and any other column (``concept_id``, ``caption``).
        * An .npz with ``values`` (Pictures' shape), ``stimulus_id`` and any other array of that length; of films also
          ``frame_rate``.
    size : int or (int, int), optional
        Height and width; pictures are scaled (by area going down) and cropped in the middle. Without it all must have one
        size.
    mode : {"colour", "grey"}, optional
        As the files are by default; then all must be alike.
    folder : str or Path, optional
        With a source: where its images are; with a table: where its paths start.
    stimulus_ids : sequence, optional
        The pictures wanted, in this order. An id is the path without the ending, or the name of the file alone where no two
        files have it.

    Returns
    -------
    Pictures of shape (n, height, width, channel)

    Raises
    ------
    BraindecError
        If pictures differ in size or mode, some stimuli have none (they are named), or there are none.
    UnreadableError
        If a file is no image.
    """
    check_mode(mode)
    wanted = pair(size)
    if isinstance(source, Source):
        return _of_source(source, wanted, mode, folder, stimulus_ids)
    path = _files.existing(source)
    if path.suffix.lower() == ".npz":
        return _of_npz(path, wanted, mode, stimulus_ids)
    if path.is_dir():
        table = _table_of(path)
        path, folder = (table, _base(table)) if table is not None else (path, folder)
    return _of_files(path, wanted, mode, folder, stimulus_ids)


def _of_source(
    source: Source,
    size: tuple[int, int] | None,
    mode: str | None,
    folder: str | Path | None,
    stimulus_ids: Sequence[Any] | None,
) -> Pictures:
    info = {"dataset": source.name}
    root = Path(source.root)
    if folder is not None:
        trials = stimuli_of(source)
        ids = stimulus_ids if stimulus_ids is not None else trials["stimulus_id"].tolist()
        found = load_pictures(folder, size=size, mode=mode, stimulus_ids=ids)
        new = [c for c in trials if c == "stimulus_id" or c not in found.items]
        return Pictures(found.values, found.items.merge(trials[new], how="left", on="stimulus_id"), info=info)
    if hasattr(source._module, "pictures"):
        names, values = source.pictures()
        items = pd.DataFrame({"stimulus_id": list(names)}).merge(stimuli_of(source), how="left", on="stimulus_id")
        grey = values.shape[-1] == 3 and bool((values == values[..., :1]).all())
        return _of_array(values[..., :1] if grey else values, items, size, mode, stimulus_ids, info)
    if source.reader == "nsd" and root.joinpath(*_NSD).is_file():
        items = (
            stimuli_of(source) if stimulus_ids is None else pd.DataFrame({"stimulus_id": list(map(str, stimulus_ids))})
        )
        strange = [s for s in items["stimulus_id"] if not s.isdigit()]
        if strange:
            raise BraindecError(f"NSD has no picture {strange[0]!r}", allowed="numbers from 1 to 73000")
        rows = items["stimulus_id"].astype(int).to_numpy() - 1  # ids count from 1
        return Pictures(from_hdf5(root.joinpath(*_NSD), "imgBrick", rows, size=size, mode=mode), items, info=info)
    if _twin_pictures.has_pictures(root):
        items, values = _twin_pictures.draw(root, size)
        return _of_array(values, items, size, mode, stimulus_ids, {**info, "drawn_from": "the latents of the twin"})
    if (root / "stimuli").is_dir():
        return load_pictures(root / "stimuli", size=size, mode=mode, stimulus_ids=stimulus_ids)
    raise BraindecError(
        f"{source.name}: there are no pictures among the data", found=f"the reader {source.reader} gives none; no folder {root / 'stimuli'}",
        fix="name their folder: load_pictures(source, folder=...); file names without the ending are the stimulus ids",
    )  # fmt: skip


def stimuli_of(source: Source) -> pd.DataFrame:
    """Return the stimuli of all trials of a source: ``stimulus_id``, and ``concept_id`` where there is one.

    Raises
    ------
    BraindecError
        If trials name no stimuli.
    """
    tables = []
    for subject in source.subjects():
        loaded = source.load(subject)
        many = (
            [loaded.trials]
            if isinstance(loaded, Windows)
            else [r.events for r in (loaded if isinstance(loaded, list) else [loaded])]
        )
        tables += [t[[c for c in ("stimulus_id", "concept_id") if c in t]] for t in many if "stimulus_id" in t]
    if not tables:
        raise BraindecError(f"{source.name}: the trials name no stimuli", fix="give them a column stimulus_id")
    table = pd.concat(tables, ignore_index=True)
    table = table[table["stimulus_id"].notna() & (table["stimulus_id"].astype(str) != "n/a")]
    return table.astype(str).drop_duplicates("stimulus_id", ignore_index=True)


def _of_array(
    values: np.ndarray,
    items: pd.DataFrame,
    size: tuple[int, int] | None,
    mode: str | None,
    stimulus_ids: Sequence[Any] | None,
    info: dict,
) -> Pictures:
    values = np.asarray(values)
    if size is not None:
        values = fitted(values, size)
    if mode is not None:
        values = of_mode(values, mode)
    found = Pictures(values, items, info=info)
    return found if stimulus_ids is None else found[found.rows_of(stimulus_ids)]


def _of_npz(path: Path, size: tuple[int, int] | None, mode: str | None, stimulus_ids: Sequence[Any] | None) -> Pictures:
    from braindec.loaders import _arrays

    shapes = _arrays.variables(path)
    if "values" not in shapes or "stimulus_id" not in shapes:
        raise BraindecError(f"{path} holds no pictures", found=", ".join(shapes), allowed="values and stimulus_id")
    read = {n: np.asarray(_arrays.read(f"{path.name}:{n}", path.parent)) for n in shapes}
    values, rate = read.pop("values"), read.pop("frame_rate", None)
    items = pd.DataFrame({n: v for n, v in read.items() if v.shape == (len(values),)})
    if rate is not None and (rate.size != 1 or rate.dtype.kind not in "iuf"):
        raise BraindecError(f"{path}: frame_rate must be one number", found=f"{rate.dtype} of shape {rate.shape}")
    found = Pictures(values, items, None if rate is None else float(rate.item()), {"path": str(path)})
    found = found if stimulus_ids is None else found[found.rows_of(stimulus_ids)]
    if size is None and mode is None:
        return found
    values = found.values if found.values.dtype == np.uint8 else np.round(255 * found.load()).astype(np.uint8)
    values = values if size is None else fitted(values, size)
    return Pictures(values if mode is None else of_mode(values, mode), found.items, found.frame_rate, found.info)


def _of_files(
    path: Path,
    size: tuple[int, int] | None,
    mode: str | None,
    folder: str | Path | None,
    stimulus_ids: Sequence[Any] | None,
) -> Pictures:
    images = load_images(path, size=8, folder=folder)  # finds the files; nothing is decoded, the size is set below
    rows = np.arange(len(images)) if stimulus_ids is None else match(images.ids.tolist(), stimulus_ids, where=str(path))
    paths, items = [images.paths[i] for i in rows], images.items.iloc[rows].reset_index(drop=True)
    if stimulus_ids is not None:
        items["stimulus_id"] = [str(s) for s in stimulus_ids]
    size, mode = agree(headers(paths), [p.name for p in paths], size=size, mode=mode, what="images")
    sized = Images(tuple(paths), items, size)
    values = Lazy((len(paths), *size, 3 if mode == "colour" else 1), partial(_read_images, sized, mode))
    return Pictures(values, items, info={"path": str(path)})


def _read_images(images: Images, mode: str, rows: np.ndarray) -> np.ndarray:
    return of_mode(images[rows], mode)


def match(ids: Sequence[str], wanted: Sequence[Any], *, where: str) -> np.ndarray:
    """Return the row of each wanted stimulus among the ids of files: the whole id, or its last part where only one has it.

    Raises
    ------
    BraindecError
        If some have no file; they are named.
    """
    whole = {str(s): i for i, s in enumerate(ids)}
    last: dict[str, list[int]] = {}
    for i, name in enumerate(ids):
        last.setdefault(str(name).rsplit("/", 1)[-1], []).append(i)
    rows: list[int] = []
    missing: list[str] = []
    for asked in map(str, wanted):
        stem = (
            asked.rsplit(".", 1)[0]
            if asked.lower().endswith((".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"))
            else asked
        )
        alone = [last[name][0] for name in (asked, stem) if len(last.get(name, ())) == 1]
        row = whole.get(asked, whole.get(stem, alone[0] if alone else None))
        if row is None:
            missing.append(asked)
        else:
            rows.append(row)
    if missing:
        missing = list(dict.fromkeys(missing))
        raise BraindecError(
            f"{len(missing)} of {len(set(map(str, wanted)))} stimuli have no picture in {where}",
            found="no " + ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "") + did_you_mean(str(missing[0]), whole),
            fix="give a picture for every stimulus (the name of the file without the ending is its id), or a table with "
            "stimulus_id and path",
        )  # fmt: skip
    return np.array(rows, dtype=int)


def _table_of(folder: Path) -> Path | None:
    return next((folder / name for name in _TABLES if (folder / name).is_file()), None)


def _base(table: Path) -> Path:
    """Where the paths of a table of stimuli start: its own folder, or the one above (BIDS: ``stimuli/cat/cat_01.png``)."""
    from braindec.loaders._events import read_tsv

    items = read_tsv(table, separator="," if table.suffix.lower() == ".csv" else "\t")
    column = next((c for c in ("path", "stim_file", "file") if c in items), None)
    first = None if column is None or not len(items) else str(items[column].iloc[0])
    above = first is not None and not (table.parent / first).is_file() and (table.parent.parent / first).is_file()
    return table.parent.parent if above else table.parent
