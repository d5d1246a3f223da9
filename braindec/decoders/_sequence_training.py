"""What a decoder of sequences is told about validation windows: their loss, top-10, and the scale of its probabilities."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from braindec.decoders._sequence_data import SequenceBatches
from braindec.decoders._sequence_model import SequenceModel
from braindec.decoders._sequence_retrieval import best_scale
from braindec.decoders.contrastive import _device_of

_AT_ONCE = 256  # validation windows that are contrasted with one another
_SOME = 512  # windows that the scale of probabilities is found on
_K = 10

__all__ = ["scale_of", "validate_sequences"]


def validate_sequences(model: SequenceModel, loss: nn.Module, held: SequenceBatches, *, seed: int) -> dict[str, float]:
    """Return the mean loss among validation windows, and top-10 among their segments (ties share the places)."""
    device, values, sizes, credit = _device_of(model), [], [], 0.0
    shown = np.unique(held.items)
    candidates = _candidates(model, held, shown)
    for batch in held.fixed(seed, _AT_ONCE):
        x, y, ids = (batch[k].to(device) for k in ("x", "y", "ids"))
        made = model(x, subject=batch["subject"].to(device), sound=None if model.target is None else y)
        values.append(loss(made, y, ids=ids).item())
        sizes.append(len(x))
        z = made[0] if isinstance(made, tuple) else made
        similarity = z.flatten(1) @ candidates.T
        own = torch.from_numpy(np.searchsorted(shown, batch["ids"].numpy())).to(device)
        mine = similarity.gather(1, own[:, None])
        above, tied = (similarity > mine).sum(1), (similarity == mine).sum(1)
        credit += ((_K - above) / tied).clamp(0, 1).sum().item()
    return {"loss": float(np.average(values, weights=sizes)), f"top{_K}": credit / sum(sizes)}


@torch.no_grad()
def scale_of(model: SequenceModel, batches: SequenceBatches, *, seed: int) -> float:
    """The factor on similarities with the smallest cross-entropy among the segments of some windows."""
    device = _device_of(model)
    model.eval()
    rows = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed))[:_SOME].numpy()
    shown = np.unique(batches.items[rows])
    candidates, made = _candidates(model, batches, shown), []
    for start in range(0, len(rows), _AT_ONCE):
        batch = batches.batch(rows[start : start + _AT_ONCE])
        made.append(model(batch["x"].to(device), subject=batch["subject"].to(device)).flatten(1) @ candidates.T)
    return best_scale(torch.cat(made).cpu().numpy(), np.searchsorted(shown, batches.items[rows]))


def _candidates(model: SequenceModel, batches: SequenceBatches, shown: np.ndarray) -> torch.Tensor:
    """Segments as they are compared, each of length 1, (n, dim x time)."""
    y = torch.from_numpy(batches.targets.standardise(batches.segments.load(shown))).to(_device_of(model))
    y = y if model.target is None else model.target(y)
    return F.normalize(y.flatten(1), dim=1)
