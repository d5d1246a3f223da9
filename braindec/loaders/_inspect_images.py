"""What ``braindec init`` finds in folders of images: runs of BIDS, or one 4-D image with mask and labels beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from braindec import registry
from braindec.errors import BraindecError
from braindec.loaders import _options
from braindec.loaders._fmri_signal import open_image
from braindec.loaders._fmri_tree import ENDINGS, VOLUMES, Layout, Run, find_runs
from braindec.types import Recording


def run_openers(
    path: Path, layout: Layout = VOLUMES
) -> tuple[dict[str, Any], list[tuple[str, list[Path], Callable[[], Any]]]]:
    """Options of the reader for a BIDS folder, and one function a run, so that a damaged one stops no other.

    Prepared runs (derivatives of fMRIPrep) are taken where there are any: they have masks.
    """
    reader = registry.load_module("loaders.readers", layout.reader)
    options: dict[str, Any] = {}
    wanted = "*_desc-preproc_bold.nii*" if layout is VOLUMES else layout.pattern
    prepared = sorted(path.glob(f"derivatives/*/sub-*/**/func/{wanted}"))
    if prepared:
        options["derivatives"] = "/".join(prepared[0].relative_to(path).parts[:2])
    values = _options.bind(reader.load, {"subject": None, **options})
    try:
        runs = find_runs(path, values, layout)
    except BraindecError as error:
        found = re.search(r"(space|density): (\S+)", error.fix or "")
        if "several images" not in error.asked or found is None:
            raise
        options[found.group(1)] = found.group(2)
        runs = find_runs(path, {**values, **options}, layout)
    if layout is VOLUMES and not all(r.prepared for r in runs):
        options["mask"] = "auto"

    def opener(run: Run) -> list[Recording]:
        asked = {k: v for k, v in run.entities.items() if v is not None}
        return reader.load(path, **asked, **options)

    together: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:  # hemispheres of a run are opened together
        together.setdefault(tuple(run.entities.values()), []).append(run)
    return options, [
        (
            re.split("_space-|_desc-|_hemi-|_bold", many[0].path.name)[0],
            [r.path for r in many],
            lambda r=many[0]: opener(r),
        )
        for many in together.values()
    ]


def loose_images(folder: Path) -> dict[str, Any]:
    """Options of the reader ``fmri`` for a folder with one 4-D image; mask and labels are looked for beside it.

    Raises
    ------
    BraindecError
        If there are no or several 4-D images.
    """
    series: dict[str, Any] = {}
    volumes: dict[str, Any] = {}
    for path in sorted(p for p in folder.iterdir() if p.name.endswith(ENDINGS)):
        try:
            image = open_image(path)
        except BraindecError:
            continue
        (series if len(image.shape) == 4 and image.shape[3] > 1 else volumes)[path.name] = image
    if len(series) != 1:
        raise BraindecError(
            f"{folder} holds {len(series)} time series of volumes: which one is meant?",
            found=", ".join(series) or ", ".join(volumes) or "no image",
            fix="look at one file: braindec init FOLDER/NAME.nii.gz, or arrange them as BIDS",
        )
    ((name, image),) = series.items()
    options: dict[str, Any] = {"bold": name, "mask": "auto"}
    for other, volume in volumes.items():
        if (
            volume.shape[:3] == image.shape[:3]
            and "mask" in other.lower()
            and np.allclose(volume.affine, image.affine, atol=1e-2)
        ):
            options["mask"] = other
    for path in sorted(folder.glob("*.txt")):
        columns = _label_columns(path, image.shape[3])
        if columns:
            options |= {"labels": path.name, "label_columns": columns}
    return options


def _label_columns(path: Path, n_volumes: int) -> list[str] | None:
    """Names for the columns of a text file with one line a volume: words are trial_type, numbers after them run."""
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (UnicodeDecodeError, OSError):
        return None
    rows = rows[1:] if len(rows) == n_volumes + 1 else rows
    if len(rows) != n_volumes or len({len(r) for r in rows}) != 1 or len(rows[0]) > 2:
        return None
    words = [not all(r[c].lstrip("-").isdigit() for r in rows) for c in range(len(rows[0]))]
    if words == [True, False]:
        return ["trial_type", "run"]
    return ["trial_type"] if words == [True] else None
