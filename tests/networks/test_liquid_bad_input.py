"""Liquids, spike patterns, branching and assemblies with input that cannot be: one clear error each."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.networks._liquid_panels import liquid_answers
from braindec.networks.assemblies import Assemblies
from braindec.networks.branching import Branching, branching_factor, branching_process
from braindec.networks.liquid import Liquid, read_out
from braindec.networks.spike_patterns import jittered_patterns, rate_coded, steady_input
from braindec.types import Spikes

NAN = float("nan")
SMALL = {"n_inputs": 20, "shape": (4, 4, 4)}
TRIALS = jittered_patterns(2, 10, n_channels=20)
ACTIVITY = np.random.default_rng(0).poisson(3.0, 300)


def areas(**options):
    return Assemblies({"A": 300, "B": 300}, ["s"], **{"k": 20, **options})


BAD = {
    "learning": (lambda: Liquid(**SMALL, learning=NAN), "learning"),
    "threshold": (lambda: Liquid(**SMALL, threshold=-1.0), "threshold"),
    "t_ref": (lambda: Liquid(**SMALL, t_ref=-1.0), "t_ref"),
    "dt": (lambda: Liquid(**SMALL, dt=0.0), "dt"),
    "gain": (lambda: Liquid(**SMALL, gain=NAN), "gain"),
    "seed": (lambda: Liquid(**SMALL, seed=-1), "seed"),
    "weights of no pair": (lambda: Liquid(**SMALL).network([[]] * 20, weights={}), "wrong pairs"),
    "nothing to steer by": (lambda: Liquid(**SMALL, plasticity=None).steer([[]] * 20, 1.0), "without plasticity"),
    "no stage": (lambda: Liquid(**SMALL).steer([[]] * 20, 1.0, stages=0), "stages"),
    "a probe too short": (lambda: Liquid(**SMALL).branching(seconds=0.3), "seconds"),
    "no bin": (lambda: Liquid(**SMALL).states(TRIALS, n_bins=0), "n_bins"),
    "NaN states": (lambda: read_out(np.full((10, 3), NAN), np.arange(10) % 2, train=range(5), test=range(5, 10)), "finite"),
    "one class": (lambda: read_out(np.ones((10, 3)), np.zeros(10), train=range(5), test=range(5, 10)), "two classes"),
    "jitter": (lambda: jittered_patterns(jitter=NAN), "jitter"),
    "duration": (lambda: jittered_patterns(duration=NAN), "duration"),
    "half a class": (lambda: jittered_patterns(2.5), "n_classes"),
    "values of text": (lambda: rate_coded([["a"]], [1]), "finite numbers"),
    "max_rate": (lambda: rate_coded(np.ones((2, 2)), [0, 1], max_rate=NAN), "max_rate"),
    "rate": (lambda: steady_input(3, -1.0, 1.0), "rate"),
    "a trial that is not there": (lambda: TRIALS[[99]], "no such trials"),
    "an empty window": (lambda: TRIALS.counts(window=(0.2, 0.2)), "window"),
    "a gap below 0": (lambda: TRIALS.stream(gap=-1.0), "gap"),
    "counts of text": (lambda: branching_factor(["a"] * 100, bin_width=0.004), "spike counts"),
    "trials of different lengths": (lambda: branching_factor([[1, 2], [1]], bin_width=0.004), "spike counts"),
    "NaN bins": (lambda: branching_factor(ACTIVITY, bin_width=NAN), "bin_width"),
    "half a lag": (lambda: branching_factor(ACTIVITY, bin_width=0.004, max_lag=2.5), "max_lag"),
    "input below 0": (lambda: branching_process(0.5, -1.0, 10, seed=0), "input_rate"),
    "a share above 1": (lambda: branching_process(0.5, 1.0, 10, seed=0, seen=2.0), "seen"),
    "half a neuron": (lambda: areas(k=2.5), "k=2.5"),
    "no step": (lambda: areas().project("s", "A", steps=0), "steps"),
    "an area that is silent": (lambda: areas().project("A", "B"), "no neuron of A fires"),
    "areas that are silent": (lambda: areas().merge("A", "B", "A"), "no neuron of A fires"),
    "a share that is NaN": (lambda: areas().complete("A", range(20), fraction=NAN), "fraction"),
    "a neuron that is not there": (lambda: areas().weight("s", "A", [0], [999]), "no such neurons"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_one_clear_error(case):
    call, says = BAD[case]
    with pytest.raises(BraindecError, match=says):
        call()


def test_without_the_astrocyte_its_state_is_not_made_up():
    held = Liquid(**SMALL, plasticity="pair").steer(steady_input(20, 20.0, 1.0), 1.0, stages=2, probe_seconds=2.0)
    assert np.isnan(held.astrocyte).all() and np.isfinite(held.rate).all()


def test_a_spike_moves_the_astrocyte_as_much_at_any_step():
    spikes = Spikes.from_trains(
        [np.array([0.01])], start=0.0, stop=0.5, units=pd.DataFrame({"name": ["a"], "population": ["E"]})
    )
    high = [Liquid(**SMALL, dt=dt).astrocyte(spikes).max() for dt in (1e-3, 5e-4, 2e-4)]
    np.testing.assert_allclose(high, high[0], rtol=1e-9)
    assert high[0] > Liquid(**SMALL).baseline + 1e-3


def found(m, low, high, slope=0.9):
    lags = np.arange(1, 30)
    return Branching(m, low, high, m, 1.0, 0.1, lags, m**lags if slope else np.cos(lags), 0.004)


@pytest.mark.parametrize(
    ("measured", "says"),
    [
        (found(0.76, 0.72, 0.80), "short of the edge"),
        (found(0.99, 0.97, 1.01), "at the edge"),
        (found(1.03, 1.01, 1.05), "beyond the edge"),
        (found(0.5, 0.4, 0.6, slope=0), "no branching parameter"),
    ],
)
def test_the_page_says_how_near_the_edge_the_steered_liquid_is(measured, says):
    said = liquid_answers([{"row": "over_input_counts", "value": 0.1, "p": 0.001}], {"steered": measured})
    assert any(a["about"] == "The steered liquid under steady input" and says in a["item"] for a in said)


def test_read_outs_are_compared_with_their_number_in_mind():
    names = ("before_steering", "without_astrocyte", "no_recurrence", "input_counts", "input_times")
    leads = [
        {"row": f"over_{n}", "value": 0.05, "p": p} for n, p in zip(names, (0.03, 0.4, 0.6, 0.7, 0.9), strict=True)
    ]
    assert {a["says"] for a in liquid_answers(leads, {})} == {"is not told apart from"}
    leads[0]["p"] = 0.001
    assert liquid_answers(leads, {})[0]["says"] == "is better than"


def test_a_liquid_that_explodes_has_no_states():
    wild = Liquid(**SMALL, weight=0.5, weight_max=1.0, input_weight=0.02, inhibitory=0.0, t_ref=0.0, dt=2e-4,
                  density={"E->E": 0.9, "E->I": 0.3, "I->E": 0.1, "I->I": 0.05})  # fmt: skip
    with pytest.raises(BraindecError, match="did not run to the end"):
        wild.play(steady_input(20, 20.0, 1.0), 1.0)
