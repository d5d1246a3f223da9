"""One unit of work in its folder: run it, keep what it made, say how it went."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import socket
import subprocess
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import braindec
from braindec.cache import Cache, fingerprint
from braindec.config import RecipeConfig
from braindec.engine.recipe import Recipe, Unit, Work, load_recipe, unit_name, unit_seed
from braindec.errors import BraindecError
from braindec.files import explain_os_error, remove_stale, write_text
from braindec.types import Result

_REPORTED = (
    "braindec",
    "numpy",
    "scipy",
    "pandas",
    "mne",
    "mne-bids",
    "nibabel",
    "nilearn",
    "scikit-learn",
    "torch",
    "h5py",
)


def execute(
    recipe_path: str, config_json: str, unit: Unit, out: str, cache: str, *, debug: bool = False
) -> dict[str, Any]:
    """Run one unit, or find it done; plain arguments, so that any worker can do it.

    Returns
    -------
    dict
        state ("done", "cached" or "failed"), unit, seconds, and error for a failed one.
    """
    recipe = load_recipe(recipe_path)
    config = recipe.module.Config.model_validate_json(config_json)
    folder = Path(out) / "units" / unit_name(unit)
    began = time.perf_counter()
    key = ""
    try:
        key, inputs = recipe.key(config, unit)
        if finished(folder, key):
            return {"state": "cached", "unit": unit, "seconds": 0.0}
        _run(recipe, config, unit, folder, key, inputs, cache)
        return {"state": "done", "unit": unit, "seconds": time.perf_counter() - began}
    except KeyboardInterrupt:
        raise
    except Exception as error:
        if debug:
            raise
        return _failed(error, unit, folder, key, time.perf_counter() - began)


def finished(folder: Path, key: str) -> bool:
    """Whether ``folder`` holds a whole result that was made with ``key``."""
    status = read_status(folder)
    if status.get("state") != "done" or status.get("key") != key:
        return False
    hashes = status.get("files", {})
    return bool(hashes) and all((folder / n).is_file() and fingerprint(folder / n) == h for n, h in hashes.items())


def read_status(folder: Path) -> dict[str, Any]:
    """Return the status of a unit's folder; empty when there is none."""
    try:
        return json.loads((folder / "status.json").read_text(encoding="utf8"))
    except (OSError, ValueError):
        return {}


def _run(recipe: Recipe, config: RecipeConfig, unit: Unit, folder: Path, key: str, inputs: dict, cache: str) -> None:
    """Run, then write the result and last of all the status, which makes the result count."""
    began = time.perf_counter()
    if folder.is_dir():
        remove_stale(folder)
    work = Work(folder / f"work-{key[:8]}", Cache(cache), unit_seed(config.seed, unit))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        result = recipe.run(config, unit, work)
    texts = sorted(
        {f"{w.category.__name__}: {w.message}" for w in caught if issubclass(w.category, (UserWarning, RuntimeWarning))}
    )
    made_by = {
        **result.made_by,
        "unit": unit,
        "recipe": recipe.name,
        "title": recipe.title,
        "config": config.model_dump(mode="json"),
        "key": key,
        "source": recipe.source,
        "inputs": inputs,
        "seconds": round(time.perf_counter() - began, 2),
        "warnings": [*result.made_by.get("warnings", []), *texts],
        "citations": [*getattr(recipe.module, "CITATIONS", []), *result.made_by.get("citations", [])],
        **provenance(),
    }
    scores = result.scores
    for name, value in reversed(list(unit.items())):
        if name not in scores:
            scores.insert(0, name, value)
    (folder / "status.json").unlink(missing_ok=True)
    Result(scores, result.arrays, made_by).save(folder)
    files = {n: fingerprint(folder / n) for n in ("scores.csv", "arrays.h5", "made_by.json")}
    write_text(
        folder / "status.json", json.dumps({"state": "done", "key": key, "unit": unit, "files": files}, indent=1)
    )
    (folder / "error.txt").unlink(missing_ok=True)


def _failed(error: Exception, unit: Unit, folder: Path, key: str, seconds: float) -> dict[str, Any]:
    """Record a failure; a result that an earlier run finished stays where it is."""
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
        error = explain_os_error(error, folder)
    known = isinstance(error, BraindecError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    report = {"state": "failed", "unit": unit, "seconds": seconds, "error": text, "kind": type(error).__name__}
    try:
        write_text(folder / "error.txt", "".join(traceback.format_exception(error)))
        if read_status(folder).get("state") != "done":
            write_text(folder / "status.json", json.dumps({**report, "key": key}, indent=1))
    except BraindecError as full:  # the disk may be what failed
        report["error"] = f"{text}\n{full}"
    return report


def provenance() -> dict[str, Any]:
    """Return versions, commit, host and time: who made a result."""
    versions = {"python": platform.python_version()}
    for package in _REPORTED:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    versions["braindec"] = braindec.__version__
    return {
        "versions": versions,
        "commit": _commit(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _commit() -> str | None:
    """The commit of the checkout that runs, with "+changes" when files differ from it; None for an installed package."""
    root = Path(braindec.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        ask = ["git", "-C", str(root)]
        head = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        changed = subprocess.run([*ask, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10)  # noqa: S603
        return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None
