"""RidgeToLatent: latents of pictures, and tokens or features of them, by ridge in closed form; decoded, and refined if asked.

Source: Ozcelik & VanRullen 2023 (Sci Rep, Brain-Diffuser: VDVAE latents, CLIP-text and CLIP-vision tokens by ridge, then image to
image at strength 0.75); Ferrante et al. 2023 (BrainCaptioning: tokens of a captioner by ridge, for each token).
Differs from the references in: nothing is standardised by test rows; what they gain by that (predictions as varied as real
latents) comes from a gain that is estimated on held-out training rows (``restore_variance``). A penalty for each token is a
penalty for all tokens where it is one number, because ridge treats targets apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL

from braindec.decoders._diffusion_training import latent_space, latents_of, own_memory, still_only
from braindec.decoders._front_end import WindowFront
from braindec.decoders._latent_ridge import ItemRows, LatentRidge
from braindec.decoders._make import make_decoder
from braindec.decoders._picture_stored import load_part, load_picture_decoder, save_part, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of, told
from braindec.decoders._reading import column
from braindec.decoders._refine import picture_condition
from braindec.diffusion.patch_autoencoder import PatchAutoencoder
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["RidgeToLatent"]

_TARGETS = ("latents", "features", "both")
_AUTOENCODERS: dict[str, Any] = {"AutoencoderKL": AutoencoderKL, "PatchAutoencoder": PatchAutoencoder}


class RidgeToLatent(PictureDecoder):
    """Ridge regression of latents and features on scaled, time-binned windows.

    Parameters
    ----------
    targets : {"latents", "features", "both"}
        Latents of an autoencoder (from which a picture is decoded), the features that ``fit`` gets (tokens in a row, latents of
        a network of one's own, ...), or both (features then tell the refinement what to draw).
    preset : {"tiny", "base", "paper"}
        "tiny" and "base" choose penalties by cross-validation. "paper" takes the published ones by the names of groups:
        latents and vdvae 5e4, clip_text 1e5, clip_vision and git 6e4 (voxels standardised by training rows).
    alpha : float, list, "auto" or dict, optional
        Penalty of all groups, or of each by name, instead of the preset's.
    group_by : str
        Column of ``features.units`` that names groups; without it all features are the group "features".
    restore_variance : bool
        Stretch predictions to the spread of training targets; see :mod:`braindec.decoders._latent_ridge`. Predictions of averaged
        trials need averaged training trials for the same reason.
    n_folds : int
        Of cross-validation among training rows.
    autoencoder, autoencoder_options
        As in :class:`~braindec.decoders.conditioned.Conditioned`.
    refine : dict, optional
        ``{"name": "unclip", ...}``: a decoder of the registry that makes pictures from features; it starts from the decoded
        latents, noised to ``strength``. It is fitted on the same training rows.
    strength : float
        1 forgets the decoded latents, 0 returns them.
    seed : int
        Of an autoencoder that is trained.
    folder : str, optional
        Coefficients lie in a mapped file there: for tens of thousands of targets.
    scaler, scale_by, time_bins
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.

    Attributes
    ----------
    ridge_ : LatentRidge
    groups_ : dict of str to (int, int)
        First and last column of each group in what :meth:`condition` returns.
    vae_ : autoencoder or None
    refine_ : PictureDecoder or None
    """

    PENALTIES: ClassVar[dict[str, float]] = {
        "latents": 5e4, "vdvae": 5e4, "clip_text": 1e5, "clip_vision": 6e4, "git": 6e4, "features": 6e4
    }  # fmt: skip

    def __init__(
        self, *, targets: str = "latents", preset: str = "tiny", alpha: Any = None, group_by: str = "group",
        restore_variance: bool = False, n_folds: int = 5, autoencoder: str | None = "patches",
        autoencoder_options: dict[str, Any] | None = None, refine: dict[str, Any] | None = None, strength: float = 0.75,
        seed: int = 0, folder: str | None = None, scaler: Any = "standard_scaler", scale_by: str | None = None,
        time_bins: int | str | None = "auto",
    ) -> None:  # fmt: skip
        self.targets, self.preset, self.alpha, self.group_by = targets, preset, alpha, group_by
        self.restore_variance, self.n_folds = restore_variance, n_folds
        self.autoencoder, self.autoencoder_options = autoencoder, autoencoder_options
        self.refine, self.strength, self.seed, self.folder = refine, strength, seed, folder
        self.scaler, self.scale_by, self.time_bins = scaler, scale_by, time_bins

    @property
    def generative(self) -> bool:  # type: ignore[override]
        """Only with a refinement there is randomness and a prior."""
        return self.refine is not None

    def fit(
        self, windows: Windows, pictures: Pictures | None, features: Features | None = None, *, validation: Windows | None = None
    ) -> RidgeToLatent:  # fmt: skip
        """Fit on training windows.

        Parameters
        ----------
        windows : Windows
            Training windows with ``stimulus_id``.
        pictures : Pictures
            What was shown; None where only features are predicted.
        features : Features, optional
            For ``targets`` "features" and "both".
        validation : Windows, optional
            Not used.
        """
        self._check_options(pictures, features)
        self.front_ = WindowFront(scaler=self.scaler, scale_by=self.scale_by, time_bins=self.time_bins).fit(windows)
        self.reader_ = self.front_.reader
        shown = column(windows, "stimulus_id")
        rows, self.groups_, self.vae_, self.latent_shape_ = [], {}, None, ()
        if self.targets != "features":
            latents, codes = self._latents(windows, pictures)
            rows.append(ItemRows(latents, np.arange(len(latents)), codes, slice(0, latents.shape[1])))
            self.groups_["latents"] = (0, latents.shape[1])
        if self.targets != "latents":
            rows += self._features(shown, features)
        X = self.front_.read(windows).reshape(len(windows), int(np.prod([windows.n_channels, self.front_.n_bins])))
        self.ridge_ = LatentRidge([self._alpha(name) for name in self.groups_], restore_variance=self.restore_variance,
                                  n_folds=self.n_folds, folder=self.folder).fit(X, rows, stimuli=shown)  # fmt: skip
        self.picture_shape_ = () if pictures is None else tuple(pictures.shape[1:])
        self.fit_records_ = [*self.front_.records, FitRecord.of("LatentRidge", windows.ids)]
        self.refine_ = None
        if self.refine is not None:
            self.refine_ = make_decoder(self.refine, seed=self.seed).fit(windows, pictures, features)
            self.picture_shape_ = tuple(self.refine_.picture_shape_)
            self.fit_records_ += self.refine_.fit_records_
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return the predicted latents, then features, of each window, (n_windows, n_targets), float32."""
        self._check_fitted()
        read = self.front_.read(windows)
        return self.ridge_.predict(read.reshape(len(read), read.shape[1] * read.shape[2]))

    def predict_group(self, windows: Windows, name: str) -> np.ndarray:
        """Return the predictions of one group, (n_windows, n), float32, such as tokens for a captioner."""
        self._check_fitted()
        if name not in self.groups_:
            raise BraindecError(
                f"there is no group {name!r}{did_you_mean(name, self.groups_)}", allowed=", ".join(self.groups_)
            )
        return self.condition(windows)[:, slice(*self.groups_[name])]

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Decode the latents; with a refinement, start from them and draw what the features say.

        Without a refinement ``names``, ``seed`` and ``sampling`` change nothing; with one, ``sampling`` holds its options, and
        ``strength``.
        """
        self._check_fitted()
        if self.refine_ is None:
            if condition is None:
                raise BraindecError("a regression has no prior: its pictures come from the recording alone")
            return self.decode(told(condition, [self._n_targets], names=names))
        if condition is None:
            sampling.pop("strength", None)
            return self.refine_.generate(None, names=names, seed=seed, **sampling)
        condition = told(condition, [self._n_targets], names=names)
        if "latents" in self.groups_:
            strength = sampling.pop("strength", self.strength)
            sampling |= {"per_item": {"image": self.decode(condition)}, "strength": strength}
        wanted = picture_condition(self.refine_, np.asarray(condition)[:, self._n_latents :])
        return self.refine_.generate(wanted, names=names, seed=seed, **sampling)

    @torch.no_grad()
    def decode(self, condition: np.ndarray) -> np.ndarray:
        """Return the pictures of predicted latents, (n, height, width, channel), float32 of 0 to 1."""
        if "latents" not in self.groups_:
            raise BraindecError(
                "no picture can be decoded from features alone",
                found="targets='features'",
                fix="targets='both', or refine=",
            )
        latents = np.ascontiguousarray(told(condition, None)[:, : self._n_latents], dtype=np.float32)
        if latents.shape[1] != self._n_latents:
            raise BraindecError(
                "the latents do not fit the decoder", found=f"{latents.shape[1]} numbers", allowed=f"{self._n_latents}"
            )
        z = torch.from_numpy(latents).reshape(-1, *self.latent_shape_)
        if self.vae_ is not None:
            scale = self.vae_.config.scaling_factor
            z = torch.cat([self.vae_.decode(one / scale).sample for one in z.split(1)]) if len(z) else z
        return (z / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).contiguous().numpy()

    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0, **sampling: Any
    ) -> np.ndarray | None:  # fmt: skip
        """Return pictures of the true latents and features."""
        self._check_fitted()
        parts = []
        if self.targets != "features":
            parts.append(latents_of(self.vae_, pictures.of(stimulus_ids)).flatten(1).numpy())
        if self.targets != "latents":
            if features is None or self.refine_ is None:
                return None
            parts.append(features.of(stimulus_ids)[:, self.order_])
        return self.generate(np.concatenate(parts, axis=1), names=stimulus_ids, seed=seed, **sampling)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON; parts in folders of their own."""
        self._check_fitted()
        folder, ridge = Path(folder), self.ridge_
        if self.vae_ is not None:
            self.vae_.save_pretrained(folder / "autoencoder", safe_serialization=True)
        if self.refine_ is not None:
            save_part(self.refine_, folder / "refine")
        names = ("coef", "intercept", "mean", "spread", "gain")
        arrays = {name: getattr(ridge, name) for name in names} | {
            "order": getattr(self, "order_", np.zeros(0, np.int64))
        }
        kind = None if self.vae_ is None else type(self.vae_).__name__
        more = {"n_bins": self.front_.n_bins, "groups": self.groups_, "alpha": ridge.alpha, "autoencoder": kind,
                "latent_shape": list(self.latent_shape_)}  # fmt: skip
        return save_picture_decoder(self, folder, arrays=arrays, more=more)

    @classmethod
    def load(cls, folder: str | Path) -> RidgeToLatent:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.front_ = WindowFront(scaler=None)
        decoder.front_.reader, decoder.front_.n_bins = decoder.reader_, more["n_bins"]
        decoder.ridge_ = LatentRidge([], restore_variance=decoder.restore_variance, n_folds=decoder.n_folds)
        for name in ("coef", "intercept", "mean", "spread", "gain"):
            setattr(decoder.ridge_, name, arrays[name])
        decoder.ridge_.alpha, decoder.order_ = more["alpha"], arrays["order"]
        decoder.groups_ = {k: tuple(v) for k, v in more["groups"].items()}
        decoder.latent_shape_, kind = tuple(more["latent_shape"]), more["autoencoder"]
        decoder.vae_ = (
            None if kind is None else own_memory(_AUTOENCODERS[kind].from_pretrained(folder / "autoencoder")).eval()
        )
        decoder.refine_ = None if decoder.refine is None else load_part(folder / "refine")
        return decoder

    @property
    def _n_targets(self) -> int:
        return max(last for _, last in self.groups_.values())

    @property
    def _n_latents(self) -> int:
        return self.groups_["latents"][1] if "latents" in self.groups_ else 0

    def _latents(self, windows: Windows, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
        """Latents of the training pictures, each once, and the row of each window among them."""
        still_only(pictures)
        values, codes = targets_of(windows, pictures)
        self.vae_ = latent_space(self.autoencoder, values, seed=self.seed, **(self.autoencoder_options or {}))
        latents = latents_of(self.vae_, values)
        self.latent_shape_ = tuple(latents.shape[1:])
        return latents.flatten(1).numpy(), codes

    def _features(self, shown: np.ndarray, features: Features) -> list[ItemRows]:
        """Targets of each group of features; ``order_`` puts the columns of features into the order of groups."""
        rows, codes = np.unique(features.rows_of(shown), return_inverse=True)
        units = features.units
        names = (
            units[self.group_by].astype(str).to_numpy() if self.group_by in units else np.full(len(units), "features")
        )
        kinds, start = list(dict.fromkeys(names)), self._n_latents
        places = [np.flatnonzero(names == kind) for kind in kinds]
        self.order_ = np.concatenate(places)
        whole = all(len(p) == p[-1] - p[0] + 1 for p in places)  # then columns can be read as they lie
        source = features.values if whole else features.load()[:, self.order_]
        out, done = [], 0
        for kind, place in zip(kinds, places, strict=True):
            if kind in self.groups_:
                raise BraindecError(f"a group of features cannot be called {kind!r}", fix="give it another name")
            first = int(place[0]) if whole else done
            out.append(ItemRows(source, rows, codes.reshape(-1), slice(first, first + len(place))))
            self.groups_[kind] = (start, start + len(place))
            start, done = start + len(place), done + len(place)
        return out

    def _alpha(self, name: str) -> Any:
        given = self.alpha
        if isinstance(given, dict):
            if name not in given:
                raise BraindecError(f"there is no penalty for the group {name!r}", found=", ".join(map(str, given)))
            return given[name]
        if given is not None:
            return given
        if self.preset != "paper":
            return "auto"
        if name not in self.PENALTIES:
            raise BraindecError(
                f"there is no published penalty for the group {name!r}", allowed=", ".join(self.PENALTIES),
                fix=f"alpha={{{name!r}: ...}}, or preset='base' to choose one by cross-validation",
            )  # fmt: skip
        return self.PENALTIES[name]

    def _check_options(self, pictures: Pictures | None, features: Features | None) -> None:
        if self.targets not in _TARGETS:
            raise BraindecError(
                f"targets cannot be {self.targets!r}{did_you_mean(str(self.targets), _TARGETS)}",
                allowed=", ".join(_TARGETS),
            )
        if self.preset not in ("tiny", "base", "paper"):
            raise BraindecError(f"there is no preset {self.preset!r}", allowed="tiny, base, paper")
        if self.targets != "latents" and features is None:
            raise BraindecError("this decoder predicts features", fix="fit(windows, pictures, features)")
        if pictures is None and (self.targets != "features" or self.refine is not None):
            raise BraindecError("this decoder needs the pictures that were shown", found="pictures=None")
        if not isinstance(self.strength, Real) or not 0 <= self.strength <= 1:
            raise BraindecError(
                "strength of the noise on the decoded latents", found=repr(self.strength), allowed="0 to 1"
            )
        if self.refine is not None and self.targets == "latents":
            raise BraindecError(
                "a refinement is told what to draw by features", found="targets='latents'", fix="targets='both'"
            )
