"""Quality of units: contamination of a known mixture, silent units, units that are lost."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from braindec.spikes.quality import unit_quality
from braindec.types import Spikes


def refractory_train(rate, seconds, dead, rng):
    gaps = dead + rng.exponential(1 / rate - dead, int(2 * rate * seconds))
    times = np.cumsum(gaps)
    return times[times < seconds]


def test_the_share_of_foreign_spikes_comes_out():
    rng = np.random.default_rng(0)
    own = refractory_train(18.0, 2000.0, 0.003, rng)
    foreign = refractory_train(2.0, 2000.0, 0.003, rng)
    spikes = Spikes.from_trains([own, np.concatenate([own, foreign])], start=0.0, stop=2000.0)
    table = unit_quality(spikes, refractory=0.003)
    assert table["violations"][0] == 0 and table["contamination"][0] == 0
    assert table["contamination"][1] == pytest.approx(0.1, abs=0.02)


def test_silent_lost_and_doubled_units_are_told():
    rng = np.random.default_rng(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spikes = Spikes.from_trains(
            [[], rng.uniform(0, 40, 800), np.repeat(rng.uniform(0, 100, 50), 2), rng.uniform(0, 100, 2000)],
            start=0.0,
            stop=100.0,
        )
    table = unit_quality(spikes)
    assert table["silent"].tolist() == [True, False, False, False] and table["note"][0] == "silent"
    assert table["presence"][1] == pytest.approx(0.4, abs=0.03) and "lost" in table["note"][1]
    assert table["duplicates"][2] == 50 and "more than one" in table["note"][2] and table["contamination"][2] == 0.5
    assert table["note"][3] == "" or "more than one" in table["note"][3]
    assert table["presence"][3] == 1 and table["expected_presence"][3] > 0.99
