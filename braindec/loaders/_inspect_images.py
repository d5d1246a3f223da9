"""What ``braindec init`` finds in folders of images: runs of BIDS, or one 4-D image with mask and labels beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.loaders import _options
from braindec.loaders._fmri_signal import open_image
from braindec.loaders._fmri_tree import ENDINGS, find_runs
from braindec.loaders.readers import fmri
from braindec.types import Recording


def run_openers(path: Path) -> list[tuple[str, list[Path], Callable[[], Any]]]:
    """Each run by itself with a mask of its own, so that one that is damaged or on another grid stops no other."""
    values = _options.bind(fmri.load, {"subject": None})
    try:
        runs = find_runs(path, values)
    except BraindecError as error:
        if "several images" not in error.asked:
            raise
        space = (error.fix or "").split("space: ")[-1].split(" ")[0] if "space: " in (error.fix or "") else None
        values["space"] = space
        runs = find_runs(path, values)

    def opener(run: Any) -> list[Recording]:
        wanted = {k: v for k, v in run.entities.items() if v is not None}
        own = {} if run.prepared else {"mask": "auto"}
        space = {"space": values["space"]} if values["space"] else {}
        return fmri.load(path, **wanted, **own, **space)

    return [(r.path.name.split(".")[0].rsplit("_", 1)[0], [r.path], lambda r=r: opener(r)) for r in runs]


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
