"""GitCaptioner: image tokens that were read from a brain go where a GIT model's own image encoder would put its tokens.

BrainCaptioning predicts the 197 x 768 tokens of GIT's image encoder by ridge and lets GIT's text decoder speak. The model is
opened from a folder or hub name; its image encoder makes the tokens of the training images.

Source: Wang et al. 2022 (GIT, arXiv 2205.14100); Ferrante et al. 2023 (BrainCaptioning, arXiv 2305.11560).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from braindec.errors import BraindecError
from braindec.llm.captioner import Captioner
from braindec.weights import read_json

__all__ = ["GitCaptioner"]


class GitCaptioner(Captioner):
    """A GIT model whose image tokens are given.

    Parameters
    ----------
    pretrained : str
        Folder or hub name of a GitForCausalLM with its tokenizer (``microsoft/git-base-coco`` in the paper), as safetensors.
    max_words, n_beams : int
        Of the text that is made.

    Attributes
    ----------
    shape_ : (int, int)
        Tokens and their width: (197, 768) for git-base.
    """

    def __init__(self, *, pretrained: str, max_words: int = 20, n_beams: int = 1) -> None:
        from transformers import AutoTokenizer, GitForCausalLM

        for name, value in (("max_words", max_words), ("n_beams", n_beams)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise BraindecError(
                    f"{name} of GitCaptioner must be a whole number", found=repr(value), allowed="1 or more"
                )
        self.pretrained, self.max_words, self.n_beams = str(pretrained), max_words, n_beams
        try:
            self.model_ = GitForCausalLM.from_pretrained(self.pretrained, use_safetensors=True).eval()
            self.tokenizer_ = AutoTokenizer.from_pretrained(self.pretrained)
        except (OSError, ValueError, SafetensorError) as error:
            raise BraindecError(
                f"the captioner {self.pretrained!r} cannot be opened", found=str(error).splitlines()[0][:200],
                allowed="a folder with config.json, model.safetensors and the tokenizer's files of a GIT model",
                fix="copy the model here first and give its folder; a .bin file must be converted to safetensors",
            ) from error  # fmt: skip
        vision = self.model_.config.vision_config
        self.shape_ = ((vision.image_size // vision.patch_size) ** 2 + 1, vision.hidden_size)

    @torch.no_grad()
    def tokens(self, images: np.ndarray) -> np.ndarray:
        """Return the image tokens of pictures (n, height, width, 3) of 0 to 1: (n, n_tokens, width), the targets of ridge."""
        size = self.model_.config.vision_config.image_size
        values = np.asarray(images, dtype=np.float32)
        if values.ndim != 4 or values.shape[3] not in (1, 3) or not len(values):
            raise BraindecError("images must be (n, height, width, 1 or 3)", found=f"shape {values.shape}")
        if not np.isfinite(values).all() or values.min() < -1e-6 or values.max() > 1 + 1e-6:
            raise BraindecError("images must be finite and between 0 and 1", found=f"{values.min():.3g} to {values.max():.3g}",
                                fix="Pictures.load() gives them so; divide bytes by 255")  # fmt: skip
        x = torch.as_tensor(values).permute(0, 3, 1, 2)
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        x = nn.functional.interpolate(x, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
        mean, spread = (
            torch.tensor([0.48145466, 0.4578275, 0.40821073]),
            torch.tensor([0.26862954, 0.26130258, 0.27577711]),
        )
        x = (x - mean[:, None, None]) / spread[:, None, None]  # of CLIP, as GIT's processor
        parts = [self.model_.git.image_encoder(part).last_hidden_state for part in x.split(16)]
        return torch.cat(parts).numpy()

    def fit(self, embeddings: np.ndarray, captions: Sequence[str], *, seed: int = 0) -> GitCaptioner:
        """Look at the shape of the embeddings; the model is used as it is."""
        self.checked(embeddings)
        return self

    @torch.no_grad()
    def captions(self, embeddings: np.ndarray) -> np.ndarray:
        """Return a caption of each set of tokens (n, n_tokens, width)."""
        tokens = torch.from_numpy(self.checked(embeddings))
        start = (
            self.tokenizer_.cls_token_id
            if self.tokenizer_.cls_token_id is not None
            else self.model_.config.bos_token_id
        )
        out: list[str] = []
        with _given_tokens(self.model_):
            for part in tokens.split(16):
                ids = torch.full((len(part), 1), int(start), dtype=torch.long)
                made = self.model_.generate(
                    input_ids=ids,
                    pixel_values=part[:, None],
                    max_new_tokens=self.max_words,
                    num_beams=self.n_beams,
                    do_sample=False,
                )
                out += [t.strip() for t in self.tokenizer_.batch_decode(made, skip_special_tokens=True)]
        return np.array(out, dtype=object)

    def save(self, folder: str | Path) -> Path:
        """Write the model and its tokenizer."""
        folder = Path(folder)
        self.model_.save_pretrained(folder / "git")
        self.tokenizer_.save_pretrained(folder / "git")
        self.write_about(folder, settings={"max_words": self.max_words, "n_beams": self.n_beams})
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> GitCaptioner:
        """Return what :meth:`save` wrote."""
        about = read_json(Path(folder) / "captioner.json")
        return cls(pretrained=str(Path(folder) / "git"), **about["settings"])


class _Given(nn.Module):
    """Stands where the image encoder stands and passes on tokens (batch, 1, n_tokens, width) that are there already."""

    def forward(self, pixel_values: torch.Tensor, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=pixel_values[:, 0])


@contextmanager
def _given_tokens(model: nn.Module) -> Iterator[None]:
    own = model.git.image_encoder
    model.git.image_encoder = _Given()
    try:
        yield
    finally:
        model.git.image_encoder = own
