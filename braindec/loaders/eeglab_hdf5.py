"""EEGLAB data sets saved as MATLAB v7.3 (HDF5), which mne refuses: continuous recordings and epochs, read by h5py.

Source: EEGLAB's documentation of the EEG structure (``eeg_checkset``): ``data`` is (nbchan, pnts, trials) in microvolt,
or the name of a float32 ``.fdt`` file; ``event.latency`` counts samples from 1; ``chanlocs`` X points to the nose and Y to
the left ear. EEGLAB names no unit for positions; its convention is mm (head radius 85), and positions that cannot be mm
are left out with a warning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from braindec.errors import UnreadableError
from braindec.loaders._arrays import ScaledSignal
from braindec.loaders._shape import unique_names
from braindec.types import ArraySignal, Recording, Signal, Windows

_MICROVOLT = 1e-6
_TYPES = {"EEG": "eeg", "EOG": "eog", "HEOG": "eog", "VEOG": "eog", "ECG": "ecg", "EKG": "ecg", "EMG": "emg", "STIM": "stim",
          "TRIG": "stim", "MISC": "misc", "MEG": "mag", "ECOG": "ecog", "SEEG": "seeg"}  # fmt: skip


def is_hdf5(path: Path) -> bool:
    """Say whether a .set file is MATLAB v7.3."""
    with Path(path).open("rb") as file:
        head = file.read(520)
    return head.startswith(b"\x89HDF") or b"\x89HDF" in head[512:]


def read_recording(path: Path, warnings: list[str]) -> Recording:
    """Open a continuous data set; samples stay on disk.

    Raises
    ------
    UnreadableError
        If the file is damaged, its data file is missing, or it holds epochs.
    """
    eeg = _Structure(path)
    if eeg.n_trials > 1:
        raise UnreadableError(
            f"{path} holds {eeg.n_trials} epochs, not a continuous recording", fix="use the reader 'epochs'"
        )
    channels, renamed = eeg.channels(warnings)
    info = {"path": str(path), "modality": "eeg", **({"renamed": renamed} if renamed else {})}
    return Recording(ScaledSignal(eeg.signal(), _MICROVOLT), eeg.sfreq, channels, eeg.events(), info)


def read_windows(path: Path, warnings: list[str], **info: Any) -> Windows:
    """Open a data set of epochs; ``trial_type`` is the event at time 0 of each epoch."""
    eeg = _Structure(path)
    channels, renamed = eeg.channels(warnings)
    about = {
        "path": str(path),
        "modality": "eeg",
        **({"renamed": renamed} if renamed else {}),
        **info,
        "warnings": warnings,
    }
    recording = Recording(ScaledSignal(eeg.signal(), _MICROVOLT), eeg.sfreq, channels, info=about)
    index = np.stack([np.zeros(eeg.n_trials, np.int64), np.arange(eeg.n_trials) * eeg.n_times], axis=1)
    trials = eeg.trials()
    for key in ("subject", "session", "run", "task"):
        if info.get(key) is not None:
            trials[key] = str(info[key])
    return Windows((recording,), index, eeg.n_times, trials, eeg.tmin)


class _Structure:
    """The EEG structure of one file; fields may stand inside a group ``EEG`` or at the root."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise UnreadableError(
                f"{path} cannot be opened as EEGLAB v7.3 (HDF5; tried h5py)", found=str(error).splitlines()[0],
                fix="the file is damaged or was cut short: copy it again",
            ) from error  # fmt: skip
        self.group = self.file["EEG"] if "EEG" in self.file else self.file
        missing = [k for k in ("data", "srate", "nbchan", "pnts") if k not in self.group]
        if missing:
            raise UnreadableError(
                f"{path} is an HDF5 file but no EEGLAB data set",
                found=f"no field {missing[0]}; fields {list(self.group)[:12]}",
            )
        self.sfreq = float(self._number("srate"))
        self.n_channels, self.n_times = int(self._number("nbchan")), int(self._number("pnts"))
        self.n_trials = max(1, int(self._number("trials", 1)))
        self.tmin = float(self._number("xmin", 0.0))

    def _number(self, name: str, default: float | None = None) -> float:
        if name not in self.group or _empty(self.group[name]):
            if default is None:
                raise UnreadableError(
                    f"{self.path}: the field {name} is empty", fix="save the data set again in EEGLAB"
                )
            return default
        return float(np.ravel(self.group[name][()])[0])

    def signal(self) -> Signal:
        """The samples in microvolt: the dataset in this file, or the .fdt file beside it."""
        data = self.group["data"]
        shape = (self.n_channels, self.n_times * self.n_trials)
        if data.attrs.get("MATLAB_class", b"").decode() != "char":
            stored = data.shape  # MATLAB's (channel, time[, trial]) comes back reversed
            if int(np.prod(stored)) != shape[0] * shape[1]:
                raise UnreadableError(
                    f"{self.path}: the data do not fit the header", found=f"{stored}, expected {shape}"
                )
            if data.chunks is None and data.id.get_offset() is not None:
                mapped = np.memmap(self.path, data.dtype, "r", data.id.get_offset(), shape, "F")
                return ArraySignal(mapped)
            return _TransposedHDF5(self.path, data.name, shape)
        name = Path(_text(data)).name
        for candidate in (self.path.parent / name, self.path.with_suffix(".fdt")):
            if candidate.is_file():
                expected = 4 * shape[0] * shape[1]
                if candidate.stat().st_size != expected:
                    raise UnreadableError(
                        f"{candidate} was cut short or belongs to another .set file",
                        found=f"{candidate.stat().st_size} bytes, the header promises {expected}", fix="copy the file again",
                    )  # fmt: skip
                return ArraySignal(np.memmap(candidate, np.float32, "r", 0, shape, "F"))
        raise UnreadableError(
            f"the data file of {self.path} is not there", found=f"{name} is missing in {self.path.parent}",
            fix=f"copy {name} beside {self.path.name}",
        )  # fmt: skip

    def channels(self, warnings: list[str]) -> tuple[pd.DataFrame, dict[str, str]]:
        """Channel table (positions in m, right-front-up) and what was renamed."""
        locs = _struct_array(self.group.get("chanlocs"))
        labels = [str(v) for v in locs.get("labels", [])] or [f"EEG {i:03d}" for i in range(self.n_channels)]
        if len(labels) != self.n_channels:
            raise UnreadableError(f"{self.path}: {len(labels)} channel locations for {self.n_channels} channels")
        if "labels" not in locs:
            warnings.append(f"{self.path.name} has no channel names: they are called EEG 000, EEG 001, ...")
        names, renamed = unique_names(labels)
        kinds = [_TYPES.get(str(t).upper(), "eeg") for t in locs.get("type", [""] * self.n_channels)]
        x, y, z = (np.array([_float(v) for v in locs.get(a, [np.nan] * self.n_channels)]) for a in "XYZ")
        place = np.stack([-y, x, z], axis=1) * 1e-3
        radius = np.linalg.norm(place[np.isfinite(place).all(axis=1)], axis=1)
        if len(radius) and not 0.04 <= np.median(radius) <= 0.2:
            warnings.append(
                f"{self.path.name}: channel positions were left out: taken as mm (EEGLAB's convention) the head's radius would be "
                f"{np.median(radius) * 1000:.3g} mm; give a montage, or positions with positions_unit"
            )
            place[:] = np.nan
        table = pd.DataFrame({"name": names, "type": kinds, "unit": ["n/a" if k == "stim" else "V" for k in kinds],
                              "x": place[:, 0], "y": place[:, 1], "z": place[:, 2]})  # fmt: skip
        if np.isfinite(place).any():
            table["coord_frame"] = 4
        return table, renamed

    def events(self) -> pd.DataFrame:
        """Events of a continuous set: onset in s, every other field as a column."""
        fields = _struct_array(self.group.get("event"))
        if "latency" not in fields:
            return pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
        onset = (np.array([_float(v) for v in fields["latency"]]) - 1.0) / self.sfreq
        duration = [_float(v) for v in fields.get("duration", [0.0] * len(onset))]
        events = pd.DataFrame({"onset": onset, "duration": np.nan_to_num(duration) / self.sfreq})
        events["trial_type"] = np.array([_label(v) for v in fields.get("type", ["event"] * len(onset))], dtype=object)
        for name in sorted(set(fields) - {"latency", "duration", "type"}):
            events[name] = [v if not isinstance(v, np.ndarray) else v.tolist() for v in fields[name]]
        return events

    def trials(self) -> pd.DataFrame:
        """One row an epoch: the type and the fields of the event nearest to time 0."""
        fields = _struct_array(self.group.get("event"))
        if "latency" not in fields or "epoch" not in fields:
            return pd.DataFrame({"trial_type": ["epoch"] * self.n_trials, "duration": 0.0})
        latency = np.array([_float(v) for v in fields["latency"]]) - 1.0
        epoch = np.array([_float(v) for v in fields["epoch"]]).astype(int) - 1
        inside = (latency - epoch * self.n_times) / self.sfreq + self.tmin  # s from the event at 0
        rows = []
        for number in range(self.n_trials):
            mine = np.flatnonzero(epoch == number)
            if not len(mine):
                raise UnreadableError(
                    f"{self.path}: epoch {number + 1} has no event", fix="save the data set again in EEGLAB"
                )
            best = mine[np.argmin(np.abs(inside[mine]))]
            row: dict[str, Any] = {"trial_type": _label(fields["type"][best]), "duration": 0.0}
            row.update({k: fields[k][best] for k in fields if k not in ("type", "latency", "duration", "epoch")})
            rows.append(row)
        return pd.DataFrame(rows)


