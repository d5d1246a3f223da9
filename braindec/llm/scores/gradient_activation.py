"""Gradient x activation: which units speak for a target word, in texts of interest and not in control texts.

Stimuli ``targets``: a table with the columns text and target (the word that should follow; its first token counts), and optionally
foil (a word that should not: the difference of both logits is then explained instead of the log-probability of the target) and kind
("target" or "control"; all are targets without it). Options: ``tokens`` ("last": the activation at the last token of the text,
"all": summed over its tokens), ``percent`` (of units selected, default 1.0) or ``k``, ``control_percent`` (units that are among so
many of the largest in control texts are not selected, default 1.0).

The attribution of a unit is its activation times the derivative of what is explained with respect to it, averaged over texts: to first
order, what taking the unit away would cost, in nats (log-probability) or logits (foil).

Columns: ``gradient_activation`` mean over target texts, ``_sd`` over them, ``_control`` mean over control texts (NaN without any),
``_selected``.

Source: Shrikumar et al. 2017 (ICML, gradient x input) and Ancona et al. 2018 (ICLR) for the score; filtering by
control texts as for culture-specific neurons found by gradients.

Differs from the reference in: control filtering ranks units by the same score in control texts; the sign is kept, so that units that
speak against the target are not mixed with those that speak for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import labelled, option
from braindec.llm.sites import capture, resolve, units_of
from braindec.stats.contrast import top_units

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

DEFAULTS: dict[str, Any] = {"tokens": "last", "percent": 1.0, "k": None, "control_percent": 1.0}

__all__ = ["score", "attribution"]


def attribution(
    lm: LanguageModel, texts: Sequence[str], targets: Sequence[str], *, foils: Sequence[str] | None = None,
    sites: Sequence[str] = ("mlp_act",), layers: Sequence[int] | None = None, tokens: str = "last", batch_size: int = 16,
) -> tuple[pd.DataFrame, np.ndarray]:  # fmt: skip
    """Attribute the word after each text to units.

    Parameters
    ----------
    lm : LanguageModel
        One that predicts the next token.
    texts, targets, foils : sequences of str
        Words are taken with a space before them where the text does not end in one.
    sites, layers
        Which units.
    tokens : {"last", "all"}
    batch_size : int

    Returns
    -------
    units : DataFrame
        model, layer, site, index.
    values : array of shape (n_texts, n_units)
        Nats, or logits with foils.

    Raises
    ------
    BraindecError
        If a word has no token, target and foil begin with the same one, or the model sees what comes after.
    """
    if tokens not in ("last", "all"):
        raise BraindecError(f"tokens={tokens!r} is unknown", allowed="last, all")
    if lm.bidirectional:
        raise BraindecError(
            f"{lm.name} does not predict the next word", fix="use a model that reads from left to right"
        )
    slots = resolve(lm, tuple(sites), layers)
    units = units_of(lm, slots)[["model", "layer", "site", "index"]]
    wanted = _first_tokens(lm, texts, targets)
    against = _first_tokens(lm, texts, foils) if foils is not None else None
    if foils is not None and (same := np.flatnonzero(wanted == against)).size:
        raise BraindecError(
            "a target and its foil begin with the same token", found=f"{targets[same[0]]!r} and {foils[same[0]]!r}"
        )
    rows = [np.asarray(r) for r in lm.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]
    lengths = [len(r) for r in rows]
    if not rows or min(lengths) == 0 or max(lengths) > lm.max_length:
        raise BraindecError("texts need a token, and no more of them than the model can read",
                            found=f"{min(lengths, default=0)} to {max(lengths, default=0)}", allowed=f"1 to {lm.max_length}")  # fmt: skip
    out = np.empty((len(rows), len(units)))
    order = np.argsort(lengths, kind="stable")[::-1]
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        own = [rows[i] for i in chosen]
        foil = None if against is None else against[chosen]
        out[chosen] = _batch(lm, slots, own, wanted[chosen], foil, tokens)
    return units, out


def _batch(
    lm: LanguageModel, slots: Any, rows: list[np.ndarray], wanted: np.ndarray, foil: np.ndarray | None, tokens: str
) -> np.ndarray:
    lengths = torch.tensor([len(r) for r in rows], device=lm.device)
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(r).long() for r in rows], batch_first=True).to(lm.device)
    mask = (torch.arange(padded.shape[1], device=lm.device) < lengths[:, None]).long()
    each = torch.arange(len(rows), device=lm.device)
    with torch.enable_grad(), capture(lm, slots, gradients=True) as seen:
        logits = lm.logits(padded, mask)[each, lengths - 1]
        target = torch.from_numpy(wanted).to(lm.device)
        if foil is None:
            explained = torch.log_softmax(logits, dim=-1)[each, target]
        else:
            explained = logits[each, target] - logits[each, torch.from_numpy(foil).to(lm.device)]
        explained.sum().backward()
        parts = []
        for slot in slots:
            values, gradient = seen[slot.key], seen[slot.key].grad
            if gradient is None:  # nothing that is explained depends on it
                gradient = torch.zeros_like(values)
            product = (values.detach() * gradient).float().reshape(*padded.shape, -1)
            kept = product[each, lengths - 1] if tokens == "last" else (product * mask.unsqueeze(-1)).sum(dim=1)
            parts.append(kept.double().cpu().numpy())
    return np.concatenate(parts, axis=1)


def _first_tokens(lm: LanguageModel, texts: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """The token that follows each text when the word does."""
    if len(texts) != len(words):
        raise BraindecError("every text needs a word that follows it", found=f"{len(texts)} texts, {len(words)} words")
    found = []
    for text, word in zip(texts, words, strict=True):
        ids = lm.tokenizer(word if text[-1:].isspace() else f" {word}", add_special_tokens=False)["input_ids"]
        if not ids:
            raise BraindecError(f"the word {word!r} has no token in {lm.name}")
        found.append(ids[0])
    return np.array(found, dtype=np.int64)


def _score(probe: Probe) -> pd.DataFrame:
    given = option(probe, "gradient_activation", DEFAULTS)
    table = labelled(probe.need("targets"), label="target", what="targets")
    if odd := [v for v in [*table["text"], *table["target"]] if not isinstance(v, str) or not v.strip()]:
        raise BraindecError("texts and their targets are text", found=repr(odd[0]), fix="leave these rows out")
    kind = table["kind"].astype(str).to_numpy() if "kind" in table else np.full(len(table), "target", dtype=object)
    if set(kind) - {"target", "control"} or not (kind == "target").any():
        raise BraindecError(
            "texts are of the kind target or control, and some are targets", found=", ".join(sorted(set(kind)))
        )
    units, values = attribution(
        probe.model, table["text"].tolist(), table["target"].tolist(), foils=table["foil"].tolist() if "foil" in table else None,
        sites=probe.sites, layers=probe.layers, tokens=given["tokens"], batch_size=probe.batch_size,
    )  # fmt: skip
    own, control = values[kind == "target"], values[kind == "control"]
    mean, other = own.mean(axis=0), control.mean(axis=0) if len(control) else np.full(len(units), np.nan)
    allowed = mean > 0
    if len(control):
        allowed &= ~top_units(other, percent=given["control_percent"]).mask(len(units))
    chosen = top_units(
        mean, k=given["k"], percent=None if given["k"] is not None else given["percent"], allowed=allowed
    )
    return units.assign(
        gradient_activation=mean, gradient_activation_sd=own.std(axis=0, ddof=1) if len(own) > 1 else np.nan,
        gradient_activation_control=other, gradient_activation_selected=chosen.mask(len(units)),
    )  # fmt: skip


score = UnitScore(
    "gradient_activation", "1", "unit", ("targets",), _score,
    "activation times gradient of the target's log-probability", "Shrikumar et al. 2017, Ancona et al. 2018",
)  # fmt: skip
