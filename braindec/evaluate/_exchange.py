"""Which labels may change places: the permutations that a test of "no information" is allowed to make.

Rows of one run are alike for reasons that have nothing to do with the class, so labels are exchanged within a run (or
a contiguous block) only. Where the design moves labels in blocks, or ties them to a stimulus, a session or a subject,
these are exchanged as wholes; labels that come in stretches of any length are turned around within the run. Exchanging
single rows there would break what a real labelling keeps, and p would be too small.

Source: Nichols & Holmes 2002 (Human Brain Mapping 15:1), section "exchangeability"; Etzel & Braver 2013 (IEEE PRNI) on
permuting within runs and whole blocks in decoding; Harris 2021 (bioRxiv 2020.11.29.402719) for shifting one of two
series that are both alike from row to row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._rows import Rows, group_names, rows_of
from braindec.stats.permutation import log_arrangements, log_turns, permute_units, permute_within, turn_within
from braindec.types import Split, Windows

_TRIES = 200
_NOT_CONTENT = ("time", "run", "session", "subject")
_ENOUGH = np.log(1000)  # label orders within runs that suffice for a test

__all__ = ["Exchange", "exchange_in_order", "exchange_of", "is_sorted"]


@dataclass(frozen=True, eq=False)
class Exchange:
    """What is exchanged with what.

    Parameters
    ----------
    units : array of int, shape (n,)
        Rows that move together; they share a label.
    groups : array of int, shape (n,)
        Units change places within a group.
    clusters : array of int, shape (n,)
        Runs, or blocks of one run: the rows that are alike, for resampling.
    how : str
        For the note beside a score.
    where : str
        What a cluster is: "run", "block", "subject", ...
    order : array of int, shape (n,), optional
        Rows in order of time: labels are turned around within each group (a circular shift by a random number of
        rows) instead of exchanged; ``units`` are then the stretches of one label.
    """

    units: np.ndarray
    groups: np.ndarray
    clusters: np.ndarray
    how: str
    where: str
    order: np.ndarray | None = None

    def arrangements(self, codes: np.ndarray) -> float:
        """Return the natural logarithm of the number of different label orders."""
        if self.order is not None:
            return log_turns(codes, self.groups, self.order)
        first = np.unique(self.units, return_index=True)[1]
        return log_arrangements(codes[first], self.groups[first])

    def draw(self, codes: np.ndarray, splits: Sequence[Split], *, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return ``n`` labellings, shape (n, n_rows), in which every training part holds every class.

        When some test part has several classes, as pairwise metrics need, so has one of each labelling.

        Raises
        ------
        BraindecError
            If such labellings are too rare.
        """
        n_classes = int(codes.max()) + 1
        pairs = any(np.ptp(codes[s.test]) > 0 for s in splits)
        out = np.empty((n, len(codes)), dtype=codes.dtype)
        for i in range(n):
            for _ in range(_TRIES):
                if self.order is None:
                    out[i] = permute_units(codes, self.units, self.groups, rng)
                else:
                    out[i] = turn_within(codes, self.groups, self.order, rng)
                full = all(np.bincount(out[i, s.train], minlength=n_classes).all() for s in splits)
                if full and (not pairs or any(np.ptp(out[i, s.test]) > 0 for s in splits)):
                    break
            else:
                raise BraindecError(
                    "permuted labels leave a training part without some class, time and again", found=self.how,
                    fix="use fewer folds, join rare classes, or set n_permutations=0",
                )  # fmt: skip
        return out


def exchange_of(windows: Windows, codes: np.ndarray, splits: Sequence[Split]) -> Exchange:
    """Find the exchangeable units of a design.

    1. Split by content (a stimulus, a concept, a block) whose label is fixed: whole contents are exchanged.
    2. Subjects, sessions or runs of one class each: the largest of them that are, as wholes.
    3. Otherwise rows are exchanged within their run; within the test blocks when there is one run split by time.
    4. Labels that come in blocks, far longer than a random order has: whole blocks are exchanged.
    5. Labels that come in stretches of irregular length: the order of a run is kept and turned around.
    """
    rows = rows_of(windows)
    everything, single = np.zeros(len(rows), dtype=int), np.arange(len(rows))
    several = rows.recording.max() > 0
    runs = rows.recording if several else _time_blocks(rows, splits)
    where = "run" if several else "block" if runs.max() > 0 else "recording"
    by = splits[0].by
    content = None if by in _NOT_CONTENT else rows.column(by)
    if content is not None:
        value = np.unique(content, return_inverse=True)[1]
        if _fixed(codes, value) and value.max() + 1 < len(rows):
            return _of_content(codes, value, runs, by, where)
    if is_sorted(rows, codes):
        return Exchange(
            single, everything, runs, "rows are sorted by class and have no onset: labels exchanged freely", where
        )
    levels = {level: _level(rows, level) for level in ("subject", "session")}
    for name, level in (*levels.items(), (where, runs)):
        if level.max() > 0 and _fixed(codes, level):
            how = f"labels exchanged between whole {name}s, which have one class each"
            return Exchange(level, everything, level, how, name)
    clusters, of = (levels[by], by) if by in levels and levels[by].max() > 0 else (runs, where)
    # a block that the folds of a split by time cut is one block all the same
    return _in_time(
        codes, rows.recording, rows.order, Exchange(single, runs, clusters, f"labels exchanged within each {where}", of)
    )


