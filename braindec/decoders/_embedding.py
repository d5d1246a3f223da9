"""What decoders of embeddings share: standardised targets, retrieval by cosine, the top-1 score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from braindec.decoders._reading import WindowReader, column
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Windows

__all__ = ["EmbeddingDecoder", "Targets"]


class Targets:
    """Embeddings of the stimuli of training windows, standardised with the mean and spread over training rows.

    Parameters
    ----------
    windows : Windows
        Training windows.
    features : Features
        Joined on ``stimulus_id``.
    """

    def __init__(self, windows: Windows, features: Features) -> None:
        if not isinstance(features, Features):
            raise BraindecError(
                "a decoder of embeddings needs the embeddings of the stimuli", found=f"features={features!r}"[:80],
                fix="pass features=Features.from_array(values, stimulus_ids)",
            )  # fmt: skip
        shown = column(windows, "stimulus_id")
        items, codes, counts = np.unique(shown, return_inverse=True, return_counts=True)
        values = features.of(items).astype(np.float64)  # (item, dim)
        if not np.isfinite(values).all():
            bad = items[~np.isfinite(values).all(axis=1)]
            raise BraindecError(f"features of {len(bad)} stimuli are not finite", found=", ".join(map(repr, bad[:5])))
        weights = counts / counts.sum()
        self.mean = weights @ values
        spread = np.sqrt(weights @ (values - self.mean) ** 2)
        self.scale = np.where(spread > 1e-12 * np.abs(self.mean).max(initial=1e-30), spread, 1.0)
        self.items, self.codes = items, codes
        self.values = ((values - self.mean) / self.scale).astype(np.float32)


class EmbeddingDecoder(BaseEstimator):
    """Base of decoders that map windows to embeddings of stimuli; subclasses define ``fit`` and ``embed``.

    Attributes
    ----------
    reader_ : WindowReader
        Reads windows through the fitted transforms.
    feature_mean_, feature_scale_ : array of shape (dim,)
        Standardisation of the stimulus embeddings.
    fit_records_ : list of FitRecord
        Which rows were seen, for the audit.
    """

    reader_: WindowReader
    fit_records_: list[FitRecord]

    def embed(self, windows: Windows) -> np.ndarray:
        """Return the embedding of each window, (n_windows, dim), float32."""
        raise NotImplementedError(f"{type(self).__name__} must define embed()")

    def predict(self, windows: Windows) -> np.ndarray:
        """The same as :meth:`embed`."""
        return self.embed(windows)

    def project(self, candidates: Features | np.ndarray) -> Any:
        """Put stimulus embeddings where :meth:`embed` puts windows: standardised as the training targets were.

        Parameters
        ----------
        candidates : Features or array of shape (n, dim)

        Returns
        -------
        Features or array, as given, float32

        Raises
        ------
        BraindecError
            If their length is not that of the training targets.
        """
        self._check_fitted()
        values = candidates.load() if isinstance(candidates, Features) else np.asarray(candidates)
        if values.ndim != 2 or values.shape[1] != len(self.feature_mean_):
            raise BraindecError(
                "candidates do not fit the decoder",
                found=f"shape {values.shape}",
                allowed=f"(n, {len(self.feature_mean_)})",
            )
        values = ((values - self.feature_mean_) / self.feature_scale_).astype(np.float32)
        if isinstance(candidates, Features):
            return Features(values, candidates.items, candidates.units, dict(candidates.info))
        return values

    def retrieve(self, windows: Windows, candidates: Features, n: int = 5) -> pd.DataFrame:
        """Return the best candidates of each window.

        Parameters
        ----------
        windows : Windows
        candidates : Features
            Each stimulus_id once.
        n : int
            How many candidates a window.

        Returns
        -------
        DataFrame
            window_id, place (1 is best), stimulus_id, similarity (cosine), and correct where the trials name a stimulus.
        """
        similarity, ids = self._similarity(windows, candidates)
        n = min(n, len(ids))
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :n]  # (window, n)
        table = pd.DataFrame({
            "window_id": np.repeat(windows.ids, n), "place": np.tile(np.arange(1, n + 1), len(windows)),
            "stimulus_id": ids[best.ravel()], "similarity": np.take_along_axis(similarity, best, axis=1).ravel(),
        })  # fmt: skip
        if "stimulus_id" in windows.trials:
            shown = windows.trials["stimulus_id"].astype(str).to_numpy(dtype=object)
            table["correct"] = table["stimulus_id"].to_numpy() == np.repeat(shown, n)
        return table

    def score(self, windows: Windows, candidates: Features) -> float:
        """Return how often the best candidate is the one that was shown (top-1); candidates that tie share the hit."""
        similarity, _ = self._similarity(windows, candidates)
        own = candidates.rows_of(column(windows, "stimulus_id"))
        best = similarity >= similarity.max(axis=1, keepdims=True)
        return float((best[np.arange(len(own)), own] / best.sum(axis=1)).mean())

    def _similarity(self, windows: Windows, candidates: Features) -> tuple[np.ndarray, np.ndarray]:
        candidates.rows_of(candidates.ids[:1])  # refuses an id that stands twice
        return unit(self.embed(windows)) @ unit(self.project(candidates).load()).T, candidates.ids

    def _keep_targets(self, targets: Targets) -> None:
        self.feature_mean_, self.feature_scale_ = targets.mean, targets.scale

    def _check_fitted(self) -> None:
        if not hasattr(self, "fit_records_"):
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit(windows, features) first")


def unit(values: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays."""
    values = np.asarray(values, dtype=np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1.0)
