"""The language model of a recipe: a folder or a name in the settings, or a tiny model built on the spot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from braindec.config import Section, checked
from braindec.errors import BraindecError, did_you_mean

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["ModelSource"]

KINDS = ("gpt2", "llama", "qwen", "gemma", "neox", "bert", "mamba", "suma")


def _is_kind(kind: str) -> None:
    if kind not in KINDS:
        raise BraindecError(f"there is no tiny model {kind!r}{did_you_mean(kind, KINDS)}", allowed=", ".join(KINDS))


class ModelSource(Section):
    """Which language model.

    Parameters
    ----------
    path : str, optional
        A folder with safetensors, or a name in the local hub cache. None: a tiny model.
    revision : str, optional
        Branch, tag or commit of a name.
    tiny : str
        Kind of the tiny model.
    n_layers, n_units, n_heads, max_length, steps, seed : int
        Its size, how long it is trained on the recipe's texts, and the seed of its weights.
    device, dtype : str
    """

    path: str | None = None
    revision: str | None = None
    tiny: Annotated[str, checked(_is_kind)] = "gpt2"
    n_layers: int = 4
    n_units: int = 64
    n_heads: int = 4
    max_length: int = 512
    steps: int = 0
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"

    def open(self, texts: Sequence[str] | None = None) -> LanguageModel:
        """Open or build the model; ``texts`` are what a tiny one takes its vocabulary from and is trained on."""
        from braindec.llm.load import load_model
        from braindec.llm.tiny import tiny_model

        if self.path is not None:
            return load_model(self.path, device=self.device, dtype=self.dtype, revision=self.revision)
        lm = tiny_model(
            self.tiny, n_layers=self.n_layers, n_units=self.n_units, n_heads=self.n_heads, max_length=self.max_length,
            seed=self.seed, texts=texts, steps=self.steps,
        )  # fmt: skip
        return lm.to(device=self.device, dtype=self.dtype)

    def untrained(
        self, n: int, texts: Sequence[str] | None = None, *, like: LanguageModel | None = None
    ) -> Iterator[LanguageModel]:
        """Yield ``n`` models of the same architecture and tokenizer with fresh weights, one at a time.

        Seeds follow the one of the settings. ``like`` is the opened model, where it is at hand: it is not opened again.
        """
        from braindec.llm.tiny import untrained

        lm = self.open(texts) if like is None else like
        for k in range(n):
            yield untrained(lm, self.seed + 1 + k)

    def files(self) -> list[Path]:
        """Return the files whose content decides the result: none for a tiny model or a name."""
        folder = Path(self.path).expanduser() if self.path else None
        if folder is None or not folder.is_dir():
            return []
        return sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".model", ".txt"))
