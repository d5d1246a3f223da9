"""Neuroprobe: fifteen two-class tasks on words of films, and three regimes that say what is new in the test part.

SS-SM (same subject, same movie): contiguous folds of one recording, with a gap. SS-DM (same subject, different movie):
trained on other films of the subject. DS-DM (different subject, different movie): trained on other subjects' recordings
of other films.

A film that is tested is never trained on in SS-DM and DS-DM, also where other subjects watched it: the content would be
known. Classes of tasks with numbers are the top and the bottom quarter, with limits taken from the training rows.

Source: Zahorodnii et al. 2025, arXiv 2509.21671, and neuroprobe/{config,datasets,train_test_splits}.py of
github.com/insight-neuro/neuroprobe for tasks and regimes.

Differs from the reference in: quartiles of the training rows instead of all rows; classes are not thinned to equal
number (the score is an AUROC); pitch and volume are the columns of features.csv; folds have a gap; one may train on
several films or subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._rows import rows_of
from braindec.evaluate.splits import split_by
from braindec.types import Split, Windows

__all__ = ["REGIMES", "TASKS", "Fold", "neuroprobe_folds", "neuroprobe_labels", "neuroprobe_splits"]

REGIMES = ("SS-SM", "SS-DM", "DS-DM")
_QUARTILES = {
    "volume": "rms",
    "pitch": "pitch",
    "delta_volume": "delta_rms",
    "gpt2_surprisal": "gpt2_surprisal",
    "word_length": "word_length",
    "word_gap": "word_gap",
    "frame_brightness": "mean_pixel_brightness",
    "global_flow": "max_global_magnitude",
    "local_flow": "max_vector_magnitude",
}
_VALUES = {"word_index": ("word_index", "first", "second"), "word_head_pos": ("bin_head", "left", "right"),
           "word_part_speech": ("pos", "verb", "noun"), "face_num": ("face_num", "faces", "none")}  # fmt: skip
_SPEECH = {"onset": ("sentence onset", "nonverbal"), "speech": ("speech", "nonverbal")}
TASKS = tuple(sorted([*_QUARTILES, *_VALUES, *_SPEECH]))


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of a task.

    Parameters
    ----------
    split : Split
        Rows of all trials; rows without a class are in no part.
    labels : array of shape (n_rows,), object
        Class of each row, None where it has none.
    """

    split: Split
    labels: np.ndarray

    def classes(self, rows: np.ndarray) -> np.ndarray:
        """Classes of rows of the split."""
        return self.labels[rows].astype(str)


def neuroprobe_splits(
    trials: Windows | pd.DataFrame,
    regime: str,
    *,
    subject: str,
    session: str,
    train_subjects: Sequence[str] | None = None,
    train_sessions: Sequence[str] | None = None,
    n_folds: int = 2,
    gap: float = 1.0,
) -> list[Split]:
    """Split trials by a regime.

    Parameters
    ----------
    trials : Windows or DataFrame
        Columns subject, session, onset, duration and story (the film).
    regime : {"SS-SM", "SS-DM", "DS-DM"}
        See the module.
    subject, session : str
        Which recording is tested.
    train_subjects, train_sessions : list of str, optional
        Only these train (SS-DM: sessions; DS-DM: subjects and sessions); all that the regime allows by default.
    n_folds : int
        Contiguous folds of SS-SM.
    gap : float
        s between training and test rows of SS-SM.

    Returns
    -------
    list of Split
        ``n_folds`` of them for SS-SM, else one.

    Raises
    ------
    BraindecError
        If a column, subject or session is not there, or nothing is left to train on.
    """
    if regime not in REGIMES:
        raise BraindecError(f"there is no regime {regime!r}{did_you_mean(regime, REGIMES)}", allowed=", ".join(REGIMES))
    rows = rows_of(trials)
    column = {name: rows.column(name) for name in ("subject", "session", "story")}
    missing = [name for name, values in column.items() if values is None]
    if missing:
        raise BraindecError(
            f"Neuroprobe needs the column {missing[0]}", allowed=", ".join(map(str, rows.trials.columns))
        )
    mine = (column["subject"] == str(subject)) & (column["session"] == str(session))
    if not mine.any():
        there = sorted({f"{a} {b}" for a, b in zip(column["subject"], column["session"], strict=True)})
        raise BraindecError(
            f"there is no recording of subject {subject}, session {session}", allowed=", ".join(there[:30])
        )
    test = np.flatnonzero(mine)
    if regime == "SS-SM":
        inside = rows.trials.assign(window_id=rows.ids).iloc[test]
        folds = split_by(inside, "time", n_folds=n_folds, gap=gap)
        return [
            Split(
                test[f.train],
                test[f.validation],
                test[f.test],
                by="time",
                ids=rows.ids,
                name=f"SS-SM {f.name}",
                gap=gap,
            )
            for f in folds
        ]
    films = set(column["story"][test])
    same = column["subject"] == str(subject)
    train = (same if regime == "SS-DM" else ~same) & ~np.isin(column["story"], list(films))
    if train_subjects is not None and regime == "DS-DM":
        train &= np.isin(column["subject"], [str(s) for s in train_subjects])
    if train_sessions is not None:
        train &= np.isin(column["session"], [str(s) for s in train_sessions])
    if not train.any():
        what = "another film of this subject" if regime == "SS-DM" else "another subject with another film"
        raise BraindecError(
            f"{regime}: there is no recording of {what} to train on",
            found=f"the test film is {', '.join(sorted(films))}",
            fix="load more sessions or subjects, or use SS-SM",
        )
    name = f"{regime} sub-{subject}_ses-{session}"
    return [Split(np.flatnonzero(train), np.empty(0, int), test, by="story", ids=rows.ids, name=name)]


