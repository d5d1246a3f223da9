"""Reader ``nsd``: betas of the Natural Scenes Dataset in its public layout -> Windows of one value a voxel and trial.

``nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_session01.hdf5`` (dataset ``betas``, seen from
HDF5 as (trial, z, y, x), int16 = 300 times percent signal change, chunks of one voxel over all trials) and
``ncsnr.nii.gz`` beside it; masks in ``nsddata/ppdata/subj01/func1pt8mm/roi/*.nii.gz``, their labels in
``nsddata/freesurfer/subj01/label/*.mgz.ctab``; the design in ``nsddata/experiments/nsd/nsd_expdesign.mat``:
``masterordering`` (trial -> place in a subject's 10,000 images, from 1), ``subjectim`` (subject, place -> number of the
image among 73,000, from 1), ``sharedix`` (numbers of the 1,000 shared images), ``stimpattern`` (session, run, slot).

Source: the NSD data manual (cvnlab.slite.page: "Functional data (NSD)", "Technical notes", "Experiments") and Allen et al.
(2022), Nature Neuroscience 25, 116-126. Checked against synthetic files only. Nothing is z-scored here: the statistics of
a session are those of its training trials, which the reader does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders._betas_masks import colour_table, name_regions, open_labels, space_info, voxel_table
from braindec.loaders._betas_signal import BetasSignal, Kept
from braindec.loaders.betas import whole_numbers, windows_of
from braindec.types import Windows

__all__ = ["load", "files", "subjects"]

PROTOCOLS = ("new", "old")
_OLD_SESSIONS = 37
_SCALE = 300.0
_DESIGN = ("nsddata", "experiments", "nsd", "nsd_expdesign.mat")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    betas: str = "betas_fithrf_GLMdenoise_RR",
    space: str = "func1pt8mm",
    mask: str = "nsdgeneral",
    rois: Sequence[str] = (),
    session: str | int | Sequence[str | int] | None = None,
    protocol: str = "new",
    ncsnr: bool | None = None,
    trials_per_session: int = 750,
) -> Windows:
    """Open the betas of one subject; only tables and masks are read.

    Parameters
    ----------
    root : str or Path
        The folder that holds nsddata and nsddata_betas.
    subject : str
        "01" to "08" (the folder is subj01).
    betas : str
        "betas_assumehrf", "betas_fithrf" or "betas_fithrf_GLMdenoise_RR".
    space : str
        "func1pt8mm" or "func1mm".
    mask : str
        A file of the folder roi without its ending ("nsdgeneral", "prf-visualrois", "Kastner2015", ...): voxels whose label
        is above 0. "brain" takes brainmask.nii.gz.
    rois : list of str
        Files of the folder roi: each becomes a column of ``channels`` with the name of the voxel's label; ``region`` is the
        first that a voxel has.
    session : int or list of int, optional
        Sessions to open; all that are there by default (gaps are said in the warnings).
    protocol : {"new", "old"}
        Which trials: "new" all sessions, test = the 1,000 shared images (3,000 trials in subjects with 40 sessions); "old" the
        first 37 sessions, test = the 982 shared images seen in them (2,770 trials).
    ncsnr : bool, optional
        Add the noise-ceiling signal-to-noise ratio of each voxel as ``channels.ncsnr``; by default when the file is there.
        It was computed from all trials, test trials too: choose voxels with it only where that is said.
    trials_per_session : int
        750 in the published data.

    Returns
    -------
    Windows
        One Recording a session. ``trials``: stimulus_id (the number of the image among 73,000, from 1, as text), image_row
        (the same from 0: row of nsd_stimuli.hdf5), session, run, repetition (0, 1, 2), part ("train" or "test").

    Raises
    ------
    BraindecError
        If a session asked for is missing, a mask lies on another grid, or the design has fewer trials than the sessions.
    """
    layout = _Layout(root, subject, betas, space)
    if not isinstance(trials_per_session, int) or trials_per_session < 1:
        raise BraindecError(f"trials_per_session {trials_per_session!r} is no number of trials", allowed="750")
    if protocol not in PROTOCOLS:
        raise BraindecError(
            f"protocol {protocol!r} is unknown{did_you_mean(protocol, PROTOCOLS)}", allowed=", ".join(PROTOCOLS)
        )
    said: list[str] = []
    numbers = layout.sessions(session, protocol, said)
    values, affine = open_labels(layout.roi(mask))
    voxels, channels = voxel_table(values > 0, affine, unit="%")
    rois = _options.as_list(rois) or []
    labels = {n: (open_labels(layout.roi(n), grid=values.shape)[0], layout.label_names(n)) for n in rois}
    channels = name_regions(channels, labels)
    wanted = layout.ncsnr if ncsnr or (ncsnr is None and layout.ncsnr.is_file()) else None
    if wanted is not None:
        found = open_labels(wanted, grid=values.shape)[0]
        channels["ncsnr"] = found[tuple(channels[c].to_numpy() for c in "ijk")].astype(float)
    kept = Kept()
    signals = [_open(layout.path(n), voxels, values.shape, mask, trials_per_session, kept) for n in numbers]
    trials = design_trials(layout.design, int(layout.subject), numbers, trials_per_session)
    info = {"dataset": "nsd", "subject": layout.subject, "betas": betas, "protocol": protocol,
            **space_info(values, affine, space)}  # fmt: skip
    return windows_of(signals, trials, channels, info, warnings=said)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have betas of the kind asked for."""
    values = _options.bind(load, options)
    folder = _files.existing(root) / "nsddata_betas" / "ppdata"
    pattern = f"subj*/{values['space']}/{values['betas']}/betas_session*.hdf5"
    found = sorted({p.relative_to(folder).parts[0].removeprefix("subj") for p in folder.glob(pattern)})
    if not found:
        raise BraindecError(f"there are no betas {folder / pattern}", fix="check root, space and betas")
    return found


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    layout = _Layout(root, subject, values["betas"], values["space"])
    numbers = layout.sessions(values["session"], values["protocol"], [])
    paths = [layout.path(n) for n in numbers] + [layout.design]
    rois = _options.as_list(values["rois"]) or []
    paths += [layout.roi(n) for n in (values["mask"], *rois)]
    paths += [p for n in rois if (p := layout.colours(n)).is_file()]
    use_ncsnr = values["ncsnr"] or (values["ncsnr"] is None and layout.ncsnr.is_file())
    return [*paths, *([layout.ncsnr] if use_ncsnr else [])]


