"""Selections of a speller from a replay: evidence of flashes added up, bits a minute, stopping early.

Each flash gives the log odds that it was meant. They add up for each choice; the best choice after some repeats is selected.
How many repeats to wait for, or how sure to be before stopping, is chosen on training runs, scored by decoders that did not
see them.

Source: Farwell & Donchin (1988, Electroencephalogr Clin Neurophysiol 70:510); Wald (1945, Ann Math Stat 16:117).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.evaluate.information_rate import (
    Accumulated,
    accumulate,
    bits_per_minute,
    stop_early,
    stopping_threshold,
    wolpaw_bits,
)
from braindec.online.replay import Replay
from braindec.stats.binomial import binomial_p, clopper_pearson

__all__ = ["Selections", "selections_of"]


@dataclass(frozen=True, eq=False)
class Selections:
    """What was selected.

    Parameters
    ----------
    scores : DataFrame
        Rows of a Result: accuracy_of_selections and rate_of_selections (bits a minute), all repeats and stopped early.
    repeats, accuracy, low, high, bits : array of shape (n_repeats,)
        For each fixed number of repeats; bits a minute.
    early : (float, float, float)
        Mean number of repeats, share right, bits a minute when stopped early.
    threshold : float
        Posterior at which a selection ends, chosen on training runs.
    n_items, n : int
    """

    scores: pd.DataFrame
    repeats: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bits: np.ndarray
    early: tuple[float, float, float]
    threshold: float
    n_items: int
    n: int


def selections_of(found: Replay, decoder: Any, *, target: str, column: str = "trial_type") -> Selections:
    """Return selections of a replay whose events say ``item``, ``selection`` and ``repetition``.

    Parameters
    ----------
    found : Replay
        Of a decoder that was trained once.
    decoder : estimator
        Not fitted; trained on all but one of the training runs in turn, for the choice of the threshold.
    target : str
        The class of flashes that were meant.
    column : str
        The column of classes.

    Raises
    ------
    BraindecError
        If the events do not say these things, or training has one run only.
    """
    trials = found.windows.trials
    lacking = [c for c in ("item", "selection", "repetition") if c not in trials]
    if lacking or target not in list(found.classes):
        raise BraindecError("selections need events with item, selection and repetition, and the class that was meant",
                            found=f"without {', '.join(lacking)}" if lacking else f"no class {target!r}")  # fmt: skip
    seconds, pause = _timing(trials)
    tested = found.decided
    live = _evidence(tested, found.classes, target)
    threshold = stopping_threshold(_training(found, decoder, target, column), seconds_a_repeat=seconds, pause=pause)
    n_items, n = live.evidence.shape[2], len(live.true)
    share = live.accuracy
    repeats = np.arange(1, len(share) + 1)
    each = [bits_per_minute(wolpaw_bits(a, n_items), k * seconds + pause) for k, a in zip(repeats, share, strict=True)]
    ends = np.array([clopper_pearson(round(a * n), n) for a in share])
    chosen, used = stop_early(live, threshold)
    hit, mean = float(np.mean(chosen == live.true)), float(used.mean())
    rows = [
        *_rows("decoded", float(share[-1]), n, n_items, repeats[-1] * seconds + pause, f"after all {repeats[-1]} repeats"),
        *_rows("stopped_early", hit, n, n_items, mean * seconds + pause,
               f"stopped at a posterior of {min(threshold, 1):.3g} (chosen on training runs), after {mean:.1f} of {repeats[-1]} repeats on average"),
    ]  # fmt: skip
    early = (mean, hit, float(rows[-1]["value"]))
    return Selections(
        pd.DataFrame(rows), repeats, share, ends[:, 0], ends[:, 1], np.array(each), early, threshold, n_items, n
    )


def _rows(row: str, share: float, n: int, n_items: int, seconds: float, note: str) -> list[dict[str, Any]]:
    k = round(share * n)
    low, high = clopper_pearson(k, n)
    p = binomial_p(k, n, 1 / n_items) if row == "decoded" else np.nan
    rate = [bits_per_minute(wolpaw_bits(v, n_items), seconds) for v in (share, low, high)]
    return [
        {"metric": "accuracy_of_selections", "version": "1", "row": row, "value": share, "chance": 1 / n_items, "low": low, "high": high, "p": p,
         "n": n, "note": f"{note}; {n_items} choices, exact interval and p"},
        {"metric": "rate_of_selections", "version": "1", "row": row, "value": rate[0], "chance": 0.0, "low": rate[1], "high": rate[2], "p": p,
         "n": n, "note": f"{note}; Wolpaw's rate, {seconds:.3g} s a selection with the pause"},
    ]  # fmt: skip


def _timing(trials: pd.DataFrame) -> tuple[float, float]:
    """Seconds of one repeat of all choices, and of the pause between selections."""
    runs = [c for c in ("session", "run") if c in trials]
    ordered = trials.sort_values([*runs, "onset"])
    group = ordered.groupby([*runs, "selection"], sort=False)["onset"]
    repeats = ordered.groupby([*runs, "selection"], sort=False)["repetition"].nunique()
    flashes = group.count() / repeats
    step = (group.max() - group.min()) / (group.count() - 1)
    a_repeat = float((step * flashes).median())
    starts = group.min().groupby(runs).diff().dropna() if runs else group.min().diff().dropna()
    pause = float((starts - a_repeat * repeats.median()).median()) if len(starts) else 0.0
    return a_repeat, max(0.0, pause)


def _evidence(table: pd.DataFrame, classes: np.ndarray, target: str) -> Accumulated:
    others = [f"score_{c}" for c in classes if c != target]
    odds = table[f"score_{target}"] - table[others].max(axis=1)
    table = table.assign(odds=odds.to_numpy(dtype=float))
    items = sorted(table["item"].unique())
    n_repeats = int(table["repetition"].max())
    keys = [c for c in ("session", "run", "selection") if c in table]
    evidence, true = [], []
    for _, part in table.groupby(keys, sort=False):
        meant = part.loc[part["true"] == target, "item"].unique()
        cells = part.pivot_table(index="repetition", columns="item", values="odds", aggfunc="sum")
        cells = cells.reindex(index=range(1, n_repeats + 1), columns=items)
        if len(meant) != 1 or cells.isna().to_numpy().any():
            continue  # flashes at the border of a run, or never decided
        evidence.append(cells.to_numpy())
        true.append(items.index(meant[0]))
    if len(true) < 2:
        raise BraindecError("fewer than two whole selections were decided", found=f"{len(true)}")
    return accumulate(np.array(evidence), np.array(true))


def _training(found: Replay, decoder: Any, target: str, column: str) -> Accumulated:
    """Evidence of the training runs, each scored by a decoder of the others."""
    from sklearn.base import clone

    rows = found.splits[0].train
    windows = found.windows[rows]
    home, y = windows.index[:, 0], windows.trials[column].to_numpy()
    if len(np.unique(home)) < 2:
        raise BraindecError("the number of repeats is chosen over training runs: two or more are needed", found="one")
    parts = []
    for run in np.unique(home):
        held = home == run
        scores = clone(decoder).fit(windows[~held], y[~held]).decision(windows[held])
        table = windows[held].trials.assign(true=y[held])
        parts.append(table.assign(**{f"score_{c}": scores[:, k] for k, c in enumerate(found.classes)}))
    return _evidence(pd.concat(parts, ignore_index=True), found.classes, target)
