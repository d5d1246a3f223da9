"""To and from mne: recordings and windows keep names, types, positions, coils, bad channels, events and metadata.

SI units as mne has them. The channel table gains the columns ``coil_type``, ``coord_frame`` (FIFF numbers) and ``loc``
(12 numbers: position, and for coils the orientation), so that sensors come back as they were; ``x``, ``y``, ``z`` win over
``loc`` when they were changed. ``info`` gains ``line_freq``, ``dev_head_t``, ``dig``, ``highpass``, ``lowpass``,
``meas_date``. Not kept: projectors that were not applied, CTF compensation matrices, the history of processing.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types.mne_signals import MneSignal, file_of, quiet_mne
from braindec.types.recording import Recording
from braindec.types.signals import ArraySignal, Signal, StackedSignal
from braindec.types.windows import Windows

if TYPE_CHECKING:
    import mne

_HEAD = 4  # FIFFV_COORD_HEAD
_UNITS = {107: "V", 112: "T", 201: "T/m", 6: "mol", 114: "S", 115: "degC", 4: "rad", 202: "A.m"}
_FIDUCIALS = {1: "lpa", 2: "nasion", 3: "rpa"}


def recording_from_mne(raw: mne.io.BaseRaw, *, signal: Signal | None = None, **info: Any) -> Recording:
    """Make a :class:`Recording` of an ``mne.io.Raw``.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        A raw that is not preloaded stays on disk; a preloaded one is used without a copy.
    signal : Signal, optional
        The samples, when the caller has a better source of them than ``raw``.
    **info
        dataset, subject, session, ... of the recording.

    Returns
    -------
    Recording
        Annotations are its events: onset in s from the first sample, ``trial_type`` = description, extras as columns.
    """
    if signal is None:
        signal = ArraySignal(raw[:, :][0]) if raw.preload else MneSignal(raw, whole=_several_rates(raw))
    channels = channel_table(raw.info)
    about = {"path": file_of(raw), "modality": modality_of(channels["type"]), **_plain_info(raw.info), **info}
    return Recording(signal, raw.info["sfreq"], channels, _events_of(raw), about)


def recording_to_mne(recording: Recording) -> mne.io.RawArray:
    """Return an ``mne.io.RawArray`` with positions, bad channels, and events as annotations.

    Channel types that mne does not know ("voxel", "parcel", "unit") become "misc".
    """
    import mne

    with quiet_mne():
        raw = mne.io.RawArray(np.asarray(recording.load(), dtype=np.float64), mne_info(recording), copy=None)
        if recording.info.get("meas_date"):
            raw.set_meas_date(datetime.datetime.fromisoformat(recording.info["meas_date"]))
        if len(recording.events):
            raw.set_annotations(_annotations(recording.events))
    return raw


def windows_from_mne(
    epochs: mne.BaseEpochs, *, event_sfreq: float | None = None, signal: Signal | None = None, **info: Any
) -> Windows:
    """Make :class:`Windows` of ``mne.Epochs``.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        Its event names become ``trial_type``; its metadata becomes columns of ``trials``.
    event_sfreq : float, optional
        Sampling frequency (Hz) of the recording that the event samples count. Epochs do not say it (it differs from
        ``epochs.info["sfreq"]`` after decimation or resampling): without it ``trials`` has the column ``sample``, in order
        of time, and no ``onset``.
    signal : Signal, optional
        Windows laid end to end; by default the data of ``epochs``, in memory.
    **info
        dataset, subject, session, run, ... of the recording.
    """
    if signal is None:
        with quiet_mne():
            signal = StackedSignal(epochs.get_data(copy=False))
    n_windows, n_times = len(epochs.events), len(epochs.times)
    channels = channel_table(epochs.info)
    about = {"modality": modality_of(channels["type"]), **_plain_info(epochs.info), **info}
    recording = Recording(signal, epochs.info["sfreq"], channels, info=about)
    trials = pd.DataFrame({"sample": epochs.events[:, 0].astype(np.int64)})
    if event_sfreq is not None:
        trials["onset"] = trials["sample"] / float(event_sfreq)
    trials["duration"] = 0.0
    names = {int(code): name for name, code in epochs.event_id.items()}
    trials["trial_type"] = [names.get(int(c), str(int(c))) for c in epochs.events[:, 2]]
    for key in ("subject", "session", "run", "task"):
        if info.get(key) is not None:
            trials[key] = str(info[key])
    if epochs.metadata is not None:
        trials = _join_metadata(trials, epochs.metadata.reset_index(drop=True))
    index = np.stack([np.zeros(n_windows, np.int64), np.arange(n_windows) * n_times], axis=1)
    return Windows((recording,), index, n_times, trials, float(epochs.tmin))


def windows_to_mne(windows: Windows) -> mne.EpochsArray:
    """Return ``mne.EpochsArray`` with positions, event names (``trial_type``) and the trial table as metadata."""
    import mne

    trials = windows.trials
    names = trials["trial_type"].astype(str) if "trial_type" in trials else pd.Series(["window"] * len(trials))
    event_id = {name: code for code, name in enumerate(sorted(names.unique()), start=1)}
    samples = np.arange(len(trials)) * windows.n_times
    for column, scale in (("sample", 1.0), ("onset", windows.sfreq)):
        if column in trials and pd.api.types.is_numeric_dtype(trials[column]):
            given = np.round(trials[column].to_numpy(dtype=float) * scale)
            if np.isfinite(given).all() and len(np.unique(given)) == len(given):  # mne wants every sample once
                samples = given.astype(np.int64)
                break
    events = np.stack([samples, np.zeros_like(samples), [event_id[n] for n in names]], axis=1).astype(np.int64)
    with quiet_mne():
        info = mne_info(windows.recordings[0])
        data = windows.load(check=False).astype(np.float64)
        return mne.EpochsArray(data, info, events, tmin=windows.tmin, event_id=event_id, metadata=trials, proj=False)


def channel_table(info: mne.Info) -> pd.DataFrame:
    """Return the channel table of an ``mne.Info``, positions in m in the frame ``coord_frame``."""
    kinds = info.get_channel_types(unique=False)
    bads = set(info["bads"])
    loc = np.array([np.asarray(c["loc"], dtype=float)[:12] for c in info["chs"]]).reshape(-1, 12)
    unknown = ~np.isfinite(loc[:, :3]).all(axis=1) | (loc[:, :3] == 0).all(axis=1)
    place = np.where(unknown[:, None], np.nan, loc[:, :3])
    return pd.DataFrame({
        "name": info["ch_names"],
        "type": kinds,
        "unit": ["n/a" if k == "stim" else _UNITS.get(int(c["unit"]), "n/a") for k, c in zip(kinds, info["chs"], strict=True)],
        "x": place[:, 0], "y": place[:, 1], "z": place[:, 2],
        "status": ["bad" if n in bads else "good" for n in info["ch_names"]],
        "coil_type": [int(c["coil_type"]) for c in info["chs"]],
        "coord_frame": [int(c["coord_frame"]) for c in info["chs"]],
        "loc": [row.tolist() for row in loc],
    })  # fmt: skip


def mne_info(recording: Recording) -> mne.Info:
    """Return the ``mne.Info`` of a recording: types, positions, coils, bad channels, fiducials, device transform."""
    import mne

    table, about = recording.channels, recording.info
    known = set(mne.io.get_channel_type_constants(include_defaults=True))
    kinds = [k if k in known else "misc" for k in table["type"]]
    info = mne.create_info(recording.ch_names, recording.sfreq, kinds, verbose="ERROR")
    units = {name: code for code, name in _UNITS.items()}
    for row, (channel, kind) in enumerate(zip(info["chs"], kinds, strict=True)):
        _place(channel, table.iloc[row])
        if kind != "stim" and table["unit"].iloc[row] in units:
            channel["unit"] = units[table["unit"].iloc[row]]
    info["bads"] = [n for n, s in zip(recording.ch_names, table["status"], strict=True) if s == "bad"]
    if about.get("line_freq"):
        info["line_freq"] = float(about["line_freq"])
    if about.get("dev_head_t") is not None:
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.asarray(about["dev_head_t"], dtype=float))
    with info._unlock():  # the only way that mne has to set these
        info["dig"] = _digitized(recording, info)
        for key in ("highpass", "lowpass"):
            if about.get(key) is not None and about[key] <= recording.sfreq / 2:
                info[key] = float(about[key])
    return info


def modality_of(kinds: Any) -> str:
    """Return "meg", "ieeg", "fnirs", "eeg" or "misc" from channel types."""
    have = set(kinds)
    for modality, types in (
        ("meg", {"mag", "grad"}), ("ieeg", {"ecog", "seeg", "dbs"}),
        ("fnirs", {"fnirs_cw_amplitude", "fnirs_od", "hbo", "hbr", "fnirs_fd_ac_amplitude", "fnirs_fd_phase"}), ("eeg", {"eeg"}),
    ):  # fmt: skip
        if have & types:
            return modality
    return "misc"


def _place(channel: dict, row: pd.Series) -> None:
    loc = row.get("loc")
    place = row[["x", "y", "z"]].to_numpy(dtype=float)
    known = np.isfinite(place).all()
    if isinstance(loc, (list, tuple, np.ndarray)) and len(loc) == 12:
        channel["loc"] = np.array([np.nan if v is None else v for v in loc], dtype=float)
        channel["coord_frame"] = int(row["coord_frame"])
        channel["coil_type"] = int(row["coil_type"])
    elif known:
        frame = row.get("coord_frame")
        channel["loc"] = np.r_[place, np.zeros(3), np.full(6, np.nan)]
        channel["coord_frame"] = int(frame) if frame is not None and np.isfinite(frame) else _HEAD
    if known:
        channel["loc"][:3] = place


def _digitized(recording: Recording, info: mne.Info) -> list | None:
    """Fiducials, coils, head shape and electrodes as mne's list, so that montages and plots work."""
    import mne

    stored = recording.info.get("dig") or {}
    points = {k: np.asarray(stored[k], float) for k in ("nasion", "lpa", "rpa", "hpi", "hsp") if stored.get(k)}
    kinds = info.get_channel_types(unique=False)
    electrodes = {
        c["ch_name"]: c["loc"][:3]
        for c, kind in zip(info["chs"], kinds, strict=True)
        if kind in ("eeg", "ecog", "seeg", "dbs") and c["coord_frame"] == _HEAD and np.isfinite(c["loc"][:3]).all()
        and c["loc"][:3].any()
    }  # fmt: skip
    if not points and not electrodes:
        return None
    names = list(electrodes) or ["none"]
    scratch = mne.create_info(names, 1.0, "eeg", verbose="ERROR")
    montage = mne.channels.make_dig_montage(ch_pos=electrodes or None, coord_frame="head", **points)
    scratch.set_montage(montage, on_missing="ignore", verbose="ERROR")
    return scratch["dig"]


