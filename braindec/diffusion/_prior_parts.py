"""What priors of embeddings share: features of the timestep, rotary positions, bins of distances, shapes that are checked.

Source: sinusoidal features, Vaswani et al. 2017 (section 3.5); rotary positions, Su et al. 2021 (RoFormer, section 3.2.2);
bins of distances, Raffel et al. 2020 (T5, section 2.1), here with bins of their own for either side.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch

from braindec.errors import BraindecError, did_you_mean

__all__ = ["distance_bins", "fitted_shape", "preset_settings", "rotary_angles", "rotated", "time_features"]


def time_features(timesteps: torch.Tensor, dim: int) -> torch.Tensor:
    """Return cosines and sines of timesteps (batch,) at wavelengths from 2 pi to 20,000 pi, (batch, dim), float32."""
    half = dim // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=timesteps.device, dtype=torch.float32) / half)
    angles = timesteps.float()[:, None] * rates
    out = torch.cat([angles.cos(), angles.sin()], dim=1)
    return out if out.shape[1] == dim else torch.nn.functional.pad(out, (0, dim - out.shape[1]))


def rotary_angles(n: int, dim: int, *, device: Any = None) -> torch.Tensor:
    """Return the angle of each place and pair of dimensions, (n, dim // 2), float32."""
    rates = 10_000.0 ** (-torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim)
    return torch.arange(n, device=device, dtype=torch.float32)[:, None] * rates


def rotated(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn pairs of the first dimensions of x (..., n, dim) by angles (n, n_pairs); further dimensions stay."""
    n_turned = 2 * angles.shape[1]
    first, second = x[..., 0:n_turned:2], x[..., 1:n_turned:2]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    turned = torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1).flatten(-2)
    return torch.cat([turned, x[..., n_turned:]], dim=-1)


def distance_bins(n: int, n_bins: int, furthest: int, *, device: Any = None) -> torch.Tensor:
    """Return the bin of the distance of each pair of places, (n, n) int64.

    Half of the bins are for places before, half for those after; near distances have a bin each, far ones share bins that
    widen as a logarithm up to ``furthest``.
    """
    places = torch.arange(n, device=device)
    distance = places[None, :] - places[:, None]
    half = n_bins // 2
    exact = max(1, half // 2)
    far = distance.abs().clamp(min=1).float()
    wide = exact + torch.log(far / exact) / math.log(max(furthest, exact + 1) / exact) * (half - exact)
    side = torch.where(distance.abs() < exact, distance.abs(), wide.long().clamp(max=half - 1))
    return side + half * (distance > 0)


def fitted_shape(values: torch.Tensor, shape: tuple[int, ...], what: str) -> torch.Tensor:
    """Return values as (batch, *shape); flat rows of as many numbers are folded.

    Raises
    ------
    BraindecError
        If they hold another number of dimensions than the model was built for.
    """
    if tuple(values.shape[1:]) == shape:
        return values
    if math.prod(values.shape[1:]) == math.prod(shape) and (values.ndim == 2 or len(shape) == 1):
        return values.reshape(len(values), *shape)
    raise BraindecError(
        f"{what} does not fit the prior", found=f"shape {tuple(values.shape)}",
        allowed="(n, " + ", ".join(map(str, shape)) + ")",
        fix="give what the prior was trained with, or train a prior for yours",
    )  # fmt: skip


def preset_settings(
    kind: type, presets: Mapping[str, Mapping[str, Any]], preset: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a named size with changes, or say which names and settings there are."""
    if preset not in presets:
        raise BraindecError(
            f"{kind.__name__} has no preset {preset!r}{did_you_mean(str(preset), presets)}", allowed=", ".join(presets)
        )
    allowed = [p for p in inspect.signature(kind.__init__).parameters if p != "self"]
    unknown = [name for name in changes if name not in allowed]
    if unknown:
        raise BraindecError(
            f"{kind.__name__} has no setting {unknown[0]!r}{did_you_mean(unknown[0], allowed)}",
            allowed=", ".join(allowed),
        )
    return {**presets[preset], **changes}
