"""Tables that name the labels of an atlas, in the shapes they are published in; each gives {label: name}.

Source: BIDS 1.10, "Common image-derived labels" (index, name); FreeSurfer, "LUT" (number, name, red, green, blue, alpha);
FSL, "Atlas spec" (labels count from 0, the maximum-probability images from 1); connectome-workbench,
-cifti-label-import (a line with the name, then one with the number and colours).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders._fmri_tables import atlas_names

__all__ = ["FORMATS", "read_label_table"]

_NUMBER = re.compile(r"[+-]?\d+$")


def read_label_table(path: str | Path, table_format: str | None = None) -> dict[int, str]:
    """Read a table of labels.

    Parameters
    ----------
    path : str or Path
        The file.
    table_format : str, optional
        "tsv", "csv" (columns index and name), "lut" (FreeSurfer, Schaefer: number, name, colours), "workbench" (name and
        colours on two lines), "aal" (XML, or name and number on a line), "fsl" (XML that counts from 0), "pairs" (a number
        and a name on each line, in any order), "list" (the names of 1, 2, 3, ...), "json". Told from the content otherwise.

    Raises
    ------
    BraindecError
        If it is in no known shape, is empty, or names a label twice.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableError(f"there is no table {path}", fix="check the path")
    if table_format is not None and table_format not in FORMATS:
        raise BraindecError(
            f"no table has the format {table_format!r}{did_you_mean(table_format, FORMATS)}", allowed=", ".join(FORMATS)
        )
    chosen = table_format or _guess(path)
    table = FORMATS[chosen](path)
    if not table:
        raise UnreadableError(
            f"{path} names no labels (read as {chosen})", allowed=", ".join(FORMATS), fix="say its table_format"
        )
    return table


def _guess(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".tsv", ".csv", ".json"):
        return suffix[1:]
    text = _text(path)
    if text.lstrip().startswith("<"):
        return "fsl" if re.search(r"<label[^>]*\bindex\s*=", text) else "aal"
    lines = _rows(text)
    numbered = [r for r in lines if any(_NUMBER.match(w) for w in r)]
    if not numbered:
        return "list"
    if all(len(r) >= 6 and _NUMBER.match(r[0]) for r in lines):
        return "lut"
    if len(lines) % 2 == 0 and all(len(r) == 5 and _NUMBER.match(r[0]) for r in lines[1::2]):
        return "workbench"
    return "pairs"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return path.read_text(encoding="latin-1")
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read", found=str(error)) from error


def _rows(text: str) -> list[list[str]]:
    """Words of the lines that are no comment."""
    return [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _add(table: dict[int, str], label: Any, name: Any, path: Path) -> None:
    if not _NUMBER.match(str(label).strip()):
        raise UnreadableError(f"{path}: a label needs a number", found=repr(label), fix="correct the table")
    key, text = int(label), str(name).strip()
    if key in table and table[key] != text:
        raise BraindecError(
            f"{path} names label {key} twice", found=f"{table[key]!r} and {text!r}", fix="correct the table"
        )
    table[key] = text


def _lut(path: Path) -> dict[int, str]:
    """Number, name (which may hold blanks), then at least three colours."""
    table: dict[int, str] = {}
    for row in _rows(_text(path)):
        if not _NUMBER.match(row[0]):
            continue
        end = len(row)
        while end > 2 and re.fullmatch(r"[\d.]+", row[end - 1]):
            end -= 1
        _add(table, row[0], " ".join(row[1:end]), path)
    return table


def _workbench(path: Path) -> dict[int, str]:
    lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
    table: dict[int, str] = {}
    for name, numbers in zip(lines[::2], lines[1::2], strict=False):
        _add(table, numbers.split()[0], name, path)
    return table


def _pairs(path: Path) -> dict[int, str]:
    """A number and a name on each line: "1 V1v", "% 1 - V1v", "FAG\\tPrecentral_L\\t2001", "1 Precentral_L 1"."""
    table: dict[int, str] = {}
    for line in _text(path).splitlines():
        words = [w for w in re.split(r"[\s,;:=%#\"']+", line) if w]
        numbers = [w for w in words if _NUMBER.match(w)]
        texts = [w for w in words if re.search(r"[A-Za-z]", w)]
        if numbers and texts:
            _add(table, numbers[-1], texts[-1], path)
    return table


def _list(path: Path) -> dict[int, str]:
    lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
    return {k + 1: line for k, line in enumerate(lines)}


def _xml(path: Path) -> Any:
    text = _text(path)
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise UnreadableError(
            f"{path} declares XML entities, which label tables have no use for", fix="remove the declaration"
        )
    from xml.etree import ElementTree

    try:
        return ElementTree.fromstring(text)  # noqa: S314 - entities were refused above
    except ElementTree.ParseError as error:
        raise UnreadableError(f"{path} cannot be read as XML", found=str(error)) from error


def _aal(path: Path) -> dict[int, str]:
    if not _text(path).lstrip().startswith("<"):
        return _pairs(path)
    table: dict[int, str] = {}
    for label in _xml(path).iter("label"):
        number, name = label.findtext("index"), label.findtext("name")
        if number is not None and name is not None:
            _add(table, number, name, path)
    return table


def _fsl(path: Path) -> dict[int, str]:
    table: dict[int, str] = {}
    for label in _xml(path).iter("label"):
        if label.get("index") is not None:
            index = str(label.get("index"))
            _add(table, int(index) + 1 if _NUMBER.match(index) else index, label.text or "", path)
    return table


def _json(path: Path) -> dict[int, str]:
    """{"1": "V1"}, {"V1": 1}, or a list of {index, name}."""
    try:
        found = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise UnreadableError(f"{path} cannot be read as JSON", found=str(error)) from error
    table: dict[int, str] = {}
    pairs = found.items() if isinstance(found, dict) else []
    if isinstance(found, list) and all(isinstance(f, dict) for f in found):
        pairs = [(f.get("index", f.get("label")), f.get("name")) for f in found]
    for one, two in pairs:
        number, name = (one, two) if _NUMBER.match(str(one)) else (two, one)
        if not _NUMBER.match(str(number)) or not isinstance(name, str):
            raise UnreadableError(
                f"{path}: a label needs a number and a name", found=f"{one!r}: {two!r}", allowed='{"1": "V1", ...}'
            )
        _add(table, number, name, path)
    return table


FORMATS: dict[str, Callable[[Path], dict[int, str]]] = {
    "tsv": atlas_names, "csv": atlas_names, "lut": _lut, "workbench": _workbench, "aal": _aal, "fsl": _fsl,
    "pairs": _pairs, "list": _list, "json": _json,
}  # fmt: skip
