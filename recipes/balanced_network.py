"""Balanced networks of excitatory and inhibitory neurons: how active, irregular and synchronous they are, and what was published.

Each network is built and run from several seeds. Rate, CV of intervals, synchrony and frequency of the population stand with
intervals over seeds beside what was published, beside the same network without recurrent synapses, and beside the same
spike trains shifted against one another, which keeps rates and intervals and gives the synchrony of independent neurons.
"""

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

UNITS = {"rate": "Hz", "cv_intervals": "", "synchrony_depth": "", "population_frequency": "Hz", "fano_5ms": ""}
CUBA = {
    "rate": 5.7,
    "cv_intervals": 0.69,
    "fano_5ms": 7.2,
    "says": "self-sustained asynchronous irregular activity",
    "regime": "AI",
}


class Point(Section):
    name: str
    g: PositiveFloat
    eta: PositiveFloat


class Cuba(Section):
    n: int = Field(4000, ge=100)
    seconds: PositiveFloat = 2.0


class Brunel(Section):
    n_excitatory: int = Field(10_000, ge=100)
    delay: PositiveFloat = 1.5e-3
    weight: PositiveFloat = 1e-4


class Config(RecipeConfig):
    networks: list[str | Point] = ["cuba", *(f"brunel-{name.replace(' ', '-')}" for name in REGIMES)]
    n_seeds: int = Field(5, ge=3)
    n_shifts: PositiveInt = 39
    warm_up: PositiveFloat = 0.2
    seconds: PositiveFloat = 0.5
    cuba: Cuba = Cuba()
    brunel: Brunel = Brunel()
    threads: PositiveInt = 1


def points(config):
    """name -> (g, eta, what was published)."""
    known = {f"brunel-{name.replace(' ', '-')}": r for name, r in REGIMES.items()}
    found = {}
    for item in config.networks:
        if isinstance(item, Point):
            found[item.name] = {"g": item.g, "eta": item.eta}
        elif item == "cuba":
            found[item] = CUBA
        elif item in known:
            found[item] = known[item]
        else:
            raise BraindecError(f"there is no network {item!r}{did_you_mean(item, ['cuba', *known])}", allowed=", ".join(["cuba", *known]))  # fmt: skip
    return found


def units(config):
    return [{"network": name} for name in points(config)]


def inputs(config, unit):
    return []


def make(config, point, connected=True):
    if "g" not in point:
        return cuba(config.cuba.n, connected=connected), config.cuba.seconds
    return brunel(point["g"], point["eta"], **config.brunel.model_dump(), connected=connected), config.seconds


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
        return (float(values[0]) if len(values) else np.nan), np.nan, np.nan, len(values)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), values.mean() - half, values.mean() + half, len(values)


def rows_of(measured, control, depths, point):
    rows = []
    for metric in UNITS:
        value, low, high, n = over_seeds([m[metric] for m in measured])
        base = {"metric": metric, "version": 1, "n": n}
        decoded = metric == "synchrony_depth"
        rows.append({**base, "row": "decoded" if decoded else "network", "value": value, "low": low, "high": high,
                     "chance": float(depths.mean()) if decoded else np.nan,
                     "p": permutation_p(measured[0][metric], depths) if decoded else np.nan,
                     "note": "interval: t over seeds" + ("; p: trains of the first seed shifted against one another" if decoded else "")})  # fmt: skip
        if metric in point:
            rows.append(
                {**base, "row": "published", "value": point[metric], "n": np.nan, "note": point.get("source", "")}
            )
        if np.isfinite(control[metric]):
            rows.append(
                {
                    **base,
                    "row": "unconnected",
                    "value": control[metric],
                    "n": 1,
                    "note": "no recurrent synapses, one seed",
                }
            )
    ends = np.quantile(depths, [0.025, 0.975])
    rows.append({"metric": "synchrony_depth", "version": 1, "row": "shifted_trains", "value": depths.mean(), "chance": depths.mean(), "low": ends[0],
                 "high": ends[1], "n": len(depths), "note": "central 95 % of shifts: independent neurons of the same intervals"})  # fmt: skip
    return pd.DataFrame(rows)


