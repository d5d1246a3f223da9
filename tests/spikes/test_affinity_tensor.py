"""Affinities of pairs over windows, and assemblies that come and go, from spikes to communities."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.affinity_tensor import affinity_tensor, square
from braindec.spikes.assemblies_report import assembly_panels, assembly_rows, fit_assemblies, said
from braindec.spikes.planted_latents import planted_assemblies
from braindec.types import Recording, Spikes


@pytest.fixture(scope="module")
def assemblies():
    return planted_assemblies(n_units=18, n_recordings=3, n_windows=8, window=10.0, rng=0)


def test_correlations_are_those_of_numpy(assemblies):
    one = assemblies.spikes[0]
    tensor = affinity_tensor(one, window=20.0, step=10.0, width=0.1, sign="absolute")
    counts = one.counts(0.1).signal.read()
    assert tensor.values.shape == (18 * 17 // 2, 7) and tensor.times[0] == 10
    for w in (0, 3):
        expected = np.abs(np.corrcoef(counts[:, 100 * w : 100 * w + 200]))
        np.testing.assert_allclose(square(tensor.values[:, w], 18) + np.eye(18), expected, atol=1e-6)
    recording = Recording(counts, 10.0, one.units)
    np.testing.assert_allclose(
        affinity_tensor(recording, window=20.0, step=10.0, sign="absolute").values, tensor.values
    )


@pytest.mark.parametrize("kind", ["correlation", "covariance", "coincidence", "spike_tiling"])
def test_units_of_an_assembly_go_together_while_it_is_on(assemblies, kind):
    tensor = affinity_tensor(assemblies.spikes, window=10.0, width=0.05, kind=kind)
    on = assemblies.active.argmax(axis=0)
    first, second = tensor.pairs.T
    for state, members in enumerate(assemblies.members):
        same = members[first] == members[second]
        now, then = tensor.values[:, on[state]].mean(1), tensor.values[:, on[1 - state]].mean(1)
        assert now[same].mean() > now[~same].mean() + 0.5 * now.std()
        assert now[same].mean() - now[~same].mean() > 2 * (then[same].mean() - then[~same].mean())


def test_signs_split_a_correlation(assemblies):
    parts = {
        s: affinity_tensor(assemblies.spikes[0], window=10.0, width=0.1, sign=s).values
        for s in ("positive", "negative", "absolute")
    }
    np.testing.assert_allclose(parts["positive"] + parts["negative"], parts["absolute"])


def test_assemblies_are_found_from_spikes_to_communities(assemblies):
    options = {
        "window": 10.0,
        "width": 0.05,
        "kind": "correlation",
        "sign": "positive",
        "ranks": [2],
        "n_seeds": 5,
        "n_nulls": 19,
        "seed": 0,
    }
    fits = fit_assemblies(assemblies.spikes, truth=assemblies, **options)
    rows = assembly_rows(fits, n_permutations=99)
    shared = [r for r in rows if r["metric"] == "community_information"]
    assert len(shared) == 2 and min(r["value"] for r in shared) > 0.9 and max(r["p"] for r in shared) == 0.01
    assert all(r["p"] == pytest.approx(0.05) for r in rows if r["metric"] == "modularity")
    panels, arrays = assembly_panels(fits)
    named = {v[1:] for p in panels for v in p["args"].values() if isinstance(v, str) and v.startswith("@")}
    assert named <= set(arrays) and "2 of 2" in said(fits)[0]
    none = planted_assemblies(n_units=18, n_recordings=3, n_windows=8, common=0.0, rng=1)
    rows = assembly_rows(fit_assemblies(none.spikes, truth=none, **options), n_permutations=99)
    assert max(r["value"] for r in rows if r["metric"] == "community_information") < 0.5
    assert min(r["p"] for r in rows if r["metric"] == "modularity") > 0.05


def test_a_silent_unit_goes_with_none():
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(0, 60, 300)) for _ in range(3)] + [np.array([50.0])]
    for kind in ("correlation", "spike_tiling"):
        tensor = affinity_tensor(Spikes.from_trains(trains, start=0, stop=60), window=20.0, kind=kind)
        assert np.isfinite(tensor.values).all() and not tensor.values[(tensor.pairs == 3).any(1)][:, :2].any()


def test_wrong_input_is_refused(assemblies):
    one = assemblies.spikes[0]
    for options, message in (({"window": 100.0}, "do not fit twice"), ({"window": 10.0, "kind": "corelation"}, "correlation"),
                             ({"window": 10.0, "sign": "plus"}, "positive"), ({"window": 0.2}, "2 samples")):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            affinity_tensor(one, **{"width": 0.1, **options})
    with pytest.raises(BraindecError, match="different units"):
        affinity_tensor([one, one.select(range(17))], window=10.0)
    with pytest.raises(BraindecError, match="3 units"):
        affinity_tensor(one.select([0, 1]), window=10.0)
    with pytest.raises(BraindecError, match="153 pairs"):
        square(np.ones(5), 18)
