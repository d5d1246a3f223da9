"""What the maskers of CIFTI files share: opening, refusing another brain model, cleaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from braindec.errors import BraindecError
from braindec.loaders._cifti_file import CiftiFile, open_cifti
from braindec.loaders._fmri_signal import orthonormal


class Masker(TransformerMixin, BaseEstimator):
    """Base of the maskers; subclasses define ``fit`` and ``_extract``."""

    n_elements_: int

    def fit_transform(self, X: Any, y: Any = None, confounds: Any = None, sample_mask: Any = None) -> Any:
        """Fit to images and return their values; see ``fit`` and ``transform``."""
        return self.fit(X, y).transform(X, confounds=confounds, sample_mask=sample_mask)

    def transform(self, imgs: Any, confounds: Any = None, sample_mask: Any = None) -> Any:
        """Return the values of an image.

        Parameters
        ----------
        imgs : path, Cifti2Image, or a list of them
            On the brain model that was fitted.
        confounds : array of shape (n_rows, n_confounds), optional
            Regressed out by least squares; the mean stays. One an image for a list.
        sample_mask : array of int or bool, optional
            Rows to keep, before confounds are regressed out.

        Returns
        -------
        array of shape (n_samples, n_features), or a list of them
            float32; the int32 keys of a dlabel.

        Raises
        ------
        BraindecError
            If the image lies on another brain model; the message names structures and counts.
        """
        check_is_fitted(self)
        if isinstance(imgs, (list, tuple)):
            many = [None] * len(imgs)
            each = zip(imgs, confounds or many, sample_mask or many, strict=True)
            return [self.transform(i, confounds=c, sample_mask=s) for i, c, s in each]
        file = open_cifti(imgs)
        rows = np.arange(file.n_rows) if sample_mask is None else np.arange(file.n_rows)[sample_mask]
        values = self._extract(file, rows)
        return values if confounds is None else _clean(values, confounds, sample_mask, file)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_elements_")

    def _extract(self, file: CiftiFile, rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _two_dimensional(self, X: Any) -> np.ndarray:
        """Values as (row, feature), or one clear error."""
        check_is_fitted(self)
        X = np.atleast_2d(np.asarray(X))
        if X.ndim != 2 or X.shape[1] != self.n_elements_:
            raise BraindecError(
                "values do not fit the masker", found=f"shape {X.shape}", allowed=f"(n, {self.n_elements_})"
            )
        return X


def check_same_model(wanted: Any, found: Any, wanted_name: str, found_name: str) -> None:
    """Refuse a file on another brain model, in words.

    Raises
    ------
    BraindecError
        It names the structures that differ and their counts.
    """
    said = wanted.difference(found)
    if said:
        more = f" (and {len(said) - 4} more)" if len(said) > 4 else ""
        raise BraindecError(
            f"{Path(found_name).name} has another brain model than {Path(wanted_name).name}",
            found="; ".join(said[:4]) + more,
            allowed=wanted.describe(),
            fix="use files of one surface and volume (fMRIPrep: one density; HCP: all of 1.6 mm or all of 2 mm), or bring "
            "them to one with wb_command -cifti-resample",
        )


def images_of(imgs: Any) -> list[CiftiFile]:
    """Open the images that ``fit`` was given; all must share one brain model."""
    files = [open_cifti(i) for i in ([] if imgs is None else list(imgs) if isinstance(imgs, (list, tuple)) else [imgs])]
    for other in files[1:]:
        check_same_model(files[0].model, other.model, files[0].name, other.name)
    return files


def series_of(file: CiftiFile | None) -> dict[str, Any] | None:
    """Step, start and unit of a series; None for maps."""
    return None if file is None or file.step is None else {"step": file.step, "start": file.start, "unit": file.unit}


def _clean(values: np.ndarray, confounds: Any, sample_mask: Any, file: CiftiFile) -> np.ndarray:
    """Regress columns out of the values (n_samples, n_features); the mean stays."""
    table = np.asarray(confounds, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    table = table if sample_mask is None or len(table) == len(values) else table[sample_mask]
    if len(table) != len(values) or not np.isfinite(table).all():
        raise BraindecError(
            f"confounds do not fit {Path(file.name).name}",
            found=f"{len(table)} rows for {len(values)} samples, {int((~np.isfinite(table)).sum())} values not finite",
        )
    basis = orthonormal(table - table.mean(axis=0))
    return np.asarray(values - basis @ (basis.T @ values.astype(np.float64)), dtype=np.float32)
