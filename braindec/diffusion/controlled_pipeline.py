"""ControlledImagePipeline: a frozen denoiser that a list of named controls steers through a ControlNet.

Controls are a list of (name, tensor, weight): an image (a silhouette), a recording that convolutions turn into one, or a vector
for a residual block. Each becomes some channels of one control image; the ControlNet's convolutions are zero before training,
so that without training, or at ``control_scale=0``, pictures are those of the denoiser alone.

Source: Zhang, Rao & Agrawala 2023 (ICCV, ControlNet); GWIT (Lopez et al. 2025) and CMVDM (Zeng et al. 2024) for brain signals as
control, see :mod:`braindec.diffusion.signal_hint`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.image_pipeline import BrainImagePipeline, ImageOutput
from braindec.diffusion.signal_hint import ResidualHint, SignalHint
from braindec.errors import BraindecError, did_you_mean

Control = tuple[str, Any, float]
_KINDS = ("image", "signal", "residual")

__all__ = ["Control", "ControlHints", "ControlledImagePipeline"]


class ControlHints(ModelMixin, ConfigMixin):
    """From named controls to one control image (n, channels, height, width).

    Parameters
    ----------
    controls : sequence of mapping
        ``name`` and ``kind`` of each, and its settings: "image" (``channels``), "signal" (of :class:`SignalHint`), "residual"
        (of :class:`ResidualHint`); ``size`` is filled in.
    size : (int, int)
        Height and width of the control image.
    """

    @register_to_config
    def __init__(self, *, controls: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> None:
        super().__init__()
        self.modules_of = nn.ModuleDict()
        self.register_buffer(
            "nothing", torch.zeros(1)
        )  # images alone learn no number, and a module without any cannot be opened
        self.channels: dict[str, int] = {}
        for settings in controls:
            own = dict(settings)
            name, kind = str(own.pop("name")), own.pop("kind", "image")
            if kind not in _KINDS:
                raise BraindecError(
                    f"there is no kind of control {kind!r}{did_you_mean(kind, _KINDS)}", allowed=", ".join(_KINDS)
                )
            if kind == "image":
                self.channels[name] = int(own.get("channels", 1))
                continue
            made = (SignalHint if kind == "signal" else ResidualHint)(size=tuple(size), **own)
            self.modules_of[name], self.channels[name] = made, made.config.channels

    @property
    def n_channels(self) -> int:
        """Channels of the control image."""
        return sum(self.channels.values())

    def forward(self, controls: Sequence[Control]) -> torch.Tensor:
        """Return the control image of a list of (name, tensor, weight).

        Parameters
        ----------
        controls : sequence of (str, Tensor, float)
            Images are (n, channels, height, width), recordings (n, channel, time), vectors (n, dim). A control that is not in
            the list, or has weight 0, is empty.

        Raises
        ------
        BraindecError
            If a name is unknown or stands twice, shapes do not fit, or values are not finite.
        """
        parts = self._checked(controls)
        n = len(next(iter(parts.values()))[0])
        first = next(iter(parts.values()))[0]
        out = []
        for name, channels in self.channels.items():
            if name not in parts or parts[name][1] == 0:
                out.append(torch.zeros(n, channels, *self.config.size, dtype=first.dtype, device=first.device))
                continue
            value, weight = parts[name]
            out.append(weight * (self.modules_of[name](value) if name in self.modules_of else value))
        return torch.cat(out, dim=1)

    def _checked(self, controls: Sequence[Control]) -> dict[str, tuple[torch.Tensor, float]]:
        found: dict[str, tuple[torch.Tensor, float]] = {}
        for name, value, weight in controls:
            if name not in self.channels or name in found:
                what = "stands twice" if name in found else f"is unknown{did_you_mean(str(name), self.channels)}"
                raise BraindecError(f"the control {name!r} {what}", allowed=", ".join(self.channels))
            if not torch.isfinite(value).all() or not np.isfinite(weight):
                raise BraindecError(f"the control {name!r} is not finite", fix="leave these items out, or repair them")
            if name not in self.modules_of and tuple(value.shape[1:]) != (self.channels[name], *self.config.size):
                raise BraindecError(
                    f"the control image {name!r} does not fit", found=f"shape {tuple(value.shape)}",
                    allowed=f"(n, {self.channels[name]}, {self.config.size[0]}, {self.config.size[1]})",
                )  # fmt: skip
            found[name] = (value, float(weight))
        sizes = {len(v) for v, _ in found.values()}
        if len(sizes) != 1:
            raise BraindecError("every control needs one entry an item", found=f"{sorted(sizes)} items" if sizes else "no control",
                                allowed=f"a list of (name, tensor, weight) with names of: {', '.join(self.channels)}")  # fmt: skip
        return found


class ControlledImagePipeline(BrainImagePipeline):
    """Sample pictures for conditions and controls; all other options are those of :class:`BrainImagePipeline`.

    Parameters
    ----------
    unet, scheduler, conditioner, vae
        As there; frozen while the control was trained.
    controlnet : diffusers.ControlNetModel
        Copied from the denoiser by ``ControlNetModel.from_unet``.
    hints : ControlHints
        From the list of controls to the control image.
    """

    model_cpu_offload_seq = "conditioner->hints->controlnet->unet->vae"

    def __init__(
        self, unet: Any, scheduler: Any, conditioner: Conditioner, controlnet: Any, hints: ControlHints, vae: Any = None
    ) -> None:
        super().__init__(unet, scheduler, conditioner, vae, controlnet)
        self.register_modules(hints=hints)

    @torch.no_grad()
    def __call__(
        self, condition: Any = None, *, controls: Sequence[Control] | None = None, control: Any = None,
        control_scale: float = 1.0, **options: Any,
    ) -> ImageOutput | tuple[Any]:  # fmt: skip
        """Sample one picture an item.

        Parameters
        ----------
        condition : array, optional
            What the denoiser was trained with (a class, an embedding); None for "nothing".
        controls : sequence of (name, array, weight), optional
            Images are (n, height, width, channel), recordings (n, channel, time), vectors (n, dim). Without any the denoiser is
            alone, bit for bit.
        control : array of shape (n, height, width, channel), optional
            A control image that :meth:`control_image` made, instead of ``controls``.
        control_scale : float
            Of what the ControlNet adds; 0 is none.
        **options
            Of :meth:`BrainImagePipeline.__call__`.
        """
        if controls is not None and control is not None:
            raise BraindecError("controls or a control image, not both")
        image = self.control_image(controls) if controls else control
        if image is None:
            n = options.get("n") if condition is None else len(condition)
            image = np.zeros((int(n or 0), *self.hints.config.size, self.hints.n_channels), np.float32)
            control_scale = 0.0
        if condition is None:
            options["n"] = len(image) or None
        elif len(condition) != len(image):
            raise BraindecError(
                "a control is needed for each condition",
                found=f"{len(condition)} conditions, {len(image)} control images",
            )
        return super().__call__(condition, control=image, control_scale=control_scale, **options)

    @torch.no_grad()
    def control_image(self, controls: Sequence[Control]) -> np.ndarray:
        """Return the control image (n, height, width, channel) of a list of controls."""
        given = []
        for name, value, weight in controls:
            tensor = torch.as_tensor(np.asarray(value, dtype=np.float32), device=self._execution_device)
            image = tensor.ndim == 4
            given.append((name, tensor.permute(0, 3, 1, 2) if image else tensor, weight))
        return self.hints(given).permute(0, 2, 3, 1).float().cpu().numpy()
