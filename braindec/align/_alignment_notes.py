"""What a reader of an alignment should be told: findings like those of the audit, and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from braindec.align._alignment_table import ModelScores
from braindec.evaluate.finding import Finding
from braindec.stats.ceilings import Ceiling
from braindec.stats.fdr import holm

__all__ = ["told"]

_OASM = 0.05
_SEEDS, _SETS = 5, 20


def told(
    job: Any, table: pd.DataFrame, found: Sequence[ModelScores], untrained: Mapping[str, Sequence[Any]], ceiling: Ceiling | None, n_random: int
) -> tuple[list[Finding], list[str]]:  # fmt: skip
    """Findings and notes of an alignment."""
    held, data = job.held, job.data
    findings = [*_split_finding(held), *_oasm_finding(table)]
    notes = [*held.notes, *data.notes]
    notes.append(f"Held out: {len(held.splits)} folds by {held.by}, {len(set(held.groups.tolist())):,} groups of {len(data):,} rows; penalties and layers "
                 "were chosen inside the training rows of each fold.")  # fmt: skip
    for score, words in job.words.items():
        if any(m.score == score for m in found):
            notes.append(
                f"P-values ({score}): {words}"
                + ("." if "no p-values" in words else f"; the smallest possible is {1 / (1 + job.n_surrogates):.3g}.")
                if job.n_surrogates
                else f"No p-values ({score})."
            )
    if job.bands:
        notes.append(f"Nuisance: {', '.join(f'{k} ({v.shape[1]})' for k, v in job.bands.items())}; a band of its own beside the units"
                     + (f", as {job.nuisance.shape[1]} principal components." if job.nuisance.shape[1] < sum(v.shape[1] for v in job.bands.values()) else "."))  # fmt: skip
    else:
        notes.append(
            "Nothing is known of position, length or pace of the items: what the units add to them was not estimated."
        )
    few = [m for m, seeds in untrained.items() if len(seeds) < _SEEDS]
    if few:
        findings.append(Finding("untrained", "warn", f"fewer than {_SEEDS} untrained networks of {', '.join(few)}",
                                {m: len(untrained[m]) for m in few}, "untrained={name: [features of untrained(lm, seed) for seed in range(5)]}"))  # fmt: skip
    if n_random < _SETS:
        findings.append(
            Finding(
                "random_units", "warn", f"{n_random} random sets of units", {"n": n_random}, f"n_random_sets={_SETS}"
            )
        )
    if ceiling is None:
        notes.append("No noise ceiling: nothing repeats, and none was given. Scores are raw.")
    else:
        notes.append(
            f"Noise ceiling: {ceiling.kind}{f' ({ceiling.note})' if ceiling.note else ''}; scores over it are never clamped."
        )
    notes += _choice_notes(found)
    return findings, notes


def _split_finding(held: Any) -> list[Finding]:
    if held.leaky:
        return [Finding("shuffled_split", "fail", "neighbouring items stand on both sides of the split", {"by": held.by},
                        "split by passage, story or contiguous blocks", "Feghhi et al. 2024, arXiv:2406.01538")]  # fmt: skip
    return [Finding("shuffled_split", "pass", f"{len(held.splits)} folds by {held.by}", {"by": held.by})]


def _oasm_finding(table: pd.DataFrame) -> list[Finding]:
    """Fail where neighbourhood in time is above the limit and reliably so (by its interval, Holm over regions), else warn."""
    mine = table[(table["row"] == "oasm") & (table["metric"] == "pearson")]
    if not len(mine):
        return []
    value, error = (
        mine["value"].to_numpy(dtype=float),
        (mine["high"] - mine["low"]).to_numpy(dtype=float) / (2 * norm.ppf(0.975)),
    )
    p = holm(np.where(error > 0, norm.sf(value / np.where(error > 0, error, 1.0)), np.where(value > 0, 0.0, 1.0)))
    above = value > _OASM
    evidence = dict(zip(mine["region"], value, strict=True))
    fix, reference = (
        "hold out longer blocks, or leave more rows beside them out (buffer=)",
        "Feghhi et al. 2024, arXiv:2406.01538",
    )
    if (above & (p <= 0.05)).any():
        worst = int(np.argmax(np.where(p <= 0.05, value, -np.inf)))
        return [Finding("oasm", "fail", f"neighbourhood in time alone reaches r = {value[worst]:.3f} in {mine['region'].iloc[worst]} (limit {_OASM}): the split "
                        "leaks, or noise reaches across its borders", evidence, fix, reference)]  # fmt: skip
    worst = int(np.argmax(value))
    if above.any():
        return [Finding("oasm", "warn", f"neighbourhood in time alone reaches r = {value[worst]:.3f} in {mine['region'].iloc[worst]} (limit {_OASM}); with so few "
                        "items that may be chance", evidence, fix, reference)]  # fmt: skip
    return [Finding("oasm", "pass", f"neighbourhood in time alone reaches at most r = {value[worst]:.3f}", evidence)]


def _choice_notes(found: Sequence[ModelScores]) -> list[str]:
    notes = []
    for one in found:
        if len(one.layers) > 1 and one.score == "encoding":
            top = float(np.nanmax(one.choice.optimism))
            notes.append(
                f"{one.model}: the largest of {len(one.layers)} layers would claim up to {top:.3f} more than layers chosen on training folds."
            )
    return notes
