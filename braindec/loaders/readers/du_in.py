"""Reader ``du_in``: sEEG of 61 read words (Zheng et al. 2024, Du-IN) as published, without unpickling it.

``data/seeg.he2023xuanwu/001/word-recitation/run1/dataset.bipolar.default.{unaligned,aligned}/{data,info}``: two pickles
a run, ``data`` a list of items with ``name`` (the word) and ``data_s`` (channel, time), bipolar, 1000 Hz, from 0.5 s
before the word on; ``info`` with ``ch_names``.

The default channels are the ten a subject that the authors name in their scripts. They chose them by the weights of a
model trained on these same trials (their answer in their issue 2), test trials among them: ``channels: chosen`` is told
to the audit as a selection that saw all trials (:mod:`braindec.evaluate.published`), and a score with them is too high
by an amount that nobody knows. ``channels: all`` leaves the choice to a decoder that chooses on training trials.

``split: run`` (the default) leaves whole runs to be held out. ``split: paper`` adds the column ``part`` of the authors'
scripts: items are shuffled within each run, the first 80 % of each word's items in the order of runs are training, the
others are halved into validation and test. The run in which the 80 % end stands in all three parts, its trials dealt at
random, and the epoch is chosen on validation trials of the same minutes as the test: the audit says so.

Source: utils/data/seeg/he2023xuanwu/word_recitation.py and train/duin/run_cls.py of github.com/liulab-repository/Du-IN
(MIT). Checked against synthetic files only; the order of the items in a file is taken to be that of recording (the
scripts do not say).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.evaluate.published import published_step
from braindec.loaders import _files, _options
from braindec.loaders.plain_pickle import load_plain
from braindec.types import Recording, Windows
from braindec.types.signals import Signal

__all__ = ["load", "CHOSEN", "files", "subjects"]

_PLACES = ("data/seeg.he2023xuanwu", "seeg.he2023xuanwu", ".")
_TASK = "word-recitation"
CHOSEN = {
    "001": "SM8 SM9 SM7 SM11 P4 SM10 SM6 P3 SM5 CI9", "002": "TI'2 TI'3 TI'1 TI'6 TI'4 TI'7 ST'3 ST'2 ST'4 FP'4",
    "003": "ST3 ST1 ST2 ST9 TI'4 TI'3 ST4 TI'2 ST7 TI'8", "004": "D12 D13 C4 C3 D11 D14 D10 D9 D5 C15",
    "005": "E8 E9 E6 E7 E11 E12 E5 E10 C10 E4", "006": "D3 D1 D6 D2 D5 D4 D7 D8 G8 E13",
    "007": "H2 H4 H3 H1 H6 H5 E4 H7 C13 E5", "008": "TI3 TI4 TI2 TI5 B9 TI6 TI7 TI9 TI10 B5",
    "009": "K9 K8 K6 K7 K11 K10 K5 K4 K3 I9", "010": "PI5 PI6 PI7 PI8 PI1 PI9 PI2 SM2 SP3 PI4",
    "011": "T2 T3 C9 T4 T5 C7 C8 T1 s1 C4", "012": "TI'4 TI'2 TI'3 TI'5 TI'8 TI'6 TI'7 TO'9 P'5 TO'8",
}  # fmt: skip
_CHOICE = (
    "the ten channels are the authors' choice, made by the weights of a model that was trained on these same trials, test trials among them; "
    "channels: all leaves the choice to the decoder"
)


class ItemsSignal(Signal):
    """Items of one run, (channel, time) each and perhaps of different length, end to end; cut to ``n_times`` from the
    start.

    Parameters
    ----------
    path : str or Path
        The file ``data`` of a run.
    n_times : int
        Samples of each item.
    items : list of array, optional
        The signals, when they were read already.
    """

    finite = False

    def __init__(self, path: str | Path, n_times: int, items: list[np.ndarray] | None = None) -> None:
        self.path, self.n_times = str(path), n_times
        self._open_items = items
        many = self._items()
        self.shape = (int(many[0].shape[0]), len(many) * n_times)
        self.dtype = np.dtype(np.float32)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        first, last = start // self.n_times, -(-stop // self.n_times)
        parts = [np.asarray(item[channels, : self.n_times], dtype=np.float32) for item in self._items()[first:last]]
        joined = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        return joined[:, start - first * self.n_times : stop - first * self.n_times]

    def _items(self) -> list[np.ndarray]:
        items = self.__dict__.get("_open_items")
        if items is None:
            items = self._open_items = [
                item["data_s"] for item in load_plain(Path(self.path or ""), as_dict=["DotDict"])
            ]
        return items


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    run: str | Sequence[str] | None = None,
    channels: str | Sequence[str] = "chosen",
    split: str = "run",
    aligned: bool = False,
    sfreq: float = 1000.0,
    tmin: float = -0.5,
    unit: str | None = None,
    seed: int = 42,
) -> Windows:
    """Open the trials of one subject.

    Parameters
    ----------
    root : str or Path
        The folder that holds ``data/seeg.he2023xuanwu``, or that folder.
    subject : str
        "001" to "012".
    run : str or list of str, optional
        Such as "run1"; all of them by default.
    channels : "chosen", "all" or list of str
        The authors' ten (see above), those that all runs have, or names.
    split : {"run", "paper"}
        "paper" adds the column ``part`` as the authors split, drawn with ``seed``.
    aligned : bool
        Take ``dataset.bipolar.default.aligned``; the authors' classifier takes the other.
    sfreq, tmin : float
        Hz, and s of the first sample relative to the word; the files do not say them.
    unit : str, optional
        Of the values ("V", "uV"); the files do not say it, and nothing is scaled: it only names it.
    seed : int
        For ``split: paper``.

    Returns
    -------
    Windows
        trials: trial_type (the word), stimulus_id, run, ``item`` (place in the file), and ``part`` for the paper's
        split. ``onset`` is the place in the file times the length of an item: the order of trials, not the pauses
        between them, which the files do not say.

    Raises
    ------
    BraindecError, UnreadableError
        If a file holds more than plain data, or runs have other channels.
    """
    if split not in ("run", "paper"):
        raise BraindecError("split is run or paper", found=repr(split))
    found = _found(root, subject, run, aligned)
    label = str(subject).removeprefix("sub-")
    said: dict[str, Any] = (
        published_step("the authors' choice of ten channels", _CHOICE, purpose="selection")
        if channels == "chosen"
        else {"warnings": []}
    )
    if split == "paper":
        said["warnings"].append(
            "the authors' split: in the run where training ends, test trials stand among training trials of the same minutes; hold whole runs out instead"
        )
    runs = [(_read(folder), folder, name) for folder, name in found]
    names = _channels([info for (_, info), _, _ in runs], channels, label)
    n_times = min(item["data_s"].shape[1] for (items, _), _, _ in runs for item in items)
    said["warnings"].append(
        "the files do not say when a trial was: onset is its place in the file times the length of a trial"
    )
    rng = np.random.default_rng(seed)
    parts = []
    for (items, own), folder, name in runs:
        words = [str(item["name"]) for item in items]
        trials = pd.DataFrame(
            {"subject": label, "run": name, "trial_type": words, "stimulus_id": words, "item": range(len(words))}
        )
        trials["onset"] = trials["item"] * n_times / sfreq - tmin
        trials["order"] = rng.permutation(len(words))
        info = {
            "dataset": "du-in",
            "subject": label,
            "task": _TASK,
            "run": name,
            "modality": "ieeg",
            "path": str(folder / "data"),
            **said,
        }
        signal = ItemsSignal(folder / "data", n_times, [item["data_s"] for item in items])
        table = pd.DataFrame({"name": own, "type": "seeg", "unit": unit or "a.u."})
        index = np.stack([np.zeros(len(items), np.int64), np.arange(len(items)) * n_times], axis=1)
        recording = Recording(signal, sfreq, table, info=info).select(names)
        parts.append(Windows((recording,), index, n_times, trials, tmin))
    windows = Windows.concat(parts)
    trials = windows.trials.drop(columns="order")
    return windows.with_trials(trials.assign(part=_paper_parts(windows.trials, rng)) if split == "paper" else trials)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have runs."""
    values = _options.bind(load, options)
    for home in _homes(root):
        found = sorted({p.parents[2].name for p in home.glob(f"*/{_TASK}/*/{_folder_name(values['aligned'])}")})
        if found:
            return found
    raise BraindecError(
        f"{root} holds no runs of Du-IN", allowed=f"{_PLACES[0]}/001/{_TASK}/run1/{_folder_name(values['aligned'])}"
    )


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    return [
        folder / name
        for folder, _ in _found(root, subject, values["run"], values["aligned"])
        for name in ("info", "data")
    ]


