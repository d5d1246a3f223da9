"""Reader ``braintreebank``: Brain Treebank (Wang et al. 2024) as published, one Recording a film that a subject watched.

``sub_1_trial000.h5`` (in the folder or in all_subject_data; ``data/electrode_0``, ... one row an electrode),
``electrode_labels/sub_1/electrode_labels.json`` (the name of each, with "*" or "#" here and there),
``corrupted_elec.json``, ``localization/sub_1/depth-wm.csv`` (Electrode, L, P, I in mm, DesikanKilliany, ...),
``subject_metadata/sub_1_trial000_metadata.json`` (filename of the film), ``subject_timings/sub_1_trial000_timings.csv``
(movie_time in s and index in samples of each trigger, pauses among them), ``transcripts/<film>/features.csv`` (one row
a word: start, end, text, sentence, is_onset, idx_in_sentence, rms, pitch, pos, gpt2_surprisal, ...).

A word's onset is that of the nearest trigger plus its distance in film time. The sampling frequency is said, not
measured, and refused when the triggers contradict it (nine subjects have 2048 Hz, one is said to have about half). L, P
and I have an origin that the files do not say, so the channels have no positions unless ``origin`` gives it;
``elec_coords_full.csv`` is a flat overlay for pictures, not a space, and is not read. For the Laplacian reference take
the step of that name.

Source: the authors' quickstart and README (braintreebank.dev; github.com/czlwang), data/{trial,h5}_data_reader.py
there, neuroprobe/braintreebank_subject.py of github.com/insight-neuro/neuroprobe for form and rules. Checked against
synthetic files only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _options
from braindec.loaders._events import read_tsv
from braindec.loaders._treebank import ElectrodeSignal, nonverbal_stretches, read_words
from braindec.types import Recording

__all__ = ["load", "files", "subjects"]

_PLACES = (".", "all_subject_data")
_FILE = re.compile(r"sub_(\d+)_trial(\d+)\.h5")
_TRIGGERS = ("DC", "TRIG")
_UNITS = {"V": 1.0, "uV": 1e-6, "mV": 1e-3}


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    session: str | Sequence[str] | None = None,
    sfreq: float | Mapping[str, float] = 2048.0,
    unit: str | None = None,
    origin: Sequence[float] | None = None,
    nonverbal: bool = False,
) -> list[Recording]:
    """Open the recordings of one subject; samples stay on disk.

    Parameters
    ----------
    root : str or Path
        The folder.
    subject : str
        "1" to "10".
    session : str or list of str, optional
        Such as "trial000"; all of them by default.
    sfreq : float or dict of str to float
        Hz; of each subject, with "default" for the others.
    unit : {"V", "mV", "uV"}, optional
        Of the stored numbers, which are then given in V. Without it nothing is scaled and the unit is "n/a": the files
        do not say it.
    origin : (float, float, float), optional
        (L, P, I) in mm of the point that is to be the origin; positions are then (origin - LPI), right-front-up, in the
        subject's own space.
    nonverbal : bool
        Also events of trial_type "nonverbal": stretches of 1 s (half overlapping) at least 2 s away from every word,
        for the tasks of :mod:`braindec.evaluate.neuroprobe` that need them.

    Returns
    -------
    list of Recording
        Channels: type "seeg" (triggers "stim"), status "bad" where the authors call them corrupted, region
        (DesikanKilliany), L, P, I. Events: the columns of :mod:`braindec.loaders.speech_events` (``story`` and
        ``audio`` are the film) and all columns of features.csv.

    Raises
    ------
    BraindecError, UnreadableError
        If a file is missing or does not fit, words lie outside the recording, or the triggers contradict ``sfreq``.
    """
    folder, label = _files.existing(root), _label(subject)
    rates = {str(k): v for k, v in sfreq.items()} if isinstance(sfreq, Mapping) else {"default": sfreq}
    rate = float(rates.get(label, rates.get("default", 2048.0)))
    if unit is not None and unit not in _UNITS:
        raise BraindecError(f"unknown unit {unit!r}", allowed=", ".join(_UNITS))
    labels = _labels(folder, label)
    said: list[str] = []
    channels = _channels(folder, label, labels, "n/a" if unit is None else "V", origin, said)
    recordings = []
    for path, name in _found(folder, label, session):
        notes = list(said)
        signal = ElectrodeSignal(path, len(labels), factor=1.0 if unit is None else _UNITS[unit])
        film = _film(folder, label, name)
        words = read_words(folder / "transcripts" / film / "features.csv", _timings_path(folder, label, name), film=film, sfreq=rate,
                           duration=signal.shape[1] / rate, warnings=notes)  # fmt: skip
        events = (
            pd.concat([words, nonverbal_stretches(words, film)]).sort_values("onset", kind="stable")
            if nonverbal
            else words
        )
        info = {
            "dataset": "braintreebank",
            "subject": label,
            "session": name,
            "task": "film",
            "run": "1",
            "modality": "ieeg",
            "path": str(path),
            "story": film,
            "line_freq": 60.0,
            "space": "individual (L, P, I)" if origin is not None else None,
            "warnings": notes,
        }
        recordings.append(Recording(signal, rate, channels, events.reset_index(drop=True), info))
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have recordings."""
    _options.bind(load, options)
    folder = _files.existing(root)
    found = {
        m.group(1)
        for place in _PLACES
        for p in (folder / place).glob("sub_*_trial*.h5")
        if (m := _FILE.fullmatch(p.name))
    }
    if not found:
        raise BraindecError(
            f"{folder} holds no recording of Brain Treebank",
            allowed="sub_1_trial000.h5, in it or in all_subject_data",
            fix="unpack the archives of braintreebank.dev",
        )
    return sorted(found, key=int)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    folder, label = _files.existing(root), _label(subject)
    shared = [
        _labels_path(folder, label),
        folder / "localization" / f"sub_{label}" / "depth-wm.csv",
        folder / "corrupted_elec.json",
    ]
    found = [p for p in shared if p.is_file()]
    for path, name in _found(folder, label, values["session"]):
        film = _film(folder, label, name)
        found += [
            path,
            _metadata_path(folder, label, name),
            _timings_path(folder, label, name),
            folder / "transcripts" / film / "features.csv",
        ]
    return list(dict.fromkeys(found))


