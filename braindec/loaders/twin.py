"""Twins: small synthetic data sets in the layout of published ones, with planted truth; one layout a file in ``twins``.

A twin is read by the card and the reader of the real data set, so a recipe that runs on the twin runs on the data.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from braindec import __version__, cache, registry
from braindec.errors import BraindecError
from braindec.files import write_text
from braindec.types import Features
from braindec.types.storage import hdf5, to_json

__all__ = ["Twin", "make_twin", "open_twin", "twin_folder", "write_features", "write_truth"]

_ABOUT = "braindec_twin.json"


@dataclass(frozen=True)
class Twin:
    """A synthetic data set in the layout of a published one.

    Parameters
    ----------
    root : Path
        Its folder; ``data.root`` of a recipe.
    dataset : str
        The card (or "" where the layout has none).
    reader, options
        How to read it: the reader of the card, and options beyond those of the card.
    recipe : str
        A recipe that runs on it.
    settings : mapping
        Settings of that recipe (beyond ``data``) that this layout needs; ``{root}`` stands for the folder.
    about : mapping
        Sizes and the seed.
    """

    root: Path
    dataset: str
    reader: str
    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def features_path(self) -> str:
        """The file of the stimuli's features."""
        return str(self.root / "twin" / "features.h5")

    @property
    def features(self) -> Features:
        """Features of the stimuli, from which the responses were made."""
        return Features.open(self.features_path)

    @property
    def data(self) -> dict[str, Any]:
        """The section ``data`` of a recipe: root, dataset or reader, options."""
        named = {"dataset": self.dataset} if self.dataset else {"reader": self.reader}
        return {"root": str(self.root), **named, "options": dict(self.options)}

    def filled(self) -> dict[str, Any]:
        """Return the settings with the folder filled in."""
        return _filled(dict(self.settings), str(self.root))

    def words(self) -> list[str]:
        """Return the settings of a run on this twin as ``key=value`` words of the command line."""
        data = {key: value for key, value in self.data.items() if value}
        return [f"{key}={_word(value)}" for key, value in _flat({"data": data, **self.filled()})]

    def truth(self) -> dict[str, np.ndarray]:
        """Return what was planted; names are those of the layout's module docstring."""
        with hdf5(self.root / "twin" / "truth.h5", "r") as file:
            found: dict[str, np.ndarray] = {}
            file.visititems(lambda name, item: found.update({name: item[()]}) if hasattr(item, "shape") else None)
        return found


def make_twin(name: str, folder: str | Path, *, seed: int = 0, **sizes: Any) -> Twin:
    """Write the twin of a layout, or open the one that is there already.

    Parameters
    ----------
    name : str
        A file in ``loaders/twins``.
    folder : str or Path
        Where; it is made, and must be empty or hold the same twin.
    seed : int
        Same seed and sizes, same bytes.
    **sizes
        Of the layout's function: n_subjects, n_trials, ...

    Raises
    ------
    BraindecError
        If there is no such layout, or the folder holds something else.
    """
    make = registry.get("loaders.twins", name)
    folder = Path(folder)
    wanted = to_json({"twin": name, "seed": seed, **sizes})
    if (folder / _ABOUT).is_file():
        found = open_twin(folder)
        if found.about.get("made_with") == wanted:
            return found
        raise BraindecError(
            f"{folder} holds another twin", found=str(found.about.get("made_with")), fix="choose another folder"
        )
    if folder.exists() and any(folder.iterdir()):
        raise BraindecError(f"{folder} is not empty", fix="choose another folder for the twin")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        made = make(work, seed=seed, **sizes)
        plain = {"dataset": made.dataset, "reader": made.reader, "recipe": made.recipe, "options": dict(made.options),
                 "settings": dict(made.settings), "about": {**made.about, "made_with": wanted}}  # fmt: skip
        write_text(work / _ABOUT, json.dumps(plain, indent=1, sort_keys=True) + "\n")
        if folder.exists():
            folder.rmdir()
        os.replace(work, folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return open_twin(folder)


def twin_folder(name: str, **options: Any) -> Path:
    """Return where a recipe keeps the twin with these options: ``$BRAINDEC_CACHE`` or ``~/.cache/braindec``, below ``twins``."""
    return cache.default_folder() / "twins" / f"{name}-{cache.hash_key({'version': __version__, **options})}"


def open_twin(folder: str | Path) -> Twin:
    """Open a twin that :func:`make_twin` wrote."""
    folder = Path(folder)
    try:
        plain = json.loads((folder / _ABOUT).read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise BraindecError(
            f"{folder} holds no twin", found=str(error), fix=f"make one: braindec twin NAME {folder}"
        ) from None
    return Twin(root=folder, **plain)


def _flat(table: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Leaves of nested tables with dotted names."""
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{before}{key}"
        found += _flat(value, f"{name}.") if isinstance(value, Mapping) and value else [(name, value)]
    return found


def _filled(value: Any, root: str) -> Any:
    if isinstance(value, Mapping):
        return {k: _filled(v, root) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, root) for v in value]
    return value.replace("{root}", root) if isinstance(value, str) else value


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if not set(text) & set(" \"'[]{}*") else "'" + text.replace("'", "'\\''") + "'"


def write_truth(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write what was planted into ``folder/twin/truth.h5``; names may contain "/"."""
    (folder / "twin").mkdir(exist_ok=True)
    with hdf5(folder / "twin" / "truth.h5", "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=np.asarray(values))


def write_features(folder: Path, features: Features) -> None:
    """Write the stimuli's features into ``folder/twin/features.h5``."""
    (folder / "twin").mkdir(exist_ok=True)
    features.save(folder / "twin" / "features.h5")
