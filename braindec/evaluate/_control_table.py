"""The score table of a control report: every row of every metric, and decoded minus every other row with paired p."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.evaluate._control_items import Items
from braindec.evaluate._control_metrics import Scorer
from braindec.evaluate._control_scores import RowScore
from braindec.evaluate._control_tests import Flips, interval

__all__ = ["Lead", "headline_of", "score_table"]


@dataclass(frozen=True, eq=False)
class Lead:
    """Decoded minus another row, signed so that more is better for the decoded one.

    Parameters
    ----------
    metric, row, kind : str
    decoded, other : float
        Means of both.
    gain, low, high : float
        Mean difference, paired over stimuli, and its 95 % interval.
    p : float
        One-sided (decoded is better) against a null, two-sided against a reference.
    n : int
        Items.
    """

    metric: str
    row: str
    kind: str
    decoded: float
    other: float
    gain: float
    low: float
    high: float
    p: float
    n: int


def score_table(
    scored: Mapping[str, Mapping[str, RowScore]], asked: Sequence[Scorer], items: Items, *, kinds: Callable[[str], str],
    n_permutations: int, n_bootstrap: int, rng: np.random.Generator, keys: Mapping[str, Any],
) -> tuple[pd.DataFrame, list[Lead], pd.DataFrame]:  # fmt: skip
    """Return the long table, the paired tests, and decoded minus the best null of each metric."""
    flips = Flips(items.code, n=n_permutations, rng=rng) if n_permutations else None
    levels, leads = [], []
    for scorer in asked:
        by_row = scored[scorer.name]
        for row, score in by_row.items():
            low, high = interval(score.of_items, items.code, n=n_bootstrap, rng=rng)
            levels.append(_entry(scorer, row, score, (low, high), kinds(row), items))
            if row != "decoded":
                leads.append(_lead(scorer, row, by_row["decoded"], score, kinds(row), items, flips, n_bootstrap, rng))
    headline = headline_of(leads, {s.name: scored[s.name]["decoded"].p for s in asked})
    table = pd.DataFrame([{**keys, **e} for e in [*levels, *_difference_rows(leads, headline, asked)]])
    return table, leads, headline


def headline_of(leads: Sequence[Lead], by_chance: Mapping[str, float]) -> pd.DataFrame:
    """Return decoded minus the best null of each metric.

    p is the largest of those against each null and of the decoded row against its own items exchanged (intersection-union): one
    picture for all items may be nearer to every item than any null is, and says nothing of any.

    Parameters
    ----------
    leads : sequence of Lead
    by_chance : mapping of metric to p of the decoded row with items exchanged
    """
    rows = []
    for metric in dict.fromkeys(lead.metric for lead in leads):
        against = [lead for lead in leads if lead.metric == metric and lead.kind == "null"]
        if not against:
            continue
        best = min(against, key=lambda lead: lead.gain)
        rows.append({"metric": metric, "decoded": best.decoded, "null": best.row, "null_value": best.other, "gain": best.gain,
                     "low": best.low, "high": best.high, "p": float(np.max([by_chance[metric], *(lead.p for lead in against)])), "n": best.n})  # fmt: skip
    columns = ["metric", "decoded", "null", "null_value", "gain", "low", "high", "p", "n"]
    return pd.DataFrame(rows, columns=columns)


def _entry(
    scorer: Scorer, row: str, score: RowScore, ends: tuple[float, float], kind: str, items: Items
) -> dict[str, Any]:
    words = [{"decoded": "", "null": "knows nothing of the item"}.get(kind, "reference")]
    if len(score.values) > 1:
        words.append(f"mean of {len(score.values)} seeds, sd {score.seed_sd:.3g}")
    words.append(f"interval over {items.n_items} stimuli")
    if not np.isfinite(scorer.chance):
        words.append("chance: what was made, scored for other stimuli")
    if score.lost:
        words.append(f"{score.lost} without an answer")
    return {"metric": scorer.name, "version": scorer.version, "row": row, "value": score.mean, "chance": score.chance, "low": ends[0],
            "high": ends[1], "p": score.p, "n": int(np.isfinite(score.of_items).sum()), "seeds": len(score.values),
            "seed_sd": score.seed_sd, "note": "; ".join(w for w in words if w)}  # fmt: skip


def _lead(
    scorer: Scorer, row: str, decoded: RowScore, other: RowScore, kind: str, items: Items, flips: Flips | None, n_bootstrap: int,
    rng: np.random.Generator,
) -> Lead:  # fmt: skip
    sign = 1.0 if scorer.higher_is_better else -1.0
    difference = sign * (decoded.of_items - other.of_items)
    low, high = interval(difference, items.code, n=n_bootstrap, rng=rng)
    p = float("nan") if flips is None else flips.p(difference, two_sided=kind != "null")
    return Lead(scorer.name, row, kind, decoded.mean, other.mean, float(np.nanmean(difference)), low, high, p,
                int(np.isfinite(difference).sum()))  # fmt: skip


def _difference_rows(leads: Sequence[Lead], headline: pd.DataFrame, asked: Sequence[Scorer]) -> list[dict[str, Any]]:
    versions = {s.name: s.version for s in asked}
    rows = []
    for best in headline.to_dict("records"):
        name, metric = f"{best['metric']}_difference", best["metric"]
        rows.append({"metric": name, "version": versions[metric], "row": "decoded", "value": best["gain"], "chance": 0.0, "low": best["low"],
                     "high": best["high"], "p": best["p"], "n": best["n"],
                     "note": f"decoded minus the best null ({best['null'].replace('_', ' ')}); p is the largest of one-sided paired tests against each null and of exchanging items"})  # fmt: skip
        rows += [
            {"metric": name, "version": versions[metric], "row": f"over_{lead.row}", "value": lead.gain, "chance": 0.0, "low": lead.low,
             "high": lead.high, "p": lead.p, "n": lead.n,
             "note": f"paired over stimuli, {'one-sided' if lead.kind == 'null' else 'two-sided'}"}
            for lead in leads if lead.metric == metric
        ]  # fmt: skip
    return rows