def _several_rates(raw: mne.io.BaseRaw) -> bool:
    """Say whether channels of an EDF file differ in rate: mne then interpolates each piece that is read by itself."""
    if type(raw).__name__ not in ("RawEDF", "RawBDF", "RawGDF"):
        return False
    with quiet_mne() as said:
        raw[:, : min(raw.n_times, int(2 * raw.info["sfreq"]))]
    return any("mixed sampling frequencies" in text for text in said)


def _plain_info(info: mne.Info) -> dict[str, Any]:
    about: dict[str, Any] = {
        "line_freq": info["line_freq"], "highpass": float(info["highpass"]), "lowpass": float(info["lowpass"])
    }  # fmt: skip
    if info["dev_head_t"] is not None:
        about["dev_head_t"] = np.asarray(info["dev_head_t"]["trans"], dtype=float).tolist()
    if info["meas_date"] is not None:
        about["meas_date"] = info["meas_date"].isoformat()
    dig: dict[str, Any] = {}
    for point in info["dig"] or []:
        if int(point["coord_frame"]) != _HEAD:
            continue
        place = [float(v) for v in point["r"]]
        if int(point["kind"]) == 1 and int(point["ident"]) in _FIDUCIALS:
            dig[_FIDUCIALS[int(point["ident"])]] = place
        elif int(point["kind"]) in (2, 4):
            dig.setdefault("hpi" if int(point["kind"]) == 2 else "hsp", []).append(place)
    return {**about, "dig": dig} if dig else about


