"""Names: a name is a file in a folder of the package, or an entry point. Listing imports nothing.

``names("encoders")`` lists the modules of ``braindec/encoders``; ``get("encoders", "nice")`` imports that one
file and returns the object that its ``__all__`` names first. Other packages add names through the entry-point
group ``braindec.encoders`` (``braindec.<kind>`` in general). Recipes, data-set cards and atlas cards are files in
the folders that :func:`share` finds, in the checkout or inside the wheel.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from braindec.errors import BraindecError, did_you_mean

_ROOT = Path(__file__).resolve().parent


def share(kind: str) -> Path:
    """Return the folder of ``kind`` ("recipes", "datasets" or "atlases"): the checkout's, or the wheel's."""
    packaged = _ROOT / "_share" / kind
    return packaged if packaged.is_dir() else _ROOT.parent / kind


def names(kind: str) -> list[str]:
    """Return the sorted names of ``kind``, a folder such as "encoders" or "evaluate.metrics"; imports none of them.

    Folders inside it are no names.
    """
    folder = _ROOT.joinpath(*kind.split("."))
    if not folder.is_dir():
        raise BraindecError(f"there is no kind of thing called {kind!r}", fix="name a folder of the package")
    own = {m.name for m in pkgutil.iter_modules([str(folder)]) if not m.ispkg and not m.name.startswith("_")}
    return sorted(own | set(_plugins(kind)))


def get(kind: str, name: str) -> Any:
    """Import the file ``name`` of ``kind`` and return the first object of its ``__all__``.

    Raises
    ------
    BraindecError
        If there is no such name; the message has the nearest one and the list.
    """
    plugins = _plugins(kind)
    if name in plugins:
        return plugins[name].load()
    module = load_module(kind, name)
    public = getattr(module, "__all__", None)
    if not public:
        raise BraindecError(f"{module.__name__} has no __all__", fix="name its main object first in __all__")
    return getattr(module, public[0])


def load_module(kind: str, name: str) -> Any:
    """Import and return the module that holds ``name`` of ``kind``."""
    check(kind, name)
    plugins = _plugins(kind)
    return importlib.import_module(plugins[name].module if name in plugins else f"braindec.{kind}.{name}")


def check(kind: str, name: str) -> None:
    """Raise unless ``kind`` has ``name``; imports nothing."""
    known = names(kind)
    if name not in known:
        raise BraindecError(
            f"{kind} has no {name!r}{did_you_mean(str(name), known)}", allowed=", ".join(known) or "nothing yet"
        )


def files(kind: str, suffix: str) -> dict[str, Path]:
    """Return name -> path of the files of a shared folder ("recipes", "recipes/cohorts", "datasets", "atlases")."""
    return {p.stem: p for p in sorted(share(kind).glob(f"*{suffix}")) if not p.name.startswith("_")}


def file(kind: str, suffix: str, name: str) -> Path:
    """Return the path of one shared file; ``name`` may also be a path to a file of the user's own."""
    own = Path(name)
    if own.suffix == suffix or own.is_file():
        if own.is_file():
            return own
        raise BraindecError(
            f"there is no file {name}", fix=f"check the path, or use a name: {', '.join(files(kind, suffix))}"
        )
    table = files(kind, suffix)
    if name not in table:
        raise BraindecError(
            f"{kind} has no {name!r}{did_you_mean(name, table)}",
            allowed=", ".join(table) or "nothing yet",
            fix=f"use one of these names, or the path of a {suffix} file",
        )
    return table[name]


@cache
def _plugins(kind: str) -> dict[str, Any]:
    return {e.name: e for e in entry_points(group=f"braindec.{kind}")}
