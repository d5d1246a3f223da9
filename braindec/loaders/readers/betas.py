"""Reader ``betas``: single-trial betas, in the files of :mod:`braindec.loaders.betas` or in HDF5, .npy or .npz that you describe.

A file that braindec wrote says everything itself. For any other file the order of its axes must be said (``axes``), for whole
numbers how to scale them (``divide_by``), and a table of trials must be named (``trials``): nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _events, _files, _options
from braindec.loaders._betas_masks import open_labels, space_info, voxel_table
from braindec.loaders._betas_signal import BetasSignal, Kept
from braindec.loaders.betas import open_betas, positive_number, windows_of
from braindec.types import Windows

__all__ = ["load", "files", "subjects"]

_SUFFIXES = (".h5", ".hdf5", ".npy", ".npz")
AXES = ("trial_voxel", "voxel_trial", "trial_x_y_z", "trial_z_y_x", "x_y_z_trial", "z_y_x_trial")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    pattern: str | None = None,
    key: str | None = None,
    axes: str | None = None,
    divide_by: float | None = None,
    mask: str | None = None,
    trials: str | None = None,
    channels: str | None = None,
    columns: Mapping[str, str] | None = None,
    session: str | Sequence[str] | None = None,
    unit: str = "n/a",
    space: str | None = None,
    dataset: str | None = None,
) -> Windows:
    """Open betas.

    Parameters
    ----------
    root : str or Path
        A file, or a folder.
    subject, session : str or list of str, optional
        Labels in ``pattern``; for one file the subject's label.
    pattern : str, optional
        Path of the files inside ``root``, such as ``"sub-{subject}/ses-{session}_betas.h5"``: one file a session.
    key : str, optional
        The dataset (HDF5) or array (.npz), when the file has several.
    axes : str, optional
        Order of the axes: "trial_voxel", "voxel_trial", "trial_x_y_z", "trial_z_y_x", "x_y_z_trial", "z_y_x_trial".
    divide_by : float, optional
        Stored numbers are divided by it; needed when they are whole numbers (1 when they are not scaled).
    mask : str, optional
        A NIfTI mask (path inside ``root``, ``{subject}`` is filled in): voxels above 0. Needed for volumes; for "trial_voxel" it
        says where the voxels lie, in the order of the file (x fastest).
    trials : str, optional
        A table (.tsv or .csv, path inside ``root`` with ``{subject}`` and ``{session}``) with one row a trial: stimulus_id, run,
        repetition, part, concept_id, ... Without ``{session}`` it holds the trials of all sessions in order.
    channels : str, optional
        A table with one row a voxel (name, region, x, y, z in m, ...).
    columns : dict, optional
        Columns of the table of trials under other names, e.g. ``{"stimulus_id": "image"}``.
    unit, space, dataset : str, optional
        Labels.

    Returns
    -------
    Windows
        One Recording a session.

    Raises
    ------
    BraindecError
        If something is not said that the file does not say, or tables, mask and betas differ in number.
    """
    values = {k: v for k, v in locals().items() if k != "root"}
    found = _found(root, values)
    if subject is None and len({f.entities.get("subject") for f in found}) > 1:
        raise BraindecError("the reader betas opens one subject at a time", fix="say subject: ...")
    if all(_is_ours(f.path) for f in found):
        return open_betas([f.path for f in found])
    base = _files.existing(root)
    return _described(found, base if base.is_dir() else base.parent, values)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its own label, ``subject``, or its name."""
    values = _options.bind(load, options)
    found = _files.find(root, values["pattern"], _SUFFIXES)
    if len(found) == 1 and "subject" not in found[0].entities and values["subject"] is None and _is_ours(found[0].path):
        label = open_betas(found[0].path).info.get("subject")
        return [str(label)] if label else _files.labels(found, values)
    return _files.labels(found, values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    found = _found(root, values)
    base = _files.existing(root)
    base = base if base.is_dir() else base.parent
    extra = [_inside(base, values[k], f) for f in found for k in ("mask", "trials", "channels") if values[k]]
    return list(dict.fromkeys([*(f.path for f in found), *extra]))


def _found(root: str | Path, values: Mapping[str, Any]) -> list[_files.Found]:
    found = _files.find(root, values["pattern"], _SUFFIXES)
    wanted = {k: _options.as_list(values[k]) for k in ("subject", "session")}
    if "subject" not in found[0].entities:
        wanted.pop("subject")
    kept = _files.keep(found, **wanted)
    if wanted.get("session"):
        there = {f.entities.get("session") for f in kept}
        missing = [s for s in wanted["session"] or [] if s not in there]
        if missing:
            raise BraindecError(
                f"sessions {', '.join(missing)} are missing", found=", ".join(f.path.name for f in kept[:8])
            )
    return kept


def _is_ours(path: Path) -> bool:
    if path.suffix.lower() not in (".h5", ".hdf5"):
        return False
    from braindec.types.storage import hdf5

    with hdf5(path, "r") as file:
        return file.attrs.get("kind") == "betas"


def _described(found: list[_files.Found], base: Path, values: dict[str, Any]) -> Windows:
    axes = _axes(values["axes"], found[0].path)
    _check_options(values)
    mask = None if values["mask"] is None else open_labels(_inside(base, values["mask"], found[0]))
    signals, kept = [], Kept()
    for file in found:
        plain = BetasSignal(file.path, values["key"], trial_axis=axes.index("trial"))
        signals.append(_masked(plain, file.path, values, axes, mask, kept))
    table = _trials(found, base, values, [s.shape[1] for s in signals])
    who = values["subject"] or found[0].entities.get("subject") or found[0].path.name.split(".")[0]
    info: dict[str, Any] = {"dataset": values["dataset"], "subject": str(who), "space": values["space"]}
    rows = _channels(signals[0].shape[0], mask, base, values, found[0])
    if mask is not None:
        info |= space_info(mask[0], mask[1], values["space"])
    return windows_of(signals, table, rows, info, look=True)


def _check_options(values: Mapping[str, Any]) -> None:
    """Refuse options of another kind before anything is read."""
    factor = values["divide_by"]
    if factor is not None and positive_number(factor) is None:
        raise BraindecError(
            f"divide_by must be a positive number, not {factor!r}", allowed="300 (NSD), 1 when nothing is scaled, ..."
        )
    for name in ("mask", "trials", "channels"):
        if values[name] is not None and not isinstance(values[name], (str, Path)):
            raise BraindecError(f"{name} must be the path of a file", found=repr(values[name]))
    if not isinstance(values["columns"] or {}, Mapping):
        raise BraindecError(
            "columns must map names to columns of the table", found=repr(values["columns"]), fix="columns: {stimulus_id: image}"
        )  # fmt: skip


def _axes(given: str | None, path: Path) -> list[str]:
    if given is None:
        raise BraindecError(
            f"{path.name} was not written by braindec: what are its axes?", allowed=", ".join(AXES), fix="axes: trial_voxel, ...",
        )  # fmt: skip
    if given not in AXES:
        raise BraindecError(f"axes {given!r} are unknown{did_you_mean(given, AXES)}", allowed=", ".join(AXES))
    return given.split("_")


def _masked(
    plain: BetasSignal,
    path: Path,
    values: Mapping[str, Any],
    axes: Sequence[str],
    mask: tuple[np.ndarray, np.ndarray] | None,
    kept: Kept,
) -> BetasSignal:
    """The signal of one file with scale and mask; both are checked."""
    factor = values["divide_by"]
    if factor is None and plain.stored.kind in "iu":
        raise BraindecError(
            f"{path.name} holds whole numbers ({plain.stored}): how are they scaled?", allowed="divide_by: 300 (NSD), divide_by: 1, ...",
            fix="say divide_by",
        )  # fmt: skip
    if len(plain.grid) != len(axes) - 1:
        raise BraindecError(f"{path.name} does not have the axes {'_'.join(axes)}", found=f"{len(plain.grid) + 1} axes")
    voxels = None
    if len(plain.grid) == 3:
        if mask is None:
            raise BraindecError(
                f"{path.name} holds volumes: which voxels?", found=f"grid {plain.grid}", fix="name a mask: mask: ..."
            )
        spatial = [a for a in axes if a != "trial"]
        grid = plain.grid if spatial == ["x", "y", "z"] else plain.grid[::-1]
        if mask[0].shape != grid:
            raise BraindecError(
                f"the mask does not lie on the grid of {path.name}", found=f"(x, y, z) = {mask[0].shape}", allowed=f"{grid}",
                fix="use a mask in the space of the betas; check axes",
            )  # fmt: skip
        places = np.flatnonzero((mask[0] > 0).ravel(order="F"))  # x fastest, as voxel_table says
        ijk = np.unravel_index(places, grid, order="F")
        voxels = np.ravel_multi_index(ijk if spatial == ["x", "y", "z"] else ijk[::-1], plain.grid)
    return BetasSignal(
        path,
        values["key"],
        trial_axis=plain.trial_axis,
        voxels=voxels,
        divide_by=1.0 if factor is None else float(factor),
        kept=kept,
    )


def _trials(found: list[_files.Found], base: Path, values: Mapping[str, Any], counts: Sequence[int]) -> pd.DataFrame:
    if values["trials"] is None:
        raise BraindecError(
            f"{found[0].path.name}: what was shown in each trial?",
            fix="name a table of trials with a column stimulus_id: trials: trials.tsv",
        )
    each = "{session}" in str(values["trials"])
    tables = [_read_table(_inside(base, values["trials"], f)) for f in (found if each else found[:1])]
    for file, table, n in zip(found, tables, counts if each else [sum(counts)], strict=False):
        if len(table) != n:
            raise BraindecError(
                "betas and the table of trials differ in number", found=f"{n} betas, {len(table)} rows"
                + (f" ({file.path.name})" if each else ""), fix="one row a trial, in the order of the betas",
            )  # fmt: skip
    table = _renamed(pd.concat(tables, ignore_index=True), values["columns"] or {})
    if "stimulus_id" not in table:
        raise BraindecError(
            "the table of trials has no column stimulus_id",
            found=f"columns {list(table.columns)}",
            fix="columns: {stimulus_id: <its column>}",
        )
    if "session" not in table:
        labels = [f.entities.get("session") or str(i + 1) for i, f in enumerate(found)]
        table["session"] = np.repeat(np.array(labels, dtype=object), counts)
    for column in ("onset", "duration", "repetition"):
        if column in table:
            table[column] = _numbers(table[column], "the table of trials")
            if table[column].isna().any():
                raise BraindecError(
                    f"the table of trials has no {column} in {int(table[column].isna().sum())} of {len(table)} rows",
                    fix=f"fill them in, or leave the column {column} out",
                )
    return table


def _renamed(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The table with its columns named as ``names`` says ({ours: theirs})."""
    for mine, theirs in names.items():
        if theirs not in table:
            raise BraindecError(
                f"columns: the table of trials has no column {theirs!r}{did_you_mean(str(theirs), table.columns)}",
                found=f"columns {list(table.columns)}",
            )
        if mine != theirs and mine in table:
            raise BraindecError(
                f"columns: the table of trials has a column {mine!r} besides {theirs!r}: which one is meant?",
                fix=f"leave {mine} out of columns, or take it out of the table",
            )
    return table.rename(columns={v: k for k, v in names.items()})


def _numbers(column: pd.Series, what: str) -> pd.Series:
    """The column as numbers, NaN where it says n/a."""
    numeric = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = column[numeric.isna() & (column != "n/a")]
    if len(wrong):
        raise BraindecError(
            f"{what}: {len(wrong)} values of {column.name} are not numbers", found=repr(wrong.iloc[0]),
            allowed="numbers with a point, or n/a",
        )  # fmt: skip
    return numeric


def _channels(n: int, mask: Any, base: Path, values: Mapping[str, Any], file: _files.Found) -> pd.DataFrame:
    if values["channels"] is not None:
        table = _read_table(_inside(base, values["channels"], file))
        for column in ("x", "y", "z"):
            if column in table:
                table[column] = _numbers(table[column], "the table of channels")
                if (table[column].abs() > 1).any():
                    raise BraindecError(
                        f"the table of channels: {column} is not in m", found=f"values up to {table[column].abs().max():g}",
                        allowed="m (a head is 0.2 m long)", fix="divide mm by 1000",
                    )  # fmt: skip
        for column in ("i", "j", "k", "vertex"):
            if column in table:
                table[column] = _numbers(table[column], "the table of channels")
                if (table[column] != table[column].round()).any():
                    raise BraindecError(f"the table of channels: {column} holds values that are not whole numbers",
                                        allowed="whole numbers; -1 where there is none")  # fmt: skip
                table[column] = table[column].astype(int)
    elif mask is not None:
        table = voxel_table(mask[0] > 0, mask[1], unit=values["unit"])[1]
    else:
        table = pd.DataFrame({"name": [f"voxel-{i:05d}" for i in range(n)]})
    if len(table) != n:
        what = "table of channels" if values["channels"] is not None else "mask"
        raise BraindecError(
            f"betas and the {what} differ in voxels", found=f"{n} in the betas, {len(table)} in the {what}"
        )
    return table.assign(type=table.get("type", "voxel"), unit=table.get("unit", values["unit"]))


def _read_table(path: Path) -> pd.DataFrame:
    table = _events.read_tsv(_files.existing(path), separator="," if path.suffix.lower() == ".csv" else "\t")
    if not len(table):
        raise UnreadableError(f"{path} is empty", fix="one row a trial or voxel, with a line of names")
    return table.fillna("n/a")


def _inside(base: Path, given: str, file: _files.Found) -> Path:
    text = str(given)
    for name in ("subject", "session"):
        text = text.replace(f"{{{name}}}", str(file.entities.get(name) or ""))
    _files.check_inside(text)
    return base / text
