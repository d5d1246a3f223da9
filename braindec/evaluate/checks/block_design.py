"""Can the class be told from time alone: neighbours, position in the run, or the run itself?

Three signal-blind predictions with the folds that were given, each against labels permuted the way a randomised
design would have dealt them:

* neighbour: the class of the nearest training row in the same recording (labels permuted within recordings);
* position: the class of the rows at the same time of other recordings (stretches of one class permuted within
  recordings, so that blocks stay blocks);
* recording: how much the recording says about the class (labels permuted between recordings of a subject).

A finding needs p <= 0.005 and a real size, so that randomised designs pass.

Source: Li et al. 2021, TPAMI, "The perils and pitfalls of block design for EEG classification experiments".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from braindec.evaluate.checks.time_adjacency import interleaved
from braindec.evaluate.finding import Context, Finding
from braindec.stats.permutation import permutation_p, permute_within

__all__ = ["check"]
_REFERENCE = "Li et al. 2021, TPAMI"
_ALPHA = 0.005
_SMALL, _LARGE = 0.05, 0.2  # excess over chance, as a share of what is left above chance
_PAIRS = 6000  # pairs of rows that are compared at most
_OTHERS = 8  # other recordings that a position is compared with
_V_SMALL, _V_LARGE = 0.3, 0.5  # Cramér's V


def check(context: Context) -> list[Finding] | Finding:
    """Run the three predictions."""
    if context.code is None or len(set(context.y)) < 2:
        return Finding("block_design", "skip", "no classes are decoded (y, or trial_type with several values)")
    rng = context.rng("block_design")
    found = [_neighbour(context, rng), _position(context, rng), _recording(context, rng)]
    told = [f for f in found if f is not None and f.level != "pass"]
    if told:
        return told
    evidence = {k: v for f in found if f is not None for k, v in f.evidence.items()}
    said = [f.message for f in found if f is not None]
    if not said:
        return Finding("block_design", "skip", "too few rows for a time-only prediction")
    return Finding("block_design", "pass", "; ".join(said), evidence)


def _neighbour(context: Context, rng: np.random.Generator) -> Finding | None:
    pairs = [_nearest(context, s.test, s.train) for s in context.splits]
    tested, beside = (np.concatenate([p[i] for p in pairs]) for i in range(2))
    if len(tested) < 10:
        return None
    tested, beside = _thin(tested, beside, rng)
    shuffle = _rows_within(context.rows.recording)
    found = _judge(context, tested, beside, shuffle, rng, name="neighbour", what="the nearest training window of the same recording",
                   fix='leave whole blocks or runs out: split_by(windows, "run"), or by="time" with a gap longer than a block')  # fmt: skip
    if found.level == "fail" and not context.rows.timed and interleaved(context) <= 0.5:
        message = (
            f"{found.message}; times are unknown: if the file is sorted by class, its order is not that of recording"
        )
        fix = f"say run or onset for each row, or {found.fix}"
        found = replace(found, level="warn", message=message, fix=fix)
    return found


def _position(context: Context, rng: np.random.Generator) -> Finding | None:
    rows = context.rows
    if len(np.unique(rows.recording)) < 2:
        return None
    place = _place(context)
    tested, beside = [np.empty(0, int)], [np.empty(0, int)]
    for split in context.splits:
        used = np.unique(rows.recording[split.train])
        for recording in rng.permutation(used)[:_OTHERS]:
            theirs = split.train[rows.recording[split.train] == recording]
            mine = split.test[rows.recording[split.test] != recording]
            if len(mine):
                tested.append(mine)
                beside.append(theirs[_closest(place[theirs], place[mine])])
    tested, beside = np.concatenate(tested), np.concatenate(beside)
    if len(tested) < 10:
        return None
    tested, beside = _thin(tested, beside, rng)
    shuffle = _stretches_within(context)
    return _judge(context, tested, beside, shuffle, rng, name="position", what="a window at the same time of another recording",
                  fix="randomise the order anew in each run; report the time-only control row beside the score")  # fmt: skip


def _judge(
    context: Context,
    tested: np.ndarray,
    beside: np.ndarray,
    shuffle: Callable[[np.ndarray, int, np.random.Generator], np.ndarray],
    rng: np.random.Generator,
    *,
    name: str,
    what: str,
    fix: str,
) -> Finding:
    """Compare how often the pairs agree in class with permuted labels."""
    code = context.code
    observed = float(np.mean(code[tested] == code[beside]))
    n_permutations = max(199, min(context.n_permutations, 20_000_000 // max(len(code), len(tested))))
    null = []
    for start in range(0, n_permutations, 100):
        drawn = shuffle(code, min(100, n_permutations - start), rng)
        null.append(np.mean(drawn[:, tested] == drawn[:, beside], axis=1))
    null = np.concatenate(null)
    p, chance = float(permutation_p(observed, null)), float(null.mean())
    excess = (observed - chance) / max(1 - chance, 1e-9)
    evidence = {f"{name}_agreement": observed, f"{name}_chance": chance, f"{name}_p": p, f"{name}_pairs": len(tested)}
    level = "pass"
    if p <= _ALPHA and excess >= _SMALL:
        level = "fail" if excess >= _LARGE else "warn"
    message = f"{what} has the same class in {100 * observed:.1f} % (chance {100 * chance:.1f} %, p {p:.3g})"
    if level == "pass":
        return Finding("block_design", level, message, evidence)
    message = f"the class can be told from time alone: {message}"
    return Finding("block_design", level, message, evidence, fix, _REFERENCE)


def _recording(context: Context, rng: np.random.Generator) -> Finding | None:
    rows, code = context.rows, context.code
    n = len(np.unique(rows.recording))
    if n < 2:
        return None
    subject = rows.column("subject")
    subject = np.zeros(len(rows), dtype=int) if subject is None else np.unique(subject, return_inverse=True)[1]
    if len(np.unique(subject)) > 1 and len(np.unique(np.c_[subject, code], axis=0)) == len(np.unique(subject)):
        return None  # the label belongs to the subject: subject_overlap looks at that
    observed = _cramer(rows.recording, code)
    shuffle = _rows_within(subject)
    null = np.array([_cramer(rows.recording, drawn) for drawn in shuffle(code, 199, rng)])
    p = float(permutation_p(observed, null))
    shared = any(np.isin(rows.recording[s.test], rows.recording[s.train]).any() for s in context.splits)
    constant = len(np.unique(np.c_[rows.recording, code], axis=0)) == n
    evidence = {
        "recording_v": observed,
        "recording_p": p,
        "class_constant_in_recording": constant,
        "recordings_shared": shared,
    }
    if p <= _ALPHA and observed >= (_V_SMALL if shared else _V_LARGE):
        said = (
            f"each of {n} recordings holds one class only"
            if constant
            else f"class depends on the recording (V {observed:.2f}, p {p:.3g})"
        )
        if shared:
            message = f"{said}, and recordings are in training and test: knowing the recording is knowing the class"
        else:
            message = f"{said}: what differs between recordings (impedance, drift, time of day) differs between classes; n is {n}"
        level = "fail" if shared and observed >= _V_LARGE else "warn"
        return Finding(
            "block_design",
            level,
            message,
            evidence,
            "record every class in every run; leave whole runs out",
            _REFERENCE,
        )
    return Finding(
        "block_design", "pass", f"the recording says little about the class (V {observed:.2f}, p {p:.3g})", evidence
    )


def _place(context: Context) -> np.ndarray:
    """Place in the recording: s, or row number where times are unknown."""
    rows = context.rows
    if rows.timed:
        return (rows.start + rows.stop) / 2
    place = np.empty(len(rows))
    for recording in np.unique(rows.recording):
        mine = np.flatnonzero(rows.recording == recording)
        place[mine] = np.arange(len(mine))
    return place


def _nearest(context: Context, tested: np.ndarray, trained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair each test row with the training row nearest in time in its recording, where there is one."""
    place, recording = _place(context), context.rows.recording
    mine, theirs = [np.empty(0, int)], [np.empty(0, int)]
    for r in np.intersect1d(recording[tested], recording[trained]):
        a, b = tested[recording[tested] == r], trained[recording[trained] == r]
        mine.append(a)
        theirs.append(b[_closest(place[b], place[a])])
    return np.concatenate(mine), np.concatenate(theirs)


