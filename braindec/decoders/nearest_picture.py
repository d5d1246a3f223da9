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
from braindec.decoders._pictures import PictureDecoder, targets_of, told
from braindec.decoders._reading import column
from braindec.decoders.picture_ridge import PictureRidge
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["NearestPicture"]

_BLOCK = 1024  # windows whose distances to the bank are computed at once
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
        whole = isinstance(self.average, (int, np.integer)) and not isinstance(self.average, bool)
        if not whole or not 1 <= self.average <= len(self.bank_):
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
        self._check_fitted()
        given = told(condition, [int(np.prod(self.picture_shape_))])
        b = self.bank_.reshape(len(self.bank_), -1).astype(np.float64)
        correlated = self.closeness == "correlation"
        if correlated:
            b = b - b.mean(axis=1, keepdims=True)
            b = b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
        out = np.empty((len(given), self.average), dtype=np.int64)
        for start in range(0, len(given), _BLOCK):  # the whole table of distances does not fit for many windows
            a = given[start : start + _BLOCK].astype(np.float64)
            near = (a - a.mean(axis=1, keepdims=True)) @ b.T if correlated else 2 * a @ b.T - (b**2).sum(axis=1)
            out[start : start + _BLOCK] = np.argsort(-near, axis=1, kind="stable")[:, : self.average]
        return out

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Return the nearest training picture of each prediction; ``names``, ``seed`` and ``sampling`` change nothing."""
        if condition is None:
            raise BraindecError("the nearest picture has no prior: it is chosen by the recording alone")
        self._check_fitted()
        rows = self.nearest(told(condition, self.picture_shape_, names=names))
        out = np.zeros((len(rows), *self.picture_shape_), dtype=np.float32)
        for k in range(self.average):
            out += self.bank_[rows[:, k]]
        return out / np.float32(self.average)

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
