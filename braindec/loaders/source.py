"""Source: where the recordings of a data set are, and the reader that opens them.

``open_source("muse-p300")`` takes folder and reader from the card; ``open_source(root=..., reader="bids")`` says them.
Nothing is read before it is asked for.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _options
from braindec.loaders.cards import Card, Facts, load_card
from braindec.types import Recording, Spikes, Windows

__all__ = ["Source", "measure", "open_source"]


@dataclass(frozen=True, eq=False)
class Source:
    """The recordings of one data set.

    Parameters
    ----------
    name : str
        Name of the card, or of the folder.
    root : Path
        The folder (or file).
    reader : str
        Name of the reader.
    options : dict
        Options of the reader.
    card : Card, optional
        The card, when there is one.
    """

    name: str
    root: Path
    reader: str
    options: Mapping[str, Any] = field(default_factory=dict)
    card: Card | None = None
    _opened: dict[str, Any] = field(default_factory=dict, repr=False)

    def subjects(self) -> list[str]:
        """Return the labels of the subjects."""
        return [str(s) for s in self._module.subjects(self.root, **self.options)]

    def load(self, subject: str) -> Any:
        """Open what belongs to a subject: a list of Recording, or Windows, or a list of Spikes.

        Raises
        ------
        BraindecError
            If there is no such subject; the message has the nearest and the list.
        """
        subject = self._checked(subject)
        if subject not in self._opened:
            self._opened.clear()  # one subject at a time: open files are not kept for all of them
            options = {k: v for k, v in self.options.items() if k != "subject"}
            self._opened[subject] = self._module.load(self.root, subject=subject, **options)
        return self._opened[subject]

    def recordings(self, subject: str) -> list[Recording]:
        """Open the continuous recordings of a subject, in order of session and run.

        Raises
        ------
        BraindecError
            If the data are already cut into windows, or are spike times.
        """
        loaded = self.load(subject)
        if isinstance(loaded, Windows):
            raise BraindecError(
                f"{self.name}: the reader {self.reader} gives windows that are already cut, not continuous recordings",
                found=repr(loaded),
                fix="use source.windows(subject)",
            )
        recordings = [loaded] if isinstance(loaded, (Recording, Spikes)) else list(loaded)
        wrong = [r for r in recordings if not isinstance(r, Recording)]
        if wrong:
            raise BraindecError(
                f"{self.name}: the reader {self.reader} gives {type(wrong[0]).__name__}, not recordings",
                found=repr(wrong[0]),
                fix="for spikes: count them in bins, [s.counts(0.05) for s in source.load(subject)], or set "
                "bin_width in the options",
            )
        return recordings

    def windows(self, subject: str) -> Windows | None:
        """Open the windows of a subject, when the data are already cut; None for continuous recordings."""
        loaded = self.load(subject)
        return loaded if isinstance(loaded, Windows) else None

    def pictures(self) -> tuple[list[str], np.ndarray]:
        """Return the ids of the stimuli and the pictures shown, uint8 (n, height, width, 3), where the data hold them.

        Raises
        ------
        BraindecError
            If they do not.
        """
        if not hasattr(self._module, "pictures"):
            raise BraindecError(f"{self.name}: the reader {self.reader} finds no pictures among the data",
                                fix="name the folder of the pictures, or extract features from them")  # fmt: skip
        options = {k: v for k, v in self.options.items() if k != "subject"}
        return self._module.pictures(self.root, **options)

    def audio(self) -> dict[str, Path]:
        """Return the sound files that were played, by the name that events give in the column ``audio``.

        Raises
        ------
        BraindecError
            If the reader knows of none.
        """
        if not hasattr(self._module, "audio"):
            raise BraindecError(f"{self.name}: the reader {self.reader} finds no sounds among the data",
                                fix="name the folder of the sounds, in a recipe by the setting sounds")  # fmt: skip
        options = {k: v for k, v in self.options.items() if k != "subject"}
        return {str(name): Path(path) for name, path in self._module.audio(self.root, **options).items()}

    def files(self, subject: str) -> list[Path]:
        """Return the files that :meth:`load` reads."""
        options = {k: v for k, v in self.options.items() if k != "subject"}
        return [Path(p) for p in self._module.files(self.root, subject=self._checked(subject), **options)]

    @property
    def modality(self) -> str | None:
        """Modality of the card, else of the first recording."""
        if self.card is not None:
            return self.card.modality
        loaded = self.load(self.subjects()[0])
        first = (
            loaded.recordings[0] if isinstance(loaded, Windows) else loaded[0] if isinstance(loaded, list) else loaded
        )
        return first.info.get("modality")

    def describe(self) -> dict[str, Any]:
        """Return a table of what the source is: name, folder, reader, subjects, licence, citation."""
        about: dict[str, Any] = {
            "name": self.name,
            "root": str(self.root),
            "reader": self.reader,
            "options": dict(self.options),
            "modality": self.modality,
            "subjects": self.subjects(),
        }
        if self.card is not None:
            keep = {"title", "licence", "citation", "doi", "url", "notes"}
            about |= self.card.model_dump(include=keep)
        return about

    def __repr__(self) -> str:
        return f"<Source {self.name}: {self.root} through {self.reader}>"

    @property
    def _module(self) -> Any:
        return registry.load_module("loaders.readers", self.reader)

    def _checked(self, subject: str) -> str:
        known, asked = self.subjects(), str(subject).removeprefix("sub-")
        for name in (str(subject), asked):
            if name in known:
                return name
        raise BraindecError(
            f"{self.name} has no subject {str(subject)!r}{did_you_mean(asked, known)}",
            allowed=", ".join(known[:60]) + (" ..." if len(known) > 60 else "") or "none",
        )


def open_source(
    dataset: str | Path | Card | None = None,
    *,
    root: str | Path | None = None,
    reader: str | None = None,
    options: Mapping[str, Any] | None = None,
    data_home: str | Path | None = None,
) -> Source:
    """Find a data set and its reader.

    Parameters
    ----------
    dataset : str, Path or Card, optional
        Name of a card (or a card of your own): gives folder, reader and options.
    root : str or Path, optional
        The folder or file itself; with ``dataset`` also the folder that holds the data set's folder. A relative path
        is looked for in the working folder, in ``data_home`` and in ``$BRAINDEC_DATA``.
    reader : str, optional
        Name of a reader; found from the content when neither it nor a card is given.
    options : dict, optional
        Options of the reader; they replace those of the card one by one.
    data_home : str or Path, optional
        The folder that holds data sets; ``$BRAINDEC_DATA`` by default, then ``./data``.

    Raises
    ------
    BraindecError
        If the data are not found (all places that were tried are listed, and how to obtain them), or a reader or an
        option is unknown.
    """
    if dataset is None and root is None:
        raise BraindecError(
            "which recordings?",
            found="neither dataset nor root",
            fix="name a data set (data.dataset=..., see: braindec list datasets) or a folder (data.root=...)",
        )
    card = dataset if isinstance(dataset, Card) or dataset is None else load_card(dataset)
    found = _locate(card, root, data_home)
    name = card.name if card else found.resolve().name
    if reader is None and card is not None and card.reader is not None:
        reader = card.reader.name
    if reader is None:
        if card is not None:
            raise BraindecError(
                f"the card {name} names no reader", fix="say it: data.reader=... (braindec list loaders.readers)"
            )
        from braindec.loaders._detect import detect

        reader = detect(found)
    own = card.reader.options if card and card.reader and card.reader.name == reader else {}
    merged = {**own, **dict(options or {})}
    _check_options(reader, merged)
    return Source(name, found, reader, merged, card)


def measure(source: Source, facts: Facts) -> dict[str, Any]:
    """Measure in the data what a card states, so that the two can be compared.

    Returns
    -------
    dict
        The keys of :class:`braindec.loaders.cards.Facts` that make sense for these data. ``n_channels``, ``sfreq``,
        ``n_times`` and ``space`` are there when all recordings agree.
    """
    subjects = source.subjects()
    found: dict[str, Any] = {"subjects": subjects, "n_subjects": len(subjects)}
    things: list[Any] = []
    tables: list[pd.DataFrame] = []
    for subject in facts.of_subjects or subjects:
        loaded = source.load(subject)
        if isinstance(loaded, Windows):
            found["n_windows"] = found.get("n_windows", 0) + len(loaded)
            found["n_times"] = loaded.n_times
            things += list(loaded.recordings)
            tables.append(loaded.trials)
        else:
            many = loaded if isinstance(loaded, list) else [loaded]
            things += many
            tables += [r.events for r in many]
    found |= {"n_recordings": len(things), **_common(things, "n_windows" in found)}
    events = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    found["n_events"] = len(events)
    if facts.event_column in events:
        found["events"] = {str(k): int(v) for k, v in events[facts.event_column].value_counts().sort_index().items()}
    return found


def _common(things: list[Any], cut: bool) -> dict[str, Any]:
    """What all recordings share, and their length together."""
    recordings = [t for t in things if isinstance(t, Recording)]
    if not recordings:
        return (
            {"n_channels": things[0].n_units, "duration": float(sum(t.stop - t.start for t in things))}
            if things
            else {}
        )
    common: dict[str, Any] = {"duration": float(sum(r.duration for r in recordings))}
    one = {
        "n_channels": {r.n_channels for r in recordings},
        "sfreq": {round(r.sfreq, 9) for r in recordings},
        "space": {r.info.get("space") for r in recordings},
    } | ({} if cut else {"n_times": {r.n_times for r in recordings}})
    common |= {key: values.pop() for key, values in one.items() if len(values) == 1}
    common["channel_types"] = {
        str(k): int(v) for k, v in recordings[0].channels["type"].value_counts().sort_index().items()
    }
    common["units"] = sorted({str(u) for r in recordings for u in r.channels["unit"]})
    return common


def _locate(card: Card | None, root: str | Path | None, data_home: str | Path | None) -> Path:
    """Return the first place that is there; else list all that were tried."""
    environment = os.environ.get("BRAINDEC_DATA")
    homes = [Path(h).expanduser() for h in (data_home, environment) if h]
    tried: list[Path] = []
    if root is not None:
        given = Path(root).expanduser()
        bases = [given] if given.is_absolute() else [given, *(h / given for h in homes)]
        tried = [b / card.folder for b in bases] + bases if card else bases
    elif card is not None:
        tried = [h / card.folder for h in homes] or [Path("data") / card.folder, Path(card.folder)]
    for place in tried:
        if place.exists():
            return place
    asked = f"the data set {card.name}" if card else f"the recordings in {root}"
    if card is not None:
        where = f"BRAINDEC_DATA=<folder that holds {card.folder}>, or data.root=<folder>"
        fix = f"{card.how_to_obtain.strip()} Then say where it is: {where}"
    else:
        near = (
            did_you_mean(tried[0].name, [p.name for p in tried[0].parent.iterdir()]) if tried[0].parent.is_dir() else ""
        )
        fix = f"check the path{near}"
    raise BraindecError(
        f"{asked} cannot be found",
        found="nothing at " + ", ".join(str(p.absolute()) for p in dict.fromkeys(tried)),
        allowed=None if environment else "the environment variable BRAINDEC_DATA is not set",
        fix=fix,
    )


def _check_options(reader: str, options: Mapping[str, Any]) -> None:
    module = registry.load_module("loaders.readers", reader)
    for name in ("load", "subjects", "files"):
        if not callable(getattr(module, name, None)):
            raise BraindecError(
                f"the reader {reader} has no function {name}", fix="a reader module has load, subjects and files"
            )
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(module.load).parameters.values()):
        return
    _options.bind(module.load, options)
