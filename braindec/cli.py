"""The command line: braindec run | list | show | report | fetch | init | audit | cite.

Nothing heavy is imported until a verb needs it. A problem that the user can put right is printed as one message
without a traceback; the exit code is 0 when all went well, 1 when something failed, 2 for a wrong call and 130
after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from braindec import __version__, registry
from braindec.errors import BraindecError

_LISTED = {
    "recipes": ("recipes", ".py"),
    "cohorts": ("recipes/cohorts", ".yaml"),
    "datasets": ("datasets", ".yaml"),
    "atlases": ("atlases", ".yaml"),
    "readers": "loaders.readers",
    "steps": "signal.steps",
    "transforms": "signal.transforms",
    "encoders": "encoders",
    "decoders": "decoders",
    "metrics": "evaluate.metrics",
    "controls": "evaluate.controls",
    "checks": "evaluate.checks",
    "pictures": "viz",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parse(argv)
    try:
        return arguments.verb(arguments)
    except BraindecError as error:
        print(f"braindec: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; finished work is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def run(arguments: argparse.Namespace) -> int:
    """Run a recipe."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(arguments.threads)  # before numpy and torch are loaded
    from braindec.engine import load_recipe
    from braindec.engine import run as run_units
    from braindec.engine.recipe import parse_unit

    recipe = load_recipe(arguments.recipe)
    only = parse_unit(arguments.unit) if arguments.unit else None
    if arguments.dry_run:
        return _dry_run(recipe, arguments, only)
    out = Path(arguments.out or Path("results") / (_stem(arguments.cohort) or recipe.name))
    print(f"{recipe.name}: {recipe.title}\nresults go to {out}", flush=True)
    summary = run_units(
        recipe, cohort=arguments.cohort, overrides=arguments.settings, only=only, jobs=arguments.jobs,
        scheduler=arguments.scheduler, out=out, cache=arguments.cache, debug=arguments.debug,
        tell=lambda line: print(line, flush=True),
    )  # fmt: skip
    if summary.failed:
        print(f"\n{len(summary.failed)} of {len(summary.outcomes)} units failed:", file=sys.stderr)
        for outcome in summary.failed:
            unit = ", ".join(f"{k}={v}" for k, v in outcome["unit"].items())
            print(f"  {unit}\n    " + outcome["error"].replace("\n", "\n    "), file=sys.stderr)
        print(f"  (tracebacks: {out}/units/*/error.txt)", file=sys.stderr)
    if arguments.report and not (only and not arguments.report_always):
        from braindec.report import write_report

        print(f"report: {write_report(out)}")
    elif only:
        print(f"when all units are there: braindec report {out}")
    return summary.exit_code


def _dry_run(recipe: Any, arguments: argparse.Namespace, only: dict[str, str] | None) -> int:
    from braindec.config import dump_yaml
    from braindec.engine.recipe import unit_name

    config = recipe.config(arguments.cohort, arguments.settings)
    print(dump_yaml(config.model_dump(mode="json")))
    for unit in recipe.units(config, only):
        print(f"unit {unit_name(unit)}: {len(list(recipe.module.inputs(config, unit)))} input files")
    return 0


