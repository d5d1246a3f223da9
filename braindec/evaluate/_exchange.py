"""Which labels may change places: the permutations that a test of "no information" is allowed to make.

Rows of one run are alike for reasons that have nothing to do with the class, so labels are exchanged within a run (or
a contiguous block) only. Where the design moves labels in blocks, or ties them to a stimulus, whole blocks or whole
stimuli are exchanged: exchanging single rows there would break what a real labelling keeps, and p would be too small.

Source: Nichols & Holmes 2002 (Human Brain Mapping 15:1), section "exchangeability"; Etzel & Braver 2013 (IEEE PRNI) on
permuting within runs and whole blocks in decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._rows import Rows, rows_of
from braindec.stats.permutation import log_arrangements, permute_units, permute_within
from braindec.types import Split, Windows

_TRIES = 200
_NOT_CONTENT = ("time", "run", "session", "subject")

__all__ = ["Exchange", "exchange_of", "is_sorted"]


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
        What a cluster is: "run" or "block".
    """

    units: np.ndarray
    groups: np.ndarray
    clusters: np.ndarray
    how: str
    where: str

    def arrangements(self, codes: np.ndarray) -> float:
        """Return the natural logarithm of the number of different label orders."""
        first = np.unique(self.units, return_index=True)[1]
        return log_arrangements(codes[first], self.groups[first])

    def draw(self, codes: np.ndarray, splits: Sequence[Split], *, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return ``n`` labellings, shape (n, n_rows), in which every training part holds every class.

        Raises
        ------
        BraindecError
            If such labellings are too rare.
        """
        n_classes = int(codes.max()) + 1
        out = np.empty((n, len(codes)), dtype=codes.dtype)
        for i in range(n):
            for _ in range(_TRIES):
                out[i] = permute_units(codes, self.units, self.groups, rng)
                if all(np.bincount(out[i, s.train], minlength=n_classes).all() for s in splits):
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
    2. Otherwise rows are exchanged within their run; within the test blocks when there is one run split by time.
    3. Labels that come in blocks, far longer than a random order has: whole blocks are exchanged.
    4. Runs of one class each: whole runs are exchanged.
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
            return Exchange(value, everything, runs, f"labels exchanged between values of {by}", where)
    if is_sorted(rows, codes):
        return Exchange(
            single, everything, runs, "rows are sorted by class and have no onset: labels exchanged freely", where
        )
    if _fixed(codes, runs) and runs.max() > 0:
        return Exchange(
            runs, everything, runs, f"labels exchanged between whole {where}s, which have one class each", where
        )
    if _is_blocked(codes, runs, rows.order):
        block, length = _blocks_of(_stretches(codes, runs, rows.order), rows.order)
        how = f"labels come in blocks of about {length} rows: whole blocks exchanged within each {where}"
        return Exchange(block, runs, runs, how, where)
    return Exchange(single, runs, runs, f"labels exchanged within each {where}", where)


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


def _blocks_of(stretch: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, int]:
    """Cut stretches into blocks of the most common length: two blocks of one label in a row look like a long one."""
    lengths = np.bincount(stretch)
    length = int(np.argmax(np.bincount(lengths)))
    parts = np.maximum(1, np.round(lengths / length).astype(int))
    first = np.concatenate([[0], np.cumsum(parts)[:-1]])
    out = np.empty_like(stretch)
    for k in range(len(lengths)):
        mine = order[stretch[order] == k]
        out[mine] = first[k] + (np.arange(len(mine)) * parts[k]) // len(mine)
    return out, length


def _is_blocked(codes: np.ndarray, groups: np.ndarray, order: np.ndarray) -> bool:
    """True when neighbours share a label far more often than in random order within the groups."""
    inside = groups[order][1:] == groups[order][:-1]

    def alike(labels: np.ndarray) -> int:
        return int(np.sum((labels[order][1:] == labels[order][:-1]) & inside))

    rng = np.random.default_rng(0)
    random = np.array([alike(permute_within(codes, groups, rng)) for _ in range(50)])
    excess = alike(codes) - random.mean()
    return bool(excess > 5 * max(random.std(), 0.5) and excess > 0.3 * (inside.sum() - random.mean()))
