"""Connectivity: which class a window belongs to, by how strongly its channels are connected in frequency bands.

Source: Cattai et al. 2021 (Frontiers in Neuroscience 15:613817) and HappyFeat (Desbois et al. 2024, Software Impacts
19:100610) for node strength of coherence in motor imagery; :mod:`braindec.signal.connectivity` for the measures.
Differs from the references in: all features enter a shrunk linear model; nothing is selected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindec.decoders._bci_base import OscillationDecoder, Rows
from braindec.errors import BraindecError, did_you_mean
from braindec.signal.connectivity import MEASURES, connectivity, node_strength
from braindec.signal.filter_bank import check_bands
from braindec.types import Windows

FEATURES = ("edges", "strength")

__all__ = ["Connectivity"]


class Connectivity(OscillationDecoder):
    """Classify windows by the connections of their channels.

    Parameters
    ----------
    measure : {"imaginary_coherence", "coherence", "wpli"}
        See :func:`braindec.signal.connectivity.connectivity`.
    features : {"strength", "edges"}
        Mean connection of each channel, or every pair of channels.
    bands : sequence of (low, high)
        Hz.
    segment : float
        Length in s of the pieces of a window that coherence is taken over.
    tmin, tmax : float, optional
        Use only this span of the windows, s relative to onset.
    model, shrinkage, alpha, class_weight
        The linear model, as in :class:`~braindec.decoders.classifier.Classifier`.

    Attributes
    ----------
    classes_, fit_records_
    """

    own_bands = True  # takes its frequencies out of broad-band windows

    def __init__(
        self,
        measure: str = "imaginary_coherence",
        *,
        features: str = "strength",
        bands: Sequence[Sequence[float]] = ((8.0, 13.0), (13.0, 20.0), (20.0, 30.0)),
        segment: float = 0.5,
        tmin: float | None = None,
        tmax: float | None = None,
        model: str = "lda",
        shrinkage: float | str = "auto",
        alpha: float | str = "auto",
        class_weight: str | None = "balanced",
    ) -> None:
        self.measure, self.features, self.bands, self.segment = measure, features, bands, segment
        self.tmin, self.tmax = tmin, tmax
        self.model, self.shrinkage, self.alpha, self.class_weight = model, shrinkage, alpha, class_weight

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong; ``fit`` does the same."""
        super().check()
        for name, value, allowed in (("measure", self.measure, MEASURES), ("features", self.features, FEATURES)):
            if value not in allowed:
                raise BraindecError(
                    f"unknown {name} {value!r}{did_you_mean(str(value), allowed)}", allowed=", ".join(allowed)
                )
        check_bands(self.bands)
        if not self.segment > 0:
            raise BraindecError("segment is a time in s", found=repr(self.segment), allowed="> 0")

    def _data(self, windows: Windows, *, fit: bool = False) -> np.ndarray:
        X = self._load(windows, fit=fit)
        found = connectivity(X, windows.sfreq, bands=self.bands, measure=self.measure, segment=self.segment)
        if self.features == "strength":
            return node_strength(found).reshape(len(X), -1).astype(np.float64)
        above = np.triu_indices(X.shape[1], k=1)
        return found[:, :, above[0], above[1]].reshape(len(X), -1).astype(np.float64)

    def _learn(self, data: np.ndarray, codes: np.ndarray, n_classes: int, windows: Windows) -> tuple[Rows, None]:
        return _same, None

    def _looks_at_labels(self) -> bool:
        return False


def _same(rows: np.ndarray) -> np.ndarray:
    return rows
