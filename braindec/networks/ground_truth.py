"""A made-up recording of which everything is known: stimulus, connections, spikes, fields, and what electrodes saw of them.

A sheet of cortex with one column a class is driven by the class's stimulus; its excitatory neurons drive a relay, which
answers every stimulus alike; a bystander gets neither. All are balanced networks of leaky integrate-and-fire neurons with
local connections and a background of Poisson spikes. Spikes become local field potentials at the contacts of a shaft (one
contact in each column) and current dipoles, which scalp electrodes see through a spherical head; noise with a 1/f spectrum
is added to both. The signal strength scales what the stimulus adds to the columns' input: at 0 there is nothing to decode.

Source: connections and neurons after Vogels & Abbott 2005; fields: :mod:`braindec.networks.population_lfp`; dipoles: each
spike adds its unitary potential's time course times a dipole moment (linear mass signal, Hagen et al. 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.networks.description import Network, PoissonDrive, Population, Projection
from braindec.networks.population_lfp import FieldKernel, population_lfp
from braindec.networks.rules.distance_dependent import DistanceDependent
from braindec.networks.rules.fixed_probability import FixedProbability
from braindec.networks.simulate import run
from braindec.signal.coloured_noise import coloured
from braindec.signal.spherical_head import eeg_gains, montage_info
from braindec.stats.asked import number, seed_of, whole
from braindec.types import ArraySignal, Recording, Spikes

__all__ = ["EEG_CHANNELS", "GroundTruth", "ground_truth", "sensory_network", "stimulus_events"]

EEG_CHANNELS = ("Fz", "Cz", "Pz", "Oz", "O1", "O2", "PO7", "PO8", "P3", "P4", "P7", "P8", "T7", "T8", "C3", "C4")
SPACING = 3.5e-3  # m between contacts of a shaft, and between columns
RADIUS = 0.15e-3  # m; spread of a column
REGIONS = ("sensory", "relay", "bystander")
_BIN = 0.01  # s; resolution of the stimulus
_BACKGROUND, _DRIVE = 2000.0, 200.0  # Hz of Poisson spikes onto a neuron: always, and more at full signal in its column
_WEIGHT = {"excitatory": 1.2e-3, "inhibitory": -7.0e-3, "background": 0.9e-3, "relay": 0.6e-3}  # V


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What was simulated.

    Parameters
    ----------
    spikes : Spikes
        All neurons; ``units`` has population, region, column and place; ``events`` the stimuli.
    seeg, eeg : Recording
        What contacts and scalp electrodes recorded, V, with the same events; ``channels`` of ``seeg`` has region, column
        and ``informative`` (whether the stimulus class reaches its column).
    lfp : array of shape (n_contacts, n_times)
        Fields without noise, V.
    network : Network
    classes : list of str
    """

    spikes: Spikes
    seeg: Recording
    eeg: Recording
    lfp: np.ndarray
    network: Network
    classes: Sequence[str]


