"""The simulated recording: its stimulus, what each region does, how its signals follow, same seed same bytes, wrong settings."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.networks.ground_truth import ground_truth, sensory_network, stimulus_events
from braindec.networks.simulate import run

SMALL = {"n_trials": 16, "n_classes": 2, "n_runs": 2, "n_excitatory": 60, "n_inhibitory": 15}


@pytest.fixture(scope="module")
def worlds():
    return {s: ground_truth(signal=s, **SMALL, seed=0) for s in (0.0, 1.0)}


def rates(world):
    """Rate of each column (sensory 1, sensory 2, relay, bystander) while class 1 or 2 is shown, Hz."""
    spikes, found = world.spikes, np.zeros((2, 4))
    column = spikes.units["column"].to_numpy()
    for k, name in enumerate(("class 1", "class 2")):
        shown = spikes.events[spikes.events["trial_type"] == name]
        for onset in shown["onset"]:
            inside = (spikes.times >= onset) & (spikes.times < onset + 0.3)
            found[k] += np.bincount(column[spikes.unit[inside]], minlength=4)
        found[k] /= len(shown) * 0.3 * 75
    return found


def test_stimuli_are_balanced_in_each_block():
    events = stimulus_events(50, 4, n_runs=3, seed=1)
    table = events.groupby(["block", "trial_type"]).size()
    assert (table == 5).all() and len(events) == 60
    assert np.allclose(np.diff(events["onset"]), 0.6) and events["onset"].iloc[0] == pytest.approx(0.3)


def test_only_the_column_of_a_class_answers_to_it(worlds):
    shown = rates(worlds[1.0])
    assert shown[0, 0] > 1.6 * shown[1, 0] and shown[1, 1] > 1.6 * shown[0, 1]
    assert abs(shown[0, 2] - shown[1, 2]) < 0.25 * shown[:, 2].mean()  # the relay answers both alike
    quiet = rates(worlds[0.0])
    assert (np.abs(quiet[0] - quiet[1]) < 0.35 * quiet.mean(axis=0)).all()
    assert 1 < quiet.mean() < 30


def test_bystander_and_noise_do_not_depend_on_the_signal(worlds):
    a, b = worlds[0.0], worlds[1.0]
    silent = a.spikes.units["region"] == "bystander"
    assert silent.sum() == 75
    one, other = (w.spikes.select(np.flatnonzero(silent)) for w in (a, b))
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_allclose(a.lfp[-1], b.lfp[-1], atol=1e-9)  # columns 3.5 mm away are 17 space constants away
    noise = [
        w.seeg.signal.read(slice(None), 0, w.seeg.n_times) - (w.lfp - w.lfp.mean(axis=1, keepdims=True)) for w in (a, b)
    ]
    np.testing.assert_allclose(noise[0], noise[1], atol=1e-9)


def test_without_signal_nothing_depends_on_the_classes():
    events = stimulus_events(8, 2, n_runs=2, seed=0)
    turned = events.assign(trial_type=events["trial_type"].map({"class 1": "class 2", "class 2": "class 1"}))
    found = {}
    for signal in (0.0, 1.0):
        for name, table in (("as shown", events), ("turned", turned)):
            network = sensory_network(table, signal=signal, n_classes=2, n_excitatory=30, n_inhibitory=8, seed=0)
            found[signal, name] = run(network, 2.0, seed=0).spikes
    one, other = found[0.0, "as shown"], found[0.0, "turned"]
    assert np.array_equal(one.times, other.times) and np.array_equal(one.unit, other.unit) and len(one.times) > 200
    assert not np.array_equal(found[1.0, "as shown"].times, found[1.0, "turned"].times)


def test_recordings_share_time_events_and_places(worlds):
    world = worlds[1.0]
    assert (
        world.seeg.sfreq == world.eeg.sfreq == 250.0 and world.seeg.n_times == world.eeg.n_times == world.lfp.shape[1]
    )
    assert (
        world.seeg.events.equals(world.eeg.events)
        and world.spikes.events["onset"].tolist() == world.eeg.events["onset"].tolist()
    )
    assert world.seeg.channels["informative"].tolist() == [True, True, False, False]
    for k, row in world.seeg.channels.iterrows():
        own = world.spikes.units[world.spikes.units["column"] == k]
        assert (
            np.linalg.norm(own[["x", "y", "z"]].mean().to_numpy() - row[["x", "y", "z"]].to_numpy(dtype=float)) < 3e-4
        )
        assert set(own["region"]) == {row["region"]}


def test_the_noise_of_the_scalp_has_the_size_that_was_asked_for():
    quiet, noisy = (
        ground_truth(signal=0.5, **{**SMALL, "n_trials": 4}, eeg_noise=size, seed=3) for size in (0.0, 5e-6)
    )
    added = [w.eeg.signal.read(slice(None), 0, w.eeg.n_times) for w in (quiet, noisy)]
    size = (added[1] - added[0]).std(axis=1)
    assert np.sqrt((size**2).mean()) == pytest.approx(5e-6, rel=0.25)  # twelve shared sources: a mean over channels
    assert 0.1e-6 < added[0].std() < 50e-6  # microvolts without noise


def test_same_seed_same_bytes():
    one, two, other = (ground_truth(signal=0.5, **{**SMALL, "n_trials": 4}, seed=s) for s in (3, 3, 4))
    for name in ("seeg", "eeg"):
        a, b = (getattr(w, name).signal.read(slice(None), 0, one.seeg.n_times) for w in (one, two))
        np.testing.assert_array_equal(a, b)
    assert len(other.spikes.times) != len(one.spikes.times)


@pytest.mark.parametrize(
    ("wrong", "said"), [({"signal": -1.0}, "signal"), ({"signal": np.nan}, "signal"), ({"signal": "x"}, "signal"),
                        ({"n_classes": 1}, "n_classes"), ({"duration": 0.001}, "10 ms"), ({"duration": np.nan}, "duration"),
                        ({"n_trials": np.nan}, "n_trials"), ({"n_excitatory": 0}, "n_excitatory"), ({"seed": -1}, "seed"),
                        ({"seeg_noise": np.nan}, "seeg_noise"), ({"eeg_noise": -1.0}, "eeg_noise"), ({"moment": np.inf}, "moment"),
                        ({"represents": np.nan}, "represents"), ({"sfreq": 5000.0}, "sfreq"),
                        ({"eeg_channels": ("Fz", "Czz")}, "did you mean 'Cz'"), ({"eeg_channels": ()}, "each once")],
)  # fmt: skip
def test_wrong_settings(wrong, said):
    with pytest.raises(BraindecError, match=said):
        ground_truth(**{"signal": 1.0, **SMALL, **wrong})
