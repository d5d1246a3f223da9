"""GuidedDecoder: a picture prior that an encoding model steers, to what a region prefers, or to what a recording says.

The prior is trained on the training pictures alone and never sees a brain; an encoding model, fitted on windows, predicts
responses to any picture. ``prefer`` follows the gradient of a region's predicted response (BrainDiVE): which pictures would
drive it? ``reconstruct`` follows the gradient of the likelihood of the measured responses: Bayes' rule with a learned prior.

A picture that was bent until a model likes it is liked by that model. ``judge`` therefore takes an independent encoding
model (other features, other trials or another subject), and refuses the guide.

Source: Luo, Henderson, Wehbe & Tarr 2023 (NeurIPS, BrainDiVE) for the gradient of a region's predicted response; Naselaris et
al. 2009 (Neuron 63:902) and Chung et al. 2023 (ICLR, diffusion posterior sampling, eq. 16) for the likelihood of responses
with a prior over pictures.
Differs from the references in: the scale has a unit (standard deviations of the predicted response); by default the objective is
evaluated on the denoiser's clean guess, for which that unit holds (``mix=True``: BrainDiVE's mix of guess and noised picture,
which pushes several times harder at the same scale); no self-attention guidance; the guide never scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.decoders._diffusion_training import (
    denoiser_unet,
    history_of,
    latent_space,
    latents_of,
    noise_levels,
    same_size,
    sample_pictures,
    train_denoiser,
)
from braindec.decoders._opened import check_makes, opened
from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of
from braindec.decoders._response_encoder import Region, ResponseEncoder, check_independent
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.guidance import Objective
from braindec.diffusion.guided_pipeline import GuidedImagePipeline
from braindec.diffusion.schedulers import make_scheduler
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Pictures, Windows

_BLOCK = 32  # pictures sampled at once: gradients need memory

__all__ = ["GuidedDecoder", "ResponseEncoder", "check_independent"]


class GuidedDecoder(PictureDecoder):
    """A prior over pictures, and an encoding model that steers it.

    Parameters
    ----------
    preset : {"tiny", "base", "paper"}
        Size of the denoiser that is trained as the prior.
    pretrained : str, optional
        Folder of a :class:`~braindec.diffusion.image_pipeline.BrainImagePipeline` that is the prior instead (none is trained).
    encoder : mapping, optional
        Options of :class:`ResponseEncoder` (``network``, ``train_steps``, ``min_r``, ...).
    guidance : float
        Scale of the likelihood in ``reconstruct``: 1 is Bayes' rule, as far as noise is independent between channels.
    scale : float
        Of the region's activation in ``prefer``: logarithm of how much likelier a picture becomes for each standard
        deviation that its predicted response is higher.
    mix, through_denoiser, limit
        As in :class:`~braindec.diffusion.guided_pipeline.GuidedImagePipeline`.
    num_inference_steps, sampler : int, str
        Steps of sampling, and the name of the sampler (:func:`braindec.diffusion.schedulers.make_scheduler`).
    autoencoder, autoencoder_options : str and mapping, optional
        None denoises pixels; "patches", "tiny" or a folder, and options, as in :func:`latent_space`.
    prediction : {"sample", "epsilon", "v_prediction"}
        What the denoiser learns to predict; small ones learn soonest to predict the clean picture.
    steps, batch_size, lr, ema, min_snr, seed, device, folder
        Of the prior's training, as in :class:`~braindec.decoders.conditioned.Conditioned`.

    Attributes
    ----------
    encoder_ : ResponseEncoder
        The guide.
    pipeline_ : GuidedImagePipeline
        The prior.
    history_ : dict of array
        Training loss of the prior.

    Examples
    --------
    >>> decoder = GuidedDecoder().fit(windows, pictures)  # doctest: +SKIP
    >>> made = decoder.prefer("FFA", n=8, scale=4.0)  # doctest: +SKIP
    >>> decoder.judge(made, "FFA", ResponseEncoder(network="gabor").fit(other_subject, pictures))  # doctest: +SKIP
    """

    def __init__(
        self, *, preset: str = "tiny", pretrained: str | None = None, encoder: Mapping[str, Any] | None = None,
        guidance: float = 1.0, scale: float = 2.0, mix: bool = False, through_denoiser: bool = True,
        limit: float | None = None, num_inference_steps: int = 30, sampler: str = "ddim", autoencoder: str | None = None,
        autoencoder_options: Mapping[str, Any] | None = None, prediction: str = "sample", steps: int = 400,
        batch_size: int = 64, lr: float = 2e-3, ema: float | None = 0.99, min_snr: float | None = 5.0, seed: int = 0,
        device: str = "cpu", folder: str | None = None,
    ) -> None:  # fmt: skip
        self.preset, self.pretrained, self.encoder, self.guidance, self.scale = (
            preset,
            pretrained,
            encoder,
            guidance,
            scale,
        )
        self.mix, self.through_denoiser, self.limit = mix, through_denoiser, limit
        self.num_inference_steps, self.sampler, self.autoencoder = num_inference_steps, sampler, autoencoder
        self.autoencoder_options, self.prediction = autoencoder_options, prediction
        self.steps, self.batch_size, self.lr, self.ema, self.min_snr = steps, batch_size, lr, ema, min_snr
        self.seed, self.device, self.folder = seed, device, folder

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None,
        prior_pictures: Pictures | None = None,
    ) -> GuidedDecoder:  # fmt: skip
        """Fit the encoding model on windows, and the prior on pictures.

        Parameters
        ----------
        windows, pictures
            Training windows, and what was shown.
        features, validation
            Not used.
        prior_pictures : Pictures, optional
            What the prior is trained on instead of the pictures of the training windows; nothing of a test set should be
            among them.
        """
        values, _ = targets_of(windows, pictures)
        others = same_size(prior_pictures, pictures)
        self.encoder_ = ResponseEncoder(**{"seed": self.seed, **dict(self.encoder or {})}).fit(windows, pictures)
        self.pipeline_ = self._prior(values if others is None else others)
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_ = [*self.encoder_.fit_records_, FitRecord.of("prior of pictures", windows.ids)]
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return the measured responses, standardised as in training, (n_windows, n_targets), float32."""
        self._check_fitted()
        return self.encoder_.responses(windows)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, guidance: float | None = None, **sampling: Any
    ) -> np.ndarray:  # fmt: skip
        """Sample a picture that would give each row of responses; without responses, a picture of the prior.

        Parameters
        ----------
        condition : array (n, n_targets) or None
        names, seed
            Of the noise.
        guidance : float, optional
            Instead of the decoder's.
        **sampling
            Options of :class:`GuidedImagePipeline`.
        """
        self._check_fitted()
        if condition is None:
            return self._sample(names, seed, sampling)
        scale = self.guidance if guidance is None else guidance
        likelihood = self.encoder_.likelihood()
        guided = {"objective": likelihood, "objective_scale": scale}
        return self._sample(names, seed, {**guided, **sampling}, {"targets": np.asarray(condition, np.float32)})

    def prefer(
        self, region: Region = "all", *, n: int | None = None, names: Sequence[Any] | None = None, scale: float | None = None,
        seed: int = 0, **sampling: Any,
    ) -> np.ndarray:  # fmt: skip
        """Sample pictures that should drive a region, (n, height, width, channel), float32 of 0 to 1.

        Parameters
        ----------
        region : str
            A value of the channels' region column, or "all".
        n, names
            How many, or the names that their noise goes by: the same names give the same noise at any scale.
        scale : float, optional
            0 is the prior alone (bit for bit), a negative one looks for what silences the region.
        seed : int
        **sampling
            Options of :class:`GuidedImagePipeline`.
        """
        self._check_fitted()
        if names is None:
            if n is None or n < 1:
                raise BraindecError("how many pictures?", found=f"n={n}, names={names}", allowed="n >= 1, or names")
            names = [f"sample-{i}" for i in range(n)]
        return self.follow(self.encoder_.objective(region), names=names, scale=scale, seed=seed, **sampling)

    def follow(
        self, objective: Objective, *, names: Sequence[Any], targets: np.ndarray | None = None, scale: float | None = None,
        seed: int = 0, **sampling: Any,
    ) -> np.ndarray:  # fmt: skip
        """Sample pictures that any objective likes, (n, height, width, channel), float32 of 0 to 1.

        Parameters
        ----------
        objective : callable
            As in :class:`GuidedImagePipeline`; with ``targets`` it is ``objective(images, targets)``.
        names, scale, seed
            As in :meth:`prefer`; the scale counts in units of the objective.
        targets : array of shape (n, ...), optional
            One entry a picture.
        **sampling
            Options of :class:`GuidedImagePipeline`.
        """
        self._check_fitted()
        guided = {"objective": objective, "objective_scale": self.scale if scale is None else scale}
        return self._sample(names, seed, {**guided, **sampling}, None if targets is None else {"targets": targets})

    def judge(self, pictures: np.ndarray, region: Region, scorer: ResponseEncoder, *, need: str = "both") -> np.ndarray:
        """Return the activation of a region by pictures as an independent encoding model predicts it, (n,).

        In standard deviations over the pictures that the judge was fitted on. The guide, a copy of it, and by default
        anything that shares its kind of features or a training trial with it is refused
        (:func:`check_independent`).
        """
        self._check_fitted()
        check_independent(self.encoder_, scorer, need=need)
        return scorer.activation(pictures, region)

    def score(self, pictures: np.ndarray, region: Region = "all", scorer: ResponseEncoder | None = None) -> float:
        """Return the mean of :meth:`judge`; without a scorer it is refused."""
        if scorer is None:
            raise BraindecError(
                "the encoder that guides cannot score what it guided", found="no scorer",
                fix="scorer=ResponseEncoder(network=...).fit(windows of other trials or another subject, pictures)",
            )  # fmt: skip
        return float(self.judge(pictures, region, scorer).mean())

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder: prior and guide in folders of their own, the rest as safetensors and JSON."""
        self._check_fitted()
        folder = Path(folder)
        self.pipeline_.save_pretrained(folder / "pipeline", safe_serialization=True)
        self.encoder_.save(folder / "encoder")
        return save_picture_decoder(self, folder, arrays={f"history.{k}": v for k, v in self.history_.items()})

    @classmethod
    def load(cls, folder: str | Path) -> GuidedDecoder:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, _ = load_picture_decoder(cls, folder)
        decoder.history_ = {k[8:]: v for k, v in arrays.items() if k.startswith("history.")}
        decoder.encoder_ = ResponseEncoder.load(folder / "encoder")
        decoder.pipeline_ = opened(GuidedImagePipeline, folder / "pipeline")
        return decoder

    def _sample(
        self,
        names: Sequence[Any],
        seed: int,
        options: Mapping[str, Any],
        per_item: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        own = {"num_inference_steps": self.num_inference_steps}
        if "objective" in options:
            own |= {"mix": self.mix, "through_denoiser": self.through_denoiser, "limit": self.limit}
        if per_item and len(per_item["targets"]) != len(names):
            raise BraindecError("one name a row of responses", found=f"{len(per_item['targets'])} and {len(names)}")
        return sample_pictures(
            self.pipeline_, None, names, seed=seed, block=_BLOCK, per_item=per_item, **{**own, **options}
        )

    def _prior(self, values: np.ndarray) -> GuidedImagePipeline:
        if self.pretrained is not None:
            self.history_ = {}
            return check_makes(opened(GuidedImagePipeline, str(self.pretrained)), values)
        vae = latent_space(
            self.autoencoder, values, seed=self.seed, device=self.device, **dict(self.autoencoder_options or {})
        )
        scheduler = noise_levels(self.preset, latents=vae is not None, changes={"prediction": self.prediction})
        clean = latents_of(vae, values)
        channels, *size = clean.shape[1:]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            unet = denoiser_unet(self.preset, channels=channels, size=tuple(size))
            model = nn.ModuleDict(
                {"unet": unet, "conditioner": Conditioner(dim=1, width=unet.config.cross_attention_dim)}
            )
        history = train_denoiser(
            model, {"x": clean, "c": torch.zeros(len(clean), 1)}, scheduler=scheduler, condition=_given, steps=self.steps, batch_size=self.batch_size, lr=self.lr,
            ema=self.ema, drop=1.0, min_snr=self.min_snr, seed=self.seed, device=self.device, folder=self.folder,
        )  # fmt: skip
        self.history_ = history_of(history)
        model.to("cpu").requires_grad_(False)
        sampler = make_scheduler(self.sampler, training=scheduler)
        made = GuidedImagePipeline(model["unet"], sampler, model["conditioner"], vae)
        made.set_progress_bar_config(disable=True)
        return made


def _given(model: nn.Module, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
    return batch["c"]