def list_names(arguments: argparse.Namespace) -> int:
    """List what there is."""
    for kind in [arguments.kind] if arguments.kind else _LISTED:
        print(f"{kind}:")
        where = _LISTED[kind]
        if isinstance(where, str):
            print("  " + (", ".join(registry.names(where)) or "none"))
            continue
        for name, path in registry.files(*where).items():
            print(f"  {name:28s} {_first_line(path)}".rstrip())
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show a results folder, a recipe, a cohort, a data-set card, or what is in a file."""
    name, path = arguments.name, Path(arguments.name)
    if path.is_dir() and (path / "scores.csv").is_file():
        from braindec.report import report_summary_text

        print(report_summary_text(path))
        return 0
    kinds = (("recipes", ".py"), ("recipes/cohorts", ".yaml"), ("datasets", ".yaml"), ("atlases", ".yaml"))
    named = [registry.files(kind, suffix)[name] for kind, suffix in kinds if name in registry.files(kind, suffix)]
    for file in named:  # a cohort and its data set often share a name: both are shown
        if file.suffix == ".py":
            import ast

            print(f"{file}\n\n{ast.get_docstring(ast.parse(file.read_text(encoding='utf8')))}\n")
            file = file.with_suffix(".yaml")
        print(f"# {file}\n{file.read_text(encoding='utf8')}" if file.is_file() else "")
    if named:
        return 0
    if path.exists():
        from braindec.loaders import load

        things = load(path, **_options(arguments.settings))
        for thing in things if isinstance(things, list) else [things]:
            print(thing)
            for text in getattr(thing, "info", {}).get("warnings") or []:
                print(f"  note: {text}")
        return 0
    known = [
        n
        for kind, suffix in (v for v in _LISTED.values() if not isinstance(v, str))
        for n in registry.files(kind, suffix)
    ]
    from braindec.errors import did_you_mean

    raise BraindecError(
        f"there is nothing called {name!r}{did_you_mean(name, known)}",
        allowed="a results folder, a recording, or a name that braindec list shows",
    )


def report(arguments: argparse.Namespace) -> int:
    """Gather the units of a results folder and write its page."""
    from braindec.report import write_report

    out = Path(arguments.folder)
    if (out / "request.json").is_file():
        _gather(out)
    print(write_report(out))
    return 0


def _gather(out: Path) -> None:
    """Units may have been run one by one: gather their scores again."""
    from braindec.engine import load_recipe
    from braindec.engine.run import gather
    from braindec.engine.unit import read_status
    from braindec.types.result import read_json

    try:
        request = read_json(out / "request.json")
        recipe = load_recipe(request.get("path") or request["recipe"])
        config = recipe.module.Config.model_validate(request["config"])
    except (BraindecError, ValueError, KeyError):
        return  # the recipe is not here, or the request is damaged: the page shows what was gathered before
    failed = [s for p in sorted((out / "units").glob("*")) if (s := read_status(p)).get("state") == "failed"]
    gather(recipe, config, out, failed)


def fetch(arguments: argparse.Namespace) -> int:
    """Download a data set where its licence lets us, or say how to obtain it."""
    from braindec.loaders.cards import load_card
    from braindec.loaders.fetch import fetch as fetch_card

    card = load_card(arguments.dataset)
    home = Path(arguments.to or os.environ.get("BRAINDEC_DATA") or "data")
    for path in fetch_card(card, home / card.folder, mirror=arguments.mirror):
        print(path)
    return 0


def init(arguments: argparse.Namespace) -> int:
    """Look at a folder, say what is in it, and write a first guess of a cohort file."""
    from braindec.files import write_text
    from braindec.loaders.inspect import first_guess, inspect

    found = inspect(arguments.folder)
    print(found)
    text = first_guess(found)
    target = Path(arguments.out or f"{Path(arguments.folder).resolve().name}.yaml")
    if target.exists() and not arguments.force:
        raise BraindecError(
            f"{target} is there already", fix="name another file with --out, or overwrite it with --force"
        )
    write_text(target, text)
    print(f"\nwrote {target}; look through it, then: braindec run {_recipe_of(text)} --cohort {target}")
    return 0


def audit(arguments: argparse.Namespace) -> int:
    """Audit a design before anything is fitted, a table of trials, or a finished run."""
    path = Path(arguments.what)
    if path.is_dir():
        return _audit_results(path)
    if path.suffix in (".csv", ".tsv"):
        return _audit_table(path, arguments)
    from braindec.engine import load_recipe
    from braindec.engine.recipe import parse_unit, unit_name

    recipe = load_recipe(arguments.what)
    if not hasattr(recipe.module, "design"):
        raise BraindecError(
            f"the recipe {recipe.name} has no design(config, unit) to audit", fix="run it: the report has its audit"
        )
    config = recipe.config(arguments.cohort, arguments.settings)
    levels = []
    for unit in recipe.units(config, parse_unit(arguments.unit) if arguments.unit else None):
        card = recipe.module.design(config, unit)
        print(f"{unit_name(unit)}\n{_findings(card.to_dict())}\n")
        levels.append(card.level)
    return 1 if "fail" in levels else 0


def _audit_results(folder: Path) -> int:
    from braindec.types.result import read_json

    levels = []
    for made_by in sorted(folder.glob("units/*/made_by.json")):
        card = read_json(made_by).get("audit")
        if card:
            print(f"{made_by.parent.name}\n{_findings(card)}\n")
            levels.append(card.get("level"))
    if not levels:
        raise BraindecError(f"{folder} holds no audited units", fix="name a folder of braindec run")
    return 1 if "fail" in levels else 0


def _audit_table(path: Path, arguments: argparse.Namespace) -> int:
    """A user's own trials and split: a table with a column that says train, validation or test."""
    import numpy as np
    import pandas as pd

    from braindec.evaluate.audit import audit as audit_design
    from braindec.types import Split

    text = dict.fromkeys(("subject", "session", "run", "stimulus_id", "concept_id"), str)
    try:
        trials = pd.read_csv(path, sep=None, engine="python", dtype=text)
    except (OSError, ValueError) as error:
        raise BraindecError(f"{path} cannot be read as a table of trials", found=str(error).splitlines()[0],
                            allowed="CSV or TSV with one row a trial") from None  # fmt: skip
    column = arguments.split_column
    if column not in trials:
        raise BraindecError(f"{path} has no column {column!r}", allowed=", ".join(trials.columns),
                            fix="say which column holds train / validation / test: --split-column NAME")  # fmt: skip
    part = trials[column].astype(str)
    unknown = sorted(set(part) - {"train", "validation", "test"})
    if unknown:
        raise BraindecError(f"the column {column!r} must say train, validation or test", found=", ".join(unknown[:5]))
    if "window_id" not in trials:
        trials["window_id"] = [f"row {i + 2}" for i in range(len(trials))]
    train, validation, test = (np.flatnonzero(part == p) for p in ("train", "validation", "test"))
    split = Split(train, validation, test, by=column, ids=trials["window_id"].to_numpy(dtype=object))
    y = trials[arguments.label].to_numpy() if arguments.label else None
    card = audit_design(trials, [split], y=y)
    print(_findings(card.to_dict()))
    return 1 if card.level == "fail" else 0


