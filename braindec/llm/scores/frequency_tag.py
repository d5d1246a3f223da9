"""Frequency tag: does a unit follow the rate of sentences or phrases more than it follows the classes of their words?

Reads ``probe.stimuli["tagged"]``: what :func:`braindec.llm.tag_stimuli.tag_conditions` makes (name -> TagTrials), the
condition first and its control next (a control named in the options otherwise), trials of disjoint sentences. Every trial
is a text with its own context; words are samples. Units are compared between condition and control by permuting the labels
of trials, all units at once. Options: ``{"control": name, "n_permutations": 1000, "statistic": "difference"}``.

The score is the two-sample share of power at the sentence rate, 0 to 1: how much of what varies over trials lies between
condition and control. ``frequency_tag_p``, ``_q`` and ``_p_max`` are its p, that with a false discovery rate over units, and
that by the largest statistic; columns of other rates have their name in between. Undefined for units that do not vary.

Source: Ding et al. 2016 (Nat Neurosci 19:158), with the control for word classes that Frank & Yang 2018 (PLoS ONE
13:e0197304) ask for.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.llm.extract import extract
from braindec.llm.score import KEYS, Probe, UnitScore
from braindec.llm.tag_stimuli import TagTrials, tag_words
from braindec.stats.tagging import tag_arrays

__all__ = ["frequency_tag"]

_COLUMNS = ("p", "q", "p_max", "snr", "itpc")


def _score(probe: Probe) -> pd.DataFrame:
    made = probe.need("tagged")
    options = dict(probe.options.get("frequency_tag", {}))
    unknown = [k for k in options if k not in ("control", "n_permutations", "statistic")]
    if unknown:
        raise BraindecError(
            f"the score frequency_tag has no option {unknown[0]!r}", allowed="control, n_permutations, statistic"
        )
    names = list(made) if hasattr(made, "keys") else []
    if len(names) < 2 or not all(isinstance(made[n], TagTrials) for n in names):
        raise BraindecError(
            "the stimuli 'tagged' must be a condition and at least one control", found=", ".join(map(str, names)) or type(made).__name__,
            fix="tag_conditions(sentences, design, controls=('slot_shuffle',)) of braindec.llm.tag_stimuli",
        )  # fmt: skip
    control = options.pop("control", names[1])
    if control not in names[1:]:
        raise BraindecError(
            f"there is no control {control!r}{did_you_mean(str(control), names[1:])}", allowed=", ".join(names[1:])
        )
    design = made[names[0]].design
    features = probe.once(
        ("frequency_tag", names[0], control, tuple(probe.sites), None if probe.layers is None else tuple(probe.layers)),
        lambda: extract(probe.model, tag_words([made[names[0]], made[control]]), pool="word", sites=probe.sites, layers=probe.layers,
                        batch_size=probe.batch_size),
    )  # fmt: skip
    first = round(design.onset * design.unit_rate)
    x, y = (
        features.load(np.flatnonzero((features.items["condition"] == name).to_numpy())).reshape(
            len(made[name]), design.n_units, -1
        )[:, first:]
        for name in (names[0], control)
    )
    rates = design.observable()
    found = tag_arrays(x, sfreq=design.unit_rate, rates=rates, control=y, detrend="linear", rng=probe.seed, **options)
    table = features.units[list(KEYS["unit"])].copy()
    for r, name in enumerate(found.names):
        prefix = "frequency_tag" if name == "sentence" else f"frequency_tag_{name}"
        table[prefix] = found.statistic[r]
        for column in _COLUMNS:
            table[f"{prefix}_{column}"] = getattr(found, column)[r]
    if "frequency_tag" not in table:
        raise BraindecError(
            "the design has no level called sentence below the Nyquist frequency", found=", ".join(rates)
        )
    return table


frequency_tag = UnitScore(
    name="frequency_tag", version="1", level="unit", needs=("tagged",), function=_score,
    describe="Follows the rate of sentences beyond its control: two-sample share of power (0 to 1), label permutation of trials.",
    source="Ding et al. 2016; Frank & Yang 2018",
)  # fmt: skip
