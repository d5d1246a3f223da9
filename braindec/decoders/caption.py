"""CaptionDecoder: what was seen, in words: an embedding is read from the recording, a captioner puts it into words.

With ridge to the image tokens of GIT and GIT's text decoder this is BrainCaptioning; with a bank of captioned images it needs
no network and no download (nearest caption); with a prefix captioner it makes sentences of its own. The embedding is read
window by window, so nothing about the test set is used, and the captioner never sees the recording.

Source: Ferrante et al. 2023 (BrainCaptioning, arXiv 2305.11560): ridge with penalty 6e4 a token, GIT.
Differs from the reference in: predictions are not standardised with test statistics; penalties are chosen on training rows
unless they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec import registry
from braindec.decoders._make import make_decoder
from braindec.decoders._picture_stored import load_part, load_picture_decoder, save_part, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, told
from braindec.decoders._reading import column
from braindec.diffusion.noise import item_generators
from braindec.errors import BraindecError
from braindec.llm.captioner import load_captioner, make_captioner
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["CaptionDecoder", "captions_of"]


class CaptionDecoder(PictureDecoder):
    """Read an embedding and caption it; ``reconstruct`` returns text, (n_windows,) of str.

    Parameters
    ----------
    embedder : dict
        Decoder of embeddings and its options; it must tell features in their own units (``describe``).
    captioner : dict
        ``name``, a file of ``llm/captioners`` ("nearest", "prefix", "git"), and its options.
    column : str
        Column of the table of pictures that holds the captions.
    extra : bool
        The captioner also learns from captioned pictures that no training window shows (never from those of test windows:
        give only pictures that may be used).
    seed : int

    Attributes
    ----------
    embedder_, captioner_ :
        Fitted parts.
    token_shape_ : tuple
        Shape of the embedding that the captioner takes.
    """

    def __init__(
        self, *, embedder: Mapping[str, Any] | None = None, captioner: Mapping[str, Any] | None = None, column: str = "caption",
        extra: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        self.embedder, self.captioner, self.column, self.extra, self.seed = embedder, captioner, column, extra, seed

    def fit(
        self,
        windows: Windows,
        pictures: Pictures,
        features: Features | None = None,
        *,
        validation: Windows | None = None,
    ) -> CaptionDecoder:
        """Fit on training windows.

        Parameters
        ----------
        windows : Windows
        pictures : Pictures
            Their table holds the captions; pixels are not looked at.
        features : Features
            Embeddings of the stimuli: what is read from the recording and what the captioner is taught with. Tokens are
            flattened; ``features.info["shape"]`` says their shape, such as [197, 768].
        validation : Windows, optional
            Passed on to the embedder.

        Raises
        ------
        BraindecError
            If there are no features, a caption is missing, or the embedder cannot tell features in their own units.
        """
        if features is None:
            raise BraindecError("captions are read through an embedding of the images", fix="pass features=...")
        for name in ("embedder", "captioner"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise BraindecError(
                    f"{name}: its name and options", found=repr(value), fix=f'{name}={{"name": {value!r}}}'
                )
        options = {"name": "ridge", **(self.embedder or {})}
        usual = {"scaler": "standard_scaler"} if options["name"] == "ridge" else {}
        embedder = make_decoder({**usual, **options}, seed=self.seed)
        if not hasattr(embedder, "describe"):
            having = [n for n in registry.names("decoders") if hasattr(registry.get("decoders", n), "describe")]
            raise BraindecError(
                f"the embedder {type(embedder).__name__} does not tell features in their own units",
                found="it has no describe()", allowed=", ".join(having),
            )  # fmt: skip
        shown = np.unique(column(windows, "stimulus_id"))
        taught = features.ids if self.extra else shown
        texts = captions_of(pictures, taught, self.column)
        self.token_shape_ = tuple(int(s) for s in features.info.get("shape", (features.shape[1],)))
        if int(np.prod(self.token_shape_)) != features.shape[1]:
            raise BraindecError(
                "features.info['shape'] is not that of the features",
                found=f"{list(self.token_shape_)}",
                allowed=f"{features.shape[1]} numbers in all",
            )
        values = features.of(taught).reshape(len(taught), *self.token_shape_)
        self.embedder_ = embedder.fit(windows, features, validation=validation)
        self.captioner_ = make_captioner(self.captioner or {"name": "nearest"}).fit(values, texts, seed=self.seed)
        own = features.of(shown)
        self.bank_ = own[np.unique(np.linspace(0, len(own) - 1, min(len(own), 2000)).astype(int))]
        self.picture_shape_ = ()
        self.fit_records_ = [*self.embedder_.fit_records_, FitRecord.of("captioner", windows.ids)]
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return the embedding that is read from each window, (n_windows, dim), float32."""
        self._check_fitted()
        return self.embedder_.describe(windows)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Return a caption of each embedding, (n,) of str; without one, of a training image drawn by (seed, name)."""
        self._check_fitted()
        if condition is None:
            rows = [int(g.initial_seed() % len(self.bank_)) for g in item_generators(names, seed)]
            condition = self.bank_[rows]
        return self.captioner_.captions(told(condition, self.token_shape_, names=names))

    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0,
        **sampling: Any,
    ) -> np.ndarray | None:  # fmt: skip
        """Return what the captioner says of the true embeddings."""
        return None if features is None else self.generate(features.of(stimulus_ids), names=stimulus_ids, seed=seed)

    def save(self, folder: str | Path) -> Path:
        """Write embedder, captioner and options."""
        self._check_fitted()
        save_part(self.embedder_, Path(folder) / "embedder")
        self.captioner_.save(Path(folder) / "captioner")
        return save_picture_decoder(
            self, folder, arrays={"bank": self.bank_}, more={"token_shape": list(self.token_shape_)}
        )

    @classmethod
    def load(cls, folder: str | Path) -> CaptionDecoder:
        """Return the decoder that :meth:`save` wrote."""
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.embedder_, decoder.captioner_ = (
            load_part(Path(folder) / "embedder"),
            load_captioner(Path(folder) / "captioner"),
        )
        decoder.bank_, decoder.token_shape_ = arrays["bank"], tuple(more["token_shape"])
        return decoder


def captions_of(pictures: Pictures, stimulus_ids: Sequence[Any], name: str = "caption") -> list[str]:
    """Return the caption of each stimulus.

    Raises
    ------
    BraindecError
        If the table of pictures has no such column, or a caption is missing.
    """
    if not isinstance(pictures, Pictures):
        raise BraindecError(
            "captions stand in the table of the pictures",
            found=type(pictures).__name__,
            fix="fit(windows, pictures, features)",
        )
    if name not in pictures.items:
        raise BraindecError(
            f"the pictures have no column {name!r} of captions", found=f"columns {', '.join(map(str, pictures.items.columns))}",
            fix="add captions to the table of the pictures, or name their column with column=",
        )  # fmt: skip
    texts = pictures.items[name].to_numpy(dtype=object)[pictures.rows_of(stimulus_ids)]
    missing = [str(i) for i, t in zip(stimulus_ids, texts, strict=True) if not isinstance(t, str) or not t.strip()]
    if missing:
        raise BraindecError(
            f"{len(missing)} of {len(texts)} stimuli have no caption",
            found=", ".join(missing[:5]),
            fix="caption them, or leave their trials out",
        )
    return list(texts)
