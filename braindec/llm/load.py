"""Open a language model from a folder or the local hub cache: safetensors only, no remote code, parts by introspection."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from braindec.errors import BraindecError, did_you_mean
from braindec.llm.architecture import Architecture, Block

__all__ = ["LanguageModel", "describe", "load_model", "wrap"]

UNLIMITED = 2**31 - 1
_FEWEST_TOKENS = 8
DTYPES = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A language model, its tokenizer and its parts.

    Parameters
    ----------
    model : Module
        In evaluation mode, without gradients.
    tokenizer : fast tokenizer of transformers, or None
        None for a plain torch model that is only given token ids.
    name : str
        Stands in the units table.
    architecture : Architecture
    device : device
    fresh : callable, optional
        Makes the same model with fresh weights.
    """

    model: nn.Module
    tokenizer: Any
    name: str
    architecture: Architecture
    device: torch.device
    fresh: Callable[[], nn.Module] | None = field(default=None, repr=False)

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.architecture.blocks)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, in order."""
        return self.architecture.blocks

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.architecture.hidden_size

    @property
    def bidirectional(self) -> bool:
        """Whether a token sees the tokens after it (BERT and its kin)."""
        return self.architecture.bidirectional

    @property
    def vocab_size(self) -> int:
        """Number of rows of the token embedding."""
        return _vocab_size(self.model, self.tokenizer)

    @property
    def max_length(self) -> int:
        """Longest row of tokens; a very large number when there is no limit."""
        config = getattr(self.model, "config", None)
        config = config.get_text_config() if hasattr(config, "get_text_config") else config
        said = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
        said += [getattr(self.model, "max_length", None), getattr(self.tokenizer, "model_max_length", None)]
        limits = [int(n) for n in said if isinstance(n, (int, float)) and 0 < n < UNLIMITED]
        limits += [
            m.num_embeddings - m.padding_idx - 1  # positions counted from after the padding's, as in RoBERTa
            for m in self.model.modules()
            if isinstance(m, nn.Embedding) and m.padding_idx is not None and m.num_embeddings in limits
        ]
        return min(limits, default=UNLIMITED)

    def n_units(self, site: str, layer: int) -> int:
        """Return the number of units of a site."""
        from braindec.llm.sites import width_of

        return width_of(self, site, layer)

    def n_heads(self, layer: int) -> int:
        """Return the number of attention heads of a layer (0: it has no attention)."""
        return self.architecture.blocks[layer].n_heads or 0

    def to(self, *, device: str | None = None, dtype: str | None = None) -> LanguageModel:
        """Move the weights to a device or type (in place, as torch does) and return the model that stands there."""
        if dtype is not None and dtype not in DTYPES:
            raise BraindecError(f"no dtype {dtype!r}{did_you_mean(dtype, DTYPES)}", allowed=", ".join(DTYPES))
        if device is not None:
            check_device(device)
        self.model.to(device=device, dtype=None if dtype is None else getattr(torch, dtype))
        return replace(self, device=next(self.model.parameters()).device)

    def run(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> Any:
        """Run the model on token ids of shape (batch, token), padded on the right where ``mask`` is 0."""
        return run_model(self.model, tokens, mask)

    def logits(self, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Return the scores of the next token, shape (batch, token, vocabulary), float32."""
        out = self.run(tokens.to(self.device), None if mask is None else mask.to(self.device))
        logits = out if isinstance(out, torch.Tensor) else getattr(out, "logits", None)
        if not isinstance(logits, torch.Tensor) or logits.ndim != 3 or logits.shape[-1] < self.vocab_size:
            raise BraindecError(f"{self.name} does not predict tokens", fix="load it with its language-model head")
        return logits.float()

    def __repr__(self) -> str:
        return f"<LanguageModel {self.name}: {self.n_layers} layers x {self.hidden_size}, {self.device}>"


