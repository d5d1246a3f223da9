"""Retrieval of segments of continuous speech: which of all different test segments was heard, and which word.

Candidates are the different segments of the test part, each once; ranks are fair to ties. Chance of a segment is k / n. A word's
probability is the sum over the segments that begin with it, so that frequent words are found more often: chance of a word is what
the same rankings would score if each window's word were that of a random test window. Windows of one sentence overlap:
intervals resample contents (blocks of sentences) and subjects, and p-values exchange whole contents, the same for all subjects.

Source: Défossez et al. 2023 (Nat Mach Intell 5:1097), "Evaluation" (all segments of the test set, de-duplicated; probabilities
summed over segments of a word); Phipson & Smyth 2010 for p.
Differs from the reference in: chance, intervals and p-values; ties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, nearest
from braindec.evaluate._ranks import expected_rank, top_credit
from braindec.evaluate._retrieval_stats import interval
from braindec.evaluate._segment_controls import exchanged_stimuli, place_windows
from braindec.evaluate._segment_ranks import block_exchange, places_in_content, rank_blocks, word_probabilities
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p, sign_flip_test
from braindec.types import Segments

__all__ = ["SegmentRetrieval", "evaluate_segments", "exchanged_stimuli", "paired_difference", "place_windows"]


@dataclass(frozen=True, eq=False)
class SegmentRetrieval:
    """Outcome of :func:`evaluate_segments`.

    Parameters
    ----------
    scores : DataFrame
        Long table as in :class:`braindec.types.Result`, with ``level`` ("segment", "word"), ``k``, ``n_candidates``, ``n_contents``, and
        ``subject`` ("pooled" for all) where subjects are named.
    queries : DataFrame
        One row a window: true_id, subject, content, rank (expected under random tie-breaking), tied; word and word_rank.
    credit : mapping of str to array of shape (n_windows,)
        What each window adds to each top-k: ``"segment/top10"``, ``"word/top1"``, ...
    null : mapping of str to array of shape (n_permutations,)
        The pooled value of each metric under each exchange of contents.
    candidate_ids : array of str
    notes : tuple of str
    """

    scores: pd.DataFrame
    queries: pd.DataFrame
    credit: Mapping[str, np.ndarray]
    null: Mapping[str, np.ndarray]
    candidate_ids: np.ndarray
    notes: tuple[str, ...] = field(default=())

    @property
    def ranks(self) -> np.ndarray:
        """Expected rank of the true segment of each window, 1 is best, shape (n_windows,)."""
        return self.queries["rank"].to_numpy()

    def value(self, metric: str = "top10", *, level: str = "segment", subject: str = "pooled") -> float:
        """One score of the table."""
        table = self.scores[(self.scores["metric"] == metric) & (self.scores["level"] == level)]
        if "subject" in table:
            table = table[table["subject"] == subject]
        return float(table["value"].iloc[0])

    def __repr__(self) -> str:
        top = self.scores.iloc[0]
        return (f"<SegmentRetrieval {len(self.queries)} windows, {len(self.candidate_ids)} candidates: {top['metric']} "
                f"{top['value']:.3f} [{top['low']:.3f}, {top['high']:.3f}], chance {top['chance']:.3f}, p {top['p']:.3g}>")  # fmt: skip


@dataclass(frozen=True)
class _Level:
    """Ranks at one level: what each window gives each target (n_windows, n_targets), and which target is the true one."""

    name: str
    above: np.ndarray
    tied: np.ndarray
    target: np.ndarray  # of each candidate
    n_targets: int


def evaluate_segments(
    similarity: np.ndarray,
    candidates: Segments | pd.DataFrame,
    *,
    trials: pd.DataFrame,
    content: str = "content_id",
    word: str | None = "text",
    topk: Sequence[int] = (10, 1, 5),
    scale: float = 1.0,
    n_permutations: int = 1000,
    n_bootstrap: int = 2000,
    seed: int = 0,
    row: str = "decoded",
    keys: Mapping[str, Any] | None = None,
) -> SegmentRetrieval:
    """Score how well windows find the segment that was heard among all different test segments.

    Parameters
    ----------
    similarity : array of shape (n_windows, n_candidates)
        Of each window to each candidate (``decoder.similarity(windows, candidates)``).
    candidates : Segments or DataFrame
        The declared candidates: stimulus_id, ``content``, and where known in_block (s), block_id and ``word``. A stimulus_id that
        stands several times counts once.
    trials : DataFrame
        One row a window: stimulus_id, and subject where there are several.
    content : str
        Column of the candidates: what is exchanged and resampled as a whole.
    word : str, optional
        Column of the candidates with the word that the segment is anchored at, for the scores of words; None for none.
    topk : sequence of int
        Those that are not below the number of candidates are left out, with a note.
    scale : float
        Factor on similarities before the softmax of the word probabilities.
    n_permutations, n_bootstrap : int
        Exchanges of contents for p (0: no p), and resamples of contents and subjects for intervals. Where contents are few all
        orders are tried, and p is exact.
    seed : int
    row : str
        Name of the rows; a "decoded" row is followed by its null ("content_permutation").
    keys : dict, optional
        Columns put before the score table.

    Returns
    -------
    SegmentRetrieval

    Raises
    ------
    BraindecError
        If shapes differ, a segment that was heard is no candidate, one id has two columns that differ, or a value is not finite.
    """
    items, similarity, true, notes = _check(similarity, candidates, trials, content, word)
    rng = np.random.default_rng(seed)
    code, position = places_in_content(items, content)
    subject = trials["subject"].astype(str).to_numpy() if "subject" in trials else None
    levels = [_ranked("segment", similarity, np.arange(len(items)), len(items))]
    if word is not None:
        names, target = np.unique(items[word].astype(str).to_numpy(dtype=object), return_inverse=True)
        summed = word_probabilities(similarity, target, len(names), scale)
        levels.append(_ranked("word", summed, target, len(names)))
    kept = [k for k in topk if k < len(items)]
    if len(kept) < len(topk):
        notes.append(
            f"top-{', '.join(str(k) for k in topk if k not in kept)} left out: there are {len(items)} candidates"
        )
    maps, exact = None, False
    if n_permutations:
        found, _, exact = block_exchange(code, position, n=n_permutations, rng=rng)
        maps = np.stack(list(found))  # (permutation, candidate)
        if exact:
            notes.append(
                f"all {len(maps)} orders of {int(code.max()) + 1} contents were tried: no p can be below {1 / len(maps):.2g}"
            )
    groups = [("pooled", np.arange(len(true)))]
    if subject is not None and len(set(subject)) > 1:
        groups = [*groups, *((s, np.flatnonzero(subject == s)) for s in sorted(set(subject)))]
    number = np.zeros(len(true), int) if subject is None else np.unique(subject, return_inverse=True)[1]
    lines, credit, null = [], {}, {}
    for level in levels:
        chosen = [k for k in kept if k < level.n_targets]
        for metric, k in [*((f"top{k}", k) for k in chosen), ("median_rank", np.nan)]:
            values = top_credit(level.above, level.tied, k) if k == k else expected_rank(level.above, level.tied)
            own = values[np.arange(len(true)), level.target[true]]
            credit[f"{level.name}/{metric}"] = own
            for name, rows in groups:
                made, drawn = _line(level, metric, values, own, rows, true=true, code=code, number=number, maps=maps, exact=exact,
                                    n_bootstrap=n_bootstrap, rng=rng, k=k)  # fmt: skip
                if name == "pooled" and drawn is not None:
                    null[f"{level.name}/{metric}"] = drawn
                lines += [{"subject": name, "row": row, **made}]
                if row == "decoded" and drawn is not None:
                    low, high = np.quantile(drawn, [0.025, 0.975])
                    note = f"null of {len(drawn)} exchanges of {int(code.max()) + 1} contents; some stay in their place, so it is above chance"
                    lines.append({"subject": name, "row": "content_permutation", **made, "value": drawn.mean(), "low": low, "high": high,
                                  "p": np.nan, "note": note})  # fmt: skip
    table = pd.DataFrame(lines).assign(n_candidates=[levels[0].n_targets if x["level"] == "segment" else levels[-1].n_targets for x in lines],
                                       n_contents=int(code.max()) + 1)  # fmt: skip
    if len(groups) == 1:
        table = table.drop(columns="subject")
    given = {c: v for c, v in (keys or {}).items() if c not in table}
    table = table.assign(**given)[[*given, *table.columns]]
    queries = _queries(trials, items, true, code, levels, number if subject is None else subject)
    return SegmentRetrieval(table, queries, credit, null, items["stimulus_id"].to_numpy(dtype=object), tuple(notes))


def paired_difference(
    a: SegmentRetrieval, b: SegmentRetrieval, *, metric: str = "top10", level: str = "segment", row: str = "difference",
    n_bootstrap: int = 2000, seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Return a row of what ``a`` scores beyond ``b`` on the same windows: mean over subjects, interval, p by sign flips of subjects.

    The interval resamples subjects; p is exact up to 14 subjects. Both speak of these test segments and of one training each.

    Raises
    ------
    BraindecError
        If the two were not scored on the same windows.
    """
    same = ["true_id", "subject"]
    if len(a.queries) != len(b.queries) or not a.queries[same].equals(b.queries[same]):
        raise BraindecError(
            "a difference needs the same windows on both sides", found=f"{len(a.queries)} and {len(b.queries)}"
        )
    by_window = a.credit[f"{level}/{metric}"] - b.credit[f"{level}/{metric}"]
    values = pd.Series(by_window).groupby(a.queries["subject"].to_numpy()).mean().to_numpy()
    if metric == "median_rank":
        values = -values
    line = {"metric": f"{metric}_difference", "version": "1", "level": level, "row": row, "value": float(values.mean()), "chance": 0.0,
            "n": len(values)}  # fmt: skip
    if len(values) < 2:
        return {**line, "low": np.nan, "high": np.nan, "p": np.nan, "note": "one subject: no test"}
    low, high = bootstrap_interval(values, n=n_bootstrap, rng=seed)
    p = sign_flip_test(values, rng=seed)
    return {**line, "low": low, "high": high, "p": p, "note": f"paired over {len(values)} subjects, sign flips"}


