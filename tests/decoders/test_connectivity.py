"""Connectivity as a decoder: a planted connection with a delay is found, mixing without delay is not mistaken for one."""

from __future__ import annotations

import numpy as np

from braindec.decoders.connectivity import Connectivity
from braindec.types import Windows


def connected(n=60, delay=3, seed=0):
    """In class "on" channel 1 follows channel 0 by some samples; power is the same in both classes."""
    rng = np.random.default_rng(seed)
    y = np.tile(["off", "on"], n // 2)
    X = rng.normal(size=(n, 5, 300 + delay))
    both = np.where(y == "on")[0]
    X[both, 1, delay:] = (
        0.8 * X[both, 0, :-delay] + 0.6 * X[both, 1, delay:] if delay else 0.8 * X[both, 0] + 0.6 * X[both, 1]
    )
    return Windows.from_arrays(X[:, :, delay:].astype("float32"), {"trial_type": y}, sfreq=100.0), y


def test_a_delayed_connection_is_found_by_all_measures():
    windows, y = connected()
    for measure in ("imaginary_coherence", "coherence", "wpli"):
        for features in ("edges", "strength"):
            decoder = Connectivity(measure, features=features).fit(windows[:40], y[:40])
            assert decoder.score(windows[40:], y[40:]) > 0.7, (measure, features)


def test_mixing_without_delay_is_seen_by_coherence_alone():
    windows, y = connected(delay=0)
    assert Connectivity("coherence", features="edges").fit(windows[:40], y[:40]).score(windows[40:], y[40:]) > 0.85
    assert Connectivity(features="edges").fit(windows[:40], y[:40]).score(windows[40:], y[40:]) < 0.8
