"""Reader ``brainscore``: assemblies of brain-score (language) in netCDF -> Windows of one sample, one a subject.

Layout, as established from the packaging code and data tests of brain-score/language: one array with the dimensions
``presentation`` and ``neuroid`` (Pereira 2018 too), and coordinates along each. File names are
``assy_Fedorenko2016_language.nc``, ``assy_Blank2014_fROI.nc``, ...

* Fedorenko 2016: 416 presentations (52 sentences of 8 words), 97 electrodes of 5 subjects. Presentation: stimulus_id,
  stimulus, word, word_num (0 to 7), sentence_id (0 to 51). Neuroid: electrode, neuroid_id, subject_UID.
* Blank 2014: 1,317 presentations (2-s pieces of 8 stories), 60 neuroids: 12 functional regions of 5 subjects. Presentation:
  stimulus_id ("Boar.0.0"), stimulus, stimulus_sentence, meta_sentence, story, sentence_number_in_story,
  part_number_in_sentence, timepoint_value. Neuroid: fROI_area ("01_LH_PostTemp"), subject_id, neuroid_id.
* Futrell 2018 is behaviour (reading times), not read here.

From memory: that the indices were reset before writing, so that levels of a MultiIndex are plain variables.

Differs from brain-score in: a subject's neuroids are a recording of their own; presentations that a subject was not
shown (all values missing) are left out and counted; the sentence or story is the ``concept_id``, so that it can be held out whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders._netcdf import Assembly, read_assembly
from braindec.loaders.betas import windows_of
from braindec.types import Windows
from braindec.types.signals import ArraySignal

__all__ = ["load", "files", "subjects"]

# names that coordinates have in one assembly or another, best first
_SUBJECT = ("subject_UID", "subject_id", "subject")
_GROUP = ("story", "passage_id", "passage_label", "passage_index", "sentence_id")
_TEXT = ("stimulus_sentence", "stimulus", "stimuli", "sentence", "word")
_REGION = ("fROI_area", "roi", "region", "atlas")
_NAME = ("neuroid_id", "neuroid", "electrode")
_ORDER = (("story", "sentence_number_in_story", "part_number_in_sentence"), ("sentence_id", "word_num"))
_TYPES = {"ieeg": "ecog", "fmri": "parcel"}


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    file: str | None = None,
    modality: str = "fmri",
    subject_column: str | None = None,
    region_column: str | None = None,
    group: str | None = None,
    session_column: str | None = "experiment",
    regions: Sequence[str] | None = None,
) -> Windows:
    """Read the responses of a subject.

    Parameters
    ----------
    root : str or Path
        The netCDF file, or its folder.
    subject : str, optional
        May be left out when there is one.
    file : str, optional
        Name of the file, when the folder holds several.
    modality : {"fmri", "ieeg"}
        What was measured; assemblies do not say it.
    subject_column, region_column, group : str, optional
        Coordinates that say the subject, the region and the unit to be held out whole (story, passage, sentence); found by
        their usual names when they are left out.
    session_column : str, optional
        Coordinate that says the session, where it is there.
    regions : list of str, optional
        Keep these regions only.

    Returns
    -------
    Windows of shape (n_presentations, n_neuroids, 1)
        ``trials``: stimulus_id, concept_id (the group), sentence, run (the story where there is one), onset (place in
        the session, in the order of story, sentence and word) and all other coordinates of presentations.

    Raises
    ------
    UnreadableError
        If the file is damaged, or lacks the dimensions presentation and neuroid.
    BraindecError
        If a coordinate that is needed is not there.
    """
    if modality not in _TYPES:
        raise BraindecError(f"no modality {modality!r}{did_you_mean(modality, _TYPES)}", allowed=", ".join(_TYPES))
    path = _file(root, file)
    values, shown, neuroids = _tables(read_assembly(path), path)
    label = neuroids[_coordinate(neuroids, subject_column, _SUBJECT, "subject", path)].astype(str)
    who = _one(sorted(label.unique(), key=_numbers_first), subject)
    keep = np.flatnonzero((label == who).to_numpy())
    channels = _channels(neuroids.iloc[keep].reset_index(drop=True), region_column, modality, path)
    if regions is not None:
        asked = _options.as_list(regions) or []
        for name in asked:
            if name not in set(channels["region"]):
                known = sorted(set(channels["region"]))
                raise BraindecError(
                    f"{path.name}: no region {name!r}{did_you_mean(name, known)}", allowed=", ".join(known)
                )
        inside = channels["region"].isin(asked).to_numpy()
        keep, channels = keep[inside], channels[inside].reset_index(drop=True)
    own = values[:, keep]
    seen = ~np.isnan(own).all(axis=1)
    warnings = (
        [f"{who} was not shown {int((~seen).sum())} of {len(seen)} presentations: left out"] if not seen.all() else []
    )
    trials, order = _trials(shown[seen].reset_index(drop=True), who, group, session_column, path)
    signal = ArraySignal(np.ascontiguousarray(own[seen][order].T, dtype=np.float32))
    missing = np.flatnonzero(np.isnan(own[seen]).any(axis=0))
    info = {
        "dataset": path.stem.removeprefix("assy_"),
        "subject": who,
        "task": "reading",
        "modality": modality,
        "path": str(path),
    }
    windows = windows_of(
        [signal], trials, channels, info, nan_voxels=missing if len(missing) else None, warnings=warnings
    )
    return windows


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects of the assembly."""
    values = _options.bind(load, options)
    path = _file(root, values["file"])
    _, _, neuroids = _tables(read_assembly(path), path)
    column = _coordinate(neuroids, values["subject_column"], _SUBJECT, "subject", path)
    return sorted(neuroids[column].astype(str).unique(), key=_numbers_first)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the file that :func:`load` reads."""
    return [_file(root, _options.bind(load, {**options, "subject": subject})["file"])]


def _file(root: str | Path, name: str | None) -> Path:
    base = _files.existing(root)
    if base.is_file():
        return base
    if name is not None:
        _files.check_inside(name)
        return _files.existing(base / name)
    found = sorted(base.glob("*.nc"))
    if len(found) != 1:
        raise BraindecError(
            f"{base} holds {len(found)} netCDF files: which is meant?" if found else f"{base} holds no netCDF file",
            found=", ".join(p.name for p in (found or sorted(base.iterdir()))[:8]) or "nothing", fix="file: assy_....nc",
        )  # fmt: skip
    return found[0]


def _tables(assembly: Assembly, path: Path) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Values (presentation, neuroid), and the coordinates of both."""
    dims = list(assembly.dims)
    values = assembly.values
    for axis, dim in reversed(list(enumerate(dims))):  # a dimension of length one says nothing (a time bin)
        if dim not in ("presentation", "neuroid") and values.shape[axis] == 1:
            values = values.squeeze(axis)
            dims.pop(axis)
    if sorted(dims) != ["neuroid", "presentation"]:
        raise UnreadableError(
            f"{path} is no assembly of presentations and neuroids", found=f"dimensions {', '.join(dims)}", allowed="presentation, neuroid"
        )  # fmt: skip
    values = values if dims[0] == "presentation" else values.T
    return np.asarray(values, dtype=np.float32), assembly.coords["presentation"], assembly.coords["neuroid"]