class _TransposedHDF5(Signal):
    """A chunked dataset stored (time, channel) or (trial, time, channel), read as (channel, time)."""

    slow = True

    def __init__(self, path: Path, name: str, shape: tuple[int, int]) -> None:
        self.path, self.name, self.shape = str(path), name, shape

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        data = self.__dict__.get("_open_data")
        if data is None:
            data = self._open_data = h5py.File(self.path, "r")[self.name]
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        if data.ndim == 2:
            block = data[start:stop]
        else:
            n_times = data.shape[1]
            first, last = start // n_times, -(-stop // n_times)
            block = data[first:last].reshape(-1, self.shape[0])[start - first * n_times : stop - first * n_times]
        return block.T[channels]


def _struct_array(group: Any) -> dict[str, list[Any]]:
    """Fields of a MATLAB struct (array) as lists, one value an element."""
    if not isinstance(group, h5py.Group):
        return {}
    out: dict[str, list[Any]] = {}
    for name, item in group.items():
        if not isinstance(item, h5py.Dataset):
            continue
        if item.dtype == h5py.ref_dtype:
            out[name] = [_value(group.file[ref]) for ref in np.ravel(item[()])]
        else:
            out[name] = [_value(item)]  # a struct array of one element stores its values directly
    return out


def _value(item: Any) -> Any:
    if not isinstance(item, h5py.Dataset) or _empty(item):
        return ""
    if item.attrs.get("MATLAB_class", b"").decode() == "char":
        return _text(item)
    values = np.ravel(item[()])
    return values[0].item() if values.size == 1 and values.dtype != h5py.ref_dtype else values


def _text(item: Any) -> str:
    return "".join(chr(int(c)) for c in np.ravel(item[()].T, order="F")) if not _empty(item) else ""


def _empty(item: Any) -> bool:
    return bool(item.attrs.get("MATLAB_empty", 0))


def _float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else np.nan


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def count_trials(path: Path) -> int:
    """Return the number of epochs of a .set file of any version; 1 for one that cannot be read."""
    try:
        if is_hdf5(path):
            return _Structure(path).n_trials
        import scipy.io

        names = [n for n, _, _ in scipy.io.whosmat(path)]
        wanted = ["trials"] if "trials" in names else ["EEG"]
        stored = scipy.io.loadmat(path, variable_names=wanted, struct_as_record=True, squeeze_me=True)
        value = stored["trials"] if "trials" in stored else stored["EEG"]["trials"]
        return int(np.ravel(np.asarray(value.item() if hasattr(value, "item") else value))[0])
    except Exception:  # damaged files are explained by the reader
        return 1
