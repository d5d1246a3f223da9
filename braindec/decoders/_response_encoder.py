"""ResponseEncoder: an encoding model of pictures that gradients pass through, fitted on windows by ridge regression.

It guides a generator (what does a region prefer?), or judges what another one made; which of the two it may do is settled by
:func:`check_independent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from torch import nn

from braindec.decoders._diffusion_training import batches_of, own_memory
from braindec.decoders._front_end import WindowFront
from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._pictures import targets_of
from braindec.diffusion.picture_features import open_clip
from braindec.diffusion.response_model import ResponseModel
from braindec.errors import BraindecError, did_you_mean
from braindec.ridge import fit_ridge, group_folds
from braindec.train.diffusion import fit_diffusion
from braindec.types import FitRecord, Pictures, Windows

__all__ = ["Independence", "Region", "ResponseEncoder", "check_independent"]

Region = str | Sequence[Any]


class ResponseEncoder(BaseEstimator):
    """Predict responses to pictures: features of a network, and a linear readout with a penalty for each target.

    Parameters
    ----------
    network : {"conv", "gabor", "grid", "clip"}
        Features (:mod:`braindec.diffusion.picture_features`).
    network_options : dict, optional
        ``grid``, ``widths``, ``seed``, ...
    weights : str, optional
        Folder of a CLIP image encoder, for network "clip".
    train_steps : int
        Steps by which the network itself is trained on the responses to one half of the stimuli; the readout is then fitted on
        the other half, so that penalties and correlations are still those of held-out stimuli. 0 leaves the network as it is.
    time_bins : int
        Each channel in so many bins of time is a target.
    region_column : str
        Column of the channels that names regions.
    min_r : float
        Targets whose correlation in held-out stimuli of the training rows is not above this are left out of regions.
    min_share : float
        Share of a region's targets that must pass; a region with fewer is not used, for a few pass by chance.
    n_folds : int
        Parts of the stimuli that choose penalties and say how well targets are predicted.
    scaler, scale_by
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.
    seed : int

    Attributes
    ----------
    model_ : ResponseModel
    targets_ : DataFrame
        name, bin, region, r and r2 in held-out stimuli, alpha.
    regions_ : dict of str to array of int
        Targets of each region; "all" has every one.
    centre_, spread_ : dict of str to float
        Mean and standard deviation of each region's predicted activation over the training pictures.
    noise_ : array of shape (n_targets,)
        Variance that is not predicted, in held-out stimuli, as a share of that of the responses.
    fit_records_ : list of FitRecord
    """

    def __init__(
        self, *, network: str = "conv", network_options: Mapping[str, Any] | None = None, weights: str | None = None,
        train_steps: int = 0, time_bins: int = 1, region_column: str = "region", min_r: float = 0.0, min_share: float = 0.2,
        n_folds: int = 5, scaler: Any = "standard_scaler", scale_by: str | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.network, self.network_options, self.weights = network, network_options, weights
        self.train_steps, self.min_share = train_steps, min_share
        self.time_bins, self.region_column, self.min_r, self.n_folds = time_bins, region_column, min_r, n_folds
        self.scaler, self.scale_by, self.seed = scaler, scale_by, seed

    def fit(self, windows: Windows, pictures: Pictures) -> ResponseEncoder:
        """Fit on training windows and the pictures of their stimuli.

        Raises
        ------
        BraindecError
            If a stimulus has no picture, responses are not finite, or there are too few stimuli to choose penalties on.
        """
        if pictures.is_film:
            raise BraindecError("an encoding model of still pictures was given films", fix="take one frame of each")
        values, codes = targets_of(windows, pictures)
        if len(values) < 2 * self.n_folds:
            raise BraindecError("too few stimuli for an encoding model", found=f"{len(values)}",
                                allowed=f"{2 * self.n_folds} and more, or fewer folds")  # fmt: skip
        self.front_ = WindowFront(scaler=self.scaler, scale_by=self.scale_by, time_bins=self.time_bins).fit(windows)
        self.reader_ = self.front_.reader
        raw = self._raw(windows)
        self.response_mean_, spread = raw.mean(axis=0), raw.std(axis=0)
        self.response_scale_ = np.where(spread > 1e-6 * max(float(spread.max()), 1e-30), spread, 1.0)
        responses = self.responses(windows)
        self.model_ = self._build(values, responses.shape[1])
        kept = np.arange(len(codes))
        if self.train_steps:  # on some stimuli; the others fit the readout
            taught = np.random.default_rng([self.seed, 3]).permutation(len(values))[codes] % 2 == 0
            self._train(values, responses[taught], codes[taught])
            kept = np.flatnonzero(~taught)
        self.model_.standardise(values)
        X = self.model_.describe(values)[codes[kept]]
        found = fit_ridge(
            X, responses[kept], folds=group_folds(codes[kept], self.n_folds), scoring="r2", seed=self.seed
        )
        self.model_.set_readout(found.coef, found.intercept)
        self.model_.eval().requires_grad_(False)
        self.noise_ = np.clip(1 - np.nan_to_num(found.cv_score), 0.02, 1.0).astype(np.float32)
        self.targets_ = self._table(windows, found)
        self.regions_ = self._regions()
        self._scale_regions(values)
        self.picture_shape_ = pictures.shape[1:]
        self.stimuli_ = sorted(set(windows.trials["stimulus_id"].astype(str)))
        self.fit_records_ = [*self.front_.records, FitRecord.of("ResponseEncoder", windows.ids)]
        return self

    def responses(self, windows: Windows) -> np.ndarray:
        """Return measured responses (n_windows, n_targets), standardised as in training, float32."""
        return ((self._raw(windows) - self.response_mean_) / self.response_scale_).astype(np.float32)

    def predict(self, pictures: np.ndarray | Pictures) -> np.ndarray:
        """Return predicted responses (n, n_targets) to pictures (n, height, width, channel), standardised, float32."""
        self._check_fitted()
        return self.model_.predict(pictures.load() if isinstance(pictures, Pictures) else pictures)

    def activation(self, pictures: np.ndarray | Pictures, region: Region = "all") -> np.ndarray:
        """Return the predicted mean response of a region, (n,), in standard deviations over the training pictures."""
        rows, centre, spread = self._region(region)
        return ((self.predict(pictures)[:, rows].mean(axis=1) - centre) / spread).astype(np.float32)

    def objective(self, region: Region = "all") -> Callable[[torch.Tensor], torch.Tensor]:
        """Return a function of pictures (n, channel, height, width) that gives :meth:`activation` with its gradient."""
        rows, centre, spread = self._region(region)
        index = torch.from_numpy(rows)

        def objective(images: torch.Tensor) -> torch.Tensor:
            return (self.model_(images)[:, index.to(images.device)].mean(dim=1) - centre) / spread

        return objective

    def likelihood(self) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Return the log-likelihood of measured responses (n, n_targets) as a function of pictures, with its gradient.

        Noise is Gaussian and independent between targets, of the variance that held-out stimuli leave unexplained.
        """
        self._check_fitted()
        weights = torch.from_numpy(1 / self.noise_)

        def objective(images: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
            return -0.5 * ((measured - self.model_(images)).square() * weights.to(images.device)).sum(dim=1)

        return objective

    def save(self, folder: str | Path) -> Path:
        """Write the fitted encoder as safetensors and JSON."""
        self._check_fitted()
        folder = Path(folder)
        self.model_.save_pretrained(folder / "model", safe_serialization=True)
        arrays = {"response_mean": self.response_mean_, "response_scale": self.response_scale_, "noise": self.noise_}
        more = {"targets": self.targets_.to_dict(orient="list"), "centre": self.centre_, "spread": self.spread_,
                "stimuli": self.stimuli_, "n_bins": self.front_.n_bins}  # fmt: skip
        return save_picture_decoder(self, folder, arrays=arrays, more=more)

    @classmethod
    def load(cls, folder: str | Path) -> ResponseEncoder:
        """Return the encoder that :meth:`save` wrote."""
        encoder, arrays, more = load_picture_decoder(cls, folder)
        encoder.model_ = own_memory(ResponseModel.from_pretrained(Path(folder) / "model")).eval().requires_grad_(False)
        for name, value in arrays.items():
            setattr(encoder, f"{name}_", value)
        encoder.front_ = WindowFront(scaler=None, time_bins=more["n_bins"])
        encoder.front_.reader, encoder.front_.n_bins = encoder.reader_, more["n_bins"]
        encoder.targets_ = pd.DataFrame(more["targets"])
        encoder.regions_, encoder.stimuli_ = encoder._regions(), more["stimuli"]
        encoder.centre_, encoder.spread_ = more["centre"], more["spread"]
        return encoder

    def _raw(self, windows: Windows) -> np.ndarray:
        raw = self.front_.read(windows).reshape(len(windows), -1).astype(np.float64)
        if not np.isfinite(raw).all():
            bad = windows.ids[~np.isfinite(raw).all(axis=1)]
            raise BraindecError(f"responses of {len(bad)} windows are not finite", found=", ".join(map(str, bad[:5])),
                                fix="leave these windows or channels out")  # fmt: skip
        return raw

    def _build(self, values: np.ndarray, n_targets: int) -> ResponseModel:
        options, state = dict(self.network_options or {}), None
        if self.network == "conv":
            options.setdefault("seed", self.seed)
        if self.network == "clip":
            if self.weights is None:
                raise BraindecError(
                    "network 'clip' needs weights", fix="weights=<folder of a CLIP model in safetensors>"
                )
            options["vision"], state = open_clip(self.weights)
        model = ResponseModel(network=self.network, n_targets=n_targets, size=tuple(values.shape[1:3]), channels=values.shape[3],
                              options=options)  # fmt: skip
        if state is not None:
            model.body.model.load_state_dict(state)
        return model

    def _train(self, values: np.ndarray, responses: np.ndarray, codes: np.ndarray) -> None:
        """Train the network with a readout of its own on standardised responses."""
        images = torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))
        self.model_.standardise(values)

        def loss(model: nn.Module, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
            return (model(images[batch["x"]]) - batch["y"]).square().mean()

        tensors = {"x": torch.from_numpy(codes.astype(np.int64)), "y": torch.from_numpy(responses)}
        fit_diffusion(
            self.model_, loss, batches_of(tensors, 64), steps=self.train_steps, lr=5e-3, ema=None, seed=self.seed
        )

    def _table(self, windows: Windows, found: Any) -> pd.DataFrame:
        channels = windows.recordings[0].channels.reset_index(drop=True)
        n_bins = self.front_.n_bins
        regions = channels[self.region_column] if self.region_column in channels else pd.Series(["n/a"] * len(channels))
        r2 = np.nan_to_num(found.cv_score)
        return pd.DataFrame({
            "name": np.repeat(channels["name"].astype(str).to_numpy(), n_bins), "bin": np.tile(np.arange(n_bins), len(channels)),
            "region": np.repeat(regions.fillna("n/a").astype(str).to_numpy(), n_bins),
            "r": np.sqrt(np.clip(r2, 0, None)), "r2": r2, "alpha": np.nan_to_num(found.alpha, nan=-1.0),
        })  # fmt: skip

    def _regions(self) -> dict[str, np.ndarray]:
        good = self.targets_["r"].to_numpy() > self.min_r
        names = [n for n in dict.fromkeys(self.targets_["region"]) if n not in ("n/a", "", "nan")]
        found = {name: np.flatnonzero(good & (self.targets_["region"] == name).to_numpy()) for name in names}
        return {"all": np.flatnonzero(good), **found}

    def _scale_regions(self, values: np.ndarray) -> None:
        predicted = self.model_.predict(values)
        self.centre_, self.spread_ = {}, {}
        for name, rows in self.regions_.items():
            mean = predicted[:, rows].mean(axis=1) if len(rows) else np.zeros(len(predicted))
            self.centre_[name], self.spread_[name] = float(mean.mean()), float(mean.std())

    def _region(self, region: Region) -> tuple[np.ndarray, float, float]:
        self._check_fitted()
        if not isinstance(region, str):
            raise BraindecError("a region is named", found=repr(region), allowed=", ".join(self.regions_))
        if region not in self.regions_:
            raise BraindecError(
                f"there is no region {region!r}{did_you_mean(region, self.regions_)}", allowed=", ".join(self.regions_),
                fix=f"name regions in the column {self.region_column!r} of the channels",
            )  # fmt: skip
        rows, spread = self.regions_[region], self.spread_[region]
        n = len(self.targets_) if region == "all" else int((self.targets_["region"] == region).sum())
        if len(rows) < max(1.0, self.min_share * n) or not spread > 1e-9:
            raise BraindecError(
                f"the encoding model does not predict region {region!r}",
                found=f"{len(rows)} of {n} targets are predicted above r = {self.min_r:g} in held-out stimuli", allowed=f"{self.min_share:.0%} and more",
                fix="more training data, other features (network=...), or another region",
            )  # fmt: skip
        return rows, self.centre_[region], spread

    def _check_fitted(self) -> None:
        if not hasattr(self, "fit_records_"):
            raise BraindecError("ResponseEncoder is not fitted", fix="call fit(windows, pictures) first")


@dataclass(frozen=True)
class Independence:
    """In what a judge differs from the guide.

    Parameters
    ----------
    other_features : bool
        They stand on different kinds of networks.
    shared_windows : int
        Training windows that both saw.
    shared_stimuli : int
        Training stimuli that both saw.
    """

    other_features: bool
    shared_windows: int
    shared_stimuli: int

    @property
    def sentence(self) -> str:
        """For a report."""
        features = "other features" if self.other_features else "the same kind of features"
        data = (
            "no training trial in common"
            if not self.shared_windows
            else f"{self.shared_windows} training trials in common"
        )
        return f"the judge has {features} and {data} with the guide ({self.shared_stimuli} stimuli in common)"


def check_independent(guide: ResponseEncoder, scorer: ResponseEncoder, *, need: str = "both") -> Independence:
    """Return in what the judge differs from the guide, or refuse it.

    A picture that was bent until a model likes it is liked by that model; only another one can say whether the region would.

    Parameters
    ----------
    guide, scorer : ResponseEncoder
    need : {"both", "either"}
        Other features and other trials, or one of the two.

    Raises
    ------
    BraindecError
        If the judge is the guide or a copy of it, or shares what it must not share.
    """
    if need not in ("both", "either"):
        raise BraindecError("independence of the judge", found=repr(need), allowed="'both' or 'either'")
    for name, model in (("guide", guide), ("scorer", scorer)):
        if not hasattr(model, "fit_records_"):
            raise BraindecError(f"the {name} is not fitted", fix="call fit(windows, pictures) first")
    fix = ("fit another ResponseEncoder: other features (network='gabor' beside 'conv') on other trials or another subject")  # fmt: skip
    if guide is scorer or guide.model_ is scorer.model_ or guide.model_.fingerprint() == scorer.model_.fingerprint():
        raise BraindecError(
            "the encoder that guides cannot score what it guided",
            found="the scorer is the guide, or a copy of it",
            fix=fix,
        )
    seen = [{str(i) for r in m.fit_records_ for i in r.ids} for m in (guide, scorer)]
    found = Independence(
        guide.model_.architecture() != scorer.model_.architecture(), len(seen[0] & seen[1]),
        len(set(guide.stimuli_) & set(scorer.stimuli_)),
    )  # fmt: skip
    passed = (found.other_features, not found.shared_windows)
    if not (all(passed) if need == "both" else any(passed)):
        raise BraindecError("the scorer is not independent of the guide", found=found.sentence, fix=fix)
    return found
