"""RidgeDecoder: windows to stimulus embeddings by ridge regression in closed form, the honest baseline.

Source: the linear baseline of Défossez et al. 2023 (Nat Mach Intell) and Gifford et al. 2022 (NeuroImage 264), with the
penalty chosen by exact leave-one-concept-out on the training rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from braindec.decoders._embedding import EmbeddingDecoder, Targets
from braindec.decoders._reading import WindowReader, spread_groups
from braindec.decoders._stored import load_decoder, save_decoder
from braindec.encoders.ridge import Ridge
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Windows

__all__ = ["RidgeDecoder"]

_FEW_CONCEPTS = 10
_AUTO_COLUMNS = 3200  # time bins are as fine as this many columns allow: the eigenvalues then take seconds


class RidgeDecoder(EmbeddingDecoder):
    """Ridge regression of standardised stimulus embeddings on scaled, time-binned windows.

    Parameters
    ----------
    alpha : float, list of float or "auto"
        The penalty; of several, or of a wide grid, the best is chosen by leaving one concept of the training
        rows out at a time (one stimulus, when there are fewer than 10 concepts).
    per_target : bool
        Choose a penalty for each dimension of the embedding.
    time_bins : int, "auto" or None
        Samples are averaged in so many bins; None keeps every sample; "auto" takes as many as 3,200 columns allow.
    scaler : str, transform, list of them, or None
        Names in ``signal/transforms``, fitted on training rows; "robust" is short for "robust_scaler".
    noise_normalise : bool
        Whiten channels by the noise covariance of training rows, after the scaler.
    scale_by : str, optional
        Column of the trials; each of its values (subject, session) is scaled by its own numbers.

    Attributes
    ----------
    encoder_ : Ridge
        The linear map.
    alpha_ : array of shape (dim,)
        The penalty of each dimension.
    alphas_, errors_ : array
        Penalties tried and their leave-one-out errors.
    fit_records_ : list of FitRecord
    """

    def __init__(
        self,
        *,
        alpha: Any = "auto",
        per_target: bool = False,
        time_bins: int | str | None = "auto",
        scaler: Any = "robust",
        noise_normalise: bool = False,
        scale_by: str | None = None,
    ) -> None:
        self.alpha, self.per_target, self.time_bins = alpha, per_target, time_bins
        self.scaler, self.noise_normalise, self.scale_by = scaler, noise_normalise, scale_by

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        WindowReader(self.scaler, self.scale_by)

    def fit(self, windows: Windows, features: Features, *, validation: Windows | None = None) -> RidgeDecoder:
        """Fit on training windows.

        Parameters
        ----------
        windows : Windows
            Training windows with ``stimulus_id``.
        features : Features
            Embeddings of their stimuli.
        validation : Windows, optional
            Not used (the penalty is chosen on training rows); accepted so that decoders can take each other's place.

        Raises
        ------
        BraindecError
            If a stimulus has no features, a value is not finite, or an option is wrong.
        """
        steps = (
            list(self.scaler)
            if isinstance(self.scaler, (list, tuple))
            else []
            if self.scaler is None
            else [self.scaler]
        )
        self.reader_ = WindowReader([*steps, "noise_normalizer"] if self.noise_normalise else steps, self.scale_by).fit(
            windows
        )
        targets = Targets(windows, features)
        self._keep_targets(targets)
        self.encoder_ = Ridge(n_chans=windows.n_channels, n_times=windows.n_times, dim=targets.values.shape[1],
                              n_bins=self._n_bins(windows))  # fmt: skip
        X = np.empty((len(windows), windows.n_channels * self.encoder_.n_bins), dtype=np.float32)
        for rows, block in self.reader_.blocks(windows):
            X[rows] = self.encoder_.columns(torch.from_numpy(block)).numpy()
        groups = spread_groups(windows, ("concept_id", "stimulus_id"))
        if len(set(groups)) < _FEW_CONCEPTS:  # leaving out half of the training rows says little of the whole
            groups = spread_groups(windows, ("stimulus_id",))
        groups = groups if len(set(groups)) > 1 else None
        found = self.encoder_.fit(
            X, targets.values[targets.codes], alpha=self.alpha, groups=groups, per_target=self.per_target
        )
        self.encoder_.eval()
        self.alpha_, self.alphas_, self.errors_ = found.alpha, found.alphas, found.errors
        self.fit_records_ = [*self.reader_.records, *(FitRecord.of(s, windows.ids) for s in ("Targets", "Ridge"))]
        return self

    def embed(self, windows: Windows) -> np.ndarray:
        """Return the predicted (standardised) embedding of each window, (n_windows, dim), float32."""
        self._check_fitted()
        out = np.empty((len(windows), self.encoder_.dim), dtype=np.float32)
        with torch.no_grad():
            for rows, block in self.reader_.blocks(windows):
                out[rows] = self.encoder_(torch.from_numpy(block)).numpy()
        return out

    def describe(self, windows: Windows) -> np.ndarray:
        """Return the predicted features of each window in their own units, (n_windows, dim), float32."""
        return (self.embed(windows) * self.feature_scale_ + self.feature_mean_).astype(np.float32)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON."""
        self._check_fitted()
        own = {"alpha": self.alpha_, "alphas": self.alphas_, "errors": self.errors_}
        return save_decoder(self, folder, arrays=own)

    @classmethod
    def load(cls, folder: str | Path) -> RidgeDecoder:
        """Return the decoder that :meth:`save` wrote."""
        decoder, arrays, _ = load_decoder(cls, folder)
        decoder.alpha_, decoder.alphas_, decoder.errors_ = (arrays[k] for k in ("alpha", "alphas", "errors"))
        return decoder

    def _n_bins(self, windows: Windows) -> int:
        if self.time_bins is None:
            return windows.n_times
        if self.time_bins == "auto":
            return max(1, min(windows.n_times, _AUTO_COLUMNS // windows.n_channels))
        if not isinstance(self.time_bins, int) or not 1 <= self.time_bins <= windows.n_times:
            raise BraindecError(
                "time_bins does not fit the windows",
                found=repr(self.time_bins),
                allowed=f"1 to {windows.n_times}, 'auto', or None",
            )
        return self.time_bins
