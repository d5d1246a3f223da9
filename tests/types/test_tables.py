"""Features, Spikes, Split, FitRecord, Result and the storage of tables."""

from __future__ import annotations

import json
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Recording, Result, Spikes, Split, hash_ids
from braindec.types.storage import read_table, to_json, write_table

VALUES = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
IDS = ["dog", "cat", "bus", "car", "sun", "ice"]


def test_features_by_id_in_any_order_with_repeats():
    features = Features.from_array(VALUES, IDS, model="clip")
    np.testing.assert_array_equal(features.of(["ice", "dog", "ice"]), VALUES[[5, 0, 5]])
    assert features.rows_of(["bus"]).tolist() == [2] and features.shape == (6, 4) and features.info["model"] == "clip"
    np.testing.assert_array_equal(features[[4, 1]].load(), VALUES[[4, 1]])
    assert features[[4, 1]].ids.tolist() == ["sun", "cat"]


def test_a_stimulus_without_features_is_named_with_the_nearest():
    with pytest.raises(BraindecError, match="'busx'.*\n?.*bus"):
        Features.from_array(VALUES, IDS).of(["dog", "busx"])
    with pytest.raises(BraindecError, match="stands twice"):
        Features.from_array(VALUES, ["a", "a", "b", "c", "d", "e"]).of(["b"])


def test_numbers_as_ids_are_text():
    assert Features.from_array(VALUES, range(6)).of([3]).tolist() == VALUES[[3]].tolist()


def test_features_are_saved_and_opened_from_disk(tmp_path):
    units = pd.DataFrame({"layer": [1, 1, 2, 2], "region": list("abcd")})
    features = Features(VALUES, pd.DataFrame({"stimulus_id": IDS, "concept_id": list("xxyyzz")}), units, {"model": "m"})
    opened = features.save(tmp_path / "f.h5")
    np.testing.assert_array_equal(opened.load([5, 0, 0]), VALUES[[5, 0, 0]])
    pd.testing.assert_frame_equal(opened.items, features.items, check_dtype=False)
    pd.testing.assert_frame_equal(opened.units, units, check_dtype=False)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(opened)).load(), VALUES)
    with pytest.raises(BraindecError, match="not hold features"):
        Features.open(
            Recording(VALUES, 1.0, pd.DataFrame({"name": list("abcdef")})).save(tmp_path / "r.h5").signal.path
        )


@pytest.mark.parametrize(
    ("items", "match"), [({"stimulus_id": IDS[:5]}, "differ in number"), ({"name": IDS}, "stimulus_id")]
)
def test_features_refuse(items, match):
    with pytest.raises(BraindecError, match=match):
        Features(VALUES, pd.DataFrame(items))


def test_spike_counts_against_a_histogram():
    rng = np.random.default_rng(3)
    times, unit = np.sort(rng.uniform(2.0, 5.0, 400)), rng.integers(0, 3, 400)
    spikes = Spikes(
        times, unit, pd.DataFrame(index=range(3)), 2.0, 5.05, pd.DataFrame({"onset": [2.5], "duration": [0.1]})
    )
    counts = spikes.counts(0.1)
    assert (
        counts.sfreq == pytest.approx(10.0)
        and counts.n_times == 30
        and counts.ch_names == ["unit000", "unit001", "unit002"]
    )
    for u in range(3):
        expected = np.histogram(times[unit == u], bins=2.0 + 0.1 * np.arange(31))[0]
        np.testing.assert_array_equal(counts.load()[u], expected)
    assert counts.events["onset"].tolist() == pytest.approx([0.5])


def test_spikes_on_bin_edges_fall_into_the_bin_they_start():
    times = np.arange(0, 1, 0.01)  # 0.29 / 0.01 is 28.999999999999996 in floating point
    counts = Spikes(times, np.zeros(100, int), pd.DataFrame(index=range(1)), 0.0, 1.0).counts(0.01)
    np.testing.assert_array_equal(counts.load(), np.ones((1, 100)))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"times": [2.0, 1.0]}, "sorted"),
        ({"times": [1.0, np.nan]}, "finite"),
        ({"times": [1.0, 11.0]}, "outside the observed"),
        ({"unit": [0, 5]}, "unknown unit"),
        ({"unit": [0]}, "differ in number"),
        ({"stop": 0.0}, "start < stop"),
    ],
)
def test_spikes_refuse(changes, match):
    parts = {"times": [1.0, 2.0], "unit": [0, 1], "units": pd.DataFrame(index=range(2)), "start": 0.0, "stop": 10.0}
    with pytest.raises(BraindecError, match=match):
        Spikes(**{**parts, **changes})


