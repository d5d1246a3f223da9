"""BlurryDecoder: from a vector of the recording straight to the latent of an autoencoder; three published forms in one.

``mindeye1``: Linear, LayerNorm, SiLU, Dropout; residual blocks; Linear to a small grid; GroupNorm; the decoder half of an
autoencoder. ``mindeye2``: Linear from the backbone's hidden vector, Dropout, GroupNorm, the decoder half. ``atm``: a Linear over
time for each channel, flattened to a grid of one point, then transposed convolutions.

Source: Scotti et al. 2023 (NeurIPS, MindEye, section 3.3 and appendix); Scotti et al. 2024 (ICML, MindEye2, section 2.2); Li et
al. 2024 (NeurIPS, ATM, section 3.3).
Differs from the references in: sizes are settings. The auxiliary heads that were matched to features of a convolutional network are
left out. Widths of the transposed convolutions of ATM, which the paper does not give, halve from 1024.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.errors import BraindecError, did_you_mean

__all__ = ["BlurryDecoder"]

_FORMS = ("mindeye1", "mindeye2", "atm")


class BlurryDecoder(ModelMixin, ConfigMixin):
    """Map windows (batch, n_chans, n_times) to latents (batch, latent_channels, latent_size, latent_size).

    Parameters
    ----------
    form : {"mindeye1", "mindeye2", "atm"}
    n_chans, n_times : int
        Of what is read; voxels are channels with one sample.
    latent_channels, latent_size : int
        Of the autoencoder's latents.
    hidden : int
        Width of the vector (4096 in MindEye); in "atm" what each channel's samples become (128).
    n_blocks : int
        Residual blocks of "mindeye1" (4).
    grid : int
        Side of the small grid (16 in MindEye1, 7 in MindEye2).
    grid_channels : int
        Its channels (64).
    widths : tuple of int
        ``block_out_channels`` of the decoder half, from the widest picture inwards: each after the first doubles the side; in
        "atm" the widths of the transposed convolutions from the first on.
    groups : int
        Of GroupNorm.
    dropout : tuple of float
        After the first Linear, and in the blocks.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"form": "mindeye1", "hidden": 128, "n_blocks": 1, "grid": 4, "grid_channels": 16, "widths": (16, 32), "groups": 8,
                 "dropout": (0.3, 0.15)},
        "tiny:mindeye2": {"form": "mindeye2", "hidden": 128, "grid": 4, "grid_channels": 16, "widths": (16, 32), "groups": 8,
                          "dropout": (0.3, 0.3)},
        "tiny:atm": {"form": "atm", "hidden": 8, "widths": (64, 32, 16), "groups": 8},
        "base": {"form": "mindeye1", "hidden": 1024, "n_blocks": 2, "grid": 8, "grid_channels": 32, "widths": (32, 64, 64),
                 "groups": 32},
        "paper:mindeye1": {"form": "mindeye1", "hidden": 4096, "n_blocks": 4, "grid": 16, "grid_channels": 64,
                           "widths": (64, 128, 256), "groups": 32, "latent_channels": 4, "latent_size": 64,
                           "dropout": (0.5, 0.25)},
        "paper:mindeye2": {"form": "mindeye2", "hidden": 4096, "grid": 7, "grid_channels": 64, "widths": (32, 64, 128),
                           "groups": 32, "latent_channels": 4, "latent_size": 28, "dropout": (0.5, 0.3)},
        "paper:atm": {"form": "atm", "hidden": 128, "widths": (1024, 512, 256, 128, 64), "latent_channels": 4, "latent_size": 64},
    }  # fmt: skip

    @register_to_config
    def __init__(
        self, *, form: str = "mindeye1", n_chans: int, n_times: int = 1, latent_channels: int = 4, latent_size: int = 8,
        hidden: int = 128, n_blocks: int = 1, grid: int = 4, grid_channels: int = 16, widths: tuple[int, ...] = (16, 32),
        groups: int = 8, dropout: tuple[float, float] = (0.5, 0.25),
    ) -> None:  # fmt: skip
        super().__init__()
        if form not in _FORMS:
            raise BraindecError(f"there is no form {form!r}{did_you_mean(form, _FORMS)}", allowed=", ".join(_FORMS))
        if form == "atm":
            self.first: nn.Module = nn.Linear(n_times, hidden)
            self.up = _transposed(n_chans * hidden, widths, latent_channels, latent_size)
            return
        made = grid * 2 ** (len(widths) - 1)
        if made != latent_size:
            raise BraindecError(
                "the grid does not grow to the latents", found=f"a grid of {grid}, doubled {len(widths) - 1} times, is {made}",
                allowed=f"{latent_size}", fix="change grid, or the number of widths",
            )  # fmt: skip
        size = grid_channels * grid**2
        self.first = nn.Sequential(
            nn.Linear(n_chans * n_times, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Dropout(dropout[0])
        )
        n = n_blocks if form == "mindeye1" else 0
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Dropout(dropout[1]))
            for _ in range(n)
        )
        self.last = nn.Linear(hidden, size, bias=form == "mindeye2")
        self.drop = nn.Dropout(dropout[1] if form == "mindeye2" else 0.0)
        self.norm = nn.GroupNorm(1, grid_channels)
        self.decoder = AutoencoderKL(  # diffusers shows its decoder half only through the whole
            in_channels=1, out_channels=latent_channels, latent_channels=grid_channels, block_out_channels=tuple(widths),
            down_block_types=("DownEncoderBlock2D",) * len(widths), up_block_types=("UpDecoderBlock2D",) * len(widths),
            layers_per_block=1, norm_num_groups=groups, use_quant_conv=False, use_post_quant_conv=False,
        ).decoder  # fmt: skip

    @classmethod
    def settings(cls, preset: str, *, latent_size: int, latent_channels: int, **changes: Any) -> dict[str, Any]:
        """Return the settings of a preset for latents of a size; the small grids of "tiny" and "base" are fitted to it."""
        if preset not in cls.PRESETS:
            raise BraindecError(
                f"BlurryDecoder has no preset {preset!r}{did_you_mean(preset, cls.PRESETS)}", allowed=", ".join(cls.PRESETS)
            )  # fmt: skip
        found = {**cls.PRESETS[preset], **changes}
        own = (found.get("latent_size", latent_size), found.get("latent_channels", latent_channels))
        if own != (latent_size, latent_channels):
            raise BraindecError(
                f"the preset {preset!r} makes other latents than the autoencoder", found=f"{own[1]} x {own[0]} x {own[0]}",
                allowed=f"{latent_channels} x {latent_size} x {latent_size}", fix="choose the autoencoder it was made for, or 'tiny'",
            )  # fmt: skip
        if not preset.startswith("paper") and found["form"] != "atm" and "grid" not in changes:
            while latent_size % 2 ** (len(found["widths"]) - 1):
                found["widths"] = found["widths"][:-1]
            found["grid"] = latent_size // 2 ** (len(found["widths"]) - 1)
        return {**found, "latent_size": latent_size, "latent_channels": latent_channels}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, n_chans, n_times) -> (batch, latent_channels, latent_size, latent_size)."""
        if self.config.form == "atm":
            return self.up(self.first(x).flatten(1)[:, :, None, None])
        h = self.first(x.flatten(1))
        for block in self.blocks:
            h = h + block(h)
        grid = self.drop(self.last(h)).reshape(len(x), self.config.grid_channels, self.config.grid, self.config.grid)
        return self.decoder(self.norm(grid))


def _transposed(n: int, widths: tuple[int, ...], channels: int, size: int) -> nn.Sequential:
    """Transposed convolutions that double the side, from one point to ``size``; the last ones keep the last width."""
    n_layers = size.bit_length() - 1
    if 2**n_layers != size:
        raise BraindecError(
            "transposed convolutions double the side", found=f"latents of {size}", allowed="powers of 2"
        )
    layers: list[nn.Module] = []
    for i in range(n_layers):
        last = i == n_layers - 1
        out = channels if last else widths[min(i, len(widths) - 1)]
        layers.append(nn.ConvTranspose2d(n, out, kernel_size=4, stride=2, padding=1))
        layers += [] if last else [nn.BatchNorm2d(out), nn.ReLU()]
        n = out
    return nn.Sequential(*layers)
