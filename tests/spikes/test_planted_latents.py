"""Planted latents and assemblies: rates follow the tuning that was planted."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.planted_latents import planted_assemblies, planted_latents


def test_a_ring_is_gone_around_and_units_are_tuned_to_it():
    made = planted_latents("ring", n_sessions=2, n_units=12, seconds=200, rng=0)
    assert len(made.spikes) == 2 and made.place[0].shape == (4000, 2)
    np.testing.assert_allclose(np.hypot(*made.place[0].T), 1)
    for angle, spikes in zip(made.angle, made.spikes, strict=True):
        assert (
            np.abs(np.unwrap(angle)[-1] - angle[0]) > 0
            and np.bincount(((angle + np.pi) / np.pi * 4).astype(int), minlength=8).min() > 50
        )
        counts = spikes.counts(made.width).signal.read()
        width = 2 * np.pi / 12
        tuned = np.stack([counts[:, ((angle + np.pi) // width) == k].mean(1) for k in range(12)], 1) / made.width
        assert (tuned.max(1) > 8).all() and (tuned.min(1) < 4).all()
    assert not np.allclose(made.angle[0], made.angle[1])
    same = planted_latents("ring", seconds=60, same_path=True, rng=0)
    assert np.array_equal(same.angle[0], same.angle[1])


def test_planes_have_walls_and_lorenz_two_wings():
    plane = planted_latents("plane", n_sessions=1, seconds=300, rng=0).place[0]
    assert np.abs(plane).max() <= 1 and plane.std(axis=0).min() > 0.3
    lorenz = planted_latents("lorenz", n_sessions=1, seconds=60, rng=0).place[0]
    assert np.abs(lorenz).max() == pytest.approx(1) and np.corrcoef(lorenz[:, 0], lorenz[:, 1])[0, 1] > 0.8
    assert np.sum(np.diff(np.sign(lorenz[:, 0])) != 0) > 10


def test_the_same_seed_and_bad_input():
    a, b = (planted_latents(seconds=60, rng=4).spikes[1].times for _ in range(2))
    assert np.array_equal(a, b)
    with pytest.raises(BraindecError, match="lorenz"):
        planted_latents("lorentz")
    with pytest.raises(BraindecError, match="rate"):
        planted_latents(rate=0)
    with pytest.raises(BraindecError, match="common"):
        planted_assemblies(common=1.5)


def test_assemblies_keep_every_rate():
    made = planted_assemblies(n_units=12, n_recordings=2, n_windows=6, window=20.0, rate=8.0, common=0.8, rng=0)
    rates = [np.bincount(s.unit, minlength=12) / s.duration for s in made.spikes]
    assert np.abs(np.array(rates) - 8).max() < 1.5
    assert (
        made.members.shape == (2, 12)
        and made.active.shape == (6, 2)
        and np.bincount(made.members[0]).tolist() == [4, 4, 4]
    )
