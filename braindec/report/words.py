"""Numbers and names as people read them."""

from __future__ import annotations

from typing import Any

import numpy as np

_NAMES = {
    "auc": "AUC",
    "r2": "R²",
    "mrr": "mean reciprocal rank",
    "f1_macro": "F1 (macro)",
    "pearson": "Pearson r",
    "pearson_normalized": "Pearson r over its ceiling",
    "pairwise": "pairwise accuracy",
    "split_r2": "share of R²",
    "unique_r2": "R² that a band adds",
    "item_correlation": "correlation of each item",
    "identification": "pairwise identification",
    "identification_within": "pairwise identification within a class",
}
_ROWS = {
    "refit_null": "surrogate features",
    "one_penalty": "plain ridge",
    "class_known": "class only",
    "oasm": "neighbours in time only",
}
_PARTS = {"reliable": "reliable channels"}
_MODALITIES = {"eeg": "EEG", "meg": "MEG", "ieeg": "iEEG", "fmri": "fMRI", "fnirs": "fNIRS"}


def metric_name(metric: Any) -> str:
    """Return the name of a metric for people."""
    text = str(metric)
    if text.startswith("top") and text[3:].isdigit():
        return f"top-{text[3:]} accuracy"
    return _NAMES.get(text, text.replace("_", " "))


def block_name(key: str) -> str:
    """Return the name of a block of scores, such as "pearson, reliable, all bands", for people."""
    metric, *parts = key.split(", ")
    return ", ".join([metric_name(metric), *(_PARTS.get(part, part) for part in parts)])


def row_name(row: Any) -> str:
    """Return the name of a row of scores for people."""
    return _ROWS.get(str(row), str(row).replace("_", " "))


def modality_name(text: str) -> str:
    """Return a modality as people write it."""
    return _MODALITIES.get(text, text)


def number(value: Any, *, span: float = 0.0) -> str:
    """A score as text: three places where it is small, none where it is large; empty when there is none.

    On a scale that spans ``span`` of 0.02 or more, what is less than 0.0005 is 0.000: more places would be noise.
    """
    if value is None or not np.isfinite(value):
        return ""
    size = abs(float(value))
    if size < 0.0005 and span >= 0.02:
        return "0.000"
    if size >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 10 else f"{value:.3f}"
    if text.strip("-0.") == "" and value != 0:
        text = f"{value:.2g}"
    return text.replace("-", "−")


def p_number(p: float) -> str:
    """A p-value as text; empty when there is none."""
    if not np.isfinite(p):
        return ""
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_phrase(p: float) -> str:
    """A p-value as ", p = 0.012"; empty when there is none."""
    text = p_number(p)
    hard = "\u00a0"  # a space where a line must not end
    return (
        "" if not text else f", p{hard}{text.replace(' ', hard)}" if text.startswith("<") else f", p{hard}={hard}{text}"
    )


def fact(value: Any) -> str:
    """A fact as text: counts with thousands, tables as "name count" pairs."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not said"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {fact(v)}" for k, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(v) for v in value) or "none"
    return str(value)


def nice_ends(low: float, high: float) -> tuple[float, float]:
    """Return round numbers that enclose a span, with some room; a span inside 0 to 1 stays inside it."""
    span = high - low
    if not span > 0:
        span = abs(high) or 1.0
    raw = span / 10
    size = 10 ** np.floor(np.log10(raw))
    step = size * next(k for k in (1, 2, 5, 10) if k * size >= raw * (1 - 1e-9))
    ends = [float(np.floor((low - 0.03 * span) / step) * step), float(np.ceil((high + 0.03 * span) / step) * step)]
    if low >= 0:
        ends[0] = max(ends[0], 0.0)
    if high <= 1 and low >= 0:
        ends[1] = min(ends[1], 1.0)
    return ends[0], ends[1]


def tick(value: float) -> str:
    """An end of a scale as short text."""
    return f"{round(value, 10):g}".replace("-", "−")
