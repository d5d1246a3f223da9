"""Names of maps as BIDS derivatives say them, their sidecars, and the description of the folder.

Source: BIDS specification 1.10, "Entities" (their order) and "Derivatives"; BEP on statistical maps for ``stat-`` and
``_statmap``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braindec.errors import BraindecError, did_you_mean
from braindec.files import write_text

ORDER = ("sub", "ses", "sample", "task", "acq", "ce", "rec", "dir", "run", "echo", "model", "contrast", "hemi", "space", "cohort",
         "res", "den", "atlas", "label", "stat", "desc")  # fmt: skip
_LONG = {"subject": "sub", "session": "ses", "acquisition": "acq", "resolution": "res", "density": "den",
         "hemisphere": "hemi", "description": "desc", "direction": "dir"}  # fmt: skip
_NO_SPACE = ("scanner", "aligned")  # what a NIfTI code says when it names no template
_DENSITIES = {91282: "91k", 170494: "170k"}


def plain_label(text: Any) -> str:
    """Return a label of letters and digits: ``r2_motion`` becomes ``r2Motion``."""
    parts = [p for p in re.split(r"[^0-9A-Za-z]+", str(text)) if p]
    return "".join([*parts[:1], *(p[:1].upper() + p[1:] for p in parts[1:])])


def entities_for(info: Mapping[str, Any], given: Mapping[str, Any] | None, *, n_channels: int) -> dict[str, str]:
    """Return the entities of all maps: subject, task, space and density of the recording, and those that are given.

    Results are of a subject, not of one run: session and run are named only when they are given. None leaves one out.

    Raises
    ------
    BraindecError
        If an entity is unknown or has no letter or digit in its label.
    """
    space = info.get("space") if info.get("space") not in _NO_SPACE else None
    found: dict[str, Any] = {"sub": info.get("subject"), "task": info.get("task"), "space": space}
    found["den"] = info.get("density") or _DENSITIES.get(n_channels)
    for key, value in dict(given or {}).items():
        name = _LONG.get(str(key), str(key))
        if name not in ORDER or name in ("hemi",):
            raise BraindecError(f"there is no entity {key!r}{did_you_mean(str(key), ORDER)}", allowed=", ".join(ORDER))
        found[name] = value
    labels = {k: plain_label(str(v).removeprefix(f"{k}-")) for k, v in found.items() if v is not None}
    empty = [k for k, v in labels.items() if not v]
    if empty:
        raise BraindecError(
            f"the label of {empty[0]} is empty", found=repr(found[empty[0]]), allowed="letters and digits"
        )
    return labels


def map_path(folder: Path, entities: Mapping[str, str], suffix: str, ending: str) -> Path:
    """Return the path of a map: ``folder/sub-01/[ses-1/]func/sub-01_..._statmap.nii.gz``."""
    name = "_".join([*(f"{k}-{entities[k]}" for k in ORDER if k in entities), suffix]) + ending
    if "sub" not in entities:
        return folder / name
    session = [f"ses-{entities['ses']}"] if "ses" in entities else []
    return folder.joinpath(f"sub-{entities['sub']}", *session, "func", name)


def write_sidecar(path: Path, ending: str, about: Mapping[str, Any]) -> None:
    """Write the JSON of a map beside it."""
    target = path.with_name(path.name.removesuffix(ending) + ".json")
    write_text(target, json.dumps({k: v for k, v in about.items() if v not in (None, [], "")}, indent=2) + "\n")


def write_description(folder: Path, name: str) -> Path:
    """Write ``dataset_description.json`` of a folder of derivatives, unless it is there."""
    path = folder / "dataset_description.json"
    if not path.is_file():
        from braindec import __version__

        about = {
            "Name": name,
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "braindec", "Version": __version__}],
        }
        write_text(path, json.dumps(about, indent=2) + "\n")
    return path
