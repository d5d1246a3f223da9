"""Random tokens said twice: where heads look when they meet a token again, against prompts in which nothing repeats.

A prompt is [start token,] ``length`` different random tokens and the same tokens again; its control has the same first
half and other tokens in the second. Position i of the second half asks about keys around the earlier occurrence,
``i - length + lag``. What a head does because of where things stand, it does in the control too.

Source: Elhage et al. 2021 (A mathematical framework for transformer circuits); Olsson et al. 2022 (In-context learning
and induction heads).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.scores._labelled import option

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = [
    "LAGS",
    "Attended",
    "attended",
    "by_lag",
    "head_layers",
    "make_repeats",
    "more_than_control",
    "plain_tokens",
    "recent_attention",
    "repeats_of",
]

LAGS = 5
RECENT = 20  # tokens before
_N_PROMPTS, _LENGTH = 16, 32
_SMALLEST = np.finfo(np.float32).tiny  # attention that underflowed; its logarithm stays finite


@dataclass(frozen=True)
class Attended:
    """Attention of every head in repeated prompts and in their controls.

    Parameters
    ----------
    heads : DataFrame
        model, layer, head; one row a head.
    repeated, control : array of shape (n_heads, n_prompts, 2 * LAGS + 1)
        Mean attention to each lag from the earlier occurrence.
    log_repeated : array of shape (n_heads, n_prompts, 2 * LAGS + 1)
        Mean logarithm of attention: the score before the softmax, up to a constant of the head.
    previous : array of shape (n_heads, n_prompts)
        Mean attention to the token before, at all positions of the control.
    recent : array of shape (n_heads, n_prompts, RECENT)
        Mean attention to the token 1, 2, ... before, over what uniform attention gives, in the control.
    chance, previous_chance : float
        What uniform attention over the allowed keys would give.
    """

    heads: pd.DataFrame
    repeated: np.ndarray
    control: np.ndarray
    log_repeated: np.ndarray
    previous: np.ndarray
    recent: np.ndarray
    chance: float
    previous_chance: float


def make_repeats(
    vocabulary: np.ndarray, *, n_prompts: int, length: int, start: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids of repeated prompts and of their controls, each (n_prompts, [1 +] 2 * length).

    Raises
    ------
    BraindecError
        If the vocabulary is too small for prompts without accidental repeats.
    """
    if len(vocabulary) < 2 * length:
        raise BraindecError(f"prompts of {length} different tokens and {length} others need {2 * length} tokens",
                            found=f"a vocabulary of {len(vocabulary)}", fix="ask for a smaller length")  # fmt: skip
    drawn = np.stack([rng.choice(vocabulary, 2 * length, replace=False) for _ in range(n_prompts)])
    repeated = np.concatenate([drawn[:, :length], drawn[:, :length]], axis=1)
    if start is None:
        return repeated, drawn
    first = np.full((n_prompts, 1), start)
    return np.concatenate([first, repeated], axis=1), np.concatenate([first, drawn], axis=1)


def by_lag(pattern: np.ndarray, *, length: int, offset: int = 0, lags: int = LAGS) -> tuple[np.ndarray, np.ndarray]:
    """Return mean attention, and its mean logarithm, by lag from the earlier occurrence.

    Parameters
    ----------
    pattern : array of shape (batch, head, query, key)
        Attention; rows sum to 1.
    length : int
        Of the half that is repeated, more than ``2 * lags``.
    offset : int
        Tokens before the first half.

    Returns
    -------
    mean, mean_log : array of shape (batch, head, 2 * lags + 1)
        Over the positions whose earlier occurrence has all these lags within the first half.
    """
    origin = np.arange(lags, length - lags)
    queries = offset + length + origin
    keys = offset + origin[:, None] + np.arange(-lags, lags + 1)  # (query, lag)
    found = pattern[:, :, queries[:, None], keys]
    return found.mean(axis=2, dtype=float), np.log(np.maximum(found, _SMALLEST)).mean(axis=2, dtype=float)


def recent_attention(pattern: np.ndarray, *, offset: int = 0, bidirectional: bool = False) -> np.ndarray:
    """Return mean attention to the token 1, ..., RECENT before, over what uniform attention gives.

    Parameters
    ----------
    pattern : array of shape (batch, head, query, key)
    offset : int
        Tokens at the beginning that are no content.
    bidirectional : bool
        Whether later keys are allowed.

    Returns
    -------
    array of shape (batch, head, RECENT)
        Over the positions that have all these tokens before them.
    """
    n = pattern.shape[2]
    queries = np.arange(offset + RECENT, n)
    allowed = np.full(len(queries), n) if bidirectional else queries + 1
    found = pattern[:, :, queries[:, None], queries[:, None] - np.arange(1, RECENT + 1)]
    return (found * allowed[:, None]).mean(axis=2, dtype=float)


