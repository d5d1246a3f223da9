"""Checks of a whole network, one clear message each."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.networks._numbers import numbers
from braindec.stats.asked import number, whole

if TYPE_CHECKING:
    from braindec.networks.description import CurrentDrive, Network, PoissonDrive, Projection

__all__ = ["check_network", "receptor_of"]

_FAR = 100.0  # first weights so many times below their bound are a unit that was forgotten
MAX_DELAY = 10.0  # s; longer ones are a unit that was mistaken, and would take memory for every step of them
_WORD = {1: "excitatory", -1: "inhibitory"}


def check_network(network: Network) -> None:
    """Raise if anything in the network does not fit."""
    if not numbers(network.dt, "dt", finite=False) > 0:
        raise BraindecError("a network needs a time step above 0 s", found=f"dt={network.dt}")
    if not network.populations:
        raise BraindecError("a network needs a population")
    for what, named in (("populations", network.populations), ("projections", network.projections)):
        twice = [n for n, k in Counter(p.name for p in named).items() if k > 1]
        if twice:
            raise BraindecError(f"two {what} are called {twice[0]!r}", fix="give each a name of its own")
    for population in network.populations:
        values = population.values
        times = {k: v for k, v in values.items() if k.startswith("tau")}
        for name, value in {**times, **(population.kind.times(values) if population.kind.times else {})}.items():
            if network.dt > np.min(value):
                raise BraindecError(
                    f"the time step is longer than {name} of the population {population.name!r}",
                    found=f"dt={network.dt:g} s, {name}={np.min(value):g} s",
                    fix="take a smaller dt; both are in s",
                )
        if values.get("bin_width") is not None:
            check_bins(network, values["bin_width"], f"the population {population.name!r}")
        population.kind.constants(values, network.dt)
    for projection in network.projections:
        _check_projection(network, projection)
    for drive in network.drives:
        _check_drive(network, drive)
    twice = [n for n, k in Counter(d.target for d in network.drives if hasattr(d, "current")).items() if k > 1]
    if twice:
        raise BraindecError(f"{twice[0]!r} has two current drives", fix="add them up in one")


def check_bins(network: Network, width: Any, where: str) -> None:
    """Raise unless bins of ``width`` s are whole steps."""
    steps = float(numbers(width, f"{where}: bin_width")) / network.dt
    if steps < 1 - 1e-9:
        raise BraindecError(f"{where}: bins are shorter than a step", found=f"{width} s", allowed=f"{network.dt} s or more")  # fmt: skip
    if abs(steps - round(steps)) > 1e-6 * steps:
        raise BraindecError(
            f"{where}: bins are no whole number of steps", found=f"{width:g} s of dt={network.dt:g} s",
            fix="take another bin_width or dt",
        )  # fmt: skip


def _check_projection(network: Network, projection: Projection) -> None:
    where = f"the projection {projection.name!r}"
    source, target = (network.population(n, where) for n in (projection.source, projection.target))
    if projection.delay is not None:
        shortest = _least(projection.delay)
        if _most(projection.delay) > MAX_DELAY:
            raise BraindecError(
                f"{where} has a delay of more than {MAX_DELAY:g} s", found=f"{_most(projection.delay):g} s",
                fix="delays are in s",
            )  # fmt: skip
        if shortest < network.dt * (1 - 1e-9):
            raise BraindecError(
                f"{where} has a delay shorter than the time step",
                found=f"delay={shortest:g} s, dt={network.dt:g} s",
                allowed=f"{network.dt:g} s or more",
            )
    if not target.kind.states:
        raise BraindecError(f"{where} ends at {target.name!r}, whose spikes are given ({target.model})")
    projection.rule.check(source, target)
    name = receptor_of(network, projection)
    weights = weight_range(projection)
    check_signs(network, projection, name, weights)
    bound = (projection.plasticity.params if projection.plasticity is not None else {}).get("w_max")
    first = float(np.abs(weights).max(initial=0.0))
    if bound is not None and 0 < first < float(bound) / _FAR:
        warnings.warn(
            f"{where} is plastic up to w_max = {float(bound):g}, {float(bound) / first:.0f} times its first weights: amplitudes are "
            "shares of w_max, so weights run off at once; rule.with_params(w_max=...) sets it",
            UserWarning, stacklevel=4,
        )  # fmt: skip
    if projection.plasticity is not None and not np.isscalar(projection.delay) and projection.delay is not None:
        raise BraindecError(f"{where} is plastic and needs one delay for all its synapses", found=str(projection.delay)[:80])  # fmt: skip


def weight_range(projection: Projection) -> np.ndarray:
    """Return weights whose signs are those that the projection may have."""
    from braindec.networks.description import Normal, Uniform
    from braindec.networks.rules.from_matrix import FromMatrix

    weight = projection.weight
    if isinstance(weight, Normal):
        values = np.array([weight.mean])
    elif isinstance(weight, Uniform):
        values = np.array([weight.low, weight.high])
    else:
        values = np.atleast_1d(numbers(weight, f"the projection {projection.name!r}: weight", finite=False)).ravel()
    if not np.isfinite(values).all():
        raise BraindecError(f"the projection {projection.name!r} has weights that are not finite")
    if isinstance(projection.rule, FromMatrix) and values.size == 1:
        matrix = projection.rule.matrix
        entries = matrix.data if hasattr(matrix, "tocoo") else np.asarray(matrix, dtype=float)
        entries = np.asarray(entries, dtype=float).ravel()
        values = values[0] * entries[entries != 0] if np.any(entries) else np.zeros(1)
    return values


def check_signs(network: Network, projection: Projection, receptor: str, values: np.ndarray) -> None:
    """Raise if weights have a sign that the source or the receptor may not have."""
    source, target = network.population(projection.source), network.population(projection.target)
    kind = target.kind.receptors[receptor]
    own = {"excitatory": 1, "inhibitory": -1, None: 0}[source.sign]
    where = f"the projection {projection.name!r}"
    wanted = 1 if kind.source else own  # conductances are above zero, and the receptor tells their sign
    wrong = int((values * wanted < 0).sum()) if wanted else 0
    if wrong:
        why = (
            f"weights of the receptor {receptor!r} of {target.model!r} are above zero"
            if kind.source
            else f"{source.name!r} is {source.sign}"
        )
        raise BraindecError(
            f"{where} has weights of the wrong sign: {why}",
            found=f"{wrong} of {values.size} {'below' if wanted > 0 else 'above'} zero, such as {values[values * wanted < 0][0]:g}",
            allowed="weights >= 0" if wanted > 0 else "weights <= 0",
        )
    if kind.source and own and kind.source != own:
        raise BraindecError(
            f"{where} ends at the {receptor} receptor, and {source.name!r} is {source.sign}",
            fix=f"receptor={_WORD[own]!r}",
        )


def receptor_of(network: Network, part: Projection | PoissonDrive) -> str:
    """Return the receptor asked for, or the one that the sign of the source or of the weight belongs to."""
    target = network.population(part.target)
    known = target.kind.receptors
    if part.receptor is not None:
        if part.receptor not in known:
            raise BraindecError(
                f"{target.model!r} has no receptor {part.receptor!r}{did_you_mean(part.receptor, known)}",
                allowed=", ".join(known) or "none",
            )
        return part.receptor
    if len(known) == 1:
        return next(iter(known))
    source = getattr(part, "source", None)
    own = {"excitatory": 1, "inhibitory": -1, None: 0}[network.population(source).sign] if source else 0
    values = weight_range(part) if source else np.atleast_1d(np.asarray(part.weight, dtype=float))
    sign = own or (1 if np.all(values >= 0) else -1 if np.all(values <= 0) else 0)
    fitting = [n for n, r in known.items() if sign and sign in (r.sign, r.source)]
    if not fitting:
        raise BraindecError(
            f"which receptor of {target.name!r} is meant? its weights have both signs", allowed=", ".join(known),
            fix="name it: receptor=...",
        )  # fmt: skip
    return fitting[0]


def _check_drive(network: Network, drive: PoissonDrive | CurrentDrive) -> None:
    from braindec.networks.description import PoissonDrive

    where = f"a drive of {drive.target!r}"
    target = network.population(drive.target, where)
    poisson = isinstance(drive, PoissonDrive)
    what = "rate" if poisson else "current"
    values = numbers(getattr(drive, what), f"{where}: the {what}", finite=False)
    if not target.kind.states:
        raise BraindecError(f"{where}: its spikes are given ({target.model}), nothing drives it")
    if not np.isfinite(values).all() or (poisson and np.any(values < 0)):
        raise BraindecError(f"{where}: the {what} is not finite{' or below zero' if poisson else ''}")
    if values.ndim == 2 and drive.bin_width is None:
        raise BraindecError(f"{where}: a {what} by time needs bin_width", found=f"shape {values.shape}")
    if not values.size or values.ndim > 2 or (values.ndim and values.shape[-1] not in (target.n, 1)) or (values.ndim == 1 and values.size != target.n):  # fmt: skip
        raise BraindecError(
            f"{where}: the {what} has another shape", found=str(values.shape),
            allowed=f"a number, ({target.n},), or with bin_width (n_bins, 1) or (n_bins, {target.n})",
        )  # fmt: skip
    if drive.bin_width is not None:
        check_bins(network, drive.bin_width, where)
    if poisson:
        number(drive.weight, f"{where}: weight")
        whole(drive.n_synapses, f"{where}: n_synapses")
        receptor = receptor_of(network, drive)
        kind = target.kind.receptors[receptor]
        if kind.source and drive.weight < 0:
            raise BraindecError(f"{where}: conductances are above zero", found=f"weight={drive.weight}")
        if drive.receptor and kind.sign * drive.weight < 0:
            raise BraindecError(f"{where} has a weight of the wrong sign for the receptor {receptor!r}", found=f"weight={drive.weight}")  # fmt: skip
    elif target.kind.current is None:
        raise BraindecError(f"{where}: the model {target.model!r} takes no current")


def _least(value: Any) -> float:
    from braindec.networks.description import Normal, Uniform

    if isinstance(value, Uniform):
        return value.low
    if isinstance(value, Normal):
        return value.mean
    found = numbers(value, "a delay", finite=False)
    return float(np.nan_to_num(found, nan=-np.inf).min()) if found.size else np.inf


def _most(value: Any) -> float:
    from braindec.networks.description import Normal, Uniform

    if isinstance(value, Normal):
        return value.mean
    found = numbers(value.high if isinstance(value, Uniform) else value, "a delay", finite=False)
    return float(found.max()) if found.size else 0.0
