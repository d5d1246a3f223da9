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
from braindec.stats.asked import whole

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
        self.order = whole(order, "order of an n-gram", least=1)
        self.vocab_size = whole(vocab_size, "vocab_size", least=2)
        self._counts: list[defaultdict[tuple[int, ...], defaultdict[int, int]]] = []

    def fit(self, tokens: np.ndarray) -> NGram:
        """Count grams in rows of tokens, shape (n_rows, n_times); -1 ends a row, and the first token is not predicted.

        Raises
        ------
        BraindecError
            If these are no rows of whole numbers from -1 to below ``vocab_size``.
        """
        tokens = self._checked(tokens)
        self._counts = [defaultdict(lambda: defaultdict(int)) for _ in range(self.order)]
        for row in tokens:
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
            Before ``fit``, or for tokens that :meth:`fit` would refuse.
        """
        if not self._counts:
            raise BraindecError("the n-gram model was not fitted", fix="call fit(tokens) first")
        tokens = self._checked(tokens)
        found = np.full((len(tokens), tokens.shape[1] - 1), np.nan)
        for i, row in enumerate(tokens):
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

    def _checked(self, tokens: np.ndarray) -> np.ndarray:
        rows = np.asarray(tokens)
        if rows.ndim != 2 or rows.dtype.kind not in "iu" or not rows.shape[1]:
            raise BraindecError(
                "n-grams are counted in rows of whole numbers", found=f"{rows.dtype} of shape {rows.shape}"
            )
        if rows.size and (rows.min() < -1 or rows.max() >= self.vocab_size):
            raise BraindecError("a token is not in the vocabulary", found=f"{rows.min()} to {rows.max()}",
                                allowed=f"0 to {self.vocab_size - 1}, and -1 behind the end of a row")  # fmt: skip
        if np.any((rows[:, :-1] < 0) & (rows[:, 1:] >= 0)):
            raise BraindecError("-1 ends a row, and tokens come after it", fix="put -1 behind the last token only")
        return rows
