"""Reader ``lebel``: preprocessed responses of LeBel et al. (ds003020), one HDF5 file a story -> one Recording a story.

Layout, as established from the file tree, the sidecars and ``respdict.json`` of OpenNeuro ds003020 and from the authors'
code (HuthLab/deep-fMRI-dataset: ``encoding_utils``, ``feature_spaces``, ``stimulus_utils``):

* ``derivative/preprocessed_data/<UTS01>/<story>.hf5``: dataset ``data`` (volume, voxel), z-scored a story.
  ``wheretheressmoke.hf5`` also holds ``individual_repeats`` (repeat, volume, voxel; ten of 291 volumes for UTS03), which
  ``data`` then sums up.
* The repetition time is 2 s (``_bold.json``; 2.0045 s, the default of an older class in that code, belongs to other data).
  The sound starts 10 s after the first volume. The files lack the first 10 volumes and the last 10 (respdict says how many
  there were: 311 for ``wheretheressmoke``, whose file has 291), so row 0 is 20 s after the first volume and
  10 s into the story: the event of the story has the onset -10 s.
* ``derivative/TextGrids/<story>.TextGrid``: words and phones in s from the start of the sound.
* ``derivative/pycortex-db/<UTS01>/transforms/<UTS01>_auto/mask_thick.nii.gz``: the voxels of the columns, in the order of
  pycortex (x runs fastest). Without it voxels have no place.

Differs from the authors' code in: repeats are kept apart (for noise ceilings), and rows are placed in time by the onset of
an event instead of by cutting the features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _fmri_tables, _options
from braindec.loaders._fmri_signal import open_image
from braindec.loaders._series_signal import SeriesSignal, series_shapes
from braindec.loaders._textgrid import read_textgrid, textgrid_seconds
from braindec.types import Recording

__all__ = ["load", "files", "subjects"]

_FOLDERS = ("derivative/preprocessed_data", "derivatives/preprocessed_data", "preprocessed_data", ".")
_REPEATS = "individual_repeats"


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    story: str | Sequence[str] | None = None,
    tr: float = 2.0,
    sound_start: float = 10.0,
    cut_start: int = 10,
    cut_end: int = 10,
    repeats: str = "each",
    words: bool = False,
) -> list[Recording]:
    """Open stories; only shapes and tables are read.

    Parameters
    ----------
    root : str or Path
        The folder of ds003020, or any folder below it that holds ``preprocessed_data`` or the folders of the subjects.
    subject, story : str or list of str, optional
        "UTS01", ...; names of stories.
    tr : float
        Repetition time in s.
    sound_start : float
        s from the first volume of the scan to the start of the sound.
    cut_start, cut_end : int
        Volumes of the scan that the files lack at the start and at the end.
    repeats : {"each", "mean"}
        A story that was repeated: one recording a repeat, or one of the dataset ``data``, their mean.
    words : bool
        Add an event of trial_type "word" (with a column ``word``) for each word of the TextGrid.

    Returns
    -------
    list of Recording
        ``sfreq`` = 1 / tr; channels of type "voxel"; the event of the story has its name as ``stimulus_id``.

    Raises
    ------
    UnreadableError
        If a file is damaged, or its content was not fetched.
    BraindecError
        If a subject or a story is not there, or the stories of a subject differ in voxels.
    """
    given = {k: v for k, v in locals().items() if k != "root"}
    _check(given)
    folder, top = _home(root)
    recordings: list[Recording] = []
    for who in _subjects(folder, subject):
        paths = _stories(folder, who, story)
        shapes = {name: _shapes(path) for name, path in paths.items()}
        n_voxels = _same_voxels(who, shapes)
        place, where = _voxels(top, who, n_voxels)
        for name in tqdm(paths, desc=f"opening {who}", disable=None, leave=False):
            for repetition in _repetitions(shapes[name], repeats):
                recordings.append(_open(who, name, paths[name], repetition, place, where, top, given))
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that have a file."""
    values = _options.bind(load, options)
    return _subjects(_home(root)[0], values["subject"])


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the responses, TextGrids, lengths and masks that :func:`load` reads."""
    values = _options.bind(load, {**options, "subject": subject})
    folder, top = _home(root)
    found: list[Path] = []
    for who in _subjects(folder, subject):
        paths = _stories(folder, who, values["story"])
        found += [*paths.values(), *(_grid(top, name) for name in paths), *_masks(top, who)]
    return [p for p in dict.fromkeys([*found, top / "respdict.json"]) if p.is_file()]


def _open(
    who: str, story: str, path: Path, repetition: int | None, place: pd.DataFrame, where: Mapping[str, Any], top: Path,
    options: Mapping[str, Any],
) -> Recording:  # fmt: skip
    said = list(where.get("warnings", []))
    signal = SeriesSignal(path, "data" if repetition is None else _REPEATS, repetition=repetition)
    tr, n = float(options["tr"]), signal.shape[1]
    onset = float(options["sound_start"]) - int(options["cut_start"]) * tr
    grid = _grid(top, story)
    length = textgrid_seconds(grid) if grid.is_file() else n * tr - onset
    if not grid.is_file():
        said.append(f"{story} has no TextGrid: the story is taken to last until the end of the run")
    _check_length(top, story, n, options, said)
    row = {"onset": onset, "duration": length, "trial_type": "story", "stimulus_id": story}
    events = pd.DataFrame([row | ({} if repetition is None else {"repetition": repetition + 1})])
    if options["words"]:
        events = pd.concat([events, _words(grid, onset)], ignore_index=True)
    run = story if repetition is None else f"{story}-{repetition + 1}"
    info = {"dataset": "ds003020", "subject": who, "task": "listening", "run": run, "modality": "fmri", "space": "native",
            "path": str(path), **where, "warnings": said}  # fmt: skip
    return Recording(signal, 1 / tr, place, events, info)


def _words(grid: Path, onset: float) -> pd.DataFrame:
    if not grid.is_file():
        raise BraindecError(f"words: there is no TextGrid {grid}", fix="fetch derivative/TextGrids, or words: false")
    table = read_textgrid(grid)
    table = table[(table["tier"].str.lower().str.startswith("word")) & (table["text"].str.strip() != "")]
    return pd.DataFrame(
        {"onset": table["onset"] + onset, "duration": table["duration"], "trial_type": "word", "word": table["text"]}
    )


def _check_length(top: Path, story: str, n: int, options: Mapping[str, Any], said: list[str]) -> None:
    """Say when the number of volumes is not that of respdict.json."""
    path = top / "respdict.json"
    if not path.is_file():
        return
    try:
        total = json.loads(path.read_text(encoding="utf8")).get(story)
    except (ValueError, AttributeError) as error:
        raise UnreadableError(f"{path} is not a table of lengths", found=str(error)[:200]) from None
    expected = None if total is None else int(total) - int(options["cut_start"]) - int(options["cut_end"])
    if expected is not None and expected != n:
        said.append(
            f"{story}: {n} volumes, respdict.json lets expect {expected} ({total} less {options['cut_start']} and "
            f"{options['cut_end']}): check cut_start, on which every onset depends"
        )


def _repetitions(shapes: Mapping[str, tuple[int, ...]], repeats: str) -> list[int | None]:
    if repeats == "each" and _REPEATS in shapes and len(shapes[_REPEATS]) == 3:
        return list(range(shapes[_REPEATS][0]))
    return [None]


def _voxels(top: Path, who: str, n_voxels: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The channel table, and grid and affine where the mask of pycortex is there."""
    for path in _masks(top, who):
        image = open_image(path)
        try:
            mask = np.asarray(image.dataobj) > 0
        except (OSError, EOFError, ValueError) as error:  # gzip and nibabel each raise their own
            raise UnreadableError(
                f"{path} cannot be read to its end", found=str(error)[:200], fix="fetch it again"
            ) from error
        if mask.ndim != 3 or int(mask.sum()) != n_voxels:
            continue
        reference = path.with_name("reference.nii.gz")
        affine = np.asarray((open_image(reference) if reference.is_file() else image).affine, dtype=float)
        table = _fmri_tables.voxel_channels(mask, affine, True)[1]
        return table, {"grid": [int(k) for k in mask.shape], "affine": affine.tolist(), "mask": str(path)}
    names = [f"voxel-{k:06d}" for k in range(n_voxels)]
    table = pd.DataFrame({"name": names, "type": "voxel", "unit": "a.u.", "i": -1, "j": -1, "k": -1})
    said = f"{who}: no mask_thick.nii.gz with {n_voxels} voxels in pycortex-db/{who}/transforms: voxels have no place"
    return table, {"warnings": [said]}


