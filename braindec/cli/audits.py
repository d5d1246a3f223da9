"""``braindec audit``: a recipe's design before anything is fitted, a table of trials, or a finished run."""

from __future__ import annotations

import argparse
from pathlib import Path

from braindec.errors import BraindecError


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


def _findings(card: dict) -> str:
    order = {"fail": 0, "warn": 1, "pass": 2, "skip": 3}
    lines = []
    for finding in sorted(card["findings"], key=lambda f: order.get(f["level"], 9)):
        lines.append(f"  {finding['level']:5s} {finding['check']}: {finding['message']}")
        if finding["level"] in ("fail", "warn") and finding.get("fix"):
            lines.append(f"        fix: {finding['fix']}")
    return "\n".join(lines)