def exchange_in_order(codes: np.ndarray, recording: np.ndarray, what: str = "run") -> Exchange:
    """Find the exchangeable units of labels that stand in order of time within each recording: 3 to 5 of :func:`exchange_of`."""
    code = np.unique(recording, return_inverse=True)[1]
    order = np.argsort(code, kind="stable")
    return _in_time(
        codes, code, order, Exchange(np.arange(len(codes)), code, code, f"labels exchanged within each {what}", what)
    )


def _in_time(codes: np.ndarray, recording: np.ndarray, order: np.ndarray, single: Exchange) -> Exchange:
    """Exchange blocks, or turn the order around, where labels come in blocks or stretches; ``single`` where they do not."""
    stretches = _stretches(codes, recording, order)
    deviations, share = _clumping(codes, recording, order)
    within = f"within {'each run' if recording.max() > 0 else 'the recording'}"
    length = _block_length(stretches)
    if deviations > 5 and share > 0.3 and length:
        block = _blocks_of(stretches, order, length)
        how = f"labels come in blocks of about {length} rows: whole blocks exchanged {within}"
        return Exchange(block, recording, single.clusters, how, single.where)
    if deviations > 3 and share > 0.1:
        how = f"labels come in stretches of irregular length: their order is kept and turned around {within}"
        return Exchange(stretches, recording, single.clusters, how, single.where, order)
    return single


def _of_content(codes: np.ndarray, value: np.ndarray, runs: np.ndarray, by: str, where: str) -> Exchange:
    """Exchange whole contents: within their runs when each lies in one and that leaves enough orders."""
    how = f"labels exchanged between values of {by}"
    if not _fixed(runs, value):
        return Exchange(value, np.zeros_like(value), value, how, f"{by} value")
    nested = Exchange(value, runs, runs, f"{how} within each {where}", where)
    return nested if nested.arrangements(codes) >= _ENOUGH else Exchange(value, np.zeros_like(value), runs, how, where)


def _level(rows: Rows, name: str) -> np.ndarray:
    """Number the subjects, or the sessions within subjects; all 0 when they are not named."""
    if rows.column(name) is None:
        return np.zeros(len(rows), dtype=int)
    return np.unique(group_names(rows, name), return_inverse=True)[1]


def is_sorted(rows: Rows, codes: np.ndarray) -> bool:
    """True when rows of unknown time stand class by class: the order of a file, not of a recording."""
    whole = np.zeros(len(rows), dtype=int)
    return not rows.timed and rows.recording.max() == 0 and _stretches(codes, whole, rows.order).max() == codes.max()


def _time_blocks(rows: Rows, splits: Sequence[Split]) -> np.ndarray:
    """Contiguous test blocks of a split by time, else one group."""
    block = np.zeros(len(rows), dtype=int)
    if splits[0].by == "time":
        for k, split in enumerate(splits):
            block[split.test] = k
    return block


def _fixed(codes: np.ndarray, group: np.ndarray) -> bool:
    """True when every group has one label."""
    first = np.unique(group, return_index=True, return_inverse=True)
    return bool(np.all(codes == codes[first[1]][first[2].reshape(-1)]))


def _stretches(codes: np.ndarray, groups: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Number the stretches of consecutive rows (in ``order``) with one label and one group."""
    c, g = codes[order], groups[order]
    new = np.r_[False, (c[1:] != c[:-1]) | (g[1:] != g[:-1])]
    out = np.empty(len(codes), dtype=int)
    out[order] = np.cumsum(new)
    return out


def _block_length(stretch: np.ndarray) -> int:
    """Length of the blocks that stretches are made of, one or a few each; 0 when they have no common length."""
    lengths = np.bincount(stretch)
    for length in np.unique(lengths)[::-1]:
        off = np.abs(lengths - length * np.maximum(1, np.round(lengths / length)))
        if length > 1 and np.mean(off <= length / 4) >= 0.8:
            return int(length)
    return 0


def _blocks_of(stretch: np.ndarray, order: np.ndarray, length: int) -> np.ndarray:
    """Cut stretches into blocks of about ``length`` rows: two blocks of one label in a row look like a long one."""
    lengths = np.bincount(stretch)
    parts = np.maximum(1, np.round(lengths / length).astype(int))
    first = np.concatenate([[0], np.cumsum(parts)[:-1]])
    out = np.empty_like(stretch)
    for k in range(len(lengths)):
        mine = order[stretch[order] == k]
        out[mine] = first[k] + (np.arange(len(mine)) * parts[k]) // len(mine)
    return out


def _clumping(codes: np.ndarray, groups: np.ndarray, order: np.ndarray) -> tuple[float, float]:
    """How much more often neighbours share a label than in random order: in standard deviations, and as a share."""
    inside = groups[order][1:] == groups[order][:-1]

    def alike(labels: np.ndarray) -> int:
        return int(np.sum((labels[order][1:] == labels[order][:-1]) & inside))

    rng = np.random.default_rng(0)
    random = np.array([alike(permute_within(codes, groups, rng)) for _ in range(50)])
    excess = alike(codes) - random.mean()
    return float(excess / max(random.std(), 0.5)), float(excess / max(inside.sum() - random.mean(), 1e-9))
