"""What a decoder of pictures from embeddings is told, when the embedding comes from elsewhere (a prior, a ridge, the truth)."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError

__all__ = ["picture_condition"]


def picture_condition(decoder: Any, embeddings: np.ndarray, *, level: float = 0.0) -> np.ndarray:
    """Return the condition of embeddings in the features' units.

    Parameters
    ----------
    decoder : PictureDecoder
        One that makes pictures from embeddings: ``condition_of(embeddings, level=...)``, or a fitted
        :class:`~braindec.decoders.unclip.Unclip`.
    embeddings : array of shape (n, dim)
    level : float
        How noisy the decoder shall take them to be: 0 is an embedding of a picture, 1 one that was read from a recording.

    Raises
    ------
    BraindecError
        If the decoder takes no embeddings.
    """
    values = np.asarray(embeddings, dtype=np.float32)
    if hasattr(decoder, "condition_of"):
        return decoder.condition_of(values, level=level)
    if not (hasattr(decoder, "mean_") and hasattr(decoder, "scale_")):
        raise BraindecError(
            f"{type(decoder).__name__} makes no pictures from embeddings", fix="use the decoder 'unclip'"
        )
    standard = (values - decoder.mean_) / decoder.scale_
    return np.concatenate([standard, np.full((len(values), 1), level, np.float32)], axis=1).astype(np.float32)