class _Layout:
    """Where the files of one subject are."""

    def __init__(self, root: str | Path, subject: str | None, betas: str, space: str) -> None:
        self.root = _files.existing(root)
        if subject is None:
            raise BraindecError("the reader nsd opens one subject at a time", fix='say subject: "01"')
        self.subject = str(subject).removeprefix("subj")
        if not self.subject.isdigit():
            raise BraindecError(f"there is no subject {subject!r}", allowed='"01" to "08"')
        for part in (self.subject, betas, space):
            _files.check_inside(part)
        self.folder = self.root / "nsddata_betas" / "ppdata" / f"subj{self.subject}" / space / betas
        self.data = self.root / "nsddata" / "ppdata" / f"subj{self.subject}" / space
        self.design = self.root.joinpath(*_DESIGN)
        self.ncsnr = self.folder / "ncsnr.nii.gz"
        if not self.folder.is_dir():
            there = sorted(p.name for p in self.folder.parent.iterdir()) if self.folder.parent.is_dir() else []
            raise BraindecError(
                f"there is no folder {self.folder}{did_you_mean(betas, there)}",
                found=", ".join(there) or "nothing",
                fix='check root, subject (with its zero: "01"), space and betas',
            )

    def path(self, number: int) -> Path:
        return self.folder / f"betas_session{number:02d}.hdf5"

    def sessions(self, wanted: Any, protocol: str, said: list[str]) -> list[int]:
        there = sorted(
            int(p.stem.removeprefix("betas_session")) for p in self.folder.glob("betas_session[0-9][0-9].hdf5")
        )
        if wanted is not None:
            asked = whole_numbers(wanted, "session") or []
            missing = [self.path(n).name for n in asked if n not in there]
            if missing:
                raise BraindecError(
                    f"subject {self.subject}: {len(missing)} sessions are missing: {', '.join(missing)}",
                    found=f"sessions {_spans(there) or 'none'} in {self.folder}", fix="download them, or leave them out of session",
                )  # fmt: skip
            there = asked
        if protocol == "old":
            there = [n for n in there if n <= _OLD_SESSIONS]
        if not there:
            raise BraindecError(
                f"subject {self.subject} has no session", found=f"no betas_sessionNN.hdf5 in {self.folder}"
            )
        gaps = sorted(set(range(1, there[-1])) - set(there))
        if gaps and wanted is None:
            said.append(f"subject {self.subject}: sessions {_spans(gaps)} are not there and left out")
        return there

    def roi(self, name: str) -> Path:
        name = str(name)
        _files.check_inside(name)
        path = self.data / "brainmask.nii.gz" if name == "brain" else self.data / "roi" / f"{name}.nii.gz"
        if not path.is_file():
            there = sorted(p.name.removesuffix(".nii.gz") for p in (self.data / "roi").glob("*.nii.gz"))
            raise BraindecError(
                f"there is no mask {path}{did_you_mean(name, there)}", allowed=", ".join([*there, "brain"])
            )
        return path

    def colours(self, name: str) -> Path:
        return self.root / "nsddata" / "freesurfer" / f"subj{self.subject}" / "label" / f"{name}.mgz.ctab"

    def label_names(self, name: str) -> dict[int, str]:
        return colour_table(self.colours(name)) if self.colours(name).is_file() else {}


