"""Surprisal against reading times: rank correlation, partial on length and frequency, and held-out gain in log-likelihood.

Words of a text depend on one another, so that nothing here treats them as independent: p-values come from surprisal turned
around within each text (its order, and that of the times, stay what they are; only which word meets which time changes; a
drift of both through the text is not kept, and is told), intervals from resampling whole texts, and models are fitted and
scored on different texts (on deviations from the mean of each text: how fast a text is read is not to be predicted).

Partial correlations and gains ask what surprisal adds. There the part of surprisal that the controls (word length, log
frequency, and the same of the preceding words: spill-over) do not explain is turned around, and the controls stay with
their words, as does what any curve in them says (bins of each); every model is fitted again for each turn.

Source: Smith & Levy 2013 (Cognition 128:302) for surprisal and spill-over; Goodkind & Bicknell 2018 (CMCL) and Wilcox et al.
2020 (CogSci) for the gain in log-likelihood; Freedman & Lane 1983 (J Bus Econ Stat 1:292) for permuting residuals.
Differs from these in: random effects of readers are not fitted (times are means over readers), and p-values are by permutation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from tqdm import tqdm

from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import seed_of, whole
from braindec.stats.bootstrap import interval_of
from braindec.stats.permutation import permutation_p

__all__ = ["ReadingTimes", "relate_reading_times"]

VERSION = "1"
_DRIFT = 0.1  # correlation with the place in the text
_IS_PLACE = 0.9  # a control that is the place


@dataclass(frozen=True)
class ReadingTimes:
    """What :func:`relate_reading_times` found.

    Attributes
    ----------
    scores : DataFrame
        Columns metric, version, row, value, chance, low, high, p, n, note. Metrics: ``spearman``, ``partial_spearman`` and
        ``delta_log_likelihood`` (nats a word, held-out texts). Row "decoded" is the predictor, "turned" the same turned around
        within texts (mean and 95 % of the null); rows named after a control have its own Spearman correlation.
    null : mapping of str to array of shape (n_permutations,)
        Each metric with the predictor turned around within texts.
    per_text : DataFrame
        text_id, n, spearman and delta_log_likelihood (nats a word).
    notes : list of str
        Sentences for the reader.
    """

    scores: pd.DataFrame
    null: Mapping[str, np.ndarray]
    per_text: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def relate_reading_times(
    table: pd.DataFrame,
    *,
    predictor: str = "surprisal",
    time: str = "time",
    text: str = "text_id",
    controls: Sequence[str] | None = None,
    spillover: int = 1,
    log_time: bool = False,
    n_permutations: int = 1000,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> ReadingTimes:
    """Relate a number for each word (surprisal) to its reading time.

    Parameters
    ----------
    table : DataFrame
        One row a word, the words of a text in order: a text column, the time and the predictor (see
        :mod:`braindec.loaders.reading_times` and :func:`braindec.llm.surprisal.surprisal`).
    predictor, time, text : str
        Columns. Words without a time or predictor are left out and counted.
    controls : sequence of str, optional
        Columns whose part is taken away; "n_letters" and "log_frequency" by default, where they are.
    spillover : int
        Preceding words whose predictor and controls are predictors too, in the models (0: none).
    log_time : bool
        Model the logarithm of the time. Ranks do not change.
    n_permutations, n_bootstrap : int
    seed : int

    Returns
    -------
    ReadingTimes

    Raises
    ------
    BraindecError
        If a column is missing or constant, there are fewer than 2 texts, or too few words to fit the models.
    """
    for name, value, least in (
        ("spillover", spillover, -99),
        ("n_permutations", n_permutations, 0),
        ("n_bootstrap", n_bootstrap, 2),
    ):
        whole(value, name, least=least)
    seed_of(seed)
    if not isinstance(table, pd.DataFrame) or (twice := table.columns[table.columns.duplicated()].tolist()):
        raise BraindecError("words are a table with columns of different names", found=f"two columns {twice[0]!r}" if isinstance(table, pd.DataFrame) else type(table).__name__,
                            allowed="a DataFrame with one row a word")  # fmt: skip
    if controls is not None and (isinstance(controls, str) or not isinstance(controls, Sequence)):
        raise BraindecError(
            f"controls={controls!r} are no list of columns", allowed='e.g. ["n_letters", "log_frequency"]'
        )
    if not isinstance(log_time, (bool, np.bool_)):
        raise BraindecError(f"log_time={log_time!r} does not work", allowed="True or False")
    names = list(controls) if controls is not None else [c for c in ("n_letters", "log_frequency") if c in table]
    kept, lagged, notes = _words(table, predictor, time, text, names, spillover)
    code = pd.factorize(kept[text])[0]
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    y = kept[time].to_numpy(dtype=float)
    if log_time and y.min() <= 0:
        raise BraindecError("a time of 0 has no logarithm", found=f"{int((y <= 0).sum())} words", fix="leave them out")
    y = np.log(y) if log_time else y
    columns = {own: [v for c, v in lagged.items() if c.startswith("_predictor") == own] for own in (True, False)}
    base, added = (np.column_stack([np.empty((len(kept), 0)), *columns[own]]) for own in (False, True))
    _check_free(added, base, predictor)
    rng = np.random.default_rng(seed)
    turns = [_turn(starts, len(kept), rng) for _ in range(n_permutations)]
    weights = rng.multinomial(len(starts), np.full(len(starts), 1 / len(starts)), size=n_bootstrap)

    ranks = {c: rankdata(kept[c]) for c in (time, predictor, *names)}
    _check_controls(ranks, names)
    rows: list[dict[str, object]] = []
    null: dict[str, np.ndarray] = {}
    for metric, given in (("spearman", []), ("partial_spearman", names)):
        if metric == "partial_spearman" and not names:
            continue
        base_ranks = np.column_stack([np.ones(len(kept)), *(ranks[c] for c in given)])
        mine, theirs = _residual(ranks[predictor], base_ranks), _residual(ranks[time], base_ranks)
        kept_part, free = _split(mine[:, None], np.column_stack([base_ranks, _curves(base_ranks[:, 1:])]))
        null[metric] = np.array([_correlation(kept_part[:, 0] + free[turn, 0], theirs) for turn in turns])
        draws = _resampled(
            np.column_stack([ranks[time], ranks[predictor], *(ranks[c] for c in given)]), starts, weights
        )
        value = _correlation(mine, theirs)
        note = f"controls: {', '.join(given)}" if given else ""
        rows.append(_row(metric, "decoded", value, null[metric], draws, len(starts), len(kept), note))
    rows += [_control(c, ranks, time, starts, weights, len(kept)) for c in names]

    gain, null["delta_log_likelihood"] = _gains(y, base, added, starts, turns)
    counts = np.diff(np.append(starts, len(kept)))
    draws = (weights @ gain) / (weights @ counts)
    note = f"nats a word; base: {', '.join(c for c in lagged if not c.startswith('_')) or 'mean'}; {len(starts)} texts held out in turn"
    rows.append(_row("delta_log_likelihood", "decoded", float(gain.sum() / counts.sum()), null["delta_log_likelihood"], draws, len(starts), len(kept), note))  # fmt: skip
    rows += [_null_row(metric, values, len(kept)) for metric, values in null.items() if len(values)]
    each = [
        _correlation(rankdata(kept[predictor].to_numpy()[a:b]), rankdata(kept[time].to_numpy()[a:b]))
        for a, b in _spans(starts, len(kept))
    ]
    per_text = pd.DataFrame(
        {"text_id": kept[text].to_numpy()[starts], "n": counts, "spearman": each, "delta_log_likelihood": gain / counts}
    )
    notes += _drift_note(ranks, predictor, time, names, starts)
    return ReadingTimes(pd.DataFrame(rows), null, per_text, notes)


def _words(
    table: pd.DataFrame, predictor: str, time: str, text: str, controls: Sequence[str], spillover: int
) -> tuple[pd.DataFrame, dict[str, np.ndarray], list[str]]:  # fmt: skip
    """The words to use, text by text; the columns of the models (predictor first); what was left out."""
    for column in (predictor, time, text, *controls):
        if column not in table:
            raise BraindecError(
                f"the table of words has no column {column!r}{did_you_mean(column, map(str, table.columns))}", found=", ".join(map(str, table.columns))
            )  # fmt: skip
    if spillover < 0:
        raise BraindecError("spillover is a number of preceding words", found=str(spillover), allowed="0, 1, 2, ...")
    if time in controls or time == predictor:
        raise BraindecError(
            f"the time {time!r} cannot explain itself", found=f"predictor {predictor!r}, controls {', '.join(controls)}"
        )
    for column in (predictor, time, *controls):
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise BraindecError(f"the column {column!r} holds no numbers", found=repr(table[column].iloc[0]) if len(table) else "no rows",
                                fix="pd.to_numeric, with missing values as NaN")  # fmt: skip
    if (gaps := int(table[text].isna().sum())) and gaps < len(table):
        raise BraindecError(f"{gaps} of {len(table)} words have no {text}", fix="say which text they are of, or leave them out")  # fmt: skip
    place = pd.factorize(table[text])[0]
    table = table.iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
    named = {"_predictor": predictor, **{c: c for c in controls}}
    values = {k: table[c].to_numpy(dtype=float) for k, c in named.items()}
    lagged = dict(values)
    group = table[text]
    for lag in range(1, spillover + 1):
        lagged |= {
            f"{k}, {lag} before": pd.Series(v).groupby(group, sort=False).shift(lag).to_numpy()
            for k, v in values.items()
        }
    whole = np.isfinite(np.column_stack([table[time].to_numpy(dtype=float), *lagged.values()])).all(axis=1)
    kept = table[whole].reset_index(drop=True)
    if kept[text].nunique() < 2:
        raise BraindecError(
            "statistics of reading times go by text: at least 2 are needed", found=f"{kept[text].nunique()} with times and {predictor}",
            fix="name the column of texts: text=...",
        )  # fmt: skip
    short = int(kept[text].value_counts().min())
    if len(kept) < 10 * (len(lagged) + 1) or short < 3:
        raise BraindecError(
            "too few words for these models",
            found=f"{len(kept)} words, {short} in the shortest text, {len(lagged)} columns",
        )
    for column in (predictor, time, *controls):
        if np.ptp(kept[column].to_numpy(dtype=float)) == 0:
            raise BraindecError(f"the column {column!r} is the same for all words", found=str(kept[column].iloc[0]))
    lost = len(table) - len(kept)
    notes = (
        [f"{lost} of {len(table)} words have no time, no {predictor} or no preceding word, and were left out."]
        if lost
        else []
    )
    return kept, {k: v[whole] for k, v in lagged.items()}, notes


def _drift_note(
    ranks: Mapping[str, np.ndarray], predictor: str, time: str, names: Sequence[str], starts: np.ndarray
) -> list[str]:
    """Say so where predictor and time both drift through the texts: turning around a text breaks a drift, and the null lacks it."""
    spans = _spans(starts, len(ranks[time]))
    place = np.concatenate([np.arange(b - a) for a, b in spans]).astype(float)
    columns = _within(np.column_stack([place, *(ranks[c] for c in (predictor, time, *names))]), spans)
    first, second, *given = (_correlation(columns[:, 0], c) for c in columns.T[1:])
    if min(abs(first), abs(second)) <= _DRIFT or any(abs(r) > _IS_PLACE for r in given):
        return []
    return [f"Both {predictor} (r = {first:.2f}) and {time} (r = {second:.2f}) drift with the place in the text, which alone makes them go "
            "together and is not in the null: give the number of the word as one of the controls."]  # fmt: skip


def _check_controls(ranks: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Refuse a control whose ranks follow from those of the others: partial correlations would not be defined."""
    for k, name in enumerate(names):
        X = np.column_stack([np.ones(len(ranks[name])), *(ranks[c] for c in names[:k])])
        if _residual(ranks[name], X).std() < 1e-8 * ranks[name].std():
            raise BraindecError(
                f"the control {name!r} is determined by the others", found=", ".join(names), fix="leave one of them out"
            )