def cite(arguments: argparse.Namespace) -> int:
    """Print what to cite for a result, a recipe or a data set."""
    from braindec.types.result import read_json

    entries: list[dict] = [{"text": f"The braindec developers. braindec {__version__} (software)."}]
    path = Path(arguments.name)
    if path.is_dir():
        found = [*path.glob("made_by.json"), *path.glob("units/*/made_by.json")]
        if not found:
            raise BraindecError(f"{path} holds no result", fix="name a folder of braindec run")
        for made_by in sorted(found):
            entries += read_json(made_by).get("citations", [])
    elif arguments.name in registry.files("datasets", ".yaml"):
        from braindec.loaders.cards import load_card

        card = load_card(arguments.name)
        entries.append({"text": card.citation, "doi": card.doi})
    else:
        from braindec.engine import load_recipe

        entries += getattr(load_recipe(arguments.name).module, "CITATIONS", [])
    seen = set()
    for entry in entries:
        text = entry["text"] + (f" https://doi.org/{entry['doi']}" if entry.get("doi") else "")
        if text not in seen:
            print(f"- {text}")
            seen.add(text)
    return 0


def _options(words: Sequence[str]) -> dict[str, Any]:
    from braindec.config import parse_yaml

    options = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals):
            raise BraindecError(f"cannot read the option {word!r}", allowed="key=value, e.g. sfreq=250")
        options[key] = parse_yaml(text, word)
    return options


def _findings(card: dict) -> str:
    order = {"fail": 0, "warn": 1, "pass": 2, "skip": 3}
    lines = []
    for finding in sorted(card["findings"], key=lambda f: order.get(f["level"], 9)):
        lines.append(f"  {finding['level']:5s} {finding['check']}: {finding['message']}")
        if finding["level"] in ("fail", "warn") and finding.get("fix"):
            lines.append(f"        fix: {finding['fix']}")
    return "\n".join(lines)


def _first_line(path: Path) -> str:
    """A one-line description without importing or parsing the file."""
    with path.open(encoding="utf8") as stream:
        for line in stream:
            text = line.strip()
            if path.suffix == ".py" and text:
                return text.strip('"').strip()
            if path.suffix == ".yaml" and text.startswith(("title:", "# ")):
                return text.removeprefix("title:").removeprefix("# ").strip().strip("\"'")
    return ""


def _recipe_of(text: str) -> str:
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("recipe:")), "RECIPE")


