"""What every reader of fMRI runs does besides opening images: events, confounds, dropped volumes, equal repetition times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _events, _fmri_tables
from braindec.loaders._bids_tree import read_json
from braindec.loaders._files import check_inside
from braindec.loaders._fmri_tree import IMAGE_ONLY, Run, stem_of
from braindec.types import Recording

NO_CONFOUNDS = ("none", [], (), None)


def read_events(one: Run, duration: float, shift: float, said: list[str], *, path: Path | None = None) -> pd.DataFrame:
    """Return the events of a run, onsets in s from the first volume that is kept.

    Parameters
    ----------
    one : Run
        Its raw run names the events.tsv.
    duration, shift : float
        Length of what is kept, and what was dropped before it, s.
    said : list of str
        Is told when there are none.
    path : Path, optional
        The table itself, where names are not BIDS.
    """
    if path is not None and not path.is_file():
        there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise BraindecError(
            f"there is no table of events {path}{did_you_mean(path.name, there)}", found=", ".join(there[:8]) or None,
            fix="write its path inside the folder: events: ...",
        )  # fmt: skip
    if path is None:
        path = one.raw.sidecar("events", ".tsv") if one.raw else None
    if path is None:
        said.append(
            f"{one.path.name} has no events.tsv: the run has no events"
            + (" (are the raw data elsewhere? say events_root: ...)" if one.prepared else "")
        )
        return pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
    events = _events.events_table(_events.read_tsv(path), path, said)
    if not len(events):
        said.append(f"{path.name} is empty: the run has no events")
    events = events.assign(onset=events["onset"] - shift)
    _events.say_outside(events, duration, path.name, said)
    return events


def read_cleaning(
    one: Run, wanted: str | Sequence[str] | None, n_volumes: int, skip: int, said: list[str]
) -> np.ndarray | None:
    """Return the centred confounds (n_volumes - skip, n_confounds) to regress out of a run, or None."""
    if wanted in NO_CONFOUNDS:
        return None
    table = _fmri_tables.read_confounds(confounds_path(one.path), wanted, n_volumes, said)
    return table[skip:] - table[skip:].mean(axis=0)


def confounds_path(path: Path) -> Path:
    """Return the confounds of a run: named as the image, without space, density, hemisphere and resolution."""
    parts = [p for p in stem_of(path).split("_") if p.split("-")[0] not in (*IMAGE_ONLY, "bold", "timeseries")]
    for ending in ("timeseries", "regressors"):
        table = path.with_name("_".join([*parts, f"desc-confounds_{ending}.tsv"]))
        if table.is_file():
            return table
    raise BraindecError(
        f"{path.name} has no confounds",
        found=f"no {'_'.join(parts)}_desc-confounds_timeseries.tsv in {path.parent}",
        fix="confounds: none, or copy the table of fMRIPrep beside the image",
    )


def tables_of(one: Run, root: Path, options: Mapping[str, Any]) -> list[Path]:
    """Return the sidecars, events and confounds that a run is read with."""
    paths = [*one.image.sidecars("bold", ".json"), *(one.raw.sidecars("bold", ".json") if one.raw else [])]
    if options.get("events"):
        paths.append(inside(root, options["events"], one))
    elif one.raw is not None:
        paths += one.raw.sidecars("events", ".tsv")
    return [*paths, *([] if options["confounds"] in NO_CONFOUNDS else [confounds_path(one.path)])]


def check_drop(skip: int, n_volumes: int, path: Path) -> None:
    """Refuse to drop all volumes of a run."""
    if not 0 <= skip < n_volumes - 1:
        raise BraindecError(f"drop_volumes: {skip} leaves nothing of {path.name}", found=f"{n_volumes} volumes")


def inside(root: Path, relative: str, one: Run) -> Path:
    """Return a path inside the folder; ``{subject}``, ``{session}``, ``{task}`` and ``{run}`` are filled in."""
    for key in ("subject", "session", "task", "run"):
        relative = relative.replace(f"{{{key}}}", str(one.entities.get(key) or ""))
    check_inside(relative)
    return (root if root.is_dir() else root.parent) / relative


def check_same_tr(recordings: Sequence[Recording]) -> list[Recording]:
    """Return the runs of one subject, or say which of them differ in repetition time.

    Raises
    ------
    BraindecError
        If they do: windows and models of all runs need one.
    """
    by_tr: dict[float, list[Recording]] = {}
    for recording in recordings:
        by_tr.setdefault(round(1 / recording.sfreq, 4), []).append(recording)
    if len(by_tr) > 1:
        said = "; ".join(f"{t:g} s: {', '.join(r.label for r in many[:4])}" for t, many in sorted(by_tr.items()))
        raise BraindecError(
            "runs of one subject differ in repetition time", found=said,
            fix="load those of one repetition time: task: ..., session: ... or run: ..., or say the right one with tr: ...",
        )  # fmt: skip
    return list(recordings)


def about(one: Run, space: str | None, **more: Any) -> dict[str, Any]:
    """Return what ``Recording.info`` says of a run."""
    folder = one.image.root
    description = folder / "dataset_description.json"
    name = read_json(description).get("Name") if description.is_file() else None
    labels: Mapping[str, Any] = one.entities
    return {
        "dataset": str(name).strip() if name else folder.resolve().name,
        **labels,
        "modality": "fmri",
        "space": space,
        "path": str(one.path),
        **more,
    }
