"""Windows of a continuous signal less their baseline, computed as they are read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from braindec.types.signals import Signal

_TOGETHER = 16_000_000  # numbers that are read together at most

__all__ = ["BaselinedWindows"]


class BaselinedWindows(Signal):
    """Windows of a continuous signal laid end to end, each less its mean over its first samples; computed as it is read.

    Parameters
    ----------
    parent : Signal
    first : array of int
        First sample of each whole window.
    n_base, n_skip, n_times : int
        Samples of the baseline, samples at the begin that are not given, and samples that are.
    """

    def __init__(self, parent: Signal, first: np.ndarray, *, n_base: int, n_skip: int, n_times: int) -> None:
        self.parent, self.first, self.n_base, self.n_skip, self.n_times = parent, first, n_base, n_skip, n_times
        self.shape = (parent.shape[0], len(first) * n_times)
        self.path, self.finite, self.slow = parent.path, parent.finite, parent.slow

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the samples ``start`` to ``stop``, (n_channels, stop - start), float32."""
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        asked = []  # (first sample of the whole window, first sample wanted in what is given, how many)
        while start < stop:
            number, inside = divmod(start, self.n_times)
            n = min(self.n_times - inside, stop - start)
            asked.append((int(self.first[number]), inside, n))
            start += n
        if not asked:
            return np.asarray(self.parent.read(channels, 0, 0), dtype=np.float32)
        pieces = [p for run in self._runs(asked) for p in self._pieces(channels, run)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)

    def _runs(self, asked: list[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
        """Overlapping windows of a source that decodes a file are read together."""
        whole, run = self.n_skip + self.n_times, asked[:1]
        for one in asked[1:]:
            begins = [a[0] for a in run] + [one[0]]
            if self.parent.slow and max(begins) + whole - min(begins) <= min(
                whole * len(begins), _TOGETHER // self.shape[0]
            ):
                run = [*run, one]
            else:
                yield run
                run = [one]
        yield run

    def _pieces(self, channels: slice | np.ndarray, run: list[tuple[int, int, int]]) -> list[np.ndarray]:
        begin = min(first for first, _, _ in run)
        end = max(first + max(self.n_base, self.n_skip + inside + n) for first, inside, n in run)
        block = np.asarray(self.parent.read(channels, begin, end))
        made = []
        for first, inside, n in run:
            at = first - begin
            piece = block[:, at + self.n_skip + inside :][:, :n]
            if self.n_base:
                piece = piece - block[:, at : at + self.n_base].mean(axis=1, keepdims=True, dtype=np.float64)
            made.append(piece.astype(np.float32))
        return made
