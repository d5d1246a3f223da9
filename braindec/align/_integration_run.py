"""One subject and one type of event, from windows to tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._integration_data import Bins, event_features, film_times, responses_of
from braindec.align._integration_fit import BlockSums, Models, score_models
from braindec.align._integration_table import CONTROLLED
from braindec.align._integration_test import bin_tests, site_tests, widening_of
from braindec.errors import BraindecError
from braindec.types import Features, Split, Windows

__all__ = ["Analysed", "Job", "analyse", "by_type"]

_BLOCKS = 8  # of film, at least, for a test


@dataclass(frozen=True, eq=False)
class Job:
    """What is the same for all subjects and types of event; ``where`` names the event column of each model's ids."""

    models: Models
    features: Mapping[str, Features]
    where: Mapping[str, str]
    bins: Bins
    type_column: str
    time_column: str
    film_column: str | None
    missing: str
    min_events: int
    n_bootstrap: int
    rng: np.random.Generator
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Analysed:
    """Outcome of one subject and type: block sums, tests of electrodes, p of bins (n_targets,), folds, events, widening."""

    scored: BlockSums
    sites: dict[str, np.ndarray]
    p: np.ndarray
    splits: Sequence[Split]
    trials: pd.DataFrame
    widening: tuple[float, float]


def analyse(
    job: Job, subject: str, windows: Windows, kind: str, *, notes: list[str], step: Callable[[], Any]
) -> Analysed | None:
    """Score and test all electrodes at events of a type; None, and a note, where there are too few.

    Raises
    ------
    BraindecError
        If there is too little film for blocks, or features and events do not fit.
    """
    rows = np.flatnonzero((windows.trials[job.type_column].astype(str) == kind).to_numpy())
    X, kept = event_features(job.features, job.where, windows.trials.iloc[rows], job.missing)
    if not kept.all():
        notes.append(f"sub-{subject}: {int((~kept).sum())} of {len(kept)} events of type {kind!r} have no features and are left out.")  # fmt: skip
    rows = rows[kept]
    if len(rows) < job.min_events:
        notes.append(f"sub-{subject}: {len(rows)} events of type {kind!r} are fewer than the {job.min_events} asked for; the type is left out.")  # fmt: skip
        return None
    at, film = film_times(windows.trials.iloc[rows], job.time_column, job.film_column)
    order = np.lexsort([at, film])
    rows, at, film = rows[order], at[order], film[order]
    Y = responses_of(windows, rows, job.bins).reshape(len(rows), -1)
    X = {name: values[order] for name, values in X.items()}
    scored = score_models(X, Y, job.models, at=at, film=film, step=step, **job.options)
    if len(scored.counts) < _BLOCKS:
        raise BraindecError(
            f"sub-{subject}: {len(scored.counts)} blocks of film are too few for a test",
            found=f"blocks of {job.options['block']:g} s in {np.ptp(at):.0f} s of film",
            allowed=f"{_BLOCKS} blocks or more", fix="use more film, or shorter blocks if the signal forgets sooner",
        )  # fmt: skip
    widening, neighbours = widening_of(scored, job.models)
    pairs = {CONTROLLED: job.models.controlled} if job.models.controlled else {}
    sites = site_tests(scored, job.models, windows.n_channels, widening=widening, n_bootstrap=job.n_bootstrap, rng=job.rng, pairs=pairs)  # fmt: skip
    twins = tuple(job.models.random[m] for m in job.models.multimodal if m in job.models.random)
    if twins:  # the same test with the untrained twin in place of the model: nothing may pass
        untrained = replace(job.models, multimodal=twins, random={})
        sites["untrained_p"] = site_tests(scored, untrained, windows.n_channels, widening=widening)["p"]
    ids, nothing = windows.ids[rows], np.empty(0, dtype=int)
    name = f"sub-{subject}, {kind}, fold"
    splits = [
        Split(train, nothing, test, by=job.time_column, ids=ids, name=f"{name} {k + 1}", gap=job.options["gap"])
        for k, (train, test) in enumerate(scored.folds)
    ]
    trials = windows.trials.iloc[rows].reset_index(drop=True)
    return Analysed(scored, sites, bin_tests(scored, job.models, widening), splits, trials, (widening, neighbours))


def by_type(
    found: Mapping[tuple[str, str], Analysed], subjects: Mapping[str, int], types: Sequence[str], n_bins: int
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """r of each type and model, and p of each type, over the electrodes of all subjects; NaN where a type was left out."""
    r: dict[str, dict[str, np.ndarray]] = {}
    p: dict[str, np.ndarray] = {}
    for kind in types:
        own = {s: found[s, kind] for s in subjects if (s, kind) in found}
        if not own:
            continue
        empty = {s: np.full((n, n_bins), np.nan) for s, n in subjects.items()}
        p[kind] = np.concatenate([own[s].p.reshape(empty[s].shape) if s in own else empty[s] for s in subjects])
        r[kind] = {}
        for name in next(iter(own.values())).scored.sums:
            each = {
                s: np.where(a.scored.usable, a.scored.r(name), np.nan).reshape(empty[s].shape) for s, a in own.items()
            }
            r[kind][name] = np.concatenate([each.get(s, empty[s]) for s in subjects]).astype(np.float32)
    return r, p
