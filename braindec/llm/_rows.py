"""From texts or words to rows of tokens: what the model reads at once, and which tokens make up each item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError
from braindec.llm._check import whole
from braindec.llm.words import texts_of, tokens_of_words, word_spans, words_table

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel


@dataclass
class Row:
    """One row of tokens and the items read from it: (item, its tokens)."""

    tokens: np.ndarray
    items: list[tuple[int, np.ndarray]] = field(default_factory=list)


@dataclass
class Encoded:
    """Tokens of one text with their characters; ``special`` marks those that stand for none."""

    name: str
    tokens: np.ndarray
    offsets: np.ndarray | None
    special: np.ndarray


def encode(lm: LanguageModel, texts: Sequence[Any], names: Sequence[str], *, special_tokens: bool) -> list[Encoded]:
    """Turn texts, or rows of token ids, into tokens.

    Raises
    ------
    BraindecError
        If there are none, one is empty, ids are out of range, or texts are given to a model without a tokenizer.
    """
    if len(texts) == 0:
        raise BraindecError("there are no texts")
    if not isinstance(texts[0], str):
        return [_given_tokens(lm, row, name) for row, name in zip(texts, names, strict=True)]
    if wrong := [k for k, t in enumerate(texts) if not isinstance(t, str)]:
        raise BraindecError(f"text {names[wrong[0]]!r} is not text", found=repr(texts[wrong[0]])[:60])
    if empty := [names[k] for k, t in enumerate(texts) if not t.strip()]:
        raise BraindecError(
            f"{len(empty)} texts are empty", found=", ".join(map(repr, empty[:5])), fix="leave them out"
        )
    if lone := [n for n, t in zip(names, texts, strict=True) if any("\ud800" <= c <= "\udfff" for c in t)]:
        raise BraindecError(
            f"text {lone[0]!r} holds half a character (a lone surrogate)", found=f"{len(lone)} such texts",
            fix="read the file again with its right encoding, e.g. encoding='utf8'",
        )  # fmt: skip
    if lm.tokenizer is None:
        raise BraindecError(f"{lm.name} has no tokenizer", allowed="rows of token ids", fix="wrap(..., tokenizer=...)")
    made = lm.tokenizer(
        list(texts), add_special_tokens=special_tokens, return_offsets_mapping=True, return_special_tokens_mask=True,
        return_attention_mask=False, return_token_type_ids=False, truncation=False, verbose=False,
    )  # fmt: skip
    rows = []
    for k, name in enumerate(names):
        tokens = np.asarray(made["input_ids"][k], dtype=np.int64)
        special = np.asarray(made["special_tokens_mask"][k], dtype=bool)
        offsets = np.asarray(made["offset_mapping"][k], dtype=int).reshape(-1, 2)
        special &= offsets[:, 0] == offsets[:, 1]  # a mask or unknown token in the text stands for characters
        if special.all():
            raise BraindecError(
                f"text {name!r} has no tokens", found=repr(texts[k][:40]),
                fix=f"the tokenizer of {lm.name} drops these characters: use a model made for them",
            )  # fmt: skip
        if tokens.max() >= lm.vocab_size:
            raise BraindecError(
                f"the tokenizer of {lm.name} gives tokens that the model does not know", found=f"token {tokens.max()} in text {name!r}",
                allowed=f"0 to {lm.vocab_size - 1}", fix="the tokenizer belongs to another model: use the one that was saved with it",
            )  # fmt: skip
        rows.append(Encoded(name, tokens, offsets, special))
    return rows


def _given_tokens(lm: LanguageModel, row: Any, name: str) -> Encoded:
    tokens = np.asarray(row)
    if tokens.ndim != 1 or tokens.size == 0 or not np.issubdtype(tokens.dtype, np.integer):
        raise BraindecError(f"row {name!r} is neither text nor a list of token ids", found=repr(row)[:60])
    if tokens.min() < 0 or tokens.max() >= lm.vocab_size:
        raise BraindecError(
            f"row {name!r} has token ids that {lm.name} does not know", found=f"{tokens.min()} to {tokens.max()}",
            allowed=f"0 to {lm.vocab_size - 1}",
        )  # fmt: skip
    return Encoded(name, tokens.astype(np.int64), None, np.zeros(tokens.size, dtype=bool))


def not_finite(lm: LanguageModel, what: str) -> BraindecError:
    """Return the error that says why a model gave ``what``: its weights, their type, or what was changed in it."""
    parameters = list(lm.model.named_parameters())
    bad = [name for name, p in parameters if not bool(torch.isfinite(p).all())]
    if bad:
        fix = "the file is damaged, or training went wrong: fetch or train the model again"
        return BraindecError(f"{lm.name} gave {what}", found=f"{len(bad)} weights are not finite: {bad[0]}", fix=fix)
    kind = str(parameters[0][1].dtype).removeprefix("torch.")
    fix = (
        "open it with dtype='float32' or 'bfloat16'" if kind == "float16" else "a smaller intervention, if there is one"
    )
    return BraindecError(f"{lm.name} gave {what}", found=f"finite weights of {kind}", fix=fix)


def text_rows(encoded: Sequence[Encoded], pool: str) -> list[Row]:
    """One item a text: which tokens it is pooled over. "first" is the first token the model sees, special or not."""
    rows = []
    for k, text in enumerate(encoded):
        own = np.flatnonzero(~text.special)
        chosen = {"last": own[-1:], "first": np.array([0])}.get(pool, own)
        rows.append(Row(text.tokens, [(k, chosen)]))
    return rows


def token_rows(lm: LanguageModel, encoded: Sequence[Encoded], context: int | None) -> tuple[list[Row], pd.DataFrame]:
    """One item a token (special ones are context only): rows and items."""
    rows, items, n = [], [], 0
    for text in encoded:
        own = np.flatnonzero(~text.special)
        if context is None:
            rows.append(Row(text.tokens, [(n + k, np.array([t])) for k, t in enumerate(own)]))
        else:
            rows += [_window(text, max(int(own[0]), int(t) - context), int(t) + 1, n + k, np.array([t]))
                     for k, t in enumerate(own)]  # fmt: skip
        table = pd.DataFrame({"text_id": text.name, "token_index": np.arange(len(own)), "token_id": text.tokens[own]})
        table["stimulus_id"] = [f"{text.name}/{k}" for k in range(len(own))]
        if text.offsets is not None:
            table["token"] = lm.tokenizer.convert_ids_to_tokens(text.tokens[own].tolist())
            table["start"], table["stop"] = text.offsets[own, 0], text.offsets[own, 1]
        items.append(table)
        n += len(own)
    return rows, pd.concat(items, ignore_index=True)


def word_rows(
    lm: LanguageModel, texts: Any, *, context: int | None, special_tokens: bool
) -> tuple[list[Row], pd.DataFrame, list[str]]:
    """One item a word: rows, the words table, and warnings."""
    table = texts if isinstance(texts, pd.DataFrame) else words_table(texts)
    wholes = texts_of(table)
    encoded = encode(lm, list(wholes.values()), list(wholes), special_tokens=special_tokens)
    places, said = place_words(lm, table, encoded)
    rows: list[Row] = []
    for text in encoded:
        mine, index = rows_of_text(table, text.name)
        place = places[text.name]
        if context is None:
            rows.append(Row(text.tokens, [(int(k), np.arange(*place[w])) for k, w in zip(mine, index, strict=True)]))
            continue
        starts = place[np.maximum(index - context, 0), 0]
        starts[index <= context] = np.flatnonzero(~text.special)[0]  # what stands before the first word goes with it
        rows += [_window(text, int(a), int(place[w, 1]), int(k), np.arange(*place[w]))
                 for k, w, a in zip(mine, index, starts, strict=True)]  # fmt: skip
    return rows, table, said


def rows_of_text(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a words table that belong to a text, and which words of it they are."""
    mine = np.flatnonzero(table["text_id"].astype(str).to_numpy() == name)
    return mine, table["word_index"].to_numpy(dtype=int)[mine]


