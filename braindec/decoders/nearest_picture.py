"""NearestPicture: the training picture that is nearest to the ridge prediction; a real picture, never a made one.

Source: retrieval as reconstruction, Nishimoto et al. 2011 (Curr Biol: the average of the best clips of a bank); the row "nearest
training item" that shows what a generator owes to pictures it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of
from braindec.decoders._reading import column
from braindec.decoders.picture_ridge import PictureRidge
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["NearestPicture"]

_CLOSENESS = ("correlation", "distance")


class NearestPicture(PictureDecoder):
    """The training picture (or film) whose pixels are nearest to those that ridge predicts.

    Parameters
    ----------
    closeness : {"correlation", "distance"}
        Correlation over pixels, or squared distance.
    average : int
        The mean of so many nearest pictures; 1 is one real picture.
    alpha, per_target, time_bins, scaler, noise_normalise, scale_by
        As in :class:`~braindec.decoders.picture_ridge.PictureRidge`.

    Attributes
    ----------
    ridge_ : PictureRidge
    bank_ : array of shape (n_items, [n_frames,] height, width, channel)
        Training pictures, each once.
    bank_ids_ : array of shape (n_items,)
    """

    generative = False

    def __init__(
        self,
        *,
        closeness: str = "correlation",
        average: int = 1,
        alpha: Any = "auto",
        per_target: bool = False,
        time_bins: int | str | None = "auto",
        scaler: Any = "standard_scaler",
        noise_normalise: bool = False,
        scale_by: str | None = None,
    ) -> None:
        self.closeness, self.average = closeness, average
        self.alpha, self.per_target, self.time_bins = alpha, per_target, time_bins
        self.scaler, self.noise_normalise, self.scale_by = scaler, noise_normalise, scale_by

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> NearestPicture:  # fmt: skip
        """Fit on training windows; ``features`` and ``validation`` are not used."""
        if self.closeness not in _CLOSENESS:
            raise BraindecError(f"there is no closeness {self.closeness!r}", allowed=", ".join(_CLOSENESS))
        own = {k: v for k, v in self.get_params(deep=False).items() if k not in ("closeness", "average")}
        self.ridge_ = PictureRidge(**own).fit(windows, pictures)
        self.bank_, _ = targets_of(windows, pictures)
        self.bank_ids_ = np.unique(column(windows, "stimulus_id"))
        if not 1 <= self.average <= len(self.bank_):
            raise BraindecError(
                "average: how many of the training pictures", found=repr(self.average), allowed=f"1 to {len(self.bank_)}"
            )  # fmt: skip
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_ = [*self.ridge_.fit_records_, FitRecord.of("bank of pictures", windows.ids)]
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return the pixels that ridge predicts of each window, (n_windows, ...), float32."""
        self._check_fitted()
        return self.ridge_.condition(windows)

    def nearest(self, condition: np.ndarray) -> np.ndarray:
        """Return the rows of ``bank_`` that are nearest, best first, (n, average)."""
        a, b = (np.reshape(v, (len(v), -1)).astype(np.float64) for v in (condition, self.bank_))
        if self.closeness == "correlation":
            a, b = (v - v.mean(axis=1, keepdims=True) for v in (a, b))
            b = b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
            far = -(a @ b.T)
        else:
            far = (b**2).sum(axis=1) - 2 * a @ b.T
        return np.argsort(far, axis=1, kind="stable")[:, : self.average]

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Return the nearest training picture of each prediction; ``names``, ``seed`` and ``sampling`` change nothing."""
        if condition is None:
            raise BraindecError("the nearest picture has no prior: it is chosen by the recording alone")
        return self.bank_[self.nearest(condition)].mean(axis=1).astype(np.float32)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder, its bank of pictures included, as safetensors and JSON."""
        self._check_fitted()
        self.ridge_.save(Path(folder) / "ridge")
        return save_picture_decoder(self, folder, arrays={"bank": self.bank_}, more={"ids": list(self.bank_ids_)})

    @classmethod
    def load(cls, folder: str | Path) -> NearestPicture:
        """Return the decoder that :meth:`save` wrote."""
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.ridge_ = PictureRidge.load(Path(folder) / "ridge")
        decoder.bank_, decoder.bank_ids_ = arrays["bank"], np.array(more["ids"], dtype=object)
        return decoder
