"""Would it work live? Steps that look ahead, windows that reach beyond the decision, training on what came later.

Looked at when the claim is "live" (``audit(..., claim="live")``). Steps that were applied to whole recordings are executed
on noise with one raised sample: what comes out before that sample must not change. Live steps carry the result of the same
test with them. Where trials say when they were ``decided``, no window may end later; and training must lie before test.

Source: van Driel, Olivers & Fahrenfort (2021, J Neurosci Methods 352:109080) on filters that smear backwards; Carrara &
Papadopoulo (2024, J Neural Eng 21:016003) on pseudo-online evaluation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._impulse import lead_of
from braindec.evaluate.finding import Context, Finding, some
from braindec.signal.prepare import prepare
from braindec.types import ArraySignal, Recording

__all__ = ["check"]
_REFERENCE = "van Driel et al. 2021, J Neurosci Methods; Carrara & Papadopoulo 2024, J Neural Eng"
_FIX = "use live steps: filter with causal: true, decimate instead of resample, running_scale instead of zscore"
_FACTORS = (1, 2, 5, 10)
_NO_MEMORY = ("reference", "pick", "scale", "clamp", "crop")


def check(context: Context) -> list[Finding] | Finding:
    """Look for anything that a live decoder could not have known."""
    if not context.claims("live"):
        return Finding("causal_steps", "skip", "nothing is claimed to work live", fix='audit(..., claim="live")')
    windows = context.windows
    if windows is None:
        return Finding("causal_steps", "skip", "needs Windows: a table holds no signal and no steps")
    found = [f for f in (_steps(windows), _ends(context), _order(context)) if f is not None]
    bad = [f for f in found if f.level != "pass"]
    return bad or Finding("causal_steps", "pass", "; ".join(f.message for f in found), {}, reference=_REFERENCE)


def _steps(windows: Any) -> Finding:
    leads: dict[str, float] = {}
    tested: set[str] = set()
    said = set()
    for recording in windows.recordings:
        live = recording.info.get("live_steps")
        if live:
            tested |= {name for step in live["steps"] for name in step}
            if live["lead_s"] > 0:
                leads["live steps"] = max(leads.get("live steps", 0.0), float(live["lead_s"]))
        for step in recording.info.get("steps") or []:
            key = repr(step)
            if key in said:
                continue
            said.add(key)
            name = next(iter(step))
            tested.add(name)
            lead = 0.0 if name in _NO_MEMORY else _lead(step, recording)
            if lead > 0:
                leads[_words(step)] = lead
    if leads:
        longest = max(leads.values())
        message = f"{some(list(leads))} look{'s' if len(leads) == 1 else ''} ahead: an impulse is felt up to {longest:.3g} s before it comes"
        return Finding("causal_steps", "fail", message, {"lead_s": leads}, _FIX, _REFERENCE)
    what = (
        f"{some(sorted(tested))}: no output before its input (tested by impulse)" if tested else "no steps are recorded"
    )
    return Finding("causal_steps", "pass", what, {"tested": sorted(tested)})


def _lead(step: dict, recording: Recording) -> float:
    """Run one step of ``signal.steps`` on noise.

    At which sampling frequency it was run is not known (a later step may have lowered it), so several are tried.
    """
    names = recording.channels.iloc[: min(4, recording.n_channels)].assign(status="good")
    for factor in _FACTORS:
        sfreq = recording.sfreq * factor

        def run(block: np.ndarray, sfreq: float = sfreq) -> tuple[np.ndarray, float]:
            made = prepare([Recording(ArraySignal(block), sfreq, names, info={"task": "impulse"})], [step])[0]
            return np.asarray(made.signal.read(), dtype=np.float64), made.sfreq

        try:
            lead = lead_of(run, n_channels=len(names), sfreq=sfreq)
        except BraindecError:  # an edge beyond half the sampling frequency
            continue
        if lead > 0:
            return lead
    return 0.0


def _words(step: dict) -> str:
    name, options = next(iter(step.items()))
    kept = {k: v for k, v in (options or {}).items() if v not in (None, False)}
    return f"{name} ({', '.join(f'{k} {v}' for k, v in kept.items())})" if kept else name


def _ends(context: Context) -> Finding | None:
    trials = context.rows.trials
    if "decided" not in trials or context.windows is None:
        return None
    late = context.rows.stop - 1 / context.windows.sfreq - trials["decided"].to_numpy(dtype=float)
    beyond = np.flatnonzero(late > 0.5 / context.windows.sfreq)
    if len(beyond):
        message = f"{len(beyond)} of {len(late)} windows use samples after the decision, up to {late.max():.3g} s later"
        evidence = {"n": len(beyond), "latest_s": late.max(), "examples": context.rows.ids[beyond[:3]]}
        return Finding(
            "causal_steps",
            "fail",
            message,
            evidence,
            "end the window (tmax) at the decision, or decide later",
            _REFERENCE,
        )
    return Finding("causal_steps", "pass", "no window ends after its decision")


def _order(context: Context) -> Finding | None:
    rows = context.rows
    place = np.empty(len(rows))
    place[rows.order] = np.arange(len(rows))
    for split in context.splits:
        later = place[split.train] > place[split.test].min()
        if later.any():
            message = f"{split.name or 'a fold'} trains on {int(later.sum())} of {len(later)} rows that come after rows it tests"
            return Finding(
                "causal_steps",
                "fail",
                message,
                {"n": int(later.sum()), "fold": split.name},
                "train on earlier runs only",
                _REFERENCE,
            )
    return Finding("causal_steps", "pass", "every decoder was trained on what came before")
