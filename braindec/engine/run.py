"""A run: all units of a recipe into one folder; finished ones are kept, a failed one does not stop the others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from braindec.cache import default_folder
from braindec.config import RecipeConfig
from braindec.engine.recipe import Recipe, Unit, load_recipe, unit_name
from braindec.engine.unit import execute, provenance, read_status
from braindec.errors import BraindecError
from braindec.files import remove_stale, write_text
from braindec.types import Result
from braindec.types.result import scores_csv
from braindec.types.storage import to_json

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class RunSummary:
    """How a run went.

    Parameters
    ----------
    out : Path
        The folder of the run.
    outcomes : list of dict
        One a unit: state ("done", "cached", "failed"), unit, seconds, error.
    notes : list of str
        What the user should know.
    """

    out: Path
    outcomes: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The units that failed."""
        return [o for o in self.outcomes if o["state"] == "failed"]

    @property
    def exit_code(self) -> int:
        """0 when every unit is finished, else 1."""
        return 1 if self.failed or not self.outcomes else 0


def run(
    recipe: str | Path | Recipe,
    *,
    cohort: str | Path | None = None,
    overrides: Sequence[str] = (),
    only: Mapping[str, str] | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    out: str | Path,
    cache: str | Path | None = None,
    debug: bool = False,
    tell: Callable[[str], None] = print,
) -> RunSummary:
    """Run a recipe for all its units and gather the scores.

    Parameters
    ----------
    recipe : str, Path or Recipe
        Name or path.
    cohort : str or Path, optional
        Name or path of a cohort's YAML file.
    overrides : sequence of str
        ``key=value`` words.
    only : mapping, optional
        Run only the units that agree with it, e.g. ``{"subject": "03"}``.
    jobs : int
        Workers; more than one needs the extra ``cluster``.
    scheduler : str, optional
        A dask scheduler file: units go to the workers of that cluster.
    out : str or Path
        Folder of the run. Finished units in it are kept.
    cache : str or Path, optional
        Folder of costly arrays; ``$BRAINDEC_CACHE`` or ``~/.cache/braindec`` by default.
    debug : bool
        Raise the first failure with its traceback.
    tell : callable
        Gets one line of text for each unit.

    Raises
    ------
    BraindecError
        If the settings cannot be used. A unit that fails does not raise.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    config = recipe.config(cohort, overrides)
    units = recipe.units(config, only)
    if not units:
        raise BraindecError(f"{recipe.name} has no units of work", fix="check select and the data folder")
    out = Path(out)
    if out.is_file():
        raise BraindecError(f"--out {out} is a file", fix="name a folder")
    _check_same_recipe(recipe, out)
    write_text(out / "request.json", to_json(_request(recipe, config, cohort)))
    remove_stale(out)
    cache = str(cache or default_folder())
    submit = _workers(jobs, scheduler, tell)
    outcomes = []
    tasks = [(str(recipe.path), config.model_dump_json(), unit, str(out), cache) for unit in units]
    for number, outcome in enumerate(submit(tasks, debug), start=1):
        outcomes.append(outcome)
        tell(f"[{number}/{len(units)}] {_line(outcome, out)}")
    order = {unit_name(u): i for i, u in enumerate(units)}
    outcomes.sort(key=lambda o: order[unit_name(o["unit"])])
    gather(recipe, config, out, outcomes)
    return RunSummary(out, outcomes)


def _check_same_recipe(recipe: Recipe, out: Path) -> None:
    """Units of two recipes never stand in one folder."""
    try:
        other = json.loads((out / "request.json").read_text(encoding="utf8"))["recipe"]
    except (OSError, ValueError, TypeError, KeyError):
        return  # a new folder, or a file that was damaged: it is written again
    if other != recipe.name:
        raise BraindecError(
            f"{out} holds results of the recipe {other!r}, not of {recipe.name!r}", fix="name another folder with --out"
        )


def gather(recipe: Recipe, config: RecipeConfig, out: Path, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Write scores.csv, failures.csv, made_by.json and the summary from the units that are finished in ``out``."""
    failures = [{**o["unit"], "error": o["error"]} for o in outcomes if o["state"] == "failed"]
    results, left_out = [], []
    for unit in _all_units(recipe, config, outcomes, out):
        folder = out / "units" / unit_name(unit)
        status = read_status(folder)
        if status.get("state") != "done":
            continue
        try:
            result = Result.open(folder)
        except BraindecError as error:
            failures.append({**unit, "error": str(error)})
            continue
        if _same_settings(result, config, recipe):
            results.append(result)
        else:
            left_out.append(unit_name(unit))
    write_text(
        out / "failures.csv", pd.DataFrame(failures, columns=None if failures else ["error"]).to_csv(index=False)
    )
    scores = Result.concat(results)
    summary = recipe.summary(config, results)
    if summary is not None:
        Result(summary.scores, summary.arrays, {**summary.made_by, **provenance()}).save(out / "summary")
        scores = pd.concat([scores, summary.scores], ignore_index=True) if len(summary.scores) else scores
    if results or not left_out or not (out / "scores.csv").is_file():  # scores of an older version are not thrown away
        write_text(out / "scores.csv", scores_csv(scores))
    made_by = {**_request(recipe, config, None), **provenance(), "units": len(results), "failed": len(failures),
               "left_out": left_out}  # fmt: skip
    write_text(out / "made_by.json", json.dumps(json.loads(to_json(made_by)), indent=1))


