"""Balanced networks of excitatory and inhibitory neurons: how active, irregular and synchronous they are, and what was published.

Each network is built and run from several seeds. Rate, CV of intervals, synchrony and frequency of the population stand with
intervals over seeds beside what was published, beside the same network without recurrent synapses, and beside the same
spike trains shifted against one another, which keeps rates and intervals and gives the synchrony of independent neurons.
"""

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import stats

from braindec.config import RecipeConfig, Section
from braindec.errors import BraindecError, did_you_mean
from braindec.networks.published import REGIMES, brunel, cuba
from braindec.networks.regimes import REGULAR_BELOW, SYNCHRONOUS_ABOVE, activity, regime, shifted_depth
from braindec.networks.simulate import run as simulate
from braindec.stats.permutation import permutation_p
from braindec.types import Result

CITATIONS = [
    {"key": "brunel2000", "text": "Brunel (2000). Dynamics of sparsely connected networks of excitatory and inhibitory spiking neurons. Journal of "
     "Computational Neuroscience 8, 183-208.", "doi": "10.1023/A:1008925309027"},
    {"key": "vogels2005", "text": "Vogels & Abbott (2005). Signal propagation and logic gating in networks of integrate-and-fire neurons. Journal of "
     "Neuroscience 25, 10786-10795.", "doi": "10.1523/JNEUROSCI.3508-05.2005"},
    {"key": "brette2007", "text": "Brette et al. (2007). Simulation of networks of spiking neurons: a review of tools and strategies. Journal of "
     "Computational Neuroscience 23, 349-398.", "doi": "10.1007/s10827-007-0038-6"},
]  # fmt: skip

METRICS = ("synchrony_depth", "rate", "cv_intervals", "population_frequency", "fano_5ms")
CUBA = {"AI": {"rate": 5.68, "cv_intervals": 0.69, "fano_5ms": 7.2, "regime": "AI", "source": "mean of three seeds each of Brian2 and NEST",
               "says": "asynchronous irregular activity that sustains itself"}}  # fmt: skip
WORDS = {"S": "synchronous", "A": "asynchronous", "R": "regular", "I": "irregular"}


class Point(Section):
    name: str
    g: PositiveFloat
    eta: PositiveFloat


class Cuba(Section):
    n: int = Field(4000, ge=100)
    seconds: PositiveFloat = 5.0


class Brunel(Section):
    n_excitatory: int = Field(10_000, ge=100)
    delay: PositiveFloat = 1.5e-3
    weight: PositiveFloat = 1e-4
    seconds: PositiveFloat = 0.4
    points: list[str | Point] = list(REGIMES)


class Config(RecipeConfig):
    networks: list[Literal["brunel", "cuba"]] = ["brunel", "cuba"]
    n_seeds: int = Field(5, ge=3)
    n_shifts: PositiveInt = 39
    warm_up: PositiveFloat = 0.2
    cuba: Cuba = Cuba()
    brunel: Brunel = Brunel()
    threads: PositiveInt = 1


def units(config):
    return [{"network": name} for name in config.networks]


def inputs(config, unit):
    return []


def points_of(config, name):
    """Points of one network: name -> (g, eta and what was published)."""
    if name == "cuba":
        return CUBA
    found = {}
    for point in config.brunel.points:
        if isinstance(point, str) and point not in REGIMES:
            raise BraindecError(f"there is no point {point!r}{did_you_mean(point, REGIMES)}", allowed=", ".join(REGIMES), fix="or give name, g and eta")  # fmt: skip
        found.update(
            {point: REGIMES[point]} if isinstance(point, str) else {point.name: {"g": point.g, "eta": point.eta}}
        )
    return found


def make(config, point, connected=True):
    """A network and how long it is looked at."""
    if "g" not in point:
        return cuba(config.cuba.n, connected=connected), config.cuba.seconds
    how = config.brunel.model_dump(exclude={"seconds", "points"})
    return brunel(point["g"], point["eta"], **how, connected=connected), config.brunel.seconds


def measure(found):
    return {
        "rate": found.rate,
        "cv_intervals": found.cv,
        "synchrony_depth": found.depth,
        "population_frequency": found.frequency,
        "fano_5ms": found.fano,
    }


