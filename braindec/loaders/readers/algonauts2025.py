"""Reader ``algonauts2025``: parcel time series of the Algonauts 2025 challenge (CNeuroMod) -> one Recording an episode part.

Layout, as described in the README of courtois-neuromod/algonauts_2025.competitors (its development kit) and as the code
of many entries reads it:

* ``fmri/sub-01/func/sub-01_task-friends_space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net_desc-s123456_bold.h5``
  and ``..._task-movie10_..._bold.h5``: one dataset an episode part, (volume, parcel), named ``ses-003_task-s01e01a`` or,
  for the two films that were shown twice, ``ses-011_task-figures01_run-1``. Subjects 01, 02, 03 and 05; TR 1.49 s; volume k
  was taken during the k-th 1.49 s of the film. Sub-02 lacks s05e20a; sub-05 lacks s04e01a, s04e01b and s04e13b.
* ``fmri/sub-01/atlas/sub-01_space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net_desc-dseg_parcellation.nii.gz``:
  the parcels of the columns, 1 to 1000. Without it parcels have no place.
* ``stimuli/transcripts/friends/s1/friends_s01e01a.tsv``, ``stimuli/transcripts/movie10/bourne/movie10_bourne01.tsv``: one
  row for each 1.49 s of the film; with it the event says how long the film was, else it lasts until the end of the run.

Differs from the development kit in: films seen twice are kept apart (for noise ceilings), and no volumes are cut: that is
for the settings of a recipe to say.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _fmri_tables, _options
from braindec.loaders._bids_tree import entities_of
from braindec.loaders._fmri_signal import open_image
from braindec.loaders._series_signal import SeriesSignal, series_shapes
from braindec.types import Recording

__all__ = ["load", "files", "subjects"]

_SHORT, _REST = 0.5, 20  # share of a run and volumes that may follow the end of a film
_KEY = re.compile(r"ses-(?P<session>[^_]+)_task-(?P<stimulus>[^_]+)(?:_run-(?P<run>[^_]+))?")


@dataclass(frozen=True)
class _Part:
    """One dataset: an episode part seen once."""

    path: Path
    key: str
    subject: str
    task: str
    session: str
    stimulus: str
    repetition: str | None
    shape: tuple[int, int]


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    session: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    stimulus: str | Sequence[str] | None = None,
    tr: float = 1.49,
    atlas_labels: str | None = None,
) -> list[Recording]:
    """Open episode parts; only shapes and tables are read.

    Parameters
    ----------
    root : str or Path
        The folder of the challenge, or its folder ``fmri``.
    subject, session, task : str or list of str, optional
        "01"; "003"; "friends" or "movie10".
    stimulus : str or list of str, optional
        Names or patterns: "s01e01a", "s0[1-5]*", "bourne*".
    tr : float
        Repetition time in s.
    atlas_labels : str, optional
        Path inside ``root`` of a table (index, name) that names the parcels.

    Returns
    -------
    list of Recording
        ``sfreq`` = 1 / tr; channels of type "parcel"; one event at 0 s whose ``stimulus_id`` is the episode part.

    Raises
    ------
    UnreadableError
        If a file is damaged, or its content was not fetched.
    BraindecError
        If a label is not there, or parts differ in parcels or from the parcellation.
    """
    given = {k: v for k, v in locals().items() if k != "root"}
    if not 0.02 <= float(tr) <= 60:
        raise BraindecError(f"tr must be a repetition time in s, not {tr!r}", allowed="0.02 to 60 (the data set: 1.49)")
    base = _files.existing(root)
    found = _parts(base, given)
    recordings: list[Recording] = []
    for who in sorted({p.subject for p in found}):
        mine = [p for p in found if p.subject == who]
        n_parcels = _same_parcels(mine)
        place, where = _parcels(base, mine[0], n_parcels, atlas_labels)
        for part in tqdm(mine, desc=f"opening sub-{who}", disable=None, leave=False):
            recordings.append(_open(part, place, where, base, float(tr)))
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that have a part with the options asked for."""
    base = _files.existing(root)
    found = {entities_of(p.name)["sub"] for p in _series(base, _options.bind(load, options))}
    return sorted(found)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the time series, parcellations and transcripts that :func:`load` reads."""
    values = _options.bind(load, {**options, "subject": subject})
    base, found = _files.existing(root), []
    for part in _parts(base, values):
        found += [part.path, *_atlases(part), *([t] if (t := _transcript(base, part)) else [])]
    if values["atlas_labels"]:
        found.append(base / values["atlas_labels"])
    return list(dict.fromkeys(found))


def _open(part: _Part, place: pd.DataFrame, where: Mapping[str, Any], base: Path, tr: float) -> Recording:
    said = list(where.get("warnings", []))
    transcript, n = _transcript(base, part), part.shape[0]
    length = n * tr
    if transcript is None:
        said.append(f"{part.stimulus} has no transcript: the film is taken to last until the end of the run")
    else:
        rows = _rows(transcript)
        if rows < _SHORT * n:
            raise BraindecError(
                f"the transcript of {part.stimulus} does not cover the film", found=f"{rows} rows in {transcript.name}, {n} volumes",
                allowed="one row for each 1.49 s of the film", fix="fetch it again: datalad get -r stimuli/transcripts",
            )  # fmt: skip
        if rows < n - _REST:
            said.append(
                f"{part.stimulus}: the transcript has {rows} rows, the run {n} volumes: the film is taken to end with it"
            )
        if rows > n:
            said.append(f"{part.stimulus}: the transcript has {rows} rows, the run {n} volumes: the film was cut short")
        length = min(rows, n) * tr
    row = {"onset": 0.0, "duration": length, "trial_type": part.task, "stimulus_id": part.stimulus}
    events = pd.DataFrame([row | ({"repetition": int(part.repetition)} if (part.repetition or "").isdigit() else {})])
    run = part.stimulus if part.repetition is None else f"{part.stimulus}-{part.repetition}"
    info = {"dataset": "algonauts2025", "subject": part.subject, "session": part.session, "task": part.task, "run": run,
            "modality": "fmri", "space": entities_of(part.path.name).get("space"), "path": str(part.path), **where, "warnings": said}  # fmt: skip
    return Recording(SeriesSignal(part.path, part.key), 1 / tr, place, events, info)


def _parts(base: Path, options: Mapping[str, Any]) -> list[_Part]:
    """The parts that the options ask for, in order of subject, task, session and name."""
    found: list[_Part] = []
    for path in _series(base, options):
        named = entities_of(path.name)
        for key, shape in series_shapes(path).items():
            match = _KEY.fullmatch(key)
            if match is None or len(shape) != 2:
                raise UnreadableError(f"{path} holds a dataset that is no episode part", found=f"{key!r} of shape {shape}",
                                      allowed="ses-..._task-...[_run-...] of (volume, parcel)")  # fmt: skip
            found.append(_Part(path, key, named["sub"], named.get("task", "n/a"), match["session"], match["stimulus"], match["run"], shape))  # fmt: skip
    found = _keep(found, "session", _options.as_list(options["session"]))
    asked = _options.as_list(options["stimulus"])
    if asked is not None:
        names = sorted({p.stimulus for p in found})
        for pattern in asked:
            if not any(fnmatchcase(n, pattern) for n in names):
                raise BraindecError(f"there is no stimulus {pattern!r}{did_you_mean(pattern, names)}",
                                    allowed=", ".join(names[:20]) + (" ..." if len(names) > 20 else ""))  # fmt: skip
        found = [p for p in found if any(fnmatchcase(p.stimulus, pattern) for pattern in asked)]
    return sorted(found, key=lambda p: (p.subject, p.task, p.session, p.stimulus, p.repetition or ""))


def _series(base: Path, options: Mapping[str, Any]) -> list[Path]:
    folder = base / "fmri" if (base / "fmri").is_dir() else base
    paths = sorted(folder.glob("sub-*/func/sub-*_bold.h5"))
    if not paths:
        raise BraindecError(
            f"{base} holds no time series of the Algonauts 2025 challenge",
            found=", ".join(sorted(p.name for p in base.iterdir())[:8]) if base.is_dir() else "a file",
            allowed="fmri/sub-XX/func/sub-XX_task-..._bold.h5",
            fix="name the folder of the data set; datalad get -r fmri",
        )
    for option, key in (("subject", "sub"), ("task", "task")):
        have = sorted({str(entities_of(p.name).get(key)) for p in paths})
        asked = _options.as_list(options[option])
        for label in asked or []:
            if label not in have:
                raise BraindecError(
                    f"there is no {option} {label!r}{did_you_mean(label, have)}", allowed=", ".join(have)
                )
        paths = [p for p in paths if asked is None or entities_of(p.name).get(key) in asked]
    return paths


def _keep(parts: list[_Part], entity: str, asked: Sequence[str] | None) -> list[_Part]:
    if asked is None:
        return parts
    have = sorted({getattr(p, entity) for p in parts})
    for label in asked:
        if label not in have:
            raise BraindecError(
                f"there is no {entity} {label!r}{did_you_mean(label, have)}", allowed=", ".join(have[:40])
            )
    return [p for p in parts if getattr(p, entity) in asked]


def _same_parcels(parts: Sequence[_Part]) -> int:
    first = parts[0]
    for part in parts:
        if part.shape[1] != first.shape[1]:
            raise BraindecError(
                f"episode parts of sub-{part.subject} differ in parcels: {first.key} and {part.key}",
                found=f"{first.shape[1]} and {part.shape[1]}", fix="choose parts of one parcellation: task: ...",
            )  # fmt: skip
    return first.shape[1]


def _parcels(base: Path, part: _Part, n_parcels: int, labels: str | None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The channel table, and grid and affine of the parcellation where it is there."""
    names: Mapping[int, str] = {}
    if labels is not None:
        _files.check_inside(labels)
        names = _fmri_tables.atlas_names(base / labels)
    for path in _atlases(part):
        image = open_image(path)
        try:
            values = np.round(np.asarray(image.dataobj)).astype(np.int64)
        except (OSError, EOFError, ValueError) as error:  # gzip and nibabel each raise their own
            raise UnreadableError(
                f"{path} cannot be read to its end", found=str(error)[:200], fix="fetch it again"
            ) from error
        affine = np.asarray(image.affine, dtype=float)
        table = _fmri_tables.parcel_channels(values, affine, names, True)[2]
        if len(table) != n_parcels:
            raise BraindecError(
                f"the parcellation of sub-{part.subject} is not that of its time series",
                found=f"{len(table)} parcels in {path.name}, {n_parcels} columns in {part.path.name}",
                fix="fetch both from one release",
            )
        return table, {"grid": list(values.shape), "affine": affine.tolist(), "atlas": str(path)}
    called = [names.get(k + 1, f"parcel-{k + 1:04d}") for k in range(n_parcels)]
    table = pd.DataFrame(
        {"name": called, "type": "parcel", "unit": "a.u.", "region": called, "label": np.arange(1, n_parcels + 1)}
    )
    return table, {"warnings": [f"sub-{part.subject}: no parcellation in its folder atlas: parcels have no place"]}


def _atlases(part: _Part) -> list[Path]:
    parcel = entities_of(part.path.name).get("parcel", "")
    found = sorted((part.path.parent.parent / "atlas").glob(f"*parcel-{parcel}*_parcellation.nii.gz"))
    return [p for p in found if p.is_file()][:1]


def _transcript(base: Path, part: _Part) -> Path | None:
    top = base if (base / "stimuli").is_dir() else base.parent
    found = sorted((top / "stimuli" / "transcripts" / part.task).glob(f"*/{part.task}_{part.stimulus}.tsv"))
    return next((p for p in found if p.is_file()), None)


def _rows(transcript: Path) -> int:
    """Rows below the header; those without a word may be empty."""
    try:
        with transcript.open(encoding="utf-8-sig", newline="") as file:
            return max(0, sum(1 for _ in csv.reader(file, delimiter="\t")) - 1)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise UnreadableError(
            f"{transcript} cannot be read as a table", found=str(error)[:200], fix="fetch it again: datalad get -r stimuli/transcripts"
        ) from error  # fmt: skip
