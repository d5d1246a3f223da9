"""PrefixCaptioner: an embedding becomes a prefix of soft words, and a language model goes on from there (ClipCap).

A perceptron maps the embedding to ``prefix`` vectors of the language model's width; mapper and language model are trained to
continue them with the caption; captions are made by beam search. Trained here on captions of your own (words are its
vocabulary), or opened with a language model and ClipCap weights that you have.

Source: Mokady et al. 2021 (arXiv 2111.09734): prefix of 10, two-layer perceptron with tanh whose hidden size is half of its
output, GPT-2, beam search over 5 beams.
Differs from the reference in: tiny presets with a vocabulary of words; weights as safetensors only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from braindec.errors import BraindecError, did_you_mean
from braindec.llm.captioner import Captioner, checked_pairs
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["PrefixCaptioner"]

_PAD, _END, _UNKNOWN = 0, 1, 2
_WORD = re.compile(r"[\w'-]+|[^\w\s]")


class PrefixCaptioner(Captioner):
    """Mapper and language model.

    Parameters
    ----------
    preset : {"tiny", "base", "paper"}
        "paper" is GPT-2 (124 M) with the published mapper; build it on the meta device, or open weights.
    language_model : str, optional
        Folder (or hub name) of a causal language model with its tokenizer, instead of one that is built here.
    weights : str, optional
        Safetensors file of ClipCap's weights (``clip_project.*``, ``gpt.*``) for that language model: nothing is trained.
    prefix : int, optional
        Soft words; that of the preset by default.
    steps, batch_size, lr : int, int, float
        Of the training.
    n_beams, max_words : int
        Of the beam search.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"n_embd": 64, "n_layer": 2, "n_head": 4, "prefix": 4},
        "base": {"n_embd": 256, "n_layer": 4, "n_head": 8, "prefix": 10},
        "paper": {"n_embd": 768, "n_layer": 12, "n_head": 12, "prefix": 10, "vocab_size": 50257, "n_positions": 1024},
    }

    def __init__(
        self, *, preset: str = "tiny", language_model: str | None = None, weights: str | None = None, prefix: int | None = None,
        steps: int = 300, batch_size: int = 32, lr: float = 3e-3, n_beams: int = 5, max_words: int = 24,
    ) -> None:  # fmt: skip
        if preset not in self.PRESETS:
            raise BraindecError(
                f"PrefixCaptioner has no preset {preset!r}{did_you_mean(str(preset), self.PRESETS)}",
                allowed=", ".join(self.PRESETS),
            )
        if weights is not None and language_model is None:
            raise BraindecError(
                "weights of a captioner need their language model", fix="language_model=FOLDER of GPT-2"
            )
        least = {"steps": (steps, 0), "batch_size": (batch_size, 1), "n_beams": (n_beams, 1), "max_words": (max_words, 2),
                 "prefix": (1 if prefix is None else prefix, 1)}  # fmt: skip
        for name, (value, smallest) in least.items():
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < smallest:
                raise BraindecError(
                    f"{name} of PrefixCaptioner must be a whole number",
                    found=repr(value),
                    allowed=f"{smallest} or more",
                )
        if not isinstance(lr, Real) or not 0 < lr < np.inf:
            raise BraindecError("lr of PrefixCaptioner must be above 0", found=repr(lr))
        self.preset, self.language_model, self.weights, self.prefix = preset, language_model, weights, prefix
        self.steps, self.batch_size, self.lr, self.n_beams, self.max_words = steps, batch_size, lr, n_beams, max_words

    def build(self, dim: int, n_words: int | None = None) -> nn.ModuleDict:
        """Return mapper and language model with fresh weights for embeddings of ``dim`` numbers (also on the meta device)."""
        from transformers import GPT2Config, GPT2LMHeadModel

        sizes = dict(self.PRESETS[self.preset])
        self.prefix_ = self.prefix or sizes.pop("prefix")
        sizes.pop("prefix", None)
        vocabulary = sizes.pop("vocab_size", None) if n_words is None else n_words
        sizes.setdefault("n_positions", self.prefix_ + self.max_words + 2)
        if n_words is not None:
            sizes.pop("vocab_size", None)
        config = GPT2Config(
            **sizes, vocab_size=vocabulary or 3, pad_token_id=_PAD, bos_token_id=_END, eos_token_id=_END
        )
        return nn.ModuleDict({"mapper": _mapper(dim, config.n_embd, self.prefix_), "language": GPT2LMHeadModel(config)})

    def fit(self, embeddings: np.ndarray, captions: Sequence[str], *, seed: int = 0) -> PrefixCaptioner:
        """Train on images' embeddings and captions; with ``weights`` nothing is trained."""
        values, texts = checked_pairs(embeddings, captions)
        self.shape_ = values.shape[1:]
        flat = values.reshape(len(values), -1)
        self.mean_, spread = flat.mean(axis=0), flat.std(axis=0)
        self.scale_ = np.where(spread > 1e-12, spread, 1.0).astype(np.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.language_model is not None:
                self._open(flat.shape[1])
            else:
                words = sorted({w for t in texts for w in _words(t)})
                self.vocabulary_, self.tokenizer_ = ["<pad>", "<end>", "<unknown>", *words], None
                self.model_ = self.build(flat.shape[1], len(self.vocabulary_))
            if self.weights is None:
                self._train((flat - self.mean_) / self.scale_, texts, seed)
            else:
                self.mean_, self.scale_ = (
                    np.zeros_like(self.mean_),
                    np.ones_like(self.scale_),
                )  # as the weights were made
        self.model_.eval()
        return self

    @torch.no_grad()
    def captions(self, embeddings: np.ndarray) -> np.ndarray:
        """Return a caption of each embedding by beam search; nothing is random."""
        values = self.checked(embeddings)
        flat = values.reshape(len(values), int(np.prod(self.shape_)))
        out: list[str] = []
        for start in range(0, len(flat), 32):
            x = torch.from_numpy((flat[start : start + 32] - self.mean_) / self.scale_)
            soft = self._prefix(x)
            made = self.model_["language"].generate(
                inputs_embeds=soft, attention_mask=torch.ones(soft.shape[:2], dtype=torch.long), num_beams=self.n_beams,
                do_sample=False, max_new_tokens=self.max_words, pad_token_id=self._end, eos_token_id=self._end,
            )  # fmt: skip
            out += [self._text(row) for row in made.tolist()]
        return np.array(out, dtype=object)

    def loss(self, x: torch.Tensor, tokens: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of captions: x (batch, dim), tokens and kept (batch, length)."""
        language = self.model_["language"]
        soft = self._prefix(x)
        words = language.get_input_embeddings()(tokens)
        mask = torch.cat([torch.ones(soft.shape[:2], dtype=kept.dtype), kept], dim=1)
        logits = language(inputs_embeds=torch.cat([soft, words], dim=1), attention_mask=mask).logits
        logits = logits[:, soft.shape[1] - 1 : -1]
        return nn.functional.cross_entropy(logits[kept.bool()], tokens[kept.bool()])

    def save(self, folder: str | Path) -> Path:
        """Write mapper, language model and vocabulary."""
        self.check_fitted()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        own = {"mean": torch.from_numpy(self.mean_), "scale": torch.from_numpy(self.scale_)}
        own |= {f"mapper.{k}": v for k, v in self.model_["mapper"].state_dict().items()}
        save_tensors(own, folder / "captioner.safetensors")
        self.model_["language"].save_pretrained(folder / "language")
        if self.tokenizer_ is not None:
            self.tokenizer_.save_pretrained(folder / "language")
        names = ("preset", "steps", "batch_size", "lr", "n_beams", "max_words")
        settings = {**{n: getattr(self, n) for n in names}, "prefix": self.prefix_}
        self.write_about(
            folder, settings=settings, vocabulary=self.vocabulary_, sha256=sha256(folder / "captioner.safetensors")
        )
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> PrefixCaptioner:
        """Return what :meth:`save` wrote."""
        from transformers import AutoTokenizer, GPT2LMHeadModel

        folder = Path(folder)
        about = read_json(folder / "captioner.json")
        check_whole(folder / "captioner.safetensors", about["sha256"])
        made, tensors = cls(**about["settings"]), load_file(folder / "captioner.safetensors")
        made.shape_, made.vocabulary_, made.prefix_ = (
            tuple(about["shape"]),
            about["vocabulary"],
            about["settings"]["prefix"],
        )
        made.mean_, made.scale_ = tensors.pop("mean").numpy(), tensors.pop("scale").numpy()
        language = GPT2LMHeadModel.from_pretrained(folder / "language", use_safetensors=True)
        mapper = _mapper(int(np.prod(made.shape_)), language.config.n_embd, made.prefix_)
        mapper.load_state_dict({k.removeprefix("mapper."): v for k, v in tensors.items()})
        made.model_ = nn.ModuleDict({"mapper": mapper, "language": language}).eval()
        made.tokenizer_ = None if made.vocabulary_ else AutoTokenizer.from_pretrained(folder / "language")
        return made

    def _open(self, dim: int) -> None:
        """Open the user's language model, and the weights of the mapper where there are any."""
        from transformers import AutoTokenizer, GPT2LMHeadModel

        source = str(self.language_model)
        try:
            language = GPT2LMHeadModel.from_pretrained(source, use_safetensors=True)
            self.tokenizer_, self.vocabulary_ = AutoTokenizer.from_pretrained(source), []
        except (OSError, ValueError) as error:
            raise BraindecError(
                f"the language model {source!r} cannot be opened", found=str(error).splitlines()[0][:200],
                allowed="a folder with config.json, model.safetensors and the tokenizer's files (GPT-2)",
            ) from error  # fmt: skip
        self.prefix_ = self.prefix or self.PRESETS["paper"]["prefix"]
        mapper = _mapper(dim, language.config.n_embd, self.prefix_)
        self.model_ = nn.ModuleDict({"mapper": mapper, "language": language})
        if self.weights is None:
            return
        path = Path(self.weights)
        if path.suffix != ".safetensors":
            raise BraindecError(
                f"{path.name} is no safetensors file: a pickle can run any code when it is opened",
                fix="convert it once where you trust it: state = torch.load(path, weights_only=True, map_location='cpu'); "
                "safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, 'clipcap.safetensors')",
            )  # fmt: skip
        if not path.is_file():
            raise BraindecError(f"there is no file {path}")
        state = load_file(path)
        wanted = {k.removeprefix("clip_project.model."): v for k, v in state.items() if k.startswith("clip_project.")}
        gpt = {k.removeprefix("gpt."): v for k, v in state.items() if k.startswith("gpt.")}
        try:
            mapper.load_state_dict(wanted)
            missing = (
                [k for k in language.load_state_dict(gpt, strict=False).missing_keys if "lm_head" not in k]
                if gpt
                else []
            )
        except RuntimeError as error:
            raise BraindecError(
                "the captioner's weights do not fit", found=str(error).splitlines()[-1].strip()[:200],
                fix=f"embeddings have {dim} numbers, the prefix {self.prefix_} words: use the weights that were made for them",
            ) from error  # fmt: skip
        if missing:
            raise BraindecError(
                f"{path.name} lacks weights of the language model", found=f"{len(missing)}, first {missing[0]}"
            )

    def _train(self, x: np.ndarray, texts: list[str], seed: int) -> None:
        rows = [torch.tensor(self._tokens(t)) for t in texts]
        tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self._end)
        kept = nn.utils.rnn.pad_sequence([torch.ones(len(r), dtype=torch.long) for r in rows], batch_first=True)
        values, generator = torch.from_numpy(x.astype(np.float32)), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(self.model_.parameters(), lr=self.lr, weight_decay=0.01)
        self.model_.train()
        for step in tqdm(range(self.steps), desc="training the captioner", disable=None, leave=False):
            for group in optimizer.param_groups:
                group["lr"] = self.lr * min(1.0, (step + 1) / 20) * (1 - step / self.steps)
            some = torch.randint(len(values), (min(self.batch_size, len(values)),), generator=generator)
            loss = self.loss(values[some], tokens[some], kept[some])
            if not torch.isfinite(loss):
                raise BraindecError(
                    f"the captioner's loss is not finite at step {step + 1}", fix=f"a smaller lr than {self.lr:g}"
                )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model_.parameters(), 1.0)
            optimizer.step()

    def _prefix(self, x: torch.Tensor) -> torch.Tensor:
        return self.model_["mapper"](x).reshape(len(x), self.prefix_, -1)

    @property
    def _end(self) -> int:
        return _END if self.tokenizer_ is None else int(self.tokenizer_.eos_token_id)

    def _tokens(self, text: str) -> list[int]:
        if self.tokenizer_ is not None:
            return [*self.tokenizer_(text)["input_ids"][: self.max_words - 1], self._end]
        if not hasattr(self, "_places") or len(self._places) != len(self.vocabulary_):
            self._places = {w: i for i, w in enumerate(self.vocabulary_)}
        return [*(self._places.get(w, _UNKNOWN) for w in _words(text)[: self.max_words - 1]), _END]

    def _text(self, row: Sequence[int]) -> str:
        kept = list(row[: list(row).index(self._end)]) if self._end in row else list(row)
        if self.tokenizer_ is not None:
            return self.tokenizer_.decode(kept, skip_special_tokens=True).strip()
        text = " ".join(self.vocabulary_[i] for i in kept if i > _UNKNOWN)
        return re.sub(r"\s+([,.;:!?])", r"\1", text)


def _mapper(dim: int, width: int, prefix: int) -> nn.Sequential:
    """ClipCap's perceptron: dim -> width * prefix / 2 -> width * prefix."""
    hidden = width * prefix // 2
    return nn.Sequential(nn.Linear(dim, hidden), nn.Tanh(), nn.Linear(hidden, width * prefix))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
