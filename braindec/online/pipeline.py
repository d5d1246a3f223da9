"""Pipeline: live steps one after another, with state carried from chunk to chunk; and the test that none looks ahead.

The same pipeline runs on a replay, on a live stream, and over a whole recording (:meth:`Pipeline.run`), with the same
result however the samples are cut into chunks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.config import fill_options
from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._impulse import lead_of
from braindec.online.steps._base import StreamStep
from braindec.types import ArraySignal, Recording

__all__ = ["Pipeline", "assert_causal", "check_live_steps"]

_INSTEAD = {
    "zscore": "it needs the mean and spread of the whole run; use running_scale (tau), or fitted_scale (learned from training)",
    "detrend": "it fits a line to the whole run; use filter: {low: ..., causal: true}",
    "resample": "it uses samples on both sides; use decimate: {sfreq: ...}",
    "crop": "a live stream has no end to cut",
    "drop_redundant": "it looks at the whole run; name the channels with pick",
}


class Pipeline:
    """Live steps in order.

    Parameters
    ----------
    steps : sequence
        Names, or mappings of a name to its options: ``[{"filter": {"low": 1, "high": 20, "causal": True}}, "reference"]``.

    Attributes
    ----------
    sfreq : float
        Of what comes out, Hz; known once the pipeline is open.
    channels : DataFrame
        Of what comes out.

    Raises
    ------
    BraindecError
        If a step or option is unknown, or a step needs samples that have not come yet.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> pipeline = Pipeline([{"filter": {"low": 1.0, "high": 20.0, "causal": True}}])
    >>> pipeline.open(100.0, pd.DataFrame({"name": ["C3"], "type": "eeg"})).push(np.ones((1, 50))).shape
    (1, 50)
    """

    def __init__(self, steps: Sequence[Any] = ()) -> None:
        self.plan = check_live_steps(steps)
        self.steps: list[StreamStep] = [registry.get("online.steps", n)(**o) for n, o in self.plan]
        self._lead: dict[tuple, float] = {}

    def open(self, sfreq: float, channels: pd.DataFrame) -> Pipeline:
        """Begin a new stream of these channels: all state is forgotten (not what was learned in training)."""
        self.sfreq_in, self.channels_in = float(sfreq), channels.reset_index(drop=True)
        for step in self.steps:
            sfreq, channels = step.open(sfreq, channels)
        self.sfreq, self.channels = float(sfreq), channels.reset_index(drop=True)
        return self

    def push(self, block: np.ndarray) -> np.ndarray:
        """Return what the next samples, (channel, time), give; maybe nothing yet.

        Raises
        ------
        BraindecError
            If a value is not finite, or the channels are others than those it was opened for.
        """
        block = np.array(block, dtype=np.float64, ndmin=2)
        if len(block) != len(self.channels_in):
            raise BraindecError(
                "a chunk does not fit the stream", found=f"{len(block)} channels", allowed=f"{len(self.channels_in)}"
            )
        if not np.isfinite(block).all():
            bad = self.channels_in["name"][~np.isfinite(block).all(axis=1)].tolist()
            raise BraindecError(
                f"a chunk holds values that are not finite, in {len(bad)} channels", found=", ".join(map(str, bad[:8])),
                fix="leave these channels out with pick, or hold the last value while the amplifier is silent",
            )  # fmt: skip
        for step in self.steps:
            block = step.push(block)
        return block

    @property
    def delay(self) -> float:
        """By how many s what comes out lags behind what went in: the sum of the group delays."""
        return float(sum(s.delay for s in self.steps))

    @property
    def settle(self) -> float:
        """How long the beginning of a stream is felt, s."""
        return float(sum(s.settle for s in self.steps))

    def fit(self, recordings: Sequence[Recording], ids: Sequence[object] = ()) -> Pipeline:
        """Let the steps that learn see training recordings, each after the steps before it."""
        for place, step in enumerate(self.steps):
            if hasattr(step, "fit"):
                step.fit([self._through(r, self.steps[:place], None) for r in recordings], ids)
        return self

    @property
    def fit_records_(self) -> list:
        """Which rows the steps that learn have seen."""
        return [s.fitted_on_ for s in self.steps if hasattr(s, "fitted_on_")]

    def run(self, recording: Recording, *, chunk: int | None = None) -> Recording:
        """Return a whole recording as the pipeline gives it, in memory, float64; the steps are tested by impulse.

        Parameters
        ----------
        recording : Recording
            One run.
        chunk : int, optional
            Samples pushed at once; all by default, in blocks that keep memory small.

        Raises
        ------
        BraindecError
            If the steps look ahead.
        """
        lead = self.lead(recording)
        if lead > 0:
            raise _ahead("the pipeline", lead)
        self.open(recording.sfreq, recording.channels)
        found = self._through(recording, self.steps, chunk)
        record = {"steps": [{n: {k: v for k, v in o.items() if v is not None}} for n, o in self.plan], "lead_s": lead}
        return found.with_signal(found.signal, live_steps=record)

    def lead(self, recording: Recording) -> float:
        """Measure by impulse for how many s the output knows of samples before they come (0.0 for causal steps)."""
        key = (recording.sfreq, tuple(recording.ch_names))
        if key not in self._lead:
            self._lead[key] = assert_causal(self, sfreq=recording.sfreq, channels=recording.channels, refuse=False)
        return self._lead[key]

    def offline(self) -> list[Any]:
        """Return steps of ``signal.steps`` that do the same on whole recordings, without delay: not possible live.

        Raises
        ------
        BraindecError
            If a step has no such twin.
        """
        found = [s.offline() for s in self.steps]
        lacking = [n for (n, _), s in zip(self.plan, found, strict=True) if s is None]
        if lacking:
            raise BraindecError(f"{', '.join(lacking)} has no twin without delay", fix="leave the comparison out")
        return found

    def _through(self, recording: Recording, steps: Sequence[StreamStep], chunk: int | None) -> Recording:
        sfreq, channels = recording.sfreq, recording.channels
        for step in steps:
            sfreq, channels = step.open(sfreq, channels)
        size = chunk or max(1, 2**22 // max(1, recording.n_channels))
        parts = []
        for start in range(0, recording.n_times, size):
            block = np.array(
                recording.signal.read(slice(None), start, min(start + size, recording.n_times)), np.float64
            )
            if not np.isfinite(block).all():
                self.channels_in = recording.channels
                self.push(block)  # says which channels
            for step in steps:
                block = step.push(block)
            parts.append(block)
        events = (
            recording.events if sfreq == recording.sfreq else recording.events.drop(columns="sample", errors="ignore")
        )
        return Recording(ArraySignal(np.concatenate(parts, axis=1)), sfreq, channels, events, recording.info)

    def __repr__(self) -> str:
        return f"<Pipeline {', '.join(n for n, _ in self.plan) or 'of no step'}>"


def check_live_steps(steps: Sequence[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, options) of each live step.

    Raises
    ------
    BraindecError
        If one is unknown, has wrong options, or needs samples that have not come yet; with the step to take instead.
    """
    listed = [steps] if isinstance(steps, (str, Mapping)) else list(steps)
    known, plan = registry.names("online.steps"), []
    for step in listed:
        name, options = next(iter(step.items())) if isinstance(step, Mapping) and len(step) == 1 else (step, None)
        if not isinstance(name, str) or not isinstance(options, (Mapping, type(None))):
            raise BraindecError(
                f"{step!r} is no step", allowed="a name, or one name with its options: {filter: {low: 1.0}}"
            )
        if name in _INSTEAD and name not in known:
            raise BraindecError(f"the step {name} is not possible live", found=_INSTEAD[name], allowed=", ".join(known))
        if name not in known:
            raise BraindecError(f"there is no live step {name!r}{did_you_mean(name, known)}", allowed=", ".join(known))
        kind = registry.get("online.steps", name)
        parameters = inspect.signature(kind, eval_str=True).parameters
        given = fill_options(name, parameters, options or {})
        kind(**given)  # refuses values that do not fit
        plan.append((name, given))
    return plan


