"""Tables of the reader fmri: repetition time, labels a volume, confounds of fMRIPrep, voxels and parcels as channels.

Source: fMRIPrep documentation, "Confounds": rigid-body motion, its derivatives and squares (24 parameters: Friston et
al. 1996), and anatomical CompCor (Behzadi et al. 2007), which is to be used with the cosine regressors it was
estimated with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders._events import read_tsv

_MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
STRATEGIES = {
    "motion6": _MOTION,
    "motion24": [f"{m}{tail}" for tail in ("", "_derivative1", "_power2", "_derivative1_power2") for m in _MOTION],
    "compcor": [f"a_comp_cor_{i:02d}" for i in range(6)],
}
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_SPACES = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI152"}


def repetition_time(image: Any, path: Path, sidecar: Mapping[str, Any], tr: float | None, warnings: list[str]) -> float:
    """Return the repetition time in s of a 4-D NIfTI image; see :func:`agreed_tr`."""
    zooms, unit = image.header.get_zooms(), image.header.get_xyzt_units()[1]
    header = float(zooms[3]) * _SECONDS.get(unit, float("nan")) if len(zooms) > 3 else float("nan")
    found = f"{float(zooms[3]):g} with the unit {unit!r} in the header" if len(zooms) > 3 else "no time axis"
    return agreed_tr(path, header, sidecar, tr, warnings, found=found)


def agreed_tr(
    path: Path, header: float | None, sidecar: Mapping[str, Any], tr: float | None, warnings: list[str], *, found: str
) -> float:
    """Return the repetition time in s from the option, the sidecar and the header, which must agree.

    Parameters
    ----------
    path : Path
        The run.
    header : float or None
        What the file says, in s; None (or NaN) where it does not, or its unit is not known.
    sidecar : mapping
        The merged JSON of the run.
    tr : float, optional
        The option, which wins.
    warnings : list of str
        Is told when the option wins over something else.
    found : str
        What the header holds, for the message.

    Raises
    ------
    BraindecError
        If they differ, or none of them says it.
    """
    header = _positive(header)
    said = _positive(sidecar.get("RepetitionTime"))
    if tr is not None:
        if not _plausible(_positive(tr)):
            raise BraindecError(
                f"tr must be a repetition time in s, not {tr!r}",
                allowed="0.02 to 60",
                fix="milliseconds must be divided by 1000",
            )
        for name, other in (("header", header), ("sidecar", said)):
            if other is not None and abs(other - tr) > 1e-3 * tr:
                warnings.append(
                    f"{path.name}: the {name} says a repetition time of {other:g} s; the option tr: {float(tr):g} "
                    "is used"
                )
        return float(tr)
    if header is not None and said is not None and abs(header - said) > 1e-3 * said:
        raise BraindecError(
            f"{path.name}: header and sidecar differ in repetition time",
            found=f"{header:g} s in the header, {said:g} s in the _bold.json",
            fix="find out which one is right and correct the other, or say it with tr: ... (s): every onset "
            "depends on it",
        )
    time = said if said is not None else header
    if time is None:
        raise BraindecError(
            f"{path.name} does not say its repetition time",
            found=f"{found}, no RepetitionTime in a sidecar",
            fix="say it with tr: ... (s)",
        )
    if not _plausible(time):
        raise BraindecError(
            f"{path.name}: a repetition time of {time:g} s is not plausible",
            allowed="0.02 to 60 s",
            fix=f"say it with tr: ... (s){'; is it in milliseconds?' if time > 60 else ''}",
        )
    return time


def read_labels(path: Path, columns: Sequence[str], n_volumes: int) -> pd.DataFrame:
    """Read a text file with one line a volume (columns separated by blanks, tabs or commas; a header line is allowed).

    Returns
    -------
    DataFrame
        ``columns``, as text, one row a volume.

    Raises
    ------
    BraindecError
        If lines and volumes, or columns and names, differ in number.
    """
    if not path.is_file():
        raise BraindecError(f"there is no file of labels {path}", fix="write its path inside the folder: labels: ...")
    try:
        lines = [
            line.replace(",", " ").split() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()
        ]
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path} is not a text file", found=str(error)) from None
    if len(lines) == n_volumes + 1:
        lines = lines[1:]
    if len(lines) != n_volumes:
        raise BraindecError(
            f"{path.name} and the image differ in number",
            found=f"{len(lines)} lines, {n_volumes} volumes",
            allowed="one line a volume",
        )
    widths = {len(line) for line in lines}
    if widths != {len(columns)}:
        raise BraindecError(
            f"{path.name} does not have the columns {list(columns)}",
            found=f"{sorted(widths)} columns; the first line is {' '.join(lines[0])!r}",
            fix="name the columns in order: label_columns: [trial_type, run]",
        )
    return pd.DataFrame(lines, columns=[str(c) for c in columns], dtype=object)


def stretches(values: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return (first, last + 1, value) of each stretch of equal values."""
    array = np.asarray(values, dtype=object)
    edges = np.r_[0, np.flatnonzero(array[1:] != array[:-1]) + 1, len(array)]
    return [(int(a), int(b), str(array[a])) for a, b in pairwise(edges)]


