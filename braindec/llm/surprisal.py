"""Surprisal of words: minus the log probability of each word given what precedes it.

A word's surprisal is the sum over its tokens (the chain rule), so that the words of a text add up to the text. White
space in front of a word counts as part of it. A token that covers two words is counted with the first; the second then
has no tokens of its own and a surprisal of 0.

Source: Hale 2001 (surprisal as processing cost); Smith & Levy 2013 (reading times).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError
from braindec.llm._check import whole
from braindec.llm._rows import (
    Encoded,
    Row,
    batches,
    check_lengths,
    encode,
    not_finite,
    padded,
    place_words,
    rows_of_text,
)
from braindec.llm.words import texts_of, word_spans, words_table

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["surprisal"]

_ELEMENTS = 2**28  # of scores held at once: 1 GiB in single precision


@dataclass
class _Scored:
    """A row of tokens: those at ``where`` are scored and count for the rows ``words`` of the table."""

    tokens: np.ndarray
    where: np.ndarray
    words: np.ndarray


def surprisal(
    lm: LanguageModel, texts: Any, *, context: int | None = None, batch_size: int = 32, unit: str = "bits"
) -> pd.DataFrame:
    """Return a words table with the surprisal of each word.

    Parameters
    ----------
    lm : LanguageModel
        With a head that predicts the next token.
    texts : words table, or what :func:`~braindec.llm.words.words_table` takes
    context : int, optional
        Each word is predicted from that many preceding words of its text (fewer at its beginning). None: from all;
        a text longer than the model can read is run in windows that overlap by half, and every token is scored where
        it has at least half a window before it.
    batch_size : int
    unit : {"bits", "nats"}

    Returns
    -------
    DataFrame
        The words table with surprisal and n_tokens. Where nothing precedes a word, it is predicted from the model's
        token for the beginning of a text; NaN when it has none.

    Raises
    ------
    BraindecError
        If the model is bidirectional or predicts nothing, or a word has no token.
    """
    if lm.bidirectional:
        raise BraindecError(
            f"{lm.name} has no surprisal: it sees the words that follow",
            found="a bidirectional model; masking one word at a time gives a pseudo-likelihood, which is not a "
            "probability of the text given what came before", fix="use a model that predicts the next word",
        )  # fmt: skip
    if unit not in ("bits", "nats"):
        raise BraindecError(f"surprisal is not given in {unit!r}", allowed="bits, nats")
    whole(context, "context", none=True)
    table = texts if isinstance(texts, pd.DataFrame) else words_table(texts)
    wholes = texts_of(table)
    encoded = encode(lm, list(wholes.values()), list(wholes), special_tokens=False)
    places, _ = place_words(lm, table, encoded)
    rows = [row for text in encoded for row in _plan(lm, table, text, places[text.name], context)]
    names = table["stimulus_id"].astype(str)
    check_lengths(
        lm, [Row(row.tokens, [(int(row.words[0]), row.where)]) for row in rows], lambda item: names.iloc[item],
        pool="word", context=context,
    )  # fmt: skip
    total, n_tokens = np.zeros(len(table)), np.zeros(len(table), dtype=int)
    for row in rows:
        np.add.at(n_tokens, row.words, 1)
        total[row.words[row.where == 0]] = np.nan  # nothing precedes it
    for words, logs in _scores(lm, rows, batch_size):
        np.subtract.at(total, words, logs)
    made = table.copy()
    made.attrs = dict(table.attrs)
    made["surprisal"] = total / (math.log(2) if unit == "bits" else 1.0)
    made["n_tokens"] = n_tokens
    return made


def _plan(
    lm: LanguageModel, table: pd.DataFrame, text: Encoded, place: np.ndarray, context: int | None
) -> list[_Scored]:
    """Return the rows that score the words of one text."""
    bos = getattr(lm.tokenizer, "bos_token_id", None)
    head = np.array([] if bos is None else [bos], dtype=np.int64)
    mine, index = rows_of_text(table, text.name)
    stops = word_spans(table, text.name)[:, 1]
    owner = np.searchsorted(stops, text.offsets[:, 0], side="right")  # type: ignore[index]
    in_table = np.full(len(stops) + 1, -1)  # the last: what follows the last word counts for none
    in_table[index] = mine
    if context is not None:
        first = np.searchsorted(owner, np.maximum(index - context, 0), side="left")
        begin, end = np.searchsorted(owner, index, side="left"), np.searchsorted(owner, index, side="right")
        return [
            _Scored(np.concatenate([head, text.tokens[a:c]]), np.arange(b, c) - a + len(head), np.full(c - b, k))
            for k, a, b, c in zip(mine, first, begin, end, strict=True) if c > b
        ]  # fmt: skip
    tokens = np.concatenate([head, text.tokens])
    words = np.concatenate([np.full(len(head), -1), in_table[owner]])
    rows, done, size = [], len(head), min(lm.max_length, len(tokens))
    for start in range(0, len(tokens), max(1, size // 2)):
        stop = min(start + size, len(tokens))
        where = np.arange(done, stop)
        where = where[words[where] >= 0]
        if len(where):
            rows.append(_Scored(tokens[start:stop], where - start, words[where]))
        done = stop
        if stop == len(tokens):
            break
    return rows


def _scores(lm: LanguageModel, rows: list[_Scored], batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows of the table and log probabilities (nats) of their tokens, batch by batch."""
    from tqdm import tqdm

    n_words = lm.vocab_size
    shown = tqdm(total=len(rows), desc=f"{lm.name} surprisal", disable=None, leave=False)
    for batch in batches(rows, batch_size, limit=max(1, _ELEMENTS // n_words)):
        some = [rows[k] for k in batch]
        tokens, mask = padded(lm, some)
        with torch.no_grad():
            logits = lm.logits(tokens, mask)
        for k, row in enumerate(some):
            use = row.where > 0
            before = torch.from_numpy(row.where[use] - 1).to(logits.device)
            target = torch.from_numpy(row.tokens[row.where[use]]).to(logits.device)
            scores = logits[k, before]
            logs = scores.gather(1, target[:, None])[:, 0] - scores.logsumexp(dim=1)
            found = logs.double().cpu().numpy()
            if not np.isfinite(found).all():
                raise not_finite(lm, "probabilities that are not finite")
            yield row.words[use], found
        shown.update(len(some))
    shown.close()
