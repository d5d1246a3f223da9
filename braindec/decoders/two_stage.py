"""TwoStage: from a brain embedding through a diffusion prior to an image embedding, and from that to a picture.

Presets name the two published ways. "atm": an embedder, the unet prior with guidance 5, a generator with few steps. "mindeye2":
the transformer prior, a generator with guidance 5, a blurry picture of the recording that is mixed in with a quarter, and
from which sampling may start (the SDXL refinement of the paper starts from its own unCLIP picture).

Source: Li et al. 2024 (NeurIPS, ATM, section 2.3); Scotti et al. 2023 (MindEye: image to image at strength 0.85 from the blurry
picture); Scotti et al. 2024 (ICML, MindEye2: 0.75 of the refined picture plus 0.25 of the blurry one).
Differs from the references in: the mix is an option of its own, 0 unless it is asked for, and stands in ``notes_``: it raises pixel
scores whatever the generator made; candidates are chosen by closeness to the brain's own embedding only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from braindec.decoders._make import make_decoder
from braindec.decoders._picture_stored import load_part, load_picture_decoder, save_part, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, told
from braindec.decoders._refine import picture_condition
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["TwoStage"]

_SAMPLING_OF_PRIOR = ("prior_steps", "prior_guidance", "n_candidates")


class TwoStage(PictureDecoder):
    """Embedding of the recording, prior, image decoder; optionally a blurry picture to start from or to mix in.

    Parameters
    ----------
    preset : str
        "tiny", "base", "paper:atm", "paper:mindeye2"; "tiny:atm" and "tiny:mindeye2" have the form of the papers in small.
    prior_options : dict, optional
        Options of :class:`~braindec.decoders.diffusion_prior.DiffusionPrior` that differ from the preset.
    image_options : dict, optional
        Options of the decoder that makes pictures from embeddings, "unclip" unless ``name`` says otherwise.
    blurry : dict, optional
        Options of a decoder of blurry pictures ("low_level", "ridge_to_latent", "picture_ridge"); needed for ``start`` and
        ``mix``.
    start : float, optional
        Sampling starts from the blurry picture, noised to this strength (0.85 in MindEye); None starts from noise.
    mix : float
        Share of the blurry picture in the final one (0.25 in MindEye2); 0 for none.
    level : float
        How noisy the image decoder takes the prior's embeddings to be, 0 to 1.
    num_inference_steps, guidance_scale : optional
        Of the image decoder.
    seed : int
    device : str

    A blurry picture of another size or mode is scaled to that of the image decoder.

    Attributes
    ----------
    prior_ : DiffusionPrior
    image_ : PictureDecoder
    blurry_ : PictureDecoder or None
    notes_ : list of str
        What a reader of the pictures must know.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {},
        "base": {"prior": {"preset": "base"}, "image": {"preset": "base", "steps": 20_000}},
        "tiny:atm": {"prior": {"kind": "unet", "cross_fit": 0, "guidance_scale": 5.0}},
        "tiny:mindeye2": {"blurry": {"name": "low_level"}, "start": 0.85, "mix": 0.25},
        "paper:atm": {
            "prior": {"kind": "unet", "preset": "paper:atm", "cross_fit": 0,
                      "embedder": {"name": "contrastive", "encoder": "atm", "preset": "paper"}},
            "num_inference_steps": 4, "guidance_scale": 1.0,  # no guidance: diffusers writes 0 for it, and means it below 1
        },
        "paper:mindeye2": {
            "prior": {"preset": "paper:mindeye2", "n_tokens": 256, "encoder": "mindeye2", "encoder_preset": "paper",
                      "contrastive_options": {}},
            "blurry": {"name": "low_level", "preset": "paper:mindeye2"}, "mix": 0.25,
            "num_inference_steps": 38, "guidance_scale": 5.0,
        },
    }  # fmt: skip

    def __init__(
        self, *, preset: str = "tiny", prior_options: dict[str, Any] | None = None, image_options: dict[str, Any] | None = None,
        blurry: dict[str, Any] | None = None, start: float | None = None, mix: float | None = None, level: float = 0.0,
        num_inference_steps: int | None = None, guidance_scale: float | None = None, seed: int = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.preset, self.prior_options, self.image_options, self.blurry = preset, prior_options, image_options, blurry
        self.start, self.mix, self.level = start, mix, level
        self.num_inference_steps, self.guidance_scale = num_inference_steps, guidance_scale
        self.seed, self.device = seed, device

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> TwoStage:  # fmt: skip
        """Fit the prior (with its embedder), the image decoder, and the blurry one where there is one.

        Parameters
        ----------
        windows, pictures
            As in :class:`~braindec.decoders._pictures.PictureDecoder`.
        features : Features
            Image embeddings: what the prior makes and the image decoder listens to.
        validation : Windows, optional
            Handed to the prior.
        """
        settings = self.settings()
        if features is None:
            raise BraindecError("this decoder goes through image embeddings", fix="fit(windows, pictures, features)")
        if not isinstance(pictures, Pictures):
            raise BraindecError(
                "this decoder needs the pictures that were shown",
                found=type(pictures).__name__,
                fix="fit(windows, pictures, features)",
            )
        self.prior_ = make_decoder({"name": "diffusion_prior", **settings["prior"]}, seed=self.seed, device=self.device)
        self.prior_.fit(windows, features, validation=validation)
        self.image_ = self._made({"name": "unclip", **settings["image"]}).fit(windows, pictures, features)
        self.blurry_ = (
            None if settings["blurry"] is None else self._made(settings["blurry"]).fit(windows, pictures, features)
        )
        self.picture_shape_ = tuple(self.image_.picture_shape_)
        self._check_start(settings)
        self.sizes_ = [int(self.prior_.condition(windows[:1]).shape[1])]
        self.fit_records_ = [*self.prior_.fit_records_, *self.image_.fit_records_]
        if self.blurry_ is not None:
            self.fit_records_ += self.blurry_.fit_records_
            self.sizes_ += list(self.blurry_.condition(windows[:1]).shape[1:])
            self.mean_blurry_ = self._sized(self.blurry_.reconstruct(windows)).mean(axis=0)
            self.fit_records_.append(FitRecord.of("mean blurry picture", windows.ids))
        self.notes_ = self._notes(settings)
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return the brain embedding of each window, and what its blurry picture is made of, (n_windows, dim), float32."""
        self._check_fitted()
        parts = [self.prior_.condition(windows)]
        if self.blurry_ is not None:
            parts.append(self.blurry_.condition(windows).reshape(len(windows), -1))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Sample an image embedding for each condition, then a picture of it.

        Parameters
        ----------
        condition, names, seed
            As in :class:`~braindec.decoders._pictures.PictureDecoder`.
        **sampling
            ``num_inference_steps`` and ``guidance_scale`` of the image decoder; ``prior_steps``, ``prior_guidance`` and
            ``n_candidates`` of the prior; ``strength``, ``mix`` and ``level`` for this call; anything else the image decoder takes.
        """
        self._check_fitted()
        settings = self.settings()
        start, mix = sampling.pop("strength", settings["start"]), sampling.pop("mix", settings["mix"])
        level = sampling.pop("level", self.level)
        self._check_mix(start, mix)
        brain, blurry = self._parts(condition)
        embeddings = self.prior_.sample(brain, names=names, seed=seed, **_for_prior(sampling))
        own = {k: settings[k] for k in ("num_inference_steps", "guidance_scale") if settings[k] is not None} | sampling
        first = None if blurry is None else self._sized(self.blurry_.generate(blurry, names=names, seed=seed))
        if start is not None and first is not None:
            own |= {"per_item": {"image": first}, "strength": start}
        made = self.image_.generate(
            picture_condition(self.image_, embeddings, level=level), names=names, seed=seed, **own
        )
        if not mix:
            return made
        under = np.broadcast_to(self.mean_blurry_, made.shape) if first is None else first
        return ((1 - mix) * made + mix * under).astype(np.float32)

    def embeddings(self, windows: Windows, *, seed: int = 0, **sampling: Any) -> np.ndarray:
        """Return the image embeddings that pictures are made of, in the features' units, (n_windows, dim), float32."""
        self._check_fitted()
        return self.prior_.sample(
            self.prior_.condition(windows), names=windows.ids, seed=seed, **_for_prior(dict(sampling))
        )

    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0, **sampling: Any
    ) -> np.ndarray | None:  # fmt: skip
        """Return pictures of the true image embeddings: what the image decoder can do at best."""
        self._check_fitted()
        for name in (*_SAMPLING_OF_PRIOR, "strength", "mix", "level"):
            sampling.pop(name, None)
        return self.image_.ideal(stimulus_ids, pictures, features, seed=seed, **sampling)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder; prior, image decoder and blurry decoder in folders of their own."""
        self._check_fitted()
        folder = Path(folder)
        save_part(self.prior_, folder / "prior")
        save_part(self.image_, folder / "image")
        if self.blurry_ is not None:
            save_part(self.blurry_, folder / "blurry")
        arrays = {"mean_blurry": self.mean_blurry_} if self.blurry_ is not None else {}
        return save_picture_decoder(self, folder, arrays=arrays, more={"notes": self.notes_, "sizes": self.sizes_})

    @classmethod
    def load(cls, folder: str | Path) -> TwoStage:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.prior_, decoder.image_ = load_part(folder / "prior"), load_part(folder / "image")
        decoder.blurry_ = None if "mean_blurry" not in arrays else load_part(folder / "blurry")
        if decoder.blurry_ is not None:
            decoder.mean_blurry_ = arrays["mean_blurry"]
        decoder.notes_, decoder.sizes_ = more["notes"], more["sizes"]
        return decoder

    def settings(self) -> dict[str, Any]:
        """Return the settings in use: the preset's, then what was given.

        Raises
        ------
        BraindecError
            If there is no such preset, or a share is out of range.
        """
        if self.preset not in self.PRESETS:
            raise BraindecError(
                f"there is no preset {self.preset!r}{did_you_mean(str(self.preset), self.PRESETS)}",
                allowed=", ".join(self.PRESETS),
            )
        for name in ("prior_options", "image_options", "blurry"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise BraindecError(
                    f"{name} holds options by their names",
                    found=repr(value),
                    fix=f'{name}={{"name": {value!r}}}' if name != "prior_options" else None,
                )
        if not isinstance(self.level, Real) or not 0 <= self.level <= 1:
            raise BraindecError("level: how noisy embeddings are taken to be", found=repr(self.level), allowed="0 to 1")
        named = self.PRESETS[self.preset]
        found: dict[str, Any] = {
            k: {**named.get(k, {}), **(getattr(self, f"{k}_options") or {})} for k in ("prior", "image")
        }
        if self.preset.startswith("paper") and not (self.image_options or {}).keys() & {"name", "pretrained", "preset"}:
            raise BraindecError(
                f"the generator of {self.preset!r} is a pre-trained one, which must be named", found="image_options=None",
                fix='image_options={"pretrained": FOLDER or hub name (SDXL-Turbo for ATM), "pretrained_options": {"ip_adapter": ...}}, or '
                'image_options={"preset": "base"} to train one',
            )  # fmt: skip
        blurry = self.blurry
        if named.get("blurry") is not None and (
            blurry is None or blurry.get("name") in (None, named["blurry"]["name"])
        ):
            blurry = {**named["blurry"], **(blurry or {})}
        found["blurry"] = blurry
        for name in ("start", "mix", "num_inference_steps", "guidance_scale"):
            given = getattr(self, name)
            found[name] = named.get(name) if given is None else given
        found["mix"] = found["mix"] or 0.0
        self._check_mix(found["start"], found["mix"])
        if blurry is None and (found["start"] is not None or found["mix"]):
            raise BraindecError(
                "there is no blurry picture to start from or to mix in", found=f"start={found['start']}, mix={found['mix']}",
                fix='blurry={"name": "low_level"}',
            )  # fmt: skip
        return found

    def _made(self, options: Mapping[str, Any]) -> Any:
        if "name" not in options:
            raise BraindecError(
                "a part is named by its file in decoders", found=str(dict(options)), fix='{"name": ...}'
            )
        return make_decoder(options, seed=self.seed, device=self.device)

    def _parts(self, condition: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What the prior, and what the blurry decoder, is told."""
        if condition is None:
            return None, None
        n, *shape = self.sizes_
        values = told(condition, [n + (int(np.prod(shape)) if shape else 0)])
        return values[:, :n], values[:, n:].reshape(len(values), *shape) if shape else None

    def _sized(self, pictures: np.ndarray) -> np.ndarray:
        """Blurry pictures at the size and mode of the image decoder's."""
        height, width, channels = self.picture_shape_
        x = torch.from_numpy(np.ascontiguousarray(pictures, dtype=np.float32)).permute(0, 3, 1, 2)
        x = x.mean(dim=1, keepdim=True) if channels == 1 else x.expand(-1, channels, -1, -1)
        if tuple(x.shape[2:]) != (height, width):
            x = F.interpolate(x, size=(height, width), mode="bilinear", antialias=True).clamp(0, 1)
        return x.permute(0, 2, 3, 1).contiguous().numpy()

    def _check_start(self, settings: Mapping[str, Any]) -> None:
        if settings["start"] is not None and getattr(self.image_, "pretrained", None) is not None:
            raise BraindecError(
                "pre-trained generators that take image embeddings start from noise", found=f"start={settings['start']}",
                fix="start=None, and mix= for a share of the blurry picture",
            )  # fmt: skip

    @staticmethod
    def _check_mix(start: float | None, mix: float) -> None:
        numbers = isinstance(mix, Real) and (start is None or isinstance(start, Real))
        if not numbers or not 0 <= mix < 1 or (start is not None and not 0 <= start <= 1):
            raise BraindecError(
                "start is a strength of noise, mix a share of the picture", found=f"start={start}, mix={mix}",
                allowed="start 0 to 1, mix 0 to below 1",
            )  # fmt: skip

    def _notes(self, settings: Mapping[str, Any]) -> list[str]:
        notes = []
        if settings["mix"]:
            notes.append(
                f"Pictures are {1 - settings['mix']:g} of what the generator made plus {settings['mix']:g} of the blurry picture "
                f"({settings['blurry']['name']}), as MindEye2 does before all scores: pixel scores gain by it; prior_only is mixed "
                "with the mean blurry picture of the training rows. mix=0 gives the generator's own picture."
            )
        if settings["start"] is not None:
            notes.append(
                f"Sampling starts from the blurry picture ({settings['blurry']['name']}), noised to strength {settings['start']:g}."
            )
        if self.prior_.n_candidates > 1:
            notes.append(
                f"Of {self.prior_.n_candidates} image embeddings the one closest to the brain's own prediction is taken; what was "
                "shown has no part in the choice."
            )
        return notes


def _for_prior(sampling: dict[str, Any]) -> dict[str, Any]:
    """Take the prior's options out of those of a call."""
    names = {"prior_steps": "num_inference_steps", "prior_guidance": "guidance_scale", "n_candidates": "n_candidates"}
    return {names[k]: sampling.pop(k) for k in list(sampling) if k in names}
