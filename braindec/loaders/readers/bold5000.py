"""Reader ``bold5000``: betas of BOLD5000 release 2.0 (GLMsingle), by region or as volumes -> Windows.

Regions: ``BOLD5000_GLMsingle_ROI_betas/py/CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_LHEarlyVis.npy`` (trial, voxel), for
EarlyVis, LOC, OPA, PPA, RSC of each hemisphere. Volumes: ``CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_ses-01.nii.gz`` (x, y, z,
trial), one a session, with ``CSI1_brainmask.nii.gz``. Both are in percent signal change; where
voxels lie is taken from the mask, since the headers of the betas are said to be wrong. The order of trials:
``BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI1/CSI1_sess01/*_run01.txt`` (one image a line, 37 a run; repeated ones may begin
with ``rep_``), or ``CSI1_imgnames.txt`` (one image a line, all sessions). Test images: ``repeated_stimuli_113_list.txt`` in
``BOLD5000_Stimuli/Scene_Stimuli`` (or in its folder Presented_Stimuli).

Source: README.md of github.com/BOLD5000-dataset/BOLD5000 (volumes, sizes, units); the layouts that mind-vis (code/dataset.py) and
other public repositories read (regions, lists); Chang, Pyles, Marcus, Gupta, Tarr & Aminoff (2019), Scientific Data 6, 49.
Checked against synthetic files only. The ROI masks of release 1.0 (.mat, .h5) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders._betas_masks import open_labels, space_info, voxel_table
from braindec.loaders._betas_signal import BetasSignal, JoinedSignal
from braindec.loaders._fmri_signal import NiftiSignal, open_volumes
from braindec.loaders.betas import whole_numbers, windows_of
from braindec.types import Windows

__all__ = ["load", "files", "subjects"]

ROIS = tuple(f"{side}{roi}" for roi in ("EarlyVis", "LOC", "OPA", "PPA", "RSC") for side in ("LH", "RH"))
TYPES = {"A": "TYPEA-ASSUMEHRF", "B": "TYPEB-FITHRF", "C": "TYPEC-FITHRF-GLMDENOISE", "D": "TYPED-FITHRF-GLMDENOISE-RR"}
_IN_NAMES = {**TYPES, "B": "TY[BP]EB-FITHRF"}  # the release's README writes TYBEB
_LISTS = ("BOLD5000_Stimuli", "Stimuli_Presentation_Lists")
_REPEATED = "repeated_stimuli_113_list.txt"


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    form: str = "regions",
    betas: str = "D",
    rois: Sequence[str] | None = None,
    session: str | int | Sequence[str | int] | None = None,
    mask: str | None = None,
) -> Windows:
    """Open the betas of one subject; only lists and headers are read.

    Parameters
    ----------
    root : str or Path
        The folder that holds BOLD5000_GLMsingle_ROI_betas (or the volumes) and BOLD5000_Stimuli.
    subject : str
        "CSI1" to "CSI4".
    form : {"regions", "volumes"}
        Which files.
    betas : {"A", "B", "C", "D"}
        Which GLM; "D" has all of GLMsingle's steps.
    rois : list of str, optional
        Regions to open ("LHEarlyVis", ..., or "LOC" for both hemispheres); all by default. Only for regions.
    session : int or list of int, optional
        Sessions to open (1 to 15; CSI4 has 9). Only for volumes.
    mask : str, optional
        Path inside ``root`` of a mask on the grid of the volumes; CSI1_brainmask.nii.gz by default. Only for volumes.

    Returns
    -------
    Windows
        ``stimulus_id`` is the name of the image, ``source`` imagenet, coco or scene, ``concept_id`` the WordNet id of an ImageNet image or
        the scene's name ("n/a" for COCO), ``part`` "test" for the 113 repeated images, ``repetition``. One Recording a session where the
        order of trials is known by session.

    Raises
    ------
    BraindecError
        If lists and betas differ in number, or a session or region is missing.
    """
    layout = _Layout(root, subject, betas)
    if form == "regions":
        paths = layout.regions(rois)
        parts = [BetasSignal(p) for p in paths]
        signal = JoinedSignal(list(parts))
        whole = [p.name for p, part in zip(paths, parts, strict=True) if part.stored.kind != "f"]
        if whole:
            raise UnreadableError(
                f"{whole[0]} holds whole numbers, not percent signal change", fix="use the published files"
            )
        said = layout.missing_regions(paths) if rois is None else []
        channels = _region_channels(paths, [part.shape[0] for part in signal.parts])
        signals, info = [signal], {}
    elif form == "volumes":
        numbers = layout.sessions(session)
        signals, channels, info = _volumes(layout, numbers, mask)
        said = []
    else:
        raise BraindecError(
            f"form {form!r} is unknown{did_you_mean(form, ['regions', 'volumes'])}", allowed="regions, volumes"
        )
    order = layout.order()
    if form == "volumes" and (order["session"] != "n/a").all():
        order = order[order["session"].isin([str(n) for n in numbers])].reset_index(drop=True)
    n = sum(s.shape[1] for s in signals)
    if n != len(order):
        raise BraindecError(
            f"{layout.subject}: {n} betas but {len(order)} images in the presentation lists", found=str(layout.list_files()[0].parent),
            fix="take betas and lists of one subject; keep the files of all sessions together",
        )  # fmt: skip
    trials = _describe(order, layout.repeated())
    about = {"dataset": "bold5000", "subject": layout.subject, "betas": TYPES[betas], **info}
    return windows_of(signals, trials, channels, about, look=form == "regions", warnings=said)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have betas of the form asked for."""
    values = _options.bind(load, options)
    base = _files.existing(root)
    pattern = "**/*_GLMbetas-*_allses_*.npy" if values["form"] == "regions" else "**/*_GLMbetas-*_ses-*.nii.gz"
    found = sorted({p.name.split("_")[0] for p in base.glob(pattern)})
    if not found:
        raise BraindecError(f"{root} holds no betas of BOLD5000", allowed=f"files like {pattern}")
    return found


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    layout = _Layout(root, subject, values["betas"])
    if values["form"] == "regions":
        paths = layout.regions(values["rois"])
    else:
        paths = [layout.volume(n) for n in layout.sessions(values["session"])] + [layout.mask(values["mask"])]
    return [*paths, *layout.list_files(), layout.repeated_file()]


