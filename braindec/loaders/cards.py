"""Cards: one YAML file a data set, with what it is, its licence, how to get it, how to read it, and facts to check.

A card is read like any settings file: unknown keys, wrong types and missing values are told all at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from braindec import registry
from braindec.config import Section, load_config
from braindec.errors import BraindecError, did_you_mean

__all__ = ["Card", "CardFile", "Facts", "ReaderOf", "load_card", "names"]

MODALITIES = ("eeg", "meg", "ieeg", "fmri", "fnirs", "spikes", "calcium", "misc")


class ReaderOf(Section):
    """The reader that understands the files, and the options it needs."""

    name: str
    options: dict[str, Any] = {}

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        known = registry.names("loaders.readers")
        if name not in known:
            raise ValueError(f"there is no reader {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")
        return name


class CardFile(Section):
    """One file of the data set; ``sha256: null`` says that no checksum is known."""

    path: str
    url: str | None = None
    sha256: str | None = None
    bytes: int | None = Field(default=None, ge=0)

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        return _relative(path)

    @field_validator("url")
    @classmethod
    def _scheme(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("must start with https:// or http://")
        return url

    @field_validator("sha256")
    @classmethod
    def _hex(cls, digest: str | None) -> str | None:
        if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError("must be 64 hexadecimal digits, or null when it is not known")
        return digest


class Facts(Section):
    """What a test checks against the data: counts over all subjects, or over those named in ``of_subjects``."""

    subjects: list[str] | None = None
    n_subjects: int | None = None
    of_subjects: list[str] | None = None
    n_recordings: int | None = None
    n_channels: int | None = None
    channel_types: dict[str, int] | None = None
    sfreq: float | None = None
    n_times: int | None = None
    n_windows: int | None = None
    duration: float | None = None
    n_events: int | None = None
    events: dict[str, int] | None = None
    event_column: str = "trial_type"
    space: str | None = None
    units: list[str] | None = None


class Card(Section):
    """One data set.

    ``access`` is "open" (``braindec fetch`` may download it), "registration" (an account or an agreement is needed) or
    "closed" (the licence does not let others pass it on); ``how_to_obtain`` says what to do.
    """

    name: str
    title: str
    modality: Literal["eeg", "meg", "ieeg", "fmri", "fnirs", "spikes", "calcium", "misc"]
    licence: str
    citation: str
    doi: str | None = None
    url: str | None = None
    access: Literal["open", "registration", "closed"] = "open"
    how_to_obtain: str
    folder: str
    reader: ReaderOf | None = None
    files: list[CardFile] = []
    facts: Facts = Facts()
    notes: list[str] = []

    @field_validator("folder")
    @classmethod
    def _inside(cls, folder: str) -> str:
        return _relative(folder)

    @model_validator(mode="after")
    def _once(self) -> Card:
        paths = [f.path for f in self.files]
        twice = sorted({p for p in paths if paths.count(p) > 1})
        if twice:
            raise ValueError(f"files stand twice: {', '.join(twice)}")
        return self

    @property
    def n_bytes(self) -> int | None:
        """Size of all files, or None when one of them is not known."""
        sizes = [f.bytes for f in self.files]
        return None if not sizes or None in sizes else sum(s for s in sizes if s is not None)

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.title}",
            f"  modality: {self.modality}; licence: {self.licence}; access: {self.access}",
            f"  citation: {self.citation}" + (f" doi:{self.doi}" if self.doi else ""),
            f"  reader:   {self.reader.name if self.reader else 'none yet'}; folder: {self.folder}",
            f"  obtain:   {self.how_to_obtain.strip()}",
        ]
        return "\n".join([*lines, *(f"  note:     {n}" for n in self.notes)])


def names() -> list[str]:
    """Return the names of all cards."""
    return sorted(registry.files("datasets", ".yaml"))


def load_card(name_or_path: str | Path) -> Card:
    """Read the card of a data set, by name or from a file of your own.

    Parameters
    ----------
    name_or_path : str or Path
        A name that ``braindec list datasets`` shows, or the path of a .yaml file.

    Raises
    ------
    BraindecError
        If there is no such card, or something in it is wrong; all that is wrong is told at once.
    """
    path = registry.file("datasets", ".yaml", str(name_or_path))
    try:
        card = load_config(Card, path, ignore=())
    except BraindecError as error:
        if not error.found or "settings" not in error.asked:
            raise
        raise BraindecError(f"the card {path} cannot be used", found=error.found, fix="correct the card") from None
    if card.name != path.stem:
        raise BraindecError(
            f"the card {path} names itself {card.name!r}",
            allowed=f"name: {path.stem}",
            fix="file name and name must agree",
        )
    return card


def difference(facts: Facts, found: Mapping[str, Any]) -> list[str]:
    """Return one line for every fact that ``found`` (see :func:`braindec.loaders.source.measure`) contradicts."""
    lines = []
    for key, said in facts.model_dump(exclude_none=True, exclude={"of_subjects", "event_column"}).items():
        if key not in found:
            lines.append(f"{key}: {said!r} is said but cannot be measured in these data")
            continue
        is_close = isinstance(said, float) and isinstance(found[key], (int, float))
        same = abs(said - found[key]) <= 1e-3 * max(1.0, abs(said)) if is_close else said == found[key]
        if not same:
            lines.append(f"{key}: the card says {said!r}, the data have {found[key]!r}")
    return lines


def _relative(path: str) -> str:
    pure = PurePosixPath(path)
    if (
        not path.strip()
        or pure.is_absolute()
        or ".." in pure.parts
        or "\\" in path
        or re.match(r"[A-Za-z]:", path)
        or path == "."
    ):
        raise ValueError(f"{path!r} must be a path inside the data folder, without '..'")
    return str(pure)
