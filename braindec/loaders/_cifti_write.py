"""CIFTI-2 images made of numbers and a brain model: dtseries, dscalar, dlabel, and the same for parcels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.files import check_room, written_whole

_INTENTS = {
    "dtseries": "DENSE_SERIES", "dscalar": "DENSE_SCALARS", "dlabel": "DENSE_LABELS",
    "ptseries": "PARCELLATED_SERIES", "pscalar": "PARCELLATED_SCALAR",
}  # fmt: skip


def make_image(
    values: np.ndarray,
    model: Any,
    *,
    maps: Sequence[str] | None = None,
    tables: Sequence[Mapping[int, tuple[str, Sequence[float]]]] | None = None,
    step: float | None = None,
    start: float = 0.0,
    unit: str = "SECOND",
    metadata: Mapping[str, str] | None = None,
) -> Any:
    """Return a nibabel Cifti2Image.

    Parameters
    ----------
    values : array of shape (n_rows, n_columns)
        float32, or int32 keys when ``tables`` are given. NaN is kept.
    model : BrainModel or ParcelModel
        What the columns are.
    maps, tables : sequence
        Names of the rows, and their labels (key -> name, (r, g, b, a)).
    step, start, unit : float, float, str
        A series instead of maps.
    metadata : mapping of str to str, optional
        Kept in the header.
    """
    from nibabel import cifti2

    values = np.asarray(values, dtype=np.int32 if tables is not None else np.float32)
    if values.ndim != 2 or values.shape[1] != model.size:
        raise BraindecError(
            "values must be (row, grayordinate)", found=f"shape {values.shape} for {model.describe()}",
            allowed=f"(n, {model.size})",
        )  # fmt: skip
    dense = "d" if hasattr(model, "blocks") else "p"
    if step is not None:
        kind, first = f"{dense}tseries", _series(len(values), step, start, unit)
    else:
        kind = f"{dense}{'scalar' if tables is None else 'label'}"
        first = _named(list(maps or [f"map {k + 1}" for k in range(len(values))]), tables, len(values))
    if kind not in _INTENTS:
        raise BraindecError("labels of parcels are not written", fix="write scalars")
    matrix = cifti2.Cifti2Matrix()
    matrix.append(first)
    matrix.append(model.to_map(1))
    if metadata:
        matrix.metadata = cifti2.Cifti2MetaData({str(k): str(v) for k, v in metadata.items()})
    image = cifti2.Cifti2Image(values, cifti2.Cifti2Header(matrix))
    image.nifti_header.set_intent(f"NIFTI_INTENT_CONNECTIVITY_{_INTENTS[kind]}")
    image.update_headers()
    return image


def save_image(image: Any, path: str | Path) -> Path:
    """Write an image whole or not at all; the ending must fit its kind.

    Raises
    ------
    BraindecError
        If the ending says another kind, or the disk is full.
    """
    path = Path(path)
    intent = image.nifti_header.get_intent("code")[0]
    kind = next((k for k in _INTENTS if intent == _code(k)), None)
    if kind is not None and not path.name.endswith((f".{kind}.nii", f".{kind}.nii.gz")):
        raise BraindecError(f"{path.name} must end in .{kind}.nii", found=f"an image of kind {kind}")
    with written_whole(path) as temporary:
        check_room(temporary, int(np.prod(image.shape)) * 4)
        image.to_file_map(_file_map(image, temporary, path))
    return path


def _file_map(image: Any, temporary: Path, path: Path) -> Any:
    if path.name.endswith(".gz"):
        raise BraindecError(f"{path.name}: CIFTI is not compressed when it is written", fix="leave out .gz")
    return image.make_file_map({"image": str(temporary)})


def _code(kind: str) -> int:
    import nibabel as nib

    return int(nib.nifti1.intent_codes.code[f"NIFTI_INTENT_CONNECTIVITY_{_INTENTS[kind]}"])


def _series(n: int, step: float, start: float, unit: str) -> Any:
    from nibabel import cifti2

    return cifti2.Cifti2MatrixIndicesMap(
        [0], "CIFTI_INDEX_TYPE_SERIES", number_of_series_points=n, series_exponent=0, series_start=float(start),
        series_step=float(step), series_unit=unit,
    )  # fmt: skip


def _named(maps: Sequence[str], tables: Sequence[Mapping] | None, n_rows: int) -> Any:
    from nibabel import cifti2

    if len(maps) != n_rows or (tables is not None and len(tables) != n_rows):
        raise BraindecError("one name (and one table of labels) a map", found=f"{len(maps)} names, {n_rows} rows")
    out = cifti2.Cifti2MatrixIndicesMap(
        [0], "CIFTI_INDEX_TYPE_SCALARS" if tables is None else "CIFTI_INDEX_TYPE_LABELS"
    )
    for k, name in enumerate(maps):
        named = cifti2.Cifti2NamedMap(str(name))
        if tables is not None:
            named.label_table = cifti2.Cifti2LabelTable()
            for key, (label, colour) in tables[k].items():
                named.label_table.append(cifti2.Cifti2Label(int(key), str(label), *colour))
        out.append(named)
    return out
