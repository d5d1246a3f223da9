"""The audit of what a live decoder could not have known: each planted leak is found, a clean replay passes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.evaluate.audit import audit
from braindec.online.pipeline import Pipeline
from braindec.online.replay import replay_windows, split_in_time
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows
from braindec.types import ArraySignal, Recording, Split, Windows


@pytest.fixture(scope="module")
def runs() -> list[Recording]:
    rng = np.random.default_rng(0)
    channels = pd.DataFrame({"name": ["Fz", "Cz", "Pz"], "type": "eeg", "unit": "V"})
    events = pd.DataFrame({"onset": np.arange(1.0, 19.0), "duration": 0.0, "trial_type": ["a", "b"] * 9})
    return [Recording(ArraySignal(1e-5 * rng.standard_normal((3, 2000))), 100.0, channels, events,
                      {"run": f"{k}", "modality": "eeg"}) for k in (1, 2, 3)]  # fmt: skip


def level(windows: Windows, splits: Split | list[Split], claim: str = "live") -> tuple[str, str]:
    found = audit(windows, splits, claim=claim, checks=["causal_steps"])
    return found.level, " ".join(f.message for f in found.findings)


def cut(runs: list[Recording], steps: list, tmax: float = 0.5) -> Windows:
    return make_windows(prepare(runs, steps), tmin=0.0, tmax=tmax)


def test_a_replay_passes_and_says_what_was_tested(runs):
    windows = replay_windows(
        runs,
        steps=[{"filter": {"low": 1.0, "high": 20.0, "causal": True}}, {"decimate": {"sfreq": 50.0}}],
        tmin=0.0,
        tmax=0.5,
    )
    found, words = level(windows, split_in_time(windows, runs))
    assert found == "pass" and "decimate, filter" in words and "tested by impulse" in words


@pytest.mark.parametrize(("steps", "named"), [
    ([{"filter": {"low": 1.0, "high": 20.0}}], "filter (low 1.0, high 20.0"),
    ([{"filter": {"low": 1.0, "causal": True}}, "zscore"], "zscore"),
    ([{"detrend": {"order": 0}}], "detrend"),
    ([{"notch": {"freqs": [20.0]}}], "notch"),
    ([{"resample": {"sfreq": 50.0}}], "resample"),
])  # fmt: skip
def test_steps_that_look_ahead_fail(runs, steps, named):
    windows = cut(runs, steps)
    found, words = level(windows, split_in_time(windows, runs))
    assert (
        found == "fail"
        and named in words
        and "causal: true"
        in audit(windows, split_in_time(windows, runs), claim="live", checks=["causal_steps"]).findings[0].fix
    )
    assert level(windows, split_in_time(windows, runs), claim="")[0] == "pass"  # nothing is claimed


def test_causal_steps_of_whole_recordings_pass(runs):
    windows = cut(
        runs, [{"filter": {"low": 1.0, "high": 20.0, "causal": True}}, "reference", {"scale": {"factor": 1e6}}]
    )
    assert level(windows, split_in_time(windows, runs))[0] == "pass"


def test_windows_beyond_the_decision_fail(runs):
    windows = cut(runs, [], tmax=0.5)
    onset = windows.trials["onset"].to_numpy()
    split = split_in_time(windows, runs)
    assert level(windows.with_trials(decided=onset + 0.49), split)[0] == "pass"
    found, words = level(windows.with_trials(decided=onset + 0.3), split)
    assert found == "fail" and "54 of 54 windows use samples after the decision, up to 0.19 s later" in words


def test_training_on_what_comes_later_fails(runs):
    windows = cut(runs, [])
    home = windows.index[:, 0]
    late = Split(np.flatnonzero(home == 2), [], np.flatnonzero(home == 1), by="run", ids=windows.ids, name="run 2")
    found, words = level(windows, late)
    assert found == "fail" and "run 2 trains on 18 of 18 rows that come after" in words


def test_a_pipeline_that_was_tampered_with_is_found(runs):
    made = Pipeline(["reference"]).run(runs[0])
    bad = made.with_signal(made.signal, live_steps={"steps": [{"reference": {}}], "lead_s": 0.2})
    windows = make_windows([bad, made.with_signal(made.signal, run="9")], tmin=0.0, tmax=0.5)
    found, words = level(windows, Split(np.arange(9), [], np.arange(20, 30), by="run", ids=windows.ids))
    assert found == "fail" and "0.2 s before it comes" in words
