"""Bands: what stands on which volume, features that do not cover the volumes, delays, trials."""

import numpy as np
import pandas as pd
import pytest

from braindec.align.bands import Band, trial_design, volume_design
from braindec.errors import BraindecError
from braindec.types import Features, Recording, Windows

TR = 2.0


def run(events, n=10, name="1", sfreq=1 / TR, n_channels=3):
    rng = np.random.default_rng(int(name))
    channels = pd.DataFrame({"name": [f"v{k}" for k in range(n_channels)], "type": "voxel"})
    return Recording(
        rng.standard_normal((n_channels, n)),
        sfreq,
        channels,
        pd.DataFrame(events),
        {"subject": "01", "run": name, "modality": "fmri"},
    )


def timed(ids, n, step, n_units=2):
    rows = [(i, k * step) for i in ids for k in range(n)]
    values = np.array([[100 * ids.index(i) + t, 1.0] for i, t in rows])[:, :n_units]
    return Features(values, pd.DataFrame(rows, columns=["stimulus_id", "onset"]))


def test_events_are_shares_of_volumes():
    runs = [run({"onset": [0.0, 5.0, 12.0], "duration": [2.0, 4.0, 0.0], "trial_type": ["a", "b", "a"]})]
    made = volume_design(runs, {"kind": Band(kind="events")})
    assert made.columns["kind"] == ["a", "b"]
    assert made.bands["kind"][:, 0] == pytest.approx([1, 0, 0, 0, 0, 0, 1, 0, 0, 0])
    assert made.bands["kind"][:, 1] == pytest.approx([0, 0, 0.5, 1, 0.5, 0, 0, 0, 0, 0])


def test_delays_stop_at_the_run():
    runs = [run({"onset": [16.0, 18.0], "duration": [2.0, 2.0], "trial_type": ["a", "a"]}, name=k) for k in "12"]
    made = volume_design(runs, {"kind": Band(kind="events")}, delays=[0.0, 2.0, 4.0])
    by_lag = made.bands["kind"].reshape(20, 3).T
    assert by_lag[0].nonzero()[0].tolist() == [8, 9, 18, 19]
    assert by_lag[1].nonzero()[0].tolist() == [9, 19] and not by_lag[2].any()
    assert made.columns["kind"] == ["a", "a +2 s", "a +4 s"]
    assert set(made.runs) == {"01/n/a/n/a/1", "01/n/a/n/a/2"} and made.kind == "time"


def test_timed_features_are_means_of_the_volume():
    runs = [run({"onset": [4.0], "duration": [8.0], "stimulus_id": ["film"], "trial_type": ["clip"]})]
    made = volume_design(runs, {"sound": Band()}, features={"sound": timed(["film"], 16, 0.5)})
    expected = np.zeros(10)
    expected[2:6] = [0.75, 2.75, 4.75, 6.75]  # mean of 0, .5, 1, 1.5 and so on
    assert made.bands["sound"][:, 0] == pytest.approx(expected)
    assert made.bands["sound"][:, 1] == pytest.approx([0, 0, 1, 1, 1, 1, 0, 0, 0, 0])
    assert made.rows["content"].unique().tolist() == ["film"]
    assert made.rows["condition"].tolist()[1:7] == ["", "film@0", "film@1", "film@2", "film@3", ""]


@pytest.mark.parametrize("tr_offset", [0.0, 0.25, 0.5, 0.75])
def test_onsets_in_a_volume_give_each_volume_of_a_presentation_its_own_place(tr_offset):
    """Volumes of one presentation never repeat one another, wherever in a volume it begins (odd seconds at a TR of 2 s)."""
    runs = [
        run({"onset": [TR * (1 + tr_offset)], "duration": [TR * 5], "stimulus_id": ["face"], "trial_type": ["face"]})
    ]
    made = volume_design(runs, {"x": Band(kind="events")})
    shown = [c for c in made.rows["condition"] if c]
    assert shown == [f"face@{k}" for k in range(5)]
    features = timed(["face"], 40, 0.5)
    rows = volume_design(runs, {"x": Band()}, features={"x": features}).bands["x"][:, 1]
    assert rows.nonzero()[0].tolist() == [k for k, c in enumerate(made.rows["condition"]) if c]


