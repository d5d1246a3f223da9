"""Frequency tagging of language-model units, of EEG, MEG or sEEG channels, and of plain arrays, with one function.

Features are units over words in text order: a trial is a text, a word is a sample. Windows are trials of a recording.
Both become (trial, time, unit) and go through :func:`braindec.stats.tagging.tag_arrays`.

Source: Ding et al. 2016 (Nat Neurosci 19:158) for tagging of language; Frank & Yang 2018 (PLoS ONE 13:e0197304) for why
word regularities alone tag sentences and phrases, hence the matched control.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._hftp import WHY_NOT, hftp
from braindec.align._tag_similarity import SpectraSimilarity, spectra_similarity
from braindec.align._tag_trials import Trials, trials_of
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import seed_of
from braindec.stats.binomial import clopper_pearson
from braindec.stats.fdr import fdr_bh
from braindec.stats.tagging import Design, TagArrays, fitting_lengths, spectrum, tag_arrays

__all__ = ["SpectraSimilarity", "Tagging", "layer_curve", "region_summary", "spectra_similarity", "tag"]

_KEEP = 6_000_000  # numbers of spectra that are kept


@dataclass
class Tagging:
    """Tags of units or channels.

    Parameters
    ----------
    table : DataFrame
        One row a unit and rate: the unit's keys, ``rate``, ``harmonics`` ("1", or "1-3" for a joint test), ``frequency``
        (Hz), ``power`` (of the mean response), ``snr`` (against neighbouring bins), ``itpc``, ``phase`` (rad),
        ``control_power`` and ``control_itpc`` where there is a control, ``statistic``, ``p``, ``q`` (false discovery rate
        over units of a rate) and ``p_max`` (by the largest statistic over units of a rate).
    units : DataFrame
        Keys of the units, in order.
    rates : dict
        Name -> Hz.
    sfreq : float
        Hz.
    test : str
    n_trials, n_control : int
        ``n_control`` is 0 without a control.
    notes : list of str
        What was chosen and why; what the reader must know.
    frequencies : array of shape (bin,)
        Hz.
    spectra, control_spectra : array of shape (bin, unit), or None
        Evoked power; None for very many units.
    """

    table: pd.DataFrame
    units: pd.DataFrame
    rates: dict[str, float]
    sfreq: float
    test: str
    n_trials: int
    n_control: int = 0
    notes: list[str] = field(default_factory=list)
    frequencies: np.ndarray | None = None
    spectra: np.ndarray | None = None
    control_spectra: np.ndarray | None = None

    def of(self, rate: str, harmonics: str = "1") -> pd.DataFrame:
        """Return the rows of one rate, in the order of the units.

        Raises
        ------
        BraindecError
            If the rate was not tested.
        """
        rows = self.table[(self.table["rate"] == rate) & (self.table["harmonics"] == harmonics)]
        if not len(rows):
            raise BraindecError(
                f"no rate {rate!r} with harmonics {harmonics!r} was tested{did_you_mean(rate, self.rates)}",
                allowed=", ".join(f"{r} ({h})" for r, h in dict.fromkeys(zip(self.table["rate"], self.table["harmonics"], strict=True))),
            )  # fmt: skip
        return rows.reset_index(drop=True)

    def significant(self, rate: str, *, alpha: float = 0.05, by: str = "q", harmonics: str = "1") -> np.ndarray:
        """Return which units are tagged by ``by`` ("p", "q" or "p_max") at the level ``alpha``, shape (unit,), bool."""
        if by not in ("p", "q", "p_max"):
            raise BraindecError(f"units are chosen by p, q or p_max, not by {by!r}")
        if not 0 < alpha < 1:
            raise BraindecError(f"alpha={alpha!r} is no level", allowed="a number between 0 and 1")
        if by == "p_max" and self.of(rate, harmonics)["p_max"].isna().all():
            raise BraindecError(
                f"the test {self.test!r} has no p by the largest statistic: it permutes nothing", allowed="by='p' or 'q'",
                fix="give a control, or test='sign_flip'",
            )  # fmt: skip
        return (self.of(rate, harmonics)[by] <= alpha).to_numpy()

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything numeric by name, to be saved with a result."""
        out: dict[str, np.ndarray] = {}
        if self.frequencies is not None and self.spectra is not None:
            out |= {"tag/frequencies": self.frequencies, "tag/spectra": self.spectra}
            if self.control_spectra is not None:
                out["tag/control_spectra"] = self.control_spectra
        for column in ("power", "snr", "itpc", "statistic", "p", "q", "p_max"):
            for rate in self.rates:
                out[f"tag/{rate}/{column}"] = self.of(rate)[column].to_numpy(dtype=float)
        return out

    def __repr__(self) -> str:
        found = ", ".join(f"{r} {int(self.significant(r).sum())}" for r in self.rates)
        return f"<Tagging of {len(self.units)} units, {self.test}; tagged at q <= 0.05: {found}>"


