"""Motion seen in images: known displacements of a smooth volume are found to a few percent."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, shift

from braindec.errors import BraindecError
from braindec.signal.motion import estimate_motion
from braindec.types import Recording


def moving(shape, moves, size=3.0, seed=0):
    """A smooth volume displaced by ``moves`` (n, 3) mm, as a recording of its inner voxels."""
    volume = 100 + 40 * gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5) / 0.05
    frames = np.stack([shift(volume, np.array(m) / size, order=3, mode="nearest") for m in moves])
    mask = np.zeros(shape, bool)
    mask[tuple(slice(2, -2) if n > 4 else slice(None) for n in shape)] = True
    place = np.argwhere(mask)
    affine = np.diag([size, size, size, 1.0])
    mm = place * size / 1e3
    channels = pd.DataFrame(
        {"name": [f"v{k}" for k in range(len(place))], "type": "voxel", "x": mm[:, 0], "y": mm[:, 1], "z": mm[:, 2]}
    )
    return Recording(frames[:, mask].T, 0.5, channels, info={"grid": list(shape), "affine": affine.tolist()})


def test_displacements_are_found():
    moves = np.random.default_rng(1).uniform(-0.3, 0.3, (40, 3))
    found, names = estimate_motion(moving((16, 18, 14), moves))
    assert names == ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    true = moves - moves.mean(axis=0)
    for axis in range(3):
        assert np.corrcoef(found[:, axis], true[:, axis])[0, 1] > 0.99
        assert np.polyfit(true[:, axis], found[:, axis], 1)[0] == pytest.approx(1.0, abs=0.15)
    assert np.abs(found[:, 3:]).max() < 0.01


def test_one_slice_moves_in_its_plane():
    moves = np.random.default_rng(2).uniform(-0.3, 0.3, (30, 3)) * [1, 1, 0]
    found, names = estimate_motion(moving((30, 24, 1), moves))
    assert names == ["trans_x", "trans_y", "rot_z"]
    assert np.corrcoef(found[:, 0], moves[:, 0])[0, 1] > 0.98


def test_brightness_is_no_motion():
    still = moving((16, 18, 14), np.zeros((20, 3)))
    gain = 1 + 0.05 * np.random.default_rng(3).standard_normal(20)
    brighter = Recording(np.asarray(still.signal.read()) * gain, 0.5, still.channels, info=still.info)
    assert np.abs(estimate_motion(brighter)[0][:, :3]).max() < 0.01  # mm


def test_what_has_no_grid_is_refused():
    channels = pd.DataFrame({"name": ["a", "b"], "type": "parcel"})
    with pytest.raises(BraindecError, match="voxels on a grid"):
        estimate_motion(Recording(np.zeros((2, 5)), 0.5, channels))


def test_voxels_without_numbers_do_not_count():
    moves = np.random.default_rng(1).uniform(-0.3, 0.3, (40, 3))
    still = moving((16, 18, 14), moves)
    data = np.array(still.signal.read(), dtype=np.float32)
    data[7, 3] = np.nan
    lost = Recording(data, 0.5, still.channels, info=still.info)
    whole = estimate_motion(still)[0]
    assert np.abs(estimate_motion(lost)[0] - whole).max() < 0.01
    for values in (np.full_like(data, np.nan), np.ones_like(data)):
        with pytest.raises(BraindecError, match="no voxel ever changes"):
            estimate_motion(Recording(values, 0.5, still.channels, info=still.info))


@pytest.mark.parametrize(
    "change", [{"grid": [3, 3, 3]}, {"grid": [16, 18]}, {"affine": np.diag([0.0, 1, 1, 1]).tolist()}]
)
def test_voxels_that_do_not_lie_on_their_grid_are_refused(change):
    still = moving((16, 18, 14), np.zeros((5, 3)))
    place = np.indices((16, 18, 14)).reshape(3, -1)
    channels = still.channels.assign(**dict(zip("ijk", place[:, : still.n_channels], strict=True)))
    with pytest.raises(BraindecError, match="do not lie on its grid"):
        estimate_motion(Recording(still.signal, 0.5, channels, info={**still.info, **change}))