def label_events(labels: pd.DataFrame, tr: float, *, per: str) -> pd.DataFrame:
    """Return one event a volume, or one a block of equal labels; onsets in s from the first row."""
    columns = [c for c in labels if c != "run"]
    if per == "volume":
        return pd.DataFrame(
            {"onset": np.arange(len(labels)) * tr, "duration": tr, **{c: labels[c].to_numpy() for c in columns}}
        )
    keys = labels[columns].agg("\n".join, axis=1)
    blocks = stretches(list(keys))
    rows = [a for a, _, _ in blocks]
    return pd.DataFrame(
        {
            "onset": [a * tr for a in rows],
            "duration": [(b - a) * tr for a, b, _ in blocks],
            **{c: labels[c].to_numpy()[rows] for c in columns},
        }
    )


def confounds_path(image: Path) -> Path:
    """Return the confounds of a run: named as the image, without space and resolution.

    Raises
    ------
    BraindecError
        If there is no such table.
    """
    stem = image.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".dtseries").removesuffix(".func.gii")
    parts = [p for p in stem.split("_") if p.split("-")[0] not in ("space", "res", "desc", "bold", "den", "hemi")]
    for ending in ("timeseries", "regressors"):
        path = image.with_name("_".join([*parts, f"desc-confounds_{ending}.tsv"]))
        if path.is_file():
            return path
    raise BraindecError(
        f"{image.name} has no confounds",
        found=f"no {'_'.join(parts)}_desc-confounds_timeseries.tsv in {image.parent}",
        fix="confounds: none, or copy the table of fMRIPrep beside the image",
    )


def read_confounds(path: Path, wanted: str | Sequence[str], n_volumes: int, warnings: list[str]) -> np.ndarray:
    """Return the centred confounds of one run, shape (n_volumes, n_confounds).

    Parameters
    ----------
    path : Path
        ``*_desc-confounds_timeseries.tsv``.
    wanted : str or list of str
        Strategies ("motion6", "motion24", "compcor", joined by "+") and names of columns. Volumes that fMRIPrep found
        before the steady state get a regressor each.

    Notes
    -----
    A first row that is n/a (derivatives have none) takes the mean of its column, and this is said in ``warnings``.
    """
    table = read_tsv(path)
    names = confound_columns(wanted, table, path)
    steady = [c for c in table if c.startswith("non_steady_state_outlier")]
    values = np.stack(
        [pd.to_numeric(table[c], errors="coerce").to_numpy(dtype=float) for c in [*names, *steady]], axis=1
    )
    if len(values) != n_volumes:
        raise BraindecError(
            f"{path.name} and the image differ in number", found=f"{len(values)} rows, {n_volumes} volumes"
        )
    holes = ~np.isfinite(values)
    if holes[1:].any():
        bad = [n for n, h in zip([*names, *steady], holes[1:].any(axis=0), strict=True) if h]
        raise BraindecError(
            f"{path.name}: confounds are missing after the first volume", found=", ".join(bad[:8]), fix="choose others"
        )
    if holes[0].any():
        warnings.append(
            f"{path.name}: {int(holes[0].sum())} of {values.shape[1]} confounds have no value in the first volume "
            "(derivatives have none); the mean of the column stands there"
        )
    mean = np.nanmean(values, axis=0)
    centred = np.where(holes, 0.0, values - mean)
    spread = centred.std(axis=0)
    if steady:
        warnings.append(f"{path.name}: {len(steady)} volumes before the steady state are regressed out")
    kept = centred[:, spread > 0] / spread[spread > 0]
    if kept.shape[1] >= n_volumes - 2:
        raise BraindecError(
            f"{path.name}: {kept.shape[1]} confounds leave nothing of {n_volumes} volumes", fix="choose fewer"
        )
    return kept


