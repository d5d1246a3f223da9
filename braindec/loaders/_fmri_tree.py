"""Where the runs of an fMRI data set are: a plain BIDS folder, derivatives of fMRIPrep, or one image by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _files
from braindec.loaders._bids_tree import BidsFile, check_root, entities_of
from braindec.loaders._options import as_list, text_or_none

ENDINGS = (".nii.gz", ".nii")
_ENTITY = {"subject": "sub", "session": "ses", "task": "task", "run": "run", "space": "space", "resolution": "res",
           "density": "den"}  # fmt: skip
IMAGE_ONLY = ("space", "res", "desc", "den", "hemi", "label")
_DOUBLE = (".dtseries.nii", ".ptseries.nii", ".func.gii")  # endings of two parts


@dataclass(frozen=True)
class Layout:
    """Which files are runs, for one reader."""

    reader: str
    endings: tuple[str, ...]
    pattern: str
    prepared: bool  # such files are derivatives always; else those with desc-preproc are


VOLUMES = Layout("fmri", ENDINGS, "*_bold.nii*", False)
GRAYORDINATES = Layout("cifti", (".dtseries.nii", ".ptseries.nii"), "*.?tseries.nii", True)
SURFACES = Layout("gifti", (".func.gii", ".func.gii.gz"), "*.func.gii*", True)


@dataclass(frozen=True)
class Run:
    """One 4-D image, and where its sidecars are.

    ``image`` finds the sidecars of the image (JSON, mask, confounds), ``raw`` those of the raw run (events, JSON).
    """

    image: BidsFile
    raw: BidsFile | None
    prepared: bool
    entities: Mapping[str, str | None]

    @property
    def path(self) -> Path:
        """Path of the image."""
        return self.image.path


def stem_of(path: Path) -> str:
    """Return the name of an image without its ending (.nii.gz, .dtseries.nii, .func.gii, ...)."""
    name = path.name.removesuffix(".gz")
    double = next((e for e in _DOUBLE if name.endswith(e)), None)
    return name.removesuffix(double) if double else name.removesuffix(".nii")


def find_runs(root: str | Path, options: Mapping[str, Any], layout: Layout = VOLUMES) -> list[Run]:
    """Return the runs that the options ask for, in order of their names; both hemispheres of a run, left first.

    Raises
    ------
    BraindecError
        If there is none, a label is not there, or one run stands in several spaces.
    """
    folder = _files.existing(root)
    if folder.is_file() or options["bold"] is not None or not any(p.is_dir() for p in folder.glob("sub-*")):
        return _single(folder, options, layout)
    check_root(folder)
    images_root = folder if options["derivatives"] is None else _files.existing(folder / str(options["derivatives"]))
    images = [p for p in sorted(images_root.glob(f"sub-*/**/func/{layout.pattern}")) if _is_run(p, layout)]
    files = [BidsFile(p, images_root, "func") for p in images]
    if not files:
        raise _none(images_root, layout)
    for option, key in _ENTITY.items():
        files = _keep(files, option, key, as_list(options.get(option)))
    prepared = files if layout.prepared else [f for f in files if f.entities.get("desc") == "preproc"]
    files = prepared or files
    _check_once(files)
    events_root = (
        Path(options["events_root"])
        if options["events_root"]
        else folder
        if options["derivatives"]
        else _raw_root(folder, bool(prepared))
    )
    return [_bids_run(f, events_root, bool(prepared)) for f in files]


def subjects_of(runs: Sequence[Run], options: Mapping[str, Any]) -> list[str]:
    """Return the labels of the subjects of the runs."""
    return sorted({str(r.entities["subject"]) for r in runs}) or [str(options["subject"])]


def _is_run(path: Path, layout: Layout) -> bool:
    known = path.name.endswith(layout.endings) and not path.name.startswith(".")
    return known and (layout.reader == "cifti" or "tseries" not in path.name)


def has_runs(folder: Path, layout: Layout) -> bool:
    """Whether a BIDS folder has runs of a layout."""
    return any(_is_run(p, layout) for p in folder.glob(f"sub-*/**/func/{layout.pattern}"))


def other_runs(folder: Path, layout: Layout) -> Layout | None:
    """Return the layout of the other readers that has runs in a BIDS folder, if there is one."""
    for other in (VOLUMES, GRAYORDINATES, SURFACES):
        if other is not layout and has_runs(folder, other):
            return other
    return None


def _none(folder: Path, layout: Layout) -> BraindecError:
    other = other_runs(folder, layout)
    return BraindecError(
        f"no fMRI run in {folder}" if layout is VOLUMES else f"the reader {layout.reader} finds no run in {folder}",
        found=f"no sub-*/[ses-*/]func/{layout.pattern}" + (f", but {other.pattern}" if other else ""),
        fix=f"use the reader {other.reader}"
        if other
        else "check the path; for derivatives beside raw data write derivatives: derivatives/fmriprep",
    )


def _single(folder: Path, options: Mapping[str, Any], layout: Layout) -> list[Run]:
    """One image, or those that match the pattern ``bold``."""
    pattern = options["bold"]
    if pattern is None and folder.is_dir() and any(folder.glob("*/MNINonLinear")):
        raise BraindecError(
            f"{folder} is a folder of the HCP: which files are the runs?", found="*/MNINonLinear/Results",
            fix="bold: '{subject}/MNINonLinear/Results/*/{run}_Atlas_MSMAll.dtseries.nii', or as the files are named",
        )  # fmt: skip
    found = _files.find(folder, pattern, layout.endings)
    found = _files.keep(
        found,
        **{
            k: as_list(options[k])
            for k in ("subject", "session", "task", "run")
            if not (k == "run" and options.get("labels") and layout is VOLUMES)
        },
    )
    runs = []
    for file in found:
        base = folder if folder.is_dir() else folder.parent
        labels = {k: file.entities.get(k) or text_or_none(options[k]) for k in ("subject", "session", "task", "run")}
        if folder.is_file():  # a BIDS name says who and which run
            named = entities_of(file.path.name)
            labels |= {k: named[_ENTITY[k]] for k in labels if labels[k] is None and _ENTITY[k] in named}
        labels["subject"] = labels["subject"] or file.path.name.split(".")[0]
        image = BidsFile(file.path, base, "func")
        runs.append(Run(image, image, False, labels))
    return runs


def _keep(files: list[BidsFile], option: str, key: str, labels: Sequence[str] | None) -> list[BidsFile]:
    if labels is None:
        return files
    asked = [label.removeprefix(f"{key}-") for label in labels]
    have = sorted({f.entities[key] for f in files if key in f.entities})
    for label in asked:
        if label not in have:
            raise BraindecError(
                f"there is no {option} {label!r}{did_you_mean(label, have)}",
                allowed=", ".join(have) or f"no {option} at all",
            )
    return [f for f in files if f.entities.get(key) in asked]


def _check_once(files: Sequence[BidsFile]) -> None:
    """Refuse one run in several spaces, resolutions or echoes."""
    seen: dict[tuple[str | None, ...], BidsFile] = {}
    for file in files:
        key = tuple(file.entities.get(k) for k in ("sub", "ses", "task", "acq", "run", "hemi"))
        if key in seen:
            first = seen[key].entities
            differ = [k for k in sorted({*first, *file.entities}) if first.get(k) != file.entities.get(k)]
            option = {"res": "resolution", "den": "density"}.get(differ[0], differ[0]) if differ else "extension"
            values = sorted({str(f.entities.get(differ[0], "none")) for f in files}) if differ else []
            raise BraindecError(
                f"one run stands in several images: {seen[key].path.name} and {file.path.name}",
                found=f"they differ in {', '.join(differ)}",
                fix=f"say which: {option}: {values[0] if values else '...'} ({', '.join(values)})"
                if option in ("space", "resolution", "density")
                else "name the images with a pattern: bold: 'sub-{subject}/func/*_echo-2_bold.nii.gz'",
            )
        seen[key] = file


def _raw_root(folder: Path, prepared: bool) -> Path | None:
    """The raw BIDS folder that derivatives belong to: the folder itself, or the nearest one above with sub-*."""
    if not prepared:
        return folder
    above = [p for p in list(folder.resolve().parents)[:3] if any(q.is_dir() for q in p.glob("sub-*"))]
    return above[0] if above else folder


def _bids_run(image: BidsFile, events_root: Path | None, prepared: bool) -> Run:
    raw = image
    if prepared and events_root is not None:
        parts = [p for p in stem_of(image.path).split("_") if p.split("-")[0] not in IMAGE_ONLY]
        parts = parts if parts[-1] == "bold" else [*parts, "bold"]
        raw = BidsFile(
            events_root / image.path.parent.relative_to(image.root) / ("_".join(parts) + ".nii.gz"), events_root, "func"
        )
    labels = {k: image.get(k) for k in ("subject", "session", "task", "run")}
    return Run(image, raw, prepared, labels)