def load_model(
    path_or_name: str | Path, *, device: str = "cpu", dtype: str = "float32", revision: str | None = None
) -> LanguageModel:
    """Open a model from a folder, or by name from the local hub cache (nothing is downloaded).

    Parameters
    ----------
    path_or_name : str or Path
        A folder with config.json, *.safetensors and a tokenizer; or a name such as "openai-community/gpt2" that is
        already in the cache.
    device : str
    dtype : {"float32", "float16", "bfloat16", "float64"}
        How the weights are held.
    revision : str, optional
        Branch, tag or commit, for a name.

    Raises
    ------
    BraindecError
        If the folder lacks its configuration, tokenizer or safetensors (weights in pickles are refused), or if the
        model needs code of its own, which is never run.
    """
    import transformers

    if dtype not in DTYPES:
        raise BraindecError(f"no dtype {dtype!r}{did_you_mean(dtype, DTYPES)}", allowed=", ".join(DTYPES))
    if not isinstance(path_or_name, (str, Path)) or not str(path_or_name).strip():
        raise BraindecError(
            "no model was named", found=repr(path_or_name),
            allowed="a folder with config.json and *.safetensors, or a name in the hub cache",
        )  # fmt: skip
    check_device(device)
    name = str(path_or_name)
    is_folder = Path(name).expanduser().is_dir()
    if is_folder:
        name = str(Path(name).expanduser())
        _check_folder(Path(name))
    elif Path(name).is_file() or Path(name).is_absolute() or name.startswith((".", "~")):
        raise BraindecError(f"there is no folder {name}", allowed="a folder with config.json and *.safetensors")
    where = {"revision": revision, "local_files_only": True, "trust_remote_code": False}
    config = _from(name, is_folder, "configuration", transformers.AutoConfig.from_pretrained, **where)
    if getattr(config, "is_encoder_decoder", False):
        raise BraindecError(
            f"{name} has an encoder and a decoder", fix="open one of them with transformers and use wrap()"
        )
    tokenizer = _from(name, is_folder, "tokenizer", transformers.AutoTokenizer.from_pretrained, **where)
    if len(tokenizer) < _FEWEST_TOKENS:  # transformers makes an empty one where there is none
        raise BraindecError(
            f"{name} has no tokenizer", allowed="tokenizer.json (or vocab.json and merges.txt, or tokenizer.model)",
            fix="save the tokenizer of the model into the folder: tokenizer.save_pretrained(folder)",
        )  # fmt: skip
    kind = _model_class(config)
    with _silent():
        model, report = _from(
            name, is_folder, "weights", kind.from_pretrained, dtype=getattr(torch, dtype), use_safetensors=True,
            output_loading_info=True, ignore_mismatched_sizes=True, **where,
        )  # fmt: skip
    _check_weights(name, model, report)
    short = Path(name).resolve().name if is_folder else name
    return describe(model.to(device), tokenizer=tokenizer, name=short)


def wrap(
    module: nn.Module, *, tokenizer: Any = None, name: str, blocks: Sequence[nn.Module] | None = None,
    fresh: Callable[[], nn.Module] | None = None,
) -> LanguageModel:  # fmt: skip
    """Make a :class:`LanguageModel` of any torch module that takes token ids (batch, token).

    Parameters
    ----------
    module : Module
        Its forward takes token ids, and ``attention_mask`` if it has such a parameter. For surprisal it returns
        scores (batch, token, vocabulary), as they are or as an attribute ``logits``. An attribute ``max_length``
        limits texts, ``vocab_size`` says how many tokens there are (found from its embedding otherwise).
    tokenizer : fast tokenizer of transformers, tokenizers.Tokenizer, or None
        None: only token ids can be given.
    name : str
    blocks : sequence of Module, optional
        The layers; the longest list of equal blocks that run when not given.
    fresh : callable, optional
        Makes the model anew, for :func:`~braindec.llm.tiny.untrained`.
    """
    return describe(module, tokenizer=tokenizer, name=name, blocks=blocks, fresh=fresh)


def describe(
    model: nn.Module, *, tokenizer: Any, name: str, blocks: Sequence[nn.Module] | None = None,
    fresh: Callable[[], nn.Module] | None = None,
) -> LanguageModel:  # fmt: skip
    """Freeze ``model``, find its parts and return it with them."""
    from braindec.llm._trace import introspect

    if not isinstance(model, nn.Module) or next(model.parameters(), None) is None:
        raise BraindecError(
            f"{name} is no model with weights", found=type(model).__name__, allowed="a torch.nn.Module with parameters"
        )
    if tokenizer is not None and not hasattr(tokenizer, "is_fast") and hasattr(tokenizer, "encode_batch"):
        from transformers import PreTrainedTokenizerFast

        tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    if tokenizer is not None and not getattr(tokenizer, "is_fast", False):
        raise BraindecError(
            f"the tokenizer of {name} gives no character offsets", found=type(tokenizer).__name__,
            allowed="a fast tokenizer (tokenizer.json)", fix="convert it with transformers and save it again",
        )  # fmt: skip
    model.eval().requires_grad_(False)
    n_words = _vocab_size(model, tokenizer)
    architecture = introspect(model, lambda tokens: run_model(model, tokens), vocab_size=n_words, blocks=blocks)
    return LanguageModel(model, tokenizer, name, architecture, next(model.parameters()).device, fresh)


def check_device(device: Any) -> None:
    """Refuse a device that PyTorch does not know, or that is not there.

    Raises
    ------
    BraindecError
    """
    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        have = ["cpu"] + [f"cuda:{k}" for k in range(torch.cuda.device_count())]
        have += ["mps"] if torch.backends.mps.is_available() else []
        raise BraindecError(
            f"device {device!r} cannot be used", found=" ".join(str(error).split())[:120], allowed=", ".join(have)
        ) from error


