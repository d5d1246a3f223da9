"""Electrodes in the brain: places, space, head. Each fault is one message."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.electrodes import check_electrodes, electrode_places
from braindec.types import Recording

RNG = np.random.default_rng(0)
GOOD = RNG.uniform(-0.04, 0.04, (6, 3))


def recording(places=GOOD, kind="seeg", space="MNI152NLin2009cAsym"):
    names = [f"LA{i + 1}" for i in range(len(places))]
    channels = pd.DataFrame({"name": names, "type": kind, "unit": "V", **dict(zip("xyz", np.asarray(places).T, strict=True))})  # fmt: skip
    return Recording(np.zeros((len(places), 100)), 100.0, channels, info={"subject": "01", "space": space})


def moved(row, place):
    places = GOOD.copy()
    places[row] = place
    return places


def test_good_places_pass():
    found = check_electrodes(recording(), template=True, all_of_them=True)
    assert found.is_template and len(found.names) == 6 and not found.without and not found.outside
    assert check_electrodes(recording(space="ACPC")).space == "ACPC"


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (recording(GOOD * np.nan), {}, "6 of 6 electrodes have no position"),
        (recording(moved(2, np.nan)), {"all_of_them": True}, "1 of 6 electrodes have no position\n  found:   LA3"),
        (recording(space=None), {}, "unknown space"),
        (recording(space="Other"), {}, "unknown space"),
        (recording(space="ScanRAS"), {"template": True}, "not in that of a template brain"),
        (recording(moved(1, (0.0, 0.12, 0.0))), {}, "1 of 6 electrodes lie outside the head\n  found:   LA2"),
        (recording(1000 * GOOD), {}, "outside the head"),
        (recording(moved(1, (0.0, 0.3, 0.0)), space="ACPC"), {}, "outside the head\n  found:   LA2"),
        (recording(kind="eeg"), {}, "no electrodes in the brain"),
    ],
)
def test_each_fault_is_one_message(made, options, message):
    with pytest.raises(BraindecError, match=message):
        check_electrodes(made, **options)


def test_corners_of_the_template_brain_are_inside():
    """The outermost brain voxels of MNI152 on each axis, in m."""
    extremes = [(-0.071, -0.02, 0.01), (0.071, -0.02, 0.01), (0, 0.073, 0), (0, -0.106, 0), (0, -0.02, 0.081), (0, -0.04, -0.068)]  # fmt: skip
    assert not electrode_places(recording(np.array(extremes))).outside
