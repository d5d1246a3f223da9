"""Distances and synchrony by one CUDA thread a pair are those of the processor and of the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.kernels.isi_distance import isi_distance
from braindec.kernels.spike_distance import spike_distance
from braindec.kernels.spike_synchrony import coincidences
from braindec.kernels.sttc import tile_counts
from braindec.kernels.van_rossum import van_rossum
from braindec.kernels.victor_purpura import victor_purpura

ENDS = {"start": 100.0, "stop": 102.0}
CALLS = {
    "victor_purpura-0.1": lambda *a, **k: victor_purpura(*a, cost=0.1, **k),
    "victor_purpura-3": lambda *a, **k: victor_purpura(*a, cost=3.0, **k),
    "victor_purpura-60": lambda *a, **k: victor_purpura(*a, cost=60.0, **k),
    "victor_purpura-inf": lambda *a, **k: victor_purpura(*a, cost=np.inf, **k),
    "van_rossum-0.003": lambda *a, **k: van_rossum(*a, tau=0.003, **k),
    "van_rossum-0.4": lambda *a, **k: van_rossum(*a, tau=0.4, **k),
    "isi_distance": lambda *a, **k: isi_distance(*a, **ENDS, **k),
    "spike_distance": lambda *a, **k: spike_distance(*a, **ENDS, **k),
    "spike_synchrony": lambda *a, **k: coincidences(*a, **ENDS, **k),
    "sttc": lambda *a, **k: tile_counts(*a, **ENDS, dt=0.05, **k)[0],
}


@pytest.mark.parametrize("name", CALLS)
def test_cuda_version_agrees(name):
    rng = np.random.default_rng(0)
    trains = [np.sort(100 + np.round(rng.uniform(0, 2, n), 2)) for n in (13, 1, 0, 17, 9)]  # ties between trains
    flat, offsets = np.concatenate(trains), np.append(0, np.cumsum([len(t) for t in trains]))
    found = CALLS[name](flat, offsets, backend="cuda")
    assert found.any()
    np.testing.assert_allclose(found, CALLS[name](flat, offsets, backend="numba"), rtol=0, atol=1e-12)
    # near 0 the double sums of van Rossum's distance cancel
    np.testing.assert_allclose(found, CALLS[name](flat, offsets, backend="numpy"), rtol=0, atol=1e-7)


def test_pairs_beyond_the_number_of_threads_get_a_turn(monkeypatch):
    from braindec.kernels import _pairs

    monkeypatch.setattr(_pairs, "_LANES", 8)
    monkeypatch.setattr(_pairs, "_BLOCK", 8)
    flat, offsets = np.sort(np.random.default_rng(1).uniform(100, 102, 24)), np.arange(0, 25, 3)
    for name in ("victor_purpura-3", "spike_distance", "sttc"):  # 28 pairs, or 64 in either order
        found = CALLS[name](flat, offsets, backend="cuda")
        np.testing.assert_allclose(found, CALLS[name](flat, offsets, backend="numba"), rtol=0, atol=1e-12)


def test_one_unit_has_no_pairs():
    assert victor_purpura([1.0, 2.0], [0, 2], cost=1.0, backend="cuda").tolist() == [[0.0]]
