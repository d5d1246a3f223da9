"""What every encoder shares: plain constructor settings, presets, the shape check, saving without pickle."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import nn

from braindec import registry
from braindec.errors import BraindecError, did_you_mean
from braindec.files import write_text
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["Encoder", "at_least"]


class Encoder(nn.Module):
    """A map from windows (batch, channel, time) to vectors (batch, dim).

    Subclasses take keyword settings that are plain JSON values (kept in ``settings``), define ``forward`` and name
    their sizes in ``PRESETS``.

    Parameters
    ----------
    n_chans, n_times : int
        Channels and samples of a window.
    dim : int
        Length of the output: of an embedding, or the number of classes.

    Raises
    ------
    BraindecError
        If one of them is not a whole number of at least 1.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}
    uses_subject: ClassVar[bool] = False
    settings: dict[str, Any]

    def __new__(cls, *args: Any, **settings: Any) -> Encoder:
        """Keep the constructor's settings, defaults included, so that the encoder can be saved and built again."""
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **settings)
        bound.apply_defaults()
        del bound.arguments["self"]
        loose = [p.name for p in bound.signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
        extra = bound.arguments.pop(loose[0]) if loose else {}
        self.__dict__["settings"] = {**bound.arguments, **extra}
        return self

    def __init__(self, *, n_chans: int, n_times: int, dim: int) -> None:
        super().__init__()
        for name, value in (("n_chans", n_chans), ("n_times", n_times), ("dim", dim)):
            if isinstance(value, bool) or int(value) != value or value < 1:
                raise BraindecError(
                    f"{name} of {type(self).__name__} must be a whole number of at least 1", found=repr(value)
                )
        self.n_chans, self.n_times, self.dim = int(n_chans), int(n_times), int(dim)

    @classmethod
    def from_preset(cls, preset: str, *, n_chans: int, n_times: int, dim: int, **changes: Any) -> Encoder:
        """Build an encoder of a named size.

        Parameters
        ----------
        preset : str
            A key of ``PRESETS``: "tiny" trains on two cores in a minute, "paper" has the published sizes.
        n_chans, n_times, dim : int
            As in the constructor.
        **changes
            Settings that differ from the preset.

        Raises
        ------
        BraindecError
            If there is no such preset or setting, or a size does not fit.
        """
        return cls(n_chans=n_chans, n_times=n_times, dim=dim, **cls.settings(preset, **changes))

    @classmethod
    def settings(cls, preset: str, **changes: Any) -> dict[str, Any]:
        """Return the settings of a preset with ``changes``; BraindecError if there is no such preset or setting."""
        if preset not in cls.PRESETS:
            raise BraindecError(
                f"{cls.__name__} has no preset {preset!r}{did_you_mean(preset, cls.PRESETS)}",
                allowed=", ".join(cls.PRESETS),
            )
        allowed = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
        unknown = [name for name in changes if name not in allowed]
        if unknown:
            raise BraindecError(
                f"{cls.__name__} has no setting {unknown[0]!r}{did_you_mean(unknown[0], allowed)}",
                allowed=", ".join(allowed),
            )
        return {**cls.PRESETS[preset], **changes}

    def __call__(self, x: torch.Tensor, **context: Any) -> torch.Tensor:
        """Check the shape of ``x`` and run ``forward``."""
        if x.ndim != 3 or tuple(x.shape[1:]) != (self.n_chans, self.n_times):
            raise BraindecError(
                f"{type(self).__name__} was built for windows of (channel, time) = ({self.n_chans}, {self.n_times})",
                found=f"an input of shape {tuple(x.shape)}", allowed=f"(batch, {self.n_chans}, {self.n_times})",
            )  # fmt: skip
        return super().__call__(x, **context)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, dim)."""
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def constrain(self) -> None:
        """Put the weights back where they must be; the training loop calls it after each step. Nothing by default."""

    @property
    def n_parameters(self) -> int:
        """How many numbers are learned."""
        return sum(p.numel() for p in self.parameters())

    def save(self, folder: str | Path) -> Path:
        """Write ``model.safetensors`` and ``model.json`` and return the folder."""
        folder = Path(folder)
        try:
            settings = json.dumps(self.settings)
        except TypeError as error:
            raise BraindecError(
                f"the settings of {type(self).__name__} are not plain JSON values", found=str(error),
                fix="keep numbers, text, lists and None in the constructor",
            ) from error  # fmt: skip
        save_tensors(self.state_dict(), folder / "model.safetensors")
        about = {
            "encoder": registered_name(type(self)), "class": type(self).__name__, "settings": json.loads(settings),
            "n_parameters": self.n_parameters, "weights_sha256": sha256(folder / "model.safetensors"),
        }  # fmt: skip
        write_text(folder / "model.json", json.dumps(about, indent=1) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Encoder:
        """Build the encoder that :meth:`save` wrote.

        ``Encoder.load`` finds the class by its registered name; ``MyEncoder.load`` is for a class of your own.

        Raises
        ------
        BraindecError
            If the folder does not hold a whole encoder, or one of another class.
        """
        folder = Path(folder)
        about = read_json(folder / "model.json")
        kind = cls if cls is not Encoder else _named(about.get("encoder"), folder)
        if about.get("class") != kind.__name__:
            raise BraindecError(f"{folder} does not hold a {kind.__name__}", found=f"{about.get('class')!r}")
        check_whole(folder / "model.safetensors", about.get("weights_sha256"))
        encoder = kind(**about["settings"])
        encoder.load_state_dict(load_file(folder / "model.safetensors"))
        return encoder.eval()


def at_least(kind: str, n_times: int, minimum: int, why: str) -> None:
    """Raise when windows are too short for an encoder; the message has the minimum and where it comes from."""
    if n_times < minimum:
        raise BraindecError(
            f"windows of {n_times} samples are too short for {kind}", found=f"n_times={n_times}",
            allowed=f"at least {minimum} samples ({why})",
            fix="use longer windows or a higher sampling rate, a smaller preset, or shorter kernels (same names as settings)",
        )  # fmt: skip


def registered_name(kind: type) -> str | None:
    """Return the name under which a class is registered as an encoder, or None."""
    own = kind.__module__.rpartition(".")
    if own[0] == "braindec.encoders" and own[2] in registry.names("encoders"):
        return own[2]
    outside = (n for n in registry.names("encoders") if registry.load_module("encoders", n).__name__ == kind.__module__)
    return next(outside, None) if own[0].split(".")[0] != "braindec" else None


def _named(name: str | None, folder: Path) -> type[Encoder]:
    if name is None:
        raise BraindecError(
            f"{folder} holds an encoder that is not registered",
            fix="load it through its own class: MyEncoder.load(folder)",
        )
    return registry.get("encoders", name)
