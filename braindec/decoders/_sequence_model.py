"""The network of the sequence decoder: an encoder of the recording, perhaps one of the sound; built for subjects and sensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec import registry
from braindec.encoders._base import Encoder
from braindec.errors import BraindecError
from braindec.signal.layout import flat_positions
from braindec.types import Windows

__all__ = ["PairLoss", "SequenceModel", "build_encoder", "build_target", "layouts_of", "with_subject"]


class SequenceModel(nn.Module):
    """Recording to features at each sample, and the sound to what they are compared with, when that is learned too.

    Parameters
    ----------
    encoder : nn.Module
        (batch, channel, time) -> (batch, dim, time).
    target : nn.Module, optional
        (batch, unit, time) -> (batch, dim, time).
    fixed : bool
        Batch normalisation keeps its statistics in training (a new subject must not move what others share).
    """

    def __init__(self, encoder: nn.Module, target: nn.Module | None = None, *, fixed: bool = False) -> None:
        super().__init__()
        self.encoder, self.target, self.fixed = encoder, target, fixed

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor, sound: torch.Tensor | None = None) -> Any:
        """x (batch, channel, time), subject (batch,), sound (batch, unit, time) -> (batch, dim, time), or a pair of them."""
        z = self.encoder(x, subject=subject) if getattr(self.encoder, "uses_subject", False) else self.encoder(x)
        return z if self.target is None or sound is None else (z, self.target(sound))

    def train(self, mode: bool = True) -> SequenceModel:
        """Switch training on, without the batch normalisation when it is fixed."""
        super().train(mode)
        if mode and self.fixed:
            for part in self.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()
        return self


class PairLoss(nn.Module):
    """A loss for a model that gives (recording, sound)."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def constrain(self) -> None:
        """Bring a learned temperature back to its limit."""
        if hasattr(self.loss, "constrain"):
            self.loss.constrain()

    def forward(self, made: Any, y: torch.Tensor, **named: Any) -> torch.Tensor:
        """Return a scalar; ``y`` is not looked at when the model gives its own."""
        z, y = made if isinstance(made, tuple) else (made, y)
        return self.loss(z, y, **named)


def layouts_of(parts: Mapping[str, Windows]) -> list | None:
    """Places of the sensors on the unit square: one layout, or one a subject where sensors differ (filled with None).

    Raises
    ------
    BraindecError
        If a subject's sensors have no positions.
    """
    first = next(iter(parts.values()))
    n_chans = max(w.n_channels for w in parts.values())
    same = all(w.ch_names == first.ch_names for w in parts.values())
    found = [_listed(flat_positions(w), n_chans) for w in ([first] if same else parts.values())]
    return found[0] if same else found


def build_encoder(
    encoder: Any,
    parts: Mapping[str, Windows],
    dim: int,
    *,
    preset: str,
    options: Mapping[str, Any],
    subject_layers: bool,
) -> nn.Module:
    """Return the untrained encoder for the sensors and subjects of ``parts``.

    Raises
    ------
    BraindecError
        If the encoder gives no features at each sample, or cannot take different sensors.
    """
    first = next(iter(parts.values()))
    n_chans = max(w.n_channels for w in parts.values())
    differ = any(w.ch_names != first.ch_names for w in parts.values())
    if isinstance(encoder, nn.Module):
        made = deepcopy(encoder)
        _check_output(made, n_chans, first.n_times, dim)
        return made
    if not isinstance(encoder, str):
        raise BraindecError("encoder must be a name or a torch module", found=repr(encoder))
    kind = registry.get("encoders", encoder)
    known = inspect.signature(kind).parameters
    if not _keeps_time(kind):
        raise BraindecError(
            f"the encoder {encoder!r} gives one vector a window, not features at each sample", fix="encoder='clip_conv'"
        )
    given = {"pool": "none", **options}
    if "n_subjects" in known:
        given.setdefault("n_subjects", len(parts) if subject_layers else 0)
    if "positions" in known and "positions" not in given:
        given["positions"] = layouts_of(parts)
    if differ and (given.get("positions") is None or not subject_layers):
        raise BraindecError(
            "subjects have different sensors", found="; ".join(f"{s}: {w.n_channels} channels" for s, w in list(parts.items())[:4]),
            fix="clip_conv with positions of the sensors and subject_layers=True, or keep the channels that all share (common_channels)",
        )  # fmt: skip
    return kind.from_preset(preset, n_chans=n_chans, n_times=first.n_times, dim=dim, **given)


