"""What decoders of sequences share: similarity with segments, the best of them, top-k; Z and Y are (n, dim, time)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from braindec.decoders._sequence_data import Heard, SequenceTargets, joined_trials
from braindec.errors import BraindecError
from braindec.types import FitRecord, Segments

_SCALES = np.geomspace(1e-3, 1e3, 61)

__all__ = ["SequenceRetrieval", "best_scale"]


class SequenceRetrieval:
    """Base of decoders that give a sequence a window; subclasses define ``_embedded`` and ``_encoded``, and set what follows.

    Attributes
    ----------
    targets_ : SequenceTargets
        Standardisation of the segments.
    dim_ : int
        Features at each sample.
    scale_ : float
        Factor on similarities before a softmax.
    fit_records_ : list of FitRecord
    """

    targets_: SequenceTargets
    dim_: int
    scale_: float
    fit_records_: list[FitRecord]

    def embed(self, windows: Heard) -> np.ndarray:
        """Return the sequence of each window, (n_windows, dim, time), float32, in the order of the windows."""
        parts = list(self._embedded(windows))
        out = np.empty((sum(len(r) for r, _ in parts), *parts[0][1].shape[1:]), dtype=np.float32)
        for rows, values in parts:
            out[rows] = values
        return out

    def predict(self, windows: Heard) -> np.ndarray:
        """The same as :meth:`embed`."""
        return self.embed(windows)

    def project(self, segments: Segments) -> np.ndarray:
        """Return segments as windows are compared with them, (n, dim, time), float32: standardised, and encoded if that is learned."""
        self._check_fitted()
        return self._encoded(self.targets_.standardise(segments.load()))

    def similarity(self, windows: Heard, candidates: Segments) -> np.ndarray:
        """Return ``<Z_i, Y_j> / |Y_j|`` over features and time, (n_windows, n_candidates), float64; windows are read in blocks."""
        y = self.project(candidates).reshape(len(candidates), -1)
        length = np.linalg.norm(y, axis=1)
        if not length.all():
            raise BraindecError(
                "a candidate is all zeros after standardisation", found=f"{candidates.ids[int(np.argmin(length))]!r}"
            )
        found = [(rows, z.reshape(len(z), -1) @ y.T) for rows, z in self._embedded(windows)]
        if found and found[0][1].shape[1] != len(candidates):
            raise BraindecError("candidates do not fit the decoder", found=f"{len(candidates)}")
        out = np.empty((sum(len(r) for r, _ in found), len(candidates)))
        for rows, values in found:
            out[rows] = values
        return out / length

    def probabilities(self, windows: Heard, candidates: Segments) -> np.ndarray:
        """Return the softmax over candidates of ``scale_`` times the similarity, (n_windows, n_candidates)."""
        logits = self.scale_ * self.similarity(windows, candidates)
        return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))

    def retrieve(self, windows: Heard, candidates: Segments, n: int = 5) -> pd.DataFrame:
        """Return the best candidates of each window: window_id, place (1 is best), stimulus_id, similarity, and correct."""
        similarity, trials, ids = self.similarity(windows, candidates), joined_trials(windows), candidates.ids
        n = min(n, len(ids))
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :n]
        table = pd.DataFrame({
            "window_id": np.repeat(trials["window_id"].to_numpy(dtype=object), n), "place": np.tile(np.arange(1, n + 1), len(trials)),
            "stimulus_id": ids[best.ravel()], "similarity": np.take_along_axis(similarity, best, axis=1).ravel(),
        })  # fmt: skip
        if "stimulus_id" in trials:
            table["correct"] = table["stimulus_id"].to_numpy() == np.repeat(
                trials["stimulus_id"].astype(str).to_numpy(dtype=object), n
            )
        return table

    def score(self, windows: Heard, candidates: Segments, *, k: int = 10) -> float:
        """Return how often the segment that was heard is among the ``k`` most similar candidates; ties share the places."""
        similarity = self.similarity(windows, candidates)
        own = candidates.rows_of(joined_trials(windows)["stimulus_id"])
        mine = similarity[np.arange(len(own)), own][:, None]
        above, tied = (similarity > mine).sum(axis=1), (similarity == mine).sum(axis=1)
        return float(np.clip((k - above) / tied, 0.0, 1.0).mean())

    def _embedded(self, windows: Heard) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        raise NotImplementedError(f"{type(self).__name__} must define _embedded()")

    def _encoded(self, values: np.ndarray) -> np.ndarray:
        return values

    def _check_fitted(self) -> None:
        if not hasattr(self, "fit_records_"):
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit(windows, segments) first")


def best_scale(similarity: Any, own: np.ndarray) -> float:
    """The factor of a wide grid with the smallest cross-entropy of the own column among all."""
    values = np.asarray(similarity, dtype=np.float64)
    unit = values.std() or 1.0
    mine = values[np.arange(len(own)), own]
    costs = [float((logsumexp(s / unit * values, axis=1) - s / unit * mine).mean()) for s in _SCALES]
    return float(_SCALES[int(np.argmin(costs))] / unit)
