"""Assembly calculus: areas of neurons in which the k most excited fire, random synapses, plasticity, and what they compute.

An area has ``n`` neurons of which at each step the ``k`` with the largest input fire (ties fall by chance). Synapses within
and between areas are there with probability ``p``, weight 1. A synapse whose source fires at one step and whose target
fires at the next is strengthened:

* ``"hebb"``: ``w *= 1 + beta`` (the published model);
* ``"oja"``: ``w += beta (top x - w) / (top - 1)`` for synapses onto neurons that fire, ``x`` 1 where the source fired before
  and else 0: growth begins as with Hebb, weights stay below ``top`` and those of silent sources fade;
* ``"stdp"``: ``w *= 1 + beta`` as above, and ``w *= 1 - beta depression`` where the target fired one step *before* the
  source.

A row of synapses is drawn when its neuron first fires, from the seed, the two names and the neuron alone: areas of 1e5
neurons cost what their active neurons cost, and the connectome does not depend on what was done before.

Source: Papadimitriou, Vempala, Mitropolsky, Collins & Maass 2020, PNAS 117, "Brain computation by assemblies of neurons".
Differs from the reference in: weights are not renormalised (so an assembly that was driven for some tens of steps draws
other stimuli in); neurons without any input never fire.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.networks._assembly_fibres import Fibre
from braindec.stats.asked import number, seed_of, whole

__all__ = ["Assemblies", "Projected", "overlap"]

PLASTICITY = ("hebb", "oja", "stdp")


def overlap(a: Any, b: Any) -> float:
    """Return the share of neurons that two assemblies have in common, of the smaller one."""
    a, b = np.unique(a), np.unique(b)
    if not len(a) or not len(b):
        raise BraindecError("an assembly without neurons has no overlap", found=f"{len(a)} and {len(b)} neurons")
    return len(np.intersect1d(a, b, assume_unique=True)) / min(len(a), len(b))


@dataclass(frozen=True)
class Projected:
    """What happened in one area while it was driven.

    Parameters
    ----------
    assembly : array of int, shape (k,)
        Neurons that fired in the last step, in order.
    new : array of int, shape (n_steps,)
        How many fired in each step that had not fired in an earlier step of these.
    kept : array of float, shape (n_steps,)
        Overlap of each step's neurons with those of the step before; 0 in the first.
    """

    assembly: np.ndarray
    new: np.ndarray
    kept: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """How many different neurons have fired up to each step."""
        return np.cumsum(self.new)

    @property
    def converged(self) -> bool:
        """Whether the last quarter of the steps (at least two) brought no new neuron."""
        last = max(2, len(self.new) // 4)
        return len(self.new) > last and not self.new[-last:].any()


class Assemblies:
    """Areas, stimuli and the fibres between them.

    Parameters
    ----------
    areas : mapping of str to int
        Number of neurons of each area.
    stimuli : sequence of str
        Names of stimuli: sets of ``k`` neurons outside the areas that all fire while the stimulus is on.
    k : int
        How many neurons of an area, and of a stimulus, fire in a step.
    p : float
        Probability of a synapse.
    beta : float
        Plasticity.
    plasticity : {"hebb", "oja", "stdp"}
    top : float
        Oja's largest weight, above 1 + beta.
    depression : float
        What share of ``beta`` STDP takes away for the reverse order.
    seed : int

    Raises
    ------
    BraindecError
        If a name appears twice, an area is not larger than ``k``, or a number lies outside its range.
    """

    def __init__(
        self,
        areas: Mapping[str, int],
        stimuli: Sequence[str] = (),
        *,
        k: int = 100,
        p: float = 0.05,
        beta: float = 0.1,
        plasticity: str = "hebb",
        top: float = 10.0,
        depression: float = 0.25,
        seed: int = 0,
    ) -> None:
        whole(k, "k", least=1)
        seed_of(seed)
        self.areas = {str(a): whole(n, f"the number of neurons of {a}", least=1) for a, n in areas.items()}
        self.stimuli = tuple(map(str, stimuli))
        names = [*self.areas, *self.stimuli]
        if len(set(names)) < len(names):
            raise BraindecError("areas and stimuli need different names", found=", ".join(names))
        if plasticity not in PLASTICITY:
            raise BraindecError(f"no plasticity {plasticity!r}{did_you_mean(plasticity, PLASTICITY)}", allowed=", ".join(PLASTICITY))  # fmt: skip
        small = {a: n for a, n in self.areas.items() if n <= k}
        if small or not self.areas:
            raise BraindecError("every area needs more neurons than fire in a step", found=f"k = {k}, areas {self.areas}")  # fmt: skip
        for name, value, low, high in (("p", p, 0, 1), ("beta", beta, 0, np.inf),
                                       ("depression", depression, 0, 1 / max(beta, 1e-12)), ("top", top, 1.0 + beta, np.inf)):  # fmt: skip
            if not low <= value <= high:
                raise BraindecError(f"{name} lies outside its range", found=f"{value:g}", allowed=f"{low:g} to {high:g}")  # fmt: skip
        self.k, self.p, self.beta, self.plasticity = int(k), float(p), float(beta), plasticity
        self.top, self.depression, self.seed = float(top), float(depression), int(seed)
        self.firing: dict[str, np.ndarray] = {a: np.zeros(0, dtype=np.int64) for a in self.areas}
        self._fibres: dict[tuple[str, str], Fibre] = {}
        self._rng = np.random.default_rng(seed)

    def fire(
        self, fibres: Mapping[str, Iterable[str]], steps: int = 1, *, plastic: bool = True, hold: Iterable[str] = ()
    ) -> dict[str, Projected]:
        """Let stimuli and areas drive areas for some steps; areas that nothing drives fall silent.

        Parameters
        ----------
        fibres : mapping of str to names
            Which areas each stimulus or area drives, e.g. ``{"s": ["A"], "A": ["A"]}``.
        steps : int
        plastic : bool
            Whether weights change.
        hold : names of areas
            Areas whose present neurons go on firing whatever drives them.

        Returns
        -------
        dict of str to Projected
            Of every area that was driven.
        """
        return self._play([(fibres, hold)] * whole(steps, "steps", least=1), plastic=plastic)

    def project(self, source: str, area: str, *, steps: int = 20, plastic: bool = True) -> Projected:
        """Drive an area with a stimulus, or another area's present neurons, held firing, until an assembly forms.

        The first step has the source alone; from then on the area drives itself too.
        """
        steps, hold = whole(steps, "steps", least=1), [source] if source in self.areas else []
        self._fires(*hold)
        plan = [({source: [area]}, hold), *[({source: [area], area: [area]}, hold)] * (steps - 1)]
        return self._play(plan, plastic=plastic)[area]

    def reciprocal(self, source: str, area: str, *, steps: int = 20) -> Projected:
        """Project ``source``'s present assembly to ``area``, with fibres back: each comes to fire the other."""
        steps = whole(steps, "steps", least=1)
        self._fires(source)
        both = {source: [source, area], area: [area, source]}
        return self._play([({source: [area]}, [source]), *[(both, [])] * (steps - 1)])[area]

    def associate(self, first: str, second: str, area: str, *, steps: int = 20) -> Projected:
        """Fire two stimuli into one area together: their assemblies there grow into one another."""
        return self.fire({first: [area], second: [area], area: [area]}, steps)[area]

    def merge(self, first: str, second: str, area: str, *, steps: int = 20) -> Projected:
        """Make an assembly in ``area`` that fires with the present assemblies of two other areas, and they with it."""
        steps = whole(steps, "steps", least=1)
        self._fires(first, second)
        both = {first: [first, area], second: [second, area], area: [area, first, second]}
        return self._play([({first: [area], second: [area]}, [first, second]), *[(both, [])] * (steps - 1)])[area]

    def complete(self, area: str, assembly: Any, *, fraction: float, steps: int = 5) -> np.ndarray:
        """Fire a random share of an assembly and let the area run on its own, weights fixed; return who fires in the end."""
        assembly = np.unique(np.asarray(assembly, dtype=np.int64))
        n = round(number(fraction, "fraction", least=0, most=1) * len(assembly))
        if not 1 <= n <= len(assembly):
            raise BraindecError("pattern completion needs a share of the assembly", found=f"{fraction:g}", allowed="above 0, up to 1")  # fmt: skip
        self.set_firing(area, self._rng.choice(assembly, n, replace=False))
        self.fire({area: [area]}, steps, plastic=False)
        return self.firing[area]

    def set_firing(self, area: str, neurons: Any) -> None:
        """Say which neurons of an area fire now."""
        self._known([area], list(self.areas))
        neurons = np.unique(np.asarray(neurons, dtype=np.int64))
        if len(neurons) and not 0 <= neurons[0] <= neurons[-1] < self.areas[area]:
            raise BraindecError(f"{area} has no such neurons", found=f"{neurons[0]} to {neurons[-1]}", allowed=f"0 to {self.areas[area] - 1}")  # fmt: skip
        self.firing = {**self.firing, area: neurons}

    def weight(self, source: str, area: str, firing: Any, onto: Any) -> float:
        """Return the mean weight of the synapses from some neurons to others; NaN where there are none."""
        self._known([source], [*self.areas, *self.stimuli])
        self._known([area], list(self.areas))
        fibre = self._fibre(source, area)
        for name, who, n in ((source, firing, self.areas.get(source, self.k)), (area, onto, fibre.n)):
            if np.size(who) and not 0 <= np.min(who) <= np.max(who) < n:
                raise BraindecError(f"{name} has no such neurons", found=f"{np.min(who)} to {np.max(who)}", allowed=f"0 to {n - 1}")  # fmt: skip
        mask = np.zeros(fibre.n, dtype=bool)
        mask[np.asarray(onto, dtype=np.int64)] = True
        factor = np.ones(fibre.n) if fibre.factor is None else fibre.factor
        found = [w[mask[t]] * factor[t[mask[t]]] for t, w in (fibre.row(int(i)) for i in np.asarray(firing))]
        values = np.concatenate(found) if found else np.zeros(0)
        return float(values.mean()) if len(values) else float("nan")

    def _play(self, plan: Sequence[tuple[Mapping[str, Iterable[str]], Iterable[str]]], *, plastic: bool = True) -> dict[str, Projected]:  # fmt: skip
        """Go through (fibres, areas held) step after step."""
        fired: dict[str, list[np.ndarray]] = {}
        for fibres, hold in plan:
            held, wanted = set(hold), {str(s): list(map(str, to)) for s, to in fibres.items()}
            self._known(wanted, [*self.areas, *self.stimuli])
            driven = dict.fromkeys(t for to in wanted.values() for t in to)
            self._known([*driven, *held], list(self.areas))
            before = self.firing
            now = {a: before[a] if a in held else np.zeros(0, dtype=np.int64) for a in self.areas}
            for area in driven:
                if area in held:
                    continue
                drive = np.zeros(self.areas[area])
                for source, to in wanted.items():
                    if area in to:
                        drive += self._fibre(source, area).drive(self._active(source, before))
                now[area] = self._winners(drive)
                fired.setdefault(area, []).append(now[area])
            if plastic:
                for source, to in wanted.items():
                    for area in to:
                        self._learn(source, area, before, now)
            self.firing = now
        return {a: _projected(steps) for a, steps in fired.items()}

    def _learn(self, source: str, area: str, before: Mapping[str, np.ndarray], now: Mapping[str, np.ndarray]) -> None:
        fibre, fired = self._fibre(source, area), self._active(source, before)
        if self.plasticity == "oja":
            fibre.oja(fired, now[area], self.beta / (self.top - 1.0), self.top)
            return
        fibre.scale(fired, now[area], 1.0 + self.beta)
        if self.plasticity == "stdp":
            fibre.scale(self._active(source, now), before[area], 1.0 - self.beta * self.depression)

    def _winners(self, drive: np.ndarray) -> np.ndarray:
        driven = np.flatnonzero(drive > 0)
        if len(driven) > self.k:
            values = drive[driven]
            least = np.partition(values, len(values) - self.k)[len(values) - self.k]
            above, tied = driven[values > least], driven[values == least]
            driven = np.concatenate([above, self._rng.choice(tied, self.k - len(above), replace=False)])
        return np.sort(driven)

    def _active(self, name: str, firing: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.arange(self.k) if name in self.stimuli else firing[name]

    def _fibre(self, source: str, area: str) -> Fibre:
        if (source, area) not in self._fibres:
            seed = (self.seed, zlib.crc32(source.encode()), zlib.crc32(area.encode()))
            self._fibres[source, area] = Fibre(seed, self.areas[area], self.p, source == area)
        return self._fibres[source, area]

    def _fires(self, *areas: str) -> None:
        for area in areas:
            self._known([area], list(self.areas))
            if not len(self.firing[area]):
                raise BraindecError(f"no neuron of {area} fires, so it projects nothing", fix="project a stimulus into it first, or set_firing")  # fmt: skip

    def _known(self, names: Iterable[str], there: Sequence[str]) -> None:
        for name in names:
            if name not in there:
                raise BraindecError(f"no area or stimulus {name!r} here{did_you_mean(name, there)}", allowed=", ".join(there))  # fmt: skip


def _projected(fired: Sequence[np.ndarray]) -> Projected:
    """Describe who fired step after step."""
    seen: set[int] = set()
    new, kept = [], []
    for i, winners in enumerate(fired):
        fresh = set(winners.tolist()) - seen
        new.append(len(fresh))
        seen |= fresh
        kept.append(overlap(winners, fired[i - 1]) if i and len(winners) and len(fired[i - 1]) else 0.0)
    return Projected(fired[-1] if fired else np.zeros(0, dtype=np.int64), np.array(new), np.array(kept))