def place_words(
    lm: LanguageModel, table: pd.DataFrame, encoded: Sequence[Encoded]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the first and one past the last token of all words of each text, and warnings.

    Raises
    ------
    BraindecError
        If a word of the table has no token.
    """
    places, without, unknown = {}, [], 0
    for text in encoded:
        place = tokens_of_words(text.offsets, word_spans(table, text.name), text.special)  # type: ignore[arg-type]
        places[text.name] = place
        mine, index = rows_of_text(table, text.name)
        gone = place[index, 0] == place[index, 1]
        without += [(table["word"].iloc[k], text.name) for k in mine[gone]]
        unknown += _unknown(lm, text, place[index])
    if without:
        word, name = without[0]
        raise BraindecError(
            f"the tokenizer of {lm.name} drops or changes characters: the word {word!r} of text {name!r} has no token",
            found=f"{len(without)} such words: " + ", ".join(repr(w) for w, _ in without[:5]),
            fix="take out these words or characters, or use a model whose tokenizer knows them",
        )
    said = [f"{unknown} of {len(table)} words hold a token for unknown characters"] if unknown else []
    return places, said


def _unknown(lm: LanguageModel, text: Encoded, place: np.ndarray) -> int:
    unk = getattr(lm.tokenizer, "unk_token_id", None)
    if unk is None:
        return 0
    upto = np.concatenate([[0], np.cumsum(text.tokens == unk)])
    return int((upto[place[:, 1]] > upto[place[:, 0]]).sum())


def _window(text: Encoded, start: int, stop: int, item: int, chosen: np.ndarray) -> Row:
    """Cut a window out of a text's tokens, with its leading and trailing special tokens around it."""
    own = np.flatnonzero(~text.special)
    head, tail = text.tokens[: own[0]], text.tokens[own[-1] + 1 :]
    tokens = np.concatenate([head, text.tokens[start:stop], tail])
    return Row(tokens, [(item, chosen - start + len(head))])


def check_lengths(lm: LanguageModel, rows: Sequence[Row], name: Any, *, pool: str, context: int | None) -> None:
    """Refuse rows that are longer than the model can read.

    Raises
    ------
    BraindecError
        Names the longest and says how to cut it.
    """
    lengths = np.array([len(row.tokens) for row in rows])
    long = np.flatnonzero(lengths > lm.max_length)
    if not len(long):
        return
    worst = int(long[np.argmax(lengths[long])])
    if context == 0:
        fix = f"it is one {pool}: leave it out, or split it"
    elif context is not None:
        fix = f"a smaller context than {context}, or texts split into shorter words (words_table(texts, separator=''))"
    elif pool in ("word", "token"):
        fix = f"set context=n: each {pool} is then read with n preceding {pool}s"
    else:
        fix = "split it into shorter texts, or use pool='word' with context=n"
    raise BraindecError(
        f"text {name(rows[worst].items[0][0])!r} is longer than {lm.name} can read",
        found=f"{lengths[worst]} tokens; {len(long)} of {len(rows)} are too long",
        allowed=f"{lm.max_length} tokens", fix=fix,
    )  # fmt: skip


def batches(rows: Sequence[Any], batch_size: int, *, limit: int | None = None) -> Iterator[np.ndarray]:
    """Yield row numbers, rows of similar length together, the longest first: what does not fit in memory fails at once.

    With ``limit``, a batch has at most that many tokens (or one row).
    """
    whole(batch_size, "batch_size", least=1)
    order = np.argsort([-len(row.tokens) for row in rows], kind="stable")
    start = 0
    while start < len(order):
        longest = len(rows[order[start]].tokens)
        size = batch_size if limit is None else min(batch_size, max(1, limit // longest))
        yield order[start : start + size]
        start += size


def padded(lm: LanguageModel, rows: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and mask, shape (row, token), padded on the right so that positions are those of each text."""
    longest = max(len(row.tokens) for row in rows)
    fill = getattr(lm.tokenizer, "pad_token_id", None) or 0
    if not lm.bidirectional:  # run without a mask, where transformers takes padding tokens for a mistake and warns
        fill = int(fill == 0)
    tokens = np.full((len(rows), longest), fill, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for k, row in enumerate(rows):
        tokens[k, : len(row.tokens)], mask[k, : len(row.tokens)] = row.tokens, 1
    return torch.from_numpy(tokens).to(lm.device), torch.from_numpy(mask).to(lm.device)