def _check_free(added: np.ndarray, base: np.ndarray, predictor: str) -> None:
    X = np.column_stack([np.ones(len(base)), base])
    if (_residual(added, X).std(axis=0) < 1e-8 * added.std(axis=0)).any():
        raise BraindecError(
            f"the controls determine the predictor {predictor!r}", fix="leave out the control that says the same"
        )


def _spans(starts: np.ndarray, n: int) -> list[tuple[int, int]]:
    return list(zip(starts.tolist(), [*starts[1:].tolist(), n], strict=True))


def _turn(starts: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers with each text turned around by a random number of words."""
    return np.concatenate([np.roll(np.arange(a, b), int(rng.integers(b - a))) for a, b in _spans(starts, n)])


def _residual(y: np.ndarray, X: np.ndarray) -> np.ndarray:
    return y - X @ np.linalg.lstsq(X, y, rcond=None)[0]


def _curves(X: np.ndarray) -> np.ndarray:
    """Which bin of each column a row lies in: any curve in a column is, about, a sum of these, shape (n, n_bins)."""
    wide = [np.empty((len(X), 0))]
    for column in X.T:
        values, place = np.unique(column, return_inverse=True)
        n_bins = min(20, max(2, len(X) // 36))
        if len(values) > n_bins:  # word length has a bin for each value
            edges = np.unique(np.quantile(column, np.linspace(0, 1, n_bins + 1)))
            values, place = edges[1:], np.searchsorted(edges[1:-1], column, side="left")
        wide.append((place.reshape(-1, 1) == np.arange(1, len(values))).astype(float))
    return np.column_stack(wide)


def _split(residual: np.ndarray, flexible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split what a straight fit to the controls leaves of each predictor: what curves in them say, and the rest.

    A bent relation of word length with both times and surprisal would look like an effect of surprisal; it stays in the null.
    """
    bent = flexible @ np.linalg.lstsq(flexible, residual, rcond=None)[0]
    return bent, residual - bent


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0


def _resampled(columns: np.ndarray, starts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Partial correlation of the first two columns given the others in each resample of texts, shape (n,).

    From sums of products a text; the ranks stay those of all words.
    """
    columns = columns / columns.std(axis=0)
    X = np.column_stack([np.ones(len(columns)), columns - columns.mean(axis=0)])
    grams = np.stack([X[a:b].T @ X[a:b] for a, b in _spans(starts, len(X))])
    total = np.einsum("bs,sij->bij", weights.astype(float), grams)
    mean = total[:, 0, 1:] / total[:, :1, 0]
    covariance = total[:, 1:, 1:] / total[:, 0, 0][:, None, None] - mean[:, :, None] * mean[:, None, :]
    precision = np.linalg.inv(covariance)
    return -precision[:, 0, 1] / np.sqrt(precision[:, 0, 0] * precision[:, 1, 1])


def _control(
    name: str, ranks: Mapping[str, np.ndarray], time: str, starts: np.ndarray, weights: np.ndarray, n: int
) -> dict[str, object]:
    """What a control alone is worth: the number that surprisal must be seen beside."""
    low, high = interval_of(
        _resampled(np.column_stack([ranks[time], ranks[name]]), starts, weights), n_units=len(starts)
    )
    value = _correlation(ranks[name], ranks[time])
    return {"metric": "spearman", "version": VERSION, "row": name, "value": value, "chance": 0.0, "low": low, "high": high, "p": np.nan,
            "n": n, "note": f"{name} by itself"}  # fmt: skip


def _row(
    metric: str, row: str, value: float, null: np.ndarray, draws: np.ndarray, n_texts: int, n: int, note: str
) -> dict[str, object]:
    low, high = interval_of(draws, n_units=n_texts)
    p = permutation_p(value, null) if len(null) else np.nan
    chance = float(null.mean()) if len(null) else 0.0
    return {"metric": metric, "version": VERSION, "row": row, "value": value, "chance": chance, "low": low, "high": high, "p": p, "n": n,
            "note": note}  # fmt: skip


def _null_row(metric: str, null: np.ndarray, n: int) -> dict[str, object]:
    """What the predictor is worth when it meets the words of other places in the text."""
    low, high = np.quantile(null, [0.025, 0.975])
    return {"metric": metric, "version": VERSION, "row": "turned", "value": float(null.mean()), "chance": 0.0, "low": float(low), "high": float(high),
            "p": np.nan, "n": n, "note": f"turned around within texts {len(null)} times; range is that of the null"}  # fmt: skip


def _gains(
    y: np.ndarray, base: np.ndarray, added: np.ndarray, starts: np.ndarray, turns: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Gain in held-out log-likelihood of each text, and its mean a word for each turn of the predictor."""
    spans = _spans(starts, len(y))
    # texts differ in speed and in mean surprisal for reasons of their own: effects are those within texts
    y, base, added, curves = (_within(v, spans) for v in (y[:, None], base, added, _curves(base)))
    y = y[:, 0] / y.std()  # the gain does not depend on the unit
    free = _residual(added, base)  # what the controls say of the predictor stays with its word: it is in the base model
    free = free / free.std(axis=0)
    bent, rest = _split(free, np.column_stack([base, curves]))
    alone = _held_out(_grams(base, y, spans), spans)
    gain = _held_out(_grams(np.column_stack([base, free]), y, spans), spans) - alone
    null = [
        float((_held_out(_grams(np.column_stack([base, bent + rest[turn]]), y, spans), spans) - alone).sum() / len(y))
        for turn in tqdm(turns, desc="refitting on turned surprisal", disable=None, leave=False)
    ]
    return gain, np.array(null)


def _within(values: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Columns without the means of texts, of unit variance where they vary."""
    out = np.concatenate([values[a:b] - values[a:b].mean(axis=0) for a, b in spans])
    spread = out.std(axis=0)
    return out / np.where(spread > 0, spread, 1.0)


def _grams(X: np.ndarray, y: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Sums of products of (columns, response) a text, shape (n_texts, k + 1, k + 1)."""
    Z = np.column_stack([X, y])
    return np.stack([Z[a:b].T @ Z[a:b] for a, b in spans])


def _held_out(grams: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Gaussian log-likelihood of each text under the least-squares fit to the others, shape (n_texts,), nats."""
    counts = np.array([b - a for a, b in spans], dtype=float)
    train = grams.sum(axis=0) - grams
    k = grams.shape[1] - 1
    weights = np.linalg.solve(train[:, :k, :k] + 1e-9 * np.eye(k), train[:, :k, k:])[:, :, 0]
    full = np.concatenate([-weights, np.ones((len(weights), 1))], axis=1)
    missed = np.einsum("si,sij,sj->s", full, grams, full)
    variance = np.einsum("si,sij,sj->s", full, train, full) / (counts.sum() - counts)
    return -0.5 * (counts * np.log(2 * np.pi * variance) + missed / variance)
