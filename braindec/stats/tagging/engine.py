"""The whole analysis on arrays, units a block at a time: coefficients, power, signal-to-noise, coherence, test, correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2

from braindec.errors import BraindecError, did_you_mean
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import log_arrangements
from braindec.stats.tagging.bins import Bins, check_rates
from braindec.stats.tagging.compare import STATISTICS, deals, permuted, two_sample
from braindec.stats.tagging.phase import hotelling, itpc, rayleigh, share_of_power, signs, t2circ
from braindec.stats.tagging.spectrum import (
    apply_table,
    fourier_table,
    neighbour_test,
    neighbours,
    snr,
    white_test,
)

__all__ = ["TESTS", "TagArrays", "choose_test", "tag_arrays"]

TESTS = ("auto", "permutation", "two_sample", "t2circ", "hotelling", "rayleigh", "sign_flip", "neighbours", "white")
_NEEDS_CONTROL = ("permutation", "two_sample")
_NULLS = ("permutation", "sign_flip")  # tests whose null is made, so that the largest statistic over units is known
_BLOCK = 4_000_000  # numbers at a time
_MANY_TRIALS, _SOME_TRIALS = 8, 4
_NEIGHBOURS = 8
_LOW = 3  # bins below it hold drifts: cosines and sines differ in power there
_UNEVEN = 1.5  # ratio of trial numbers above which unequal variances upset a label permutation


@dataclass
class TagArrays:
    """What was found; arrays are (row, unit), a row is a rate (or the joint test of its harmonics).

    Parameters
    ----------
    names : list of str
        Rate of each row.
    harmonics : list of str
        "1", or "1-3" for the joint test of three.
    frequency : array of shape (row,)
        Hz, of the fundamental.
    power, snr, itpc, phase : array of shape (row, unit)
        Of the condition: evoked power (|mean coefficient|^2), its ratio to neighbouring bins, coherence over trials, phase
        in radians. NaN in joint rows.
    control_power, control_itpc : array of shape (row, unit) or None
    statistic, p, q, p_max : array of shape (row, unit)
        ``q``: Benjamini-Hochberg over units of a row. ``p_max``: by the largest statistic over units of a row (NaN for
        tests without permutations).
    bins : Bins
    test : str
    notes : list of str
    """

    names: list[str]
    harmonics: list[str]
    frequency: np.ndarray
    power: np.ndarray
    snr: np.ndarray
    itpc: np.ndarray
    phase: np.ndarray
    control_power: np.ndarray | None
    control_itpc: np.ndarray | None
    statistic: np.ndarray
    p: np.ndarray
    q: np.ndarray
    p_max: np.ndarray
    bins: Bins
    test: str
    notes: list[str] = field(default_factory=list)


def choose_test(
    test: str, n_trials: int, n_control: int | None, fewest_neighbours: int, lowest_bin: int = _LOW
) -> tuple[str, str]:
    """Return the test that is meant and a sentence on why.

    ``lowest_bin`` is the smallest Fourier bin that is tested. In the first bins a straight line taken out of the trials, or a drift
    left in them, makes noise that is not circular: T2circ then finds 6 to 8 % at 5 %, Hotelling's T2 does not mind.

    Raises
    ------
    BraindecError
        If the test is unknown, lacks its control, or nothing can be tested.
    """
    if test not in TESTS:
        raise BraindecError(f"there is no test {test!r}{did_you_mean(test, TESTS)}", allowed=", ".join(TESTS))
    if test in _NEEDS_CONTROL and n_control is None:
        raise BraindecError(
            f"the test {test!r} compares a condition with a matched control, and there is none", fix="give control="
        )
    if test not in ("auto", *_NEEDS_CONTROL) and n_control is not None:
        return test, f"Test {test}, as asked, on the condition alone: the control is described but not tested against."
    if test != "auto":
        return test, f"Test {test}, as asked."
    if n_control is not None:
        return (
            "permutation",
            "Labels of trials are permuted between the condition and its control, because there is a control.",
        )
    if lowest_bin < _LOW and (
        n_trials >= _MANY_TRIALS or (n_trials >= _SOME_TRIALS and fewest_neighbours < _NEIGHBOURS)
    ):
        return "hotelling", (
            f"Hotelling's T2 over {n_trials} independent trials, because there is no control and a trial holds fewer than {_LOW} periods of "
            "a rate, where noise is not circular. It finds whatever is locked to the trial, word classes and position included."
        )  # fmt: skip
    if n_trials >= _MANY_TRIALS:
        return "t2circ", (
            f"T2circ over {n_trials} independent trials, because there is no control. It finds whatever is locked to the trial, "
            "word classes and position included."
        )  # fmt: skip
    if fewest_neighbours >= _NEIGHBOURS:
        return "neighbours", (
            f"Power against {fewest_neighbours} or more neighbouring bins, because there are fewer than {_MANY_TRIALS} trials "
            "and no control. It finds whatever is periodic, word classes included."
        )  # fmt: skip
    if n_trials >= _SOME_TRIALS:
        return (
            "t2circ",
            f"T2circ over {n_trials} trials, because there is no control and no room for neighbouring bins.",
        )
    raise BraindecError(
        "these data allow no calibrated test of a tag",
        found=f"{n_trials} trials, no control, {fewest_neighbours} neighbouring bins",
        allowed=f"a matched control, {_SOME_TRIALS} independent trials, or trials long enough for {_NEIGHBOURS} neighbouring bins",
    )  # fmt: skip


def tag_arrays(
    x: np.ndarray, *, sfreq: float, rates: Mapping[str, float], control: np.ndarray | None = None, test: str = "auto",
    statistic: str = "difference", harmonics: int = 1, detrend: str = "constant", n_neighbours: int = 6, skip: int = 0,
    n_permutations: int = 1000, rng: np.random.Generator | int = 0, blocks: np.ndarray | None = None,
) -> TagArrays:  # fmt: skip
    """Test tags in trials of one or two conditions.

    Parameters
    ----------
    x : array of shape (trial, time, unit)
        Independent trials, the onset already dropped.
    sfreq : float
        Hz.
    rates : mapping of str to float
        Hz; each on a Fourier bin, at most at the Nyquist frequency.
    control : array of shape (trial, time, unit), optional
        Trials of a matched control, of the same length and units.
    test : str
        One of :data:`TESTS`; "auto" says in the notes what it chose and why.
    statistic : {"difference", "stronger"}
        Of the label permutation; see :mod:`braindec.stats.tagging.compare`.
    harmonics : int
        Rows that test this many harmonics of each rate jointly are added (those at or below Nyquist).
    detrend : {"constant", "linear", "none"}
        Of each trial. "linear" is for recordings with slow drifts.
    n_neighbours, skip : int
        Neighbouring bins a side for the signal-to-noise ratio, and how many nearest ones are left out.
    n_permutations : int
    rng : Generator or int
    blocks : array of shape (n_trials of both,), optional
        Labels are permuted within blocks only.

    Raises
    ------
    BraindecError
        If rates do not fit the trials, shapes differ, or values are not finite.
    """
    x, control = _checked(x, control)
    for what, value, least in (("harmonics", harmonics, 1), ("n_neighbours", n_neighbours, 1), ("skip", skip, 0),
                               ("n_permutations", n_permutations, 1)):  # fmt: skip
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise BraindecError(f"{what}={value!r} does not work", allowed=f"a whole number from {least} on")
    n_trials, n_times, n_units = x.shape
    bins = check_rates(rates, sfreq, n_times)
    wide, rows = _with_harmonics(bins, harmonics)
    places = neighbours(bins, n=n_neighbours, skip=skip, others=wide.index)
    few = min(len(p) for p in places)
    n_control = None if control is None else len(control)
    chosen, why = choose_test(test, n_trials, n_control, few, int(wide.index.min()))
    if statistic not in STATISTICS:
        raise BraindecError(f"statistic {statistic!r} is unknown", allowed=", ".join(STATISTICS))
    weights = _weights(
        chosen, n_trials, 0 if control is None else len(control), n_permutations, np.random.default_rng(rng), blocks
    )
    notes = [why, *bins.notes, *(_uneven_note(n_trials, n_control) if chosen in _NEEDS_CONTROL and n_control else [])]
    largest = None if weights is None else np.full((len(weights), len(rows)), -np.inf)
    size = max(1, _BLOCK // max(n_trials * n_times, (0 if weights is None else len(weights)) * 2 * len(wide.index)))
    table = fourier_table(n_times, sfreq, wide.index * sfreq / n_times, detrend=detrend)
    around = [fourier_table(n_times, sfreq, p * sfreq / n_times, detrend=detrend) for p in places]
    parts = []
    for start in range(0, n_units, size):
        block = slice(start, start + size)
        parts.append(_block(x[:, :, block], None if control is None else control[:, :, block], table, around, bins, wide, rows,
                            places, chosen, statistic, weights, largest))  # fmt: skip
    joined = {k: None if parts[0][k] is None else np.concatenate([p[k] for p in parts], axis=1) for k in parts[0]}
    flat = np.isnan(joined["p"][: len(bins.index)]).all(axis=0)
    if flat.all():
        raise BraindecError(
            "no unit varies from trial to trial: there is nothing to test", found=f"{n_units} units, {n_trials} trials",
            fix="check that trials are different stimuli and that the units are those that were meant",
        )  # fmt: skip
    if few == 0:
        notes.append("No signal-to-noise ratio: these trials leave no neighbouring bin free beside a tag.")
    for name, values in (("condition", x), ("control", control)):
        silent = 0 if values is None else int((values == values[:, :1]).all(axis=(1, 2)).sum())
        if silent:
            notes.append(f"{silent} of {len(values)} trials of the {name} hold one value throughout in all units: their phase is "
                         "undefined, and with it the coherence between trials. Leave them out.")  # fmt: skip
    if flat.any():
        notes.append(f"{int(flat.sum()):,} of {n_units:,} units do not vary: they have no p.")
    if weights is not None:
        sizes = None if chosen != "permutation" else (n_trials, n_control or 0)
        notes += _floor_note(len(weights), _smallest_p(len(weights), sizes, statistic, blocks), n_units)
    return TagArrays(
        names=[r[0] for r in rows], harmonics=[r[1] for r in rows],
        frequency=np.array([wide.frequencies[r[2][0]] for r in rows]), bins=bins, test=chosen, notes=notes,
        q=np.stack([fdr_bh(row) for row in joined["p"]]), p_max=_p_max(joined["statistic"], largest), **joined,
    )  # fmt: skip


def _checked(x: np.ndarray, control: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    x = np.asarray(x)
    for name, values in (("the condition", x), ("the control", control)):
        if values is None:
            continue
        values = np.asarray(values)
        if values.ndim != 3 or values.dtype.kind not in "fiu":
            raise BraindecError(
                f"trials of {name} must be real numbers (trial, time, unit), all of one length",
                found=f"shape {values.shape}, dtype {values.dtype}",
                fix="cut all trials to the same number of samples",
            )
        if not len(values) or not values.shape[2]:
            raise BraindecError(f"{name} has no trials or no units", found=f"shape {values.shape}")
        bad = ~np.isfinite(values).all(axis=(0, 1))
        if bad.any():
            raise BraindecError(
                f"{int(bad.sum())} units of {name} hold values that are not finite",
                found=f"first unit {int(np.argmax(bad))}",
            )
    if control is None:
        return x, None
    control = np.asarray(control)
    if control.shape[1:] != x.shape[1:]:
        raise BraindecError(
            "condition and control differ in trial length or units",
            found=f"(time, unit) {x.shape[1:]} and {control.shape[1:]}",
            fix="cut both to the same length and give both the same units",
        )
    seen = {trial.tobytes(): k for k, trial in enumerate(np.ascontiguousarray(x)) if (trial != trial[:1]).any()}
    for k, trial in enumerate(np.ascontiguousarray(control, dtype=x.dtype)):
        if (first := seen.get(trial.tobytes())) is not None:
            raise BraindecError(
                "condition and control share trials, so no test can tell them apart",
                found=f"trial {first} of the condition is trial {k} of the control", fix="give trials of another condition as control=",
            )  # fmt: skip
    return x, control


def _with_harmonics(bins: Bins, harmonics: int) -> tuple[Bins, list[tuple[str, str, list[int]]]]:
    """All bins that are needed, and the rows of the result as (rate, harmonics, places in those bins)."""
    index, names = bins.index.tolist(), list(bins.names)
    rows = [(name, "1", [i]) for i, name in enumerate(bins.names)]
    for name, base in zip(bins.names, bins.index.tolist(), strict=True):
        multiples = [h * base for h in range(1, harmonics + 1) if 2 * h * base <= bins.n_times]
        if len(multiples) < 2:
            continue
        for bin_ in multiples:
            if bin_ not in index:
                index.append(bin_)
                names.append(f"{name} x{bin_ // base}")
        rows.append((name, f"1-{len(multiples)}", [index.index(m) for m in multiples]))
    wide = np.array(index)
    return Bins(tuple(names), wide * bins.sfreq / bins.n_times, wide, 2 * wide == bins.n_times, bins.sfreq, bins.n_times), rows  # fmt: skip


def _weights(
    test: str, n: int, m: int, n_permutations: int, rng: np.random.Generator, blocks: np.ndarray | None
) -> np.ndarray | None:
    if test == "permutation":
        if n < 2 or m < 2:
            raise BraindecError("a label permutation needs at least 2 trials of each condition", found=f"{n} and {m}")
        if blocks is not None and len(blocks) != n + m:
            raise BraindecError("blocks need one entry a trial", found=f"{len(blocks)} entries, {n} + {m} trials")
        if blocks is not None and not set(map(str, blocks[:n])) & set(map(str, blocks[n:])):
            raise BraindecError(
                "no block holds trials of both conditions, so no label can be exchanged",
                found=f"{len(set(map(str, blocks)))} blocks", fix="blocks=None, or blocks in which both conditions were run",
            )  # fmt: skip
        return deals(n, m, n_permutations, rng, blocks)[0]
    if test == "sign_flip":
        if n < 5:
            raise BraindecError("the sign-flip test needs at least 5 trials", found=f"{n} trials")
        return signs(n, n_permutations, rng)[0]
    return None


def _block(
    x: np.ndarray, control: np.ndarray | None, table: np.ndarray, around: list[np.ndarray], bins: Bins, wide: Bins,
    rows: list[tuple[str, str, list[int]]], places: list[np.ndarray], test: str, statistic: str, weights: np.ndarray | None,
    largest: np.ndarray | None,
) -> dict[str, np.ndarray | None]:  # fmt: skip
    """Everything about one block of units; ``largest`` (permutation, row) is brought up to date in place."""
    x = x.astype(np.float64, copy=False)
    c = apply_table(table, x)
    d = None if control is None else apply_table(table, control.astype(np.float64, copy=False))
    mean_series, mean = x.mean(axis=0), c.mean(axis=0)
    tagged = np.abs(mean) ** 2
    noise = [np.abs(apply_table(t, mean_series)) ** 2 for t in around]
    n_rates, more = len(bins.index), len(rows) - len(bins.index)
    ratio = snr(tagged[:n_rates], noise, bins, places)
    if weights is not None:
        null = permuted(c, d, weights, statistic) if test == "permutation" else share_of_power(weights, c)
        values, p = _by_null(null, rows, largest)
    else:
        values, p = _by_formula(test, c, d, tagged, ratio, mean_series, wide, bins, places, rows)

    def padded(a: np.ndarray) -> np.ndarray:
        return np.concatenate([a[:n_rates], np.full((more, a.shape[1]), np.nan)])

    return {
        "power": padded(tagged), "snr": padded(ratio), "itpc": padded(itpc(c)), "phase": padded(np.angle(mean)),
        "control_power": None if d is None else padded(np.abs(d.mean(axis=0)) ** 2),
        "control_itpc": None if d is None else padded(itpc(d)), "statistic": values, "p": p,
    }  # fmt: skip


def _by_null(null: np.ndarray, rows: list, largest: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    values, ps = [], []
    for r, (_, _, use) in enumerate(rows):
        own = null[:, use[0]] if len(use) == 1 else null[:, use].sum(axis=1)  # (permutation, unit)
        ps.append((own >= own[0] - 1e-9 * np.abs(own[0])).mean(axis=0))
        known = ~np.isnan(own[0])
        ps[-1][~known] = np.nan
        values.append(own[0])
        if largest is not None and known.any():
            np.maximum(largest[:, r], own[:, known].max(axis=1), out=largest[:, r])
    return np.stack(values), np.stack(ps)


def _by_formula(
    test: str, c: np.ndarray, d: np.ndarray | None, tagged: np.ndarray, ratio: np.ndarray, series: np.ndarray, wide: Bins,
    bins: Bins, places: list[np.ndarray], rows: list,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    if test == "two_sample":
        values, p = two_sample(c, d, wide.nyquist)
    elif test == "neighbours":
        values, p = ratio, neighbour_test(ratio, bins, places)
        if len(rows) > len(bins.index):
            raise BraindecError(
                "harmonics cannot be tested jointly against neighbouring bins", fix="test='t2circ' or a control"
            )
    elif test == "white":
        values, p = white_test(tagged, series.var(axis=0), wide)
    else:
        values, p = {"t2circ": t2circ, "hotelling": hotelling, "rayleigh": rayleigh}[test](c, wide.nyquist)
    out = [(values[use[0]], p[use[0]]) if len(use) == 1 else _fisher(p[use]) for _, _, use in rows]
    return np.stack([v for v, _ in out]), np.stack([q for _, q in out])


def _fisher(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fisher's combination over harmonics: bins of stationary noise are independent."""
    with np.errstate(divide="ignore"):
        statistic = -2 * np.log(p).sum(axis=0)
    return statistic, chi2.sf(statistic, 2 * len(p))


