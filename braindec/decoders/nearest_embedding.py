"""NearestEmbedding: the training picture whose embedding is nearest to the one that a decoder reads from the recording.

Where :class:`~braindec.decoders.nearest_picture.NearestPicture` compares pixels, this one compares what the features tell: an
object that is drawn sharply, of the right kind, where a small generator still blurs.

Source: retrieval as reconstruction, Nishimoto et al. 2011 (Curr Biol); retrieval from a bank of pictures by embedding, Scotti et
al. 2023 (MindEye, section 3.1, retrieval from LAION-5B).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec.decoders._front_end import DecoderFront
from braindec.decoders._picture_stored import load_part, load_picture_decoder, save_part, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of
from braindec.decoders._reading import column
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["NearestEmbedding"]


class NearestEmbedding(PictureDecoder):
    """Retrieve a training picture (or film) by the distance of standardised embeddings.

    Parameters
    ----------
    embedder : dict
        ``{"name": ..., ...}``: a decoder of embeddings of the registry with ``describe`` ("ridge"), or of standardised ones.
    extra_pictures, extra_features : Pictures, Features, optional
        Further pictures of the bank; they must be none of the test pictures.

    Attributes
    ----------
    bank_ : array of shape (n_items, [n_frames,] height, width, channel)
    bank_ids_ : array of shape (n_items,)
    """

    generative = False

    def __init__(
        self, *, embedder: dict[str, Any] | None = None, extra_pictures: Pictures | None = None,
        extra_features: Features | None = None,
    ) -> None:  # fmt: skip
        self.embedder, self.extra_pictures, self.extra_features = embedder, extra_pictures, extra_features

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> NearestEmbedding:  # fmt: skip
        """Fit the embedder; keep the training pictures and their embeddings. ``validation`` is not used."""
        if features is None:
            raise BraindecError("this decoder goes through embeddings", fix="fit(windows, pictures, features)")
        self.bank_, codes = targets_of(windows, pictures)
        self.bank_ids_ = np.unique(column(windows, "stimulus_id"))
        embedded = features.of(self.bank_ids_)
        self.mean_, spread = embedded[codes].mean(axis=0), embedded[codes].std(axis=0)
        self.scale_ = np.where(spread > 1e-6 * max(float(spread.max()), 1e-12), spread, 1.0).astype(np.float32)
        self.front_ = DecoderFront(self.embedder or {"name": "ridge"}, cross_fit=0)
        self.front_.fit(windows, pictures, features)
        if self.extra_pictures is not None:
            if self.extra_pictures.shape[1:] != pictures.shape[1:]:
                raise BraindecError(
                    "the extra pictures are of another size or mode", found=f"{self.extra_pictures.shape[1:]}", allowed=f"{pictures.shape[1:]}"
                )  # fmt: skip
            more = (self.extra_features or features).of(self.extra_pictures.ids)
            embedded = np.concatenate([embedded, more])
            self.bank_ = np.concatenate([self.bank_, self.extra_pictures.load()])
            self.bank_ids_ = np.concatenate([self.bank_ids_, self.extra_pictures.ids])
        self.bank_embedded_ = self._standard(embedded)
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_ = [*self.front_.records, FitRecord.of("bank of pictures", windows.ids)]
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return the predicted embedding of each window, standardised, (n_windows, dim), float32."""
        self._check_fitted()
        raw = self.front_.raw(windows)
        return self._standard(raw) if hasattr(self.front_.decoder, "describe") else raw

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Return the nearest picture of each embedding; ``names``, ``seed`` and ``sampling`` change nothing."""
        self._check_fitted()
        if condition is None:
            raise BraindecError("the nearest picture has no prior: it is chosen by the recording alone")
        z, bank = np.asarray(condition, dtype=np.float64), self.bank_embedded_.astype(np.float64)
        far = (bank**2).sum(axis=1) - 2 * z @ bank.T
        return self.bank_[far.argmin(axis=1)].astype(np.float32)

    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0, **sampling: Any
    ) -> np.ndarray | None:  # fmt: skip
        """Return the training pictures nearest to the true embeddings."""
        return (
            None if features is None else self.generate(self._standard(features.of(stimulus_ids)), names=stimulus_ids)
        )

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder, its bank of pictures included, as safetensors and JSON."""
        self._check_fitted()
        save_part(self.front_.decoder, Path(folder) / "embedder")
        arrays = {"bank": self.bank_, "embedded": self.bank_embedded_, "mean": self.mean_, "scale": self.scale_}
        return save_picture_decoder(self, folder, arrays=arrays, more={"ids": [str(i) for i in self.bank_ids_]})

    @classmethod
    def load(cls, folder: str | Path) -> NearestEmbedding:
        """Return the decoder that :meth:`save` wrote."""
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.front_ = DecoderFront(decoder.embedder or {"name": "ridge"})
        decoder.front_.decoder = load_part(Path(folder) / "embedder")
        decoder.bank_, decoder.bank_embedded_ = arrays["bank"], arrays["embedded"]
        decoder.mean_, decoder.scale_ = arrays["mean"], arrays["scale"]
        decoder.bank_ids_ = np.array(more["ids"], dtype=object)
        return decoder

    def _standard(self, values: np.ndarray) -> np.ndarray:
        if values.shape[1] != len(self.mean_):
            raise BraindecError(
                "the embeddings do not fit the model", found=f"shape {values.shape}", allowed=f"(n, {len(self.mean_)})"
            )
        return ((values - self.mean_) / self.scale_).astype(np.float32)
