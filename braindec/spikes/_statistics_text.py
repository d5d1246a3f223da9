"""Sentences about a described recording: what is answered, what it consists of, what to keep in mind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from braindec.spikes._statistics_rows import ALPHA, FEW, neuron_name
from braindec.spikes.planted_recording import PlantedRecording
from braindec.spikes.statistics import Described

__all__ = ["answers", "notes", "overview"]


def answers(found: Described, truth: pd.DataFrame | None = None) -> list[str]:
    """Sentences for the top of the page."""
    said = []
    for _, r in found.ratios.iterrows() if found.spikes.n_units <= FEW else []:
        where = f" ({r['window']})" if r["window"] else ""
        who = f"{neuron_name(r['name'])}: " if found.spikes.n_units > 1 else ""
        said.append(f"{who}{r['first']:.1f} Hz in {found.order[0]} and {r['second']:.1f} Hz in {found.order[1]}{where}: ratio {r['value']:.2f} "
                    f"({r['low']:.2f} to {r['high']:.2f}), {_p(r['p'])}.")  # fmt: skip
    if found.coherence is not None and found.spikes.n_units <= FEW and found.coherence_jittered is not None:
        for (_, c), (_, j) in zip(
            found.coherence.table.iterrows(), found.coherence_jittered.table.iterrows(), strict=True
        ):
            said.append(f"Spikes and field are {'' if c['p'] <= ALPHA else 'not shown to be '}coherent, most at {c['frequency']:g} Hz ({c['value']:.2f}, {_p(c['p'])}); "
                        f"jittered spikes have {j['value']:.2f} at most ({_p(j['p'])}).")  # fmt: skip
    stretches = _stretches(found)
    if stretches is not None and stretches == len(found.order):
        said.append(f"Each condition was recorded in one stretch of its own: p tells the stretches apart, and {' from '.join(found.order[:2])} only if "
                    "nothing else changed between them.")  # fmt: skip
    if truth is not None:
        said += _planted(found, truth)
    return said


def _stretches(found: Described) -> int | None:
    """How many times the condition changes over the trials in order of time, and one more; None without conditions."""
    if found.conditions is None or found.trials is None or len(found.order) < 2:
        return None
    labels = found.conditions[np.argsort(found.trials.trials["onset"].to_numpy(), kind="stable")]
    return 1 + int((labels[1:] != labels[:-1]).sum())


def _expected_stretches(found: Described) -> float:
    """Mean of :func:`_stretches` when the order of trials is random."""
    sizes = np.unique(np.asarray(found.conditions), return_counts=True)[1]
    return float(1 + sizes.sum() - (sizes**2).sum() / sizes.sum())


def _between_blocks(found: Described) -> float | None:
    """Correlation of the counts of neighbouring blocks of one condition, mean over neurons that fire."""
    assert found.trials is not None and found.conditions is not None
    order = np.argsort(found.trials.trials["onset"].to_numpy(), kind="stable")
    counts, labels = found.trials.counts()[order, :, 0].astype(float), found.conditions[order]
    for name in found.order:
        counts[labels == name] -= counts[labels == name].mean(axis=0)
    follows = labels[1:] == labels[:-1]
    spread = (counts**2).mean(axis=0)
    if not (spread > 0).any() or follows.sum() < 10:
        return None
    return float(np.mean((counts[1:] * counts[:-1])[follows].mean(axis=0)[spread > 0] / spread[spread > 0]))


def _planted(found: Described, truth: pd.DataFrame) -> list[str]:
    parts: list[tuple[str, np.ndarray, np.ndarray]] = []
    for tuned in list(found.tuning.values())[:1]:
        parts.append(("tuned", tuned.tests["p_family"].to_numpy() <= ALPHA, truth["tuning"].to_numpy() != 1))
    if found.coherence is not None:
        parts.append(
            ("locked to the field", found.coherence.table["p_family"].to_numpy() <= ALPHA, truth["gain"].to_numpy() > 0)
        )
    said = [f"{name}: {int((hit & real).sum())} of {int(real.sum())} planted neurons found, {int((hit & ~real).sum())} of {int((~real).sum())} others called so"
            for name, hit, real in parts]  # fmt: skip
    if found.synchrony is not None:
        hit, pairs = found.synchrony.table["p_family"].to_numpy() <= ALPHA, found.synchrony.correlograms.pairs
        real = truth["partner"].to_numpy()[pairs[:, 0]] == pairs[:, 1]
        said.append(
            f"synchronous: {int((hit & real).sum())} of {int(real.sum())} planted pairs found, {int((hit & ~real).sum())} of {int((~real).sum())} others called so"
        )
    return (
        [f"What was planted, at a family-wise level of 5 % over neurons, frequencies and lags: {'; '.join(said)}."]
        if said
        else []
    )


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def overview(found: Described) -> dict[str, Any]:
    """The table of what was analysed."""
    spikes, rates = found.spikes, found.rates["value"]
    told: dict[str, Any] = {
        "neurons": spikes.n_units, "spikes": f"{len(spikes.times):,}", "observed (s)": round(spikes.duration, 3), "stretches": len(spikes.support),
        "rates (Hz)": f"{rates.min():.1f} to {rates.max():.1f}" if spikes.n_units > 1 else f"{rates.iloc[0]:.1f}",
        "intervals below 1.5 ms": f"{found.quality['violations'].sum():,}",
    }  # fmt: skip
    if found.trials is not None:
        left = f" ({len(found.trials.dropped)} left out, not observed as a whole)" if len(found.trials.dropped) else ""
        told["trials"] = f"{found.trials.n_trials:,}{left}"
    if found.conditions is not None:
        told["conditions"] = {c: int((found.conditions == c).sum()) for c in found.order}
    return told


def _said_of_blocks(found: Described) -> str:
    alike = None if found.conditions is None else _between_blocks(found)
    return (
        ""
        if alike is None
        else f" Counts of neighbouring blocks correlate by {alike:.2f} here (0: the p-value is good)."
    )


def notes(
    found: Described,
    *,
    jitter: float,
    bursts: float = 0.0,
    blocks: float | None = None,
    made: PlantedRecording | None = None,
) -> list[str]:
    """What to keep in mind.

    Parameters
    ----------
    found : Described
        The recording.
    jitter : float
        Window of the jitter, s.
    bursts : float
        Spikes so near to one another were moved together, s.
    blocks : float, optional
        Length of blocks that stand for trials, s.
    made : PlantedRecording, optional
        What was planted.
    """
    said = [f"{r['name']}: {r['note']}" for _, r in found.quality.iterrows() if r["note"]]
    if blocks:
        said.append(f"Long stretches were cut into blocks of {blocks:g} s; blocks are exchanged and resampled as trials are. Where the rate wanders "
                    "more slowly than that, p-values are too small: compare with longer blocks." + _said_of_blocks(found))  # fmt: skip
    stretches = _stretches(found)
    if stretches is not None and len(found.order) < stretches < 0.6 * _expected_stretches(found):
        said.append(f"Conditions changed {stretches - 1} times over {len(found.conditions)} trials, less than in a random order ("  # type: ignore[arg-type]
                    f"{_expected_stretches(found) - 1:.0f} times): a rate that drifts over the recording can look like tuning.")  # fmt: skip
    if found.synchrony is not None:
        said.append(
            f"Synchrony is what jitter in windows of {1e3 * jitter:g} ms takes away: rates that change together more slowly explain none of it."
            + (f" Spikes up to {1e3 * bursts:g} ms apart were moved together." if bursts else "")
        )
    if found.coherence is not None:
        said.append(
            "Exchanging trials keeps what is locked to the onset of trials; coherence beyond it is locking trial by trial."
        )
    if made is not None:
        truth = made.truth
        pair = f", and {int((truth['partner'] >= 0).sum())} share spikes" if (truth["partner"] >= 0).any() else ""
        said.append(f"The recording is made up: {int((truth['tuning'] != 1).sum())} neurons are tuned, {int((truth['gain'] > 0).sum())} follow a rhythm of "
                    f"{made.rhythm:g} Hz, {int((truth['shape'] > 1).sum())} have regular intervals (local variation {truth['lv'].min():.2f}){pair}.")  # fmt: skip
    return said