def _p_max(statistic: np.ndarray, largest: np.ndarray | None) -> np.ndarray:
    out = np.full(statistic.shape, np.nan)
    if largest is None:
        return out
    for r, row in enumerate(statistic):
        every = np.sort(largest[:, r])
        out[r] = (len(every) - np.searchsorted(every, row * (1 - np.sign(row) * 1e-9), side="left")) / len(every)
        out[r, np.isnan(row)] = np.nan
    return out


def _uneven_note(n: int, m: int) -> list[str]:
    """Say what unequal numbers of trials do to an exchange of labels."""
    if max(n, m) <= _UNEVEN * min(n, m):
        return []
    return [f"There are {n} trials of the condition and {m} of the control: each has a variance of its own in the statistic. Where the fewer ones vary "
            "much more, the test still finds a little too much (four times the amplitude in 5 trials against 40: 7 % at 5 %); equally many trials of both are safe."]  # fmt: skip


def _smallest_p(n: int, sizes: tuple[int, int] | None, statistic: str, blocks: np.ndarray | None) -> float:
    """The smallest p of ``n`` arrangements; of labels of two conditions of these sizes, in blocks, there may be fewer."""
    if sizes is None:
        return 1 / n
    labels = np.arange(sum(sizes)) < sizes[0]
    inside = np.zeros(len(labels)) if blocks is None else np.asarray(blocks)
    even = all(2 * labels[inside == b].sum() == (inside == b).sum() for b in np.unique(inside))
    alike = 2 if even and statistic == "difference" else 1  # exchanging the two conditions as wholes changes nothing
    return min(1.0, max(1 / n, alike * float(np.exp(-log_arrangements(labels, inside)))))


def _floor_note(n: int, smallest: float, n_units: int) -> list[str]:
    """Say the smallest p, and how many units must reach it before a false discovery rate can hold."""
    note = f"{n:,} arrangements of the trials were tried: the smallest possible p is {smallest:.2g}."
    together = int(np.ceil(n_units * smallest / 0.05))  # q = p * n_units / rank
    if together > 1:
        note += f" Over {n_units:,} units a false discovery rate of 5 % then takes {min(together, n_units):,} units at that p or more."
    return [note]