def _same_voxels(who: str, shapes: Mapping[str, Mapping[str, tuple[int, ...]]]) -> int:
    counts = {name: found["data"][-1] for name, found in shapes.items()}
    first = next(iter(counts))
    for name, count in counts.items():
        if count != counts[first]:
            raise BraindecError(
                f"stories of {who} differ in voxels: {first} and {name}", found=f"{counts[first]} and {count} voxels",
                fix="fetch all stories of one release again, or choose those that agree: story: [...]",
            )  # fmt: skip
    return counts[first]


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    shapes = series_shapes(path)
    if "data" not in shapes or len(shapes["data"]) != 2 or 0 in shapes["data"]:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
        raise UnreadableError(f"{path} does not hold the responses to a story", found=found,
                              allowed="a dataset 'data' of (volume, voxel)")  # fmt: skip
    return shapes


def _check(options: Mapping[str, Any]) -> None:
    if options["repeats"] not in ("each", "mean"):
        raise BraindecError(f"repeats: {options['repeats']!r} is unknown", allowed="each, mean")
    if not 0.02 <= float(options["tr"]) <= 60:
        raise BraindecError(f"tr must be a repetition time in s, not {options['tr']!r}", allowed="0.02 to 60",
                            fix="milliseconds must be divided by 1000; ds003020: 2.0")  # fmt: skip