def assert_causal(
    steps: Any,
    *,
    sfreq: float,
    channels: pd.DataFrame | Sequence[str] = ("a", "b", "c", "d"),
    scale: float = 1e-5,
    seconds: float = 4.0,
    refuse: bool = True,
) -> float:
    """Send an impulse through steps and refuse them when anything comes out before it.

    Parameters
    ----------
    steps : Pipeline, list of live steps, or callable
        A callable takes a Recording and returns one: ``lambda r: prepare([r], steps)[0]``.
    sfreq : float
        Hz.
    channels : DataFrame or list of str
        Channels that go in (type "eeg" when only names are given).
    scale : float
        Standard deviation of the noise under the impulse, in the signal's unit.
    seconds : float
        Length of the noise.
    refuse : bool
        False: only measure.

    Returns
    -------
    float
        For how many s the output knew of the impulse before it came; 0.0.

    Raises
    ------
    BraindecError
        If the output knew.
    """
    if not isinstance(channels, pd.DataFrame):
        channels = pd.DataFrame({"name": list(channels), "type": "eeg", "unit": "V"})
    function: Callable[[Recording], Recording]
    if callable(steps):
        function = steps
    else:
        pipeline = steps if isinstance(steps, Pipeline) else Pipeline(steps)

        def function(recording: Recording) -> Recording:
            return pipeline._through(recording, pipeline.steps, None)

    def run(block: np.ndarray) -> tuple[np.ndarray, float]:
        found = function(Recording(ArraySignal(block), sfreq, channels, info={"task": "impulse", "modality": "eeg"}))
        return np.asarray(found.signal.read(), dtype=np.float64), found.sfreq

    lead = lead_of(run, n_channels=len(channels), sfreq=sfreq, scale=scale, seconds=seconds)
    if lead > 0 and refuse:
        raise _ahead(repr(steps), lead)
    return lead


def _ahead(what: str, lead: float) -> BraindecError:
    return BraindecError(
        f"{what} knows of samples that have not come yet", found=f"an impulse is felt {lead:.3g} s before it comes",
        allowed="steps whose output depends on past samples only",
        fix="use live steps: filter with causal: true, decimate instead of resample, running_scale instead of zscore",
    )  # fmt: skip
