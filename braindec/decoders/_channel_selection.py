"""Channels that carry the classes, chosen on training windows only, and refused where test windows had a say.

Published decoders of words from depth electrodes name ten channels a subject that were found by a model trained on the very
trials that are scored afterwards. Here a choice is a fitted step like any other: it names the windows that it saw, the
decoder that uses it says so in its records (purpose "selection"), and windows that helped to choose are not decoded unless
they are training windows.

Source: Zheng et al. 2024 (NeurIPS), "Du-IN", section 4.1, for ten channels a subject; Kriegeskorte et al. 2009 (Nat
Neurosci 12:535) for why they must be chosen elsewhere; Cawley & Talbot 2010 (JMLR 11:2079) for nesting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from braindec.decoders._features import bin_edges, binned
from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate.splits import split_by
from braindec.signal.steps.band_power import floored_log, narrow_powers
from braindec.stats.discriminant import TotalScatter, discriminant
from braindec.types import FitRecord, Split, Windows

METHODS = ("decodability", "weights")
_BIN = 0.05  # s
_HIGH = (70.0, 150.0)  # Hz

__all__ = ["METHODS", "ChannelSelection", "channel_rows", "channels_for", "pick", "select_channels"]


@dataclass(frozen=True, eq=False)
class ChannelSelection:
    """Chosen channels and what chose them.

    Parameters
    ----------
    names : list of str
        In the order of the recording.
    scores : Series
        Score of each channel of the windows that were seen, by name.
    fitted_on_ : FitRecord
        The windows that had a say; purpose "selection".
    method : str
    """

    names: list[str]
    scores: pd.Series
    fitted_on_: FitRecord
    method: str = "decodability"

    def __call__(self, windows: Windows) -> Windows:
        """Return the windows with the chosen channels only; nothing is read."""
        return pick(windows, self.names)

    def refuse_seen(self, ids: Sequence[object] | np.ndarray, *, but: Sequence[object] | np.ndarray = ()) -> None:
        """Raise if windows that are to be tested were among those that chose, those of ``but`` (training) aside.

        Raises
        ------
        BraindecError
            Says how many and which.
        """
        seen = set(map(str, self.fitted_on_.ids)) - set(map(str, but))
        both = [str(i) for i in ids if str(i) in seen]
        if both:
            raise BraindecError(
                f"the channels were chosen with {len(both)} of {len(ids)} windows that are to be decoded",
                found=f"{len(self.names)} channels by {self.method}, chosen on {len(self.fitted_on_.ids)} windows; first: {both[0]}",
                fix="choose on the training windows of each fold: n_channels=10 in the decoder, or "
                "select_channels(windows[split.train], y[split.train])",
            )

    def check(self, split: Split) -> None:
        """Raise if test rows of a split were among those that chose."""
        self.refuse_seen(split.ids[split.test])


def select_channels(
    windows: Windows,
    y: np.ndarray,
    *,
    n_channels: int = 10,
    method: str = "decodability",
    n_folds: int = 3,
    seed: int = 0,
    rows: np.ndarray | None = None,
) -> ChannelSelection:
    """Choose channels on windows; give training windows only.

    Each channel is described by its slow wave and its high-gamma power (where the sampling frequency allows) in bins of 50 ms.

    Parameters
    ----------
    windows : Windows
        Training windows.
    y : array of shape (n_windows,)
        Their classes.
    n_channels : int
        So many are chosen; all, when there are not more.
    method : {"decodability", "weights"}
        "decodability": a discriminant of this channel alone, in inner folds over runs (or blocks of time); the score is how
        often the true class beats another one (0.5 by chance). "weights": a discriminant of all channels on all
        windows; the score is the length of a channel's patterns (Haufe et al. 2014).
    n_folds : int
        Inner folds.
    seed : int
        Deals runs to folds.
    rows : array, optional
        :func:`channel_rows` of the windows, where they are known already: they look at no label.

    Raises
    ------
    BraindecError
        If there are fewer than two classes, no inner folds can be made, or an option is wrong.
    """
    y = np.asarray(y)
    if method not in METHODS:
        raise BraindecError(
            f"there is no way {method!r} to choose channels{did_you_mean(str(method), METHODS)}",
            allowed=", ".join(METHODS),
        )
    if isinstance(n_channels, bool) or n_channels != int(n_channels) or n_channels < 1:
        raise BraindecError("n_channels is a whole number of at least 1", found=repr(n_channels))
    classes, codes = np.unique(y, return_inverse=True)
    if y.shape != (len(windows),) or len(classes) < 2:
        raise BraindecError(
            "channels are chosen by labels of two classes or more, one for each window",
            found=f"labels {y.shape}, {len(windows)} windows, {len(classes)} classes",
        )
    rows = channel_rows(windows) if rows is None else rows
    if method == "weights":
        scores = _pattern_length(rows, codes, len(classes))
    else:
        folds = _inner_folds(windows, n_folds, seed)
        scores = np.array([_two_way(own, codes, folds) for own in rows])
    best = np.sort(np.argsort(-scores, kind="stable")[: int(n_channels)])
    names = [windows.ch_names[k] for k in best]
    record = FitRecord.of(f"channel selection ({method})", windows.ids, purpose="selection")
    return ChannelSelection(names, pd.Series(scores, index=windows.ch_names), record, method)


def channels_for(
    windows: Windows, y: np.ndarray, channels: object, n_channels: int | None, seed: int
) -> ChannelSelection | None:
    """Return the choice that a decoder's options ask for: ``channels`` made elsewhere, ``n_channels`` here, or None.

    A plain list of names is taken as it is; nobody can know which windows chose it, so its record is empty and the audit says so.
    """
    if channels is not None and n_channels is not None:
        raise BraindecError("channels and n_channels exclude each other", found=f"n_channels={n_channels} and channels")
    if n_channels is not None:
        return select_channels(windows, y, n_channels=n_channels, seed=seed)
    if channels is None or isinstance(channels, ChannelSelection):
        return channels
    names = [str(c) for c in channels]  # type: ignore[attr-defined]
    record = FitRecord.of("channels named by hand", None, purpose="selection")
    return ChannelSelection(names, pd.Series(np.nan, index=names), record, "names")


def pick(windows: Windows, names: Sequence[str]) -> Windows:
    """Return windows with some channels only, in this order; nothing is read."""
    if list(names) == windows.ch_names:
        return windows
    return replace(windows, recordings=tuple(r.select(list(names)) for r in windows.recordings))


def channel_rows(windows: Windows) -> np.ndarray:
    """Slow wave and high gamma of each channel in bins, (channel, window, feature), standardised."""
    data = windows.load().astype(np.float64)
    edges = bin_edges(windows.n_times, windows.sfreq, _BIN)
    n, c = data.shape[:2]
    parts = [binned(data, edges).reshape(n, c, -1)]
    if windows.sfreq > 2 * _HIGH[1]:
        powers = [  # a channel at a time: all of them would not fit into the processor's cache
            np.mean(
                [
                    floored_log(binned(p[:, None], edges))
                    for p in narrow_powers(own, windows.sfreq, low=_HIGH[0], high=_HIGH[1])
                ],
                axis=0,
            )
            for own in data.transpose(1, 0, 2)
        ]
        parts.append(np.stack(powers, axis=1))
    scaled = []
    for part in parts:
        part = part - part.mean(axis=0)
        spread = part.std(axis=(0, 2), keepdims=True)
        scaled.append(part / np.where(spread > 0, spread, 1.0))
    return np.concatenate(scaled, axis=2).transpose(1, 0, 2)


def _inner_folds(windows: Windows, n_folds: int, seed: int) -> list[Split]:
    runs = windows.index[:, 0] if "run" not in windows.trials else windows.trials["run"].astype(str)
    several = "run" in windows.trials and runs.nunique() > 1
    try:
        return (
            split_by(windows, "run", n_folds=min(n_folds, runs.nunique()), seed=seed)
            if several
            else split_by(windows, "time", n_folds=n_folds)
        )
    except BraindecError as error:
        raise BraindecError(
            "inner folds to choose channels cannot be made", found=str(error),
            fix="give more training windows, or use method='weights', which needs none",
        ) from error  # fmt: skip


def _two_way(rows: np.ndarray, codes: np.ndarray, folds: Sequence[Split]) -> float:
    """How often the true class has a higher score than another class, over inner test rows; ties count half."""
    wins, pairs = 0.0, 0
    if not rows.std() > 0:
        return 0.0
    for fold in folds:
        present, own = np.unique(codes[fold.train], return_inverse=True)
        test = fold.test[np.isin(codes[fold.test], present)]
        if len(present) < 2 or not len(test):
            continue
        scatter = TotalScatter(rows[fold.train])
        linear = discriminant(scatter, own[None], len(present))
        scores = scatter.rotate(rows[test]) @ linear.weights[0] + linear.bias[0]
        true = scores[np.arange(len(test)), np.searchsorted(present, codes[test])][:, None]
        wins += float((scores < true).sum() + 0.5 * ((scores == true).sum() - len(test)))
        pairs += len(test) * (len(present) - 1)
    return wins / pairs if pairs else 0.0


def _pattern_length(rows: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Length of the patterns of a discriminant of all channels, by channel."""
    n_channels, n, n_features = rows.shape
    scatter = TotalScatter(rows.transpose(1, 0, 2).reshape(n, -1))
    linear = discriminant(scatter, codes[None], n_classes)
    rotated = scatter.variances[:, None] * linear.weights[0]
    spread = np.sqrt(np.maximum(np.einsum("rk,rk->k", rotated, linear.weights[0]), 1e-300))
    patterns = (scatter.axes @ (rotated / spread)).reshape(n_channels, n_features, n_classes)
    return np.sqrt((patterns**2).sum(axis=(1, 2)))