def _closest(values: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Index of the value nearest to each asked one."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    right = np.clip(np.searchsorted(ranked, asked), 1, max(1, len(ranked) - 1))
    if len(ranked) == 1:
        return np.zeros(len(asked), dtype=int)
    left_is_nearer = asked - ranked[right - 1] <= ranked[right] - asked
    return order[np.where(left_is_nearer, right - 1, right)]


def _thin(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if len(a) <= _PAIRS:
        return a, b
    kept = rng.choice(len(a), _PAIRS, replace=False)
    return a[kept], b[kept]


def _rows_within(group: np.ndarray) -> Callable[[np.ndarray, int, np.random.Generator], np.ndarray]:
    """Permute rows within groups, (n, n_rows) draws."""

    def draw(code: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.stack([permute_within(code, group, rng) for _ in range(n)])

    return draw


def _stretches_within(context: Context) -> Callable[[np.ndarray, int, np.random.Generator], np.ndarray]:
    """Permute stretches of one class within recordings, in order of time; a stretch keeps its class and length."""
    order, recording = context.rows.order, context.rows.recording

    def draw(code: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        line, home = code[order], recording[order]
        new = np.r_[True, (np.diff(line) != 0) | (np.diff(home) != 0)]
        first = np.flatnonzero(new)
        length, label, group = np.diff(np.r_[first, len(line)]), line[first], home[first]
        # recordings are in rising order along `order`, so sorting stretches by recording keeps each in its place
        out = np.empty((n, len(code)), dtype=code.dtype)
        for i in range(n):
            chosen = np.lexsort((rng.random(len(label)), group))
            out[i, order] = np.repeat(label[chosen], length[chosen])
        return out

    return draw


def _cramer(a: np.ndarray, b: np.ndarray) -> float:
    """Cramér's V of two codings."""
    a, b = np.unique(a, return_inverse=True)[1], np.unique(b, return_inverse=True)[1]
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    chi2 = ((table - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi2 / (table.sum() * max(1, min(table.shape) - 1))))
