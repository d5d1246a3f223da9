"""Verbatim memory: are the words of a list less surprising when the list comes again?

Reads no stimuli; the stimuli "nouns" (a list of words), when given, replace the built-in ones. A list of nouns is said,
then, after a sentence, a second list: the same words in the same order ("again"), or the second list after a first one of
other nouns ("new"). ``verbatim_memory`` is the mean surprisal of the words of the second list over that of the first, when it comes again:
near 0 is perfect memory, 1 none. ``verbatim_memory_new`` is the ratio when it does not. ``verbatim_memory_p`` tests whether
the words of the very same second list are less surprising after themselves than after other nouns (one-sided paired t
over lists). One row a layer, read through the logit lens; the last layer is the model.
:func:`without_heads` gives the ratio of the model with each head ablated.
Options: ``n_lists`` (24), ``n_words`` (8).
Source: Armeni, Honey & Linzen 2022 (CoNLL, Characterizing verbatim short-term memory in neural language models).
Differs from the reference in: the control holds the second list fixed and changes the first, so that words cannot differ
in how surprising they are by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import option
from braindec.llm.scores._repeats import more_than_control
from braindec.llm.scores._unembed import lens_logits
from braindec.llm.scores.logit_lens import SITE, lens_batches

__all__ = ["verbatim_memory", "without_heads"]

NOUNS = ("apple", "arm", "bag", "ball", "bank", "bed", "bird", "boat", "book", "box", "bread", "bus", "cake", "car", "cat", "chair",
         "coat", "cow", "cup", "desk", "dog", "door", "egg", "eye", "farm", "fish", "flag", "floor", "fork", "game", "gate", "glass",
         "hand", "hat", "hill", "horse", "house", "king", "lake", "lamp", "leaf", "map", "milk", "moon", "nest", "nose", "path", "pen",
         "pig", "plate", "pond", "rain", "ring", "road", "rock", "rope", "salt", "ship", "shoe", "snow", "soup", "star", "tree", "wall")  # fmt: skip
_BEFORE, _BETWEEN = "Anna wrote down these words:", ". After a while she read the words again:"


def _lists(probe: Probe) -> tuple[list[list[str]], list[list[str]]]:
    """Return lists of nouns, and for each another one without a word in common."""
    options = option(probe, "verbatim_memory", {"n_lists": 24, "n_words": 8})
    nouns = list(dict.fromkeys(probe.stimuli.get("nouns", NOUNS)))
    n = options["n_words"]
    if len(nouns) < 2 * n:
        raise BraindecError(f"lists of {n} words and {n} others need {2 * n} nouns", found=str(len(nouns)))
    rng = np.random.default_rng([probe.seed, 14])
    drawn = [[nouns[k] for k in rng.choice(len(nouns), 2 * n, replace=False)] for _ in range(options["n_lists"])]
    return [d[:n] for d in drawn], [d[n:] for d in drawn]


def _prompt(probe: Probe, first: Sequence[str], second: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return token ids, and for each token 2 * (list 0 or 1) * n + word, or -1 outside the lists."""
    tokenizer = probe.model.tokenizer

    def ids_of(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    ids: list[int] = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    where = [-1] * len(ids)
    for which, (before, words) in enumerate(((_BEFORE, first), (_BETWEEN, second))):
        piece = ids_of(before)
        ids, where = ids + piece, where + [-1] * len(piece)
        for k, word in enumerate(words):
            piece = ids_of(f" {word}")
            ids, where = ids + piece, where + [which * len(words) + k] * len(piece)
            piece = ids_of(",") if k + 1 < len(words) else []
            ids, where = ids + piece, where + [-1] * len(piece)
    if len(ids) > probe.model.max_length:
        raise BraindecError(f"the prompt of verbatim memory has {len(ids)} tokens", found=f"a context of {probe.model.max_length}",
                            fix="options={'verbatim_memory': {'n_words': 4}}")  # fmt: skip
    return ids, where


def _surprisal(probe: Probe, firsts: list[list[str]], seconds: list[list[str]]) -> dict[int, np.ndarray]:
    """Return the surprisal of each word in bits, layer -> (prompt, list, word), summed over the word's tokens."""
    n = len(firsts[0])
    prompts = [_prompt(probe, a, b) for a, b in zip(firsts, seconds, strict=True)]
    found: dict[int, np.ndarray] = {}
    lengths = np.array([len(ids) for ids, _ in prompts])
    for length in np.unique(lengths):  # prompts of one length together: no padding
        members = np.flatnonzero(lengths == length)
        ids = np.array([prompts[m][0] for m in members])
        for rows, layers in lens_batches(probe, [list(map(int, row)) for row in ids]):
            target = torch.as_tensor(ids[rows, 1:])
            for layer, hidden in layers.items():
                logits = lens_logits(probe.model, hidden[:, :-1])
                own = logits.log_softmax(-1).gather(-1, target.to(logits.device)[..., None])[..., 0]
                bits = -own.double().numpy(force=True) / np.log(2.0)
                table = found.setdefault(layer, np.zeros((len(prompts), 2 * n)))
                for row, values in zip(rows, bits, strict=True):
                    where = np.array(prompts[members[row]][1][1:])
                    np.add.at(table[members[row]], where[where >= 0], values[where >= 0])
    return {layer: table.reshape(-1, 2, n) for layer, table in found.items()}


def _ratio(words: np.ndarray) -> float:
    """Return the surprisal of the second list over that of the first, from (prompt, list, word)."""
    return float(words[:, 1].mean() / words[:, 0].mean())


def _table(probe: Probe) -> pd.DataFrame:
    lists, others = _lists(probe)
    again, new = _surprisal(probe, lists, lists), _surprisal(probe, others, lists)
    rows = []
    for layer in sorted(again):
        if probe.layers is not None and layer not in probe.layers:
            continue
        same, fresh = again[layer][:, 1].mean(axis=1), new[layer][:, 1].mean(axis=1)
        p = more_than_control(fresh[None], same[None])[0]
        rows.append(
            (
                probe.model.name,
                layer,
                SITE,
                _ratio(again[layer]),
                _ratio(new[layer]),
                float(fresh.mean() - same.mean()),
                p,
            )
        )
    names = ["", "_new", "_bits", "_p"]
    return pd.DataFrame(rows, columns=["model", "layer", "site", *(f"verbatim_memory{k}" for k in names)])


def without_heads(probe: Probe) -> pd.DataFrame:
    """Return model, layer, head, verbatim_memory (ratio with that head's output set to 0), verbatim_memory_change.

    One pass over the lists for each head: meant for small models, or for chosen ``probe.layers``.
    """
    from braindec.llm.interventions import ablate

    lm, (lists, _) = probe.model, _lists(probe)
    whole = Probe(
        lm, probe.stimuli, layers=[lm.n_layers - 1], batch_size=probe.batch_size, seed=probe.seed, options=probe.options
    )

    def ratio() -> float:
        return _ratio(_surprisal(whole, lists, lists)[lm.n_layers - 1])

    base, rows = ratio(), []
    for layer in range(lm.n_layers) if probe.layers is None else probe.layers:
        width = lm.n_units("head_out", layer) // lm.n_heads(layer)
        for head in range(lm.n_heads(layer)):
            units = pd.DataFrame(
                {"layer": layer, "site": "head_out", "index": np.arange(head * width, (head + 1) * width)}
            )
            with ablate(lm, units, how="zero"):
                rows.append((lm.name, layer, head, found := ratio(), found - base))
    return pd.DataFrame(rows, columns=["model", "layer", "head", "verbatim_memory", "verbatim_memory_change"])


verbatim_memory = UnitScore(
    name="verbatim_memory", version="1", level="layer", needs=(), function=_table,
    describe="surprisal of a list of nouns said again over that of the first time", source="Armeni et al. 2022",
)  # fmt: skip
