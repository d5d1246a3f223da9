"""Atlas cards: one YAML file an atlas, with what it is, its licence, how to get it and how its labels are named."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from braindec import registry
from braindec.config import Section, load_config
from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._atlas_tables import FORMATS
from braindec.loaders.cards import Card, CardFile

__all__ = ["AtlasCard", "AtlasForm", "load_atlas_card", "names"]

_WORD = re.compile(r"\{(\w+)\}")


class AtlasForm(Section):
    """One form of an atlas: files of one kind in one space.

    ``labels`` are one file, or two (left, right); words in braces are parameters of the card. Names of the regions stand in
    ``table`` (read as ``table_format``), in ``names`` (of the labels 1, 2, ...), or in the label files themselves.
    """

    kind: Literal["volume", "surface", "cifti"]
    space: str
    labels: list[str] = Field(min_length=1, max_length=2)
    table: str | None = None
    table_format: str | None = None
    names: list[str] | None = None
    values: Literal["labels", "probability"] = "labels"
    base_url: str | None = None
    sha256: dict[str, str] = {}

    @field_validator("table_format")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in FORMATS:
            raise ValueError(f"there is no format {name!r}{did_you_mean(name, FORMATS)} (known: {', '.join(FORMATS)})")
        return name

    @model_validator(mode="after")
    def _paths(self) -> AtlasForm:
        if self.table is not None and self.names is not None:
            raise ValueError("names stand in a table or in the card, not in both")
        if (self.table is None) != (self.table_format is None):
            raise ValueError("table and table_format belong together")
        _ = self.files  # paths, urls and checksums are checked there
        return self

    @property
    def files(self) -> list[CardFile]:
        """The files of the form, labels first."""
        paths = [*self.labels, *([self.table] if self.table else [])]
        unknown = sorted(set(self.sha256) - set(paths)) if not any(_WORD.search(p) for p in paths) else []
        if unknown:
            raise ValueError(f"sha256 of files that are not named: {', '.join(unknown)}")
        return [
            CardFile(path=p, url=self.base_url + p if self.base_url else None, sha256=self.sha256.get(p)) for p in paths
        ]


class AtlasCard(Section):
    """One atlas.

    ``access`` is "open" (:func:`braindec.loaders.atlases.fetch_atlas` may download it), "registration" (terms are to be
    accepted by yourself) or "closed" (the licence does not let others pass it on, or is not stated); files of your own can
    be named in any case. The first form, and the first value of each parameter, is meant when none is named.
    """

    name: str
    title: str
    licence: str = Field(min_length=3)
    citation: str
    doi: str | None = None
    url: str
    access: Literal["open", "registration", "closed"]
    how_to_obtain: str
    folder: str
    forms: dict[str, AtlasForm] = Field(min_length=1)
    parameters: dict[str, list[str]] = {}
    n_regions: dict[str, int] = {}
    notes: list[str] = []

    @field_validator("folder")
    @classmethod
    def _inside(cls, folder: str) -> str:
        return CardFile(path=folder).path

    @model_validator(mode="after")
    def _whole(self) -> AtlasCard:
        used = set()
        for key, form in self.forms.items():
            words = set(_WORD.findall(" ".join([*form.labels, form.table or ""])))
            if words - set(self.parameters):
                raise ValueError(f"form {key}: {sorted(words - set(self.parameters))} are no parameters of the card")
            if self.access == "open" and form.base_url is None:
                raise ValueError(f"form {key}: an open atlas says where its files are (base_url)")
            used |= words
        if set(self.parameters) - used or not all(self.parameters.values()):
            raise ValueError(f"parameters without use or value: {sorted(set(self.parameters) - used)}")
        if set(self.n_regions) - set(self.forms):
            raise ValueError(f"n_regions of unknown forms: {sorted(set(self.n_regions) - set(self.forms))}")
        return self

    def form(self, name: str | None = None, **parameters: Any) -> AtlasForm:
        """Return one form with its parameters filled in.

        Raises
        ------
        BraindecError
            If there is no such form or parameter, or a value is not among those that exist.
        """
        name = next(iter(self.forms)) if name is None else name
        if name not in self.forms:
            raise BraindecError(
                f"the atlas {self.name} has no form {name!r}{did_you_mean(name, self.forms)}",
                allowed=", ".join(f"{k} ({f.kind}, {f.space})" for k, f in self.forms.items()),
            )
        values = {key: allowed[0] for key, allowed in self.parameters.items()}
        for key, value in parameters.items():
            if key not in values:
                raise BraindecError(
                    f"the atlas {self.name} has no parameter {key!r}{did_you_mean(key, values)}",
                    allowed=", ".join(values) or "none",
                )
            if str(value) not in self.parameters[key]:
                raise BraindecError(
                    f"the atlas {self.name} has no {key} = {value!r}", allowed=", ".join(self.parameters[key])
                )
            values[key] = str(value)
        form = self.forms[name]
        return form.model_copy(
            update={
                "labels": [_fill(p, values) for p in form.labels],
                "table": form.table and _fill(form.table, values),
            }
        )

    def every_form(self) -> list[AtlasForm]:
        """Return every form with every choice of parameters."""
        choices = [dict(zip(self.parameters, c, strict=True)) for c in itertools.product(*self.parameters.values())]
        return [self.form(name, **choice) for name in self.forms for choice in choices]

    def as_dataset(self, form: AtlasForm) -> Card:
        """Return the files of a form as a card that :func:`braindec.loaders.fetch.fetch` understands."""
        return Card(
            name=self.name, title=self.title, modality="misc", licence=self.licence, citation=self.citation, doi=self.doi,
            url=self.url, access=self.access, how_to_obtain=self.how_to_obtain, folder=self.folder,
            files=form.files if form.base_url else [],
        )  # fmt: skip

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.title}",
            f"  licence:  {self.licence}; access: {self.access}",
            f"  citation: {self.citation.strip()}" + (f" doi:{self.doi}" if self.doi else ""),
            *(f"  form:     {k}: {f.kind} in {f.space}, {f.values}" for k, f in self.forms.items()),
            *(f"  choose:   {k}: {', '.join(v)}" for k, v in self.parameters.items()),
            f"  obtain:   {self.how_to_obtain.strip()}",
        ]
        return "\n".join([*lines, *(f"  note:     {n}" for n in self.notes)])


def names() -> list[str]:
    """Return the names of all atlas cards."""
    return sorted(registry.files("atlases", ".yaml"))


def load_atlas_card(name_or_path: str | Path) -> AtlasCard:
    """Read the card of an atlas, by name or from a file of your own.

    Raises
    ------
    BraindecError
        If there is no such card, or something in it is wrong; all that is wrong is told at once.
    """
    path = registry.file("atlases", ".yaml", str(name_or_path))
    try:
        card = load_config(AtlasCard, path, ignore=())
    except BraindecError as error:
        if not error.found or "settings" not in error.asked:
            raise
        raise BraindecError(f"the card {path} cannot be used", found=error.found, fix="correct the card") from None
    if card.name != path.stem:
        raise BraindecError(
            f"the card {path} names itself {card.name!r}", allowed=f"name: {path.stem}",
            fix="file name and name must agree",
        )  # fmt: skip
    return card


def _fill(path: str, values: Mapping[str, str]) -> str:
    return _WORD.sub(lambda m: values[m.group(1)], path)
