"""VoxelwiseEncoder: what drives each voxel, channel or unit? Bands of features to responses by (banded) ridge regression.

Each band is scaled by the training rows, delayed within runs (finite impulse response), and given its own amount of
regularisation ("banded"), or all share one penalty ("ridge"); penalties are chosen for each target by cross-validation
over runs, groups or contiguous blocks inside the training rows.

Source: Naselaris et al. 2011 (NeuroImage 56:400) for voxelwise encoding; Huth et al. 2016 (Nature 532:453) for delayed
features; Nunez-Elizalde, Huth & Gallant 2019 (NeuroImage 197:482) and Dupré la Tour et al. 2022 (NeuroImage 264:119728)
for banded ridge by random search.

Differs from the reference in: columns of a band are scaled to variance 1 / (number of columns), so that equal weights
mean equal variance of the bands whatever their size (model "banded" only); delays never cross a run; held-out features are
held to the range of the training rows, half as wide again on each side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from braindec.align._columns import RowsOf, Scaler, check_bands, fit_scaler, inner_folds, joined, same_bands
from braindec.errors import BraindecError
from braindec.files import write_text, written_whole
from braindec.ridge import fit_banded, fit_ridge, pearson
from braindec.types import FitRecord

__all__ = ["VoxelwiseEncoder"]

_FILE = "encoder"
_SCALER = ("mean", "scale", "low", "high")
_BLOCK = 2**26  # numbers of responses held at once when scoring


class VoxelwiseEncoder(BaseEstimator):
    """Bands of features to responses, one linear model a target.

    Parameters
    ----------
    delays : sequence of int
        Rows by which copies of the features are late; (0,) for trials, or for bands that hold delays already.
    model : {"banded", "ridge"}
        One amount of regularisation a band and target, or one a target.
    alphas : array or "auto"
        Penalties tried.
    n_draws : int
        Random draws of the weights of bands.
    inner_folds : int
        Folds inside the training rows that choose penalties.
    buffer : int
        Rows beside a held-out block of the inner folds that leave training, where those are contiguous blocks; at
        least the longest delay. Runs and groups need none.
    scoring : {"r2", "r"}
        By which penalties are chosen.
    n_targets_batch : int, optional
        Targets at once; by default as memory allows.
    backend, device, dtype
        Of the solver: "numpy" or "torch", "cpu" or "cuda", "float32" or "float64".
    seed : int
        Of the draws.

    Attributes
    ----------
    fit_ : RidgeFit or BandedFit
        Penalties, weights of bands, cross-validated scores, targets at the edge of the grid, skipped targets.
    coef_ : array of shape (n_columns, n_targets)
        Of scaled and delayed columns, band after band; ``slices_`` says where.
    intercept_, alpha_ : array of shape (n_targets,)
    gamma_ : array of shape (n_bands, n_targets) or None
        Weights of the bands.
    scalers_ : dict of str to Scaler
    fitted_on_ : FitRecord
    fit_records_ : list of FitRecord

    Examples
    --------
    >>> encoder = VoxelwiseEncoder(delays=(1, 2, 3, 4)).fit(bands, Y, runs=runs, rows=split.train)  # doctest: +SKIP
    >>> encoder.predict(bands, runs=runs, rows=split.test).shape  # doctest: +SKIP
    (121, 530)
    """

    def __init__(
        self, *, delays: Sequence[int] = (0,), model: str = "banded", alphas: Any = "auto", n_draws: int = 30,
        inner_folds: int = 5, buffer: int = 0, scoring: str = "r2", n_targets_batch: int | None = None,
        backend: str = "numpy", device: str = "cpu", dtype: str = "float32", seed: int = 0,
    ) -> None:  # fmt: skip
        self.delays, self.model, self.alphas, self.n_draws = delays, model, alphas, n_draws
        self.inner_folds, self.buffer, self.scoring = inner_folds, buffer, scoring
        self.n_targets_batch, self.backend, self.device, self.dtype = n_targets_batch, backend, device, dtype
        self.seed = seed

    def fit(
        self, bands: Mapping[str, np.ndarray], Y: Any, *, runs: np.ndarray | None = None, groups: np.ndarray | None = None,
        ids: Sequence[object] | None = None, rows: np.ndarray | None = None,
    ) -> VoxelwiseEncoder:  # fmt: skip
        """Fit on ``rows`` (training rows; all by default).

        Parameters
        ----------
        bands : mapping of str to array of shape (n, p_band)
            Features of all rows, in order of time within each run.
        Y : array-like of shape (n, n_targets)
            Responses: anything with ``shape`` that is read as ``Y[:, a:b]`` (array, memory map, HDF5, responses).
            Targets that are constant or not finite in the training rows are skipped (NaN) and counted.
        runs : array of shape (n,), optional
            Run of each row: delays stay inside, and inner folds leave runs out when there are 3 or more.
        groups : array of shape (n,), optional
            Rows that inner folds hold out together instead (stimuli).
        ids : sequence of shape (n,), optional
            Names of the rows, for the record.
        rows : array of int, optional
            Training rows. Delays are made on whole runs before rows are taken: a hole left by the test rows does not
            bring rows together that were not neighbours. Nothing of the responses outside ``rows`` is looked at.

        Raises
        ------
        BraindecError
            If rows do not fit, a feature is not finite, or an option is wrong.
        """
        self._check(Y)
        bands = check_bands(bands, int(Y.shape[0]))
        n = int(Y.shape[0])
        train = np.arange(n) if rows is None else np.unique(np.asarray(rows, dtype=np.int64))
        weights = self.band_weights(bands)
        self.scalers_ = {name: fit_scaler(values[train], weight=weights[name]) for name, values in bands.items()}
        self.widths_ = {name: int(values.shape[1]) for name, values in bands.items()}
        X, self.slices_ = joined(bands, self.scalers_, self.delays, _labels(runs, n), self.dtype)
        self.folds_ = inner_folds(
            len(train), self.inner_folds, buffer=self.buffer, runs=_of(runs, train), groups=_of(groups, train)
        )
        own = {"alphas": self.alphas, "folds": self.folds_, "scoring": self.scoring, "n_targets_batch": self.n_targets_batch,
               "backend": self.backend, "device": self.device, "dtype": self.dtype, "seed": self.seed}  # fmt: skip
        target = Y if rows is None else RowsOf(Y, train)
        if self.model == "ridge" or len(bands) == 1:
            self.fit_ = fit_ridge(X[train], target, **own)
        else:
            self.fit_ = fit_banded(X[train], target, bands=self.slices_, n_draws=self.n_draws, **own)
        self.coef_, self.intercept_ = np.asarray(self.fit_.coef), np.asarray(self.fit_.intercept)
        gamma = getattr(self.fit_, "gamma", None)
        self.alpha_, self.gamma_ = np.asarray(self.fit_.alpha), None if gamma is None else np.asarray(gamma)
        named = None if ids is None else np.asarray(ids, dtype=object)[train]
        self.fitted_on_ = FitRecord.of(self, named)
        self.fit_records_ = [FitRecord.of("Scaler", named), self.fitted_on_]
        return self

    def predict(
        self, bands: Mapping[str, np.ndarray], *, runs: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return predicted responses of ``rows`` (all by default), (n_rows, n_targets); skipped targets are NaN."""
        X = self._columns(bands, runs, rows)
        return X @ self.coef_ + self.intercept_.astype(self.coef_.dtype)

    def predict_bands(
        self, bands: Mapping[str, np.ndarray], *, runs: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return what each band adds to the prediction, (n_rows, n_targets) each; with the intercept they sum to it."""
        X = self._columns(bands, runs, rows)
        return {name: X[:, part] @ self.coef_[part] for name, part in self.slices_.items()}

    def band_means(
        self, bands: Mapping[str, np.ndarray], *, runs: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return the mean over rows of :meth:`predict_bands`, (n_targets,) each.

        It is not quite 0 in the training rows: delayed columns begin with zeros, and bring in rows beside them.
        """
        mean = self._columns(bands, runs, rows).mean(axis=0, dtype=np.float64).astype(self.coef_.dtype)
        return {name: mean[part] @ self.coef_[part] for name, part in self.slices_.items()}

    def score(
        self, bands: Mapping[str, np.ndarray], Y: Any, *, runs: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the correlation of prediction and response of each target, NaN for constant and skipped ones."""
        self._check_fitted()
        n = int(Y.shape[0])
        kept = np.arange(n) if rows is None else np.asarray(rows)
        X = self._columns(bands, runs, rows)
        if len(X) != len(kept):
            raise BraindecError("bands and responses differ in rows", found=f"{len(X)} and {len(kept)}")
        out = np.full(int(Y.shape[1]), np.nan)
        for start in range(0, len(out), step := max(1, _BLOCK // max(n, 1))):
            part = slice(start, start + step)
            out[part] = pearson(RowsOf(Y, kept)[:, part], X @ self.coef_[:, part] + self.intercept_[part])
        return out

    def band_weights(self, bands: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Standard deviation that the columns of each band are scaled to."""
        if self.model == "ridge":
            return dict.fromkeys(bands, 1.0)
        return {name: 1 / np.sqrt(v.shape[-1] * len(list(self.delays))) for name, v in bands.items()}

    @property
    def notes_(self) -> list[str]:
        """What a report should say about this fit."""
        self._check_fitted()
        return [
            f"{s.n_constant} of {len(s.mean)} columns of band {name!r} never change in the training rows and count as 0"
            for name, s in self.scalers_.items() if s.n_constant
        ]  # fmt: skip

    def save(self, folder: str | Path) -> Path:
        """Write ``encoder.safetensors`` and ``encoder.json``; the solver's record (``fit_``) is not kept."""
        from safetensors.numpy import save_file

        self._check_fitted()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"coef": self.coef_, "intercept": self.intercept_, "alpha": self.alpha_}
        if self.gamma_ is not None:
            tensors["gamma"] = self.gamma_
        for k, scaler in enumerate(self.scalers_.values()):
            tensors |= {f"{part}.{k}": getattr(scaler, part) for part in _SCALER}
        with written_whole(folder / f"{_FILE}.safetensors") as temporary:
            save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, temporary)
        params = {k: np.asarray(v).tolist() if not isinstance(v, (str, int, float, type(None))) else v
                  for k, v in self.get_params(deep=False).items()}  # fmt: skip
        records = [{"step": r.step, "ids": [str(i) for i in r.ids], "purpose": r.purpose} for r in self.fit_records_]
        about = {"estimator": type(self).__name__, "params": params, "widths": self.widths_, "fit_records": records}
        write_text(folder / f"{_FILE}.json", json.dumps(about) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> VoxelwiseEncoder:
        """Return the encoder that :meth:`save` wrote: it predicts; ``alpha_`` and ``gamma_`` hold its penalties.

        Raises
        ------
        BraindecError
            If the folder holds no whole encoder.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            about = json.loads((folder / f"{_FILE}.json").read_text(encoding="utf8"))
            tensors = load_file(folder / f"{_FILE}.safetensors")
        except FileNotFoundError as error:
            raise BraindecError(
                f"{folder} holds no saved encoder", found=str(error), fix="name a folder that save() wrote"
            ) from None
        except (ValueError, SafetensorError) as error:
            raise BraindecError(f"the encoder in {folder} is damaged", found=str(error), fix="save it again") from None
        if about.get("estimator") != cls.__name__:
            raise BraindecError(f"{folder} does not hold a {cls.__name__}", found=repr(about.get("estimator")))
        encoder = cls(**about["params"])
        encoder.widths_ = about["widths"]
        encoder.scalers_ = {
            n: Scaler(*(tensors[f"{part}.{k}"] for part in _SCALER)) for k, n in enumerate(encoder.widths_)
        }
        encoder.coef_, encoder.intercept_ = tensors["coef"], tensors["intercept"]
        encoder.alpha_, encoder.gamma_ = tensors["alpha"], tensors.get("gamma")
        ends = np.cumsum([0, *(w * len(list(encoder.delays)) for w in encoder.widths_.values())]).tolist()
        encoder.slices_ = {n: slice(ends[k], ends[k + 1]) for k, n in enumerate(encoder.widths_)}
        encoder.fit_records_ = [FitRecord.of(r["step"], r["ids"], purpose=r["purpose"]) for r in about["fit_records"]]
        encoder.fitted_on_ = encoder.fit_records_[-1]
        return encoder

    def _columns(self, bands: Mapping[str, np.ndarray], runs: np.ndarray | None, rows: np.ndarray | None) -> np.ndarray:
        self._check_fitted()
        bands = same_bands(check_bands(bands), self.widths_)
        n = len(next(iter(bands.values())))
        X, _ = joined(bands, self.scalers_, self.delays, _labels(runs, n), self.dtype)
        return X if rows is None else X[np.asarray(rows)]

    def _check(self, Y: Any) -> None:
        if len(getattr(Y, "shape", ())) != 2:
            raise BraindecError("responses are a matrix of (row, target)", found=f"shape {getattr(Y, 'shape', None)}")
        for name, allowed in (
            ("model", ("banded", "ridge")),
            ("scoring", ("r2", "r")),
            ("dtype", ("float32", "float64")),
        ):
            if getattr(self, name) not in allowed:
                raise BraindecError(
                    f"{name} of the encoder is unknown", found=repr(getattr(self, name)), allowed=", ".join(allowed)
                )
        for name, least in (("inner_folds", 2), ("n_draws", 1), ("buffer", 0)):
            value = getattr(self, name)
            if int(value) != value or value < least:
                raise BraindecError(f"{name} is a whole number of at least {least}", found=repr(value))

    def _check_fitted(self) -> None:
        if not hasattr(self, "coef_"):
            raise BraindecError("the encoder is not fitted", fix="call fit(bands, Y) first")


def _of(labels: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if labels is None else np.asarray(labels)[rows]


def _labels(runs: np.ndarray | None, n: int) -> np.ndarray | None:
    if runs is not None and len(runs) != n:
        raise BraindecError("runs need one label for each row", found=f"{len(runs)} labels for {n} rows")
    return None if runs is None else np.asarray(runs)