def confound_columns(wanted: str | Sequence[str], table: pd.DataFrame, path: Path) -> list[str]:
    """Return the columns of the strategies and names in ``wanted``."""
    parts = [p.strip() for w in ([wanted] if isinstance(wanted, str) else wanted) for p in str(w).split("+")]
    names: list[str] = []
    for part in parts:
        if part == "none":
            continue
        if part == "compcor":
            names += [c for c in table if c in STRATEGIES["compcor"] or c.startswith("cosine")]
            if not any(n.startswith("a_comp_cor") for n in names):
                raise BraindecError(
                    f"{path.name} has no a_comp_cor columns",
                    fix="run fMRIPrep with an anatomical image, or use motion24",
                )
            continue
        for column in STRATEGIES.get(part, [part]):
            if column not in table:
                known = [*STRATEGIES, "none", *table.columns]
                raise BraindecError(
                    f"{path.name} has no confound {column!r}{did_you_mean(column, known)}",
                    allowed=f"{', '.join(STRATEGIES)}, none, or a column",
                )
            names.append(column)
    return list(dict.fromkeys(names))


def space_of(image: Any) -> str | None:
    """Name of the coordinate system of the affine, from its NIfTI code; None when it has none."""
    header = image.header
    for key in ("sform_code", "qform_code"):
        code = int(header[key]) if key in header else 0
        if code:
            return _SPACES.get(code)
    return None


def voxel_channels(mask: np.ndarray, affine: np.ndarray, placed: bool) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the flat places of the voxels of a mask and their channel table (positions in m)."""
    places = np.flatnonzero(mask.ravel(order="F"))
    ijk = np.stack(np.unravel_index(places, mask.shape, order="F"), axis=1)
    names = [f"{i:03d}-{j:03d}-{k:03d}" for i, j, k in ijk.tolist()]
    return places, _table(names, "voxel", ijk @ affine[:3, :3].T + affine[:3, 3], placed).assign(
        i=ijk[:, 0], j=ijk[:, 1], k=ijk[:, 2]
    )


def parcel_channels(
    atlas: np.ndarray, affine: np.ndarray, names: Mapping[int, str], placed: bool
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Return places sorted by parcel, the first place of each parcel, and the channel table (centres in m)."""
    flat = atlas.ravel(order="F")
    places = np.flatnonzero(flat)
    order = np.argsort(flat[places], kind="stable")
    places = places[order]
    labels, starts, counts = np.unique(flat[places], return_index=True, return_counts=True)
    ijk = np.stack(np.unravel_index(places, atlas.shape, order="F"), axis=1).astype(float)
    centres = np.add.reduceat(ijk, starts, axis=0) / counts[:, None]
    called = [names.get(int(v), f"parcel-{int(v):03d}") for v in labels]
    called = [c if called.count(c) == 1 else f"{c}-{int(v)}" for c, v in zip(called, labels, strict=True)]
    table = _table(called, "parcel", centres @ affine[:3, :3].T + affine[:3, 3], placed)
    return places, starts, table.assign(region=called, label=labels.astype(int), n_voxels=counts)


def atlas_names(path: Path | None) -> dict[int, str]:
    """Read ``index`` and ``name`` of a table of parcels (.tsv as in BIDS, or .csv)."""
    if path is None:
        return {}
    table = read_tsv(path, separator="," if path.suffix == ".csv" else "\t")
    lower = {str(c).lower(): c for c in table}
    index = next((lower[c] for c in ("index", "label", "id", "value") if c in lower), None)
    name = next((lower[c] for c in ("name", "region", "abbreviation") if c in lower), None)
    if index is None or name is None:
        raise BraindecError(
            f"{path} does not name parcels", found=f"columns {list(table.columns)}", allowed="columns index and name"
        )
    numbers = pd.to_numeric(table[index], errors="coerce")
    wrong = ~np.isfinite(numbers) | (numbers != numbers.round())
    if wrong.any():
        raise BraindecError(
            f"{path}: the column {index} must hold the numbers of the parcels", found=str(table[index][wrong].iloc[0]),
            allowed="whole numbers",
        )  # fmt: skip
    if numbers.duplicated().any():
        twice = int(numbers[numbers.duplicated()].iloc[0])
        raise BraindecError(f"{path} names parcel {twice} twice", fix="correct the table")
    if table[name].isna().any():
        lost = int(numbers[table[name].isna()].iloc[0])
        raise BraindecError(
            f"{path} gives {int(table[name].isna().sum())} parcels no name",
            found=f"such as {lost}",
            fix=f"fill in the column {name}",
        )
    return {int(i): str(n) for i, n in zip(numbers, table[name], strict=True)}


def _table(names: Sequence[str], kind: str, mm: np.ndarray, placed: bool) -> pd.DataFrame:
    xyz = mm / 1000 if placed else np.full_like(mm, np.nan, dtype=float)
    return pd.DataFrame({"name": names, "type": kind, "unit": "a.u.", "x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2]})


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def _plausible(tr: float | None) -> bool:
    return tr is not None and 0.02 <= tr <= 60
