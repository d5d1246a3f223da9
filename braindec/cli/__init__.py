"""The command line: braindec run | list | show | report | fetch | twin | init | audit | cite.

Nothing heavy is imported until a verb needs it. A problem that the user can put right is printed as one message
without a traceback; the exit code is 0 when all went well, 1 when something failed, 2 for a wrong call and 130
after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from braindec import __version__
from braindec.cli.audits import audit
from braindec.cli.verbs import LISTED, cite, fetch, init, list_names, report, run, show, twin
from braindec.errors import BraindecError

__all__ = ["main"]


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
    except Exception as error:
        if os.environ.get("BRAINDEC_DEBUG") or getattr(arguments, "debug", False):
            raise
        print(f"braindec: unexpected {type(error).__name__}: {error}", file=sys.stderr)
        print("  fix:     BRAINDEC_DEBUG=1 shows where; please report it", file=sys.stderr)
        return 1


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
    p.add_argument("kind", nargs="?", choices=list(LISTED), metavar="KIND", help=", ".join(LISTED))

    p = _verb(
        verbs, "show", show, "show a results folder, a recipe, a data-set card, or what is in a recording or sound"
    )
    p.add_argument("name", metavar="NAME_OR_PATH")
    p.add_argument(
        "settings", nargs="*", metavar="key=value", help="options of the reader, e.g. sfreq=250 reader=arrays"
    )

    p = _verb(verbs, "report", report, "gather the units of a results folder and write report.html")
    p.add_argument("folder", metavar="DIR")

    p = _verb(verbs, "fetch", fetch, "download a data set or an atlas (resumed, checked), or say how to obtain it")
    p.add_argument("dataset", metavar="NAME")
    p.add_argument("--to", metavar="DIR", help="folder of data sets ($BRAINDEC_DATA or ./data)")
    p.add_argument("--mirror", metavar="URL_OR_DIR", help="take the files from here instead")

    p = _verb(
        verbs, "twin", twin, "write a small synthetic data set in the layout of a published one, with known truth"
    )
    p.add_argument("name", metavar="LAYOUT", help="a name that `braindec list twins` shows")
    p.add_argument("folder", nargs="?", metavar="DIR", help="where (./<LAYOUT>-twin)")
    p.add_argument("--seed", type=int, default=0, metavar="N")

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