def test_lanczos_keeps_a_slow_wave_and_drops_a_fast_one():
    fine = 0.25
    t = np.arange(0, 200, fine)
    slow, fast = np.sin(2 * np.pi * 0.05 * t), np.sin(2 * np.pi * 0.9 * t)
    features = Features(np.stack([slow, fast], axis=1), pd.DataFrame({"stimulus_id": "film", "onset": t}))
    runs = [run({"onset": [0.0], "duration": [200.0], "stimulus_id": ["film"]}, n=100)]
    found = volume_design(runs, {"x": Band(resample="lanczos")}, features={"x": features}).bands["x"][5:-5]
    middle = (np.arange(100) + 0.5)[5:-5] * TR
    assert found[:, 0] == pytest.approx(np.sin(2 * np.pi * 0.05 * (middle - fine / 2)), abs=0.03)
    assert np.abs(found[:, 1]).max() < 0.1


def test_features_that_end_too_early_are_refused():
    runs = [run({"onset": [4.0], "duration": [12.0], "stimulus_id": ["film"]})]
    with pytest.raises(BraindecError, match="do not cover the volumes") as caught:
        volume_design(runs, {"sound": Band()}, features={"sound": timed(["film"], 8, 0.5)})
    assert "0 to 4 s" in caught.value.found and "12 s" in caught.value.found


def test_stimuli_without_features_are_named():
    runs = [run({"onset": [0.0, 4.0], "duration": [2.0, 2.0], "stimulus_id": ["dog", "cat"]})]
    features = {"x": Features.from_array(np.eye(2), ["dog", "horse"])}
    with pytest.raises(BraindecError, match="have no features") as caught:
        volume_design(runs, {"x": Band()}, features=features)
    assert "cat" in caught.value.found
    made = volume_design(
        runs, {"x": Band()}, features={"x": Features.from_array([[1.0, 2.0], [3.0, 4.0]], ["dog", "cat"])}
    )
    assert made.bands["x"][[0, 1, 2]].tolist() == [[1, 2], [0, 0], [3, 4]]


def test_bands_of_one_file_by_a_column_of_its_units():
    features = Features(
        np.arange(6.0).reshape(2, 3), pd.DataFrame({"stimulus_id": ["a", "b"]}), pd.DataFrame({"band": ["x", "y", "x"]})
    )
    windows = Windows.from_arrays(
        np.zeros((3, 2, 1)), pd.DataFrame({"stimulus_id": ["b", "a", "b"], "run": ["1", "1", "2"]}), sfreq=1.0
    )
    made = trial_design(
        windows,
        {"one": Band(path="f", units={"band": "x"}), "two": Band(path="f", units={"band": "y"})},
        features={"f": features},
    )
    assert made.bands["one"].tolist() == [[3, 5], [0, 2], [3, 5]] and made.bands["two"].tolist() == [[4], [1], [4]]
    assert made.kind == "trials" and made.rows["condition"].tolist() == ["b", "a", "b"]
    with pytest.raises(BraindecError, match="no unit has"):
        trial_design(windows, {"one": Band(path="f", units={"band": "z"})}, features={"f": features})
    with pytest.raises(BraindecError, match="did you mean"):
        trial_design(windows, {"one": Band(path="f", units={"bend": "z"})}, features={"f": features})


def test_tables_must_have_a_row_for_each_volume():
    runs = [run({"onset": [0.0], "duration": [2.0], "trial_type": ["a"]})]
    with pytest.raises(BraindecError, match="does not cover the volumes"):
        volume_design(
            runs, {"motion": Band(kind="table", path="x.par")}, tables=lambda band, r: (np.zeros((4, 2)), ["p", "q"])
        )


def test_what_cannot_be_described():
    runs = [run({"onset": [0.0], "duration": [2.0], "trial_type": ["a"]})]
    with pytest.raises(BraindecError, match="repetition times"):
        volume_design(
            [runs[0], run({"onset": [0.0], "duration": [1.0]}, name="2", sfreq=1.0)], {"x": Band(kind="time")}
        )
    with pytest.raises(BraindecError, match="different volumes"):
        volume_design(runs, {"x": Band(kind="time")}, delays=[2.0, 2.5])
    with pytest.raises(BraindecError, match="no event has trial_type"):
        volume_design(runs, {"x": Band(kind="events", classes=["b"])})


def test_polynomials_start_anew_in_each_run():
    runs = [run({"onset": [0.0], "duration": [2.0], "trial_type": ["a"]}, name=k) for k in "12"]
    found = volume_design(runs, {"time": Band(kind="time", degree=2)}).bands["time"]
    assert np.array_equal(found[:10], found[10:]) and found[0, 0] == -1 and found[9, 0] == 1
    assert found[:10, 1] == pytest.approx(1.5 * found[:10, 0] ** 2 - 0.5, abs=1e-6)


