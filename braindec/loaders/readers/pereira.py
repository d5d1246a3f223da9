"""Reader ``pereira``: responses to sentences (Pereira et al. 2018), one MATLAB file an experiment -> Windows of one sample.

Layout, as established from the page of the data set (web.mit.edu/evlab, "Datasets (MATLAB)") and from public code that reads
it (among it the loaders of brain-score, and scripts that list the fields of ``meta``):

* ``<P01>/data_384sentences.mat`` (experiment 2) and ``<P01>/data_243sentences.mat`` (experiment 3): ``examples_passagesentences``
  (sentence, voxel), one average a sentence. An older release calls the files ``examples_384sentences.mat`` and the
  matrix ``examples``. ``keySentences``, ``labelsSentences``, ``labelsPassageForEachSentence``, ``keyPassages``,
  ``labelsPassageCategory``, ``keyPassageCategory``: texts, and numbers from 1. 384 sentences belong to 96 passages,
  243 to 72; both have 24 topics.
* ``data_180concepts_{sentences,pictures,wordclouds}.mat`` (experiment 1): ``examples`` (concept, voxel), ``keyConcept``.
* ``meta``: ``dimensions`` (or ``dimx``, ``dimy``, ``dimz``) and ``colToCoord`` (voxel, 3), indices from 1; ``atlases`` with
  ``rois`` and ``roiColumns`` (columns from 1) for each, among them languageLH, languageRH and gordon. The older release
  has ``roiMultimaskAAL`` and ``roisAAL``, ``roiMultimaskGordon`` and ``roisGordon``. No affine is given: voxels have
  indices, but no position.

Subjects P01, M02, M04, M07, M15 did both sentence experiments, M08, M09, M14 only the second, M03 only the third.

Differs from brain-score in: nothing is averaged or dropped, and the sentence's passage is its ``concept_id``, so that whole
passages are held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders._matlab import MatlabSignal, column, fields, read_variables, shapes_of, texts
from braindec.types import Recording, Windows

__all__ = ["load", "files", "subjects"]

EXPERIMENTS = (
    "384sentences",
    "243sentences",
    "180concepts_sentences",
    "180concepts_pictures",
    "180concepts_wordclouds",
)
_KEYS = ("keySentences", "labelsSentences", "labelsPassageForEachSentence", "keyPassages", "labelsPassageCategory", "keyPassageCategory",
         "keyConcept", "labelsConcept", "meta")  # fmt: skip
_MATRICES = ("examples_passagesentences", "examples")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    experiment: str | Sequence[str] = ("384sentences", "243sentences"),
    atlas: str | None = None,
    inside: bool = False,
) -> Windows:
    """Open the responses of a subject; matrices are read when they are used.

    Parameters
    ----------
    root : str or Path
        The folder that holds the folders of the subjects.
    subject : str, optional
        "P01", ...; may be left out when there is one.
    experiment : str or list of str
        Names of EXPERIMENTS; those that the subject did not do are left out.
    atlas : str, optional
        An atlas of ``meta`` ("languageLH", "gordon", ...; older release: "AAL", "Gordon"): names the region of each voxel.
    inside : bool
        Keep only the voxels in a region of ``atlas``.

    Returns
    -------
    Windows of shape (n_sentences, n_voxels, 1)
        One Recording an experiment (its session). ``trials``: ``stimulus_id`` ("384sentences-001"), ``concept_id`` (the passage,
        "384sentences-passage-01"), ``sentence``, ``passage`` and ``topic``; for concepts both ids are the word.

    Raises
    ------
    UnreadableError
        If a file is damaged, or of MATLAB version 7.3.
    BraindecError
        If a label is not there, or experiments differ in voxels.
    """
    base = _files.existing(root)
    who = _one(_subjects(base, _wanted(experiment)), subject)
    paths = _paths(base, who, _wanted(experiment))
    recordings, tables = [], []
    first: np.ndarray | None = None
    for name, path in tqdm(paths.items(), desc=f"opening {who}", disable=None, leave=False):
        recording, trials, places = _open(who, name, path, atlas, inside)
        if first is not None and not np.array_equal(first, places):
            raise BraindecError(
                f"the experiments of {who} differ in voxels: {', '.join(paths)}", found=f"{len(first)} and {len(places)} voxels",
                fix=f"read one at a time: experiment: {next(iter(paths))}",
            )  # fmt: skip
        first = places
        recordings.append(recording)
        tables.append(trials)
    index = [(k, row) for k, table in enumerate(tables) for row in range(len(table))]
    trials = pd.concat(tables, ignore_index=True)
    if trials["stimulus_id"].duplicated().any():
        trials["repetition"] = trials.groupby("stimulus_id").cumcount() + 1
    lost = [name for name in _wanted(experiment) if name not in paths]
    if lost:
        said = f"{who} has no file of {', '.join(lost)}: left out"
        recordings = [replace(r, info={**r.info, "warnings": [said]}) for r in recordings]
    return Windows(tuple(recordings), np.array(index), 1, trials)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that did one of the experiments asked for."""
    values = _options.bind(load, options)
    return _subjects(_files.existing(root), _wanted(values["experiment"]))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` reads."""
    values = _options.bind(load, {**options, "subject": subject})
    base, wanted = _files.existing(root), _wanted(values["experiment"])
    return list(_paths(base, _one(_subjects(base, wanted), subject), wanted).values())


def _open(
    who: str, name: str, path: Path, atlas: str | None, inside: bool
) -> tuple[Recording, pd.DataFrame, np.ndarray]:
    shapes = shapes_of(path)
    matrix = next((m for m in _MATRICES if m in shapes), None)
    if matrix is None:
        raise UnreadableError(
            f"{path} holds no responses", found=", ".join(shapes) or "nothing", allowed=" or ".join(_MATRICES)
        )
    signal, found = MatlabSignal(path, matrix), read_variables(path, _KEYS)
    if "meta" not in found:
        raise UnreadableError(
            f"{path} does not say where its voxels are", found=", ".join(found), allowed="meta.colToCoord"
        )
    meta = fields(found["meta"])
    channels, grid = _voxels(meta, signal.shape[0], path)
    if atlas is not None:
        channels["region"] = _regions(meta, atlas, signal.shape[0], path)
    trials = (
        _concepts(found, signal.shape[1], path)
        if name.startswith("180")
        else _sentences(found, name, signal.shape[1], path)
    )
    trials = trials.assign(subject=who, session=name, onset=np.arange(len(trials), dtype=float), duration=1.0)
    info = {"dataset": "pereira2018", "subject": who, "session": name, "task": name, "modality": "fmri",
            "path": str(path), "grid": grid}  # fmt: skip
    recording = Recording(signal, 1.0, channels, trials[["onset", "duration", "stimulus_id"]], info)
    if inside:
        if atlas is None:
            raise BraindecError("inside needs an atlas", fix="atlas: languageLH")
        recording = recording.select(np.flatnonzero((channels["region"] != "n/a").to_numpy()))
    return recording, trials, recording.channels[["i", "j", "k"]].to_numpy()


def _sentences(found: Mapping[str, np.ndarray], name: str, n: int, path: Path) -> pd.DataFrame:
    _need(found, ("keySentences", "labelsPassageForEachSentence"), path)
    sentences = texts(found["keySentences"])
    label = (
        column(found["labelsSentences"], n, "labelsSentences", path)
        if "labelsSentences" in found
        else np.arange(1, n + 1)
    )
    passage = column(found["labelsPassageForEachSentence"], None, "labelsPassageForEachSentence", path)
    _inside(label, min(len(sentences), len(passage)), "labelsSentences", path)
    of = passage[label - 1]
    table = {
        "stimulus_id": [f"{name}-{k:03d}" for k in label],
        "concept_id": [f"{name}-passage-{k:02d}" for k in of],
        "sentence": [sentences[k - 1] for k in label],
    }
    if "keyPassages" in found:
        named = texts(found["keyPassages"])
        _inside(of, len(named), "labelsPassageForEachSentence", path)
        table["passage"] = [named[k - 1] for k in of]
    if "labelsPassageCategory" in found and "keyPassageCategory" in found:
        topics, category = (
            texts(found["keyPassageCategory"]),
            column(found["labelsPassageCategory"], None, "labelsPassageCategory", path),
        )
        _inside(of, len(category), "labelsPassageForEachSentence", path)
        _inside(category, len(topics), "labelsPassageCategory", path)
        table["topic"] = [topics[category[k - 1] - 1] for k in of]
    return pd.DataFrame(table, dtype=object)


def _concepts(found: Mapping[str, np.ndarray], n: int, path: Path) -> pd.DataFrame:
    _need(found, ("keyConcept",), path)
    words = texts(found["keyConcept"])
    label = (
        column(found["labelsConcept"], n, "labelsConcept", path) if "labelsConcept" in found else np.arange(1, n + 1)
    )
    _inside(label, len(words), "labelsConcept", path)
    shown = [words[k - 1] for k in label]
    return pd.DataFrame({"stimulus_id": shown, "concept_id": shown}, dtype=object)


def _voxels(meta: Mapping[str, Any], n: int, path: Path) -> tuple[pd.DataFrame, list[int]]:
    """The channel table (indices from 0) and the size of the grid."""
    if "colToCoord" not in meta:
        raise UnreadableError(
            f"{path} does not say where its voxels are", found=f"meta: {', '.join(meta)}", allowed="colToCoord"
        )
    ijk = np.asarray(meta["colToCoord"]).astype(np.int64) - 1
    if ijk.shape != (n, 3):
        raise BraindecError(
            f"{path.name}: meta.colToCoord does not fit the examples", found=f"{ijk.shape} for {n} voxels"
        )
    sides = meta.get("dimensions") if "dimensions" in meta else [meta.get(f"dim{axis}", [[0]]) for axis in "xyz"]
    grid = [int(g) for g in np.asarray(sides, dtype=float).reshape(-1)[:3]]
    if (ijk < 0).any() or (len(grid) == 3 and all(grid) and (ijk >= grid).any()):
        raise BraindecError(f"{path.name}: voxels lie outside their grid", found=f"indices {ijk.min(axis=0) + 1} to {ijk.max(axis=0) + 1}, grid {grid}")  # fmt: skip
    grid = grid if len(grid) == 3 and all(grid) else [int(g) for g in ijk.max(axis=0) + 1]
    names = [f"{i:03d}-{j:03d}-{k:03d}" for i, j, k in ijk.tolist()]
    table = pd.DataFrame(
        {"name": names, "type": "voxel", "unit": "a.u.", "i": ijk[:, 0], "j": ijk[:, 1], "k": ijk[:, 2]}
    )
    return table, grid


def _regions(meta: Mapping[str, Any], atlas: str, n: int, path: Path) -> list[str]:
    """The region of each voxel in an atlas of either release; "n/a" outside."""
    region = np.full(n, "n/a", dtype=object)
    known: list[str] = []
    if "atlases" in meta:
        known = texts(meta["atlases"])
        if atlas in known:
            place = known.index(atlas)
            names = texts(np.asarray(meta["rois"]).reshape(-1)[place])
            parts = np.asarray(meta["roiColumns"]).reshape(-1)[place].reshape(-1)
            for name, columns in zip(names, parts, strict=True):
                inside = column(columns, None, f"roiColumns of {atlas}", path)
                _inside(inside, n, f"roiColumns of {atlas}", path)
                region[inside - 1] = name
            return list(region)
    known += [key.removeprefix("roiMultimask") for key in meta if key.startswith("roiMultimask")]
    if f"roiMultimask{atlas}" in meta:
        label = column(meta[f"roiMultimask{atlas}"], n, f"roiMultimask{atlas}", path)
        names = texts(meta[f"rois{atlas}"])
        _inside(label[label > 0], len(names), f"roiMultimask{atlas}", path)
        region[label > 0] = [names[k - 1] for k in label[label > 0]]
        return list(region)
    raise BraindecError(
        f"{path.name} has no atlas {atlas!r}{did_you_mean(atlas, known)}", allowed=", ".join(known) or "none"
    )


def _need(found: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    for name in names:
        if name not in found:
            raise UnreadableError(f"{path} lacks {name}", found=", ".join(found), fix="copy the file again")


def _inside(labels: np.ndarray, n: int, name: str, path: Path) -> None:
    if len(labels) and not 1 <= labels.min() <= labels.max() <= n:
        raise BraindecError(
            f"{path.name}: {name} holds numbers without a name", found=f"{labels.min()} to {labels.max()}, {n} names"
        )


def _wanted(experiment: str | Sequence[str]) -> list[str]:
    asked = _options.as_list(experiment) or []
    for name in asked:
        if name not in EXPERIMENTS:
            raise BraindecError(
                f"there is no experiment {name!r}{did_you_mean(name, EXPERIMENTS)}", allowed=", ".join(EXPERIMENTS)
            )
    return asked


def _paths(base: Path, who: str, wanted: Sequence[str]) -> dict[str, Path]:
    places = [base / who, base / who / who]
    found: dict[str, Path] = {}
    for name in wanted:
        tried = [p / f"{head}_{name}.mat" for p in places for head in ("data", "examples")]
        path = next((p for p in tried if p.is_file() or p.is_symlink()), None)
        if path is not None and not path.is_file():
            raise UnreadableError(
                f"{path} is a link to a file that is not here", found="content that was not fetched", fix="fetch it, or remove the link"
            )  # fmt: skip
        if path is not None:
            found[name] = path
    return found


def _subjects(base: Path, wanted: Sequence[str]) -> list[str]:
    folders = sorted(p.name for p in base.iterdir() if p.is_dir()) if base.is_dir() else []
    found = [name for name in folders if _paths(base, name, wanted)]
    if not found:
        raise BraindecError(
            f"{base} holds no responses of Pereira et al. (2018)", found=", ".join(folders[:8]) or "no folder",
            allowed="<P01>/" + " or ".join(f"data_{name}.mat" for name in wanted),
            fix="unpack the files of the subjects there, or name another experiment",
        )  # fmt: skip
    return found


def _one(known: Sequence[str], subject: str | None) -> str:
    if subject is None and len(known) == 1:
        return known[0]
    if subject not in known:
        asked = (
            "which subject?" if subject is None else f"there is no subject {subject!r}{did_you_mean(subject, known)}"
        )
        raise BraindecError(asked, allowed=", ".join(known))
    return str(subject)
