"""Distances of Spikes: matrices with names, gaps in the support, silent units, profiles, averages, wrong input."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.kernels.isi_distance import isi_distance
from braindec.kernels.spike_distance import spike_distance
from braindec.kernels.spike_synchrony import spike_synchrony
from braindec.kernels.sttc import sttc
from braindec.kernels.van_rossum import van_rossum
from braindec.kernels.victor_purpura import victor_purpura
from braindec.spikes.distances import (
    average_distance,
    average_synchrony,
    distance_matrix,
    distance_profile,
    sttc_matrix,
    synchrony_matrix,
    synchrony_profile,
)
from braindec.types import Spikes

MEASURES = [
    ("victor_purpura", {"cost": 5.0}),
    ("van_rossum", {"tau": 0.1}),
    ("isi_distance", {}),
    ("spike_distance", {}),
]


def made(n_units=4, *, start=0.0, stop=30.0, seed=0, rate=4.0):
    rng = np.random.default_rng(seed)
    return Spikes.from_trains(
        [rng.uniform(start, stop, int(rate * (stop - start)) + 3 * k) for k in range(n_units)], start=start, stop=stop
    )


@pytest.mark.parametrize(("measure", "options"), MEASURES)
def test_matrices_carry_names_and_the_values_of_the_kernels(measure, options):
    spikes = made()
    found = distance_matrix(spikes, measure, **options)
    assert list(found.index) == list(found.columns) == list(spikes.units["name"])
    kernel = {"victor_purpura": victor_purpura, "van_rossum": van_rossum, "isi_distance": isi_distance,
              "spike_distance": spike_distance}[measure]  # fmt: skip
    ends = {} if options else {"start": 0.0, "stop": 30.0}
    np.testing.assert_array_equal(found, kernel(*spikes.trains(), **ends, **options))
    upper = found.to_numpy()[np.triu_indices(4, 1)]
    assert average_distance(spikes, measure, **options) == pytest.approx(upper.mean())
    np.testing.assert_allclose(distance_matrix(spikes, measure, backend="numpy", **options), found, atol=1e-9)


def test_similarities():
    spikes = made()
    flat, offsets = spikes.trains()
    np.testing.assert_array_equal(sttc_matrix(spikes, dt=0.01), sttc(flat, offsets, start=0, stop=30, dt=0.01))
    np.testing.assert_array_equal(synchrony_matrix(spikes), spike_synchrony(flat, offsets, start=0, stop=30))
    profile = synchrony_profile(spikes, "unit001", 3)
    assert profile["coincident"].mean() == pytest.approx(synchrony_matrix(spikes).loc["unit001", "unit003"])
    assert set(profile["unit"]) == {"unit001", "unit003"}


def test_each_interval_of_the_support_is_a_recording_of_its_own():
    whole = made(stop=60.0, seed=1)
    gaps = whole.restrict([[0.0, 10.0], [25.0, 30.0], [45.0, 60.0]])
    parts = [whole.restrict([piece]) for piece in gaps.support]
    weights = np.array([10.0, 5.0, 15.0]) / 30

    def values(measure, **options):
        return np.array([distance_matrix(p, measure, **options).to_numpy() for p in parts])

    np.testing.assert_allclose(
        distance_matrix(gaps, "victor_purpura", cost=1.0), values("victor_purpura", cost=1.0).sum(axis=0)
    )
    np.testing.assert_allclose(
        distance_matrix(gaps, "van_rossum", tau=1.0) ** 2, (values("van_rossum", tau=1.0) ** 2).sum(axis=0)
    )
    for measure in ("isi_distance", "spike_distance"):
        expected = np.tensordot(weights, values(measure), 1)
        np.testing.assert_allclose(distance_matrix(gaps, measure), expected)
        profile = distance_profile(gaps, measure, units=[0, 2])
        assert not ((profile["start"] < 25) & (profile["stop"] > 10)).any()  # nothing in the gap
        mean = np.average((profile["begin"] + profile["end"]) / 2, weights=profile["stop"] - profile["start"])
        assert mean == pytest.approx(expected[0, 2])
    n = np.array([[len(p.train(u)) for u in range(4)] for p in parts])
    both = n[:, :, None] + n[:, None, :]
    expected = (np.array([synchrony_matrix(p) for p in parts]) * both).sum(axis=0) / both.sum(axis=0)
    np.testing.assert_allclose(synchrony_matrix(gaps), expected)
    # intervals that touch are one
    touching = Spikes(whole.times, whole.unit, whole.units, 0.0, 60.0, support=[[0.0, 20.0], [20.0, 60.0]])
    for measure, options in MEASURES:
        np.testing.assert_array_equal(distance_matrix(touching, measure, **options),
                                      distance_matrix(whole, measure, **options))  # fmt: skip


def test_nothing_reaches_across_a_gap():
    train, other = [1.0, 9.99], [2.0, 20.01]
    spikes = Spikes.from_trains([train, other], start=0.0, stop=30.0, support=[[0.0, 10.0], [20.0, 30.0]])
    assert distance_matrix(spikes, cost=1e-3).iloc[0, 1] == pytest.approx(0.001 + 1 + 1)  # 9.99 does not move to 20.01
    assert distance_matrix(spikes, "van_rossum", tau=1e6).iloc[0, 1] == pytest.approx(np.sqrt(2), abs=1e-3)
    found = sttc_matrix(spikes, dt=11.0).iloc[0, 1]
    p, tiled = np.array([1.0, 0.5]), np.array([0.5, 1.0])  # 9.99 tiles nothing after the gap
    term = [(p[0] - tiled[1]) / (1 - p[0] * tiled[1]) if p[0] * tiled[1] < 1 else 1.0,
            (p[1] - tiled[0]) / (1 - p[1] * tiled[0])]  # fmt: skip
    assert found == pytest.approx(np.mean(term))


def test_a_recording_may_begin_anywhere():
    spikes = made(seed=2)
    later = Spikes(spikes.times + 5000, spikes.unit, spikes.units, 5000.0, 5030.0)
    for measure, options in MEASURES:
        np.testing.assert_allclose(
            distance_matrix(later, measure, **options), distance_matrix(spikes, measure, **options), atol=1e-8
        )
    np.testing.assert_allclose(sttc_matrix(later, dt=0.01), sttc_matrix(spikes, dt=0.01), atol=1e-8)
    np.testing.assert_array_equal(synchrony_matrix(later), synchrony_matrix(spikes))


def test_units_without_spikes_are_told_of():
    spikes = Spikes.from_trains([[1.0, 2.0, 3.0], [], []], start=0.0, stop=4.0)
    expected = {
        "victor_purpura": 3.0,
        "van_rossum": np.sqrt(3 + 4 * np.exp(-10) + 2 * np.exp(-20)),
        "isi_distance": 0.75,
        "spike_distance": None,
    }
    for measure, options in MEASURES:
        with pytest.warns(UserWarning, match=f"{measure}: no spikes in unit001, unit002"):
            found = distance_matrix(spikes, measure, **options)
        assert found.iloc[1, 2] == 0 and np.isfinite(found).all(axis=None)
        assert expected[measure] is None or found.iloc[0, 1] == pytest.approx(expected[measure])
    with pytest.warns(UserWarning, match="NaN"):
        found = sttc_matrix(spikes, dt=0.1)
    assert found.iloc[0, 0] == 1 and found.isna().sum(axis=None) == 8
    with pytest.warns(UserWarning, match="synchrony is 0"):
        found = synchrony_matrix(spikes)
    assert found.iloc[0, 1] == 0 and found.iloc[1, 2] == 1
    with pytest.warns(UserWarning, match="no spikes"):
        assert len(distance_profile(spikes, units=[0, 1]))
    gaps = Spikes.from_trains([[1.0, 8.5], [1.0]], start=0.0, stop=9.0, support=[[0.0, 2.0], [8.0, 9.0]])
    with pytest.warns(UserWarning, match="units that fire have no spikes in some of the 2 intervals"):
        distance_matrix(gaps, "isi_distance")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distance_matrix(made(), "isi_distance")


def test_reference_values_of_all_trains_together(shared):
    known = np.load(shared("spikestats.npz", kind="parity"))
    flat, offsets = known["flat"], known["offsets"]
    spikes = Spikes.from_trains([flat[a:b] for a, b in pairwise(offsets.tolist())], start=0, stop=20)
    for measure in ("isi_distance", "spike_distance"):
        assert average_distance(spikes, measure) == pytest.approx(float(known[f"{measure}_multi"]), abs=1e-9)
        profile = distance_profile(spikes, measure)
        mean = np.average((profile["begin"] + profile["end"]) / 2, weights=profile["stop"] - profile["start"])
        assert mean == pytest.approx(float(known[f"{measure}_multi"]), abs=1e-9)
    assert average_synchrony(spikes) == pytest.approx(float(known["spike_sync_multi"]), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s: distance_matrix(s.times, cost=1.0), "needs Spikes"),
        (lambda s: distance_matrix(s.select([0]), cost=1.0), "needs 2 units"),
        (lambda s: sttc_matrix(s.select([0]), dt=0.1), "needs 2 units"),
        (lambda s: synchrony_matrix(s.select([0])), "needs 2 units"),
        (lambda s: average_synchrony(s.select([0])), "needs 2 units"),
        (lambda s: distance_profile(s, units=[1]), "needs 2 units"),
        (lambda s: distance_matrix(s), "needs cost="),
        (lambda s: distance_matrix(s, "van_rossum"), "needs tau="),
        (lambda s: distance_matrix(s, "van_rosum", tau=1.0), "did you mean 'van_rossum'"),
        (lambda s: distance_matrix(s, "sttc"), "similarity"),
        (lambda s: distance_matrix(s, "isi_distance", tau=1.0), "no option 'tau'"),
        (lambda s: distance_matrix(s, cost=-1.0), "cost of moving"),
        (lambda s: distance_matrix(s, cost=np.nan), "cost of moving"),
        (lambda s: distance_matrix(s, "van_rossum", tau=0.0), "time constant"),
        (lambda s: sttc_matrix(s, dt=0.0), "reach"),
        (lambda s: synchrony_matrix(s, max_tau=-1.0), "window"),
        (lambda s: synchrony_profile(s, 0, 1, max_tau=0.0), "window"),
        (lambda s: synchrony_profile(s, 0, 0), "asked for twice"),
        (lambda s: distance_profile(s, "victor_purpura"), "no profile"),
        (lambda s: distance_matrix(s, cost=1.0, backend="gpu"), "no version"),
    ],
)
def test_bad_input_is_one_clear_error(call, text):
    with pytest.raises(BraindecError, match=text):
        call(made(2))


def test_a_measure_that_is_no_name():
    spikes = Spikes.from_trains([[0.1, 0.2], [0.3]], start=0.0, stop=1.0)
    with pytest.raises(BraindecError, match="there is no distance"):
        distance_matrix(spikes, ["victor_purpura"], cost=1.0)