def _ranked(name: str, scores: np.ndarray, target: np.ndarray, n_targets: int) -> _Level:
    above, tied = (np.empty(scores.shape, dtype=np.int32) for _ in range(2))
    for rows, up, ties in rank_blocks(scores):
        above[rows], tied[rows] = up, ties
    return _Level(name, above, tied, target, n_targets)


def _line(level, metric, values, own, rows, *, true, code, number, maps, exact, n_bootstrap, rng, k):
    """One row of the score table for the windows ``rows``, and the null that its p is from."""
    median = metric == "median_rank"
    pool = np.median if median else np.mean
    value = float(pool(own[rows]))
    share = np.bincount(level.target[true[rows]], minlength=level.n_targets) / len(rows)
    if level.name == "segment":
        chance = (level.n_targets + 1) / 2 if median else k / level.n_targets
    else:
        chance = _median_chance(values[rows], share) if median else float((values[rows] @ share).mean())
    low, high, note = interval(own[rows], code[true[rows]], number[rows], median=median, proportion=not median,
                               n_bootstrap=n_bootstrap, rng=rng)  # fmt: skip
    made = {"level": level.name, "metric": metric, "version": "1", "value": value, "chance": chance, "low": low, "high": high, "p": np.nan,
            "n": len(rows), "k": k, "note": note.replace("items", "contents")}  # fmt: skip
    made |= {"low": max(low, 1.0)} if median else {"low": max(low, 0.0), "high": min(high, 1.0)}
    if maps is None:
        return made, None
    drawn = _null(values[rows], true[rows], level.target, maps, median)
    sign = -1 if median else 1
    made["p"] = (
        float(np.mean(sign * drawn >= sign * value - 1e-9))
        if exact
        else float(permutation_p(sign * value, sign * drawn))
    )
    return made, drawn