class _Layout:
    """Where the files of one subject are."""

    def __init__(self, root: str | Path, subject: str | None, betas: str) -> None:
        self.root = _files.existing(root)
        if subject is None:
            raise BraindecError("the reader bold5000 opens one subject at a time", fix="say subject: CSI1")
        self.subject = str(subject)
        _files.check_inside(self.subject)
        if not isinstance(betas, str) or betas not in TYPES:
            raise BraindecError(
                f"betas {betas!r} is unknown", allowed=", ".join(f"{k} ({v})" for k, v in TYPES.items())
            )
        self.stem = f"{self.subject}_GLMbetas-{_IN_NAMES[betas]}"  # a pattern for glob

    def _find(self, name: str) -> Path | None:
        return next(iter(sorted(self.root.glob(f"**/{name}"))), None)

    def regions(self, wanted: Sequence[str] | None) -> list[Path]:
        there = {p.stem.rsplit("_", 1)[1]: p for p in sorted(self.root.glob(f"**/{self.stem}_allses_*.npy"))}
        asked = [
            r
            for w in _options.as_list(wanted) or []
            for r in ([w] if w in ROIS else [x for x in ROIS if x[2:] == w] or [w])
        ]
        names = asked or [r for r in ROIS if r in there]
        missing = [n for n in names if n not in there]
        if missing or not names:
            raise BraindecError(
                f"{self.subject} has no region {', '.join(missing) or 'at all'}{did_you_mean(missing[0], there) if missing else ''}",
                found=", ".join(there) or f"no {self.stem}_allses_*.npy in {self.root}", allowed=", ".join(ROIS),
            )  # fmt: skip
        return [there[n] for n in names]

    def missing_regions(self, paths: Sequence[Path]) -> list[str]:
        """A sentence about regions of the release that are not there."""
        there = {p.stem.rsplit("_", 1)[1] for p in paths}
        lost = [r for r in ROIS if r not in there]
        return [f"{self.subject}: {len(lost)} of {len(ROIS)} regions have no file: {', '.join(lost)}"] if lost else []

    def volume(self, number: int) -> Path:
        path = self._find(f"{self.stem}_ses-{number:02d}.nii.gz")
        if path is None:
            raise BraindecError(
                f"there is no {self.stem}_ses-{number:02d}.nii.gz", found=f"in {self.root}", fix="download it"
            )
        return path

    def sessions(self, wanted: Any) -> list[int]:
        there = sorted({int(p.name[-9:-7]) for p in self.root.glob(f"**/{self.stem}_ses-[0-9][0-9].nii.gz")})
        asked = whole_numbers(wanted, "session") or there
        missing = [f"ses-{n:02d}" for n in asked if n not in there]
        if missing or not asked:
            raise BraindecError(
                f"{self.subject}: {len(missing)} sessions are missing: {', '.join(missing) or 'all'}",
                found=f"sessions {there} in {self.root}", fix=f"download {self.stem}_ses-XX.nii.gz",
            )  # fmt: skip
        return asked

    def mask(self, given: str | None) -> Path:
        if given is not None:
            _files.check_inside(given)
            return _files.existing(self.root / given)
        path = self._find(f"{self.subject}_brainmask.nii.gz")
        if path is None:
            raise BraindecError(
                f"there is no {self.subject}_brainmask.nii.gz in {self.root}", fix="download it, or name one: mask: ..."
            )
        return path

    def list_files(self) -> list[Path]:
        """Lists of runs in order, else the one list of all trials."""
        folder = self.root.joinpath(*_LISTS, self.subject)
        runs = [
            (int(s), int(r), p)
            for p in folder.glob("*sess*/*.txt")
            if (s := _number(p.parent.name, "sess")) and (r := _number(p.stem, "run"))
        ]
        if runs:
            return [p for _, _, p in sorted(runs)]
        path = self._find(f"{self.subject}_imgnames.txt")
        if path is None:
            raise BraindecError(
                f"the order of the trials of {self.subject} is not known", found=f"neither {folder}/*_sess01/*_run01.txt nor "
                f"{self.subject}_imgnames.txt", fix="download BOLD5000_Stimuli, or the imgnames.txt of release 2.0",
            )  # fmt: skip
        return [path]

    def order(self) -> pd.DataFrame:
        rows = []
        for path in self.list_files():
            session, run = _number(path.parent.name, "sess"), _number(path.stem, "run")
            lines = _lines(path)
            rows += [(line, session or "n/a", run or "n/a") for line in lines]
        return pd.DataFrame(rows, columns=["stimulus_id", "session", "run"])

    def repeated_file(self) -> Path:
        path = self._find(_REPEATED)
        if path is None:
            raise BraindecError(
                f"there is no {_REPEATED} in {self.root}", fix="it stands in BOLD5000_Stimuli/Scene_Stimuli"
            )
        return path

    def repeated(self) -> set[str]:
        return set(_lines(self.repeated_file()))


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (UnicodeDecodeError, OSError) as error:
        raise UnreadableError(
            f"{path} is not a list of images", found=str(error)[:200], fix="download it again"
        ) from error


