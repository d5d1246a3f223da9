"""Small recordings made from arrays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.types import Recording


@pytest.fixture
def make_recording():
    """Return a function that makes a recording of ``data`` (channel, time), or of noise."""

    def make(
        data=None,
        *,
        sfreq=100.0,
        names=None,
        types="eeg",
        events=None,
        n_channels=3,
        n_times=1000,
        seed=0,
        status=None,
        **info,
    ):
        if data is None:
            data = np.random.default_rng(seed).normal(size=(n_channels, n_times)).astype(np.float32)
        names = names or [f"c{i}" for i in range(data.shape[0])]
        channels = pd.DataFrame({"name": names, "type": types, "unit": "V", "status": status or "good"})
        extra = {} if events is None else {"events": pd.DataFrame(events)}
        return Recording(data, sfreq, channels, info=info, **extra)

    return make
