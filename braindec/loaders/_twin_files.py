"""Files of twins: images, tables and sidecars as BIDS and fMRIPrep write them; same content, same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["save_json", "save_nifti", "save_tsv"]


def save_nifti(path: Path, data: np.ndarray, affine: np.ndarray, *, tr: float | None = None) -> None:
    """Write an image in MNI152 space; ``tr`` in s for time series."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(data, affine)
    image.set_sform(affine, code=4)  # 4: MNI152
    image.set_qform(affine, code=4)
    image.header.set_xyzt_units("mm", "sec")
    if tr is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    nibabel.save(image, path)


def save_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a sidecar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")


def save_tsv(path: Path, table: pd.DataFrame) -> None:
    """Write a table; missing values as n/a."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False, na_rep="n/a", float_format="%.6g", lineterminator="\n")