def neuroprobe_labels(trials: Windows | pd.DataFrame, task: str, *, train: np.ndarray) -> np.ndarray:
    """Return the class of each row, None where it has none; limits of quartiles are those of the rows ``train``.

    Parameters
    ----------
    trials : Windows or DataFrame
        Words with the columns of features.csv, and for onset and speech stretches of trial_type "nonverbal".
    task : str
        One of :data:`TASKS`.
    train : array of int
        Training rows.

    Raises
    ------
    BraindecError
        If the task is unknown or needs what is not there.
    """
    if task not in TASKS:
        raise BraindecError(f"there is no task {task!r}{did_you_mean(task, TASKS)}", allowed=", ".join(TASKS))
    table = rows_of(trials).trials
    word = (table["trial_type"] == "word").to_numpy()
    labels = np.full(len(table), None, dtype=object)
    if task in _SPEECH:
        silent = (table["trial_type"] == "nonverbal").to_numpy()
        if not silent.any():
            raise BraindecError(
                f"the task {task} needs stretches without words",
                found=f"trial_type {sorted(table['trial_type'].unique())[:6]}",
                fix="open the data with the option nonverbal: true",
            )
        spoken = word if task == "speech" else word & (_numbers(table, "is_onset", task) > 0)
        labels[spoken], labels[silent] = _SPEECH[task]
    elif task in _VALUES:
        first, second = _matches(table, task)
        labels[word & first], labels[word & second] = _VALUES[task][1:]
    else:
        values = _gaps(table, word) if task == "word_gap" else _numbers(table, _QUARTILES[task], task)
        known = word & np.isfinite(values)
        seen = values[np.intersect1d(train, np.flatnonzero(known))]
        if len(seen) < 8:
            raise BraindecError(
                f"the task {task} has {len(seen)} training rows with a value: no quartiles", fix="train on more"
            )
        low, high = np.quantile(seen, (0.25, 0.75))
        labels[known & (values < low)], labels[known & (values > high)] = "low", "high"
    return labels


def neuroprobe_folds(trials: Windows | pd.DataFrame, task: str, regime: str, **options: object) -> list[Fold]:
    """Return the folds of a task in a regime: splits of the rows that have a class, and the classes; options as for
    :func:`neuroprobe_splits`.

    Raises
    ------
    BraindecError
        If a part is left with fewer than two classes.
    """
    folds = []
    for split in neuroprobe_splits(trials, regime, **options):  # type: ignore[arg-type]
        labels = neuroprobe_labels(trials, task, train=split.train)
        has = np.array([label is not None for label in labels])
        parts = [part[has[part]] for part in (split.train, split.validation, split.test)]
        for name, part in (("training", parts[0]), ("test", parts[2])):
            classes = sorted(set(labels[part].tolist()))
            if len(classes) < 2:
                raise BraindecError(
                    f"{task}, {split.name}: the {name} part has {len(classes)} classes",
                    found=", ".join(classes) or "no row with a class",
                )
        folds.append(Fold(Split(*parts, by=split.by, ids=split.ids, name=split.name, gap=split.gap), labels))
    return folds


def _numbers(table: pd.DataFrame, column: str, task: str) -> np.ndarray:
    if column not in table:
        raise BraindecError(f"the task {task} needs the column {column}", allowed=", ".join(map(str, table.columns)))
    return pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)


def _matches(table: pd.DataFrame, task: str) -> tuple[np.ndarray, np.ndarray]:
    column = _VALUES[task][0]
    if task == "word_part_speech":
        if column not in table:
            raise BraindecError(
                f"the task {task} needs the column {column}", allowed=", ".join(map(str, table.columns))
            )
        kind = table[column].astype(str).to_numpy()
        return kind == "VERB", kind == "NOUN"
    values = _numbers(table, column, task)
    return (values > 0, values == 0) if task == "face_num" else (values == 0, values == 1)


def _gaps(table: pd.DataFrame, word: np.ndarray) -> np.ndarray:
    """s from the end of the word before to the onset, inside one sentence of one recording; NaN elsewhere."""
    gaps = np.full(len(table), np.nan)
    rows = np.flatnonzero(word)
    keys = [c for c in ("subject", "session", "run") if c in table]
    order = rows[
        np.lexsort(
            [table["onset"].to_numpy(float)[rows], *(pd.factorize(table[k].iloc[rows])[0] for k in reversed(keys))]
        )
    ]
    onset, end = table["onset"].to_numpy(float)[order], (table["onset"] + table["duration"]).to_numpy(float)[order]
    same = np.ones(len(order) - 1, dtype=bool)
    for column in (*keys, "sentence"):
        values = table[column].astype(str).to_numpy()[order]
        same &= values[1:] == values[:-1]
    gaps[order[1:][same]] = (onset[1:] - end[:-1])[same]
    return gaps
