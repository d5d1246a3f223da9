"""Pictures refuse what could only be read wrongly, and say so once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.types import Pictures

_VALUES = np.random.default_rng(0).random((4, 8, 8, 3)).astype(np.float32)
_IDS = list("abcd")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Pictures.from_arrays(_VALUES, ["a", None, "c", "d"]), "without a stimulus_id"),
        (lambda: Pictures.from_arrays(_VALUES, _IDS, concept_id=["x"]), "differ in number"),
        (lambda: Pictures.from_arrays(_VALUES, _IDS[:3]), "differ in number"),
        (lambda: Pictures(_VALUES, {"stimulus_id": _IDS}), "a table of items"),
        (lambda: Pictures(_VALUES.tolist(), pd.DataFrame({"stimulus_id": _IDS})), "an array of values"),
        (lambda: Pictures.from_arrays(_VALUES, _IDS)[[]], "there are no pictures"),
        (lambda: Pictures.from_arrays(_VALUES, _IDS, frame_rate=-1), "frame_rate"),
        (lambda: Pictures.from_arrays(_VALUES, _IDS, frame_rate="8"), "frame_rate"),
        (lambda: Pictures.from_arrays(_VALUES + 1j, _IDS).load(), "must be numbers"),
        (lambda: Pictures.from_arrays(_VALUES.astype(str), _IDS).load(), "must be numbers"),
        (lambda: Pictures.from_arrays((_VALUES * 65535).astype(np.uint16), _IDS).load(), "uint16"),
        (lambda: Pictures.from_arrays(_VALUES * np.nan, _IDS).load(), "not finite"),
        (lambda: Pictures.from_arrays(_VALUES, ["a", "a", "b", "c"]), "stands twice"),
    ],
)
def test_bad_pictures_are_refused_in_one_message(make, says):
    with pytest.raises(BraindecError, match=says):
        make()


def test_no_rows_give_no_pictures_and_ids_may_be_numbers():
    found = Pictures.from_arrays(_VALUES, [1, 2, 3, 4])
    assert found.load([]).shape == (0, 8, 8, 3) and found.of([]).shape == (0, 8, 8, 3)
    np.testing.assert_array_equal(found.of([3, "1"]), _VALUES[[2, 0]])