def run_model(model: nn.Module, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> Any:
    """Call ``model`` with what its forward takes: token ids, and the attention mask where it has one."""
    import inspect

    if hasattr(model, "config") and hasattr(type(model), "from_pretrained"):
        return model(input_ids=tokens, attention_mask=mask, use_cache=False)
    if mask is not None and "attention_mask" in inspect.signature(model.forward).parameters:
        return model(tokens, attention_mask=mask)
    return model(tokens)


def _vocab_size(model: nn.Module, tokenizer: Any) -> int:
    embedding = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
    if embedding is None and isinstance(getattr(model, "vocab_size", None), int):
        return int(model.vocab_size)  # type: ignore[arg-type]
    if embedding is None:
        embedding = next((m for m in model.modules() if isinstance(m, nn.Embedding)), None)
    weight = getattr(embedding, "weight", None)
    if weight is not None:
        return int(weight.shape[0])
    return len(tokenizer) if tokenizer is not None else 2


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise BraindecError(
            f"{folder} has no config.json", found=", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing",
            allowed="a model folder: config.json, *.safetensors, tokenizer.json",
        )  # fmt: skip
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
    if not pickles:
        raise BraindecError(f"{folder} has no weights", allowed="*.safetensors")
    raise BraindecError(
        f"{folder} holds its weights in pickles, which can run code when they are opened",
        found=", ".join(pickles[:5]), allowed="*.safetensors",
        fix="if you trust the file, convert it once: python -c \"import transformers as t; "
        f"t.AutoModelForCausalLM.from_pretrained('{folder}').save_pretrained('{folder}-safe'); "
        f"t.AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}-safe')\"",
    )  # fmt: skip


def _check_weights(name: str, model: nn.Module, report: Any) -> None:
    """Refuse a model whose weights are not all in the file: the rest would be random numbers, and nobody would know."""
    for what, said in (("missing_keys", "are missing from"), ("mismatched_keys", "are of another shape in")):
        keys = sorted(str(k[0] if isinstance(k, (tuple, list)) else k) for k in report.get(what, ()))
        if keys:
            raise BraindecError(
                f"{len(keys)} weights of {type(model).__name__} {said} the safetensors of {name}",
                found=", ".join(keys[:3]) + (", ..." if len(keys) > 3 else ""), allowed="all weights that config.json asks for",
                fix="config.json and weights are not of one model, or the file was cut short: save both again with model.save_pretrained(folder)",
            )  # fmt: skip
    known = {_numbered(key) for key in model.state_dict()} - {None}
    lists = {found[0] for found in known if found}
    extra = {
        k: b for k in report.get("unexpected_keys", ()) if (b := _numbered(k)) and b[0] in lists and b not in known
    }
    if extra:
        raise BraindecError(
            f"{name} holds weights of {len(set(extra.values()))} layers that its config.json does not speak of",
            found=min(extra), fix="put the config.json that belongs to the weights into the folder",
        )  # fmt: skip


def _numbered(key: str) -> tuple[str, str] | None:
    """Return the list of blocks that a weight is in, and its block: ("h", "h.3") for "h.3.mlp.weight"."""
    parts = key.split(".")
    place = next((k for k, part in enumerate(parts) if part.isdigit()), None)
    return None if place is None else (".".join(parts[:place]), ".".join(parts[: place + 1]))


def _model_class(config: Any) -> Any:
    """Return the class that the configuration names, with its head; else the generic one."""
    import transformers

    for said in getattr(config, "architectures", None) or ():
        kind = getattr(transformers, said, None)
        if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel):
            return kind
    return transformers.AutoModelForCausalLM


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the progress bar of transformers to terminals, as all others, and its report to itself: it is read here."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.set_verbosity_error()
    if shown and not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _from(name: str, is_folder: bool, what: str, opener: Callable[..., Any], **options: Any) -> Any:
    try:
        return opener(name, **options)
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        if "trust_remote_code" in said or "custom code" in said:
            raise BraindecError(
                f"{name} needs code of its own, which is never run", fix="use a model that transformers knows"
            ) from error
        if not is_folder and isinstance(error, OSError):
            raise BraindecError(
                f"there is no model {name!r}", found="no such folder, and nothing of that name in the local hub cache",
                allowed="a folder with config.json, *.safetensors and a tokenizer, or a name in the cache",
                fix=f"check the path, or fetch it first: hf download {name}",
            ) from error  # fmt: skip
        fix = f"put the {what} of the model into the folder"
        if "SafetensorError" in type(error).__name__:
            fix = "the file is damaged or was cut short: copy or fetch it again"
        elif "safetensors" in said:
            fix = "weights must be *.safetensors: convert them with model.save_pretrained(folder)"
        raise BraindecError(
            f"the {what} of {name} cannot be opened", found=f"{type(error).__name__}: {said}", fix=fix
        ) from error