def _folder_name(aligned: bool) -> str:
    return f"dataset.bipolar.default.{'aligned' if aligned else 'unaligned'}"


def _homes(root: str | Path) -> list[Path]:
    path = _files.existing(root)
    return [path / place for place in _PLACES if (path / place).is_dir()]


def _found(root: str | Path, subject: str | None, run: Any, aligned: bool) -> list[tuple[Path, str]]:
    if subject is None:
        raise BraindecError("the reader du_in opens one subject at a time", fix='say subject: "001"')
    label, wanted = str(subject).removeprefix("sub-"), _options.as_list(run)
    _files.check_inside(label)
    for home in _homes(root):
        found = [
            (p, p.parent.name)
            for p in sorted(
                (home / label / _TASK).glob(f"*/{_folder_name(aligned)}"), key=lambda p: _number(p.parent.name)
            )
        ]
        if found:
            known = [name for _, name in found]
            unknown = [r for r in wanted or [] if r not in known]
            if unknown:
                raise BraindecError(
                    f"subject {label} has no run {unknown[0]!r}{did_you_mean(unknown[0], known)}",
                    allowed=", ".join(known),
                )
            return [f for f in found if wanted is None or f[1] in wanted]
    raise BraindecError(
        f"{root} has no runs of subject {label}",
        fix="the folder holds data/seeg.he2023xuanwu/001/word-recitation/run1/...",
    )


