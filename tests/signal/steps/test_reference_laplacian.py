"""Laplacian reference against its closed form."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.steps.reference import reference
from braindec.types import Recording


def shafts(names, status="good", types="seeg", seed=0):
    data = np.random.default_rng(seed).normal(size=(len(names), 200)).astype(np.float32)
    channels = pd.DataFrame(
        {"name": names, "type": types, "unit": "V", "status": status, "region": "r", "x": np.arange(len(names)) / 100}
    )
    return Recording(data, 100.0, channels, info={"subject": "01"}), data.astype(float)


def test_a_contact_minus_the_mean_of_its_neighbours():
    recording, x = shafts(["A1", "A2", "A3", "A4", "B1", "B2", "ECG"], types=["seeg"] * 6 + ["ecg"])
    out = reference(recording, kind="laplacian")
    assert out.ch_names == recording.ch_names and out.info["reference"] == "laplacian"
    wanted = [
        x[0] - x[1],
        x[1] - (x[0] + x[2]) / 2,
        x[2] - (x[1] + x[3]) / 2,
        x[3] - x[2],
        x[4] - x[5],
        x[5] - x[4],
        x[6],
    ]
    np.testing.assert_allclose(out.load(), wanted, atol=1e-6)
    assert (
        np.array_equal(out.positions[:, 0], recording.positions[:, 0]) and list(out.channels["region"][:6]) == ["r"] * 6
    )
    assert "A1, A4, B1, B2" in out.info["warnings"][0]
    dropped = reference(recording, kind="laplacian", ends="drop")
    assert dropped.ch_names == ["A2", "A3", "ECG"]
    np.testing.assert_allclose(dropped.load(), [wanted[1], wanted[2], x[6]], atol=1e-6)
    assert "A1, A4, B1, B2" in dropped.info["warnings"][0] and "left out" in dropped.info["warnings"][0]


def test_a_straight_line_along_the_shaft_vanishes_inside_it():
    names = [f"LA'{k}" for k in (3, 1, 2, 10, 5, 4)]
    recording, _ = shafts(names)
    depth = np.array([3, 1, 2, 10, 5, 4], dtype=float)
    line = Recording(np.outer(depth, np.ones(50)).astype(np.float32), 100.0, recording.channels)
    out = reference(line, kind="laplacian", ends="drop")
    assert out.ch_names == ["LA'3", "LA'2", "LA'4"], "by number, not by place in the table; 10 has no neighbour"
    np.testing.assert_allclose(out.load(), 0, atol=1e-5)


def test_bad_contacts_are_no_neighbours():
    recording, x = shafts(["A1", "A2", "A3", "A4"], status=["good", "good", "bad", "good"])
    out = reference(recording, kind="laplacian")
    assert out.ch_names == ["A1", "A2"]
    np.testing.assert_allclose(out.load(), [x[0] - x[1], x[1] - x[0]], atol=1e-6)
    assert "A3, A4" in out.info["warnings"][-1]
    with pytest.raises(BraindecError, match="2 good neighbours"):
        reference(recording, kind="laplacian", ends="drop")


def test_what_all_contacts_share_is_gone():
    recording, _ = shafts(["A1", "A2", "A3"])
    common = Recording(recording.load() + 7.0, 100.0, recording.channels)
    np.testing.assert_allclose(
        reference(common, kind="laplacian").load(), reference(recording, kind="laplacian").load(), atol=1e-5
    )


def test_refusals():
    recording, _ = shafts(["x", "y", "z"])
    with pytest.raises(BraindecError, match="no contact has 1 good neighbour by name"):
        reference(recording, kind="laplacian")
    with pytest.raises(BraindecError, match="did you mean 'laplacian'"):
        reference(recording, kind="laplacain")
    with pytest.raises(BraindecError, match="one-sided, drop"):
        reference(recording, kind="laplacian", ends="keep")
