"""All statistics of a recording at once: what it has is described, what it has not is left out, and truth comes out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.errors import BraindecError
from braindec.spikes._statistics_panels import panels_of
from braindec.spikes._statistics_rows import score_rows, truth_rows
from braindec.spikes._statistics_text import answers, notes, overview
from braindec.spikes.planted_recording import planted_recording
from braindec.spikes.statistics import FieldOptions, SynchronyOptions, describe, jittered
from braindec.types import Result, Spikes

FIELD = FieldOptions(fmax=40.0, frequencies=(10.0, 20.0, 30.0))


def described(made, units=None, **more):
    spikes = made.spikes if units is None else made.spikes.select(units)
    first = np.round(spikes.events["onset"].to_numpy() * made.sfreq).astype(int)
    field = made.field[first[:, None] + np.arange(round(made.sfreq))]
    options = {"tmin": 0.0, "tmax": 1.0, "conditions": "trial_type", "field": field, "sfreq": made.sfreq, "synchrony": SynchronyOptions(n_surrogates=59),
               "fields": FIELD, "n_permutations": 59, "n_bootstrap": 100} | more  # fmt: skip
    return describe(spikes, **options)


@pytest.fixture(scope="module")
def made():
    return planted_recording(n_units=9, n_trials=60, seed=1)


def drawn(found, **more):
    """Draw every panel, so that names and shapes are tried."""
    panels, arrays = panels_of(found, **more)
    for panel in panels:
        args = {k: arrays[v[1:]] if isinstance(v, str) and v.startswith("@") else v for k, v in panel["args"].items()}
        registry.get("viz", panel["draw"])(**args)
    return [p["draw"] for p in panels]


def test_what_was_planted_is_found_and_the_table_is_a_result(made):
    found = described(made)
    rows = pd.concat([score_rows(found), pd.DataFrame(truth_rows(found, made.truth))], ignore_index=True)
    scores = Result(rows, {}, {}).scores  # refuses decoded rows without chance, interval or n
    auc = scores[scores["metric"] == "auc_planted"].set_index("planted")["value"]
    assert (
        set(auc.index) == {"tuning", "locking to the field", "synchronous pair", "regular intervals"}
        and (auc > 0.95).all()
    )
    decoded = scores[scores["row"] == "decoded"].set_index("metric")
    assert (
        decoded.loc["tuned_units", "p"] < 0.05
        and decoded.loc["locked_units", "p"] == 1 / 60
        and decoded.loc["strongest_synchrony", "p"] == 1 / 60
    )
    controls = scores[scores["row"] == "jittered_spikes"].set_index("metric")
    assert controls.loc["locked_units", "value"] < 0.3 and controls.loc["strongest_synchrony", "p"] > 0.02
    strongest = decoded.loc["strongest_synchrony"]
    assert (
        strongest["low"] > 2 * strongest["chance"]
        and strongest["value"] < strongest["high"]
        and "unit08 and unit09" in strongest["note"]
    )
    text = answers(found, made.truth)[-1]
    assert "tuned: 3 of 3 planted neurons found" in text and "1 of 1 planted pairs found" in text
    assert overview(found)["neurons"] == 9 and any("made up" in n for n in notes(found, jitter=0.01, made=made))
    assert set(drawn(found)) == {
        "raster",
        "psth",
        "tuning_curve",
        "correlogram_matrix",
        "correlogram",
        "coherence_spectrum",
        "rate_curve",
        "interval_histogram",
    }


def test_a_few_neurons_have_rows_of_their_own(made):
    found = described(made, units=[0], synchrony=None, windows={"early": (0.0, 0.5), "late": (0.5, 1.0)})
    scores = Result(score_rows(found), {}, {}).scores
    ratio = scores[(scores["metric"] == "rate_ratio") & (scores["row"] == "decoded")].set_index("window")
    assert (ratio["low"] < 2).all() and (ratio["high"] > 1.5).all() and (ratio["p"] < 0.05).all()
    by_hand = found.trials.between(0.0, 0.5).counts()[:, 0, 0]
    right = found.conditions == "right"
    assert ratio.loc["early", "value"] == pytest.approx(by_hand[right].mean() / by_hand[~right].mean())
    assert "neuron" not in scores and {
        "field_coherence",
        "phase_consistency",
        "fano_factor",
        "interval_cv",
        "local_variation",
        "rate",
    } <= set(scores["metric"])
    assert set(scores.loc[scores["metric"] == "rate", "row"]) == {"left", "right"}
    coherence = scores[(scores["metric"] == "field_coherence") & (scores["row"] == "decoded")].iloc[0]
    assert coherence["low"] > coherence["chance"] and coherence["p"] == 1 / 60
    assert any("Spikes and field are coherent" in a for a in answers(found))
    assert drawn(found).count("tuning_curve") == 2 and "psth" not in drawn(found, stretches=True)


def test_several_conditions_give_shares_of_variance_with_an_interval():
    rng = np.random.default_rng(0)
    kind = np.tile(list("abcd"), 40)
    rate = np.select([kind == "a", kind == "b"], [30.0, 20.0], 15.0)
    times = np.concatenate([2 * k + rng.uniform(0, 1, rng.poisson(r)) for k, r in enumerate(rate)])
    spikes = Spikes.from_trains(
        [times],
        start=0.0,
        stop=320.0,
        events=pd.DataFrame({"onset": 2.0 * np.arange(160), "duration": 1.0, "trial_type": kind}),
    )
    found = describe(spikes, tmin=0.0, tmax=1.0, conditions="trial_type", n_permutations=99)
    row = score_rows(found).query("metric == 'tuning_variance' and row == 'decoded'").iloc[0]
    between = rate.var()
    assert row["low"] < between / (between + rate.mean()) < row["high"] and row["p"] == 0.01 and row["chance"] < 0.05


def test_a_recording_without_events_is_described_as_far_as_it_goes():
    rng = np.random.default_rng(1)
    spikes = Spikes.from_trains([rng.uniform(0, 100, 900), []], start=0.0, stop=100.0)
    found = describe(spikes, synchrony=SynchronyOptions(n_surrogates=19), n_bootstrap=100)
    scores = Result(score_rows(found), {}, {}).scores
    assert (
        set(scores["metric"]) == {"strongest_synchrony", "fano_factor", "interval_cv", "local_variation", "rate"}
        and found.trials is None
    )
    assert any("silent" in n for n in notes(found, jitter=0.01)) and "interval_histogram" in drawn(found)


def test_jittered_spikes_keep_counts_in_windows():
    rng = np.random.default_rng(2)
    spikes = Spikes.from_trains([rng.uniform(0, 10, 300), rng.uniform(0, 10, 50)], start=0.0, stop=10.0)
    moved = jittered(spikes, width=0.1, seed=3)
    assert not np.array_equal(moved.times, spikes.times)
    for u in range(2):
        np.testing.assert_array_equal(*(np.histogram(s.train(u), np.arange(0, 10.05, 0.1))[0] for s in (spikes, moved)))


@pytest.mark.parametrize(("change", "says"), [({"tmin": None}, "belong to trials"), ({"order": ["left", "up"]}, "name each condition once"),
                                              ({"sfreq": None}, "sampling frequency"), ({"field": np.zeros((3, 500))}, "a row for each event")])  # fmt: skip
def test_bad_input_is_told(made, change, says):
    with pytest.raises(BraindecError, match=says):
        described(made, units=[0], synchrony=None, **change)