def _events_of(raw: mne.io.BaseRaw) -> pd.DataFrame:
    notes = raw.annotations
    events = pd.DataFrame({
        "onset": np.asarray(notes.onset, dtype=float) - raw.first_time,  # mne counts from the start of the measurement
        "duration": np.asarray(notes.duration, dtype=float),
        "trial_type": np.asarray([str(d) for d in notes.description], dtype=object),
    })  # fmt: skip
    extras = pd.DataFrame([dict(e) for e in (getattr(notes, "extras", None) or [])])
    if len(extras) == len(events):
        for column in extras:
            if column not in events:
                events[column] = extras[column]
    if any(len(c) for c in notes.ch_names):
        events["ch_names"] = [list(c) for c in notes.ch_names]
    return events


def _annotations(events: pd.DataFrame) -> mne.Annotations:
    import mne

    extra = [c for c in events if c not in ("onset", "duration", "trial_type", "ch_names")]
    extras = [
        {str(c): _plain(v) for c, v in zip(extra, row, strict=True)} for row in events[extra].itertuples(index=False)
    ]
    kinds = events["trial_type"].fillna("n/a").astype(str) if "trial_type" in events else ["event"] * len(events)
    return mne.Annotations(
        events["onset"].to_numpy(dtype=float),
        np.nan_to_num(events["duration"].to_numpy(dtype=float)),
        list(kinds),
        ch_names=list(events["ch_names"]) if "ch_names" in events else None,
        extras=extras if extra else None,
    )


def _plain(value: Any) -> str | int | float | None:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, (str, int, float)) else str(value)


def _join_metadata(trials: pd.DataFrame, metadata: pd.DataFrame) -> pd.DataFrame:
    """Columns of the metadata win, except ``trial_type``: another one there becomes ``metadata_trial_type``."""
    if len(metadata) != len(trials):
        raise BraindecError("epochs and their metadata differ in number", found=f"{len(trials)} and {len(metadata)}")
    for column in metadata:
        name = str(column)
        if name == "trial_type" and list(metadata[column].astype(str)) != list(trials["trial_type"]):
            name = "metadata_trial_type"
        trials[name] = metadata[column].to_numpy()
    return trials
