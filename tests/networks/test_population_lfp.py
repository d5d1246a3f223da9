"""Fields of spikes: the fast form is the definition, one spike by hand, depth, distance and delay; wrong inputs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.networks.population_lfp import DEPTHS, FieldKernel, population_lfp, population_lfp_direct
from braindec.types import Spikes


def some(n: int = 30, seconds: float = 1.5, start: float = 3.0):
    rng = np.random.default_rng(0)
    spikes = Spikes.from_trains(
        [rng.uniform(start, start + seconds, 15) for _ in range(n)], start=start, stop=start + seconds
    )
    return spikes, {
        "positions": rng.normal(0, 3e-4, (n, 3)),
        "excitatory": rng.random(n) < 0.8,
        "contacts": rng.normal(0, 3e-4, (3, 3)),
    }


@pytest.mark.parametrize("sfreq", [1000.0, 250.0, 333.0])
def test_the_fast_form_is_the_definition(sfreq):
    spikes, where = some()
    fast, slow = (f(spikes, sfreq=sfreq, **where) for f in (population_lfp, population_lfp_direct))
    assert fast.shape == (3, int(1.5 * sfreq))
    np.testing.assert_allclose(fast, slow, atol=1e-3 * np.abs(slow).max())


def test_one_spike_by_hand():
    spikes = Spikes(np.array([0.1]), np.array([0]), pd.DataFrame(index=range(1)), 0.0, 0.5)
    kernel = FieldKernel.at("superficial")
    where = {"positions": np.zeros((1, 3)), "excitatory": np.array([False]), "contacts": np.array([[4e-4, 0, 0]])}
    field = population_lfp(spikes, sfreq=1000.0, kernel=kernel, **where)[0]
    peak = 0.1 + 10.4e-3 + 4e-4 / 0.2
    times = np.arange(500) / 1000
    expected = DEPTHS["superficial"][1] * np.exp(-2) * np.exp(-((times - peak) ** 2) / (2 * 2.1e-3**2))
    np.testing.assert_allclose(field, expected, atol=2e-3 * np.abs(expected).max())
    assert field.min() < 0 and abs(times[np.abs(field).argmax()] - peak) <= 1e-3


def test_fields_add_and_fall():
    spikes, where = some()
    alone = [population_lfp(spikes.select([k]), sfreq=500.0, contacts=where["contacts"], positions=where["positions"][[k]],
                            excitatory=where["excitatory"][[k]]) for k in range(spikes.n_units)]  # fmt: skip
    np.testing.assert_allclose(sum(alone), population_lfp(spikes, sfreq=500.0, **where), atol=1e-15)
    far = {**where, "contacts": where["contacts"] + [0, 0, 5e-3]}
    assert np.abs(population_lfp(spikes, sfreq=500.0, **far)).max() < 1e-9 * np.abs(sum(alone)).max()


@pytest.mark.parametrize(
    ("change", "said"),
    [({"positions": np.zeros((2, 3))}, "a place"), ({"excitatory": np.ones(30)}, "True or False"),
     ({"contacts": np.full((1, 3), np.nan)}, "finite"), ({"contacts": np.zeros((1, 2))}, "a place"),
     ({"positions": "here"}, "must be numbers"), ({"excitatory": None}, "True or False")],
)  # fmt: skip
def test_wrong_shapes(change, said):
    spikes, where = some()
    with pytest.raises(BraindecError, match=said):
        population_lfp(spikes, sfreq=500.0, **{**where, **change})


def test_wrong_kernels():
    with pytest.raises(BraindecError, match="did you mean 'soma'"):
        FieldKernel.at("somma")
    with pytest.raises(BraindecError, match="width_inhibitory"):
        FieldKernel(width_inhibitory=0)
    for wrong in ({"delay": "x"}, {"space": None}):
        with pytest.raises(BraindecError, match="is a number"):
            FieldKernel(**wrong)
    for wrong in ({"width_excitatory": np.inf}, {"delay": -1e-3}, {"excitatory": np.nan}):
        with pytest.raises(BraindecError, match="finite"):
            FieldKernel(**wrong)
    spikes, where = some()
    with pytest.raises(BraindecError, match="1,000 Hz"):
        population_lfp(spikes, sfreq=2000.0, **where)
    with pytest.raises(BraindecError, match="1,000 Hz"):
        population_lfp(spikes, sfreq="fast", **where)
    with pytest.raises(BraindecError, match="FieldKernel.at"):
        population_lfp(spikes, sfreq=500.0, kernel="soma", **where)
    with pytest.raises(BraindecError, match="Spikes"):
        population_lfp(None, sfreq=500.0, **where)
