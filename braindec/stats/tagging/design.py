"""A tagged stimulus: which levels it has, how fast each comes, what is dropped, which trial lengths fit.

Source: Ding, Melloni, Zhang, Tian & Poeppel 2016 (Nat Neurosci 19:158) for hierarchical frequency tagging of language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import gcd, inf, lcm
from numbers import Integral, Real

from braindec.errors import BraindecError
from braindec.stats.tagging.bins import harmonic_notes

__all__ = ["Design"]


@dataclass(frozen=True)
class Design:
    """A stream of sentences of one length, presented unit by unit at a fixed rate.

    Parameters
    ----------
    levels : mapping of str to int
        Span of each level in units, e.g. ``{"word": 1, "phrase": 2, "sentence": 4}``. The longest is the sentence.
    n_sentences : int
        Sentences of one trial, the dropped ones included.
    unit_rate : float
        Units a second, Hz. For language models it is a convention: one unit is one sample.
    drop : int
        Sentences left out at the start of each trial: the onset response (and the first token of a language model, whose
        activations are extreme) is an impulse with power in every bin.

    Raises
    ------
    BraindecError
        If levels do not make a hierarchy, nothing is left after the drop, or a level is off-bin; the message says which
        numbers of sentences fit.

    Examples
    --------
    >>> design = Design({"word": 1, "phrase": 2, "sentence": 4}, n_sentences=9)
    >>> design.rates
    {'word': 4.0, 'phrase': 2.0, 'sentence': 1.0}
    >>> design.n_units, design.kept_units
    (36, 32)
    """

    levels: Mapping[str, int] = field(default_factory=lambda: {"word": 1, "phrase": 2, "sentence": 4})
    n_sentences: int = 9
    unit_rate: float = 4.0
    drop: int = 1

    def __post_init__(self) -> None:
        named = dict(self.levels) if isinstance(self.levels, Mapping) else {}
        whole = all(
            isinstance(s, Real) and not isinstance(s, bool) and s == round(s) and s >= 1 for s in named.values()
        )
        if not named or not whole or len(set(named.values())) < len(named):
            raise BraindecError(
                "levels have different whole spans of at least 1 unit", found=str(self.levels),
                allowed='e.g. {"word": 1, "phrase": 2, "sentence": 4}',
            )  # fmt: skip
        levels = dict(sorted(named.items(), key=lambda item: item[1]))
        for name in ("n_sentences", "drop"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool):
                raise BraindecError(f"{name}={value!r} does not work", allowed="a whole number of sentences")
        object.__setattr__(self, "levels", {str(k): int(v) for k, v in levels.items()})
        if not isinstance(self.unit_rate, Real) or not 0 < self.unit_rate < inf:
            raise BraindecError("units come at a rate above 0 Hz", found=f"{self.unit_rate!r}")
        if not 0 <= self.drop < self.n_sentences:
            raise BraindecError(
                "a trial keeps at least one sentence after the onset is dropped",
                found=f"{self.n_sentences} sentences, {self.drop} dropped",
            )
        self._check_bins()

    def _check_bins(self) -> None:
        kept, step = self.n_sentences - self.drop, self.sentence_steps
        if kept % step:
            fits = [n + self.drop for n in (kept // step * step, (kept // step + 1) * step) if n > 0]
            odd = {k: s // gcd(s, self.sentence) for k, s in self.levels.items() if kept % (s // gcd(s, self.sentence))}
            raise BraindecError(
                f"trials of {kept} kept sentences are too short or too long: {', '.join(odd)} fall between Fourier bins",
                found=f"{self.kept_units} kept units; spans {', '.join(f'{k} {self.levels[k]}' for k in odd)}",
                allowed=f"n_sentences = {' or '.join(map(str, fits))} (kept: multiples of {step} sentences; alone, "
                + "; ".join(f"{k} needs multiples of {n}" for k, n in odd.items()) + ")",
            )  # fmt: skip

    @property
    def sentence(self) -> int:
        """Units of a sentence: the longest span."""
        return max(self.levels.values())

    @property
    def sentence_steps(self) -> int:
        """Smallest number of kept sentences on which every level is on-bin."""
        return lcm(*(s // gcd(s, self.sentence) for s in self.levels.values()))

    @property
    def rates(self) -> dict[str, float]:
        """Rate of each level, Hz."""
        return {name: self.unit_rate / span for name, span in self.levels.items()}

    def observable(self, sfreq: float | None = None) -> dict[str, float]:
        """Return the rates at or below the Nyquist frequency of ``sfreq`` (one sample a unit by default), Hz."""
        sfreq = self.unit_rate if sfreq is None else sfreq
        return {name: rate for name, rate in self.rates.items() if rate <= sfreq / 2 + 1e-9}

    @property
    def n_units(self) -> int:
        """Units of a trial, the dropped ones included."""
        return self.n_sentences * self.sentence

    @property
    def kept_units(self) -> int:
        """Units of a trial that are analysed."""
        return (self.n_sentences - self.drop) * self.sentence

    @property
    def onset(self) -> float:
        """Duration of the dropped onset, s."""
        return self.drop * self.sentence / self.unit_rate

    @property
    def duration(self) -> float:
        """Duration of a trial, the onset included, s."""
        return self.n_units / self.unit_rate

    @property
    def notes(self) -> list[str]:
        """What a reader must know: harmonics, levels that do not tile the sentence, no onset drop."""
        said = harmonic_notes({k: v for k, v in self.rates.items() if self.levels[k] > 1})
        for name, span in self.levels.items():
            if self.sentence % span:
                said.append(
                    f"{name} spans {span} units and does not tile a sentence of {self.sentence}: what comes once a sentence has "
                    f"power at multiples of {self.unit_rate / self.sentence:g} Hz only, not at {self.unit_rate / span:g} Hz; only a "
                    "response that runs through sentence boundaries can be seen there."
                )
        if not self.drop:
            said.append(
                "No sentence is dropped at the onset: the onset response (in language models the extreme activation of the first "
                "token) has power in every bin."
            )
        return said
