"""VoxelCaptioner: what a voxel prefers, in words: its encoding weights become an image embedding, and that is captioned.

A linear model predicts each voxel from unit-length image embeddings. The weights of a voxel point into the space of
embeddings, but to no place where images are; so they are projected onto a bank of embeddings of natural images: the mean of
the bank, weighted by a sharp softmax of its similarity to the weights. What comes out is close to real embeddings, and any
captioner can read it.

Source: Luo et al. 2024 (ICLR, BrainSCUBA), section 3: softmax of 150 times the cosine; the direction is the weighted mean of
unit vectors, the length the weighted mean of lengths; the linear model there is trained by AdamW.
Differs from the reference in: ridge in closed form with a penalty for each voxel, chosen on training rows; a voxel is called
predictable by cross-validation on training rows only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._reading import WindowReader, column
from braindec.errors import BraindecError
from braindec.llm.captioner import Captioner, load_captioner, make_captioner
from braindec.ridge import fit_ridge, group_folds
from braindec.types import Features, FitRecord, Windows

__all__ = ["VoxelCaptioner", "project_weights"]


class VoxelCaptioner(BaseEstimator):
    """Caption voxels, or regions, by what drives them.

    Parameters
    ----------
    captioner : dict
        ``name``, a file of ``llm/captioners``, and its options; it learns from the bank.
    sharpness : float
        Factor on the cosine before the softmax: 150 in the paper. Larger is nearer to one image, smaller to the mean of all.
    alphas : "auto" or list of float
        Penalties of the ridge regression.
    n_folds : int
        Folds of the training stimuli by which penalties are chosen and voxels are called predictable.
    scaler, scale_by
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.
    seed : int

    Attributes
    ----------
    weights_ : array of shape (n_voxels, dim)
    r_ : array of shape (n_voxels,)
        Correlation of predicted and measured responses over held-out folds of the training stimuli.
    voxels_ : DataFrame
        The channel table of the training windows.
    """

    def __init__(
        self, *, captioner: Mapping[str, Any] | None = None, sharpness: float = 150.0, alphas: Any = "auto", n_folds: int = 5,
        scaler: Any = "standard_scaler", scale_by: str | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.captioner, self.sharpness, self.alphas, self.n_folds = captioner, sharpness, alphas, n_folds
        self.scaler, self.scale_by, self.seed = scaler, scale_by, seed

    def fit(
        self,
        windows: Windows,
        features: Features,
        *,
        bank: Features | None = None,
        captions: Sequence[str] | None = None,
    ) -> VoxelCaptioner:
        """Fit the encoding model, and teach the captioner with the bank.

        Parameters
        ----------
        windows : Windows
            Training windows; samples of a window are averaged (betas have one).
        features : Features
            Embeddings of their stimuli; scaled to length 1.
        bank : Features, optional
            Embeddings of many natural images with ``items.caption``; those of the training stimuli by default. They need
            not have been shown to anybody.
        captions : sequence of str, optional
            Of the bank, instead of ``bank.items.caption``.

        Raises
        ------
        BraindecError
            If there are too few stimuli, captions are missing, or embeddings differ in length.
        """
        if not isinstance(self.sharpness, Real) or not 0 < self.sharpness < np.inf:
            raise BraindecError("sharpness must be a number above 0", found=repr(self.sharpness))
        if isinstance(self.n_folds, bool) or not isinstance(self.n_folds, (int, np.integer)) or self.n_folds < 2:
            raise BraindecError("n_folds must be a whole number", found=repr(self.n_folds), allowed="2 or more")
        if not isinstance(features, Features):
            raise BraindecError(
                "an encoding model needs embeddings of the stimuli",
                found=type(features).__name__,
                fix="fit(windows, features)",
            )
        if bank is None:  # of the training stimuli alone: captions of others would be read off the bank
            rows = np.unique(features.rows_of(np.unique(column(windows, "stimulus_id"))))
            if captions is not None and len(captions) == len(features.items):
                captions = [captions[i] for i in rows]
            bank = features[rows]
        if bank.shape[1] != features.shape[1]:
            raise BraindecError(
                "the bank has other embeddings than the stimuli", found=f"{bank.shape[1]} numbers", allowed=f"{features.shape[1]}",
                fix="embed both with one model",
            )  # fmt: skip
        texts = list(captions) if captions is not None else _bank_captions(bank)
        self.reader_ = WindowReader(self.scaler, self.scale_by).fit(windows)
        Y = np.concatenate([block.mean(axis=2) for _, block in self.reader_.blocks(windows)])
        shown = column(windows, "stimulus_id")
        n_stimuli = len(set(shown))
        if n_stimuli < 2 * self.n_folds:
            raise BraindecError(
                "too few stimuli for an encoding model", found=f"{n_stimuli}", allowed=f"at least {2 * self.n_folds}"
            )
        X = _unit(features.of(shown))[0]
        fit = fit_ridge(X, Y, alphas=self.alphas, folds=group_folds(shown, self.n_folds))
        self.weights_, self.alpha_ = np.ascontiguousarray(fit.coef.T, dtype=np.float32), fit.alpha
        self.r_ = _held_out_r(X, Y, fit.alpha, group_folds(shown, self.n_folds))
        self.voxels_ = windows.channels.reset_index(drop=True)
        self.bank_ = bank.load()
        self.captioner_: Captioner = make_captioner(self.captioner or {"name": "nearest"}).fit(
            _unit(self.bank_)[0], texts, seed=self.seed
        )
        self.picture_shape_ = ()
        self.fit_records_ = [*self.reader_.records, FitRecord.of("VoxelCaptioner", windows.ids)]
        return self

    def embeddings(self, rows: Any = None) -> np.ndarray:
        """Return the projected weights of voxels, (n_voxels, dim): embeddings that the captioner can read."""
        self._check_fitted()
        weights = self.weights_ if rows is None else self.weights_[np.atleast_1d(np.arange(len(self.weights_))[rows])]
        return project_weights(weights, self.bank_, sharpness=self.sharpness)

    def captions(self, rows: Any = None) -> pd.DataFrame:
        """Return one row a voxel: its place in the channel table (``voxel``), name, region where known, r and caption."""
        self._check_fitted()
        kept = np.arange(len(self.weights_)) if rows is None else np.atleast_1d(np.arange(len(self.weights_))[rows])
        texts = self.captioner_.captions(_unit(self.embeddings(kept))[0])
        table = self.voxels_.iloc[kept]
        named = {c: table[c].to_numpy() for c in ("name", "region") if c in table}
        return pd.DataFrame({"voxel": kept, **named, "r": self.r_[kept], "caption": texts})

    def region_caption(self, rows: Any) -> str:
        """Return the caption of several voxels together: of the mean of their unit-length weights."""
        self._check_fitted()
        mean = _unit(self.weights_[np.atleast_1d(np.arange(len(self.weights_))[rows])])[0].mean(axis=0, keepdims=True)
        return str(self.captioner_.captions(_unit(project_weights(mean, self.bank_, sharpness=self.sharpness))[0])[0])

    def predict(self, features: Features) -> np.ndarray:
        """Return predicted responses to stimuli, up to each voxel's mean, (n_stimuli, n_voxels)."""
        self._check_fitted()
        return _unit(features.load())[0] @ self.weights_.T

    def save(self, folder: str | Path) -> Path:
        """Write weights, bank and captioner."""
        self._check_fitted()
        self.captioner_.save(Path(folder) / "captioner")
        arrays = {"weights": self.weights_, "alpha": self.alpha_, "r": self.r_, "bank": self.bank_}
        table = self.voxels_.astype(object).where(self.voxels_.notna(), None)
        return save_picture_decoder(self, folder, arrays=arrays, more={"voxels": table.to_dict(orient="list")})

    @classmethod
    def load(cls, folder: str | Path) -> VoxelCaptioner:
        """Return what :meth:`save` wrote."""
        made, arrays, more = load_picture_decoder(cls, folder)
        made.weights_, made.alpha_, made.r_, made.bank_ = (arrays[k] for k in ("weights", "alpha", "r", "bank"))
        made.voxels_, made.captioner_ = pd.DataFrame(more["voxels"]), load_captioner(Path(folder) / "captioner")
        return made

    def _check_fitted(self) -> None:
        if not hasattr(self, "fit_records_"):
            raise BraindecError("VoxelCaptioner is not fitted", fix="call fit(windows, features) first")


