"""SequenceRidge: features of the sound at each sample by ridge regression on the recording around it, each subject by itself.

Source: the backward model of temporal response functions, Crosse et al. 2016 (Front Hum Neurosci 10:604, eq. 6-8), with the
penalty chosen by leaving contents out; segments are compared as in Défossez et al. 2023 (Nat Mach Intell 5:1097).
Differs from the reference in: windows in place of whole recordings, with zeros beyond their ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from sklearn.base import BaseEstimator

from braindec.decoders._reading import WindowReader, column, spread_groups
from braindec.decoders._sequence_data import _CONTENT, Heard, SequenceTargets, check_segments, divided, rows_by_subject
from braindec.decoders._sequence_retrieval import SequenceRetrieval, best_scale
from braindec.decoders._sequence_storage import packed_readers, unpacked_readers
from braindec.decoders._stored import _plain, _record, _unrecord
from braindec.errors import BraindecError, did_you_mean
from braindec.files import write_text
from braindec.types import FitRecord, Segments, Windows
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["SequenceRidge"]

_ALPHAS = np.geomspace(1e-4, 1e4, 17)  # times the mean variance of a column
_COLUMNS = 1600  # lags are as many as this many columns allow
_ROWS = 2**22  # numbers of the design in memory at once, times 8 bytes
_FOLDS = 4
_SOME = 256  # windows that the scale of probabilities is found on


class SequenceRidge(SequenceRetrieval, BaseEstimator):
    """Ridge regression of each sample of standardised features on scaled channels at lags around it.

    Parameters
    ----------
    lags : (float, float)
        s from the sample of the (already shifted) recording: with windows shifted by 0.15 s, -0.15 to 0.25 is 0 to 0.4 s after the sound.
    n_lags : int, optional
        How many, evenly spaced; None for each sample. Fewer where columns would be more than 1,600.
    alpha : float, list of float or "auto"
        Penalty relative to the mean variance of a column; of several the best is chosen by leaving contents out.
    target_scale : {"global", "unit"}
        As in :class:`~braindec.decoders.sequence_contrastive.SequenceContrastiveDecoder`.
    scaler, scale_by
        As there.

    Attributes
    ----------
    weights_ : dict of str to array of shape (1 + n_columns, n_units)
        Of each subject; the first row is the intercept.
    alpha_ : dict of str to float
    fit_records_ : list of FitRecord
    """

    def __init__(
        self, *, lags: tuple[float, float] = (-0.15, 0.25), n_lags: int | None = 8, alpha: Any = "auto", target_scale: str = "global",
        scaler: Any = "robust", scale_by: str | None = "recording",
    ) -> None:  # fmt: skip
        self.lags, self.n_lags, self.alpha = lags, n_lags, alpha
        self.target_scale, self.scaler, self.scale_by = target_scale, scaler, scale_by

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        if len(self.lags) != 2 or not self.lags[0] <= self.lags[1] or (self.n_lags is not None and self.n_lags < 1):
            raise BraindecError(
                "lags are first and last s, and there is one or more", found=f"lags={self.lags}, n_lags={self.n_lags}"
            )
        self._alphas()
        WindowReader(self.scaler, self.scale_by)

    def fit(self, windows: Heard, segments: Segments, *, validation: Heard | None = None) -> SequenceRidge:
        """Fit each subject's map on its training windows.

        Parameters
        ----------
        windows, segments
            As in :meth:`SequenceContrastiveDecoder.fit`.
        validation : as ``windows``, optional
            Only the scale of the word probabilities is found on them.

        Raises
        ------
        BraindecError
            If a stimulus has no segment, lengths differ, or an option is wrong.
        """
        self.check()
        parts, held = divided(windows, validation, None)
        check_segments({**parts, **held}, segments)
        rows = np.concatenate([segments.rows_of(column(w, "stimulus_id")) for w in parts.values()])
        self.targets_ = SequenceTargets.fit(segments, rows, self.target_scale)
        self.dim_, self.readers_, self.weights_, self.alpha_, self.steps_, records = (
            segments.shape[1],
            {},
            {},
            {},
            {},
            [],
        )
        for name, part in parts.items():
            by = self.scale_by if self.scale_by in part.trials or self.scale_by != "recording" else None
            self.readers_[name] = WindowReader(self.scaler, by).fit(part)
            self.steps_[name] = self._steps(part)
            folds = [self._sums(name, part[r], segments) for r in _folds(spread_groups(part, _CONTENT))]
            self.alpha_[name] = _best_alpha(folds, self._alphas())
            self.weights_[name] = _solve(sum(folds[1:], folds[0]), self.alpha_[name])
            records += self.readers_[name].records
        ids = np.concatenate([w.ids for w in parts.values()])
        self.fit_records_ = [*records, *(FitRecord.of(s, ids) for s in ("SequenceTargets", "SequenceRidge"))]
        self.scale_ = self._best_scale(held or parts, segments)
        if held:
            self.fit_records_.append(
                FitRecord.of(
                    "scale of probabilities", np.concatenate([w.ids for w in held.values()]), purpose="selection"
                )
            )
        return self

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON."""
        self._check_fitted()
        tensors: dict[str, Any] = {"target_mean": self.targets_.mean, "target_scale": self.targets_.scale}
        tensors |= {f"weights.{name}": w for name, w in self.weights_.items()}
        readers, folder = packed_readers(self, tensors), Path(folder)
        save_tensors(
            {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in tensors.items()}, folder / "decoder.safetensors"
        )
        about = {"decoder": type(self).__name__, "params": {k: v for k, v in self.get_params(deep=False).items() if _plain(v)},
                 "readers": readers, "alpha": self.alpha_, "steps": {k: list(map(int, v)) for k, v in self.steps_.items()}, "dim": self.dim_,
                 "scale": self.scale_, "fit_records": [_record(r) for r in self.fit_records_],
                 "sha256": sha256(folder / "decoder.safetensors")}  # fmt: skip
        write_text(folder / "decoder.json", json.dumps(about) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> SequenceRidge:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        about = read_json(folder / "decoder.json")
        if about.get("decoder") != cls.__name__:
            raise BraindecError(f"{folder} does not hold a {cls.__name__}", found=repr(about.get("decoder")))
        check_whole(folder / "decoder.safetensors", about["sha256"])
        tensors = load_file(folder / "decoder.safetensors")
        decoder = cls(**about["params"])
        decoder.targets_ = SequenceTargets(tensors["target_mean"], tensors["target_scale"])
        decoder.readers_ = unpacked_readers(about["readers"], tensors)
        decoder.weights_ = {name: tensors[f"weights.{name}"] for name in decoder.readers_}
        decoder.alpha_, decoder.steps_ = about["alpha"], {k: np.array(v) for k, v in about["steps"].items()}
        decoder.dim_, decoder.scale_ = about["dim"], about["scale"]
        decoder.fit_records_ = [_unrecord(r) for r in about["fit_records"]]
        return decoder

    def _embedded(self, windows: Heard) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self._check_fitted()
        for name, part, rows in rows_by_subject(windows):
            if name not in self.weights_:
                raise BraindecError(f"the decoder does not know subject {name!r}{did_you_mean(name, list(self.weights_))}",
                                    allowed=", ".join(self.weights_), fix="fit it on this subject's windows")  # fmt: skip
            weights = self.weights_[name]
            for some, block in self.readers_[name].blocks(part, self._at_once(name, part)):
                made = _lagged(block, self.steps_[name]) @ weights[1:] + weights[0]  # (window x time, unit)
                yield rows[some], made.reshape(len(block), part.n_times, -1).swapaxes(1, 2).astype(np.float32)

    def _sums(self, name: str, windows: Windows, segments: Segments) -> _Sums:
        total = None
        for some, block in self.readers_[name].blocks(windows, self._at_once(name, windows)):
            y = self.targets_.standardise(segments.of(column(windows, "stimulus_id")[some]))
            one = _Sums.of(
                _lagged(block, self.steps_[name]), y.swapaxes(1, 2).reshape(-1, y.shape[1]).astype(np.float64)
            )
            total = one if total is None else total + one
        return total

    def _steps(self, windows: Windows) -> np.ndarray:
        first, last = (round(s * windows.sfreq) for s in self.lags)
        n = last - first + 1
        n = min(n, self.n_lags or n, max(1, _COLUMNS // windows.n_channels))
        return np.unique(np.linspace(first, last, n).round().astype(int))

    def _at_once(self, name: str, windows: Windows) -> int:
        return max(1, _ROWS // (windows.n_channels * len(self.steps_[name]) * windows.n_times))

    def _alphas(self) -> np.ndarray:
        found = (
            _ALPHAS
            if isinstance(self.alpha, str) and self.alpha == "auto"
            else np.atleast_1d(np.asarray(self.alpha, dtype=float))
        )
        if not (np.isfinite(found).all() and (found > 0).all()):
            raise BraindecError('alpha is "auto", a positive number, or several', found=repr(self.alpha))
        return found

    def _best_scale(self, parts: Mapping[str, Windows], segments: Segments) -> float:
        some = [
            w[np.unique(np.linspace(0, len(w) - 1, min(len(w), -(-_SOME // len(parts)))).round().astype(int))]
            for w in parts.values()
        ]
        shown = [segments.rows_of(column(w, "stimulus_id")) for w in some]
        items, own = np.unique(np.concatenate(shown), return_inverse=True)
        return best_scale(self.similarity(dict(zip(parts, some, strict=True)), segments[items]), own)


@dataclass(frozen=True)
class _Sums:
    """Sums of products over samples: what ridge needs of its rows."""

    n: int
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: float

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> _Sums:
        return cls(len(x), x.sum(0), y.sum(0), x.T @ x, x.T @ y, float((y**2).sum()))

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, k) + getattr(other, k) for k in ("n", "x", "y", "xx", "xy", "yy")))

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(*(getattr(self, k) - getattr(other, k) for k in ("n", "x", "y", "xx", "xy", "yy")))

    def about(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Sums of products of x and y less these means."""
        xx = self.xx - np.outer(self.x, x) - np.outer(x, self.x) + self.n * np.outer(x, x)
        xy = self.xy - np.outer(self.x, y) - np.outer(x, self.y) + self.n * np.outer(x, y)
        return xx, xy, self.yy - 2 * float(self.y @ y) + self.n * float(y @ y)


def _lagged(block: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Channels at each step later (zeros beyond the window), (window x time, channel x step), float64."""
    n, channels, times = block.shape
    out = np.zeros((n, times, len(steps), channels))
    for k, step in enumerate(steps):
        here = slice(max(0, -step), min(times, times - step))
        there = slice(max(0, step), min(times, times + step))
        out[:, here, k] = block[:, :, there].swapaxes(1, 2)
    return out.reshape(n * times, -1)


def _folds(contents: np.ndarray) -> list[np.ndarray]:
    """Rows of each fold; contents are dealt in turn."""
    _, code = np.unique(contents.astype(str), return_inverse=True)
    n = min(_FOLDS, int(code.max()) + 1)
    return [np.flatnonzero(code % n == k) for k in range(n)]


def _best_alpha(folds: list[_Sums], alphas: np.ndarray) -> float:
    """The penalty with the smallest squared error on contents that are left out; the largest of several for one content."""
    if len(alphas) == 1 or len(folds) < 2:
        return float(alphas[-1])
    whole, errors = sum(folds[1:], folds[0]), np.zeros(len(alphas))
    for held in folds:
        rest = whole - held
        mx, my = rest.x / rest.n, rest.y / rest.n
        xx, xy, _ = rest.about(mx, my)
        values, vectors = np.linalg.eigh(xx)
        turned, unit = vectors.T @ xy, np.trace(xx) / len(xx)
        hxx, hxy, hyy = held.about(mx, my)
        hxx, hxy = vectors.T @ hxx @ vectors, vectors.T @ hxy
        for k, alpha in enumerate(alphas):
            w = turned / (np.maximum(values, 0)[:, None] + alpha * unit)
            errors[k] += float(np.einsum("pq,pr,rq->", w, hxx, w, optimize=True) - 2 * (w * hxy).sum()) + hyy
    return float(alphas[int(np.argmin(errors))])


def _solve(sums: _Sums, alpha: float) -> np.ndarray:
    mx, my = sums.x / sums.n, sums.y / sums.n
    xx, xy, _ = sums.about(mx, my)
    unit = np.trace(xx) / len(xx) or 1.0
    w = np.linalg.solve(xx + alpha * unit * np.eye(len(xx)), xy)
    return np.vstack([my - mx @ w, w])