def tag(
    signal: Any, *, rates: Mapping[str, float] | Design, sfreq: float | None = None, control: Any = None, condition: str | None = None,
    by: str | None = None, test: str = "auto", statistic: str = "difference", drop_onset: float | None = None, crop: bool = False,
    harmonics: int = 1, detrend: str = "linear", n_neighbours: int = 6, skip: int = 0, n_permutations: int = 1000,
    blocks: str | np.ndarray | None = None, compat: str | None = None, seed: int = 0,
) -> Tagging:  # fmt: skip
    """Test which units or channels follow given rates.

    Parameters
    ----------
    signal : array of shape (trial, time, unit), Windows, or Features
        Features hold words in text order, a column of ``items`` (``text_id``) names the trial. Trials must be independent:
        different sentences, each with its own context.
    rates : mapping of str to float, or Design
        Hz. A design also gives the sampling frequency of words and the onset that is dropped; its rates above the Nyquist
        frequency are left out with a note (named rates above it are an error).
    sfreq : float, optional
        Hz. Windows know theirs; words have that of the design; arrays need it.
    control : the same kind as ``signal``, or str, optional
        Trials of a matched control; as text, the value of the column ``by`` that marks them.
    condition : str, optional
        The value of the column ``by`` that marks the condition; all other trials by default.
    by : str, optional
        Column of conditions: "trial_type" of windows, "condition" of features by default.
    test : str
        "auto": label permutation where there is a control; T2circ with 8 trials or more; neighbouring bins; the notes
        say which and why. See :data:`braindec.stats.tagging.TESTS`.
    statistic : {"difference", "stronger"}
        Of the label permutation: any difference of the mean responses, or a larger magnitude in the condition.
    drop_onset : float, optional
        s at the start of each trial that are left out; that of the design, otherwise 0.
    crop : bool
        Shorten trials at the end to the longest length on which all rates fall on Fourier bins.
    harmonics : int
        Test so many harmonics of each rate jointly as well.
    detrend : {"linear", "constant", "none"}
    n_neighbours, skip : int
        Neighbouring bins a side of the signal-to-noise ratio; nearest bins that are left out.
    n_permutations : int
    blocks : str or array, optional
        Labels are permuted within the values of this column (such as "run"), or within blocks given one a trial (the
        condition's trials first).
    compat : {"hftp"}, optional
        Repeat a published procedure; warns why not to use it.
    seed : int

    Returns
    -------
    Tagging

    Raises
    ------
    BraindecError
        If the sampling frequency is unknown or contradicts the data, trials are unequal, rates do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((12, 64, 3))
    >>> x[:, :, 0] += np.cos(2 * np.pi * 1.0 * np.arange(64) / 8)[None]
    >>> found = tag(x, rates={"sentence": 1.0}, sfreq=8.0)
    >>> found.significant("sentence").tolist()
    [True, False, False]
    """
    seed_of(seed)
    notes: list[str] = []
    sentence = rates.sentence if isinstance(rates, Design) and compat is None else None
    if isinstance(control, str) and control == condition:
        raise BraindecError(
            f"{control!r} is both the condition and its control", fix="name another condition, or leave control out"
        )
    mine, other = trials_of(signal, control, condition=condition, by=by, blocks=blocks, sentence=sentence)
    sfreq = _sfreq(mine, rates, sfreq)
    if other is not None and other.sfreq is not None and abs(other.sfreq - sfreq) > 1e-6 * sfreq:
        raise BraindecError(
            "condition and control differ in sampling frequency", found=f"{sfreq:g} and {other.sfreq:g} Hz"
        )
    named = _rates(rates, sfreq, notes)
    drop = _drop(rates, drop_onset, sfreq, named, notes)
    x = _cut(mine.values, drop, named, sfreq, crop, "the condition")
    y = None if other is None else _cut(other.values, drop, named, sfreq, crop, "the control")
    if compat is not None:
        return _compat(compat, x, y, named, sfreq, mine, n_permutations, seed)
    groups = None if mine.blocks is None else np.concatenate([mine.blocks, other.blocks if other else []])
    if groups is not None and other is not None:
        notes.append("Labels are permuted within blocks only.")
    elif blocks is not None:
        notes.append("Blocks are not used: there is no control to exchange labels with.")
    found = tag_arrays(x, sfreq=sfreq, rates=named, control=y, test=test, statistic=statistic, harmonics=harmonics, detrend=detrend,
                       n_neighbours=n_neighbours, skip=skip, n_permutations=n_permutations, rng=seed,
                       blocks=groups if other is not None else None)  # fmt: skip
    said = [*notes, *found.notes]
    if y is None and mine.kind == "features":
        said.append(
            "Without a control, units that follow word classes, word length or position are tagged as well, in untrained networks "
            "too: give control= (sentences dealt anew slot by slot, see braindec.llm.tag_stimuli)."
        )
    made = Tagging(
        _table(found, mine.units), mine.units, named, sfreq, found.test, len(x), 0 if y is None else len(y), said
    )
    if x.shape[2] * (x.shape[1] // 2) <= _KEEP:
        made.frequencies, made.spectra = spectrum(x, sfreq)
        made.control_spectra = None if y is None else spectrum(y, sfreq)[1]
    return made


def _sfreq(trials: Trials, rates: Mapping[str, float] | Design, given: float | None) -> float:
    """The sampling frequency: of the data; of the design for words; asked for otherwise."""
    known = trials.sfreq
    if known is None and trials.kind == "features" and isinstance(rates, Design):
        known = rates.unit_rate
    if known is None and given is None:
        raise BraindecError(
            "the sampling frequency is not known" + (": arrays have none" if trials.kind == "array" else ""),
            fix="give sfreq= in Hz" + ("; for words, rates=Design(...) gives units a second" if trials.kind == "features" else ""),
        )  # fmt: skip
    if known is not None and given is not None and abs(known - given) > 1e-6 * known:
        raise BraindecError(
            f"sfreq={given:g} Hz contradicts the data",
            found=f"{known:g} Hz",
            fix="leave sfreq out, or resample the data",
        )
    sfreq = known if known is not None else given
    if not isinstance(sfreq, Real) or not 0 < sfreq < np.inf:
        raise BraindecError(f"sfreq={sfreq!r} is no sampling frequency", allowed="a number above 0, in Hz")
    return float(sfreq)


def _rates(rates: Mapping[str, float] | Design, sfreq: float, notes: list[str]) -> dict[str, float]:
    if not isinstance(rates, Design):
        named = {str(k): v for k, v in rates.items()} if isinstance(rates, Mapping) else {}
        if not named or any(
            not isinstance(v, Real) or isinstance(v, bool) or not 0 < v < np.inf for v in named.values()
        ):
            raise BraindecError(
                "tagged rates are named frequencies above 0 Hz", found=repr(rates)[:80],
                allowed='e.g. {"sentence": 1.0, "phrase": 2.0}, or a Design',
            )  # fmt: skip
        if len(set(named.values())) < len(named):
            raise BraindecError("two rates have one frequency", found=repr(dict(named)), fix="name each frequency once")
        return {k: float(v) for k, v in named.items()}
    seen = rates.observable(sfreq)
    hidden = [f"{k} ({v:g} Hz)" for k, v in rates.rates.items() if k not in seen]
    if hidden:
        notes.append(f"Not observable at {sfreq:g} Hz: {', '.join(hidden)}.")
    notes += [n for n in rates.notes if "is harmonic" not in n]  # harmonics are told with the bins
    return seen


def _drop(
    rates: Mapping[str, float] | Design,
    drop_onset: float | None,
    sfreq: float,
    named: Mapping[str, float],
    notes: list[str],
) -> int:
    """Samples that are left out at the start of each trial."""
    if drop_onset is None:
        drop_onset = rates.onset if isinstance(rates, Design) else 0.0
    if not isinstance(drop_onset, Real) or not np.isfinite(drop_onset):
        raise BraindecError(f"drop_onset={drop_onset!r} is no time", allowed="seconds, from 0 on")
    samples = drop_onset * sfreq
    if drop_onset < 0 or abs(samples - round(samples)) > 1e-6 * max(1.0, samples):
        raise BraindecError(
            f"drop_onset={drop_onset:g} s is not a whole number of samples at {sfreq:g} Hz",
            allowed=f"multiples of {1 / sfreq:.6g} s",
        )
    period = 1 / min(named.values())
    if drop_onset + 1e-9 < period:
        notes.append(
            f"{drop_onset:g} s are dropped at the onset of each trial, less than one period of the slowest rate ({period:g} s): the "
            "onset response has power in every bin."
        )
    return round(samples)


def _cut(x: np.ndarray, drop: int, rates: Mapping[str, float], sfreq: float, crop: bool, what: str) -> np.ndarray:
    if x.ndim != 3:
        raise BraindecError(
            f"trials of {what} must be (trial, time, unit), all of one length", found=f"shape {x.shape}",
            fix="cut all trials to the same number of samples",
        )  # fmt: skip
    if drop >= x.shape[1]:
        raise BraindecError(
            f"nothing is left of {what} after the onset is dropped", found=f"{x.shape[1]} samples, {drop} dropped"
        )
    x = x[:, drop:]
    if not crop:
        return x
    step, _ = fitting_lengths(rates, sfreq)
    if step > x.shape[1]:
        raise BraindecError(
            f"no part of the trials of {what} fits all rates", found=f"{x.shape[1]} samples",
            allowed=f"multiples of {step:,} samples ({step / sfreq:.6g} s)",
        )  # fmt: skip
    return x[:, : x.shape[1] // step * step]


def _table(found: TagArrays, units: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for r, name in enumerate(found.names):
        columns: dict[str, Any] = {"rate": name, "harmonics": found.harmonics[r], "frequency": found.frequency[r]}
        for column in (
            "power",
            "snr",
            "itpc",
            "phase",
            "control_power",
            "control_itpc",
            "statistic",
            "p",
            "q",
            "p_max",
        ):
            values = getattr(found, column)
            if values is not None:
                columns[column] = values[r]
        parts.append(units.assign(**columns))
    return pd.concat(parts, ignore_index=True)


def _compat(
    compat: str,
    x: np.ndarray,
    y: np.ndarray | None,
    rates: dict[str, float],
    sfreq: float,
    trials: Trials,
    n: int,
    seed: int,
) -> Tagging:
    if compat != "hftp":
        raise BraindecError(f"compat={compat!r} is unknown", allowed="hftp")
    if y is None:
        raise BraindecError("compat='hftp' needs control=, sentences with shuffled words")
    slowest = min(rates, key=lambda k: rates[k])
    others = {k: v for k, v in rates.items() if k != slowest and v <= sfreq / 2}
    if not others:
        raise BraindecError("compat='hftp' needs a sentence rate and a phrase rate", found=str(rates))
    warnings.warn(WHY_NOT, UserWarning, stacklevel=3)
    found = hftp(x, y, sfreq=sfreq, sentence=rates[slowest], phrases=list(others.values()), n_permutations=n, rng=seed)
    parts = []
    for name, p, difference, z in (
        (slowest, found.sentence_p, found.sentence_difference, found.sentence_z),
        ("+".join(others), found.phrase_p, found.phrase_difference, found.phrase_z),
    ):
        parts.append(trials.units.assign(rate=name, harmonics="1", frequency=rates.get(name, next(iter(others.values()))),
                                         power=np.nan, snr=np.nan, itpc=np.nan, difference=difference, z=z, statistic=z, p=p,
                                         q=fdr_bh(p), p_max=np.nan, selected=z > 2))  # fmt: skip
    return Tagging(pd.concat(parts, ignore_index=True), trials.units, {slowest: rates[slowest], "+".join(others): next(iter(others.values()))},
                   sfreq, "hftp", len(x), len(y), [WHY_NOT])  # fmt: skip


def layer_curve(
    tagging: Tagging,
    *,
    rate: str | None = None,
    by: str = "layer",
    alpha: float = 0.05,
    on: str = "q",
    harmonics: str = "1",
) -> pd.DataFrame:
    """Return the share of tagged units in each layer (or another column of the units), one row a rate and group.

    Parameters
    ----------
    tagging : Tagging
    rate : str, optional
        All rates by default.
    by : str
        Column of the units.
    alpha : float
    on : {"q", "p", "p_max"}
        Which p must be at most ``alpha``.
    harmonics : str

    Returns
    -------
    DataFrame
        The column ``by``, rate, n (units with a p), tagged, share, low, high (95 %, Clopper-Pearson: as if units were
        independent, so too narrow where they are not), itpc and snr (medians).
    """
    rows = []
    for name in [rate] if rate is not None else list(tagging.rates):
        table = tagging.of(name, harmonics)
        if by not in table:
            raise BraindecError(
                f"units have no column {by!r}{did_you_mean(by, tagging.units)}",
                allowed=", ".join(map(str, tagging.units)),
            )
        if on not in ("p", "q", "p_max"):
            raise BraindecError(f"units are chosen by p, q or p_max, not by {on!r}")
        for value, part in table.groupby(by, sort=True):
            known = part[part["p"].notna()]
            k, n = int((known[on] <= alpha).sum()), len(known)
            low, high = clopper_pearson(k, n) if n else (np.nan, np.nan)
            rows.append({by: value, "rate": name, "n": n, "tagged": k, "share": k / n if n else np.nan, "low": low, "high": high,
                         "itpc": part["itpc"].median(), "snr": part["snr"].median()})  # fmt: skip
    return pd.DataFrame(rows)


def region_summary(
    tagging: Tagging, *, rate: str | None = None, by: str = "region", alpha: float = 0.05, on: str = "q"
) -> pd.DataFrame:
    """Return the share of tagged channels in each region; columns as :func:`layer_curve`."""
    return layer_curve(tagging, rate=rate, by=by, alpha=alpha, on=on)
