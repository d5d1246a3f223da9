"""Moving pictures by optical flow: a still frame becomes a film.

Flow is (to the right, down) in pixels a frame. "Forward" flow says of each pixel of a frame where it goes; it is spread over
the four pixels around its end, and where several things end up, what moves faster lies in front; places that nothing
reaches are filled from their neighbours. "Backward" flow says of each pixel where it comes from, and is read there.

Source: Niklaus & Liu 2020 (CVPR, softmax splatting, eq. 6-11: sums weighted by exp(importance)).
Differs from the reference in: importance is the length of the flow, as there is no depth.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from braindec.errors import BraindecError

__all__ = ["animate", "warp_backward", "warp_forward"]

_FRONT = 4.0  # importance of one pixel a frame: exp(4) beside what rests
_REACHED = 0.25  # share of a pixel that must be covered; less is a hole


def warp_backward(frames: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Return pictures whose pixel ``p`` is that of ``frames`` at ``p + flow(p)``, bilinear, the border going on outside.

    Parameters
    ----------
    frames : Tensor of shape (batch, channel, height, width)
    flow : Tensor of shape (batch, height, width, 2)

    Returns
    -------
    Tensor of shape (batch, channel, height, width)
    """
    _check(frames, flow)
    h, w = frames.shape[-2:]
    place = _grid(h, w, frames) + flow
    scale = frames.new_tensor([max(w - 1, 1), max(h - 1, 1)])
    return F.grid_sample(frames, 2 * place / scale - 1, mode="bilinear", padding_mode="border", align_corners=True)


def warp_forward(frames: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Return pictures in which each pixel of ``frames`` went where its flow points; shapes as in :func:`warp_backward`."""
    _check(frames, flow)
    b, c, h, w = frames.shape
    place = _grid(h, w, frames) + flow  # (batch, height, width, 2)
    corner = place.floor()
    part = place - corner
    weight = torch.exp(_FRONT * flow.norm(dim=-1).clamp(max=4.0))
    values = torch.cat([frames * weight[:, None], weight[:, None], torch.ones_like(weight)[:, None]], dim=1)
    total = frames.new_zeros(b, c + 2, h * w)
    for dy in (0, 1):
        for dx in (0, 1):
            x, y = corner[..., 0] + dx, corner[..., 1] + dy
            share = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
            share = share * ((x >= 0) & (x < w) & (y >= 0) & (y < h))
            index = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).long().reshape(b, 1, -1)
            total.scatter_add_(2, index.expand(-1, c + 2, -1), (values * share[:, None]).reshape(b, c + 2, -1))
    total = total.reshape(b, c + 2, h, w)
    reached = total[:, c + 1 :] >= _REACHED
    made = total[:, :c] / total[:, c : c + 1].clamp(min=1e-12)
    return _filled(made, reached)


def animate(first: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Return the film of a first frame that moves by forward flow.

    Parameters
    ----------
    first : Tensor of shape (batch, channel, height, width)
    flow : Tensor of shape (batch, n_frames - 1, height, width, 2)
        Of each frame to the next.

    Returns
    -------
    Tensor of shape (batch, channel, n_frames, height, width)
    """
    frames = [first]
    for step in range(flow.shape[1]):
        frames.append(warp_forward(frames[-1], flow[:, step]))
    return torch.stack(frames, dim=2)


def _filled(made: torch.Tensor, reached: torch.Tensor) -> torch.Tensor:
    """Fill holes with the mean of neighbours that are known, from their borders inwards."""
    h, w = made.shape[-2:]
    known = reached.to(made.dtype)
    made = made * known
    for _ in range(h + w):
        if bool(known.all()):
            return made
        around = 9 * F.avg_pool2d(F.pad(known, (1, 1, 1, 1)), 3, stride=1)
        mean = 9 * F.avg_pool2d(F.pad(made, (1, 1, 1, 1)), 3, stride=1) / around.clamp(min=1e-12)
        new = (known == 0) & (around > 0)
        if not bool(new.any()):
            return made  # nothing of this picture was reached at all
        made, known = torch.where(new, mean, made), torch.where(new, torch.ones_like(known), known)
    return made


def _grid(h: int, w: int, like: torch.Tensor) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([x, y], dim=-1).to(like)


def _check(frames: torch.Tensor, flow: torch.Tensor) -> None:
    if frames.ndim != 4 or tuple(flow.shape) != (frames.shape[0], *frames.shape[2:], 2):
        raise BraindecError(
            "the flow does not fit the pictures", found=f"pictures {tuple(frames.shape)}, flow {tuple(flow.shape)}",
            allowed="(n, channel, height, width) and (n, height, width, 2)",
        )  # fmt: skip
