"""N-gram models of tokens with Witten-Bell smoothing: what a network has to beat.

``p_n(w | h) = (c(h w) + T(h) p_{n-1}(w | h')) / (c(h) + T(h))`` with ``T(h)`` the number of different tokens after the
history ``h`` and ``h'`` the history without its first token; below the single tokens all are equally likely.

Source: Witten & Bell 1991 (IEEE Transactions on Information Theory 37:1085), method C; interpolated form: Chen & Goodman
1999, section 2.4.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from braindec.errors import BraindecError

__all__ = ["NGram"]


class NGram:
    """An n-gram model.

    Parameters
    ----------
    order : int
        Tokens in a gram: 1 knows only how often each token occurs.
    vocab_size : int
        Number of tokens.
    """

    def __init__(self, order: int, vocab_size: int) -> None:
        if order < 1 or vocab_size < 2:
            raise BraindecError("an n-gram has order >= 1 and two tokens or more", found=f"{order}, {vocab_size}")
        self.order, self.vocab_size = int(order), int(vocab_size)
        self._counts: list[defaultdict[tuple[int, ...], defaultdict[int, int]]] = []

    def fit(self, tokens: np.ndarray) -> NGram:
        """Count grams in rows of tokens, shape (n_rows, n_times); -1 ends a row, and the first token is not predicted."""
        self._counts = [defaultdict(lambda: defaultdict(int)) for _ in range(self.order)]
        for row in np.asarray(tokens):
            row = row[row >= 0].tolist()
            for t in range(1, len(row)):
                for n in range(min(self.order, t + 1)):
                    self._counts[n][tuple(row[t - n : t])][row[t]] += 1
        return self

    def bits(self, tokens: np.ndarray) -> np.ndarray:
        """Return the surprisal in bits of each row's tokens after the first, shape (n_rows, n_times - 1); NaN behind the end.

        Raises
        ------
        BraindecError
            Before ``fit``.
        """
        if not self._counts:
            raise BraindecError("the n-gram model was not fitted", fix="call fit(tokens) first")
        found = np.full((len(tokens), tokens.shape[1] - 1), np.nan)
        for i, row in enumerate(np.asarray(tokens)):
            row = row[row >= 0].tolist()
            for t in range(1, len(row)):
                p = 1 / self.vocab_size
                for n in range(min(self.order, t + 1)):
                    after = self._counts[n].get(tuple(row[t - n : t]))
                    if after is None:
                        break
                    kinds = len(after)
                    p = (after.get(row[t], 0) + kinds * p) / (sum(after.values()) + kinds)
                found[i, t - 1] = -np.log2(p)
        return found
