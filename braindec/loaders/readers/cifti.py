"""Reader ``cifti``: dtseries and ptseries runs of the HCP and of fMRIPrep -> one Recording a run, channels = grayordinates.

The repetition time is that of the header's series axis (its exponent and unit applied) and of the JSON sidecar, which must
agree. Events come from the raw BIDS folder, or from tables that ``events`` names. Values are read from disk when asked for:
those of one grayordinate stand together, so that reading some of them over a whole run is cheap.

Differs from neuroai's CIFTI projectors and hcp_utils in: any brain model is read (nothing assumes 91,282 columns), labels
are matched by vertex and voxel, and runs on different brain models are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _fmri_run, _fmri_tables, _options
from braindec.loaders._cifti_file import CiftiFile, open_cifti
from braindec.loaders._cifti_labels import CiftiLabels, read_labels
from braindec.loaders._cifti_masker import check_same_model
from braindec.loaders._cifti_model import BrainModel
from braindec.loaders._fmri_mask import check_space, named_path
from braindec.loaders._fmri_tree import GRAYORDINATES, Run, find_runs, subjects_of
from braindec.loaders._run_signal import CiftiSignal
from braindec.loaders._surface_parcels import Chosen, choose, space_of
from braindec.loaders.readers.fmri import check_options
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
    density: str | None = None,
    bold: str | None = None,
    derivatives: str | None = None,
    events_root: str | None = None,
    events: str | None = None,
    structures: str | Sequence[str] | None = None,
    parcels: str | None = None,
    parcels_map: str | int | None = None,
    regions: str | None = None,
    confounds: str | Sequence[str] = "none",
    tr: float | None = None,
    drop_volumes: int = 0,
) -> list[Recording]:
    """Open CIFTI runs; only headers and tables are read.

    Parameters
    ----------
    root : str or Path
        A BIDS folder, a folder of derivatives, any folder (with ``bold``), or one .dtseries.nii or .ptseries.nii.
    subject, session, task, run : str or list of str, optional
        Labels to keep; for one file its labels.
    space, density : str, optional
        Which of several files of a run (``space-``, ``den-``).
    bold : str, optional
        Path of the files inside ``root`` when names are not BIDS, with ``{subject}``, ``{session}``, ``{task}``, ``{run}``
        and ``*``; for the HCP e.g. ``{subject}/MNINonLinear/Results/*/tfMRI_{task}_7T_{run}_Atlas_*_clean.dtseries.nii``.
    derivatives : str, optional
        Folder of fMRIPrep inside ``root``: files from there, events from ``root``.
    events_root : str, optional
        The raw BIDS folder, when ``root`` is a folder of derivatives somewhere else.
    events : str, optional
        Path of the events.tsv of a run inside ``root``, with ``{subject}``, ``{session}``, ``{task}`` and ``{run}``.
    structures : str or list of str, optional
        "cortex", "subcortex", or names such as "CortexLeft", "thalamus"; all by default.
    parcels : str, optional
        A .dlabel.nii (inside ``root``, or an absolute path): channels are then means of its parcels.
    parcels_map : str or int, optional
        Which map of it (or of ``regions``), when there are several.
    regions : str, optional
        A .dlabel.nii that names the region of each grayordinate, without averaging.
    confounds : str or list of str
        As in the reader ``fmri``: "motion6", "motion24", "compcor" or columns of the table of fMRIPrep; "none" by default.
    tr : float, optional
        Repetition time in s, where header and sidecar do not say it or are wrong.
    drop_volumes : int
        Volumes to leave out at the start of each run; onsets are shifted.

    Returns
    -------
    list of Recording
        ``sfreq`` = 1 / TR; channels are of type "grayordinate" or "parcel", with structure, vertex, i, j, k.

    Raises
    ------
    UnreadableError
        If a file is damaged, cut short, or a matrix without a time axis.
    BraindecError
        If runs of a subject differ in brain model or repetition time, or labels lie on another surface.
    """
    given = check_options({k: v for k, v in locals().items() if k != "root"})
    runs = find_runs(root, given, GRAYORDINATES)
    recordings: list[Recording] = []
    for who in subjects_of(runs, given):
        mine = [r for r in runs if r.entities["subject"] == who]
        opened = [_series(r.path) for r in tqdm(mine, desc=f"opening sub-{who}", disable=None, leave=False)]
        first = opened[0]
        for other in opened[1:]:
            check_same_model(first.model, other.model, first.name, other.name)
        said: list[str] = []
        chosen = _chosen(first, Path(root), mine[0], given, said)
        many = [_open(one, file, chosen, given, Path(root), said) for one, file in zip(mine, opened, strict=True)]
        recordings += _fmri_run.check_same_tr(many)
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that have a run with the options asked for."""
    values = _options.bind(load, options)
    return subjects_of(find_runs(root, values, GRAYORDINATES), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the runs, labels and tables that :func:`load` with the same options reads."""
    values = check_options(_options.bind(load, {**options, "subject": subject}))
    runs = find_runs(root, values, GRAYORDINATES)
    paths: list[Path] = []
    for one in runs:
        paths += [one.path, *_fmri_run.tables_of(one, Path(root), values)]
    paths += [named_path(Path(root), values[k], runs[0]) for k in ("parcels", "regions") if values[k]]
    return list(dict.fromkeys(paths))


def _series(path: Path) -> CiftiFile:
    file = open_cifti(path)
    if file.step is None:
        raise UnreadableError(
            f"{path} is not a time series", found=f"{file.kind} of {file.n_rows} maps",
            allowed=".dtseries.nii, .ptseries.nii", fix="name the runs with bold: ...",
        )  # fmt: skip
    if file.n_rows < 2:
        raise UnreadableError(f"{path} is not a time series", found="one volume")
    return file


def _chosen(file: CiftiFile, root: Path, one: Run, options: dict[str, Any], said: list[str]) -> Chosen:
    for k in ("parcels", "regions"):
        if options[k]:
            check_space(named_path(root, options[k], one), one.path)
    labels = {
        k: read_labels(named_path(root, options[k], one), options["parcels_map"]) if options[k] else None
        for k in ("parcels", "regions")
    }
    if isinstance(file.model, BrainModel):
        structures = _options.as_list(options["structures"])
        chosen = choose(file.model, file.name, said, structures=structures, **labels)
        say_labels([k for k in labels.values() if k is not None], said)
        if chosen.starts is not None:
            say_outside(len(file.model.rows_of(structures)), len(chosen.rows), said)
        return chosen
    if labels["parcels"] or labels["regions"]:
        raise BraindecError(
            f"{one.path.name} holds parcels already", found=file.model.describe(), fix="leave out parcels and regions"
        )
    rows = file.model.rows_of(options["structures"])
    return Chosen(rows, None, file.model.channels().iloc[rows].reset_index(drop=True))


def say_labels(read: Sequence[CiftiLabels], said: list[str]) -> None:
    """Say which keys of label files have no name: is it the table of these labels?"""
    for labels in read:
        unnamed = np.setdiff1d(labels.keys, labels.table["key"])
        unnamed = unnamed[unnamed != 0]
        if len(unnamed):
            keys = ", ".join(map(str, unnamed[:5].tolist()))
            said.append(f"{Path(labels.path).name}: {len(unnamed)} labels have no name in its table, such as {keys}")


def say_outside(n: int, inside: int, said: list[str]) -> None:
    """Say how many places no parcel holds."""
    if inside < n:
        said.append(f"{n - inside} of {n} places lie in no parcel and are left out")


def _open(
    one: Run, file: CiftiFile, chosen: Chosen, options: dict[str, Any], root: Path, shared: list[str]
) -> Recording:
    said = list(shared)
    sidecar = {**(one.raw.json("bold") if one.raw else {}), **one.image.json("bold")}
    in_seconds = file.unit == "SECOND"
    header = file.step if in_seconds else None
    found = f"a step of {file.step:g} {str(file.unit).lower()} in the header"
    tr = _fmri_tables.agreed_tr(one.path, header, sidecar, options["tr"], said, found=found)
    if in_seconds and file.start:
        said.append(f"{one.path.name}: the series starts at {file.start:g} s; events count from its first volume")
    skip = int(options["drop_volumes"])
    _fmri_run.check_drop(skip, file.n_rows, one.path)
    cleaned = _fmri_run.read_cleaning(one, options["confounds"], file.n_rows, skip, said)
    signal = CiftiSignal(
        file.stored, chosen.rows, starts=chosen.starts, first=skip, last=file.n_rows, confounds=cleaned
    )
    table = _fmri_run.inside(root, options["events"], one) if options["events"] else None
    found_events = _fmri_run.read_events(one, signal.shape[1] * tr, skip * tr, said, path=table)
    model = file.model
    where = (
        {}
        if model.affine is None
        else {"grid": [int(n) for n in model.grid], "affine": np.asarray(model.affine).tolist()}
    )
    labels = {k: str(named_path(root, options[k], one)) for k in ("parcels", "regions") if options[k]}
    space = one.image.entities.get("space") or space_of(dict(model.n_vertices))
    density = one.image.entities.get("den")
    info = _fmri_run.about(one, space, n_vertices=dict(model.n_vertices), **where, **labels, density=density)
    if cleaned is not None:
        info["confounds"] = (
            options["confounds"] if isinstance(options["confounds"], str) else list(options["confounds"])
        )
    return Recording(signal, 1 / tr, chosen.channels, found_events, {**info, "warnings": list(dict.fromkeys(said))})