def _label(subject: str | None) -> str:
    label = re.sub(r"^(sub[-_]?)?0*", "", str(subject))
    if subject is None or not label.isdigit():
        raise BraindecError(
            "the reader braintreebank opens one subject at a time", found=repr(subject), allowed='"1" to "10"'
        )
    return label


def _found(folder: Path, label: str, session: Any) -> list[tuple[Path, str]]:
    there = {
        p.name[len(f"sub_{label}_") : -3]: p
        for place in _PLACES
        for p in (folder / place).glob(f"sub_{label}_trial*.h5")
        if _FILE.fullmatch(p.name)
    }
    wanted = _options.as_list(session) or sorted(there)
    missing = [s for s in wanted if s not in there]
    if missing or not there:
        raise BraindecError(
            f"subject {label} has no recording {missing[0] if missing else ''}".rstrip(),
            allowed=", ".join(sorted(there)) or "none is here",
        )
    return [(there[s], s) for s in wanted]


def _json(path: Path) -> Any:
    try:
        return json.loads(_files.existing(path).read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read as JSON", found=str(error)[:200]) from error


def _clean(name: Any) -> str:
    return str(name).replace("*", "").replace("#", "")


def _labels_path(folder: Path, label: str) -> Path:
    return folder / "electrode_labels" / f"sub_{label}" / "electrode_labels.json"


def _labels(folder: Path, label: str) -> list[str]:
    found = _json(_labels_path(folder, label))
    if not isinstance(found, list) or not found:
        raise UnreadableError(f"{_labels_path(folder, label)} is no list of names", found=type(found).__name__)
    return [_clean(n) for n in found]


def _metadata_path(folder: Path, label: str, session: str) -> Path:
    return folder / "subject_metadata" / f"sub_{label}_{session}_metadata.json"


def _timings_path(folder: Path, label: str, session: str) -> Path:
    return folder / "subject_timings" / f"sub_{label}_{session}_timings.csv"


def _film(folder: Path, label: str, session: str) -> str:
    path = _metadata_path(folder, label, session)
    about = _json(path)
    film = about.get("filename") if isinstance(about, dict) else None
    if not isinstance(film, str) or not film:
        raise UnreadableError(f"{path} does not name the film", allowed='"filename": ...')
    _files.check_inside(film)
    return film


def _channels(
    folder: Path, label: str, labels: list[str], unit: str, origin: Sequence[float] | None, said: list[str]
) -> pd.DataFrame:
    trigger = np.array([n.upper().startswith(_TRIGGERS) for n in labels])
    table = pd.DataFrame(
        {"name": labels, "type": np.where(trigger, "stim", "seeg"), "unit": np.where(trigger, "n/a", unit)}
    )
    corrupted = (
        _json(folder / "corrupted_elec.json").get(f"sub_{label}", [])
        if (folder / "corrupted_elec.json").is_file()
        else None
    )
    if corrupted is None:
        said.append("corrupted_elec.json is not here: no electrode is marked bad")
    table["status"] = np.where(table["name"].isin([_clean(n) for n in corrupted or []]), "bad", "good")
    path = folder / "localization" / f"sub_{label}" / "depth-wm.csv"
    if not path.is_file():
        said.append(f"{path.name} of subject {label} is not here: electrodes have no region")
        return table
    places = read_tsv(path, separator=",")
    missing = [c for c in ("Electrode", "L", "P", "I") if c not in places]
    if missing:
        raise UnreadableError(f"{path} has no column {missing[0]}", found=f"columns {list(places.columns)[:12]}")
    places = (
        places.dropna(subset="Electrode")
        .assign(Electrode=lambda t: t["Electrode"].map(_clean))
        .drop_duplicates("Electrode")
        .set_index("Electrode")
        .reindex(labels)
    )
    placed = places["L"].notna().to_numpy()
    unknown = [n for n, known in zip(labels, placed | trigger, strict=True) if not known]
    if unknown:
        said.append(
            f"{path.name} of subject {label} says no place of {len(unknown)} electrodes: {', '.join(unknown[:6])}"
        )
    if "DesikanKilliany" in places:
        table["region"] = places["DesikanKilliany"].fillna("n/a").astype(str).to_numpy()
    lpi = places[["L", "P", "I"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    table[["L", "P", "I"]] = lpi
    if origin is None:
        said.append(
            "L, P and I of the electrodes have an origin that the files do not say: channels have no positions (option origin)"
        )
    else:
        table[["x", "y", "z"]] = (np.asarray(origin, dtype=float) - lpi) / 1000.0
    return table