def _open(path: Path, voxels: np.ndarray, grid: tuple[int, ...], mask: str, n_trials: int, kept: Kept) -> BetasSignal:
    signal = BetasSignal(path, "betas", voxels=None, divide_by=_SCALE, kept=kept)
    if signal.grid != tuple(grid[::-1]):
        raise BraindecError(
            f"the mask {mask} does not lie on the grid of {path.name}", found=f"(x, y, z) = {tuple(grid)}",
            allowed=f"(x, y, z) = {signal.grid[::-1]}", fix="take mask and betas of one subject and one space",
        )  # fmt: skip
    if signal.n_trials != n_trials:
        raise BraindecError(
            f"{path.name} holds {signal.n_trials} trials", allowed=f"{n_trials}",
            fix="the file was cut short: download it again; or say trials_per_session",
        )  # fmt: skip
    if signal.stored.kind != "i":
        raise UnreadableError(f"{path.name} holds {signal.stored} values, not int16", fix="use the published files")
    return BetasSignal(path, "betas", voxels=voxels, divide_by=_SCALE, kept=kept)


def design_trials(path: Path, subject: int, sessions: Sequence[int], n_trials: int) -> pd.DataFrame:
    """Return the trials of some sessions from nsd_expdesign.mat; repetitions are counted over all earlier sessions.

    Raises
    ------
    BraindecError
        If the design has fewer trials than the sessions, or the subject is not in it.
    """
    design = _read_design(path)
    order, images = _whole(design, "masterordering", path).reshape(-1), np.atleast_2d(_whole(design, "subjectim", path))
    shared = set(_whole(design, "sharedix", path).reshape(-1).tolist())
    if order.max(initial=1) > images.shape[1]:
        raise BraindecError(
            f"{path.name}: masterordering names images that subjectim does not have", found=f"up to {order.max()} of {images.shape[1]}",
            fix="use the design of the published data",
        )  # fmt: skip
    last = max(sessions) * n_trials
    if len(order) < last:
        raise BraindecError(
            f"{path.name} is shorter than the sessions", found=f"masterordering has {len(order)} trials, session {max(sessions)} "
            f"ends at trial {last}", fix="use the design of the published data, or check trials_per_session",
        )  # fmt: skip
    if not 1 <= subject <= len(images):
        raise BraindecError(f"{path.name} has no subject {subject}", found=f"subjectim {images.shape}")
    numbers = images[subject - 1, order[:last] - 1]
    table = pd.DataFrame({"stimulus_id": numbers.astype(str), "image_row": numbers - 1})
    table["repetition"] = table.groupby("stimulus_id").cumcount()
    table["part"] = np.where([n in shared for n in numbers], "test", "train")
    place = np.arange(last)
    table["session"], table["onset"] = (place // n_trials + 1).astype(str), (place % n_trials).astype(float)
    runs = _runs(design.get("stimpattern"), n_trials)
    if runs is not None:
        table["run"] = runs[:last].astype(str)
    table["subject"] = f"{subject:02d}"
    chosen = np.concatenate([np.arange((n - 1) * n_trials, n * n_trials) for n in sessions])
    return table.iloc[chosen].reset_index(drop=True)


def _whole(design: Mapping[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    """A variable of the design as whole numbers from 1."""
    values = design[name]
    if (
        values.dtype.kind not in "iuf"
        or not np.isfinite(values).all()
        or (values != np.round(values)).any()
        or (values < 1).any()
    ):
        raise UnreadableError(f"{path.name}: {name} does not hold numbers from 1", found=f"{values.dtype} {values.shape}",
                              fix="download it again")  # fmt: skip
    return values.astype(np.int64)


def _read_design(path: Path) -> dict[str, np.ndarray]:
    import scipy.io

    if not path.is_file():
        raise BraindecError(f"there is no design {path}", fix="download nsddata/experiments/nsd/nsd_expdesign.mat")
    try:
        found = scipy.io.loadmat(path, variable_names=["masterordering", "subjectim", "sharedix", "stimpattern"])
    except Exception as error:  # scipy raises many kinds
        raise UnreadableError(f"{path} cannot be read", found=str(error)[:200], fix="download it again") from error
    missing = [n for n in ("masterordering", "subjectim", "sharedix") if n not in found]
    if missing:
        raise UnreadableError(
            f"{path.name} has no {', '.join(missing)}", found=", ".join(k for k in found if k[0] != "_")
        )
    return {k: np.asarray(v) for k, v in found.items() if not k.startswith("_")}


def _runs(pattern: np.ndarray | None, n_trials: int) -> np.ndarray | None:
    """Run (from 1) of each trial of all sessions from ``stimpattern`` (session, run, slot); None where it does not fit."""
    if pattern is None or pattern.ndim != 3:
        return None
    shown = pattern.astype(bool)
    runs = np.broadcast_to(np.arange(1, shown.shape[1] + 1)[None, :, None], shown.shape)
    return runs[shown] if (shown.sum(axis=(1, 2)) == n_trials).all() else None


def _spans(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 -> "1-3, 7"."""
    spans: list[list[int]] = []
    for n in numbers:
        if spans and n == spans[-1][1] + 1:
            spans[-1][1] = n
        else:
            spans.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