def run(config, unit, work):
    point = points(config)[unit["network"]]
    network, seconds = make(config, point)
    stop, found, first, stopped = config.warm_up + seconds, [], None, []
    for k in range(config.n_seeds):
        simulation = simulate(network, stop, seed=work.seed + k, threads=config.threads)
        if simulation.stopped:
            stopped.append(f"seed {work.seed + k}: {simulation.stopped}")
            continue
        found.append(activity(simulation, begin=config.warm_up))
        first = first or simulation
    if first is None:
        raise BraindecError(f"the network {unit['network']} was stopped for every seed", found=stopped[0])
    alone = activity(simulate(make(config, point, connected=False)[0], stop, seed=work.seed), begin=config.warm_up)
    depths = shifted_depth(first, begin=config.warm_up, n=config.n_shifts, seed=work.seed)
    measured = [measure(a) for a in found]
    scores = rows_of(measured, measure(alone), depths, point)
    panels, arrays = pictures(first, found[0], alone, config)
    overview = {"neurons": f"{sum(p.n for p in network.populations):,}", "synapses": f"{sum(s.n for s in first.final.synapses):,}", "seeds": len(found),
                "looked at": f"{seconds:g} s after {config.warm_up:g} s", **({"g, eta": f"{point['g']:g}, {point['eta']:g}"} if "g" in point else {}),
                "processor time of a second of activity": f"{first.seconds_of_cpu / stop:.2g} s"}  # fmt: skip
    made_by = {"overview": overview, "panels": panels, "citations": CITATIONS, "answers": [answer(unit["network"], found, point)],
               "notes": [*stopped, f"Synchrony is the depth of modulation of the population's rate (bins of 1 ms), 0 for independent neurons; above {SYNCHRONOUS_ABOVE} a "
                         f"network is called synchronous here (finite networks are never quite asynchronous), below a CV of {REGULAR_BELOW} regular."]}  # fmt: skip
    return Result(scores, arrays, made_by)


def answer(name, found, point):
    calls = [regime(a) for a in found]
    call = max(set(calls), key=calls.count)
    words = {"S": "synchronous", "A": "asynchronous", "R": "regular", "I": "irregular"}
    rate, cv = np.mean([a.rate for a in found]), np.nanmean([a.cv for a in found])
    said = f"{name}: {words[call[0]]} {words[call[1]]} ({calls.count(call)} of {len(calls)} seeds), {rate:.3g} Hz, CV {cv:.2f}"
    if call[0] == "S":
        said += f", population at {np.median([a.frequency for a in found]):.0f} Hz"
    return said + (f"; published: {point['says']}." if "says" in point else ".")


def pictures(simulation, first, alone, config):
    """Raster, rate of the population, CVs and intervals of the first seed."""
    begin = max(simulation.stop - 0.2, config.warm_up)
    spikes = simulation.spikes
    sizes = spikes.units["population"].value_counts(sort=False)
    chosen = np.concatenate([np.flatnonzero(spikes.units["population"] == name)[: max(round(100 * n / len(spikes.units)), 1)] for name, n in sizes.items()])  # fmt: skip
    place = np.full(spikes.n_units, -1)
    place[chosen] = np.arange(len(chosen))
    keep = (place[spikes.unit] >= 0) & (spikes.times >= begin)
    shown = first.counts[-round((simulation.stop - begin) * 1e3) :]
    times = simulation.stop - (len(shown) - np.arange(len(shown)) - 0.5) * 1e-3
    arrays = {
        "times": spikes.times[keep],
        "unit": place[spikes.unit[keep]],
        "rate_times": times,
        "rate": shown / spikes.n_units * 1e3,
    }
    groups = [{"E": "excitatory", "I": "inhibitory"}.get(p, p) for p in spikes.units["population"].iloc[chosen]]
    panels = [
        {"draw": "raster", "title": "Spikes of 100 neurons", "args": {"times": "@times", "unit": "@unit", "groups": groups, "limits": [begin, simulation.stop]},
         "caption": "The last 200 ms of the first seed."},
        {"draw": "rate_curve", "title": "Rate of the population", "args": {"times": "@rate_times", "values": "@rate"}, "caption": "Bins of 1 ms."},
    ]  # fmt: skip
    if len(first.cvs):
        arrays["cvs"] = first.cvs
        states = {"network": "@cvs"}
        if len(alone.cvs):
            arrays["cvs_alone"], states = alone.cvs, {"without recurrent synapses": "@cvs_alone", "network": "@cvs"}
        panels.append({"draw": "weight_histogram", "title": "Irregularity", "args": {"weights": states, "xlabel": "CV of intervals"},
                       "caption": "Neurons with four spikes or more; a Poisson process has 1."})  # fmt: skip
    if len(first.intervals) > 1:
        some = np.random.default_rng(0).permutation(len(first.intervals))[:20_000]
        arrays["intervals"] = first.intervals[some]
        panels.append({"draw": "interval_histogram", "title": "Intervals", "args": {"intervals": ["@intervals"]}, "caption": "Of all neurons, first seed."})  # fmt: skip
    return panels, arrays
