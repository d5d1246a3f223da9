"""Noise whose frames share a part: the prior of films, because the frames of a film are nearly one picture.

Frame ``f`` of the noise is ``e_f = sqrt(m) * e_shared + sqrt(1 - m) * e_own_f`` ("mixed"), so that every value is standard
normal and two frames correlate by ``m``; or ``e_f = sqrt(m) * e_(f-1) + sqrt(1 - m) * e_own_f`` ("progressive"), so that
frames that lie ``d`` apart correlate by ``m ** (d / 2)``. ``m = 0`` is independent noise, ``m = 1`` one noise for all frames.

Source: Sun et al. 2024 (arXiv 2402.01590, NeuroCine: dependent prior noise for films read from fMRI); the two formulas are
those of Ge et al. 2023 (ICCV, PYoCo, section 4.2, with ``m = alpha ** 2 / (1 + alpha ** 2)``).
Differs from the reference in: NeuroCine's mixing is not public; here it is an option, and training and sampling share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from braindec.diffusion.noise import item_generators
from braindec.errors import BraindecError, did_you_mean

__all__ = ["FILM_NOISES", "film_noise", "frame_covariance", "mix_frames"]

FILM_NOISES = ("mixed", "progressive")


def check_mixing(mixing: float, kind: str) -> None:
    """Raise unless ``mixing`` is a share and ``kind`` a known way."""
    if kind not in FILM_NOISES:
        raise BraindecError(
            f"there is no film noise {kind!r}{did_you_mean(kind, FILM_NOISES)}", allowed=", ".join(FILM_NOISES)
        )
    if not 0 <= mixing <= 1:
        raise BraindecError("the share of noise that frames have in common", found=repr(mixing), allowed="0 to 1")


def mix_frames(own: torch.Tensor, mixing: float, *, kind: str = "mixed", shared: Any = None) -> torch.Tensor:
    """Make frames share noise.

    Parameters
    ----------
    own : Tensor of shape (batch, channel, frame, height, width)
        Independent standard normal noise.
    mixing : float
        ``m`` of the formulas, 0 to 1.
    kind : {"mixed", "progressive"}
    shared : Tensor of shape (batch, channel, height, width), optional
        Independent standard normal noise that all frames get a part of; needed by "mixed" when ``mixing > 0``.

    Returns
    -------
    Tensor of shape (batch, channel, frame, height, width)
    """
    check_mixing(mixing, kind)
    if mixing == 0:
        return own
    if kind == "mixed":
        if shared is None:
            raise BraindecError("mixed film noise needs the noise that frames share", fix="pass shared=")
        return mixing**0.5 * shared[:, :, None] + (1 - mixing) ** 0.5 * own
    frames = [own[:, :, 0]]
    for f in range(1, own.shape[2]):
        frames.append(mixing**0.5 * frames[-1] + (1 - mixing) ** 0.5 * own[:, :, f])
    return torch.stack(frames, dim=2)


def film_noise(
    shape: Sequence[int], generators: Sequence[torch.Generator], *, mixing: float = 0.0, kind: str = "mixed"
) -> torch.Tensor:
    """Draw the noise of films, one generator an item, so that an item's noise depends on nothing else.

    Parameters
    ----------
    shape : (channel, frame, height, width)
    generators : sequence of torch.Generator of shape (n,)
        ``item_generators(names, seed)``, for instance.
    mixing, kind
        As in :func:`mix_frames`.

    Returns
    -------
    Tensor of shape (n, channel, frame, height, width), float32
    """
    check_mixing(mixing, kind)
    c, f, h, w = shape
    rows = [torch.randn((c, f + 1, h, w), generator=g, device=g.device) for g in generators]
    drawn = torch.stack(rows) if rows else torch.zeros(0, c, f + 1, h, w)
    return mix_frames(drawn[:, :, 1:], mixing, kind=kind, shared=drawn[:, :, 0])


def named_film_noise(names: Sequence[Any], shape: Sequence[int], seed: int, **options: Any) -> torch.Tensor:
    """Return :func:`film_noise` of items by (seed, name)."""
    return film_noise(shape, item_generators(names, seed), **options)


def frame_covariance(n_frames: int, mixing: float, kind: str = "mixed") -> torch.Tensor:
    """Return the covariance between frames that :func:`mix_frames` has by its formula, (n_frames, n_frames)."""
    check_mixing(mixing, kind)
    apart = (torch.arange(n_frames)[:, None] - torch.arange(n_frames)).abs().double()
    if kind == "mixed":
        return torch.where(apart == 0, 1.0, float(mixing)).double()
    return torch.pow(torch.tensor(mixing, dtype=torch.float64), apart / 2)
