"""Selections of a speller: evidence of flashes gives the choice; nothing to decode gives chance."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError
from braindec.online.replay import replay
from braindec.online.selections import selections_of
from braindec.online.simulated_speller import speller_recordings

CUT = {
    "steps": [{"filter": {"low": 0.5, "high": 20.0, "causal": True}}, {"decimate": {"sfreq": 64.0}}],
    "tmin": 0.0,
    "tmax": 0.7,
}
SIZE = {"n_sessions": 1, "n_runs": 4, "n_selections": 4, "n_items": 4, "n_repeats": 4}


def selected(strength: float, seed: int = 0):
    runs = speller_recordings(**SIZE, strength=strength, seed=seed)
    found = replay(runs, Classifier(), n_train=2, **CUT)
    return found, selections_of(found, Classifier(), target="target")


def test_choices_are_those_of_the_summed_odds_and_times_are_true():
    found, chosen = selected(1.5)
    table = found.decided.assign(odds=found.decided["score_target"] - found.decided["score_nontarget"])
    best = table.groupby(["run", "selection", "item"])["odds"].sum().unstack().idxmax(axis=1)
    meant = table[table["true"] == "target"].groupby(["run", "selection"])["item"].first()
    assert chosen.accuracy[-1] == pytest.approx(np.mean(best == meant)) and chosen.n == 8 and chosen.n_items == 4
    assert chosen.accuracy[-1] >= 0.75
    note = chosen.scores["note"].iloc[1]
    assert "6.2 s a selection" in note  # 16 flashes every 0.2 s and a pause of 3 s
    assert chosen.early[0] <= 4 and (chosen.low <= chosen.accuracy).all() and (chosen.accuracy <= chosen.high).all()


def test_without_a_response_selections_are_guesses():
    shares = [selected(0.0, seed)[1].accuracy[-1] for seed in range(3)]
    assert np.mean(shares) < 0.6


def test_what_is_no_speller_is_refused():
    runs = [r.with_events(r.events.drop(columns="item")) for r in speller_recordings(**SIZE)]
    found = replay(runs, Classifier(), n_train=2, **CUT)
    with pytest.raises(BraindecError, match="without item"):
        selections_of(found, Classifier(), target="target")
    other = replay(speller_recordings(**SIZE), Classifier(), n_train=1, **CUT)
    with pytest.raises(BraindecError, match="no class 'Target'"):
        selections_of(other, Classifier(), target="Target")
    with pytest.raises(BraindecError, match="two or more"):
        selections_of(other, Classifier(), target="target")


def test_the_speller_is_the_same_twice_and_drifts_only_when_told():
    one, two = speller_recordings(n_sessions=2, n_runs=1), speller_recordings(n_sessions=2, n_runs=1)
    assert np.array_equal(one[1].load(), two[1].load())
    still = speller_recordings(n_sessions=2, n_runs=1, drift=0.0)
    assert np.array_equal(one[0].load(), still[0].load()) and not np.array_equal(one[1].load(), still[1].load())
    events = one[0].events
    assert (events.groupby(["selection", "item"]).size() == 6).all()
    assert (events[events["trial_type"] == "target"].groupby("selection")["item"].nunique() == 1).all()
    with pytest.raises(BraindecError, match="two items"):
        speller_recordings(n_items=1)
