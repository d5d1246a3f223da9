"""LinearLatents: what linear maps make of a population, behind the interface of the contrastive embeddings.

Methods: "counts" (no map: the units, averaged over the window), "pca" (largest variance), "lagged" (slowest: largest
autocorrelation), "targeted" (the directions that a ridge regression of the labels uses). Baselines to stand beside
every trained embedding.

Source: Pearson 1901 (Phil Mag 2:559); Molgedey & Schuster 1994 (Phys Rev Lett 72:3634) for time-lagged covariances;
Mante et al. 2013 (Nature 503:78) for targeted directions and Izenman 1975 (J Multivar Anal 5:248) for regression of
reduced rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from braindec.decoders._latent_sessions import Scaling, as_labels, as_rows, as_sessions, parts_of, unwrap
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number, whole
from braindec.types import FitRecord

__all__ = ["LinearLatents"]

_METHODS = ("counts", "pca", "lagged", "targeted")


class LinearLatents(BaseEstimator):
    """Fit linear latents; ``transform`` gives one vector a sample.

    Parameters
    ----------
    method : {"counts", "pca", "lagged", "targeted"}
    dim : int
        Latents that are kept, at most; "counts" keeps all units, "targeted" no more than there are labels.
    before, after : int
        Samples before and after each one that are averaged first.
    lag : int
        Of the autocorrelation that "lagged" makes large, samples.
    penalty : float
        Of "targeted", relative to the mean variance of the units.
    width : float, optional
        Bin width for Spikes, s.
    root : bool
        Take the square root of counts before they are scaled.

    Attributes
    ----------
    maps_ : list of array (n_units, dim)
        One a session.
    fit_records_ : list of FitRecord
    """

    def __init__(
        self, *, method: str = "pca", dim: int = 6, before: int = 5, after: int = 5, lag: int = 5, penalty: float = 0.01,
        width: float | None = None, root: bool = False,
    ) -> None:  # fmt: skip
        self.method, self.dim, self.before, self.after, self.lag = method, dim, before, after, lag
        self.penalty, self.width, self.root = penalty, width, root

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong."""
        if self.method not in _METHODS:
            raise BraindecError(
                f"there is no method {self.method!r}{did_you_mean(str(self.method), _METHODS)}",
                allowed=", ".join(_METHODS),
            )
        for name, least in (("dim", 1), ("before", 0), ("after", 0), ("lag", 1)):
            whole(getattr(self, name), name, least=least)
        number(self.penalty, "penalty", least=0, ends=False)

    def fit(self, signal: Any, labels: Any = None, *, rows: Any = None, ids: Any = None) -> LinearLatents:
        """Fit one map a session; arguments as in :meth:`braindec.decoders.latents.ContrastiveLatents.fit`."""
        self.check()
        sessions, single = as_sessions(signal, width=self.width), not isinstance(signal, (list, tuple))
        lengths = [s.shape[1] for s in sessions]
        masks = as_rows(rows, lengths, single=single)
        if self.method == "targeted" and labels is None:
            raise BraindecError("the method 'targeted' needs labels", fix="pass labels=, or method='pca'")
        found = as_labels(labels, lengths, single=single) if self.method == "targeted" else None
        parts = [parts_of(m, before=self.before, after=self.after, reach=0, share=0.0)[0] for m in masks]
        if min(map(len, parts)) < 10:
            raise BraindecError("too few samples to fit on", found=f"{min(map(len, parts))}")
        self.scaling_ = [Scaling.of(v, t, root=self.root) for v, t in zip(sessions, parts, strict=True)]
        self.centres_, self.maps_ = [], []
        for s, (values, train) in enumerate(zip(sessions, parts, strict=True)):
            smooth = self._smooth(values, s)
            centre = smooth[train].mean(axis=0)
            target = None if found is None else _columns(found.values[s], found.classes)
            self.centres_.append(centre)
            self.maps_.append(self._map(smooth - centre, train, target))
        names = [np.array([f"{s}:{i}" for i in range(n)], dtype=object) for s, n in enumerate(lengths)]
        if ids is not None:
            names = [np.asarray(one, dtype=object) for one in ([ids] if single else ids)]
        seen = [n for own, part in zip(names, parts, strict=True) for n in own[part]]
        self.fit_records_ = [FitRecord.of("Scaling", seen), FitRecord.of(type(self).__name__, seen)]
        return self

    def transform(self, signal: Any, *, session: int | None = None) -> Any:
        """Return the latents of every sample, (time, dim), or a list of them."""
        if not hasattr(self, "maps_"):
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit first")
        sessions = as_sessions(signal, width=self.width)
        single, fitted = not isinstance(signal, (list, tuple)), len(self.maps_)
        if (single and session is None and fitted > 1) or (not single and len(sessions) != fitted):
            raise BraindecError(f"{fitted} sessions were fitted", fix="give all of them, or one and session=0, 1, ...")
        out = []
        for k, values in enumerate(sessions):
            s = session if session is not None else k
            if not 0 <= s < fitted or len(values) != len(self.maps_[s]):
                raise BraindecError(
                    f"session {s} does not fit", found=f"{len(values)} units, {fitted} sessions were fitted"
                )
            out.append((self._smooth(values, s) - self.centres_[s]) @ self.maps_[s])
        return unwrap(out, signal)

    def _smooth(self, values: np.ndarray, s: int) -> np.ndarray:
        """Scaled units averaged over the window, (time, unit); ends of the session repeat their last value."""
        scaled = self.scaling_[s](values).astype(np.float64)
        padded = np.pad(scaled, ((0, 0), (self.before + 1, self.after)), mode="edge")
        sums = np.cumsum(padded, axis=1)
        width = self.before + 1 + self.after
        return ((sums[:, width:] - sums[:, :-width]) / width).T

    def _map(self, smooth: np.ndarray, train: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        n_units = smooth.shape[1]
        if self.method == "counts":
            return np.eye(n_units)
        seen = smooth[train]
        gram = seen.T @ seen / len(seen)
        if target is not None:
            inner = gram + self.penalty * np.trace(gram) / n_units * np.eye(n_units)
            weights = np.linalg.solve(inner, seen.T @ (target[train] - target[train].mean(axis=0)) / len(seen))
            _, directions = np.linalg.eigh(weights.T @ gram @ weights)
            return weights @ directions[:, ::-1][:, : self.dim]
        values, vectors = np.linalg.eigh(gram)
        values, vectors = values[::-1], vectors[:, ::-1]
        if self.method == "pca":
            return _signed(vectors[:, : self.dim])
        kept = values > 1e-6 * values[0]
        whiten = vectors[:, kept] / np.sqrt(values[kept])
        there = np.zeros(len(smooth) + self.lag, dtype=bool)
        there[train] = True
        first = train[there[train + self.lag]]
        lagged = (smooth[first] @ whiten).T @ (smooth[first + self.lag] @ whiten) / len(first)
        _, slow = np.linalg.eigh((lagged + lagged.T) / 2)
        return _signed(whiten @ slow[:, ::-1][:, : self.dim])


def _columns(labels: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    return labels if classes is None else (labels == np.arange(len(classes))).astype(float)


def _signed(vectors: np.ndarray) -> np.ndarray:
    """The sign of a direction is free: its largest entry is made positive."""
    lead = np.abs(vectors).argmax(axis=0)
    return vectors * np.where(vectors[lead, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