def over_seeds(values):
    """Mean and 95 % interval (t) over seeds."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return {"value": float(values[0]) if len(values) else np.nan, "low": np.nan, "high": np.nan, "n": len(values)}
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return {"value": values.mean(), "low": values.mean() - half, "high": values.mean() + half, "n": len(values)}


def rows_of(measured, control, depths, point):
    """Rows of one point: the network, what was published, and its controls."""
    rows = []
    for metric in METRICS:
        found, note = over_seeds([m[metric] for m in measured]), "mean and t interval over seeds"
        rows.append({"metric": metric, "row": "network", "note": note, **found})
        if metric == "synchrony_depth":
            rows[-1] |= {"row": "decoded", "chance": depths.mean(), "p": permutation_p(measured[0][metric], depths),
                         "note": f"{note}; p: trains of the first seed shifted against one another"}  # fmt: skip
        if metric in point:
            rows.append({"metric": metric, "row": "published", "value": point[metric], "note": point["source"]})
        if np.isfinite(control[metric]):
            rows.append(
                {
                    "metric": metric,
                    "row": "unconnected",
                    "value": control[metric],
                    "n": 1,
                    "note": "no recurrent synapses, one seed",
                }
            )
    low, high = np.quantile(depths, [0.025, 0.975])
    rows.append({"metric": "synchrony_depth", "row": "shifted_trains", "value": depths.mean(), "chance": depths.mean(), "low": low, "high": high,
                 "n": len(depths), "note": "central 95 % of shifts: independent neurons of the same intervals"})  # fmt: skip
    return pd.DataFrame(rows).assign(version=1)


def run(config, unit, work):
    tables, panels, arrays, says, notes, costs, shapes = [], [], {}, [], [NOTE], [], {}
    points = points_of(config, unit["network"])
    for name, point in points.items():
        network, seconds = make(config, point)
        stop, found, first = config.warm_up + seconds, [], None
        for k in range(config.n_seeds):
            simulation = simulate(network, stop, seed=work.seed + k, threads=config.threads)
            if simulation.stopped:
                notes.append(f"{name}, seed {work.seed + k}: {simulation.stopped}")
                continue
            found.append(activity(simulation, begin=config.warm_up))
            first = first or simulation
        if first is None:
            raise BraindecError(f"{unit['network']}, {name}: stopped for every seed", found=notes[-1])
        alone = activity(simulate(make(config, point, connected=False)[0], stop, seed=work.seed), begin=config.warm_up)
        depths = shifted_depth(first, begin=config.warm_up, n=config.n_shifts, seed=work.seed)
        tables.append(
            rows_of([measure(a) for a in found], measure(alone), depths, point).assign(
                regime=name if len(points) > 1 else ""
            )
        )
        says.append(answer(f"{name}: " if len(points) > 1 else "", found, point))
        panels += pictures(name if len(points) > 1 else "", first, found[0], arrays, config.warm_up)
        shapes |= {name: found[0]} if len(points) > 1 else {"network": found[0], "without recurrent synapses": alone}
        costs.append(f"{name + ' ' if len(points) > 1 else ''}{first.seconds_of_cpu / stop:.2g} s")
    overview = {"neurons": f"{sum(p.n for p in network.populations):,}", "synapses": f"{sum(s.n for s in first.final.synapses):,}",
                "seeds": config.n_seeds, "looked at": f"{seconds:g} s after {config.warm_up:g} s", "processor time of a second": ", ".join(costs)}  # fmt: skip
    panels += shape_panels(shapes, arrays)
    scores = pd.concat(tables, ignore_index=True)
    if len(points) == 1:
        scores = scores.drop(columns="regime")
    return Result(
        scores,
        arrays,
        {"overview": overview, "panels": panels, "citations": CITATIONS, "answers": says, "notes": notes},
    )


NOTE = (
    "Synchrony is the depth of modulation of the population's rate, sqrt(var - mean) / mean of its spike counts in bins of 1 ms: 0 for independent "
    f"neurons. A finite network is never quite asynchronous; above {SYNCHRONOUS_ABOVE} it is called synchronous here, below a CV of {REGULAR_BELOW} regular."
)


def answer(name, found, point):
    calls = [regime(a) for a in found]
    call = max(set(calls), key=calls.count)
    rate, cv = np.mean([a.rate for a in found]), np.nanmean([a.cv for a in found])
    if call == "silent":
        return f"{name}nearly silent ({calls.count(call)} of {len(calls)} seeds), {rate:.3g} Hz a neuron."
    said = f"{name}{WORDS[call[0]]}, {WORDS[call[1]]} ({calls.count(call)} of {len(calls)} seeds), {rate:.3g} Hz a neuron, CV {cv:.2f}"
    if call[0] == "S":
        said += f", the population at {np.median([a.frequency for a in found]):.0f} Hz"
    if "says" not in point:
        return said + "."
    rates = [
        f"{point[k]:g} Hz {what}"
        for k, what in (("rate", "a neuron"), ("population_frequency", "of the population"))
        if k in point
    ]
    return f"{said}; published: {', '.join([point['says'], *rates])}."


def pictures(name, simulation, first, arrays, warm_up):
    """Raster and rate of the population in the last 150 ms of the first seed."""
    begin, spikes, key = max(simulation.stop - 0.15, warm_up), simulation.spikes, name or "network"
    population = spikes.units["population"].to_numpy()
    chosen = np.concatenate([np.flatnonzero(population == p.name)[: max(round(100 * p.n / len(population)), 1)] for p in simulation.network.populations])  # fmt: skip
    place = np.full(spikes.n_units, -1)
    place[chosen] = np.arange(len(chosen))
    keep = (place[spikes.unit] >= 0) & (spikes.times >= begin)
    shown = first.counts[-round((simulation.stop - begin) * 1e3) :]
    arrays |= {f"{key}/times": spikes.times[keep], f"{key}/unit": place[spikes.unit[keep]], f"{key}/rate": shown / spikes.n_units * 1e3,
               f"{key}/bins": simulation.stop - (len(shown) - np.arange(len(shown)) - 0.5) * 1e-3}  # fmt: skip
    groups = [{"E": "excitatory", "I": "inhibitory"}[p] for p in population[chosen]]
    lead = f"{name}: s" if name else "S"
    return [
        {"draw": "raster", "title": f"{lead}pikes of {len(chosen)} neurons", "caption": "The last 150 ms of the first seed.",
         "args": {"times": f"@{key}/times", "unit": f"@{key}/unit", "groups": groups, "limits": [begin, simulation.stop], "ylabel": "neuron"}},
        {"draw": "rate_curve", "title": f"{name + ': r' if name else 'R'}ate of the population", "caption": "Bins of 1 ms.",
         "args": {"times": f"@{key}/bins", "values": f"@{key}/rate"}},
    ]  # fmt: skip


def shape_panels(shapes, arrays):
    """Distributions of the CVs and of the intervals, first seeds."""
    edges = np.linspace(0.0, max([1.2, *(float(a.cvs.max()) for a in shapes.values() if len(a.cvs))]), 61)
    cvs = {name: np.histogram(a.cvs, edges)[0] / len(a.cvs) for name, a in shapes.items() if len(a.cvs)}
    arrays |= {"cvs/bins": (edges[1:] + edges[:-1]) / 2, "cvs/shares": np.array(list(cvs.values()))}
    rng = np.random.default_rng(0)
    arrays |= {
        f"intervals/{name}": rng.permutation(a.intervals)[:20_000] for name, a in shapes.items() if len(a.intervals) > 1
    }
    names = [n for n in shapes if f"intervals/{n}" in arrays]
    return [
        {"draw": "rate_curve", "title": "Irregularity", "caption": "Neurons with four spikes or more; a Poisson process has a CV of 1.",
         "args": {"times": "@cvs/bins", "values": "@cvs/shares", "labels": list(cvs), "unit": "", "ylabel": "share of neurons", "xlabel": "CV of intervals"}},
        {"draw": "interval_histogram", "title": "Intervals", "args": {"intervals": [f"@intervals/{n}" for n in names], "labels": names},
         "caption": "Of all neurons, first seeds."},
    ]  # fmt: skip