def _null(values: np.ndarray, true: np.ndarray, target: np.ndarray, maps: np.ndarray, median: bool) -> np.ndarray:
    """The pooled value under each exchange; values (n_windows, n_targets), maps (n_permutations, n_candidates)."""
    if median:
        step = max(1, 4_000_000 // len(true))
        parts = [values[np.arange(len(true)), target[maps[k : k + step][:, true]]] for k in range(0, len(maps), step)]
        return np.concatenate([np.median(p, axis=1) for p in parts])
    shown, own = np.unique(true, return_inverse=True)  # windows of one segment move together: their sum is enough
    order = np.argsort(own, kind="stable")
    sums = np.add.reduceat(values[order], np.searchsorted(own[order], np.arange(len(shown))), axis=0)
    return sums[np.arange(len(shown)), target[maps[:, shown]]].sum(axis=1) / len(true)


def _median_chance(ranks: np.ndarray, share: np.ndarray) -> float:
    """Median rank of the word of a random test window, over all windows."""
    order = np.argsort(ranks, axis=None, kind="stable")
    weight = np.cumsum(np.broadcast_to(share, ranks.shape).ravel()[order])
    return float(ranks.ravel()[order][np.searchsorted(weight, weight[-1] / 2)])


def _queries(trials, items, true, code, levels, subject) -> pd.DataFrame:
    rows = np.arange(len(true))
    first = levels[0]
    table = {
        "true_id": items["stimulus_id"].to_numpy(dtype=object)[true],
        "subject": np.asarray(subject).astype(str),
        "content": code[true],
        "rank": expected_rank(first.above[rows, true], first.tied[rows, true]),
        "tied": first.tied[rows, true],
    }
    if "window_id" in trials:
        table = {"window_id": trials["window_id"].to_numpy(dtype=object), **table}
    if len(levels) > 1:
        own = levels[1].target[true]
        table["word_rank"] = expected_rank(levels[1].above[rows, own], levels[1].tied[rows, own])
    return pd.DataFrame(table)


def _check(similarity, candidates, trials, content, word) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, list[str]]:
    """Return the candidates each once, their similarities, the true candidate of each window, and notes."""
    items = (candidates.items if isinstance(candidates, Segments) else candidates).reset_index(drop=True)
    similarity = np.asarray(similarity)
    if similarity.ndim != 2 or similarity.shape != (len(trials), len(items)):
        raise BraindecError(
            "similarity must be (n_windows, n_candidates)",
            found=f"{similarity.shape}",
            allowed=f"({len(trials)}, {len(items)})",
        )
    if not len(trials):
        raise BraindecError("nothing to retrieve", found="0 windows")
    missing = [c for c in ("stimulus_id", content, *([word] if word else [])) if c not in items]
    if missing:
        raise BraindecError(f"candidates need a column {missing[0]!r}", found=f"columns {', '.join(map(str, items.columns))}",
                            fix="segments_for(windows, series) gives them" + ("; word=None scores segments only" if missing == [word] else ""))  # fmt: skip
    bad = ~np.isfinite(similarity).all(axis=1)
    if bad.any():
        raise BraindecError(
            "similarities are not finite", found=f"{int(bad.sum())} windows, first {int(np.argmax(bad))}"
        )
    notes: list[str] = []
    ids = items["stimulus_id"].astype(str)
    if ids.duplicated().any():
        first = np.unique(ids.to_numpy(dtype=object), return_index=True)[1]
        place = pd.Series(first, index=ids.iloc[first])[ids].to_numpy()
        off = np.abs(similarity - similarity[:, place]).max(axis=0) > 1e-6 * max(np.abs(similarity).max(), 1e-30)
        if off.any():
            raise BraindecError("a candidate id has two different segments", found=repr(ids[np.argmax(off)]),
                                fix="name segments by content: shared_content")  # fmt: skip
        notes.append(f"{int(ids.duplicated().sum())} repeated candidates counted once")
        keep = np.sort(first)
        items, similarity = items.iloc[keep].reset_index(drop=True), similarity[:, keep]
    if len(items) < 2:
        raise BraindecError("retrieval needs at least 2 candidates", found=f"{len(items)}")
    names = pd.Index(items["stimulus_id"].astype(str))
    shown = trials["stimulus_id"].astype(str)
    true = names.get_indexer(shown)
    if (true < 0).any():
        lost = shown[true < 0].unique()
        near = nearest(lost[0], names[:5000])
        raise BraindecError(f"{len(lost)} segments that were heard are not among the candidates",
                            found=", ".join(map(repr, lost[:4])) + (f"; nearest candidate {near[0]!r}" if near else ""),
                            fix="the candidate set must hold every segment that was heard")  # fmt: skip
    if word is not None and items[word].isna().any():
        raise BraindecError(
            f"{int(items[word].isna().sum())} candidates have no word", fix="word=None, or candidates anchored at words"
        )
    return items.assign(stimulus_id=names.to_numpy(dtype=object)), similarity, true, notes
