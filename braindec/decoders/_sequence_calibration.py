"""How many minutes of a new subject are enough: top-k against data, adapted, from scratch, and without any (zero-shot).

Every seed draws its own stretches of the calibration recordings (smaller parts lie inside larger ones) and its own first weights.
All conditions of a seed see the same windows, so that they can be compared in pairs. Channels have one scale for the whole subject, since
a few minutes need not touch each of its recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from tqdm import tqdm

from braindec.decoders._calibration import CalibrationCurve
from braindec.decoders._reading import spread_groups
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Segments, Windows

CONDITIONS = ("adapted", "scratch", "zero-shot")

__all__ = ["CONDITIONS", "nested_stretches", "sequence_calibration"]


def sequence_calibration(
    decoder: Any,
    train: Windows,
    segments: Segments,
    *,
    test: Windows,
    candidates: Segments,
    minutes: Sequence[float] = (0.5, 1.0, 2.0),
    conditions: Sequence[str] = CONDITIONS,
    seeds: Sequence[int] = (0, 1, 2),
    how: str = "layer",
    steps: int = 100,
    k: int = 10,
    adapt_options: Mapping[str, Any] | None = None,
    scratch_options: Mapping[str, Any] | None = None,
) -> CalibrationCurve:
    """Score a new subject with growing amounts of its data.

    Parameters
    ----------
    decoder : SequenceContrastiveDecoder
        Fitted on other subjects. From scratch means a clone of it that is fitted on the new subject's windows alone.
    train : Windows
        Calibration windows of the new subject; whole blocks of sentences of them are drawn.
    segments : Segments
        What was heard in them.
    test, candidates : Windows, Segments
        What is scored, the same for all amounts.
    minutes : sequence of float
        Of sound that was heard. Amounts beyond what there is are cut to that.
    conditions : sequence of str
        Of "adapted", "scratch" and "zero-shot" (channels are scaled by the same windows, nothing is trained).
    seeds : sequence of int
        Each draws its own stretches and first weights.
    how : str
        See :meth:`~braindec.decoders.sequence_contrastive.SequenceContrastiveDecoder.adapt`.
    steps : int
        Updates of each training, whatever the amount.
    k : int
        Of the top-k.
    adapt_options, scratch_options : dict, optional
        Settings that differ when it is adapted, or trained from scratch.

    Raises
    ------
    BraindecError
        If a condition is unknown, or there are no minutes.
    """
    unknown = [c for c in conditions if c not in CONDITIONS]
    if unknown:
        raise BraindecError(
            f"there is no condition {unknown[0]!r}{did_you_mean(unknown[0], CONDITIONS)}", allowed=", ".join(CONDITIONS)
        )
    if not minutes or min(minutes) <= 0:
        raise BraindecError("minutes of the new subject must be above 0", found=str(list(minutes)))
    rows = []
    bar = tqdm(total=len(seeds) * len(minutes) * len(conditions), desc="calibration", leave=False, disable=None)
    for seed in seeds:
        parts = nested_stretches(train, sorted(minutes), seed=seed)
        for share, (part, amount) in enumerate(parts):
            some = train[part]
            fixed = {
                "folder": None,
                "patience": None,
                "seed": seed,
                "scale_by": None,
            }  # few minutes may miss a recording
            for condition in conditions:
                options = {**fixed, **((adapt_options if condition == "adapted" else scratch_options) or {})}
                options |= _as_many(decoder, len(some), steps, options)
                if condition == "adapted":
                    made = decoder.adapt(some, segments, how=how, **options)
                elif condition == "scratch":
                    made = clone(decoder).set_params(**options).fit(some, segments)
                else:
                    made = decoder.adapt(some, how="scale", scale_by=None)
                rows.append({"condition": condition, "share": share, "n_trials": len(some), "minutes": amount, "seed": seed,
                             "value": made.score(test, candidates, k=k)})  # fmt: skip
                bar.update()
    bar.close()
    order = {c: i for i, c in enumerate(conditions)}
    table = pd.DataFrame(rows).sort_values(
        ["condition", "share", "seed"], key=lambda c: c.map(order) if c.name == "condition" else c
    )
    table["minutes"] = table.groupby("share")["minutes"].transform("mean")
    return CalibrationCurve(table.reset_index(drop=True), min(1.0, k / len(candidates)), len(candidates), len(test))


def nested_stretches(windows: Windows, minutes: Sequence[float], *, seed: int) -> list[tuple[np.ndarray, float]]:
    """Return (rows, minutes of sound) of whole blocks in random order for each amount; smaller parts lie inside larger ones."""
    trials = windows.trials
    recording = spread_groups(windows, ("recording", "run", "session"))
    heard = pd.MultiIndex.from_arrays([recording, trials["block_id"].astype(str), trials["block_start"].round(3)])
    code, stretches = pd.factorize(heard)
    length = (trials["block_stop"] - trials["block_start"]).groupby(code).first().to_numpy() / 60
    order = np.random.default_rng([seed, 19]).permutation(len(stretches))
    reached = np.cumsum(length[order])
    found = []
    for amount in minutes:
        n = min(int(np.searchsorted(reached, amount - 1e-9)) + 1, len(order))
        found.append((np.flatnonzero(np.isin(code, order[:n])), float(reached[n - 1])))
    return found


def _as_many(decoder: Any, n: int, steps: int, options: Mapping[str, Any]) -> dict[str, int]:
    """Batch size and epochs that give about ``steps`` updates."""
    if "epochs" in options:
        return {}
    batch = max(2, min(options.get("batch_size", decoder.batch_size), n))
    return {"batch_size": batch, "epochs": max(1, round(steps / max(1, n // batch)))}
