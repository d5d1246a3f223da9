"""Reader ``things_meg``: THINGS-MEG (Hebart et al. 2023), the published epochs or the BIDS recordings, with the trials of ``sourcedata``.

Epochs: ``derivatives/preprocessed/preprocessed_P1-epo.fif`` (and its parts -1, -2, ...), 271 channels, 200 Hz, -0.1 to
1.3 s. Raw: ``sub-BIGMEG1/ses-01/meg/ sub-BIGMEG1_ses-01_task-main_run-01_meg.ds`` (CTF, 1200 Hz), through the reader
``bids``. ``sourcedata/sample_attributes_P1.csv`` has one row a trial: image_path
("images_meg/aardvark/aardvark_01b.jpg", "images_test_meg/...", "images_catch_meg/..."), trial_type ("exp", "test",
"catch"), session_nr, run_nr, things_image_nr, image_on.

1,854 concepts of 12 images are shown once, and 200 test images, of 200 of these concepts, once in each of 12 sessions.
For zero-shot tests (the default) trials of the training part whose concept is tested are left out: 1,654 concepts stay.
Catch trials are always left out.

Source: MEG/ of github.com/ViCCo-Group/THINGS-data for the form of the epochs (baseline z-scored, so they have no unit),
and facts on the table in the study Hebart2023ThingsMeg of github.com/facebookresearch/neuroai (MIT). Checked against
synthetic files only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _options
from braindec.loaders.readers import bids, epochs
from braindec.types import Recording, Windows

__all__ = ["load", "files", "subjects"]

_EPOCHS = "derivatives/preprocessed"
_PARTS = {"exp": "train", "test": "test"}
_COLUMNS = ("image_path", "trial_type", "session_nr", "run_nr")
_MISMATCHES = 20  # trials a run whose number differs between the two tables of the published data
_BAD = "MRO11-1609"  # dropped by the authors


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    form: str = "epochs",
    session: str | Sequence[str] | None = None,
    zero_shot: bool = True,
    baseline_zscored: bool = True,
) -> Windows | list[Recording]:
    """Open one subject; samples stay on disk.

    Parameters
    ----------
    root : str or Path
        The BIDS folder (ds004212).
    subject : str
        "BIGMEG1" to "BIGMEG4" (or "1" to "4").
    form : {"epochs", "raw"}
        The published epochs, or the recordings.
    session : str or list of str, optional
        "01" to "12".
    zero_shot : bool
        Leave training trials out whose concept is tested; with False the audit fails a claim of new concepts.
    baseline_zscored : bool
        The epochs are in standard deviations of their baseline, as published; False for epochs of your own in T.

    Returns
    -------
    Windows (epochs) or list of Recording (raw)
        trial_type "image", stimulus_id, concept_id, part ("train" or "test"), session, run, repetition.

    Raises
    ------
    BraindecError, UnreadableError
        If tables and recordings differ in number.
    """
    _check_form(form)
    folder, number = _files.existing(root), _number(subject)
    wanted = _options.as_list(session)
    table = _table(folder, number)
    tested = set(table.loc[table["part"] == "test", "concept_id"])
    if form == "epochs":
        return _windows(folder, number, table, wanted, tested if zero_shot else set(), baseline_zscored)
    return _recordings(folder, number, table, wanted, tested if zero_shot else set())


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have epochs, or recordings."""
    values = _options.bind(load, options)
    folder = _files.existing(root)
    _check_form(values["form"])
    if values["form"] == "epochs":
        found = {p.name.split("_P")[1].split("-epo")[0] for p in (folder / _EPOCHS).glob("preprocessed_P*-epo.fif")}
    else:
        found = {p.name.removeprefix("sub-BIGMEG") for p in folder.glob("sub-BIGMEG*") if p.is_dir()}
    if not found:
        raise BraindecError(
            f"{folder} holds no {values['form']} of THINGS-MEG",
            allowed=f"{_EPOCHS}/preprocessed_P1-epo.fif, or sub-BIGMEG1/ses-01/meg/...",
            fix="get derivatives/preprocessed of ds004212, or say form: raw",
        )
    return [f"BIGMEG{n}" for n in sorted(found)]


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    folder, number = _files.existing(root), _number(subject)
    if values["form"] == "epochs":
        return [_table_path(folder, number), *sorted((folder / _EPOCHS).glob(f"preprocessed_P{number}-epo*.fif"))]
    return [
        _table_path(folder, number),
        *bids.files(folder, f"BIGMEG{number}", datatype="meg", session=values["session"]),
    ]


def _check_form(form: str) -> None:
    if form not in ("epochs", "raw"):
        raise BraindecError("form is epochs or raw", found=repr(form))


def _number(subject: str | None) -> str:
    number = str(subject).removeprefix("sub-").removeprefix("BIGMEG").lstrip("0")
    if subject is None or not number.isdigit():
        raise BraindecError(
            "the reader things_meg opens one subject at a time", found=repr(subject), allowed="BIGMEG1 to BIGMEG4"
        )
    return number


def _table_path(folder: Path, number: str) -> Path:
    return folder / "sourcedata" / f"sample_attributes_P{number}.csv"


