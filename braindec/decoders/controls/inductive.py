"""Is a decoder inductive: does its answer to one window depend on that window alone?

Standardising predictions with the statistics of the test set, or conditioning on the test set's mean, lets test data take part.

Source: Ozcelik & VanRullen 2023 (Sci Rep) and others standardise predicted latents over the test set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from braindec.decoders._pictures import PictureDecoder
from braindec.evaluate.controls.noise_input import noise_windows
from braindec.evaluate.finding import Finding
from braindec.types import Windows

_SINGLES = 4
_PICTURE = 0.02  # difference of a pixel (0 to 1) that rounding may make in a long chain of samples

__all__ = ["inductive_finding"]


def inductive_finding(
    decoder: PictureDecoder, windows: Windows, *, n_windows: int = 32, tolerance: float = 1e-3, sampling: Mapping[str, Any] | None = None,
    seed: int = 0, generate: bool = True,
) -> Finding:  # fmt: skip
    """Does the answer to one window depend on the other windows it is decoded with? Then test data have taken part.

    The condition of windows is computed all together, alone, in another order, and among noise; pictures (``generate``) are made
    together and alone.

    Parameters
    ----------
    decoder : PictureDecoder
        Fitted.
    windows : Windows
        Test windows; some of them are looked at.
    n_windows : int
        How many at most.
    tolerance : float
        Largest difference allowed, in standard deviations of the condition over windows.
    sampling : mapping, optional
        Passed to ``generate``.
    seed : int
        Of the noise among which windows are put.
    generate : bool
        Look at pictures too.
    """
    check = "inductive"
    some = windows[np.unique(np.linspace(0, len(windows) - 1, min(n_windows, len(windows))).astype(int))]
    n = len(some)
    if n < 2:
        return Finding(check, "skip", "needs two windows")
    singles = np.unique(np.linspace(0, n - 1, min(_SINGLES, n)).astype(int))
    together = np.asarray(decoder.condition(some), dtype=float)
    scale = float(together.std(axis=0).mean()) or float(np.abs(together).mean()) or 1.0
    half = n // 2
    noise = noise_windows(some, seed=seed + 7)
    among = Windows.concat([some[:half], noise.with_trials(window_id=[f"{i}-noise" for i in noise.ids])])
    answers = {
        "alone": (singles, lambda: np.concatenate([decoder.condition(some[[i]]) for i in singles])),
        "in another order": (np.arange(n), lambda: decoder.condition(some[np.arange(n)[::-1]])[::-1]),
        "among noise": (np.arange(half), lambda: decoder.condition(among)[:half]),
    }
    off: dict[str, float] = {}
    for name, (rows, answer) in answers.items():
        off[name] = _difference(answer, together[rows], scale)
    if generate:
        names, sample = some.ids, dict(sampling or {})
        condition = decoder.condition(some)[singles]
        beside = decoder.generate(condition, names=names[singles], seed=seed, **sample)
        if np.asarray(beside).dtype.kind not in "OUS":
            off["pictures made alone"] = _difference(
                lambda: np.concatenate([decoder.generate(condition[[k]], names=names[[i]], seed=seed, **sample) for k, i in enumerate(singles[:2])]),
                np.asarray(beside, dtype=float)[:2], _PICTURE / tolerance,
            )  # fmt: skip
    bad = {k: v for k, v in off.items() if not v <= tolerance}
    evidence = {"largest_difference": off, "tolerance": tolerance, "n_windows": n}
    if bad:
        words = ", ".join(f"{k} ({v:.2g})" if np.isfinite(v) else f"{k} (no finite answer)" for k, v in bad.items())
        return Finding(check, "fail", f"the answer to a window depends on the other test windows: it differs {words}", evidence,
                       "standardise with training statistics only (fit, then condition); no mean over the test set",
                       "test-set standardisation: Brain-Diffuser, Ozcelik & VanRullen 2023, and others")  # fmt: skip
    return Finding(
        check,
        "pass",
        "one window's answer does not depend on the others (alone, in another order, among noise)",
        evidence,
    )


def _difference(answer: Callable[[], Any], expected: np.ndarray, scale: float) -> float:
    """Largest difference in units of ``scale``; infinite where there is no finite answer of the same shape."""
    with np.errstate(all="ignore"):
        got = np.asarray(answer(), dtype=float)
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - expected).max() / scale)
