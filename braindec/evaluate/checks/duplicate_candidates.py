"""Do candidates of a retrieval repeat, by name or by vector?

Source: Défossez et al. 2023 de-duplicate segments; three-fold duplicated candidates score 28 % by index where 82 %
were right by identity.
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.finding import Context, Finding, some

__all__ = ["check"]
_REFERENCE = "Défossez et al. 2023, Nat Mach Intell"


def check(context: Context) -> Finding:
    """Look for names that repeat and for vectors that repeat under several names (cosine, to 1e-6)."""
    vectors, names = context.candidates, context.candidate_ids
    if vectors is None:
        return Finding("duplicate_candidates", "skip", "no candidates were given")
    if names is None:
        return Finding("duplicate_candidates", "fail", f"{len(vectors)} candidates have no names",
                       {"n": len(vectors)}, "name them: candidate_ids=", _REFERENCE)  # fmt: skip
    length = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.where(length > 0, length, 1)[:, None]
    group = _same(unit)
    _, named = np.unique(names, return_inverse=True)
    evidence = {"n": len(names), "n_names": int(named.max()) + 1, "n_vectors": int(group.max()) + 1,
                "length_5_to_95": list(np.quantile(length, [0.05, 0.95]))}  # fmt: skip
    if len(set(zip(named, group, strict=True))) > named.max() + 1:
        several = [
            str(names[np.flatnonzero(named == n)[0]]) for n in np.unique(named) if len(set(group[named == n])) > 1
        ]
        message = f"{len(several)} names stand for several different vectors ({some(several, 3)})"
        return Finding(
            "duplicate_candidates",
            "fail",
            message,
            evidence,
            "one vector a name: average them, or name each",
            _REFERENCE,
        )
    twins = [sorted(set(names[group == g])) for g in np.unique(group[_repeated(group)])]
    twins = [t for t in twins if len(t) > 1]
    if twins:
        evidence["twins"] = [t[:4] for t in twins[:5]]
        message = (
            f"{len(twins)} vectors stand under several names (such as {some(twins[0], 3)}): they cannot be told apart"
        )
        return Finding("duplicate_candidates", "warn", message, evidence, "give one name to one stimulus", _REFERENCE)
    if evidence["n_names"] < len(names):
        message = f"{len(names) - evidence['n_names']} candidates repeat others by name and vector: they count once"
        return Finding(
            "duplicate_candidates",
            "warn",
            message,
            evidence,
            "drop the repeats; score by identity, not by index",
            _REFERENCE,
        )
    return Finding("duplicate_candidates", "pass", f"{len(names)} candidates, all different", evidence)


def _same(unit: np.ndarray) -> np.ndarray:
    """Number the groups of rows that agree to 1e-6: neighbours along a random direction, then compared in full."""
    place = unit @ np.random.default_rng(0).normal(size=unit.shape[1])
    order = np.argsort(place, kind="stable")
    group = np.arange(len(unit))
    for step in range(1, len(unit)):
        a, b = order[:-step], order[step:]
        close = np.abs(place[a] - place[b]) < 1e-5
        if not close.any():
            break
        pairs = np.flatnonzero(close)
        same = np.linalg.norm(unit[a[pairs]] - unit[b[pairs]], axis=1) < 1e-6
        for i, j in zip(a[pairs[same]], b[pairs[same]], strict=True):
            group[j] = group[i]
    return np.unique(group, return_inverse=True)[1]


def _repeated(group: np.ndarray) -> np.ndarray:
    return np.bincount(group)[group] > 1
