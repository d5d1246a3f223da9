"""Trials of input spikes with a class each: noisy copies of spike patterns, and numbers coded as rates.

:func:`jittered_patterns` makes classes that no count of spikes tells apart: every pattern has the same number of spikes on
every channel, at other times. Whoever reads out the whole trial must have kept when the spikes came.

Source: Maass, Natschlaeger & Markram 2002, Neural Computation 14, 2531 (jittered templates of Poisson spikes).
Differs from the reference in: equal counts on every channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.stats.asked import number, seed_of, whole

__all__ = ["SpikeTrials", "jittered_patterns", "rate_coded", "steady_input"]


@dataclass(frozen=True, eq=False)
class SpikeTrials:
    """Input spikes of trials.

    Parameters
    ----------
    time : array of shape (n_spikes,)
        s after the onset of the trial.
    channel, trial : array of int, shape (n_spikes,)
    labels : array of shape (n_trials,)
        Class of each trial.
    n_channels : int
    duration : float
        Of a trial, s.
    """

    time: np.ndarray
    channel: np.ndarray
    trial: np.ndarray
    labels: np.ndarray
    n_channels: int
    duration: float

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> SpikeTrials:
        """Return some trials, in the order asked for."""
        try:
            rows = np.atleast_1d(np.arange(len(self))[rows])
        except IndexError:
            raise BraindecError(
                "there are no such trials", found=str(rows)[:80], allowed=f"0 to {len(self) - 1}"
            ) from None
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        if len(np.unique(rows)) < len(rows):
            raise BraindecError("a trial is asked for twice", found=f"{len(rows)} rows, {len(np.unique(rows))} trials")
        kept = place[self.trial] >= 0
        return SpikeTrials(self.time[kept], self.channel[kept], place[self.trial[kept]], self.labels[rows], self.n_channels, self.duration)  # fmt: skip

    def stream(self, *, gap: float, start: float = 0.0) -> tuple[list[np.ndarray], np.ndarray, float]:
        """Put the trials one after another.

        Parameters
        ----------
        gap : float
            Silence between two trials, s.
        start : float
            Onset of the first, s.

        Returns
        -------
        trains : list of array
            Spike times of each channel, s, sorted.
        onsets : array of shape (n_trials,)
            s.
        stop : float
            End of the last trial and its gap, s.
        """
        number(gap, "gap", least=0, unit="s")
        number(start, "start", least=0, unit="s")
        onsets = start + np.arange(len(self)) * (self.duration + gap)
        when = self.time + onsets[self.trial]
        order = np.lexsort((when, self.channel))
        ends = np.cumsum(np.bincount(self.channel, minlength=self.n_channels))
        trains = np.split(when[order], ends[:-1])
        return trains, onsets, float(start + len(self) * (self.duration + gap))

    def counts(self, n_bins: int = 1, *, window: tuple[float, float] | None = None) -> np.ndarray:
        """Return spikes in equal bins of the trial or of a part of it (s after onset), shape (n_trials, n_channels, n_bins)."""
        begin, end = (0.0, self.duration) if window is None else window
        if not begin < end or whole(n_bins, "n_bins", least=1) < 1:
            raise BraindecError("a window ends after it begins", found=f"{begin:g} to {end:g} s")
        inside = (self.time >= begin) & (self.time <= end)
        bins = np.minimum(((self.time[inside] - begin) / (end - begin) * n_bins).astype(int), n_bins - 1)
        table = np.zeros((len(self), self.n_channels, n_bins))
        np.add.at(table, (self.trial[inside], self.channel[inside], bins), 1)
        return table


def jittered_patterns(
    n_classes: int = 4,
    n_trials: int = 240,
    *,
    n_channels: int = 40,
    spikes_each: int = 4,
    duration: float = 0.3,
    jitter: float = 6e-3,
    lost: float = 0.1,
    noise_rate: float = 2.0,
    tail: float = 0.0,
    seed: int = 0,
) -> SpikeTrials:
    """Draw one pattern a class and noisy copies of it, in random order.

    Parameters
    ----------
    n_classes, n_trials, n_channels : int
    spikes_each : int
        Spikes of every channel in every pattern, at random times.
    duration : float
        s.
    jitter : float
        Standard deviation of each spike's time around that of the pattern, s; times beyond an end come back in.
    lost : float
        Probability that a spike is left out.
    noise_rate : float
        Hz of additional spikes on each channel, of no class.
    tail : float
        s after the pattern in which every channel fires at random at the pattern's rate: input that knows no class.
    seed : int

    Raises
    ------
    BraindecError
        If there are fewer than two classes or trials than classes, or a number lies outside its range.
    """
    if whole(n_classes, "n_classes", least=2) > whole(n_trials, "n_trials", least=1):
        raise BraindecError("patterns need a trial of each class", found=f"{n_classes} classes, {n_trials} trials")
    whole(n_channels, "n_channels", least=1)
    whole(spikes_each, "spikes_each", least=1)
    number(duration, "duration", least=0, ends=False, unit="s")
    for name, value in (("jitter", jitter), ("noise_rate", noise_rate), ("tail", tail)):
        number(value, name, least=0)
    if number(lost, "lost", least=0, most=1) == 1:
        raise BraindecError("patterns of which every spike is lost tell nothing", found="lost=1")
    rng = np.random.default_rng(seed_of(seed))
    patterns = rng.uniform(0, duration, (n_classes, n_channels, spikes_each))
    labels = rng.permutation(np.arange(n_trials) % n_classes)
    when = patterns[labels] + rng.normal(0, jitter, (n_trials, n_channels, spikes_each))
    when = np.abs(when)
    when = np.where(when > duration, np.maximum(2 * duration - when, 0), when)
    stays = rng.random(when.shape) >= lost
    trial, channel, _ = np.nonzero(stays)
    later = rng.poisson((noise_rate + spikes_each * (1 - lost) / duration) * tail, (n_trials, n_channels))
    extra = rng.poisson(noise_rate * duration, (n_trials, n_channels))
    more = [np.concatenate([np.repeat(i.ravel(), k.ravel()) for k in (extra, later)]) for i in np.indices(extra.shape)]
    at = [rng.uniform(0, duration, extra.sum()), rng.uniform(duration, duration + tail, later.sum())]
    time = np.concatenate([when[stays], *at])
    return SpikeTrials(
        time, np.append(channel, more[1]), np.append(trial, more[0]), labels, n_channels, duration + tail
    )


def rate_coded(values: Any, labels: Any, *, max_rate: float = 60.0, duration: float = 0.3, seed: int = 0) -> SpikeTrials:  # fmt: skip
    """Code each row of numbers as Poisson spikes, one channel a column; the largest number fires at ``max_rate`` Hz.

    Raises
    ------
    BraindecError
        If numbers are negative or not finite, or labels do not fit.
    """
    values, labels = np.asarray(values), np.asarray(labels)
    number(max_rate, "max_rate", least=0, ends=False, unit="Hz")
    number(duration, "duration", least=0, ends=False, unit="s")
    if (
        values.dtype.kind not in "biuf"
        or values.ndim != 2
        or labels.shape != values.shape[:1]
        or not np.isfinite(values).all()
        or (values < 0).any()
    ):
        raise BraindecError("rates are coded from a table of finite numbers from 0, one label a row", found=f"{values.shape} and {labels.shape}")  # fmt: skip
    if values.max(initial=0) <= 0:
        raise BraindecError("nothing to code", found=f"largest value {values.max(initial=0):g}")
    rng = np.random.default_rng(seed)
    counts = rng.poisson(values / values.max() * max_rate * duration)
    trial, channel = (np.repeat(i.ravel(), counts.ravel()) for i in np.indices(counts.shape))
    return SpikeTrials(rng.uniform(0, duration, len(trial)), channel, trial, labels, values.shape[1], float(duration))


def steady_input(n_channels: int, rate: float, seconds: float, *, seed: int = 0) -> list[np.ndarray]:
    """Return Poisson spikes of a constant rate on every channel: the input under which branching is measured."""
    number(rate, "rate", least=0, unit="Hz")
    number(seconds, "seconds", least=0, ends=False, unit="s")
    rng = np.random.default_rng(seed_of(seed))
    return [np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds))) for _ in range(n_channels)]
