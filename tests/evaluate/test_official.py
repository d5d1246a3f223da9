"""Official parts where the trials name them, else parts by content."""

import numpy as np

from braindec.evaluate.official import official_or_content_split, official_split
from braindec.evaluate.splits import content_split
from braindec.types import Windows


def windows(**columns):
    ids = [f"s{i:02d}" for i in range(40)] * 2
    return Windows.from_arrays(np.zeros((80, 1, 2), "float32"), {"stimulus_id": ids, **columns}, sfreq=1.0)


def test_the_column_counts_where_it_is_there():
    part = np.where(np.arange(80) % 40 < 30, "train", "test")
    given = windows(part=part)
    found = official_or_content_split(given, "part", by="stimulus_id", test=0.5, validation=0.2, seed=3)
    same = official_split(given, "part", validation_by="stimulus_id", validation=0.2, seed=3)
    for a, b in ((found.train, same.train), (found.validation, same.validation), (found.test, same.test)):
        assert np.array_equal(a, b) and len(a)
    assert set(part[found.test]) == {"test"} and set(part[found.train]) == {"train"}


def test_without_it_contents_are_held_out():
    given = windows()
    for column in ("part", None):
        found = official_or_content_split(given, column, by="stimulus_id", test=0.25, seed=1)
        assert np.array_equal(found.test, content_split(given, "stimulus_id", test=0.25, validation=0.0, seed=1).test)
        shown = given.trials["stimulus_id"].to_numpy()
        assert not set(shown[found.test]) & set(shown[found.train]) and len(found.test) and not len(found.validation)
