"""Windows that cannot be fused, and encoders of fused windows that cannot be built, are said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from braindec.encoders.cinesync import CineSync
from braindec.errors import BraindecError
from braindec.loaders.scenes import scene_pictures
from braindec.loaders.synthetic_scenes import scene_fmri
from braindec.signal.fusion import fuse_windows


def test_parts_that_cannot_be_fused_are_said():
    windows = scene_fmri(scene_pictures(12, size=8), runs=2, n_voxels=20)
    trials = windows.trials.copy()
    trials.loc[0, "stimulus_id"] = None
    bad = {
        "by the names": [windows, windows], "by the names of": {"a": windows, "b": "text"}, "two modalities": {"a": windows},
        "no windows of 'b'": {"a": windows, "b": windows[[]]}, "have no stimulus_id": {"a": windows, "b": replace(windows, trials=trials)},
    }  # fmt: skip
    for says, parts in bad.items():
        with pytest.raises(BraindecError, match=says):
            fuse_windows(parts)
    assert fuse_windows({"a": windows, "b": windows[3:]}).info["left_out"] == {"a": 3}


@pytest.mark.parametrize(
    "options", [{"parts": "a"}, {"n_frames": 2.5}, {"dropout": 3}, {"n_heads": 0}, {"width": "a"}, {"n_tokens": 0}]
)
def test_sizes_that_cannot_be_are_said(options):
    with pytest.raises(BraindecError):
        CineSync(**{"n_chans": 4, "n_times": 10, "dim": 3, **options})
