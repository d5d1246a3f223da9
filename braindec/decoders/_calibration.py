"""How much data of a new subject is enough: score against trials (or minutes), adapted, from scratch, and ridge.

Every seed draws its own part of the calibration trials (smaller parts lie inside larger ones) and its own first weights.
All conditions of a seed see the same trials, so that they can be compared in pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from tqdm import tqdm

from braindec.decoders._embedding import unit
from braindec.decoders._reading import column
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.bootstrap import bootstrap_interval
from braindec.types import Features, Windows

CONDITIONS = ("adapted", "scratch", "ridge")

__all__ = ["CONDITIONS", "CalibrationCurve", "calibration_curve", "nested_rows"]


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Outcome of :func:`calibration_curve`.

    Parameters
    ----------
    scores : DataFrame
        One row a condition, amount of data and seed: condition, share, n_trials, minutes, seed, value.
    chance : float
        1 / number of candidates.
    n_candidates : int
        Size of the candidate set.
    n_test : int
        Test trials (or stimuli, when their trials were averaged) behind each value.
    """

    scores: pd.DataFrame
    chance: float
    n_candidates: int
    n_test: int

    def summary(self, *, level: float = 0.95, seed: int = 0) -> pd.DataFrame:
        """Return mean and interval over seeds: condition, share, n_trials, minutes, value, low, high, n.

        The interval speaks of other draws of the calibration trials and first weights, with the same test trials.
        """
        rows = []
        for key, group in self.scores.groupby(["condition", "share"], sort=False):
            values = group["value"].to_numpy()
            low, high = bootstrap_interval(values, rng=seed, level=level) if len(values) > 1 else (values[0], values[0])
            rows.append({"condition": key[0], "share": key[1], "n_trials": int(group["n_trials"].iloc[0]),
                         "minutes": group["minutes"].iloc[0], "value": values.mean(), "low": max(low, 0.0),
                         "high": min(high, 1.0), "n": len(values)})  # fmt: skip
        return pd.DataFrame(rows)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the summary as arrays of shape (n_conditions, n_amounts), for the picture."""
        table = self.summary()
        names = list(dict.fromkeys(table["condition"]))
        pivot = {c: np.stack([table.loc[table["condition"] == n, c].to_numpy(dtype=float) for n in names])
                 for c in ("value", "low", "high", "n_trials", "minutes")}  # fmt: skip
        x = pivot["minutes"][0] if np.isfinite(pivot["minutes"]).all() else pivot["n_trials"][0]
        return {"amount": x, "value": pivot["value"], "low": pivot["low"], "high": pivot["high"],
                "conditions": np.array(names, dtype=object)}  # fmt: skip

    @property
    def unit(self) -> str:
        """Unit of the amounts in :meth:`arrays`."""
        return "minutes" if np.isfinite(self.scores["minutes"].astype(float)).all() else "trials"


def calibration_curve(
    decoder: Any,
    train: Windows,
    features: Features,
    *,
    test: Windows,
    candidates: Features,
    shares: Sequence[float] = (0.1, 0.3, 1.0),
    conditions: Sequence[str] = CONDITIONS,
    seeds: Sequence[int] = (0, 1, 2),
    how: str = "reset",
    ridge: Any = None,
    average: bool = True,
    seconds_per_trial: float | None = None,
    adapt_options: Mapping[str, Any] | None = None,
    scratch_options: Mapping[str, Any] | None = None,
) -> CalibrationCurve:
    """Score a new subject with growing amounts of its data.

    Parameters
    ----------
    decoder : CrossSubjectDecoder
        Fitted on other subjects. From scratch means a clone of it that is fitted on the new subject's trials alone.
    train : Windows
        All calibration trials of the new subject; shares of them are drawn.
    features : Features
        Embeddings of their stimuli.
    test, candidates : Windows, Features
        What is scored, the same for all amounts.
    shares : sequence of float
        Shares of ``train``, above 0 to 1.
    conditions : sequence of str
        Of "adapted", "scratch" and "ridge".
    seeds : sequence of int
        Each draws its own parts and first weights.
    how : str
        See :meth:`~braindec.decoders.cross_subject.CrossSubjectDecoder.adapt`.
    ridge : estimator, optional
        The ridge decoder, not fitted; by default one with standard scaling.
    average : bool
        Average the embeddings of a test stimulus's trials.
    seconds_per_trial : float, optional
        Time that a trial takes, s; amounts are then minutes too.
    adapt_options, scratch_options : dict, optional
        Settings that differ when it is adapted, or trained from scratch.

    Raises
    ------
    BraindecError
        If a share or condition is unknown, or a test stimulus is no candidate.
    """
    unknown = [c for c in conditions if c not in CONDITIONS]
    if unknown:
        raise BraindecError(f"there is no condition {unknown[0]!r}{did_you_mean(unknown[0], CONDITIONS)}",
                            allowed=", ".join(CONDITIONS))  # fmt: skip
    shares = sorted(shares)
    if not shares or not 0 < shares[0] <= shares[-1] <= 1:
        raise BraindecError("shares of the calibration trials must lie between 0 and 1", found=str(list(shares)))
    if ridge is None:
        from braindec.decoders.ridge import RidgeDecoder

        ridge = RidgeDecoder(scaler="standard")
    rows = []
    bar = tqdm(total=len(seeds) * len(shares) * len(conditions), desc="calibration", leave=False, disable=None)
    for seed in seeds:
        parts = nested_rows(train, shares, seed=seed)
        for share, part in zip(shares, parts, strict=True):
            some = train[part]
            for condition in conditions:
                if condition == "adapted":
                    made = decoder.adapt(some, features, how=how, **{"seed": seed, **(adapt_options or {})})
                elif condition == "scratch":
                    made = clone(decoder).set_params(**{"seed": seed, **(scratch_options or {})}).fit(some, features)
                else:
                    made = clone(ridge).fit(some, features)
                value = top1(made, test, candidates, average=average)
                minutes = np.nan if seconds_per_trial is None else len(part) * seconds_per_trial / 60
                rows.append({"condition": condition, "share": share, "n_trials": len(part), "minutes": minutes,
                             "seed": seed, "value": value})  # fmt: skip
                bar.update()
    bar.close()
    n_test = len(set(test.trials["stimulus_id"])) if average else len(test)
    order = {c: i for i, c in enumerate(conditions)}
    table = pd.DataFrame(rows).sort_values(
        ["condition", "share", "seed"], key=lambda c: c.map(order) if c.name == "condition" else c
    )
    return CalibrationCurve(table.reset_index(drop=True), 1 / len(candidates.ids), len(candidates.ids), n_test)


def nested_rows(windows: Windows, shares: Sequence[float], *, seed: int) -> list[np.ndarray]:
    """Return random rows for each share; smaller parts lie inside larger ones, and at least 2 rows are taken."""
    order = np.random.default_rng([seed, 17]).permutation(len(windows))
    return [np.sort(order[: max(2, round(share * len(windows)))]) for share in shares]


def top1(decoder: Any, test: Windows, candidates: Features, *, average: bool) -> float:
    """Share of test trials (or stimuli, trials averaged) whose most similar candidate is right; ties share the hit."""
    shown = column(test, "stimulus_id")
    items, codes = np.unique(shown, return_inverse=True) if average else (shown, np.arange(len(shown)))
    total = np.zeros((len(items), candidates.shape[1]))
    np.add.at(total, codes, decoder.embed(test))
    similarity = unit(total) @ unit(decoder.project(candidates).load()).T
    best = similarity >= similarity.max(axis=1, keepdims=True)
    own = candidates.rows_of(items)
    return float((best[np.arange(len(own)), own] / best.sum(axis=1)).mean())