def _coordinate(table: pd.DataFrame, asked: str | None, usual: Sequence[str], what: str, path: Path) -> str:
    names = [asked] if asked is not None else list(usual)
    for name in names:
        if name in table:
            return name
    raise BraindecError(
        f"{path.name} does not say the {what}" + (f": no coordinate {asked!r}{did_you_mean(asked, table.columns)}" if asked else ""),
        found=", ".join(map(str, table.columns)) or "no coordinates", allowed=", ".join(usual),
    )  # fmt: skip


def _channels(neuroids: pd.DataFrame, region_column: str | None, modality: str, path: Path) -> pd.DataFrame:
    region = next((c for c in ([region_column] if region_column else _REGION) if c in neuroids), None)
    if region is None and region_column is not None:
        _coordinate(neuroids, region_column, _REGION, "region", path)
    name = next((c for c in _NAME if c in neuroids), None)
    names = [str(n) for n in (neuroids[name] if name else neuroids.index)]
    if region is not None and neuroids[region].is_unique:  # regions have one name for all subjects, neuroids have not
        names = [str(n) for n in neuroids[region]]
    if len(set(names)) < len(names):
        names = [f"{n}-{k}" for k, n in enumerate(names)]
    # coordinates called x, y, z have a unit that the file does not say: they keep their numbers under another name
    rest = {
        f"file_{c}" if c in ("name", "type", "unit", "status", "x", "y", "z") else str(c): neuroids[c].to_numpy()
        for c in neuroids
    }
    table = pd.DataFrame({"name": names, "type": _TYPES[modality], "unit": "a.u."})
    table["region"] = neuroids[region].astype(str).to_numpy() if region else "n/a"
    return table.assign(**{key: v for key, v in rest.items() if key not in table})


def _trials(
    shown: pd.DataFrame, who: str, group: str | None, session_column: str | None, path: Path
) -> tuple[pd.DataFrame, np.ndarray]:
    """The trial table in the order of presentation as far as it is known, and that order."""
    stimulus = _coordinate(shown, None, ("stimulus_id", *_TEXT), "stimulus", path)
    held = _coordinate(shown, group, (*_GROUP, stimulus), "group", path)
    text = next((c for c in _TEXT if c in shown), None)
    table: dict[str, Any] = {str(c): shown[c].to_numpy() for c in shown}
    table |= {"stimulus_id": shown[stimulus].astype(str).to_numpy(), "concept_id": shown[held].astype(str).to_numpy()}
    table["sentence"] = shown[text].astype(str).to_numpy() if text else "n/a"
    trials = pd.DataFrame(table).assign(subject=who)
    known = session_column is not None and session_column in shown
    trials["session"] = shown[session_column].astype(str).to_numpy() if known else "1"
    trials["run"] = shown["story"].astype(str).to_numpy() if "story" in shown else "1"
    by: list[str] = next((list(o) for o in _ORDER if set(o) <= set(shown)), [])
    trials = trials.assign(_place=np.arange(len(trials)))
    trials = trials.sort_values(["session", *by, "_place"] if by else ["session", "_place"], kind="stable")
    order = trials.pop("_place").to_numpy()
    return trials.reset_index(drop=True), order


def _one(known: Sequence[str], subject: str | None) -> str:
    if subject is None and len(known) == 1:
        return known[0]
    if subject not in known:
        said = "which subject?" if subject is None else f"there is no subject {subject!r}{did_you_mean(subject, known)}"
        raise BraindecError(said, allowed=", ".join(known))
    return str(subject)


def _numbers_first(label: str) -> tuple[int, str]:
    return (int(label), label) if label.isdigit() else (10**9, label)
