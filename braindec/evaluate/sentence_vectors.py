"""Vectors of sentences: ``network(texts) -> (n, units)``; two without weights, one from a transformers model on disk.

``hashing`` needs nothing: each word, and each pair of neighbouring words, adds one to a unit chosen by its hash. ``tfidf`` weighs
words by how rare they are in the texts it was fitted on (or in the texts it is given). Both know words only, not meaning.
``transformers`` averages the last hidden states over the words of a text, as sentence models on MiniLM or MPNet do.

Source: feature hashing, Weinberger et al. 2009 (ICML); mean pooling, Reimers & Gurevych 2019 (EMNLP).
"""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._caption_words import ngrams, words_of
from braindec.evaluate._local_weights import local_folder

__all__ = ["open_sentences", "HashingSentences", "TfidfSentences", "TransformersSentences"]


class HashingSentences:
    """Words and pairs of words, counted in units chosen by their hash (sha256: the same on every machine).

    Parameters
    ----------
    units : int
        Two words share a unit with probability 1 / units.
    """

    name = "hashing"

    def __init__(self, *, units: int = 4096) -> None:
        if units < 2:
            raise BraindecError("hashing needs at least two units", found=f"units={units}")
        self.units = units

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, units) counts; a text without words is all zero."""
        vectors = np.zeros((len(texts), self.units))
        for i, text in enumerate(texts):
            words = words_of(text)
            for run, count in (ngrams(words, 1) + ngrams(words, 2)).items():
                digest = hashlib.sha256(" ".join(run).encode()).digest()
                vectors[i, int.from_bytes(digest[:8], "big") % self.units] += count
        return vectors


class TfidfSentences:
    """Words weighted by how rare they are.

    Parameters
    ----------
    collection : sequence of str, optional
        Texts that rarity is counted over (training captions); the texts that are given, by default: then scores depend on
        the whole list.
    """

    name = "tfidf"

    def __init__(self, *, collection: Sequence[str] | None = None) -> None:
        self.collection = None if collection is None else list(collection)
        if self.collection is not None and not self.collection:
            raise BraindecError("tfidf counts over a collection of texts", found="no text")

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, words); a text without words is all zero."""
        of = [set(words_of(t)) for t in (texts if self.collection is None else self.collection)]
        frequency = Counter(w for words in of for w in words)
        bags = [Counter(words_of(t)) for t in texts]
        place = {w: i for i, w in enumerate(sorted(set(frequency).union(*bags)))}
        vectors = np.zeros((len(texts), max(1, len(place))))
        for i, bag in enumerate(bags):
            for word, count in bag.items():
                vectors[i, place[word]] = count * (log((1 + len(of)) / (1 + frequency[word])) + 1)
        return vectors


class TransformersSentences:
    """Mean of the last hidden states of a transformers model that lies on disk.

    Parameters
    ----------
    weights : path
        A folder with config.json, model.safetensors and the tokenizer.
    batch : int
    """

    name = "transformers"

    def __init__(self, *, weights: str | Path, batch: int = 32) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = local_folder(weights, what="the sentence network")
        self.batch = batch
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, units)."""
        import torch

        parts = []
        for start in range(0, len(texts), self.batch):
            inputs = self.tokenizer(
                list(texts[start : start + self.batch]), padding=True, truncation=True, return_tensors="pt"
            )
            with torch.no_grad():
                states = self.model(
                    input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
                ).last_hidden_state
            mask = inputs["attention_mask"][..., None].to(states.dtype)
            parts.append(((states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).float().numpy())
        return np.concatenate(parts)


NETWORKS: Mapping[str, type] = {c.name: c for c in (HashingSentences, TfidfSentences, TransformersSentences)}


def open_sentences(network: Any) -> Callable[[Sequence[str]], np.ndarray]:
    """Return a sentence network: by name, by a mapping with ``name`` and options, or the function that was given.

    Raises
    ------
    BraindecError
        If there is none, no such name, or no such option.
    """
    if callable(network):
        return network
    options = dict(network) if isinstance(network, Mapping) else {"name": network}
    name = options.pop("name", None)
    if name not in NETWORKS:
        raise BraindecError(
            f"sentence_cosine needs a network of sentences, not {name!r}{did_you_mean(str(name), NETWORKS)}",
            allowed=f"{', '.join(NETWORKS)}, or a function of texts",
        )
    allowed = list(inspect.signature(NETWORKS[name]).parameters)
    unknown = [o for o in options if o not in allowed]
    if unknown:
        raise BraindecError(
            f"the sentence network {name!r} has no option {unknown[0]!r}{did_you_mean(unknown[0], allowed)}",
            allowed=", ".join(allowed),
        )
    return NETWORKS[name](**options)