def project_weights(weights: np.ndarray, bank: np.ndarray, *, sharpness: float = 150.0) -> np.ndarray:
    """Project encoding weights onto embeddings of natural images.

    Parameters
    ----------
    weights : array of shape (n_voxels, dim)
    bank : array of shape (n_images, dim)
    sharpness : float

    Returns
    -------
    array of shape (n_voxels, dim)
        The unit vector along ``sum_i s_i m_i / |m_i|`` times ``sum_i s_i |m_i|`` with ``s = softmax(sharpness * cos(w, m))``.
        A voxel without weights gets the mean of the bank.
    """
    unit_weights, _ = _unit(np.asarray(weights, dtype=np.float64))
    unit_bank, lengths = _unit(np.asarray(bank, dtype=np.float64))
    out = np.empty(unit_weights.shape)
    for start in range(0, len(out), 256):
        scores = sharpness * unit_weights[start : start + 256] @ unit_bank.T
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        out[start : start + 256] = _unit(scores @ unit_bank)[0] * (scores @ lengths)[:, None]
    return out.astype(np.float32)


def _held_out_r(
    X: np.ndarray, Y: np.ndarray, alpha: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Mean over folds of each voxel's correlation with its prediction, with the penalty that was chosen; 0 where nothing varies."""
    safe, found = np.where(np.isfinite(alpha), alpha, 1.0), []
    for train, test in folds:
        mean, own = X[train].mean(axis=0), Y[train].mean(axis=0)
        U, s, Vt = np.linalg.svd(X[train] - mean, full_matrices=False)
        shrunk = (s[:, None] / (s[:, None] ** 2 + safe)) * (U.T @ (Y[train] - own))
        a, b = (X[test] - mean) @ (Vt.T @ shrunk), Y[test]
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        below = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
        found.append(np.divide((a * b).sum(axis=0), below, out=np.zeros(len(below)), where=below > 1e-12))
    return np.mean(found, axis=0)


def _bank_captions(bank: Features) -> list[str]:
    if "caption" not in bank.items:
        raise BraindecError(
            "the bank has no captions", found=f"columns {', '.join(map(str, bank.items.columns))}",
            fix="add a column caption to its items, or pass captions=",
        )  # fmt: skip
    return list(bank.items["caption"])


def _unit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of length 1 (a row of zeros stays) and their lengths."""
    length = np.linalg.norm(values, axis=1)
    return values / np.where(length > 0, length, 1.0)[:, None], length
