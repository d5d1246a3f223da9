"""Reader ``bci_iv_2a``: BCI Competition IV, data set 2a, as published (GDF), one Recording a run of imagery.

``A01T.gdf`` (training session) and ``A01E.gdf`` (evaluation session): one file a session, 250 Hz, 22 EEG and 3 EOG
channels. Event types: 32766 a run begins, 768 a trial begins, 769 to 772 the cue (left hand, right hand, feet, tongue;
2 s after the trial begins), 783 a cue of unknown class, 1023 the trial was rejected by an expert, 276, 277 and 1072
recordings of eyes. The classes of the evaluation session are ``classlabel`` in ``A01E.mat``, a separate download ("true
labels").

The official test trains on session T and tests on session E: the column ``part`` says "train" and "test". Within a
session hold out whole runs.

Source: Brunner, Leeb, Mueller-Putz, Schloegl, Pfurtscheller, "BCI Competition 2008 - Graz data set A" (description),
Tangermann et al. (2012); names of the channels in the order of its figure 3. Checked against synthetic files only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _formats, _matlab, _options
from braindec.loaders._positions import standard_montage
from braindec.loaders.readers.raw import open_raw
from braindec.types import Recording

__all__ = ["load", "CLASSES", "files", "subjects"]

CLASSES = {"769": "left_hand", "770": "right_hand", "771": "feet", "772": "tongue"}
_UNKNOWN, _TRIAL, _RUN, _REJECTED = "783", "768", "32766", "1023"
_EEG = (
    "Fz",
    "FC3",
    "FC1",
    "FCz",
    "FC2",
    "FC4",
    "C5",
    "C3",
    "C1",
    "Cz",
    "C2",
    "C4",
    "C6",
    "CP3",
    "CP1",
    "CPz",
    "CP2",
    "CP4",
    "P1",
    "Pz",
    "P2",
    "POz",
)
_EOG = ("EOG-left", "EOG-central", "EOG-right")
_NAMED = {
    0: "EEG-Fz",
    7: "EEG-C3",
    9: "EEG-Cz",
    11: "EEG-C4",
    19: "EEG-Pz",
}  # the channels that the file names, to know the order by
_PARTS = {"T": "train", "E": "test"}
_IMAGERY = 4.0  # s from the cue to the end of imagery


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    session: str | Sequence[str] | None = None,
    rejected: str = "keep",
    labels: str | None = None,
    montage: str | None = "standard_1005",
) -> list[Recording]:
    """Open the runs of imagery of one subject; samples stay on disk.

    Parameters
    ----------
    root : str or Path
        The folder of the files.
    subject : str
        "01" to "09".
    session : str or list of str, optional
        "T", "E" or both (the default).
    rejected : {"keep", "drop"}
        What happens to trials that an expert rejected; kept ones are true in the column ``rejected``.
    labels : str, optional
        Folder of the true labels inside ``root``; by default beside the GDF files, or true_labels.
    montage : str, optional
        Template for positions (the channels have names of the 10-10 system), or null.

    Returns
    -------
    list of Recording
        info: session "T" or "E", run "1" to "6". Events: onset of the cue, duration 4 s (the imagery), trial_type
        left_hand, right_hand, feet or tongue, part, rejected. Session E is left out, and a warning says so, when its
        labels are not there and ``session`` does not name it.

    Raises
    ------
    BraindecError, UnreadableError
        If labels are missing or do not fit, or channels or events are not those of the data set.
    """
    if rejected not in ("keep", "drop"):
        raise BraindecError("rejected is keep or drop", found=repr(rejected))
    folder, label = _files.existing(root), _label(subject)
    found = _sessions(folder, label, session)
    recordings, said = [], []
    for name, path in found:
        true = _true_labels(folder, path, labels) if name == "E" else None
        if name == "E" and true is None and session is None and not _has_classes(path):
            said.append(
                f"{path.name} is left out: {path.stem}.mat, the true labels of the evaluation session, is not here (a download of its own)"
            )
            continue
        recordings += _runs(path, label, name, true, rejected, montage)
    if not recordings:
        raise BraindecError(f"no session of subject {label} can be used", found="; ".join(said))
    if said:
        recordings = [replace(r, info={**r.info, "warnings": [*r.info["warnings"], *said]}) for r in recordings]
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have a file."""
    _options.bind(load, options)
    folder = _files.existing(root)
    found = sorted({p.stem[1:3] for p in folder.glob("A[0-9][0-9][TE].gdf")})
    if not found:
        raise BraindecError(f"{folder} holds no session of BCI IV 2a", allowed="A01T.gdf, A01E.gdf, ...",
                            fix="for an export of MOABB use the reader moabb or bids")  # fmt: skip
    return found


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    folder = _files.existing(root)
    found = []
    for name, path in _sessions(folder, _label(subject), values["session"]):
        extra = _label_path(folder, path, values["labels"]) if name == "E" else None
        found += [*_formats.companions(path), *([extra] if extra else [])]
    return found


def _label(subject: str | None) -> str:
    if subject is None:
        raise BraindecError("the reader bci_iv_2a opens one subject at a time", fix='say subject: "01"')
    label = str(subject).removeprefix("sub-").removeprefix("A").zfill(2)
    _files.check_inside(label)
    return label


