"""PictureRidge: from windows to pixels by ridge regression in closed form; the picture that any generator must beat.

Source: Hoerl & Kennard 1970 (Technometrics); linear reconstruction of pixels as in Miyawaki et al. 2008 (Neuron) and van
Gerven et al. 2010 (Neural Computation).
Differs from the references in: all pixels in one solution, the penalty by exact leave-one-out on training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of, told
from braindec.decoders._reading import column
from braindec.decoders.ridge import RidgeDecoder
from braindec.errors import BraindecError
from braindec.types import Features, Pictures, Windows

__all__ = ["PictureRidge", "pixel_features"]


class PictureRidge(PictureDecoder):
    """Ridge regression of pixels (of pictures or films) on scaled, time-binned windows.

    The picture is the prediction cut to 0 to 1: there is no randomness and no prior.

    Parameters
    ----------
    alpha, per_target, time_bins, scaler, noise_normalise, scale_by
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.

    Attributes
    ----------
    ridge_ : RidgeDecoder
        The fitted map; ``ridge_.alpha_`` is the penalty that was chosen.
    """

    generative = False

    def __init__(
        self,
        *,
        alpha: Any = "auto",
        per_target: bool = False,
        time_bins: int | str | None = "auto",
        scaler: Any = "standard_scaler",
        noise_normalise: bool = False,
        scale_by: str | None = None,
    ) -> None:
        self.alpha, self.per_target, self.time_bins = alpha, per_target, time_bins
        self.scaler, self.noise_normalise, self.scale_by = scaler, noise_normalise, scale_by

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> PictureRidge:  # fmt: skip
        """Fit on training windows; ``features`` and ``validation`` are not used."""
        found = pixel_features(windows, pictures)
        self.ridge_ = RidgeDecoder(**self.get_params(deep=False)).fit(windows, found)
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_ = list(self.ridge_.fit_records_)
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return the predicted pixels of each window, not cut to 0 to 1, (n_windows, ...), float32."""
        self._check_fitted()
        return self.ridge_.describe(windows).reshape(len(windows), *self.picture_shape_)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Return the predicted pixels as pictures, cut to 0 to 1; ``names``, ``seed`` and ``sampling`` change nothing."""
        if condition is None:
            raise BraindecError("a ridge has no prior: its pictures come from the recording alone")
        self._check_fitted()
        return np.clip(told(condition, self.picture_shape_, names=names), 0.0, 1.0).astype(np.float32)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON."""
        self._check_fitted()
        self.ridge_.save(Path(folder) / "ridge")
        return save_picture_decoder(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> PictureRidge:
        """Return the decoder that :meth:`save` wrote."""
        decoder, _, _ = load_picture_decoder(cls, folder)
        decoder.ridge_ = RidgeDecoder.load(Path(folder) / "ridge")
        return decoder


def pixel_features(windows: Windows, pictures: Pictures) -> Features:
    """Return the pixels of the stimuli of windows as features, (n_items, pixels), each stimulus once."""
    values, _ = targets_of(windows, pictures)
    items = pd.DataFrame({"stimulus_id": np.unique(column(windows, "stimulus_id"))})
    return Features(values.reshape(len(values), -1), items)
