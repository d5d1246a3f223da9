"""Is a channel a combination of others: the rebuilt reference, a copy?

Source: the bi2012 P300 data, whose 17th column is minus the sum of the other 16; covariance methods then invert a
singular matrix.
"""

from __future__ import annotations

import re

import numpy as np

from braindec.evaluate.finding import Context, Finding, some

__all__ = ["check"]
_FIX = "leave {!r} out: add the step drop_redundant before any filter, or pick the channels"
_REFERENCE = "bi2012 data (Van Veen et al. 2019)"
_PLACE = re.compile(
    r"(?:fp|af|aff|f|ffc|fft|fc|fcc|ft|ftt|c|ccp|t|ttp|tp|tpp|cp|cpp|p|ppo|po|poo|o|oi|i)(?:z|\d{1,2})h?", re.I
)
_CHANNELS, _SAMPLES = 512, 20_000
_ZERO = 1e-10  # eigenvalue of the correlation matrix; float32 rounding leaves about 1e-14
_TINY = 1e-3  # share of a channel's variance that its formula leaves


def check(context: Context) -> list[Finding] | Finding:
    """Look for exact linear dependence in a sample of the windows, among channels of one type."""
    windows = context.windows
    if windows is None:
        return Finding("rank_deficient", "skip", "needs Windows: a table holds no signal")
    n = windows.n_channels
    if n < 2 or n > _CHANNELS:
        return Finding("rank_deficient", "skip", f"{n} channels: looked at for 2 to {_CHANNELS}")
    wanted = -(-min(_SAMPLES, max(4000, 10 * n)) // windows.n_times)
    rows = np.unique(np.linspace(0, len(windows) - 1, min(wanted, len(windows))).astype(int))
    data = windows.load(rows, check=False).swapaxes(0, 1).reshape(n, -1).astype(np.float64)  # (channel, sample)
    data = data[:, np.isfinite(data).all(axis=0)]
    if data.shape[1] < 2 * n:
        return Finding("rank_deficient", "skip", f"{data.shape[1]} samples are too few for {n} channels")
    data -= data.mean(axis=1, keepdims=True)
    names, types = np.array(windows.ch_names, dtype=object), windows.channels["type"].to_numpy()
    spread = data.std(axis=1)
    flat = (spread <= 1e-12 * spread.max()) & (types != "stim")
    if flat.any():
        message = f"{int(flat.sum())} channels are flat: {some(names[flat])}"
        return Finding(
            "rank_deficient", "warn", message, {"flat": names[flat][:20]}, "mark them bad (channels.tsv: status = bad)"
        )
    groups = [np.flatnonzero((types == t) & (spread > 0)) for t in dict.fromkeys(types) if t != "stim"]
    found = [_look(context, data[g], g) for g in groups if len(g) > 1]
    told = [f for f in found if f.level != "pass"] or [
        f for f in found if f.evidence["rank"] < f.evidence["n_channels"]
    ]
    return told or Finding("rank_deficient", "pass", f"{n} channels are independent", {"n_channels": n, "rank": n})


def _look(context: Context, data: np.ndarray, rows: np.ndarray) -> Finding:
    """One type of channels: (channel, sample), centred."""
    names, n = np.array(context.windows.ch_names, dtype=object)[rows], len(rows)
    unit = data / data.std(axis=1)[:, None]
    correlation = unit @ unit.T / unit.shape[1]
    rank = int((np.linalg.eigvalsh(correlation) > _ZERO * n).sum())
    evidence = {"n_channels": n, "rank": rank}
    formulas = _minus_mean(data, names) + _copies(correlation, names)
    if not formulas and _sums_to_zero(data):
        return _rebuilt(context, names, rows, {**evidence, "rank": min(rank, n - 1)})
    if not formulas and rank < n:
        formulas = _single(data, correlation, names)
    if formulas:
        evidence |= {"channels": [f[0] for f in formulas], "rank": min(rank, n - 1)}
        message = f"rank {min(rank, n - 1)} of {n}: " + "; ".join(f"{c} is {what}" for c, what in formulas[:4])
        return Finding("rank_deficient", "warn", message, evidence, _FIX.format(formulas[0][0]), _REFERENCE)
    if rank < n:
        message = f"rank {rank} of {n}, shared by many channels (ICA or SSS): use shrinkage where it is inverted"
        return Finding("rank_deficient", "pass", message, evidence)
    return Finding("rank_deficient", "pass", f"{n} channels are independent", evidence)


def _sums_to_zero(data: np.ndarray) -> bool:
    """True when every channel is minus the sum of all others (to 1 % of its variance: files round)."""
    return len(data) > 2 and data.sum(axis=0).var() < 0.01 * data.var(axis=1).min()


def _rebuilt(context: Context, names: np.ndarray, rows: np.ndarray, evidence: dict) -> Finding:
    """Channels that sum to zero: the average reference, or one channel rebuilt from the others."""
    n, windows = len(names), context.windows
    if all(str(r.info.get("reference", "")).lower() in ("average", "car") for r in windows.recordings):
        return Finding("rank_deficient", "pass", f"rank {n - 1} of {n}: average reference", evidence)
    known = np.array([bool(_PLACE.fullmatch(c)) for c in names])
    placed = np.isfinite(windows.recordings[0].positions[rows]).all(axis=1)
    odd = next((str(names[~k][0]) for k in (placed, known) if (~k).sum() == 1), None)  # without a place, or an odd name
    evidence["channels"] = [odd] if odd else []
    message = (
        f"rank {n - 1} of {n} ({names[0]} ... {names[-1]}): each channel is minus the sum of the others: the average "
        f"reference, or one channel is rebuilt from the others{f' (most likely {odd!r})' if odd else ''}"
    )
    fix = f"{_FIX.format(odd or 'the rebuilt one')}; with an average reference use shrinkage wherever covariance is inverted"
    return Finding("rank_deficient", "warn", message, evidence, fix, _REFERENCE)


def _minus_mean(data: np.ndarray, names: np.ndarray) -> list[tuple[str, str]]:
    """Channels that are minus (or plus) the mean of all others."""
    n = len(data)
    if n < 3:
        return []
    others = (data.sum(axis=0) - data) / (n - 1)
    found = []
    for sign, word in ((1, "minus"), (-1, "")):
        left = (data + sign * others).var(axis=1) / data.var(axis=1)
        found += [
            (str(names[i]), f"{word} the mean of the other {n - 1}".strip()) for i in np.flatnonzero(left < _TINY)
        ]
    return found if len(found) < n else []


def _copies(correlation: np.ndarray, names: np.ndarray) -> list[tuple[str, str]]:
    """Channels that are a scaled copy of an earlier one."""
    low = np.tril(np.abs(correlation), -1)
    return [(str(names[i]), f"a copy of {names[low[i].argmax()]}") for i in np.flatnonzero(low.max(axis=1) > 1 - 1e-9)]


def _single(data: np.ndarray, correlation: np.ndarray, names: np.ndarray) -> list[tuple[str, str]]:
    """The channel that one null direction hangs on, when its weight stands out from all others."""
    values, vectors = np.linalg.eigh(correlation)
    if (values <= _ZERO * len(values)).sum() != 1:
        return []
    weight = np.abs(vectors[:, 0] / data.std(axis=1))
    order = np.argsort(-weight)
    if weight[order[0]] < 2 * weight[order[1]]:
        return []
    used = order[1:][weight[order[1:]] > 1e-3 * weight[order[0]]]
    return [(str(names[order[0]]), f"a sum of {len(used)} others ({some(names[used], 3)})")]
