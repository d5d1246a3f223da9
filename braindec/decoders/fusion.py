"""FusionDecoder: simultaneous EEG and fMRI (or other pairs) to the embedding of what was seen, after CineSync.

The encoder is trained by contrast with stimulus embeddings, with one modality left out of some training examples, so that
each modality can also be asked alone: what one adds to the other is a row of its own. It is an embedding decoder like any
other, so retrieval, priors and picture decoders (``embedder={"name": "fusion"}``) take it as they take ridge.

Source: Gao et al. 2025 (CineBrain, arXiv 2503.06940); see :mod:`braindec.encoders.cinesync` for differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.decoders.contrastive import ContrastiveDecoder
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, Windows

__all__ = ["FusionDecoder"]


class FusionDecoder(ContrastiveDecoder):
    """Train CineSync's encoder on fused windows (:func:`braindec.signal.fusion.fuse_windows`).

    Parameters
    ----------
    preset, encoder_options
        Size of the encoder.
    loss, loss_options, epochs, batch_size, lr, weight_decay, patience, schedule, clip_norm, scaler, scale_by,
    validation_share, ram_limit, seed, device, folder
        As in :class:`~braindec.decoders.contrastive.ContrastiveDecoder`.

    Attributes
    ----------
    parts_ : dict of name to [n_channels, n_times]
        The modalities; one of the windows' own when they were not fused.
    """

    def __init__(
        self,
        *,
        preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None,
        loss: str = "infonce",
        loss_options: dict[str, Any] | None = None,
        epochs: int = 40,
        batch_size: int = 64,
        lr: float = 1e-3,
        weight_decay: float = 0.05,
        patience: int | None = 10,
        schedule: str = "cosine",
        clip_norm: float | None = 1.0,
        scaler: Any = "standard",
        scale_by: str | None = None,
        validation_share: float = 0.1,
        ram_limit: float = 1024.0,
        seed: int = 0,
        device: str = "cpu",
        folder: str | None = None,
    ) -> None:
        super().__init__(
            encoder="cinesync", preset=preset, encoder_options=encoder_options, loss=loss, loss_options=loss_options, epochs=epochs,
            batch_size=batch_size, lr=lr, weight_decay=weight_decay, patience=patience, schedule=schedule, clip_norm=clip_norm,
            scaler=scaler, scale_by=scale_by, validation_share=validation_share, ram_limit=ram_limit, seed=seed, device=device,
            folder=folder,
        )  # fmt: skip

    def fit(self, windows: Windows, features: Features, *, validation: Windows | None = None) -> FusionDecoder:
        """Train on fused windows; see :meth:`braindec.decoders.contrastive.ContrastiveDecoder.fit`."""
        fused = windows.info.get("fused")
        self.parts_ = dict(fused) if fused else {windows.modality or "windows": [windows.n_channels, windows.n_times]}
        return super().fit(windows, features, validation=validation)

    def embed(self, windows: Windows, *, without: str | None = None) -> np.ndarray:
        """Return embeddings (n_windows, dim), float32.

        Parameters
        ----------
        windows : Windows
        without : str, optional
            A modality that is left out: what is found is what the others carry alone.
        """
        number = self._number(without)
        return self._through(windows, lambda x: self.encoder_(x, without=number))

    def describe(self, windows: Windows) -> np.ndarray:
        """Return predicted features in their own units, (n_windows, dim), float32.

        A contrastive embedding has a direction and no length; it is given the mean length of the training features.
        """
        embedded = self.embed(windows).astype(np.float64)
        length = np.linalg.norm(embedded, axis=1, keepdims=True)
        typical = np.sqrt(embedded.shape[1])  # of standardised features
        return (
            embedded / np.where(length > 0, length, 1.0) * typical * self.feature_scale_ + self.feature_mean_
        ).astype(np.float32)

    def tokens(self, windows: Windows, *, without: str | None = None) -> np.ndarray:
        """Return tokens that condition a generator, (n_windows, n_tokens, width), float32."""
        number = self._number(without)
        return self._through(windows, lambda x: self.encoder_.tokens(x, without=number))

    def _through(self, windows: Windows, call: Any) -> np.ndarray:
        self._check_fitted()
        device = next(self.encoder_.parameters()).device
        self.encoder_.eval()
        with torch.no_grad():
            blocks = self.reader_.blocks(windows, max(self.batch_size, 64))
            made = [call(torch.from_numpy(block).to(device)).cpu().numpy() for _, block in blocks]
            if made:
                return np.concatenate(made)
            one = call(torch.zeros(1, windows.n_channels, windows.n_times, device=device))  # no window: its shape alone
            return one[:0].cpu().numpy()

    def _number(self, name: str | None) -> int | None:
        if name is None:
            return None
        self._check_fitted()
        known = list(self.parts_)
        if name not in known or len(known) < 2:
            raise BraindecError(
                f"there is no modality {name!r} to leave out{did_you_mean(name, known)}", allowed=", ".join(known) if len(known) > 1 else "none",
                fix="fuse windows of several modalities first: braindec.signal.fusion.fuse_windows",
            )  # fmt: skip
        return known.index(name)

    def _build(self, windows: Windows, dim: int) -> tuple[nn.Module, nn.Module]:
        options = self.encoder_options
        if len(self.parts_) > 1:
            self.encoder_options = {**(options or {}), "parts": [list(p) for p in self.parts_.values()]}
        try:
            return super()._build(windows, dim)
        finally:
            self.encoder_options = options

    def _more(self) -> dict[str, Any]:
        return {"parts": self.parts_}
