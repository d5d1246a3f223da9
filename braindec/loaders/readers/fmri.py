"""Reader ``fmri``: NIfTI runs with a mask or a parcellation -> one Recording a run, channels = voxels or parcels.

A plain BIDS folder, derivatives of fMRIPrep (mask and confounds are found), or one 4-D image with a text file of
labels, one line a volume. Positions are in m, in the space that the affine or the file name says. Volumes are decoded
when they are read.

Differs from nilearn's maskers in: nothing is smoothed, scaled or filtered here (that is done by signal steps, each
with its name in the report), and a mask or parcellation on another grid is refused unless ``resample`` is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _files, _fmri_run, _fmri_tables, _options
from braindec.loaders._fmri_mask import Grid, make_grid, mask_files
from braindec.loaders._fmri_signal import NiftiSignal, open_volumes
from braindec.loaders._fmri_tree import Run, find_runs, subjects_of
from braindec.types import Recording

__all__ = ["load", "files", "subjects"]


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    session: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    run: str | Sequence[str] | None = None,
    space: str | None = None,
    resolution: str | None = None,
    bold: str | None = None,
    derivatives: str | None = None,
    events_root: str | None = None,
    mask: str | None = None,
    atlas: str | None = None,
    atlas_labels: str | None = None,
    resample: bool = False,
    confounds: str | Sequence[str] = "none",
    tr: float | None = None,
    labels: str | None = None,
    label_columns: Sequence[str] = ("trial_type", "run"),
    label_events: str = "volume",
    drop_volumes: int = 0,
) -> list[Recording]:
    """Open fMRI runs; only headers, masks and tables are read.

    Parameters
    ----------
    root : str or Path
        A BIDS folder, a folder of derivatives, a folder of images, or one 4-D image.
    subject, session, task, run : str or list of str, optional
        Labels to keep; for one image its labels.
    space, resolution : str, optional
        Which of several images of a run (``space-``, ``res-``).
    bold : str, optional
        Path of the images inside ``root`` when names are not BIDS; ``{subject}``, ``{session}``, ``{run}`` and ``*``
        are allowed.
    derivatives : str, optional
        Folder of fMRIPrep inside ``root``: images from there, events from ``root``.
    events_root : str, optional
        The raw BIDS folder, when ``root`` is a folder of derivatives somewhere else.
    mask : str, optional
        Path inside ``root`` (or an absolute one) of a mask; "auto" computes one from the intensities of the first
        run; by default the brain masks of fMRIPrep, where they are.
    atlas, atlas_labels : str, optional
        A parcellation (0 = outside) and its table (index, name): channels are then means of parcels.
    resample : bool
        Bring mask and parcellation to the grid of the images (nearest voxel).
    confounds : str or list of str
        "motion6", "motion24", "compcor" (joined by "+") or columns of ``*_desc-confounds_timeseries.tsv``; regressed
        out of each run by least squares; "none" by default.
    tr : float, optional
        Repetition time in s, where header and sidecar do not say it or are wrong.
    labels, label_columns : str and list of str, optional
        A text file with one line a volume (``{subject}`` and ``{session}`` are filled in), and the names of its columns;
        a column "run" cuts the image into runs.
    label_events : {"volume", "block"}
        One event a volume, or one a block of equal labels.
    drop_volumes : int
        Volumes to leave out at the start of each run (before the steady state); onsets are shifted.

    Returns
    -------
    list of Recording
        ``sfreq`` = 1 / TR; channels are of type "voxel" or "parcel".

    Raises
    ------
    UnreadableError
        If an image is damaged, cut short or not a time series.
    BraindecError
        If repetition times differ or are missing, masks are empty, on another grid or in another space, or a label is
        not there.
    """
    given = check_options({k: v for k, v in locals().items() if k != "root"})
    if label_events not in ("volume", "block"):
        raise BraindecError(
            f"label_events: {label_events!r} is unknown{did_you_mean(label_events, ['volume', 'block'])}",
            allowed="volume, block",
        )
    runs = find_runs(root, given)
    recordings: list[Recording] = []
    for who in subjects_of(runs, given):
        mine = [r for r in runs if r.entities["subject"] == who]
        images = [open_volumes(r.path) for r in tqdm(mine, desc=f"opening sub-{who}", disable=None, leave=False)]
        grid = make_grid(mine, images, Path(root), given)
        opened = [_open(one, image, grid, given, Path(root)) for one, image in zip(mine, images, strict=True)]
        recordings += _fmri_run.check_same_tr([r for many in opened for r in many])
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that have a run with the options asked for."""
    values = _options.bind(load, options)
    return subjects_of(find_runs(root, values), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the images, masks and tables that :func:`load` with the same options reads."""
    values = check_options(_options.bind(load, {**options, "subject": subject}))
    runs = find_runs(root, values)
    paths: list[Path] = []
    for one in runs:
        paths.append(one.path)
        paths += [*one.image.sidecars("bold", ".json"), *(one.raw.sidecars("bold", ".json") if one.raw else [])]
        paths += [] if values["labels"] or one.raw is None else one.raw.sidecars("events", ".tsv")
        if values["confounds"] not in _fmri_run.NO_CONFOUNDS:
            paths.append(_fmri_tables.confounds_path(one.path))
    if values["labels"]:
        paths += [_fmri_run.inside(Path(root), values["labels"], one) for one in runs]
    return list(dict.fromkeys([*paths, *mask_files(runs, Path(root), values)]))


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a reader of runs, numbers as numbers; refuse those of another kind.

    Raises
    ------
    BraindecError
        If ``tr``, ``drop_volumes``, ``confounds`` or ``events_root`` is not what it must be.
    """
    values = dict(options)
    tr, skip, confounds = options.get("tr"), options.get("drop_volumes", 0), options.get("confounds", "none")
    try:
        values["tr"] = None if tr is None else float(tr)
    except (TypeError, ValueError):
        raise BraindecError(
            f"tr must be a repetition time in s, not {tr!r}", allowed="0.02 to 60", fix="milliseconds must be divided by 1000"
        ) from None  # fmt: skip
    if isinstance(skip, bool) or not str(skip).removesuffix(".0").isdigit():
        raise BraindecError(f"drop_volumes must be a number of volumes, not {skip!r}", allowed="0, 1, 2, ...")
    values["drop_volumes"] = int(float(skip))
    many = [confounds] if isinstance(confounds, str) or confounds is None else confounds
    if isinstance(many, (bool, int, float)) or not all(m is None or (isinstance(m, str) and m.strip()) for m in many):
        raise BraindecError(
            "confounds must be a strategy or a list of columns", found=repr(confounds),
            allowed=f"{', '.join(_fmri_tables.STRATEGIES)}, none, or columns of the table of fMRIPrep",
        )  # fmt: skip
    wanted = [str(m) for m in many if m not in (None, "none")]
    values["confounds"] = "none" if not wanted else confounds if isinstance(confounds, str) else wanted
    if options.get("events_root"):
        _files.existing(options["events_root"])
    return values


def _open(one: Run, image: Any, grid: Grid, options: dict[str, Any], root: Path) -> list[Recording]:
    said = list(grid.said)
    sidecar = {**(one.raw.json("bold") if one.raw else {}), **one.image.json("bold")}
    tr = _fmri_tables.repetition_time(image, one.path, sidecar, options["tr"], said)
    about = _about(one, image, grid)
    if options["labels"] is not None:
        return _labelled(one, image, grid, options, root, tr, about, said)
    n_volumes, skip = image.shape[3], int(options["drop_volumes"])
    _fmri_run.check_drop(skip, n_volumes, one.path)
    cleaned = _fmri_run.read_cleaning(one, options["confounds"], n_volumes, skip, said)
    if cleaned is not None:
        wanted = options["confounds"]
        about["confounds"] = wanted if isinstance(wanted, str) else list(wanted)
    signal = NiftiSignal(one.path, grid.voxels, starts=grid.starts, first=skip, last=n_volumes, confounds=cleaned)
    events = _fmri_run.read_events(one, signal.shape[1] * tr, skip * tr, said)
    return [Recording(signal, 1 / tr, grid.channels, events, {**about, "warnings": list(dict.fromkeys(said))})]


def _labelled(
    one: Run,
    image: Any,
    grid: Grid,
    options: dict[str, Any],
    root: Path,
    tr: float,
    about: dict[str, Any],
    said: list[str],
) -> list[Recording]:
    if options["confounds"] not in _fmri_run.NO_CONFOUNDS:
        raise BraindecError(
            "confounds and labels cannot be given together", fix="labels are for images that fMRIPrep did not write"
        )
    columns = [str(c) for c in options["label_columns"]]
    path = _fmri_run.inside(root, options["labels"], one)
    table = _fmri_tables.read_labels(path, columns, image.shape[3])
    parts = (
        _fmri_tables.stretches(list(table["run"])) if "run" in table else [(0, len(table), str(about["run"] or "1"))]
    )
    names = [name for _, _, name in parts]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise BraindecError(
            f"{path.name}: the volumes of run {twice} do not stand together",
            found=f"runs in order: {', '.join(names[:12])}",
        )
    wanted = _options.as_list(options["run"])
    unknown = [w for w in wanted or [] if w not in names]
    if unknown:
        raise BraindecError(
            f"{path.name} has no run {unknown[0]!r}{did_you_mean(unknown[0], names)}", allowed=", ".join(names)
        )
    skip = int(options["drop_volumes"])
    recordings = []
    for first, last, name in parts:
        if wanted is not None and name not in wanted:
            continue
        _fmri_run.check_drop(skip, last - first, one.path)
        events = _fmri_tables.label_events(table.iloc[first + skip : last], tr, per=options["label_events"])
        signal = NiftiSignal(one.path, grid.voxels, starts=grid.starts, first=first + skip, last=last)
        info = {**about, "run": name, "warnings": list(dict.fromkeys(said))}
        recordings.append(Recording(signal, 1 / tr, grid.channels, events, info))
    return recordings


def _about(one: Run, image: Any, grid: Grid) -> dict[str, Any]:
    return _fmri_run.about(
        one,
        one.image.entities.get("space") or _fmri_tables.space_of(image),
        grid=[int(n) for n in image.shape[:3]],
        affine=np.asarray(image.affine, dtype=float).tolist(),
        mask=str(grid.paths[0]) if grid.paths else None,
        atlas=str(grid.atlas) if grid.atlas else None,
    )
