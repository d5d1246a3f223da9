"""Maskers of CIFTI files with nilearn's contract: grayordinates or parcels as (sample, feature) float32, and back.

>>> masker = CiftiMasker(structures="cortex").fit("run-1.dtseries.nii")     # doctest: +SKIP
>>> X = masker.transform("run-2.dtseries.nii")                              # (n_volumes, 59412) float32
>>> image = masker.inverse_transform(weights, names=["weight"])             # nibabel Cifti2Image, a dscalar

Source: nilearn's maskers (NiftiMasker, NiftiLabelsMasker, SurfaceMasker) for the contract; CIFTI-2 specification.

Differs from nilearn in: files are CIFTI (nilearn has none); nothing is smoothed, scaled or filtered here (signal steps do
that); images on another brain model are refused, never resampled; what is not there is NaN, not 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._cifti_file import CiftiFile, open_cifti
from braindec.loaders._cifti_labels import CiftiLabels, read_labels
from braindec.loaders._cifti_masker import Masker, check_same_model, images_of, series_of
from braindec.loaders._cifti_model import BrainModel, match
from braindec.loaders._cifti_report import MaskerReport, report
from braindec.loaders._cifti_write import make_image
from braindec.loaders._run_signal import parcel_rows

__all__ = ["CiftiLabels", "CiftiLabelsMasker", "CiftiMasker", "read_labels"]

_STRATEGIES = {"mean": np.mean, "median": np.median, "sum": np.sum, "minimum": np.min, "maximum": np.max,
               "standard_deviation": np.std}  # fmt: skip
_WRITTEN = ("series", "scalar", "label")


class CiftiMasker(Masker):
    """Values of grayordinates (or of the parcels of a ptseries or pscalar).

    Parameters
    ----------
    mask_img : path or Cifti2Image, optional
        A dscalar or dlabel; grayordinates that are not 0 (or NaN) in its first map are kept.
    structures : str or list of str, optional
        "all", "cortex", "subcortex", or names such as "CortexLeft" or "thalamus"; all by default. Parcels go by name.

    Attributes
    ----------
    model_ : BrainModel or ParcelModel
        What the features are; ``full_model_`` is that of the files.
    rows_ : array of int, shape (n_elements_,)
        Columns of the files that are kept.
    n_elements_ : int
        Number of features.
    series_ : dict or None
        step, start and unit of the series that was fitted.
    maps_, tables_ : tuple
        Names of the maps that were fitted, and their labels.
    """

    def __init__(self, mask_img: Any = None, *, structures: str | Sequence[str] | None = None) -> None:
        self.mask_img = mask_img
        self.structures = structures

    def fit(self, imgs: Any = None, y: Any = None) -> CiftiMasker:
        """Learn the brain model from images (all must share it), or from ``mask_img`` alone.

        Parameters
        ----------
        imgs : path, Cifti2Image, or a list of them, optional
            Only headers are read.
        y : None
            Not used.
        """
        files = images_of(imgs)
        mask = None if self.mask_img is None else open_cifti(self.mask_img)
        first = files[0] if files else mask
        if first is None:
            raise BraindecError("CiftiMasker.fit needs an image or mask_img", fix="masker.fit('run.dtseries.nii')")
        rows = first.model.rows_of(self.structures)
        if mask is not None:
            rows = rows[_inside(mask, first, rows)]
        if not len(rows):
            raise BraindecError(
                "no grayordinate is left", found=first.model.describe(), fix="check mask_img and structures"
            )
        self.full_model_, self.rows_ = first.model, rows
        self.model_ = first.model if len(rows) == first.model.size else first.model.take(rows)
        self.n_elements_ = self.n_features_in_ = len(rows)
        self.name_, self.kind_, self.series_ = first.name, first.kind, series_of(first)
        self.maps_, self.tables_ = first.maps, first.tables
        return self

    def _extract(self, file: CiftiFile, rows: np.ndarray) -> np.ndarray:
        check_same_model(self.full_model_, file.model, self.name_, file.name)
        if file.kind.endswith("label"):
            return file.values(keys=True)[np.ix_(rows, self.rows_)]
        return file.block(rows, self.rows_)

    def inverse_transform(
        self,
        X: np.ndarray,
        *,
        kind: str | None = None,
        names: Sequence[str] | None = None,
        tr: float | None = None,
        full: bool = False,
    ) -> Any:
        """Return a nibabel Cifti2Image of values.

        Parameters
        ----------
        X : array of shape (n_rows, n_elements_) or (n_elements_,)
            NaN is kept.
        kind : {"series", "scalar", "label"}, optional
            A series when ``tr`` is given, scalars when ``names`` are; else labels for as many rows as a fitted dlabel
            has, a series for several rows when one was fitted, and scalars.
        names : list of str, optional
            Of the maps.
        tr : float, optional
            Step of a series in s; that of the fitted image by default.
        full : bool
            Write the whole brain model of the fitted image, with NaN outside (0 for labels), not the features alone.

        Raises
        ------
        BraindecError
            If the shape does not fit, or a series has no step.
        """
        X = self._two_dimensional(X)
        kind = self._kind(kind, len(X), names, tr)
        model: Any = self.model_
        if full and self.n_elements_ < self.full_model_.size:
            shape = (len(X), self.full_model_.size)
            wide = np.zeros(shape, X.dtype) if kind == "label" else np.full(shape, np.nan, np.float32)
            wide[:, self.rows_] = X
            X, model = wide, self.full_model_
        if kind == "series":
            series = self.series_ if tr is None else {"step": float(tr)}
            if series is None:
                raise BraindecError("a series needs its step", fix="inverse_transform(X, tr=...) in s")
            return make_image(X, model, **series)
        maps = names if names is not None else self.maps_ if len(self.maps_) == len(X) else None
        if kind == "label" and len(self.tables_) != len(X):
            raise BraindecError("labels need the tables of a dlabel of as many maps", found=f"{len(X)} rows")
        return make_image(X, model, maps=maps, tables=self.tables_ if kind == "label" else None)

    def _kind(self, kind: str | None, n: int, names: Sequence[str] | None, tr: float | None) -> str:
        if kind is not None and kind not in _WRITTEN:
            raise BraindecError(f"kind {kind!r} is unknown{did_you_mean(kind, _WRITTEN)}", allowed=", ".join(_WRITTEN))
        if kind is not None or tr is not None or names is not None:
            return kind or ("series" if tr is not None else "scalar")
        if self.kind_ == "dlabel" and n == len(self.tables_):
            return "label"
        return "series" if self.series_ is not None and n > 1 else "scalar"

    def generate_report(self) -> MaskerReport:
        """Return a short page: what the features are, structure by structure."""
        check_is_fitted(self)
        return report(self, self.model_, self.name_)


class CiftiLabelsMasker(Masker):
    """Means (or other summaries) of the grayordinates of each parcel of a dlabel file.

    Parameters
    ----------
    labels_img : path or Cifti2Image
        A dlabel. It may cover less than the data (the cortex only) or more (the medial wall): places are matched.
    map_name : str or int, optional
        Which map of it; needed when there are several.
    background : int or list of int, optional
        Keys that are no parcel; by default 0 and labels called "???" or medial wall.
    strategy : {"mean", "median", "sum", "minimum", "maximum", "standard_deviation"}
        Summary of a parcel.
    background_value : float
        What :meth:`inverse_transform` writes outside the parcels; NaN by default.

    Attributes
    ----------
    labels_ : array of int32, shape (n_elements_,)
        Keys of the parcels, in order of the features.
    lut_ : DataFrame
        key, name and n_grayordinates of the parcels.
    region_names_ : dict of int to str
        Feature -> name.
    model_ : BrainModel
        Of the images that were fitted; that of the labels when fitted without any.
    keys_ : array of int32, shape (model_.size,)
        Label of each grayordinate of ``model_``; a key that no parcel has where there is none.
    """

    def __init__(
        self,
        labels_img: Any = None,
        *,
        map_name: str | int | None = None,
        background: int | Sequence[int] | None = None,
        strategy: str = "mean",
        background_value: float = float("nan"),
    ) -> None:
        self.labels_img = labels_img
        self.map_name = map_name
        self.background = background
        self.strategy = strategy
        self.background_value = background_value

    def fit(self, imgs: Any = None, y: Any = None) -> CiftiLabelsMasker:
        """Lay the parcels over the brain model of images, or keep that of the labels.

        Parcels that have no grayordinate in the images are left out with a warning.
        """
        if self.strategy not in _STRATEGIES:
            raise BraindecError(
                f"strategy {self.strategy!r} is unknown{did_you_mean(self.strategy, _STRATEGIES)}",
                allowed=", ".join(_STRATEGIES),
            )
        if self.labels_img is None:
            raise BraindecError("CiftiLabelsMasker needs labels_img", fix="the path of a .dlabel.nii file")
        labels = read_labels(self.labels_img, self.map_name)
        files = images_of(imgs)
        self.name_ = files[0].name if files else labels.path
        self.model_ = _dense(files[0]) if files else labels.model
        self.keys_, self.lut_, lost = labels.lay_over(self.model_, self.name_, background=self.background)
        if lost:
            said = f"{len(lost)} parcels have no grayordinate in {Path(self.name_).name} and are left out"
            warnings.warn(f"{said}: {', '.join(lost[:6])}", stacklevel=2)
        self.labels_ = self.lut_["key"].to_numpy(dtype=np.int32)
        self.n_elements_ = self.n_features_in_ = len(self.lut_)
        self.region_names_ = dict(enumerate(self.lut_["name"]))
        self.series_ = series_of(files[0] if files else None)
        self._rows, self._starts = parcel_rows(self.keys_, self.labels_)
        return self

    def _extract(self, file: CiftiFile, rows: np.ndarray) -> np.ndarray:
        check_same_model(self.model_, file.model, self.name_, file.name)
        summary = _STRATEGIES[self.strategy]
        block = file.block(rows, self._rows)  # (row, grayordinate), parcel after parcel
        parts = np.split(block, self._starts[1:], axis=1)
        return np.stack([summary(p.astype(np.float64), axis=1) for p in parts], axis=1).astype(np.float32)

    def inverse_transform(self, X: np.ndarray, *, names: Sequence[str] | None = None, tr: float | None = None) -> Any:
        """Return a nibabel Cifti2Image with the value of its parcel at every grayordinate.

        Parameters
        ----------
        X : array of shape (n_rows, n_elements_) or (n_elements_,)
            NaN is kept.
        names : list of str, optional
            Names of the maps of a dscalar.
        tr : float, optional
            Step in s of a dtseries; that of the fitted images when there are several rows.
        """
        X = self._two_dimensional(X)
        at = np.minimum(np.searchsorted(self.labels_, self.keys_), self.n_elements_ - 1)
        there = self.labels_[at] == self.keys_
        values = np.where(there, np.asarray(X, dtype=np.float32)[:, at], np.float32(self.background_value))
        series = {"step": float(tr)} if tr is not None else self.series_ if len(X) > 1 and names is None else None
        return make_image(values, self.model_, **series) if series else make_image(values, self.model_, maps=names)

    def generate_report(self) -> MaskerReport:
        """Return a short page: the parcels and how many grayordinates each has."""
        check_is_fitted(self)
        return report(self, self.model_, self.name_, self.lut_)


def _dense(file: CiftiFile) -> BrainModel:
    if not isinstance(file.model, BrainModel):
        raise BraindecError(
            f"{file.name} holds parcels already", found=file.model.describe(),
            fix="use CiftiMasker, or the dense file (dtseries, dscalar)",
        )  # fmt: skip
    return file.model


def _inside(mask: CiftiFile, like: CiftiFile, rows: np.ndarray) -> np.ndarray:
    """Which of the rows of ``like`` are not 0 in the mask; a mask may cover a part of the data, not something else."""
    values = np.nan_to_num(mask.values()[0])
    if not isinstance(mask.model, BrainModel) or not isinstance(like.model, BrainModel):
        check_same_model(like.model, mask.model, like.name, mask.name)
        return (values != 0)[rows]
    if mask.model.clashes(like.model) or (match(like.model, mask.model) < 0).any():
        check_same_model(like.model, mask.model, like.name, mask.name)
    at = match(mask.model, like.model)
    return (np.where(at >= 0, values[at], 0) != 0)[rows]