def _sessions(folder: Path, label: str, session: Any) -> list[tuple[str, Path]]:
    wanted = _options.as_list(session) or list(_PARTS)
    unknown = [s for s in wanted if s not in _PARTS]
    if unknown:
        raise BraindecError(f"there is no session {unknown[0]!r}", allowed="T, E")
    found = [(s, folder / f"A{label}{s}.gdf") for s in wanted]
    there = [f for f in found if f[1].is_file()]
    if not there:
        raise BraindecError(
            f"{folder} has no {found[0][1].name}",
            allowed=", ".join(p.name for p in sorted(folder.glob("A*.gdf"))) or "A01T.gdf, ...",
        )
    return there


def _label_path(folder: Path, path: Path, labels: str | None) -> Path | None:
    for place in [labels] if labels else [".", "true_labels"]:
        _files.check_inside(place)
        if (folder / place / f"{path.stem}.mat").is_file():
            return folder / place / f"{path.stem}.mat"
    return None


def _true_labels(folder: Path, path: Path, labels: str | None) -> np.ndarray | None:
    found = _label_path(folder, path, labels)
    if found is None:
        return None
    values = _matlab.read_variables(found, ["classlabel"])
    if "classlabel" not in values:
        raise UnreadableError(f"{found} has no variable classlabel", found=", ".join(_matlab.shapes_of(found)))
    return _matlab.column(values["classlabel"], None, "classlabel", found)


def _has_classes(path: Path) -> bool:
    return bool(open_raw(path, []).events["trial_type"].astype(str).isin(CLASSES).any())


def _runs(
    path: Path, label: str, session: str, true: np.ndarray | None, rejected: str, montage: str | None
) -> list[Recording]:
    said: list[str] = []
    whole = _named(open_raw(path, said), path)
    events = whole.events.assign(code=whole.events["trial_type"].astype(str))
    trials = _trials(events, true, path)
    dropped = int(trials["rejected"].sum()) if rejected == "drop" else 0
    starts = np.sort(events.loc[events["code"] == _RUN, "onset"].to_numpy())
    if not len(starts):
        starts = np.zeros(1)
    stops = np.r_[starts[1:], whole.duration]
    spans = [
        (a, b) for a, b in zip(starts, stops, strict=True) if ((trials["onset"] >= a) & (trials["onset"] < b)).any()
    ]
    if dropped:
        trials = trials[~trials["rejected"]]
        said.append(f"{path.name}: {dropped} trials that an expert rejected were left out")
    runs = []
    for number, (start, stop) in enumerate(spans, start=1):
        about = {
            "dataset": "bci-iv-2a",
            "subject": label,
            "session": session,
            "task": "imagery",
            "run": str(number),
            "modality": "eeg",
            "line_freq": 50.0,
            "warnings": said,
            "renamed": None,
        }
        one = replace(whole, events=trials.assign(part=_PARTS[session]), info={**whole.info, **about})
        one = one.select(tmin=start, tmax=min(stop, whole.duration))
        runs.append(standard_montage(one, montage, said) if montage else one)
    return runs


def _named(recording: Recording, path: Path) -> Recording:
    """Names of the 10-10 system; the file names five of the channels, by which their order is known."""
    names = recording.ch_names
    wrong = [n for place, n in _NAMED.items() if place >= len(names) or names[place] != n]
    if len(names) != len(_EEG) + len(_EOG) or wrong:
        raise UnreadableError(
            f"{path} has other channels than BCI IV 2a", found=f"{len(names)}: {', '.join(names[:12])}, ...",
            allowed="22 EEG channels with EEG-Fz first, EEG-C3, EEG-Cz, EEG-C4, EEG-Pz at places 8, 10, 12, 20, and 3 EOG channels",
        )  # fmt: skip
    channels = recording.channels.assign(name=[*_EEG, *_EOG], type=["eeg"] * len(_EEG) + ["eog"] * len(_EOG))
    return replace(recording, channels=channels)


def _trials(events: pd.DataFrame, true: np.ndarray | None, path: Path) -> pd.DataFrame:
    """One row a trial: onset of the cue, class, rejected."""
    cue = events[events["code"].isin([*CLASSES, _UNKNOWN])].sort_values("onset", kind="stable")
    begins = np.sort(events.loc[events["code"] == _TRIAL, "onset"].to_numpy())
    marked = events.loc[events["code"] == _REJECTED, "onset"].to_numpy()
    if not len(cue):
        raise UnreadableError(
            f"{path} holds no cue (769 to 772, 783)", found=", ".join(sorted(set(events["code"]))[:12]) or "no events"
        )
    onset = cue["onset"].to_numpy()
    names = cue["code"].map(CLASSES).to_numpy(dtype=object)
    unknown = (cue["code"] == _UNKNOWN).to_numpy()
    if unknown.any():
        if true is None:
            raise BraindecError(
                f"{path.name} does not say the classes of {int(unknown.sum())} trials, and {path.stem}.mat is not here",
                fix="download the true labels of the evaluation sessions from bbci.de/competition/iv and put them beside the GDF files",
            )
        if len(true) != len(cue) or not np.isin(true, (1, 2, 3, 4)).all():
            raise BraindecError(
                f"{path.stem}.mat does not fit {path.name}",
                found=f"{len(true)} labels for {len(cue)} trials, values {sorted(set(true.tolist()))[:6]}",
            )
        names[unknown] = np.array(list(CLASSES.values()), dtype=object)[true[unknown] - 1]
    begin = begins[np.clip(np.searchsorted(begins, onset, side="right") - 1, 0, None)] if len(begins) else onset
    bad = np.array(
        [bool(((marked >= b - 0.5) & (marked <= t + _IMAGERY)).any()) for b, t in zip(begin, onset, strict=True)]
    )
    return pd.DataFrame({"onset": onset, "duration": _IMAGERY, "trial_type": names, "rejected": bad})