def _number(text: str, key: str) -> str | None:
    """The number after ``key`` without leading zeros: ("CSI1_sess03", "sess") -> "3"."""
    found = re.search(rf"{key}-?0*(\d+)", text)
    return found[1] if found else None


def _describe(order: pd.DataFrame, repeated: set[str]) -> pd.DataFrame:
    trials = order.assign(stimulus_id=order["stimulus_id"].str.replace(r"^rep_", "", regex=True))
    ids = trials["stimulus_id"]
    trials["part"] = np.where(ids.isin(repeated), "test", "train")
    source = np.select([ids.str.match(r"n\d{8}_"), ids.str.startswith("COCO")], ["imagenet", "coco"], "scene").astype(
        object
    )
    scene = ids.str.replace(r"\d*\.\w+$", "", regex=True)
    trials["source"] = source
    trials["concept_id"] = np.where(
        source == "imagenet", ids.str.split("_").str[0], np.where(source == "coco", "n/a", scene)
    ).astype(object)
    if (trials["session"] == "n/a").all():
        trials = trials.drop(columns=["run"])
    return trials


def _region_channels(paths: Sequence[Path], sizes: Sequence[int]) -> pd.DataFrame:
    names = [p.stem.rsplit("_", 1)[1] for p in paths]
    return pd.DataFrame({"name": [f"{n}-{i:04d}" for n, size in zip(names, sizes, strict=True) for i in range(size)],
                         "type": "voxel", "unit": "%", "region": np.repeat(np.array(names, dtype=object), sizes)})  # fmt: skip


def _volumes(
    layout: _Layout, numbers: Sequence[int], mask: str | None
) -> tuple[list[Any], pd.DataFrame, dict[str, Any]]:
    images = {n: open_volumes(layout.volume(n)) for n in numbers}
    grid = images[numbers[0]].shape[:3]
    for number, image in images.items():
        if image.shape[:3] != grid:
            raise BraindecError(
                f"sessions lie on different grids: {layout.volume(numbers[0]).name} and {layout.volume(number).name}",
                found=f"{grid} and {image.shape[:3]}",
            )  # fmt: skip
    values, affine = open_labels(layout.mask(mask), grid=grid)
    voxels, channels = voxel_table(values > 0, affine, unit="%")
    signals = [NiftiSignal(layout.volume(n), voxels, last=images[n].shape[3]) for n in numbers]
    return signals, channels, space_info(values, affine, "T1w")