def _number(name: str) -> tuple[int, str]:
    digits = "".join(c for c in name if c.isdigit())
    return int(digits or 0), name


def _read(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    items, info = (load_plain(folder / name, as_dict=["DotDict"]) for name in ("data", "info"))
    fits = (
        isinstance(items, list)
        and items
        and all(isinstance(i, dict) and isinstance(i.get("data_s"), np.ndarray) and "name" in i for i in items)
    )
    if not fits or not isinstance(info, dict) or "ch_names" not in info:
        raise UnreadableError(
            f"{folder} is no run of Du-IN", allowed="data: a list of {name, data_s}; info: {ch_names}"
        )
    names = [str(n) for n in info["ch_names"]]
    wrong = [i["data_s"].shape for i in items if i["data_s"].ndim != 2 or len(i["data_s"]) != len(names)]
    if wrong:
        raise UnreadableError(
            f"{folder}: data_s must be (channel, time)", found=f"shape {wrong[0]} for {len(names)} channels"
        )
    return items, names


def _channels(known: list[list[str]], wanted: str | Sequence[str], label: str) -> list[str]:
    common = [n for n in known[0] if all(n in names for names in known)]
    if wanted == "all":
        return common
    if isinstance(wanted, str) and wanted == "chosen":
        if label not in CHOSEN:
            raise BraindecError(
                f"the authors name no channels for subject {label}",
                allowed=", ".join(CHOSEN),
                fix="channels: all, or a list of names",
            )
        wanted = CHOSEN[label].split()
    names = [wanted] if isinstance(wanted, str) else [str(n) for n in wanted]
    missing = [n for n in names if n not in common]
    if missing:
        raise BraindecError(
            f"subject {label} has no channel {missing[0]!r} in all runs{did_you_mean(missing[0], common)}",
            allowed=", ".join(common[:40]),
        )
    return names


def _paper_parts(trials: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """train for the first 80 % of each word in shuffled order, run after run; the others are halved into validation and
    test."""
    part = np.full(len(trials), "train", dtype=object)
    order = trials.assign(row=np.arange(len(trials)), file=pd.factorize(trials["run"])[0]).sort_values(
        ["file", "order"]
    )
    held = np.concatenate([g["row"].to_numpy()[int(0.8 * len(g)) :] for _, g in order.groupby("trial_type", sort=True)])
    part[held] = "test"
    part[rng.permutation(held)[: len(held) // 2]] = "validation"
    return part
