"""Weights on disk: safetensors written whole, JSON beside it, a sha256 that says whether the two belong together.

:class:`SavedModule` is a torch module whose constructor settings are plain JSON values and are kept, so that it can be
saved without pickle, built again, and made in named sizes.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from braindec import registry
from braindec.errors import BraindecError, did_you_mean
from braindec.files import write_text, written_whole

__all__ = ["SavedModule", "check_whole", "read_json", "save_tensors", "sha256"]


class SavedModule(nn.Module):
    """A module with settings that are plain JSON values, named sizes, and files without pickle.

    Subclasses take keyword settings (kept in ``settings``) and name their sizes in ``PRESETS``; the direct subclass that
    stands for a kind of model (encoders, language networks) names its registry folder in ``KIND`` and a ``WORD`` for it.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}
    KIND: ClassVar[str] = ""
    WORD: ClassVar[str] = "model"

    def __new__(cls, *args: Any, **settings: Any) -> SavedModule:
        """Keep the constructor's settings, defaults included, so that the module can be saved and built again."""
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **settings)
        bound.apply_defaults()
        del bound.arguments["self"]
        loose = [p.name for p in bound.signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
        extra = bound.arguments.pop(loose[0]) if loose else {}
        self.__dict__["settings"] = {**bound.arguments, **extra}
        return self

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
            self.WORD: _registered_name(type(self)), "class": type(self).__name__, "settings": json.loads(settings),
            "n_parameters": self.n_parameters, "weights_sha256": sha256(folder / "model.safetensors"),
        }  # fmt: skip
        write_text(folder / "model.json", json.dumps(about, indent=1) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> SavedModule:
        """Build the module that :meth:`save` wrote.

        Called on the class of a kind (``Encoder.load``) it finds the class by its registered name; ``MyEncoder.load`` is
        for a class of your own.

        Raises
        ------
        BraindecError
            If the folder does not hold a whole module, or one of another class.
        """
        folder = Path(folder)
        about = read_json(folder / "model.json")
        kind = _named(cls, about.get(cls.WORD), folder) if "KIND" in vars(cls) else cls
        if about.get("class") != kind.__name__:
            raise BraindecError(f"{folder} does not hold a {kind.__name__}", found=f"{about.get('class')!r}")
        check_whole(folder / "model.safetensors", about.get("weights_sha256"))
        module = kind(**about["settings"])
        module.load_state_dict(load_file(folder / "model.safetensors"))
        return module.eval()


def _registered_name(kind: type[SavedModule]) -> str | None:
    """Return the name under which a class is registered, or None."""
    folder, _, name = kind.__module__.rpartition(".")
    if folder == f"braindec.{kind.KIND}" and name in registry.names(kind.KIND):
        return name
    outside = (n for n in registry.names(kind.KIND) if registry.load_module(kind.KIND, n).__name__ == kind.__module__)
    return next(outside, None) if folder.split(".")[0] != "braindec" else None


def _named(kind: type[SavedModule], name: str | None, folder: Path) -> type[SavedModule]:
    if name is None:
        raise BraindecError(
            f"{folder} holds a {kind.WORD} that is not registered",
            fix=f"load it through its own class: My{kind.__name__}.load(folder)",
        )
    return registry.get(kind.KIND, name)


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as one safetensors file, whole or not at all; tensors that share memory are copied."""
    own = {name: t.detach().to("cpu").contiguous().clone() for name, t in tensors.items()}
    with written_whole(path) as temporary:
        try:
            save_file(own, temporary)
        except SafetensorError as error:  # its own type for a full disk; written_whole explains those of the system
            raise OSError(str(error)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file, or say that it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError as error:
        raise BraindecError(f"{path.parent} has no {path.name}", fix="name a folder that save() wrote") from error
    except ValueError as error:
        raise BraindecError(f"{path} is damaged", found=str(error), fix="save it again") from error


def check_whole(path: Path, expected: str | None) -> None:
    """Raise unless the file is there and is the one that its JSON describes."""
    if not path.is_file():
        raise BraindecError(f"{path.parent} has no {path.name}", fix="name a folder that save() wrote")
    if expected is not None and sha256(path) != expected:
        raise BraindecError(
            f"{path} is not the file that its JSON describes", found="another sha256",
            fix="saving was interrupted or the file was changed: save it again",
        )  # fmt: skip


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
