"""Recipes: a Python file with ``Config``, ``units``, ``inputs`` and ``run``, and a YAML file of its defaults.

A recipe is the only place where rooms meet. It is loaded by its path, so that a worker needs only the path, the
settings and the unit.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from braindec import __version__, registry
from braindec.cache import Cache, fingerprint, hash_key
from braindec.config import RecipeConfig, load_config, read_yaml
from braindec.errors import BraindecError
from braindec.types import Result

Unit = dict[str, str]


@dataclass(frozen=True)
class Work:
    """What a recipe's ``run`` may use besides its settings.

    Parameters
    ----------
    folder : Path
        The unit's own folder for checkpoints; an interrupted run finds it again.
    cache : Cache
        Costly arrays, shared by all units and runs.
    seed : int
        From the recipe's seed and the unit: the same whatever else is run.
    """

    folder: Path
    cache: Cache
    seed: int

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator of its own for the step ``name``."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "little"))


@dataclass(frozen=True)
class Recipe:
    """A loaded recipe.

    Parameters
    ----------
    path : Path
        Its Python file.
    module : module
        Has ``Config`` (a :class:`braindec.config.RecipeConfig`), ``units(config)``, ``inputs(config, unit)``,
        ``run(config, unit, work)`` and optionally ``summary(config, results)`` and ``CITATIONS``.
    """

    path: Path
    module: ModuleType

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.stem

    @property
    def title(self) -> str:
        """First line of the docstring."""
        return (self.module.__doc__ or self.name).strip().splitlines()[0]

    @property
    def source(self) -> str:
        """Hash of the recipe's Python file: other code makes other results."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    def config(self, cohort: str | Path | None = None, overrides: Sequence[str] = ()) -> RecipeConfig:
        """Return the settings: the recipe's defaults, then the cohort's differences, then ``key=value`` words."""
        defaults = self.path.with_suffix(".yaml")
        files = [defaults] if defaults.is_file() else []
        if cohort is not None:
            path = registry.file("recipes/cohorts", ".yaml", str(cohort))
            named = read_yaml(path).get("recipe")
            if named not in (None, self.name):
                raise BraindecError(
                    f"the cohort {path.name} is for the recipe {named!r}, not {self.name!r}",
                    fix=f"braindec run {named} --cohort {cohort}",
                )
            files.append(path)
        return load_config(self.module.Config, *files, overrides=overrides)

    def units(self, config: RecipeConfig, only: Mapping[str, str] | None = None) -> list[Unit]:
        """Return the units of work, or those that agree with ``only``."""
        units = [{k: str(v) for k, v in u.items()} for u in self.module.units(config)]
        if not only:
            return units
        kept = [u for u in units if all(u.get(k) == v for k, v in only.items())]
        if not kept:
            raise BraindecError(
                f"no unit of work is {_words(only)}",
                allowed="; ".join(_words(u) for u in units[:40]) or "there are none",
            )
        return kept

    def key(self, config: RecipeConfig, unit: Unit) -> tuple[str, dict[str, str]]:
        """Return the unit's key and the fingerprints of its input files."""
        given = self.module.inputs(config, unit)
        paths = [Path(p).absolute() for p in given]  # some are named from the folder we are in, others from the root
        inputs = {_short(p, paths): fingerprint(p) for p in paths}
        parts = {"config": config.for_key(), "unit": unit, "recipe": self.name, "source": self.source,
                 "inputs": inputs, "version": __version__}  # fmt: skip
        return hash_key(parts), inputs

    def run(self, config: RecipeConfig, unit: Unit, work: Work) -> Result:
        """Run one unit."""
        return self.module.run(config, unit, work)

    def summary(self, config: RecipeConfig, results: Sequence[Result]) -> Result | None:
        """Return the recipe's result over all units, if it makes one."""
        make = getattr(self.module, "summary", None)
        return make(config, results) if make and results else None


def load_recipe(name: str | Path) -> Recipe:
    """Load a recipe by name or by the path of its Python file.

    Raises
    ------
    BraindecError
        If there is none, it cannot be imported, or a part of it is missing.
    """
    path = registry.file("recipes", ".py", str(name)).resolve()
    label = f"braindec_recipe_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if label in sys.modules:
        return Recipe(path, sys.modules[label])
    spec = importlib.util.spec_from_file_location(label, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module
    try:
        spec.loader.exec_module(module)
        missing = [part for part in ("Config", "units", "inputs", "run") if not hasattr(module, part)]
        if missing:
            raise BraindecError(f"{path} is not a recipe", found=f"it lacks {', '.join(missing)}",
                                fix="CONTRIBUTING.md shows a recipe")  # fmt: skip
    except BaseException:
        del sys.modules[label]
        raise
    return Recipe(path, module)


def unit_name(unit: Unit) -> str:
    """Return the readable name of a unit, safe as a folder name: ``subject-01_fold-2``."""
    text = "_".join(f"{k}-{v}" for k, v in unit.items()) or "all"
    return "".join(c if c.isalnum() or c in "-_.+" else "-" for c in text).lstrip(".") or "all"


def _words(unit: Mapping[str, str]) -> str:
    return ",".join(f"{k}={v}" for k, v in unit.items())


def unit_seed(seed: int, unit: Unit) -> int:
    """Return a seed that depends on the recipe's seed and the unit only."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{unit_name(unit)}".encode()).digest()[:4], "little")


def parse_unit(words: Sequence[str]) -> dict[str, str]:
    """Read ``subject=03`` words (also joined by commas)."""
    unit: dict[str, Any] = {}
    for word in (w for words_ in words for w in words_.split(",")):
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise BraindecError(f"cannot read the unit {word!r}", allowed="key=value, e.g. --unit subject=03")
        unit[key.strip()] = value.strip()
    return unit


def _short(path: Path, paths: Sequence[Path]) -> str:
    """The path below the folder that all inputs share: readable, and the same on another machine."""
    parents = [set(p.parents) for p in paths]
    common = max(set.intersection(*parents), key=lambda p: len(p.parts)) if len(paths) > 1 else path.parent
    return path.relative_to(common).as_posix() if path != common else path.name