def _table(folder: Path, number: str) -> pd.DataFrame:
    """One row a trial, in order: stimulus_id, concept_id, part ("" for catch trials), session, run, onset, value."""
    path = _table_path(folder, number)
    try:
        table = pd.read_csv(_files.existing(path))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise UnreadableError(f"{path} cannot be read as a table", found=str(error)[:200]) from error
    missing = [c for c in _COLUMNS if c not in table]
    if missing:
        raise UnreadableError(
            f"{path} has no column {missing[0]}",
            found=f"columns {list(table.columns)[:20]}",
            allowed=", ".join(_COLUMNS),
        )
    stem = table["image_path"].astype(str).str.rsplit("/", n=1).str[-1].str.replace(r"\.[A-Za-z]+$", "", regex=True)
    catch = table["image_path"].astype(str).str.contains("images_catch_meg") | (table["trial_type"] == "catch")
    part = table["trial_type"].map(_PARTS).where(~catch, "")
    if part.isna().any():
        raise UnreadableError(
            f"{path}: unknown trial_type",
            found=str(table.loc[part.isna(), "trial_type"].iloc[0]),
            allowed="exp, test, catch",
        )
    made = pd.DataFrame(
        {
            "stimulus_id": stem,
            "concept_id": stem.str.rsplit("_", n=1).str[0],
            "part": part,
            "session": [f"{int(s):02d}" for s in table["session_nr"]],
            "run": [f"{int(r):02d}" for r in table["run_nr"]],
        }
    )
    made["repetition"] = made.groupby(["part", "stimulus_id"]).cumcount() + 1
    for name, column in (("onset", "image_on"), ("value", "things_image_nr")):
        if column in table:
            made[name] = pd.to_numeric(table[column], errors="coerce")
    return made


def _used(table: pd.DataFrame, tested: set[str]) -> tuple[np.ndarray, list[str]]:
    """Which trials stay, and what is said of the others."""
    catch = (table["part"] == "").to_numpy()
    known = ((table["part"] == "train") & table["concept_id"].isin(tested)).to_numpy()
    said = [f"{int(catch.sum())} catch trials were left out"] if catch.any() else []
    if known.any():
        said.append(f"{int(known.sum())} training trials of {len(tested)} tested concepts were left out (zero_shot)")
    return ~catch & ~known, said


def _windows(
    folder: Path, number: str, table: pd.DataFrame, wanted: list[str] | None, tested: set[str], zscored: bool
) -> Windows:
    path = folder / _EPOCHS / f"preprocessed_P{number}-epo.fif"
    found = epochs.load(_files.existing(path), f"BIGMEG{number}")
    if len(found) != len(table):
        raise BraindecError(
            f"{path.name} and {_table_path(folder, number).name} differ in number",
            found=f"{len(found)} epochs, {len(table)} rows",
            fix="take all parts (-1, -2, ...) of the epochs of this subject",
        )
    kept, said = _used(table, tested)
    if wanted is not None:
        kept &= table["session"].isin(wanted).to_numpy()
    trials = table.drop(columns=[c for c in ("value",) if c in table]).assign(
        trial_type="image", subject=f"BIGMEG{number}", duration=0.5
    )
    trials["window_id"] = [f"sub-BIGMEG{number}_epoch-{k}" for k in range(len(table))]
    trials = (
        trials.drop(columns="onset") if "onset" in trials and not np.isfinite(trials["onset"][kept]).all() else trials
    )
    recording = found.recordings[0]
    warnings = [w for w in recording.info.get("warnings") or [] if "event_sfreq" not in w]
    channels = recording.channels.assign(unit="a.u.") if zscored else recording.channels
    if zscored:
        said.append("the published epochs are in standard deviations of their baseline, not in T")
    info = {
        **recording.info,
        "dataset": "things-meg",
        "subject": f"BIGMEG{number}",
        "modality": "meg",
        "task": "main",
        "line_freq": 60.0,
        "warnings": [*warnings, *said],
    }
    one = replace(recording, channels=channels, info=info)
    return Windows((one,), found.index, found.n_times, trials, found.tmin)[kept]


def _recordings(
    folder: Path, number: str, table: pd.DataFrame, wanted: list[str] | None, tested: set[str]
) -> list[Recording]:
    kept, said = _used(table, tested)
    out = []
    for recording in bids.load(folder, f"BIGMEG{number}", datatype="meg", session=wanted):
        session, run = f"{int(recording.info['session']):02d}", f"{int(recording.info['run']):02d}"
        rows = np.flatnonzero(((table["session"] == session) & (table["run"] == run)).to_numpy())
        events = recording.events
        if len(events) != len(rows):
            raise BraindecError(
                f"{recording.label}: events.tsv and sample_attributes differ in number",
                found=f"{len(events)} events, {len(rows)} rows",
            )
        mine = table.iloc[rows].reset_index(drop=True)
        if "value" in events and "value" in mine:
            given = pd.to_numeric(events["value"], errors="coerce").to_numpy(dtype=float)
            wrong = int((np.isfinite(given) & np.isfinite(mine["value"]) & (given != mine["value"])).sum())
            if wrong > _MISMATCHES:
                raise BraindecError(
                    f"{recording.label}: events.tsv and sample_attributes name different images",
                    found=f"{wrong} of {len(rows)} trials",
                )
        columns = ["stimulus_id", "concept_id", "part", "repetition"]
        events = pd.concat([events[["onset", "duration"]], mine[columns]], axis=1).assign(trial_type="image")[
            kept[rows]
        ]
        channels = recording.channels
        channels = channels.assign(status=np.where(channels["name"] == _BAD, "bad", channels["status"]))
        info = {
            **recording.info,
            "dataset": "things-meg",
            "session": session,
            "run": run,
            "warnings": [*(recording.info.get("warnings") or []), *said],
        }
        out.append(replace(recording, events=events.reset_index(drop=True), channels=channels, info=info))
    return out
