"""The table that ``braindec show FOLDER`` prints."""

from __future__ import annotations

import textwrap
from pathlib import Path

from braindec.report.folder import read_run
from braindec.report.tables import MANY, Block, Row, score_blocks
from braindec.report.verdict import verdict

_WIDTH = 110


def report_summary_text(folder: str | Path) -> str:
    """Return the scores, controls, verdict and failures of a results folder as text.

    Parameters
    ----------
    folder : str or Path
        A folder that ``braindec run`` made.

    Raises
    ------
    BraindecError
        If the folder holds nothing of a run.
    """
    run = read_run(folder)
    found = verdict(run)
    made = run.made_by
    parts = [
        f"{made.get('recipe') or run.folder.name}: {made.get('title') or 'results'}".strip(),
        _wrapped(found.headline),
    ]
    parts += [_wrapped(text, "- ", "  ") for text in found.points]
    for block in score_blocks(run, found):
        parts.append("\n" + _table(block, run.noun[0]))
    if run.failures:
        parts.append(f"\nfailed {run.noun[1]}:")
        parts += [f"  {f['label']}\n{textwrap.indent(f['error'], '    ')}" for f in run.failures]
    parts += [_wrapped(text, "note: ", "      ") for text in run.notes]
    page = run.folder / "report.html"
    parts.append(f"\npage: {page}" if page.is_file() else f"\nfor the whole page: braindec report {run.folder}")
    return "\n".join(parts).replace("\u00a0", " ")


def _table(block: Block, noun: str) -> str:
    """One metric: a line a row; with many units the decoded rows only."""
    rows = block.decoded if block.n_units > MANY else block.rows
    header = [noun, "row", "score", "95 % interval", "chance", "p", "n", ""]
    lines = [
        [r.unit, ("  " if r.kind != "decoded" else "") + r.row, r.value, r.interval, r.chance, r.p, r.n, _mark(r)]
        for r in rows
    ]
    for before, line in zip([[""], *[list(x) for x in lines]], lines, strict=False):
        if before[0] == line[0]:
            line[0] = ""
    widths = [max(len(text) for text in column) for column in zip(header, *lines, strict=True)]
    left = {0, 1, 7}
    text = [
        "  ".join(
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [header, *lines]
    ]
    hidden = f"\n({len(block.rows) - len(rows)} control rows not shown)" if len(rows) < len(block.rows) else ""
    facts = f", {block.facts}" if block.facts else ""
    return f"{block.title} (version {block.version}{facts})\n" + "\n".join(text) + hidden


def _mark(row: Row) -> str:
    if row.off:
        return "OFF CHANCE"
    if row.unclear:
        return "not clear"
    words = {
        "above": "above chance",
        "near": "near chance",
        "below": "below chance",
        "unclear": "not clear",
        "untested": "not tested",
        "uncorrected": "only uncorrected",
        "undecided": "not decided",
    }
    return words.get(row.call, "")


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=first, subsequent_indent=rest)
