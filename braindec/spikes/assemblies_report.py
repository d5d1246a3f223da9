"""Factors of affinities and their communities, with p and, where it is known, the truth: rows, arrays and panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.spikes.affinity_tensor import AffinityTensor, affinity_tensor, square
from braindec.spikes.communities import Communities, find_communities, mutual_information
from braindec.spikes.nonnegative_factors import Match, NonnegativeFactors, choose_rank, match_factors
from braindec.spikes.planted_latents import PlantedAssemblies
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p

__all__ = ["AssemblyFits", "assembly_panels", "assembly_rows", "fit_assemblies", "said"]


@dataclass(frozen=True, eq=False)
class AssemblyFits:
    """What was found.

    Parameters
    ----------
    tensor : AffinityTensor
    ranks : DataFrame
        Of :func:`braindec.spikes.nonnegative_factors.choose_rank`.
    model : NonnegativeFactors
    communities : list of Communities
        One a factor.
    match : Match or None
        Found factors of planted states.
    truth : PlantedAssemblies or None
    """

    tensor: AffinityTensor
    ranks: pd.DataFrame
    model: NonnegativeFactors
    communities: list[Communities]
    match: Match | None = None
    truth: PlantedAssemblies | None = None

    @property
    def affinity(self) -> np.ndarray:
        """Unit by unit affinities of each factor, (rank, n_units, n_units)."""
        return np.stack([square(column, self.tensor.n_units) for column in self.model.factors_[0].T])


def fit_assemblies(
    recordings: Any, *, window: float, width: float, kind: str, sign: str, ranks: Sequence[int], n_seeds: int, n_nulls: int,
    seed: int, truth: PlantedAssemblies | None = None,
) -> AssemblyFits:  # fmt: skip
    """Build the tensor, choose the number of factors by held-out entries, and find the communities of each factor."""
    tensor = affinity_tensor(recordings, window=window, width=width, kind=kind, sign=sign)
    table = choose_rank(tensor.values, ranks, seed=seed, n_starts=2, n_iterations=100)
    model = NonnegativeFactors(int(table.loc[table["chosen"], "rank"].iloc[0]), seed=seed).fit(tensor.values)
    found = [find_communities(square(column, tensor.n_units), n_seeds=n_seeds, n_nulls=n_nulls, rng=np.random.default_rng([seed, 41, k]))
             for k, column in enumerate(model.factors_[0].T)]  # fmt: skip
    match = None
    if truth is not None:
        first, second = tensor.pairs.T
        same = np.stack([(m[first] == m[second]).astype(float) for m in truth.members], axis=1)
        modes = [same, truth.active] + [truth.strength] * (tensor.values.ndim == 3)
        match = match_factors(modes, model.factors_)
    return AssemblyFits(tensor, table, model, found, match, truth)


def assembly_rows(
    fits: AssemblyFits, *, n_permutations: int = 999, rng: np.random.Generator | int = 0
) -> list[dict[str, Any]]:
    """Return rows: variance of held-out entries, modularity of each factor, and agreement with what was planted."""
    rng = np.random.default_rng(rng)
    chosen = fits.ranks[fits.ranks["chosen"]].iloc[0]
    n_factors, half = len(fits.communities), 1.96 * chosen["error"]
    rows = [{"metric": "held_out_affinity", "version": "1", "row": "factors", "value": chosen["held_out"], "chance": 0.0,
             "low": chosen["held_out"] - half, "high": min(1.0, chosen["held_out"] + half), "n": fits.tensor.values.size,
             "note": f"{n_factors} factors predict affinities that were held out, share of their variance; over other entries held out"}]  # fmt: skip
    p = fdr_bh(np.array([c.p for c in fits.communities]))
    for k, found in enumerate(fits.communities):
        level = found.null.mean() if len(found.null) else np.nan
        rows.append({"metric": "modularity", "version": "1", "factor": f"factor {k + 1}", "row": "communities", "value": found.observed,
                     "chance": level, "p": p[k], "n": fits.tensor.n_units,
                     "note": f"{found.n} communities; agreement of partitions {found.agreement:.2f}; chance: weights exchanged, "
                     "strengths kept; p corrected over factors"})  # fmt: skip
    if fits.truth is None or fits.match is None:
        return rows
    for state, order in enumerate(fits.match.order):
        if order < 0:
            continue
        planted, labels = fits.truth.members[state], fits.communities[order].labels
        null = np.array([mutual_information(rng.permutation(labels), planted) for _ in range(n_permutations)])
        value = mutual_information(labels, planted)
        rows.append({"metric": "community_information", "version": "1", "factor": f"factor {order + 1}", "row": "communities",
                     "value": value, "chance": null.mean(), "p": permutation_p(value, null), "n": len(labels),
                     "note": f"of found and planted communities of state {state + 1}; chance: units permuted"})  # fmt: skip
        rows.append({"metric": "course_cosine", "version": "1", "factor": f"factor {order + 1}", "row": "factors",
                     "value": fits.match.cosine[1, state], "chance": np.nan, "n": len(fits.tensor.times),
                     "note": f"course of the factor and of planted state {state + 1}"})  # fmt: skip
    return rows


def assembly_panels(fits: AssemblyFits) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return panels of the report and the arrays that they name."""
    model, tensor = fits.model, fits.tensor
    arrays = {"factors/affinity": fits.affinity, "factors/labels": np.stack([c.labels for c in fits.communities]),
              "factors/times": tensor.times, "factors/courses": model.factors_[1]}  # fmt: skip
    names = [f"factor {k + 1}{'' if c.p <= 0.05 else ' (no more than chance)'}" for k, c in enumerate(fits.communities)]
    matrices: dict[str, Any] = {
        "affinity": "@factors/affinity",
        "labels": "@factors/labels",
        "names": names,
        "label": tensor.kind,
    }
    courses: dict[str, Any] = {
        "times": "@factors/times",
        "courses": "@factors/courses",
        "xlabel": "middle of the window (s)",
    }
    if fits.truth is not None and fits.match is not None:
        state_of = {int(order): state for state, order in enumerate(fits.match.order) if order >= 0}
        true = np.full(model.factors_[1].shape, np.nan)
        for order, state in state_of.items():
            true[:, order] = fits.truth.active[:, state]
        arrays["factors/true"] = true
        courses["true"] = "@factors/true"
        planted = np.full(arrays["factors/labels"].shape, np.nan)
        for order, state in state_of.items():
            planted[order] = fits.truth.members[state]
        arrays["factors/planted"] = planted
        matrices["true"] = "@factors/planted"
    arrays["factors/held_out"] = fits.ranks["held_out"].to_numpy()
    half = 1.96 * fits.ranks["error"].to_numpy()
    arrays["factors/low"], arrays["factors/high"] = arrays["factors/held_out"] - half, arrays["factors/held_out"] + half
    words = [f"{r} factor{'s' * (r > 1)}{' (chosen)' * bool(c)}"
             for r, c in zip(fits.ranks["rank"], fits.ranks["chosen"], strict=True)]  # fmt: skip
    return [
        {"draw": "community_matrix", "title": "Communities of each factor", "args": matrices,
         "caption": "Which pairs of units each factor holds together, sorted by community (framed)"
         + ("; strip: colours of the planted assemblies." if "true" in matrices else ".")},
        {"draw": "factor_courses", "title": "When each factor is on", "args": courses,
         "caption": f"Strength of each factor in windows of {tensor.times[1] - tensor.times[0]:g} s. A factor that is on throughout and has no communities "
         "is what chance leaves of affinities that are kept above 0."},
        {"draw": "score_bars", "title": "How many factors", "args": {"rows": words, "values": "@factors/held_out", "chance": 0.0,
         "low": "@factors/low", "high": "@factors/high", "metric": "variance of held-out affinities", "zero": "mean affinity"},
         "caption": "A tenth of the affinities was held out, three times. Chosen: the fewest factors within one standard error of the best."},
    ], arrays  # fmt: skip


def said(fits: AssemblyFits) -> list[str]:
    """Return sentences for the top of the page."""
    p = fdr_bh(np.array([c.p for c in fits.communities]))
    sure = int((p <= 0.05).sum())
    out = [f"Affinities of pairs have {len(p)} factor{'s' * (len(p) > 1)} by held-out entries; {sure} of {len(p)} "
           f"{'has' if len(p) == 1 else 'have'} communities beyond what strengths explain."]  # fmt: skip
    if fits.match is not None and fits.truth is not None:
        pairs = [(s, o) for s, o in enumerate(fits.match.order) if o >= 0]
        shared = [mutual_information(fits.communities[o].labels, fits.truth.members[s]) for s, o in pairs]
        out.append(
            f"Planted assemblies are found with a normalised mutual information of {np.mean(shared):.2f} (1: all units right)."
        )
    return out
