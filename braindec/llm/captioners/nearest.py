"""NearestCaption: a caption of the images in a bank whose embeddings are nearest. No network, no download, never a made-up word.

Of several nearest images the caption is taken that shares most words with the others: what they have in common is what the
embedding says, what each has alone is accident.

Source: retrieval as captioning, Ordonez et al. 2011 (NeurIPS, Im2Text); consensus of nearest neighbours, Devlin et al. 2015
(arXiv 1505.04467). Differs from the reference in: likeness of captions is the cosine of their tf-idf, not BLEU or CIDEr.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from braindec.errors import BraindecError
from braindec.llm.captioner import Captioner, checked_pairs
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["NearestCaption"]

_BLOCK = 1024  # embeddings that are compared with the bank at once


class NearestCaption(Captioner):
    """Cosine to the embeddings of a bank.

    Parameters
    ----------
    standardised : bool
        Units are scaled by their mean and spread over the bank first: embeddings of images share a large common part that
        tells nothing, and units of large scale would decide alone.
    consensus : int
        So many nearest images are asked; 1 is the nearest one.

    Raises
    ------
    BraindecError
        If ``consensus`` is no whole number of at least 1.
    """

    def __init__(self, *, standardised: bool = True, consensus: int = 1) -> None:
        if isinstance(consensus, bool) or not isinstance(consensus, (int, np.integer)) or consensus < 1:
            raise BraindecError(
                "consensus: how many nearest images are asked", found=repr(consensus), allowed="1 or more"
            )
        self.standardised, self.consensus = standardised, int(consensus)

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
        """Return the rows of the bank that are nearest to each embedding, nearest first, (n, consensus)."""
        values = self.checked(embeddings)
        flat = values.reshape(len(values), len(self.centre_))
        out = np.empty((len(flat), min(self.consensus, len(self.bank_))), dtype=np.int64)
        for start in range(0, len(flat), _BLOCK):  # the whole table of similarities does not fit for many windows
            some = _unit((flat[start : start + _BLOCK] - self.centre_) / self.scale_)
            out[start : start + _BLOCK] = np.argsort(-(some @ self.bank_.T), axis=1, kind="stable")[:, : self.consensus]
        return out

    def captions(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the caption of the nearest image of each embedding, or the one that the nearest agree on."""
        near = self.nearest(embeddings)
        if near.shape[1] < 3:  # two cannot outvote one another
            return np.array([self.bank_captions_[row[0]] for row in near], dtype=object)
        words = _words(self.bank_captions_)
        chosen = []
        for row in near:
            likeness = words[row] @ words[row].T
            chosen.append(
                self.bank_captions_[row[int(np.argmax(np.round(likeness.sum(axis=1), 9)))]]
            )  # the nearest of equals
        return np.array(chosen, dtype=object)

    def save(self, folder: str | Path) -> Path:
        """Write the bank."""
        self.check_fitted()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"bank": torch.from_numpy(self.bank_), "centre": torch.from_numpy(self.centre_),
                   "scale": torch.from_numpy(self.scale_)}  # fmt: skip
        save_tensors(tensors, folder / "captioner.safetensors")
        self.write_about(
            folder,
            settings={"standardised": self.standardised, "consensus": self.consensus},
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


def _words(captions: Sequence[str]) -> np.ndarray:
    """Unit vectors of words (n_captions, n_words), weighed by how rare they are in the bank."""
    bags = [re.findall(r"\w+", c.lower()) for c in captions]
    place = {w: i for i, w in enumerate(sorted({w for bag in bags for w in bag}))}
    counts = np.zeros((len(bags), max(1, len(place))), dtype=np.float32)
    for row, bag in zip(counts, bags, strict=True):
        for word in bag:
            row[place[word]] += 1
    rarity = np.log((1 + len(bags)) / (1 + (counts > 0).sum(axis=0))) + 1
    return _unit(counts * rarity)


def _unit(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(length > 0, length, 1.0)).astype(np.float32)
