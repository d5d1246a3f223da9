"""Surrogate features for a null: the same spectra and relations between columns, no relation to the responses.

Time series: within each run, every frequency of all columns is turned by one random phase. That is a rotation of the
rows, the same for all columns, so that means, power spectra, cross-spectra and correlations between columns stay as
they are. Trials: which stimulus a row of features belongs to is permuted; rows of one stimulus stay together.

A null is made by fitting again on surrogates. Permuting, shifting or phase-randomising the *predictions* of a fitted
model is not calibrated for smooth data: a fit adapts to slow trends, and the predictions keep what it learned.

Source: Theiler et al. 1992 (Physica D 58:77) for phase-randomised surrogates; Prichard & Theiler 1994 (Phys Rev Lett
73:951) for one set of phases for all columns.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.stats.permutation import permute_within

__all__ = ["phase_randomized", "random_phases", "shuffled_stimuli", "turn_phases"]


def phase_randomized(X: np.ndarray, *, runs: np.ndarray | None = None, rng: np.random.Generator | int) -> np.ndarray:
    """Return a phase-randomised copy: one random phase a frequency and run, the same for all columns.

    Parameters
    ----------
    X : array of shape (n, p)
        Features; rows of a run are neighbours in order of time.
    runs : array of shape (n,), optional
        Run of each row; one run by default.
    rng : Generator or int
        Source of chance.

    Returns
    -------
    array of shape (n, p)
        Real, with the means, power and cross-spectra of each run; float32 stays float32.

    Raises
    ------
    BraindecError
        If a run has fewer than 3 rows (it has no phase to turn), its rows are not neighbours, or values are not finite.
    """
    X = np.asarray(X)
    return turn_phases(X, random_phases(len(X), runs=runs, rng=rng))


def random_phases(
    n: int, *, runs: np.ndarray | None = None, rng: np.random.Generator | int
) -> list[tuple[int, int, np.ndarray]]:
    """Draw the factors of :func:`turn_phases`: (first row, row after the last, complex factor a frequency) of each run."""
    rng = np.random.default_rng(rng)
    out = []
    for start, stop in _blocks(runs, n):
        length = stop - start
        if length < 3:
            raise BraindecError(
                f"a run of {length} row{'s' * (length != 1)} has no phase to randomise", found=f"rows {start} to {stop - 1}",
                allowed="3 rows or more; some 20 for a useful null",
                fix='check the runs; for single trials use design="trials"',
            )  # fmt: skip
        turn = np.exp(2j * np.pi * rng.random(length // 2 + 1))
        turn[0] = 1.0  # the mean stays
        if length % 2 == 0:
            turn[-1] = rng.choice((-1.0, 1.0))  # the highest frequency of an even length must stay real
        out.append((start, stop, turn))
    return out


def turn_phases(X: np.ndarray, phases: list[tuple[int, int, np.ndarray]]) -> np.ndarray:
    """Return ``X`` with each frequency of each run turned by the factors of :func:`random_phases`."""
    X = np.asarray(X)
    if not np.isfinite(X).all():
        raise BraindecError(
            "surrogates need finite features", found=f"{int((~np.isfinite(X)).sum())} values that are not"
        )
    out = np.empty(X.shape, dtype=X.dtype if X.dtype.kind == "f" else np.float64)
    for start, stop, turn in phases:
        spectrum = np.fft.rfft(X[start:stop], axis=0)
        out[start:stop] = np.fft.irfft(spectrum * turn[:, None], n=stop - start, axis=0)
    return out


def shuffled_stimuli(
    stimuli: np.ndarray, *, groups: np.ndarray | None = None, rng: np.random.Generator | int
) -> np.ndarray:
    """Return row numbers that give each stimulus the features of another one: ``X[rows]`` is a surrogate of ``X``.

    Parameters
    ----------
    stimuli : array of shape (n,)
        Which stimulus each trial showed; rows of one stimulus get the features of one other stimulus. Where features
        differ between its repetitions, the k-th repetition gets those of the k-th.
    groups : array of shape (n,), optional
        Stimuli are exchanged within a group only (constant within a stimulus).
    rng : Generator or int
        Source of chance.

    Returns
    -------
    array of int, shape (n,)

    Raises
    ------
    BraindecError
        If a stimulus lies in two groups.
    """
    names, first, code = np.unique(np.asarray(stimuli).astype(str), return_index=True, return_inverse=True)
    code = code.reshape(-1)
    own = None
    if groups is not None:
        labels = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1].reshape(-1)
        own = labels[first]
        wrong = np.flatnonzero(own[code] != labels)
        if len(wrong):
            raise BraindecError("a stimulus lies in two groups", found=f"stimulus {names[code[wrong[0]]]!r}",
                                fix="exchange stimuli among all rows: leave groups out")  # fmt: skip
    new = permute_within(np.arange(len(names)), own, np.random.default_rng(rng))
    order = np.argsort(code, kind="stable")
    counts = np.bincount(code)
    starts = np.cumsum(counts) - counts
    repetition = np.empty(len(code), dtype=np.int64)
    repetition[order] = np.arange(len(code)) - np.repeat(starts, counts)
    target = new[code]
    return order[starts[target] + repetition % counts[target]]


def _blocks(runs: np.ndarray | None, n: int) -> list[tuple[int, int]]:
    """First row and end of each run; stats is a sibling of signal, so this small part stands here too."""
    if runs is None:
        return [(0, n)]
    labels = np.asarray(runs).astype(str)
    if labels.shape != (n,):
        raise BraindecError("runs need one label for each row", found=f"shape {labels.shape} for {n} rows")
    edges = np.r_[0, np.flatnonzero(labels[1:] != labels[:-1]) + 1, n]
    if len(set(labels[edges[:-1]].tolist())) < len(edges) - 1:
        raise BraindecError("rows of a run are not neighbours", found=f"{len(edges) - 1} stretches, {len(set(labels.tolist()))} runs",
                            fix="sort the rows by run and time")  # fmt: skip
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
