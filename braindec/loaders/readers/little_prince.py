"""Reader ``little_prince``: the audiobook "The Little Prince" in three languages (Li et al. 2022, ds003643), preprocessed runs.

It reads as the reader ``fmri`` does, and says which section was heard. Layout, as established from the README of ds003643 and
from public code that reads it:

* ``derivatives/sub-EN057/func/sub-EN057_task-lppEN_run-15_space-MNIColin27_desc-preproc_bold.nii.gz``: 9 runs a subject, in the order
  of the 9 sections of the book (their numbers are those of the scanner, and differ between subjects). TR 2 s.
  The preprocessed images begin with the sound (the raw English ones 8 s before it), so a section begins at 0 s; they go on for 8 s (English),
  0 s (Chinese) or 4 s (French) after it.
* ``annotation/EN/lppEN_word_information.csv``: one row a word with word, onset, offset (s from the start of the section) and section (1 to 9).

Subjects are EN057, CN001, FR001, ...: 49 English, 35 Chinese and 28 French ones.

From memory: that other columns of the word table are lemma, logfreq, pos and parser actions; they are kept as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders.readers import fmri
from braindec.types import Recording

__all__ = ["load", "files", "subjects", "words"]

LANGUAGES = ("EN", "CN", "FR")
_SECTIONS = 9
_AFTER = {"EN": 8.0, "CN": 0.0, "FR": 4.0}  # s that the preprocessed images go on after the sound


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    language: str = "EN",
    derivatives: str = "derivatives",
    space: str | None = "MNIColin27",
    resolution: str | None = None,
    mask: str | None = "auto",
    atlas: str | None = None,
    atlas_labels: str | None = None,
    resample: bool = False,
    drop_volumes: int = 0,
) -> list[Recording]:
    """Open the runs of an audiobook.

    Parameters
    ----------
    root : str or Path
        The folder that holds ``derivatives``.
    subject : str or list of str, optional
        "EN057", ...
    language : {"EN", "CN", "FR"}
        Whose subjects.
    derivatives, space, resolution, mask, atlas, atlas_labels, resample, drop_volumes
        See :mod:`braindec.loaders.readers.fmri`. There are no brain masks, so one is computed.

    Returns
    -------
    list of Recording
        One a run with one event "audio": ``stimulus_id`` "lppEN-1" to "lppEN-9", at 0 s. ``info.run`` is the section.

    Raises
    ------
    BraindecError
        If a subject does not have 9 runs (the section of a run is its place among them).
    """
    _known(language)
    options = {k: v for k, v in locals().items() if k not in ("root", "subject", "language")}
    runs = fmri.load(root, subject, task=f"lpp{language}", **options)
    found: list[Recording] = []
    for who in dict.fromkeys(str(r.info["subject"]) for r in runs):
        mine = sorted((r for r in runs if str(r.info["subject"]) == who), key=lambda r: int(str(r.info["run"])))
        if len(mine) != _SECTIONS:
            raise BraindecError(
                f"{who} has {len(mine)} runs: which sections they are is not known", found=", ".join(str(r.info["run"]) for r in mine),
                allowed="9 runs, one a section", fix="fetch all runs of the subject (datalad get)",
            )  # fmt: skip
        found += [_of_section(r, section, language, drop_volumes) for section, r in enumerate(mine, start=1)]
    return found


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects of a language."""
    return fmri.subjects(root, **_for_fmri(options))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` reads."""
    return fmri.files(root, subject, **_for_fmri(options))


def words(root: str | Path, language: str = "EN") -> pd.DataFrame:
    """Return when each word of the book was said.

    Returns
    -------
    DataFrame
        One row a word: text_id ("lppEN-1"), word_index (in its section), word, onset and duration (s from the start of the section),
        stimulus_id ("lppEN-1/0") and the other columns of the file; ``attrs["texts"]`` has the words of each section joined by spaces.

    Raises
    ------
    UnreadableError
        If there is no table of words, or only the pointer of git-annex.
    """
    _known(language)
    path = _files.existing(root) / "annotation" / language / f"lpp{language}_word_information.csv"
    table = _read(_files.existing(path))
    missing = [c for c in ("word", "onset", "offset", "section") if c not in table]
    if missing:
        raise UnreadableError(
            f"{path} is no table of words: it lacks {', '.join(missing)}", found=", ".join(map(str, table.columns[:8])),
            fix="if the file holds a path, its content was not fetched: datalad get annotation",
        )  # fmt: skip
    text_id = [f"lpp{language}-{int(s)}" for s in table["section"]]
    index = table.groupby(pd.Series(text_id), sort=False).cumcount()
    said = table["word"].astype(str)
    times = {
        "onset": table["onset"].astype(float),
        "duration": table["offset"].astype(float) - table["onset"].astype(float),
    }
    if (times["duration"] < 0).any():
        raise BraindecError(
            f"{path}: a word ends before it begins", found=f"row {int(np.argmax(times['duration'] < 0)) + 2}"
        )
    known = pd.DataFrame({"text_id": text_id, "word_index": index, "word": said, **times,
                          "stimulus_id": [f"{t}/{k}" for t, k in zip(text_id, index, strict=True)]})  # fmt: skip
    rest = table.drop(columns=["word", "onset", "offset", "section"]).loc[
        :, lambda t: ~t.columns.str.startswith("Unnamed")
    ]
    found = pd.concat([known, rest[[c for c in rest if c not in known]]], axis=1)
    found.attrs["texts"] = {str(t): " ".join(part) for t, part in said.groupby(pd.Series(text_id), sort=False)}
    return found


def _of_section(recording: Recording, section: int, language: str, drop_volumes: int) -> Recording:
    skipped = drop_volumes / recording.sfreq
    length = recording.duration + skipped - _AFTER[language]
    if length <= 0:
        raise BraindecError(
            f"{recording.label} is shorter than what follows the sound", found=f"{recording.duration:g} s"
        )
    events = pd.DataFrame({
        "onset": [0.0 - skipped], "duration": [length], "trial_type": ["audio"], "stimulus_id": [f"lpp{language}-{section}"],
    })  # fmt: skip
    said = [text for text in recording.info.get("warnings", []) if "has no events.tsv" not in text]
    return replace(recording, events=events, info={**recording.info, "run": str(section), "warnings": said})


def _for_fmri(options: dict[str, Any]) -> dict[str, Any]:
    values = _options.bind(load, options)
    language = values.pop("language")
    _known(language)
    values.pop("subject")
    return {**values, "task": f"lpp{language}"}


def _known(language: str) -> None:
    if language not in LANGUAGES:
        raise BraindecError(
            f"no language {language!r}{did_you_mean(str(language), LANGUAGES)}", allowed=", ".join(LANGUAGES)
        )


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read as a table", found=" ".join(str(error).split())[:200]) from None
