"""NearestCaption: the caption of the image in a bank whose embedding is nearest. No network, no download, never a made-up word.

Source: retrieval as captioning, Ordonez et al. 2011 (NeurIPS, Im2Text).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from braindec.llm.captioner import Captioner, checked_pairs
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["NearestCaption"]


class NearestCaption(Captioner):
    """Cosine to the embeddings of a bank.

    Parameters
    ----------
    standardised : bool
        Units are scaled by their mean and spread over the bank first: embeddings of images share a large common part that
        tells nothing, and units of large scale would decide alone.
    """

    def __init__(self, *, standardised: bool = True) -> None:
        self.standardised = standardised

    def fit(self, embeddings: np.ndarray, captions: Sequence[str], *, seed: int = 0) -> NearestCaption:
        """Keep embeddings and captions as the bank; nothing is random."""
        values, self.bank_captions_ = checked_pairs(embeddings, captions)
        self.shape_ = values.shape[1:]
        flat = values.reshape(len(values), -1)
        self.centre_, self.scale_ = np.zeros(flat.shape[1], np.float32), np.ones(flat.shape[1], np.float32)
        if self.standardised:
            self.centre_, spread = flat.mean(axis=0), flat.std(axis=0)
            self.scale_ = np.where(spread > 1e-6 * np.abs(flat).max(initial=1e-30), spread, 1.0).astype(np.float32)
        self.bank_ = _unit((flat - self.centre_) / self.scale_)
        return self

    def nearest(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the row of the bank that is nearest to each embedding, (n,); the first of equals."""
        flat = self.checked(embeddings).reshape(len(embeddings), -1)
        return np.argmax(_unit((flat - self.centre_) / self.scale_) @ self.bank_.T, axis=1)

    def captions(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the caption of the nearest image of each embedding."""
        return np.array([self.bank_captions_[i] for i in self.nearest(embeddings)], dtype=object)

    def save(self, folder: str | Path) -> Path:
        """Write the bank."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"bank": torch.from_numpy(self.bank_), "centre": torch.from_numpy(self.centre_),
                   "scale": torch.from_numpy(self.scale_)}  # fmt: skip
        save_tensors(tensors, folder / "captioner.safetensors")
        self.write_about(
            folder,
            settings={"standardised": self.standardised},
            captions=self.bank_captions_,
            sha256=sha256(folder / "captioner.safetensors"),
        )
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> NearestCaption:
        """Return what :meth:`save` wrote."""
        folder = Path(folder)
        about = read_json(folder / "captioner.json")
        check_whole(folder / "captioner.safetensors", about["sha256"])
        made, tensors = cls(**about["settings"]), load_file(folder / "captioner.safetensors")
        made.shape_, made.bank_captions_ = tuple(about["shape"]), list(about["captions"])
        made.bank_, made.centre_, made.scale_ = tensors["bank"], tensors["centre"], tensors["scale"]
        return made


def _unit(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(length > 0, length, 1.0)).astype(np.float32)
