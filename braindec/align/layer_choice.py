"""Which layer: chosen on training folds only, and what choosing by the score itself would have claimed.

The best of many layers, chosen by the score that is reported, is above chance when nothing is there. Here each fold uses
the layer that does best inside its training rows; how often folds agree is the stability of the choice. The largest score
over layers stands beside it as a control, with its optimism (largest minus nested), and gets the p-value that suits it: the
largest of all layers in each surrogate (maximum statistic).

Source: Varma & Simon 2006 (BMC Bioinformatics 7:91) and Cawley & Talbot 2010 (JMLR 11:2079) for nested choice; Nichols &
Holmes 2002 (Human Brain Mapping 15:1) for the maximum statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.stats.permutation import permutation_p

__all__ = ["LayerChoice", "choose_layers"]


@dataclass(frozen=True, eq=False)
class LayerChoice:
    """The choice for each fold and region.

    Parameters
    ----------
    layers : list of str
    place : array of int, shape (n_folds, n_regions)
        Which layer each fold took, for the responses themselves.
    value : array of shape (n_regions,)
        Mean over folds of the held-out score of that layer.
    null : array of shape (n_surrogates, n_regions)
        The same for surrogates, each of which chose its own layers.
    by_fold : array of shape (n_folds, n_regions)
    best : array of int, shape (n_regions,)
        The layer with the largest held-out score: looked at the test rows.
    largest : array of shape (n_regions,)
        That score.
    largest_null : array of shape (n_surrogates, n_regions)
    """

    layers: Sequence[str]
    place: np.ndarray
    value: np.ndarray
    null: np.ndarray
    by_fold: np.ndarray
    best: np.ndarray
    largest: np.ndarray
    largest_null: np.ndarray

    @property
    def stability(self) -> np.ndarray:
        """Share of the folds that took the most frequent layer, (n_regions,)."""
        counts = [np.bincount(p, minlength=len(self.layers)).max() for p in self.place.T]
        return np.array(counts) / len(self.place)

    @property
    def usual(self) -> np.ndarray:
        """The layer that most folds took, (n_regions,)."""
        return np.array([np.bincount(p, minlength=len(self.layers)).argmax() for p in self.place.T])

    @property
    def optimism(self) -> np.ndarray:
        """Largest score minus nested score, (n_regions,)."""
        return self.largest - self.value

    @property
    def p(self) -> np.ndarray:
        """Of the nested score, (n_regions,); NaN without surrogates."""
        return _p(self.value, self.null)

    @property
    def p_any(self) -> np.ndarray:
        """Of any layer: the largest score against the largest of each surrogate, (n_regions,)."""
        return _p(self.largest, self.largest_null)

    def table(self, regions: Sequence[str]) -> pd.DataFrame:
        """One row a region and fold: the layer that was taken and its held-out score."""
        rows = [
            {
                "region": region,
                "fold": fold + 1,
                "layer": self.layers[self.place[fold, k]],
                "value": self.by_fold[fold, k],
            }
            for k, region in enumerate(regions)
            for fold in range(len(self.place))
        ]
        return pd.DataFrame(rows)


def choose_layers(
    train: np.ndarray, test: np.ndarray, layers: Sequence[str], *, full: np.ndarray | None = None
) -> LayerChoice:
    """Choose a layer for each fold and region by scores inside the training rows.

    Parameters
    ----------
    train, test : array of shape (n_layers, n_folds, 1 + n_surrogates, n_regions)
        Scores inside the training rows, and of the held-out rows; the first surrogate is the responses themselves.
    layers : sequence of str
    full : array of shape (n_layers, 1 + n_surrogates, n_regions), optional
        Score of each layer where it is not the mean over folds (RSA and CKA of all items).

    Raises
    ------
    BraindecError
        If shapes do not fit.
    """
    train, test = np.asarray(train, dtype=float), np.asarray(test, dtype=float)
    n = len(layers) if isinstance(layers, Sequence) else 0
    if train.shape != test.shape or train.ndim != 4 or len(train) != n or not train.size:
        raise BraindecError(
            "layers are chosen from scores (layer, fold, surrogate, region), 1 of each at least",
            found=f"{train.shape} and {test.shape}, {n} layers",
        )
    if full is not None and np.shape(full) != (n, *train.shape[2:]):
        raise BraindecError(
            "scores of whole layers are (layer, surrogate, region)",
            found=f"{np.shape(full)}", allowed=f"{(n, *train.shape[2:])}",
        )  # fmt: skip
    place = np.argmax(np.nan_to_num(train, nan=-np.inf), axis=0)  # (fold, surrogate, region)
    taken = np.take_along_axis(test, place[None], axis=0)[0]
    value = taken.mean(axis=0)
    whole = test.mean(axis=1) if full is None else full
    largest = whole.max(axis=0)
    if len(layers) == 1:  # nothing was chosen
        value = whole[0]
    return LayerChoice(list(layers), place[:, 0], value[0], value[1:], taken[:, 0], np.argmax(whole[:, 0], axis=0),
                       largest[0], largest[1:])  # fmt: skip


def _p(value: np.ndarray, null: np.ndarray) -> np.ndarray:
    if not len(null):
        return np.full(len(value), np.nan)
    out, known = np.full(len(value), np.nan), np.isfinite(value) & np.isfinite(null).all(axis=0)
    if known.any():
        out[known] = permutation_p(value[known], null[:, known])
    return out