def more_than_control(repeated: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Return one-sided p (n_heads,) that prompts (n_heads, n_prompts) draw more attention than their controls do.

    A paired t-test over prompts, which are independent draws; a head whose attention never differs has p = 1.
    """
    difference = repeated - control
    n, mean, spread = difference.shape[1], difference.mean(axis=1), difference.std(axis=1, ddof=1)
    same = spread <= 1e-12 * np.maximum(np.abs(repeated).max(axis=1), 1e-300)
    p = stats.t.sf(mean / np.where(same, 1.0, spread / np.sqrt(n)), n - 1)
    return np.where(same, np.where(mean > 1e-12, 0.0, 1.0), p)


def plain_tokens(lm: LanguageModel) -> np.ndarray:
    """Return the numbers of all tokens but special ones."""
    special = set(lm.tokenizer.all_special_ids)
    return np.array([i for i in range(min(lm.vocab_size, len(lm.tokenizer))) if i not in special])


def head_layers(probe: Probe, site: str) -> list[int]:
    """Return the layers of the probe that have attention heads to read at ``site``.

    Raises
    ------
    BraindecError
        If there are none; the message has the model's reason.
    """
    blocks = probe.model.architecture.blocks
    asked = range(len(blocks)) if probe.layers is None else probe.layers
    layers = [layer for layer in asked if site in blocks[layer].taps and blocks[layer].n_heads]
    if not layers:
        why = next((blocks[layer].missing.get(site) for layer in asked), None)
        raise BraindecError(f"{probe.model.name} has no attention heads to read", found=why or "no heads",
                            fix="scores of heads need a model with attention")  # fmt: skip
    return layers


def repeats_of(probe: Probe) -> Attended:
    """Return the attention of the heads of the probe's model; run once for all scores that need it."""
    return probe.once(
        "attention to repeats",
        lambda: attended(probe, **option(probe, "repeats", {"n_prompts": _N_PROMPTS, "length": _LENGTH})),
    )


def attended(probe: Probe, *, n_prompts: int, length: int) -> Attended:
    """Run repeated prompts and their controls."""
    lm = probe.model
    room = (lm.max_length - 1) // 2
    length = min(length, room)
    if length < 2 * LAGS + 2:
        raise BraindecError(f"lags up to {LAGS} need {2 * LAGS + 2} tokens said twice", found=f"a context of {lm.max_length}",
                            fix="use a model with a longer context")  # fmt: skip
    start = lm.tokenizer.bos_token_id
    rng = np.random.default_rng([probe.seed, 11])
    prompts = make_repeats(plain_tokens(lm), n_prompts=n_prompts, length=length, start=start, rng=rng)
    offset = int(start is not None)
    repeated, logs, *_, names = _patterns(probe, prompts[0], length, offset)
    control, _, previous, recent, _ = _patterns(probe, prompts[1], length, offset)
    heads = pd.DataFrame([(lm.name, layer, head) for layer, head in names], columns=["model", "layer", "head"])
    n = prompts[0].shape[1]
    queries = offset + length + np.arange(LAGS, length - LAGS)
    allowed = np.full(n, n) if lm.bidirectional else np.arange(1, n + 1)
    return Attended(heads, repeated, control, logs, previous, recent, float((1 / allowed[queries]).mean()),
                    float((1 / allowed[offset + 1:]).mean()))  # fmt: skip


def _patterns(
    probe: Probe, tokens: np.ndarray, length: int, offset: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Return attention by lag, its logarithm, to the token before, to recent ones, each (head, prompt, ...), and the heads."""
    from braindec.llm.extract import iterate_activations

    layers = head_layers(probe, "attn_pattern")
    n_heads: dict[int, int] = {}
    kept: dict[int, list[tuple[np.ndarray, ...]]] = {}
    rows: list[np.ndarray] = []
    for batch in iterate_activations(probe.model, [list(map(int, t)) for t in tokens], sites=("attn_pattern",),
                                     layers=layers, batch_size=probe.batch_size):  # fmt: skip
        rows.append(np.asarray(batch.rows))
        for layer, pattern in batch.attention.items():
            array = pattern.float().cpu().numpy()
            n_heads[layer] = array.shape[1]
            at = np.arange(offset + 1, array.shape[2])
            previous = array[:, :, at, at - 1].mean(axis=2, dtype=float)
            recent = recent_attention(array, offset=offset, bidirectional=probe.model.bidirectional)
            kept.setdefault(layer, []).append((*by_lag(array, length=length, offset=offset), previous, recent))
    order = np.argsort(np.concatenate(rows))
    parts = [
        np.concatenate([np.concatenate([b[k] for b in kept[layer]])[order].swapaxes(0, 1) for layer in sorted(kept)])
        for k in range(4)
    ]
    return parts[0], parts[1], parts[2], parts[3], [(layer, h) for layer in sorted(kept) for h in range(n_heads[layer])]
