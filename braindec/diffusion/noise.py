"""Noise by name: what is drawn for an item depends on the seed and the item's name, never on its place in a batch.

So a picture does not change when other items are decoded beside it, and two conditions that are compared (the brain's and a
control's) start from the same noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from braindec.errors import BraindecError

__all__ = ["item_generators", "named_noise"]


def item_generators(names: Sequence[Any], seed: int) -> list[torch.Generator]:
    """Return one generator on the CPU for each name, seeded by (seed, name).

    Parameters
    ----------
    names : sequence of shape (n,)
        Window ids, stimulus ids: anything with a text.
    seed : int
        Another seed is another sample.
    """
    return [torch.Generator().manual_seed(_number(seed, name)) for name in names]


def named_noise(names: Sequence[Any], shape: Sequence[int], seed: int, *, device: Any = "cpu") -> torch.Tensor:
    """Return standard normal noise ``(n, *shape)``, float32; row i is that of ``names[i]``."""
    rows = [torch.randn(tuple(shape), generator=g) for g in item_generators(names, seed)]
    return (torch.stack(rows) if rows else torch.zeros(0, *shape)).to(device)


def _number(seed: int, name: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise BraindecError("the seed must be a whole number", found=repr(seed))
    digest = hashlib.sha256(f"{int(seed)}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