# ---- input that is not right

CLIP = {"onset": [0.0], "duration": [20.0], "trial_type": ["clip"], "stimulus_id": ["film"]}


def described(events=CLIP, features=None, **options):
    found = timed(["film"], 40, 0.5) if features is None else features
    return volume_design([run(events)], {"x": Band()}, features={"x": found}, **options)


def retimed(onset):
    return Features(np.ones((40, 2)), pd.DataFrame({"stimulus_id": "film", "onset": onset}))


@pytest.mark.parametrize(
    ("onset", "message"),
    [
        (500.0 * np.arange(40), "far longer than its events"),  # ms
        (5.0 + 0.5 * np.arange(40), "do not cover the volumes"),
        (np.r_[np.nan, 0.5 * np.arange(1, 40)], "1 of 40 rows of the features have no onset"),
        (["x"] * 40, "40 of 40 rows of the features have no onset"),
    ],
)
def test_times_of_features_that_are_not_right(onset, message):
    with pytest.raises(BraindecError, match=message):
        described(features=retimed(onset))


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({**CLIP, "onset": [5000.0]}, "no event of sub-01_run-1 lies within the run"),
        ({**CLIP, "duration": [20000.0]}, "lasts 20000 s"),
        ({**CLIP, "onset": [np.nan]}, "1 of 1 events of sub-01_run-1 have no onset"),
    ],
)
@pytest.mark.parametrize("kind", ["events", "features"])
def test_events_in_ms_or_without_onset(events, message, kind):
    with pytest.raises(BraindecError, match=message):
        volume_design([run(events)], {"x": Band(kind=kind)}, features={"x": timed(["film"], 40, 0.5)})


def test_a_stimulus_without_timed_features_is_no_silence():
    two = {
        "onset": [0.0, 10.0],
        "duration": [10.0, 10.0],
        "trial_type": ["clip", "clip"],
        "stimulus_id": ["film", "other"],
    }
    with pytest.raises(BraindecError, match="1 stimuli of sub-01_run-1 have no features"):
        described(two)
    rest = {**two, "stimulus_id": ["film", "n/a"]}
    assert not described(rest).bands["x"][5:].any()


def test_values_that_are_not_finite_never_reach_the_design():
    values = np.ones((40, 2))
    values[7, 1] = np.nan
    features = Features(values, pd.DataFrame({"stimulus_id": "film", "onset": 0.5 * np.arange(40)}))
    with pytest.raises(BraindecError, match="not finite") as caught:
        described(features=features)
    assert "columns 1" in caught.value.found
    trials = Windows((run({"onset": [], "duration": []}, n=2),), np.array([[0, 0], [0, 1]]), 1,
                     pd.DataFrame({"stimulus_id": ["a", "b"]}))  # fmt: skip
    unknown = Features(np.array([[1.0], [np.inf]]), pd.DataFrame({"stimulus_id": ["a", "b"]}))
    with pytest.raises(BraindecError, match="not finite"):
        trial_design(trials, {"x": Band()}, features={"x": unknown})


@pytest.mark.parametrize(
    ("delays", "message"), [([2000.0], "leaves nothing of the longest run"), (["x"], "list of s"), (2.0, "list of s"), ([np.nan], "list of s")]
)  # fmt: skip
def test_delays_that_are_not_s(delays, message):
    with pytest.raises(BraindecError, match=message):
        described(delays=delays)


def test_two_runs_of_one_name_are_refused():
    with pytest.raises(BraindecError, match="two runs are called sub-01_run-1"):
        volume_design([run(CLIP), run(CLIP)], {"x": Band(kind="events")})


def test_trials_without_a_label_or_a_stimulus():
    trials = pd.DataFrame({"part": ["a", None, "b"]})
    windows = Windows((run({"onset": [], "duration": []}, n=3),), np.array([[0, 0], [0, 1], [0, 2]]), 1, trials)
    made = trial_design(windows, {"x": Band(kind="events", column="part")})
    assert made.columns["x"] == ["a", "b"] and made.bands["x"].tolist() == [[1, 0], [0, 0], [0, 1]]
    with pytest.raises(BraindecError, match="no trial has part = 'c'"):
        trial_design(windows, {"x": Band(kind="events", column="part", classes=["c"])})
    with pytest.raises(BraindecError, match="do not say their stimulus"):
        trial_design(windows, {"x": Band()}, features={"x": timed(["a"], 1, 1.0)})