def _stem(cohort: str | None) -> str | None:
    return Path(cohort).stem if cohort else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="braindec", description="From a brain recording to a score that can be believed."
    )
    parser.add_argument("--version", action="version", version=f"braindec {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    p = _verb(verbs, "run", run, "run a recipe for all subjects of a cohort")
    _recipe_arguments(p, "recipe")
    p.add_argument(
        "-j", "--jobs", type=_positive, default=1, metavar="N", help="workers (more than one needs the extra 'cluster')"
    )
    p.add_argument("--scheduler", metavar="FILE", help="dask scheduler file of a running cluster")
    p.add_argument(
        "--threads",
        type=_positive,
        default=1,
        metavar="N",
        help="threads of each unit (1; other numbers may change last digits)",
    )
    p.add_argument("--out", metavar="DIR", help="folder of the results (results/<cohort or recipe>)")
    p.add_argument("--cache", metavar="DIR", help="folder of costly arrays ($BRAINDEC_CACHE or ~/.cache/braindec)")
    p.add_argument("--no-report", dest="report", action="store_false", help="do not write report.html")
    p.add_argument("--report", dest="report_always", action="store_true", help="write it also after --unit")
    p.add_argument("--dry-run", action="store_true", help="print the settings and the units, run nothing")
    p.add_argument("--debug", action="store_true", help="stop at the first failure with its traceback")

    p = _verb(verbs, "list", list_names, "list recipes, cohorts, data sets, encoders, ...")
    p.add_argument("kind", nargs="?", choices=list(_LISTED), metavar="KIND", help=", ".join(_LISTED))

    p = _verb(verbs, "show", show, "show a results folder, a recipe, a data-set card, or what is in a recording")
    p.add_argument("name", metavar="NAME_OR_PATH")
    p.add_argument(
        "settings", nargs="*", metavar="key=value", help="options of the reader, e.g. sfreq=250 reader=arrays"
    )

    p = _verb(verbs, "report", report, "gather the units of a results folder and write report.html")
    p.add_argument("folder", metavar="DIR")

    p = _verb(verbs, "fetch", fetch, "download a data set (resumed, checked), or say how to obtain it")
    p.add_argument("dataset", metavar="DATASET")
    p.add_argument("--to", metavar="DIR", help="folder of data sets ($BRAINDEC_DATA or ./data)")
    p.add_argument("--mirror", metavar="URL_OR_DIR", help="take the files from here instead")

    p = _verb(verbs, "init", init, "look at a folder of recordings and write a first cohort file")
    p.add_argument("folder", metavar="DIR")
    p.add_argument("--out", metavar="FILE")
    p.add_argument("--force", action="store_true", help="overwrite the file")

    p = _verb(verbs, "audit", audit, "audit a recipe's design, a table of trials (CSV/TSV), or a results folder")
    _recipe_arguments(p, "what")
    p.add_argument(
        "--split-column",
        default="split",
        metavar="NAME",
        help="column of the table that says train / validation / test",
    )
    p.add_argument("--label", metavar="NAME", help="column of the table that is decoded")

    p = _verb(verbs, "cite", cite, "what to cite for a results folder, a recipe or a data set")
    p.add_argument("name", metavar="NAME_OR_DIR")
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse, with settings also after options: ``run RECIPE --cohort FILE key=value``."""
    parser = _parser()
    arguments, left = parser.parse_known_args(argv)
    wrong = [word for word in left if word.startswith("-") or "=" not in word]
    if wrong or (left and not hasattr(arguments, "settings")):
        parser.error(f"unrecognized arguments: {' '.join(wrong or left)}")
    if left:
        arguments.settings = [*arguments.settings, *left]
    return arguments


def _recipe_arguments(p: argparse.ArgumentParser, name: str) -> None:
    p.add_argument(name, metavar="RECIPE", help="name or path of a recipe")
    p.add_argument("settings", nargs="*", metavar="key=value", help="settings that differ, e.g. epochs.tmax=0.6")
    p.add_argument("--cohort", metavar="FILE", help="name or path of a cohort's YAML file")
    p.add_argument("--unit", action="append", metavar="key=value", help="only this unit of work, e.g. subject=03")


def _verb(verbs: Any, name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    p = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    p.set_defaults(verb=function)
    return p


def _positive(text: str) -> int:
    value = int(text) if text.lstrip("-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
