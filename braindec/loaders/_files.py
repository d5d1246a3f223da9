"""Which files belong to which subject: a pattern such as ``S{subject}R{run}.edf``, or one file by itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from braindec.errors import BraindecError, did_you_mean

ENTITIES = ("subject", "session", "task", "run")


@dataclass(frozen=True)
class Found:
    """One file, and what its name says."""

    path: Path
    entities: dict[str, str] = field(default_factory=dict)


def existing(root: str | Path) -> Path:
    """Return ``root`` as a path that is there.

    Raises
    ------
    BraindecError
        If it is not; the message names the nearest file of the folder.
    """
    if not isinstance(root, (str, Path)) or not str(root):
        raise BraindecError("no file or folder was named", found=repr(root), allowed="a path")
    path = Path(root).expanduser()
    if not path.exists():
        folder = next((p for p in path.parents if p.is_dir()), Path("."))
        there = sorted(p.name for p in folder.iterdir())
        raise BraindecError(
            f"there is no file or folder {root}{did_you_mean(path.name, there)}",
            found=f"{folder} holds {', '.join(there[:8]) or 'nothing'}", fix="check the path",
        )  # fmt: skip
    return path


def find(root: str | Path, pattern: str | None, suffixes: Collection[str]) -> list[Found]:
    """Return the files of ``root``: itself, those that match ``pattern``, or the only readable one of the folder.

    Parameters
    ----------
    root : str or Path
        A file, or a folder.
    pattern : str, optional
        Path inside the folder with ``{subject}``, ``{session}``, ``{task}``, ``{run}`` and ``*``.
    suffixes : collection of str
        Endings that count as readable when no pattern is given.

    Raises
    ------
    BraindecError
        If nothing matches, or several files could be meant.
    """
    path = existing(root)
    if pattern is None and (path.is_file() or path.name.lower().endswith(tuple(suffixes))):
        return [Found(path)]
    if pattern is not None:
        return _matching(path, pattern)
    candidates = sorted(
        p for p in path.iterdir() if p.name.lower().endswith(tuple(suffixes)) and not p.name.startswith(".")
    )
    heads = {p.stem for p in candidates if p.suffix.lower() in (".vhdr", ".lay")}
    candidates = [p for p in candidates if p.suffix.lower() not in (".eeg", ".dat") or p.stem not in heads]
    if len(candidates) != 1:
        raise BraindecError(
            f"{path} is a folder with {len(candidates)} readable files: which are meant?",
            found=", ".join(p.name for p in candidates[:8]) or "none",
            fix="name one file, or give a pattern such as 'S{subject}R{run}.edf'",
        )
    return [Found(candidates[0])]


def _matching(folder: Path, pattern: str) -> list[Found]:
    check_inside(pattern)
    if not folder.is_dir():
        raise BraindecError(
            f"a pattern needs a folder, and {folder} is a file", fix="name the folder, or leave the pattern out"
        )
    names = set(re.findall(r"\{(\w+)\}", pattern))
    if names - set(ENTITIES):
        wrong = sorted(names - set(ENTITIES))[0]
        raise BraindecError(
            f"the pattern {pattern!r} names {{{wrong}}}{did_you_mean(wrong, ENTITIES)}",
            allowed=", ".join(f"{{{e}}}" for e in ENTITIES) + " and *",
        )
    expression = regex(pattern)
    found = []
    for path in sorted(folder.glob(re.sub(r"\{\w+\}", "*", pattern))):
        match = expression.fullmatch(path.relative_to(folder).as_posix())
        if match:
            found.append(Found(path, match.groupdict()))
    if not found:
        there = sorted(p.name for p in folder.iterdir())[:8]
        raise BraindecError(
            f"no file of {folder} matches {pattern!r}", found=", ".join(there) or "an empty folder",
            fix="write the path inside the folder with {subject}, {session}, {task}, {run} and *",
        )  # fmt: skip
    return found


def regex(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern; a placeholder that stands twice must match the same text."""
    out, seen = "", set()
    for part in re.split(r"(\{\w+\}|\*)", pattern):
        if part == "*":
            out += "[^/]*"
        elif part.startswith("{") and part.endswith("}"):
            name = part[1:-1]
            out += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+?)"
            seen.add(name)
        else:
            out += re.escape(part)
    return re.compile(out)


def check_inside(relative: str) -> None:
    """Refuse a path that leaves its folder."""
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise BraindecError(
            f"the path {relative!r} must stay inside the folder", fix="write it relative to root, without '..'"
        )


def keep(found: Sequence[Found], **wanted: Sequence[str] | None) -> list[Found]:
    """Keep the files whose name says one of the wanted labels; a label that no name holds is refused.

    A file whose name says nothing about an entity is kept: the label then names it.
    """
    kept = list(found)
    for entity, labels in wanted.items():
        if labels is None:
            continue
        have = sorted({f.entities[entity] for f in found if entity in f.entities})
        unknown = [label for label in labels if have and label not in have]
        if unknown:
            raise BraindecError(
                f"there is no {entity} {unknown[0]!r}{did_you_mean(unknown[0], have)}", allowed=", ".join(have[:40])
            )
        kept = [f for f in kept if f.entities.get(entity, labels[0]) in labels]
    if not kept:
        asked = ", ".join(f"{k} {v}" for k, v in wanted.items() if v)
        raise BraindecError(f"no file is left for {asked}", found=", ".join(f.path.name for f in found[:8]))
    return kept


def labels(found: Sequence[Found], options: Mapping[str, object]) -> list[str]:
    """Return the subjects: those of the names, or the label given, or the name of the file."""
    named = sorted({f.entities["subject"] for f in found if "subject" in f.entities})
    if options.get("subject") is not None:
        return [str(options["subject"])]
    return named or [found[0].path.name.split(".")[0]]
