"""What captioners share: they are given embeddings of images (true ones to learn from, or read from a brain) and return text.

A captioner never sees a recording: whatever it says about one reached it through the embedding.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from braindec import registry
from braindec.errors import BraindecError
from braindec.files import write_text
from braindec.weights import read_json

__all__ = ["Captioner", "load_captioner", "make_captioner"]


class Captioner:
    """Base of captioners; subclasses define ``fit``, ``captions``, ``save`` and ``load``.

    Attributes
    ----------
    shape_ : tuple
        Of one embedding: (dim,) or (n_tokens, dim).
    """

    shape_: tuple[int, ...]

    def fit(self, embeddings: np.ndarray, captions: Sequence[str], *, seed: int = 0) -> Captioner:
        """Learn from embeddings (n, ...) of images and a caption of each."""
        raise NotImplementedError(f"{type(self).__name__} must define fit()")

    def captions(self, embeddings: np.ndarray) -> np.ndarray:
        """Return a caption of each embedding, (n,) of str; row i depends on embedding i alone."""
        raise NotImplementedError(f"{type(self).__name__} must define captions()")

    def save(self, folder: str | Path) -> Path:
        """Write it without pickle."""
        raise NotImplementedError(f"{type(self).__name__} must define save()")

    @classmethod
    def load(cls, folder: str | Path) -> Captioner:
        """Return what :meth:`save` wrote."""
        raise NotImplementedError(f"{cls.__name__} must define load()")

    def checked(self, embeddings: Any) -> np.ndarray:
        """Return embeddings as float32 after looking at their shape and numbers.

        Raises
        ------
        BraindecError
            If their shape is not what the captioner was built for, or a value is not finite.
        """
        self.check_fitted()
        values, shape = np.asarray(embeddings, dtype=np.float32), self.shape_
        if values.shape[1:] != tuple(shape):
            raise BraindecError(
                "the embeddings do not fit the captioner", found=f"shape {values.shape}",
                allowed="(n, " + ", ".join(map(str, shape)) + ")", fix="predict the embedding that the captioner was made for",
            )  # fmt: skip
        if not np.isfinite(values).all():
            raise BraindecError("embeddings to caption hold values that are not finite")
        return values

    def check_fitted(self) -> None:
        """Raise unless ``fit`` was called."""
        if getattr(self, "shape_", None) is None:
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit(embeddings, captions) first")

    def write_about(self, folder: Path, **values: Any) -> None:
        """Write the settings beside the weights."""
        name = type(self).__module__.rpartition(".")[2]
        about = {"captioner": name, "shape": list(self.shape_), **values}
        write_text(folder / "captioner.json", json.dumps(about) + "\n")


def checked_pairs(embeddings: Any, captions: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return embeddings (n, ...) and as many captions that hold words.

    Raises
    ------
    BraindecError
        If their numbers differ, a caption is missing or empty, or an embedding is not finite.
    """
    values, texts = np.asarray(embeddings, dtype=np.float32), list(captions)
    if values.ndim < 2 or len(values) != len(texts) or not len(texts):
        raise BraindecError(
            "one caption an embedding is needed", found=f"{len(texts)} captions, embeddings {values.shape}"
        )
    bad = [i for i, t in enumerate(texts) if not isinstance(t, str) or not t.strip()]
    if bad:
        raise BraindecError(
            f"{len(bad)} of {len(texts)} captions are missing or empty", found=f"first: number {bad[0]}, {texts[bad[0]]!r}",
            fix="leave these stimuli out, or write a caption for each",
        )  # fmt: skip
    if not np.isfinite(values).all():
        raise BraindecError("embeddings of captioned images hold values that are not finite")
    return values, texts


def make_captioner(options: Mapping[str, Any]) -> Captioner:
    """Build a captioner: ``name``, a file of ``llm/captioners``, and any of its options."""
    if not isinstance(options, Mapping):
        raise BraindecError(
            "a captioner is asked for by its name and options", found=repr(options), fix='{"name": "nearest"}'
        )
    chosen = dict(options)
    kind = registry.get("llm.captioners", chosen.pop("name", "nearest"))
    try:
        return kind(**chosen)
    except TypeError as error:
        raise BraindecError(
            f"the captioner {options.get('name')!r} does not take these options",
            found=str(error),
            allowed=", ".join(inspect.signature(kind).parameters),
        ) from error


def load_captioner(folder: str | Path) -> Captioner:
    """Return the captioner that ``save(folder)`` wrote."""
    about = read_json(Path(folder) / "captioner.json")
    kind = registry.get("llm.captioners", str(about.get("captioner")))
    try:
        return kind.load(folder)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise BraindecError(f"the captioner in {folder} cannot be opened", found=f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}",
                            fix="save it again") from error  # fmt: skip
