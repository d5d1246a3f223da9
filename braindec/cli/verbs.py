"""What each verb of the command line does; heavy imports stay inside, so that listing stays quick."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from braindec import __version__, registry
from braindec.errors import BraindecError

_STIMULI = (".wav", ".wave", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".textgrid")
LISTED = {
    "recipes": ("recipes", ".py"),
    "cohorts": ("recipes/cohorts", ".yaml"),
    "datasets": ("datasets", ".yaml"),
    "atlases": ("atlases", ".yaml"),
    "readers": "loaders.readers",
    "twins": "loaders.twins",
    "stimuli": "loaders.stimuli",
    "steps": "signal.steps",
    "live-steps": "online.steps",
    "transforms": "signal.transforms",
    "encoders": "encoders",
    "decoders": "decoders",
    "metrics": "evaluate.metrics",
    "picture-metrics": "evaluate.pictures",
    "film-metrics": "evaluate.films",
    "caption-metrics": "evaluate.captions",
    "picture-networks": "evaluate.picture_networks",
    "captioners": "llm.captioners",
    "controls": "evaluate.controls",
    "checks": "evaluate.checks",
    "unit-scores": "llm.scores",
    "rdms": "align.rsa.rdms",
    "comparators": "align.rsa.comparators",
    "neurons": "networks.neurons",
    "connection-rules": "networks.rules",
    "plasticity": "networks.plasticity",
    "surrogates": "networks.surrogates",
    "language-networks": "networks.language",
    "pictures": "viz",
}


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
    for kind in [arguments.kind] if arguments.kind else LISTED:
        print(f"{kind}:")
        where = LISTED[kind]
        if isinstance(where, str):
            print("  " + (", ".join(registry.names(where)) or "none"))
            continue
        for name, path in registry.files(*where).items():
            print(f"  {name:28s} {_first_line(path)}".rstrip())
    return 0


def _stimulus(path: Path) -> str:
    """What a sound, or the words of one, holds."""
    if path.suffix.lower() == ".textgrid":
        from braindec.loaders._textgrid import read_textgrid

        tiers = read_textgrid(path).groupby("tier", sort=False)
        ends = {name: (t["onset"] + t["duration"]).max() for name, t in tiers}
        said = [
            f"{name}: {len(t)}, {(t['text'].str.strip() != '').sum()} with text, to {ends[name]:.1f} s"
            for name, t in tiers
        ]
        return f"<TextGrid {path.name}: {'; '.join(said) or 'no intervals'}>"
    from braindec.loaders.audio import audio_info

    found = audio_info(path)
    return f"<Sound {path.name}: {found.duration:.1f} s at {found.sfreq:g} Hz, channels: {found.n_channels}, {found.encoding}>"


def show(arguments: argparse.Namespace) -> int:
    """Show a results folder, a recipe, a cohort, a data-set card, or what is in a recording, a sound or a TextGrid."""
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
    if path.is_file() and path.suffix.lower() in _STIMULI and "reader" not in _options(arguments.settings):
        print(_stimulus(path))
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
        for kind, suffix in (v for v in LISTED.values() if not isinstance(v, str))
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
    """Download a data set or an atlas where its licence lets us, or say how to obtain it."""
    from braindec.loaders.cards import load_card
    from braindec.loaders.fetch import fetch as fetch_card

    if arguments.dataset in registry.files("atlases", ".yaml"):
        from braindec.loaders.atlases import fetch_atlas

        for path in fetch_atlas(arguments.dataset, home=arguments.to, mirror=arguments.mirror):
            print(path)
        return 0
    card = load_card(arguments.dataset)
    home = Path(arguments.to or os.environ.get("BRAINDEC_DATA") or "data")
    for path in fetch_card(card, home / card.folder, mirror=arguments.mirror):
        print(path)
    return 0


def twin(arguments: argparse.Namespace) -> int:
    """Write the twin of a layout and say how to run it."""
    from braindec.loaders.twin import make_twin

    made = make_twin(arguments.name, arguments.folder or f"{arguments.name}-twin", seed=arguments.seed)
    files = sorted(p for p in made.root.rglob("*") if p.is_file())
    print(
        f"{made.root}: {len(files)} files, {sum(p.stat().st_size for p in files) / 1e6:.1f} MB, synthetic, truth in twin/"
    )
    print(f"\nbraindec run {' '.join([made.recipe, *made.words()])}")
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