def test_bins_longer_than_the_stretch_are_refused():
    with pytest.raises(BraindecError, match="do not fit"):
        Spikes([1.0], [0], pd.DataFrame(index=range(1)), 0.0, 2.0).counts(3.0)


def test_split_owns_its_rows():
    ids = np.array([f"w{i}" for i in range(6)])
    split = Split([3, 0, 1], [4], [5, 2], "run", ids)
    assert split.train.tolist() == [0, 1, 3] and split.hash == Split([1, 0, 3], [4], [2, 5], "run", ids).hash
    assert split.hash != Split([0, 1, 3], [], [2, 5], "run", ids).hash
    for parts, match in (
        (([0, 1], [], [1, 2]), "share 1 rows"), (([0], [2], [2]), "share"), (([], [], [1]), "empty"), (([0], [], []), "empty"),
        (([0], [], [9]), "outside"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=match):
            Split(*parts, "run", ids)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=20))
def test_hash_ids_ignores_order_and_repetition_only(ids):
    assert hash_ids(ids) == hash_ids([*reversed(ids), ids[0]])
    assert hash_ids(ids) != hash_ids([*ids, "a name that is longer than five"])


def test_fit_record_says_what_it_saw():
    record = FitRecord.of("Scaler", ["a", "b"])
    assert record.step == "Scaler" and record.hash == hash_ids(["b", "a"]) and record.purpose == "fit"
    assert FitRecord.of(object(), None, purpose="selection").ids.tolist() == []


SCORE = {"metric": "auc", "value": 0.7, "chance": 0.5, "low": 0.6, "high": 0.8, "n": 40, "subject": "01"}


def test_result_round_trip_keeps_bytes_and_arrays(tmp_path):
    arrays = {"confusion": np.eye(2), "curve/k": np.arange(3), "names": np.array(["a", "b"])}
    result = Result(pd.DataFrame([SCORE]), arrays, {"config": {"x": np.float64(1.5)}, "list": (1, 2)})
    folder = result.save(tmp_path / "one")
    opened = Result.open(folder)
    assert opened.scores.loc[0, "subject"] == "01" and opened.scores.loc[0, "value"] == 0.7
    np.testing.assert_array_equal(opened.arrays["curve/k"], [0, 1, 2])
    assert opened.arrays["names"].tolist() == ["a", "b"] and opened.made_by["config"]["x"] == 1.5
    again = opened.save(tmp_path / "two")
    for name in ("scores.csv", "made_by.json"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()
    with pytest.raises(BraindecError, match="holds no result"):
        Result.open(tmp_path)


@pytest.mark.parametrize("column", ["value", "chance", "low", "high", "n"])
def test_a_decoded_score_never_stands_alone(column):
    with pytest.raises(BraindecError, match=column):
        Result(pd.DataFrame([{**SCORE, column: np.nan}]))
    decoded, control = {**SCORE, "row": "decoded"}, {**SCORE, "row": "label_shuffle", column: np.nan}
    assert len(Result(pd.DataFrame([decoded, control])).scores) == 2  # a control may lack it


def test_empty_results_concatenate_to_a_table_with_columns():
    table = Result.concat([])
    assert "metric" in table and len(table) == 0


def test_tables_survive_storage(tmp_path):
    table = pd.DataFrame({
        "text": ["a", "ü", "n/a"], "float": [1.5, np.nan, -np.inf], "int": [1, 2, 3], "flag": [True, False, True],
        "mixed": ["a", 1, None], "lists": [[1.0, 2.0], [], [3.0]],
    })  # fmt: skip
    with h5py.File(tmp_path / "t.h5", "w") as file:
        write_table(file, "t", table)
        write_table(file, "none", pd.DataFrame({"onset": [], "duration": []}))
        back, empty = read_table(file, "t"), read_table(file, "none")
    pd.testing.assert_frame_equal(back, table)
    assert list(empty) == ["onset", "duration"] and len(empty) == 0


def test_nothing_that_runs_is_stored():
    assert json.loads(to_json({"a": np.int64(3), "b": np.array([1.0])})) == {"a": 3, "b": [1.0]}
    with pytest.raises(BraindecError, match="cannot be stored"):
        to_json({"a": print})
