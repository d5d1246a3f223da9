"""Any number of voxels to a fixed number, and back: what lets one model read every subject.

Source: Wang et al. 2024 (CVPR), "MindBridge", section 3.2: adaptive maximum over the voxels as they are stored.
Differs from the reference in: averages are offered too, and an order of the voxels along a space-filling curve (Morton
1966), so that a pool holds neighbours; the maximum over voxels in stored order means something only where neighbours are
stored together.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from braindec.errors import BraindecError

POOLINGS = ("max", "average", "ordered")
_HALF_BOX, _BITS = 0.128, 8  # m from the origin to the side of the cube that the curve fills; cells of 1 mm

__all__ = ["POOLINGS", "pool", "unpool", "voxel_order"]


def pool(values: torch.Tensor, n_pools: int, kind: str, order: torch.Tensor | None = None) -> torch.Tensor:
    """Values (batch, n) -> (batch, n_pools); pools overlap by at most one value, and repeat values when n < n_pools.

    Parameters
    ----------
    values : Tensor of shape (batch, n)
    n_pools : int
    kind : {"max", "average", "ordered"}
        "ordered" is the average of the values taken in ``order``.
    order : LongTensor of shape (n,), optional
    """
    if kind == "max":
        return F.adaptive_max_pool1d(values.unsqueeze(1), n_pools).squeeze(1)
    if kind == "ordered" and order is not None:
        values = values[:, order]
    return F.adaptive_avg_pool1d(values.unsqueeze(1), n_pools).squeeze(1)


def unpool(pooled: torch.Tensor, n: int, order: torch.Tensor | None = None) -> torch.Tensor:
    """Pools (batch, n_pools) -> (batch, n): each value is the mean of the pools that it was part of."""
    n_pools = pooled.shape[1]
    k = torch.arange(n_pools, device=pooled.device)
    first, stop = k * n // n_pools, ((k + 1) * n + n_pools - 1) // n_pools  # as adaptive pooling cuts them
    total = pooled.new_zeros(len(pooled), n + 1)
    count = pooled.new_zeros(n + 1)
    for ends, sign in ((first, 1.0), (stop, -1.0)):
        total.index_add_(1, ends, sign * pooled)
        count.index_add_(0, ends, torch.full_like(ends, sign, dtype=pooled.dtype))
    values = total.cumsum(1)[:, :n] / count.cumsum(0)[:n]
    if order is None:
        return values
    out = torch.empty_like(values)
    out[:, order] = values
    return out


def voxel_order(positions: np.ndarray) -> np.ndarray:
    """Return the order of voxels along a curve through space on which neighbours are mostly neighbours in space.

    The curve lies still in space (a cube of 256 mm around the origin), so in a common space it passes the same regions of
    all subjects in the same order.

    Parameters
    ----------
    positions : array of shape (n_voxels, 3)
        x, y, z in m.

    Raises
    ------
    BraindecError
        If a position is not finite.
    """
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or not np.isfinite(positions).all():
        raise BraindecError(
            "ordered pooling needs the position of every voxel",
            found=f"shape {positions.shape}, {int((~np.isfinite(positions)).sum())} values that are not finite",
            allowed="columns x, y, z of the channels, in m", fix="use pooling='average'",
        )  # fmt: skip
    cells = np.clip((positions + _HALF_BOX) / (2 * _HALF_BOX) * 2**_BITS, 0, 2**_BITS - 1).astype(np.int64)
    code = np.zeros(len(cells), dtype=np.int64)
    for bit in range(_BITS):
        for axis in range(3):
            code |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")