def stimulus_events(
    n_trials: int, n_classes: int, *, duration: float = 0.3, interval: float = 0.3, n_runs: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Return the stimuli: classes in random order, equally often in each run.

    Parameters
    ----------
    n_trials, n_classes : int
        Stimuli in all, rounded up to whole rounds of classes in each run.
    duration, interval : float
        s that a stimulus lasts, and from its end to the next; the first begins after one interval.
    n_runs : int
        Blocks that are balanced.
    seed : int

    Returns
    -------
    DataFrame
        onset, duration (s), trial_type, stimulus_id, block.
    """
    for name, value, least in (("n_trials", n_trials, 1), ("n_classes", n_classes, 2), ("n_runs", n_runs, 1)):
        whole(value, name, least=least)
    number(duration, "duration", unit="s"), number(interval, "interval", unit="s")
    if not (duration >= _BIN and interval >= 0):
        raise BraindecError("stimuli last 10 ms or more", found=f"duration {duration} s, interval {interval} s")
    rng = np.random.default_rng(seed_of(seed))
    rounds = int(np.ceil(n_trials / n_classes / n_runs))
    order = np.concatenate([rng.permutation(np.tile(np.arange(n_classes), rounds)) for _ in range(n_runs)])
    names = [f"class {k + 1}" for k in order]
    onset = interval + np.arange(len(order)) * (duration + interval)
    return pd.DataFrame({"onset": np.round(onset / _BIN) * _BIN, "duration": duration, "trial_type": names, "stimulus_id": names,
                         "block": np.repeat([f"{b + 1}" for b in range(n_runs)], rounds * n_classes)})  # fmt: skip


def sensory_network(
    events: pd.DataFrame,
    *,
    signal: float,
    n_classes: int,
    n_excitatory: int = 120,
    n_inhibitory: int = 30,
    seed: int = 0,
) -> Network:
    """Return the network with its stimulus.

    Parameters
    ----------
    events : DataFrame
        As :func:`stimulus_events` gives it.
    signal : float
        Strength of the stimulus: what it adds to the input of its column, in units of 200 Hz of Poisson spikes a neuron.
    n_classes : int
        Columns of the sensory sheet.
    n_excitatory, n_inhibitory : int
        Neurons of a column, of the relay and of the bystander.
    seed : int
        Of places.
    """
    number(signal, "signal", least=0)
    whole(n_excitatory, "n_excitatory", least=1), whole(n_inhibitory, "n_inhibitory", least=1)
    rng = np.random.default_rng([seed, 1])
    populations, projections = [], []
    for region, first, n_columns in (
        ("sensory", 0, n_classes),
        ("relay", n_classes, 1),
        ("bystander", n_classes + 1, 1),
    ):
        for kind, n in (("excitatory", n_excitatory), ("inhibitory", n_inhibitory)):
            centre = np.repeat(np.arange(first, first + n_columns), n)[:, None] * [SPACING, 0, 0]
            populations.append(Population(
                f"{region}_{kind[0].upper()}", n * n_columns, model="lif", sign=kind,
                params={"v_rest": -0.060}, initial={"v": (-0.060, -0.050)},
                positions=centre + rng.normal(0, RADIUS, (n * n_columns, 3)),
            ))  # fmt: skip
        for source, kind in (("E", "excitatory"), ("I", "inhibitory")):
            for target in "EI":
                projections.append(Projection(
                    f"{region}_{source}", f"{region}_{target}", rule=DistanceDependent(c=0.3, scale=2.5 * RADIUS),
                    weight=_WEIGHT[kind], delay=1.5e-3,
                ))  # fmt: skip
    projections.append(
        Projection("sensory_E", "relay_E", rule=FixedProbability(0.05), weight=_WEIGHT["relay"], delay=4e-3)
    )
    drives = [
        PoissonDrive(p.name, rate=_BACKGROUND, weight=_WEIGHT["background"], receptor="excitatory") for p in populations
    ]
    rate = _stimulus(events, n_classes) * (signal * _DRIVE)
    drives.append(PoissonDrive("sensory_E", rate=np.repeat(rate, n_excitatory, axis=1), weight=_WEIGHT["background"],
                               receptor="excitatory", bin_width=_BIN))  # fmt: skip
    return Network(populations, projections, drives, dt=1e-4, name="sensory")


def ground_truth(
    *, signal: float, n_trials: int = 160, n_classes: int = 4, duration: float = 0.3, interval: float = 0.3, n_runs: int = 5,
    n_excitatory: int = 120, n_inhibitory: int = 30, sfreq: float = 250.0, represents: float = 40.0,
    seeg_noise: float = 40e-6, eeg_noise: float = 4e-6, moment: float = 6e-9, kernel: FieldKernel | None = None,
    eeg_channels: Sequence[str] = EEG_CHANNELS, seed: int = 0,
) -> GroundTruth:  # fmt: skip
    """Simulate a whole recording.

    Parameters
    ----------
    signal : float
        Strength of the stimulus; 0 plants nothing.
    n_trials, n_classes, duration, interval, n_runs
        As of :func:`stimulus_events`.
    n_excitatory, n_inhibitory : int
        Neurons of a column.
    sfreq : float
        Hz of the two recordings.
    represents : float
        Real neurons that a simulated one stands for in fields.
    seeg_noise, eeg_noise : float
        Standard deviation of 1/f noise, V.
    moment : float
        Dipole moment in A m of one spike of a simulated excitatory neuron at its peak (that of all neurons it stands for).
    kernel : FieldKernel, optional
    eeg_channels : sequence of str
    seed : int
        Everything follows from it.

    Returns
    -------
    GroundTruth

    Raises
    ------
    BraindecError
        If a number is out of its range, a channel is not in the 10-05 system, or the network runs away.
    """
    for name, value in (("represents", represents), ("seeg_noise", seeg_noise), ("eeg_noise", eeg_noise)):
        number(value, name, least=0)
    number(moment, "moment", unit="A m")
    number(sfreq, "sfreq", least=0, most=1000, unit="Hz")
    places_of = montage_info(eeg_channels, sfreq)  # before anything is simulated
    events = stimulus_events(n_trials, n_classes, duration=duration, interval=interval, n_runs=n_runs, seed=seed)
    network = sensory_network(events, signal=signal, n_classes=n_classes, n_excitatory=n_excitatory, n_inhibitory=n_inhibitory, seed=seed)  # fmt: skip
    seconds = float(np.ceil(events["onset"].iloc[-1] + duration + interval + 0.2))
    simulation = run(network, seconds, seed=seed)
    if simulation.stopped:
        raise BraindecError("the simulated network was stopped", found=simulation.stopped, fix="a smaller signal")
    units = _units(simulation.spikes.units)
    spikes = Spikes(
        simulation.spikes.times, simulation.spikes.unit, units, 0.0, seconds, events, dict(simulation.spikes.info)
    )
    rng = np.random.default_rng([seed, 2])
    channels = _contacts(n_classes, rng)
    excitatory = units["kind"].to_numpy() == "excitatory"
    places = {"positions": units[["x", "y", "z"]].to_numpy(), "excitatory": excitatory}
    lfp = represents * population_lfp(
        spikes, contacts=channels[["x", "y", "z"]].to_numpy(), sfreq=sfreq, kernel=kernel, **places
    )
    noise = np.vstack([coloured(rng, (1, lfp.shape[1]), sfreq, exponent=1.0, corner=1.0) for _ in range(len(lfp))])
    info = {"dataset": "ground_truth", "modality": "ieeg", "simulated": True, "signal": signal}
    seeg = Recording(
        ArraySignal(_centred(lfp) + seeg_noise * noise), sfreq, channels, events, {**info, "modality": "ieeg"}
    )
    eeg = _scalp(spikes, sfreq, moment, eeg_noise, list(eeg_channels), rng)
    about = pd.DataFrame({"name": list(eeg_channels), "type": "eeg", "unit": "V"})
    about[["x", "y", "z"]] = [c["loc"][:3] for c in places_of["chs"]]
    return GroundTruth(
        spikes, seeg, Recording(ArraySignal(eeg), sfreq, about, events, {**info, "modality": "eeg"}), lfp, network,
        [f"class {k + 1}" for k in range(n_classes)],
    )  # fmt: skip


def _stimulus(events: pd.DataFrame, n_classes: int) -> np.ndarray:
    """1 where a class is shown, shape (n_bins, n_classes); the last bin is empty because it goes on."""
    stop = events["onset"] + events["duration"]
    shown = np.zeros((int(np.ceil(stop.max() / _BIN)) + 1, n_classes))
    for onset, end, name in zip(events["onset"], stop, events["trial_type"], strict=True):
        shown[round(onset / _BIN) : round(end / _BIN), int(str(name).rsplit(" ", 1)[1]) - 1] = 1.0
    return shown


def _units(table: pd.DataFrame) -> pd.DataFrame:
    region, kind = table["population"].str.rsplit("_", n=1, expand=True).T.to_numpy()
    column = np.round(table["x"] / SPACING).astype(int)
    return table.assign(region=region, kind=np.where(kind == "E", "excitatory", "inhibitory"), column=column)


def _contacts(n_classes: int, rng: np.random.Generator) -> pd.DataFrame:
    """One contact in each column, a little off its middle."""
    n = n_classes + 2
    places = np.arange(n)[:, None] * [SPACING, 0, 0] + rng.normal(0, 0.05e-3, (n, 3))
    region = ["sensory"] * n_classes + ["relay", "bystander"]
    table: Mapping[str, Any] = {"name": [f"A{i + 1}" for i in range(n)], "type": "seeg", "unit": "V", "region": region,
                                "column": np.arange(n), "informative": [r == "sensory" for r in region]}  # fmt: skip
    return pd.DataFrame({**table, **dict(zip("xyz", places.T, strict=True))})


def _scalp(
    spikes: Spikes, sfreq: float, moment: float, noise: float, channels: list[str], rng: np.random.Generator
) -> np.ndarray:
    """What scalp electrodes see of one dipole a column, V, shape (n_channels, n_times)."""
    n_columns = int(spikes.units["column"].max()) + 1
    places = np.array([-0.03, -0.055, 0.0]) + np.arange(n_columns)[:, None] * [SPACING, 0, 0]
    normals = places / np.linalg.norm(places, axis=1, keepdims=True) + rng.normal(0, 0.7, places.shape)  # folded cortex
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    excitatory = np.flatnonzero(spikes.units["kind"] == "excitatory")
    mass = FieldKernel(excitatory=moment, inhibitory=0.0, space=np.inf, velocity=np.inf)
    own = spikes.select(excitatory)
    column = own.units["column"].to_numpy()
    dipoles = np.vstack([
        population_lfp(own.select(np.flatnonzero(column == k)), positions=np.zeros(((column == k).sum(), 3)),
                       excitatory=np.ones((column == k).sum(), bool), contacts=np.zeros((1, 3)), sfreq=sfreq, kernel=mass)
        for k in range(n_columns)
    ])  # fmt: skip
    seen = eeg_gains(channels, places, normals, on_sphere=True) @ _centred(dipoles)
    far = rng.normal(size=(len(channels), 12)) / np.sqrt(12)  # brain noise is shared between channels
    brain = far @ coloured(rng, (12, seen.shape[1]), sfreq, exponent=1.0, corner=1.0)
    own_noise = coloured(rng, seen.shape, sfreq, exponent=0.0)
    return seen + noise * (np.sqrt(0.9) * brain + np.sqrt(0.1) * own_noise)


def _centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=1, keepdims=True)
