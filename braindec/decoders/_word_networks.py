"""Rows of a trained network beside the linear decoder: all stages, from scratch, few labels, exchanged labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from braindec.decoders._word_rows import difference_row, run_names, word_row
from braindec.stats.permutation import permute_within
from braindec.types import FitRecord, Split, Windows

__all__ = ["NetworkRows", "network_rows"]


class NetworkRows(NamedTuple):
    """What :func:`network_rows` found.

    Parameters
    ----------
    table : DataFrame
        Rows "decoded", "few labels", "label_shuffle" and, for decoders with stages, "from scratch" and "few labels, from scratch",
        and what the stages before classification add to both (metric "accuracy_difference").
    records : list of FitRecord
        Of the decoded row.
    history : mapping
        Of its training; empty for decoders without one.
    codes : array of shape (n_codes,) or None
        How many tokens of the held-out windows have each code.
    """

    table: pd.DataFrame
    records: list[FitRecord]
    history: Mapping[str, Mapping[str, np.ndarray]]
    codes: np.ndarray | None


def network_rows(
    make: Callable[..., Any], windows: Windows, y: np.ndarray, split: Split, *, unlabelled: Windows | None, few: np.ndarray, note: str,
    rng: np.random.Generator, folder: str | None, **statistics: Any,
) -> NetworkRows:  # fmt: skip
    """Train a decoder on the training rows and score it on the test rows, in several ways.

    Parameters
    ----------
    make : callable
        ``make(**options)`` gives a decoder that is not fitted. One with ``pretrain`` is trained without labels once, on ``unlabelled``
        and the training windows; every row with stages begins from there.
    few : array of int
        Training rows whose labels are used in the rows of few labels; a decoder with ``epochs`` gets so many more of them there that it
        takes as many steps as with all labels, so that a network from scratch is not behind for lack of training.
    note : str
        What to know beside these.
    rng : Generator
        Exchanges the labels of "label_shuffle", within runs; with few labels, as three more trainings on all take their time.
    folder : str, optional
        Checkpoints of the decoded row.
    **statistics
        n_permutations, n_bootstrap, seed and keys of :func:`~braindec.decoders._word_rows.word_row`.
    """
    train, test, runs = split.train, split.test, run_names(windows)

    right: dict[str, np.ndarray] = {}

    def scored(decoder: Any, rows: np.ndarray, labels: np.ndarray, row: str, said: str = "") -> dict[str, Any]:
        predicted = decoder.fit(windows[rows], labels).predict(windows[test])
        right[row] = predicted == y[test]
        return word_row(predicted, y[test], runs[test], row=row, note=said, **statistics)

    mixed, plain = permute_within(y[few], runs[few], rng), make()
    longer = {"epochs": round(plain.epochs * len(train) / len(few))} if hasattr(plain, "epochs") else {}
    if not hasattr(plain, "pretrain"):
        decoder = make()
        rows = [scored(decoder, train, y[train], "decoded")]
        records = list(decoder.fit_records_)
        rows += [
            scored(make(**longer), few, y[few], "few labels", note),
            scored(make(**longer), few, mixed, "label_shuffle", note),
        ]
        return NetworkRows(pd.DataFrame(rows), records, {}, None)
    before = [windows[train]] if unlabelled is None else [unlabelled, windows[train]]
    decoder, scratch = make(folder=folder).pretrain(before), {"stages": ["cls"]}
    rows = [scored(decoder, train, y[train], "decoded", "all stages, all labels")]
    records, history, codes = list(decoder.fit_records_), dict(decoder.history_), decoder.code_counts(windows[test])
    rows.append(scored(make(**scratch), train, y[train], "from scratch", "no stage before classification, all labels"))
    decoder.set_params(**longer)
    rows.append(scored(decoder, few, y[few], "few labels", note))
    rows.append(scored(make(**scratch, **longer), few, y[few], "few labels, from scratch", note))
    rows.append(scored(decoder, few, mixed, "label_shuffle", f"words exchanged within runs, {note}"))
    how = {k: statistics[k] for k in ("n_bootstrap", "seed", "keys") if k in statistics}
    for with_stages, name, said in (
        ("few labels", "few labels, over scratch", note),
        ("decoded", "over scratch", "all labels"),
    ):
        without = "few labels, from scratch" if with_stages == "few labels" else "from scratch"
        rows.append(difference_row(right[with_stages], right[without], row=name, note=said, **how))
    return NetworkRows(pd.DataFrame(rows), records, history, codes)