def _home(root: str | Path) -> tuple[Path, Path]:
    """The folder that holds the folders of the subjects, and the one that holds TextGrids and masks."""
    base = _files.existing(root)
    for name in _FOLDERS:
        folder = base if name == "." else base / name
        if folder.is_dir() and any(folder.glob("*/*.hf5")):
            return folder, folder.parent
    raise BraindecError(
        f"{base} holds no preprocessed responses of ds003020",
        found=", ".join(sorted(p.name for p in base.iterdir())[:8]) if base.is_dir() else "a file",
        allowed="derivative/preprocessed_data/<subject>/<story>.hf5",
        fix="name the folder of the data set; datalad get derivative/preprocessed_data/UTS01",
    )


def _subjects(folder: Path, wanted: str | Sequence[str] | None) -> list[str]:
    known = sorted(p.name for p in folder.iterdir() if p.is_dir() and any(p.glob("*.hf5")))
    asked = _options.as_list(wanted)
    for label in asked or []:
        if label not in known:
            raise BraindecError(f"there is no subject {label!r}{did_you_mean(label, known)}", allowed=", ".join(known))
    return known if asked is None else [k for k in known if k in asked]


def _stories(folder: Path, who: str, wanted: str | Sequence[str] | None) -> dict[str, Path]:
    found = {p.stem: p for p in sorted((folder / who).glob("*.hf5"))}
    for name in _options.as_list(wanted) or []:
        if name not in found:
            raise BraindecError(f"{who} has no story {name!r}{did_you_mean(name, found)}", allowed=", ".join(found),
                                fix=f"datalad get {folder.name}/{who}/{name}.hf5")  # fmt: skip
    asked = _options.as_list(wanted)
    return found if asked is None else {name: found[name] for name in asked}


def _grid(top: Path, story: str) -> Path:
    return top / "TextGrids" / f"{story}.TextGrid"


def _masks(top: Path, who: str) -> list[Path]:
    return sorted((top / "pycortex-db" / who / "transforms").glob("*/mask_thick.nii.gz"))
