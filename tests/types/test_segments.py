"""Segments: pieces of feature series, cut lazily."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.types import Recording, Segments


def series(name, n_times=100, sfreq=10.0, n_units=2):
    values = np.arange(n_units)[:, None] * 1000.0 + np.arange(n_times) + (500 if name == "b" else 0)
    channels = pd.DataFrame({"name": [f"u{i}" for i in range(n_units)], "type": "misc", "unit": "a.u."})
    return Recording(values, sfreq, channels)


SERIES = {"a": series("a"), "b": series("b", 60)}


def items(**columns):
    return pd.DataFrame(
        {"stimulus_id": ["p", "q", "r"], "audio": ["a", "b", "a"], "start": [0.0, 1.0, 4.96], **columns}
    )


def test_pieces_are_those_of_the_series():
    cut = Segments.cut(SERIES, items(text=["x", "y", "z"]), duration=2.0)
    assert cut.shape == (3, 2, 20) and cut.sfreq == 10 and list(cut.items["text"]) == ["x", "y", "z"]
    np.testing.assert_array_equal(cut.load()[1], SERIES["b"].signal.read()[:, 10:30])
    np.testing.assert_array_equal(cut.of(["r", "p", "r"])[[0, 2], 0, 0], [50, 50])  # 4.96 s is nearest to sample 50
    assert cut.units == ["u0", "u1"] and list(cut.ids) == ["p", "q", "r"] and len(cut[1:]) == 2


def test_an_item_that_stands_twice_is_one_segment_and_two_places_are_refused():
    twice = pd.concat([items(), items()], ignore_index=True)
    assert len(Segments.cut(SERIES, twice, duration=1.0)) == 3
    twice.loc[3, "start"] = 2.0
    with pytest.raises(BraindecError, match="'p' is at two places"):
        Segments.cut(SERIES, twice, duration=1.0)


def test_the_mean_over_time_is_features():
    cut = Segments.cut(SERIES, items(), duration=2.0)
    features = cut.mean()
    assert features.shape == (3, 2) and list(features.ids) == ["p", "q", "r"]
    np.testing.assert_allclose(features.of(["q"]), [[500 + 19.5, 1500 + 19.5]])


@pytest.mark.parametrize(
    ("change", "duration", "message"),
    [
        ({"start": [0.0, 5.5, 1.0]}, 1.0, "1 of 3 segments leave their sound"),
        ({"start": [-0.2, 1.0, 1.0]}, 1.0, "leave their sound"),
        ({"audio": ["a", "bb", "a"]}, 1.0, "no series of features for 'bb'"),
        ({}, 0.01, "no sample"),
    ],
)
def test_refusals(change, duration, message):
    with pytest.raises(BraindecError, match=message):
        Segments.cut(SERIES, items(**change), duration=duration)


def test_missing_columns_and_ids_are_named():
    with pytest.raises(BraindecError, match="'start'"):
        Segments.cut(SERIES, items().drop(columns="start"), duration=1.0)
    cut = Segments.from_array(np.zeros((2, 3, 4)), ["m", "n"], sfreq=5.0)
    with pytest.raises(BraindecError, match="1 stimulus ids of the trials"):
        cut.of(["m", "o"])
    with pytest.raises(BraindecError, match="twice"):
        Segments.from_array(np.zeros((2, 3, 4)), ["m", "m"], sfreq=5.0)
