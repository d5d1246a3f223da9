"""Audit: look at trials, splits, fitted steps and candidates for the known ways to be fooled.

Each check is a file of ``braindec/evaluate/checks``; a new one is a new file. A check says pass, warn or fail with
its evidence, or skip with what it would need. Checks that test something statistically hold their false-alarm rate at
about 1 %, so that a clean design passes.

Source: the pitfalls collected by Li et al. 2021 (TPAMI), Brookshire et al. 2024 (Front Neurosci), Xu et al. 2024
(arXiv 2405.17024), Varoquaux et al. 2017 (NeuroImage), Shirakawa et al. 2024 (arXiv 2405.10078), and others named in
each finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.errors import BraindecError
from braindec.evaluate._rows import content_text, rows_of
from braindec.evaluate.finding import LEVELS, Context, Finding
from braindec.evaluate.published import published_records
from braindec.types import Features, FitRecord, Split, Windows

_MARK = {"fail": "FAIL", "warn": "WARN", "pass": "pass", "skip": "skip"}

__all__ = ["Audit", "audit"]


@dataclass(frozen=True)
class Audit:
    """Findings of all checks, the worst first."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> str:
        """The worst level: "pass", "warn" or "fail" (skipped checks do not count)."""
        return max((f.level for f in self.findings if f.level != "skip"), key=LEVELS.index, default="pass")

    def of(self, check: str) -> tuple[Finding, ...]:
        """Findings of one check.

        Raises
        ------
        BraindecError
            If no finding is of that check.
        """
        found = tuple(f for f in self.findings if f.check == check)
        if not found:
            raise BraindecError(
                f"the audit has no check {check!r}", allowed=", ".join(sorted({f.check for f in self.findings}))
            )
        return found

    def at(self, *levels: str) -> tuple[Finding, ...]:
        """Findings of these levels."""
        return tuple(f for f in self.findings if f.level in levels)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: level, how many of each level, findings."""
        counts = {level: len(self.at(level)) for level in LEVELS}
        return {"level": self.level, "counts": counts, "findings": [f.to_dict() for f in self.findings]}

    def table(self) -> pd.DataFrame:
        """One row a finding: level, check, message, fix, reference."""
        columns = ["level", "check", "message", "fix", "reference"]
        return pd.DataFrame([[getattr(f, c) for c in columns] for f in self.findings], columns=columns)

    def __str__(self) -> str:
        lines = [f"audit: {self.level}"]
        for f in self.findings:
            lines.append(f"  {_MARK[f.level]}  {f.check}: {f.message}")
            if f.fix and f.level in ("warn", "fail"):
                lines.append(f"        fix: {f.fix}")
        return "\n".join(lines)


def audit(
    windows: Windows | pd.DataFrame,
    splits: Split | Sequence[Split],
    *,
    y: Sequence[Any] | str | None = None,
    records: Iterable[Any] = (),
    candidates: Features | np.ndarray | None = None,
    candidate_ids: Sequence[Any] | None = None,
    claim: str | Sequence[str] = (),
    min_gap: float | None = None,
    checks: Sequence[str] | None = None,
    n_permutations: int = 999,
    seed: int = 0,
) -> Audit:
    """Run the checks.

    Parameters
    ----------
    windows : Windows or DataFrame
        What was split. With Windows the signals are looked at too (a sample of them).
    splits : Split or list of Split
        The folds.
    y : sequence of shape (n_rows,) or str, optional
        Class of each row, or the column that holds it; by default ``trial_type`` when it names classes (several, each
        with 5 rows or more on average) and there are no candidates.
    records : list of FitRecord, or list of (Split, list of FitRecord)
        What the fitted steps saw (``CrossValidation.records``). A bare record may belong to any of the folds. What the
        publishers of the data fitted on all trials is added where the reader tells of it.
    candidates : Features or array of shape (n_candidates, dim), optional
        Candidates of a retrieval.
    candidate_ids : sequence of shape (n_candidates,), optional
        Their names, when they are an array.
    claim : str or list of str
        What is new in the test rows, by column: "subject", "stimulus_id", "concept_id", "session". The key that the
        rows were split by is claimed in any case.
    min_gap : float, optional
        Time in s that must lie between training and test windows of one recording; by default a window's length, and
        10 s for fMRI.
    checks : list of str, optional
        Names of checks; all by default.
    n_permutations, seed : int
        For the checks that permute.

    Returns
    -------
    Audit

    Raises
    ------
    BraindecError
        If the splits were made for other rows, or a name or shape does not fit.
    """
    rows = rows_of(windows)
    splits = [splits] if isinstance(splits, Split) else list(splits)
    if not splits:
        raise BraindecError("the audit needs at least one split", found="none")
    for split in splits:
        if len(split.ids) != len(rows) or not np.array_equal(split.ids.astype(str), rows.ids.astype(str)):
            raise BraindecError(
                "the split was made for other rows", found=f"{len(split.ids)} rows in the split, {len(rows)} here",
                fix="split and audit the same windows",
            )  # fmt: skip
    vectors, names = _candidates(candidates, candidate_ids)
    claim = (claim,) if isinstance(claim, str) else tuple(claim)
    context = Context(
        rows,
        splits,
        _classes(rows.trials, y, vectors is not None),
        _records([*records, *(published_records(windows) if isinstance(windows, Windows) else ())]),
        vectors,
        names,
        claim,
        min_gap,
        n_permutations,
        seed,
    )
    findings: list[Finding] = []
    for name in registry.names("evaluate.checks") if checks is None else checks:
        check = registry.get("evaluate.checks", name)
        try:
            found = check(context)
        except BraindecError as error:  # a signal that cannot be read, for example; the other checks go on
            found = Finding(
                name, "skip", f"could not look: {error.asked}" + (f" ({error.found})" if error.found else "")
            )
        findings += [found] if isinstance(found, Finding) else list(found)
    return Audit(tuple(sorted(findings, key=lambda f: -LEVELS.index(f.level))))


def _classes(trials: pd.DataFrame, y: Sequence[Any] | str | None, retrieval: bool) -> np.ndarray | None:
    if isinstance(y, str):
        if y not in trials:
            raise BraindecError(f"the trials have no column {y!r}", allowed=", ".join(map(str, trials.columns)))
        y = trials[y].tolist()
    if y is None:
        if retrieval or "trial_type" not in trials or not 2 <= trials["trial_type"].nunique() <= len(trials) / 5:
            return None
        y = trials["trial_type"].tolist()
    if len(y) != len(trials):
        raise BraindecError("y and the trials differ in number", found=f"{len(y)} and {len(trials)}")
    return np.array([content_text(v) for v in y], dtype=object)


def _records(records: Iterable[Any]) -> list[tuple[Split | None, FitRecord]]:
    flat: list[tuple[Split | None, FitRecord]] = []
    for entry in records:
        if isinstance(entry, FitRecord):
            flat.append((None, entry))
            continue
        try:
            split, steps = entry
        except (TypeError, ValueError):
            split, steps = None, None
        if not isinstance(split, Split) or steps is None or not all(isinstance(s, FitRecord) for s in steps):
            raise BraindecError(
                f"a record of type {type(entry).__name__} is not understood",
                allowed="FitRecord, or (Split, [FitRecord, ...])", fix="pass decoder.fit_records_ or CrossValidation.records",
            )  # fmt: skip
        flat += [(split, step) for step in steps]
    return flat


def _candidates(
    candidates: Features | np.ndarray | None, ids: Sequence[Any] | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if isinstance(candidates, Features):
        ids = candidates.ids if ids is None else ids
        candidates = candidates.load()
    names = None if ids is None else np.array([str(i) for i in ids], dtype=object)
    if candidates is not None:
        candidates = np.asarray(candidates, dtype=np.float64)
        if candidates.ndim != 2 or (names is not None and len(names) != len(candidates)):
            raise BraindecError(
                "candidates must be (n_candidates, dim), with a name each",
                found=f"shape {candidates.shape}, {'no' if names is None else len(names)} names",
            )
    return candidates, names
