"""The page: one HTML file that needs nothing else, made of a results folder by a Jinja template.

The same folder gives the same bytes: dates come from made_by.json, and nothing of the machine that writes it gets in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tqdm.auto import tqdm

import braindec
from braindec.files import write_text
from braindec.report import tables
from braindec.report.figures import draw_panels, overview_picture
from braindec.report.folder import RunRecord, UnitRecord, read_run, unique
from braindec.report.verdict import Verdict, group_row, verdict
from braindec.report.words import number

_BLOCKS = 40  # tables of scores on one page: an atlas has hundreds of regions
_TEMPLATES = Path(__file__).with_name("templates")
_CALLS = {
    "above": "above chance",
    "unclear": "not clear",
    "uncorrected": "only uncorrected",
    "undecided": "not decided",
    "near": "near chance",
    "below": "below chance",
    "untested": "not tested",
}


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into a results folder.

    Parameters
    ----------
    folder : str or Path
        A folder that ``braindec run`` made.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    BraindecError
        If the folder holds nothing of a run. Damaged parts, failed units and panels that cannot be drawn do not raise:
        the page says so in their place.
    """
    run = read_run(folder)
    target = run.folder / "report.html"
    write_text(target, render(run))
    return target


def render(run: RunRecord) -> str:
    """Return the page of a run as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = verdict(run)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["keep"] = keep
    environment.globals.update(
        calls=_CALLS, levels={"fail": "fail", "warn": "warning", "pass": "passed", "skip": "not checked"}
    )
    sharp = len(run.units) <= 2 * tables.MANY
    sections = [
        _unit_section(unit, found, sharp)
        for unit in tqdm(run.units, desc="report", unit="unit", disable=None, leave=False)
    ]
    if run.summary is not None and run.summary.made_by.get("panels"):
        sections.insert(
            0,
            {
                "unit": run.summary,
                "name": "Over all units",
                "judged": None,
                "pictures": draw_panels(run.summary),
            },
        )
    blocks = tables.score_blocks(run, found)
    return environment.get_template("page.html.j2").render(
        css=(_TEMPLATES / "report.css").read_text(encoding="utf8"),
        run=run,
        found=found,
        head=_head(run),
        scores=overview_picture(run.units, found, group_row(run, found.block) if found.block else None),
        blocks=blocks[:_BLOCKS],
        hidden=len(blocks[_BLOCKS:]),
        more=_more(blocks[1:]),
        many=tables.MANY,
        overview=tables.overview(run.units),
        checks=tables.audit_checks(run.units),
        sections=sections,
        remarks=_remarks(run),
        about=lambda units: labels(units, len(run.units)),
        provenance=_provenance(run),
        citations=citations(run),
        version=braindec.__version__,
    )


def keep(text: str) -> Any:
    """Escape a text, and keep names such as sub-01 and intervals in one piece at the end of a line."""
    from markupsafe import Markup, escape

    parts = re.split(r"(\b(?:sub|ses|run|fold)-\w+|\[[^\[\]]{1,30}\]|95 %)", str(text))
    return Markup("").join(
        Markup('<span class="keep">{}</span>').format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def _more(blocks: Sequence[tables.Block]) -> str:
    """Name the scores that are folded away: each where they are few, else their metrics and what they are told apart by."""
    titles = [b.title for b in blocks]
    if len(titles) <= 4:
        return "; ".join(titles)
    metrics = unique(title.split(", ")[0] for title in titles)
    others = unique(part for title in titles for part in title.split(", ")[1:])
    apart = ", ".join(others[:8]) + (f" and {len(others) - 8} more" if len(others) > 8 else "")
    return ", ".join(metrics) + (f" (of {apart})" if others else "")


def _unit_section(unit: UnitRecord, found: Verdict, sharp: bool) -> dict[str, Any]:
    judged = next((j for j in found.judged if j.label == unit.label), None)
    text = ""
    if judged is not None:
        text = f"{found.metric} {number(judged.value)} [{number(judged.low)}, {number(judged.high)}]"
    return {
        "unit": unit,
        "name": unit.label,
        "judged": judged,
        "score": text,
        "pictures": draw_panels(unit, sharp=sharp),
    }


def _head(run: RunRecord) -> dict[str, Any]:
    """What stands on top: title, question, and a line of facts."""
    made = run.made_by
    config = made.get("config") or {}
    data = config.get("data") or {}
    paragraphs = str(made.get("doc") or "").strip().split("\n\n")
    about = " ".join(paragraphs[1].split()) if len(paragraphs) > 1 else ""
    versions = made.get("versions") or {}
    n_failed = len(run.failures)
    cohort = str(made.get("cohort") or "")
    facts = [
        ("Recipe", made.get("recipe") or "not said"),
        ("Cohort", Path(cohort).stem if cohort else "none (defaults)"),
        ("Data", _data(config, data, finished=bool(run.units))),
        (run.noun[1].capitalize(), f"{len(run.units)} finished" + (f", {n_failed} failed" if n_failed else "")),
        ("Finished", " ".join(str(made.get("finished") or "not said").split()[:2])[:16]),
        ("braindec", versions.get("braindec") or "not said"),
    ]
    title = str(made.get("title") or made.get("recipe") or "Results").rstrip(".")
    return {"title": title, "question": str(made.get("question") or ""), "about": about, "facts": facts}


def _data(config: Mapping[str, Any], data: Mapping[str, Any], *, finished: bool) -> str:
    """Where the data came from, as far as the settings say it."""
    given = data.get("dataset") or data.get("root")
    for section, key in (("rdms", "data"), ("stimuli", "folder"), ("stimuli", "corpus"), ("stimuli", "localizer"), ("stimuli", "texts"),
                         ("text", "path")):  # fmt: skip
        given = given or (config.get(section) or {}).get(key)
    if given:
        return Path(str(given)).name if "/" in str(given) else str(given)
    if config.get("synthetic"):
        return "built-in synthetic cohort"
    return "made up on the spot" if finished else "not said"  # a recipe that finished without data made its own


def _remarks(run: RunRecord) -> list[tuple[str, str, list[str]]]:
    """Warnings and notes, (kind, text, units): those of several units once."""
    told: dict[tuple[str, str], list[str]] = {}
    found = {str(f.get("message")) for unit in run.units for f in unit.findings}  # these stand under Audit
    for unit in [*run.units, *([run.summary] if run.summary is not None else [])]:
        label = "over all units" if unit is run.summary else unit.label
        for kind in ("warnings", "notes"):
            given = unit.made_by.get(kind) or []
            for text in unique(given if isinstance(given, list) else [given]):
                if text in found:
                    continue
                told.setdefault((kind[:-1], text), []).append(label)
        for text in unit.problems:
            told.setdefault(("problem", text), []).append(label)
    for text in run.notes:
        told.setdefault(("note", text), [])
    rank = {"problem": 0, "warning": 1, "note": 2}
    return [(kind, text, labels) for (kind, text), labels in sorted(told.items(), key=lambda item: rank[item[0][0]])]


def _provenance(run: RunRecord) -> dict[str, Any]:
    made = run.made_by
    per_unit = [(u.label, u.made_by) for u in run.units]
    versions = dict(made.get("versions") or (per_unit[0][1].get("versions") if per_unit else None) or {})
    others = unique(
        _text(m.get("versions")) for _, m in per_unit if m.get("versions") and m.get("versions") != versions
    )
    commits = unique(m["commit"] for _, m in per_unit if m.get("commit")) or (
        [str(made["commit"])] if made.get("commit") else []
    )
    inputs = [(label, sorted((m.get("inputs") or {}).items())) for label, m in per_unit if m.get("inputs")]
    return {
        "config": yaml.safe_dump(made.get("config") or {}, sort_keys=False, allow_unicode=True, width=100).strip(),
        "versions": versions,
        "mixed": len(others),
        "commits": commits,
        "hosts": unique(m["host"] for _, m in per_unit if m.get("host"))
        or unique([made["host"]] if made.get("host") else []),
        "platform": str(made.get("platform") or ""),
        "path": str(made.get("path") or ""),
        "timing": [
            (
                label,
                f"{float(m.get('seconds') or 0):,.1f} s",
                " ".join(str(m.get("finished") or "").split()[:2]),
                str(m.get("key") or "")[:12],
            )
            for label, m in per_unit
        ],
        "inputs": inputs,
        "n_inputs": sum(len(files) for _, files in inputs),
    }


def _text(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=True)


def citations(run: RunRecord) -> list[dict[str, str]]:
    """Return what to cite, each once: text, doi and a BibTeX entry."""
    version = str((run.made_by.get("versions") or {}).get("braindec") or braindec.__version__)
    given: list[Any] = [{"key": "braindec", "text": f"The braindec developers. braindec {version} (software)."}]
    for made_by in (
        run.made_by,
        *(u.made_by for u in run.units),
        *([run.summary.made_by] if run.summary is not None else []),
    ):
        given += made_by.get("citations") or []
    seen: dict[str, dict[str, str]] = {}
    for place, entry in enumerate(given):
        entry = entry if isinstance(entry, Mapping) else {"text": str(entry)}
        text, doi = str(entry.get("text") or "").strip(), str(entry.get("doi") or "").strip()
        if text and not (text in seen or (doi and doi.lower() in {c["doi"].lower() for c in seen.values()})):
            key = str(entry.get("key") or f"ref{place}")
            seen[text] = {"text": text, "doi": doi, "bibtex": str(entry.get("bibtex") or bibtex(key, text, doi))}
    return list(seen.values())


def bibtex(key: str, text: str, doi: str) -> str:
    """Return a BibTeX entry that holds the whole reference as its note."""
    clean = (
        text.replace("\\", "")
        .replace("{", "")
        .replace("}", "")
        .replace("%", "\\%")
        .replace("&", "\\&")
        .replace("_", "\\_")
    )
    safe = "".join(c for c in key if c.isalnum() or c in "-_:") or "ref"
    return f"@misc{{{safe},\n  note = {{{clean}}}" + (f",\n  doi = {{{doi}}}" if doi else "") + "\n}"


def labels(units: Sequence[str], n_all: int) -> str:
    """Name the units that a remark is about; nothing when it is about all of them."""
    if not units or len(units) == n_all:
        return ""
    return ", ".join(units[:8]) + (f" and {len(units) - 8} more" if len(units) > 8 else "")