def build_target(name: str, n_units: int, n_times: int, *, options: Mapping[str, Any]) -> Encoder:
    """Return the untrained encoder of the sound; ``options`` has ``dim`` and ``preset`` beside its own settings."""
    given = {"dim": 768, "preset": "tiny", **options}
    preset, dim = given.pop("preset"), given.pop("dim")
    kind = registry.get("encoders", name)
    if not _keeps_time(kind):
        raise BraindecError(
            f"the encoder {name!r} gives one vector a segment, not features at each sample",
            fix="target_encoder='deep_mel'",
        )
    return kind.from_preset(preset, n_chans=n_units, n_times=n_times, dim=dim, **{"pool": "none", **given})


@torch.no_grad()
def with_subject(encoder: Encoder, windows: Windows, n_known: int, *, known_names: list[str] | None) -> Encoder:
    """Return a copy that knows one more subject: the mean of the known layers, and a layout where sensors are others.

    Parameters
    ----------
    encoder : Encoder
    windows : Windows
        Of the new subject.
    n_known : int
        Subjects that are known.
    known_names : list of str, optional
        Channels of the known subjects when they share one layout.

    Raises
    ------
    BraindecError
        If the encoder has no subject layers, or mixes channels without knowing their places and they differ.
    """
    settings = dict(encoder.settings)
    if not settings.get("n_subjects"):
        raise BraindecError("this decoder has no subject layers, so a new subject cannot have one", fix="how='scale' or 'finetune', or train with subject_layers=True")  # fmt: skip
    places, n_chans = settings.get("positions"), max(encoder.n_chans, windows.n_channels)
    shared = known_names is not None and list(windows.ch_names) == known_names
    if places is None:
        if not shared:
            raise BraindecError("the new subject has other sensors, and the encoder does not know their places",
                                fix="train with positions of the sensors")  # fmt: skip
    elif not shared:
        layouts = [places] * n_known if known_names is not None else places
        pad = [_filled(layout, n_chans) for layout in layouts]
        settings["positions"] = [*pad, _listed(flat_positions(windows), n_chans)]
    made = type(encoder)(**{**settings, "n_chans": n_chans, "n_subjects": n_known + 1})
    state = dict(encoder.state_dict())
    layers = state.pop("subject_layers")
    made.load_state_dict(
        {**made.state_dict(), **state, "subject_layers": torch.cat([layers, layers.mean(0, keepdim=True)])}
    )
    return made


def _keeps_time(kind: type) -> bool:
    """Whether an encoder can give features at each sample: it has ``pool="none"``."""
    pool = inspect.signature(kind).parameters.get("pool")
    return pool is not None and isinstance(pool.default, str)


def _listed(flat: np.ndarray, n_chans: int) -> list:
    """Pairs [x, y] as plain numbers, None where unknown, up to ``n_chans``."""
    return _filled([[float(x), float(y)] if np.isfinite([x, y]).all() else None for x, y in flat], n_chans)


def _filled(layout: list, n_chans: int) -> list:
    return [*layout, *[None] * (n_chans - len(layout))]


def _check_output(module: nn.Module, n_chans: int, n_times: int, dim: int) -> None:
    training = module.training
    with torch.no_grad():
        made = module.eval()(torch.zeros(2, n_chans, n_times))
    module.train(training)
    if tuple(made.shape) != (2, dim, n_times):
        raise BraindecError(f"the encoder {type(module).__name__} does not give the features at each sample",
                            found=f"{tuple(made.shape)} for an input (2, {n_chans}, {n_times})", allowed=f"(batch, {dim}, {n_times})")  # fmt: skip
