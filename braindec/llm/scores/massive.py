"""Massive activations: units whose largest value is far beyond the median of their layer.

Reads "texts". ``massive`` is the largest absolute value of a unit over the median absolute value of all units of its layer
and site (of those that are not 0, where most are, as after a ReLU), ``massive_flag`` whether that is above ``ratio``
(100), ``massive_position`` and ``massive_token`` where in the context and on which token the largest value stands,
``massive_first`` the share of the values beyond the ratio that stand at the first position (NaN when there are none).
Such units are a broadband impulse at the beginning of a text: drop them, or the first token, before anything is averaged
or Fourier-transformed.
Options: ``ratio``.
Source: Sun, Chen, Kolter & Liu 2024 (COLM, Massive activations in large language models).
Differs from the reference in: no absolute bound (the paper also asks for a magnitude above 100), because other models
have other scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

import numpy as np
import pandas as pd

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import option
from braindec.llm.scores._tokens import TokenSample, per_unit
from braindec.llm.scores._unembed import token_names

__all__ = ["massive", "typical_size"]

_SAMPLE = 4_000_000  # values that the median is taken over


def typical_size(values: np.ndarray, length: int) -> float:
    """Return the median absolute value of a layer (token, unit) of windows of ``length`` tokens; of those above 0 if it is 0.

    Of large layers every k-th token is looked at, k without a factor in common with ``length``: all positions count alike.
    """
    step = max(1, values.size // _SAMPLE)
    while gcd(step, length) > 1:
        step += 1
    size = np.abs(values[::step])
    median = float(np.median(size))
    return float(np.median(size[size > 0])) if median == 0 and size.any() else median


def _table(probe: Probe) -> pd.DataFrame:
    ratio = float(option(probe, "massive", {"ratio": 100.0})["ratio"])
    lm = probe.model

    def measure(sample: TokenSample, layer: int, site: str, values: np.ndarray) -> Mapping[str, object]:
        median = typical_size(values, sample.tokens.shape[1])
        size = np.abs(values)
        where, largest = size.argmax(axis=0), size.max(axis=0).astype(float)
        found = largest / median if median > 0 else np.full(len(largest), np.nan)
        position = np.arange(len(values)) % sample.tokens.shape[1]
        beyond = size > ratio * median
        with np.errstate(invalid="ignore"):
            first = beyond[position == 0].sum(axis=0) / beyond.sum(axis=0)
        with np.errstate(invalid="ignore"):
            flag = found > ratio
        return {"massive": found, "massive_flag": flag, "massive_position": position[where],
                "massive_token": token_names(lm, list(sample.tokens.ravel()[where])), "massive_first": first}  # fmt: skip

    return per_unit(probe, measure)


massive = UnitScore(
    name="massive", version="1", level="unit", needs=("texts",), function=_table,
    describe="largest absolute value over the median of the layer", source="Sun et al. 2024",
)  # fmt: skip