def _all_units(recipe: Recipe, config: RecipeConfig, outcomes: Sequence[Mapping[str, Any]], out: Path) -> list[Unit]:
    """Every unit of the cohort, also those that were not selected this time; where the data are out of reach, those in ``out``."""
    everything = config.model_copy(update={"select": type(config.select)()})
    try:
        units = recipe.units(everything)
    except BraindecError:
        units = []
    if not units:
        finished = [read_status(folder).get("unit") for folder in sorted((out / "units").glob("*"))]
        units = [unit for unit in finished if isinstance(unit, dict)]
    known = {unit_name(u) for u in units}
    return units + [dict(o["unit"]) for o in outcomes if unit_name(o["unit"]) not in known]


def _same_settings(result: Result, config: RecipeConfig, recipe: Recipe) -> bool:
    used = result.made_by.get("config")
    if not isinstance(used, dict) or result.made_by.get("source") != recipe.source:
        return False
    try:
        return type(config).model_validate(used).for_key() == config.for_key()
    except ValueError:
        return False


def _request(recipe: Recipe, config: RecipeConfig, cohort: str | Path | None) -> dict[str, Any]:
    request = {"recipe": recipe.name, "title": recipe.title, "doc": recipe.module.__doc__, "question": config.question, "path": str(recipe.path),
               "config": config.model_dump(mode="json"), "citations": getattr(recipe.module, "CITATIONS", [])}  # fmt: skip
    return {**request, "cohort": str(cohort)} if cohort else request


def _line(outcome: Mapping[str, Any], out: Path) -> str:
    name = unit_name(outcome["unit"])
    if outcome["state"] == "failed":
        return f"{name} failed: {outcome['error'].splitlines()[0]}"
    scores = Result.open(out / "units" / name).scores
    first = scores[scores["row"] == "decoded"].head(1)
    score = "".join(f": {r.metric} {r.value:.3f} (chance {r.chance:.3f})" for r in first.itertuples())
    took = "found finished" if outcome["state"] == "cached" else f"done in {outcome['seconds']:.0f} s"
    return f"{name} {took}{score}"


def _workers(jobs: int, scheduler: str | None, tell: Callable[[str], None]) -> Callable:
    if jobs <= 1 and not scheduler:
        return _inline
    try:
        import distributed  # noqa: F401
    except ImportError:
        tell("-j and --scheduler need the package dask.distributed, which is not installed; units run one after the "
             "other (pip install 'braindec[cluster]')")  # fmt: skip
        return _inline
    return lambda tasks, debug: _distributed(tasks, debug, jobs, scheduler)


def _inline(tasks: Sequence[tuple], debug: bool) -> Iterator[dict[str, Any]]:
    for task in tasks:
        yield execute(*task, debug=debug)


def _distributed(tasks: Sequence[tuple], debug: bool, jobs: int, scheduler: str | None) -> Iterator[dict[str, Any]]:
    """Units on dask workers; a worker that dies is tried once more, then its unit is a failure."""
    import dask
    from distributed import Client, LocalCluster, as_completed

    threads = {name: os.environ[name] for name in _THREADS if name in os.environ}
    dask.config.set({"distributed.worker.memory.spill": False, "distributed.worker.memory.target": False,
                     "distributed.worker.daemon": True, "distributed.logging.distributed": "error",
                     "distributed.worker.profile.enabled": False,  # it would stop the work every 10 ms
                     "distributed.nanny.pre-spawn-environ": threads})  # fmt: skip  # no trimming of memory at each free
    cluster = None
    if scheduler is None:
        cluster = LocalCluster(n_workers=min(jobs, len(tasks)), threads_per_worker=1, processes=True, dashboard_address=None,
                               silence_logs=50)  # fmt: skip
    client = Client(scheduler_file=scheduler) if scheduler else Client(cluster)
    try:
        futures = {client.submit(execute, *task, debug=debug, pure=False, retries=1): task for task in tasks}
        for future in as_completed(futures):
            if future.status == "finished":
                yield future.result()
                continue
            error = future.exception()
            if debug and error is not None:
                raise error
            yield {"state": "failed", "unit": futures[future][2], "seconds": 0.0, "kind": type(error).__name__,
                   "error": f"the worker died ({type(error).__name__}): out of memory? Try fewer workers (-j)"}  # fmt: skip
    finally:
        client.close()
        if cluster is not None:
            cluster.close()
