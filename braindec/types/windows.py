"""Windows: equally long pieces of one or more recordings, with one row of a table for each; read lazily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types.recording import Recording
from braindec.types.signals import StackedSignal

if TYPE_CHECKING:
    import mne

_BLOCK = 16_000_000  # numbers that are read together at most
_MERGE = 1.25  # windows of slow sources are read together while the span is at most this many times what is used


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one length, cut from recordings that share channels and sampling frequency.

    Parameters
    ----------
    recordings : sequence of Recording
        Where the windows are.
    index : array of int, shape (n_windows, 2)
        (recording, first sample) of each window.
    n_times : int
        Samples a window.
    trials : DataFrame
        One row a window: subject, session, run, onset, duration, stimulus_id, concept_id, repetition, ... and
        ``window_id``, a stable readable name that is filled in when it is missing.
    tmin : float
        Time in s of the first sample relative to the event's onset.

    Raises
    ------
    BraindecError
        If recordings differ in channels or sampling frequency, or a window leaves its recording.
    """

    recordings: tuple[Recording, ...]
    index: np.ndarray
    n_times: int
    trials: pd.DataFrame
    tmin: float = 0.0
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "recordings", tuple(self.recordings))
        index = np.asarray(self.index, dtype=np.int64).reshape(-1, 2)
        object.__setattr__(self, "index", index)
        trials = self.trials.reset_index(drop=True)
        if len(trials) != len(index):
            raise BraindecError(
                "windows and trials differ in number", found=f"{len(index)} windows, {len(trials)} trials"
            )
        if not self.recordings:
            raise BraindecError("windows need at least one recording", found="none")
        check_same_channels(self.recordings)
        self._check_inside(index)
        if "window_id" not in trials:
            labels = _unique_labels(self.recordings)
            ids = [f"{labels[r]}@{s}" for r, s in index]
            trials = trials.assign(window_id=np.array(ids, dtype=object))
        object.__setattr__(self, "trials", trials)

    def _check_inside(self, index: np.ndarray) -> None:
        if not len(index):
            return
        if index[:, 0].min() < 0 or index[:, 0].max() >= len(self.recordings):
            raise BraindecError("a window names a recording that is not there", found=f"0 to {index[:, 0].max()}")
        lengths = np.array([r.n_times for r in self.recordings])[index[:, 0]]
        outside = (index[:, 1] < 0) | (index[:, 1] + self.n_times > lengths)
        if outside.any():
            bad = int(np.flatnonzero(outside)[0])
            recording = self.recordings[index[bad, 0]]
            raise BraindecError(
                f"{int(outside.sum())} of {len(index)} windows leave their recording",
                found=f"window {bad}: samples {index[bad, 1]} to {index[bad, 1] + self.n_times} of "
                f"{recording.label}, which has {recording.n_times}",
                fix="make windows with braindec.make_windows, which drops such events and says so, or use a shorter window",
            )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def sfreq(self) -> float:
        """Sampling frequency in Hz."""
        return self.recordings[0].sfreq

    @property
    def channels(self) -> pd.DataFrame:
        """Channel table of the first recording (all share names and order)."""
        return self.recordings[0].channels

    @property
    def ch_names(self) -> list[str]:
        """Names of the channels in order."""
        return self.recordings[0].ch_names

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.recordings[0].n_channels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_windows, n_channels, n_times)."""
        return len(self), self.n_channels, self.n_times

    @property
    def times(self) -> np.ndarray:
        """Time of each sample in s relative to onset, shape (n_times,)."""
        return self.tmin + np.arange(self.n_times) / self.sfreq

    @property
    def ids(self) -> np.ndarray:
        """The stable name of each window, shape (n_windows,)."""
        return self.trials["window_id"].to_numpy(dtype=object)

    @property
    def modality(self) -> str | None:
        """Modality of the first recording."""
        return self.recordings[0].info.get("modality")

    def __getitem__(self, rows: Any) -> Windows:
        """Return the windows of ``rows`` (slice, mask, or numbers in any order) without reading any data."""
        kept = np.atleast_1d(np.arange(len(self))[rows])
        return replace(self, index=self.index[kept], trials=self.trials.iloc[kept])

    def load(self, rows: Any = None, *, check: bool = True, out: np.ndarray | None = None) -> np.ndarray:
        """Read windows from disk.

        Parameters
        ----------
        rows : slice, mask or array of int, optional
            Which windows, in any order and as often as wanted; all of them by default.
        check : bool
            Raise when a value is not finite.
        out : array of shape (n_windows, n_channels, n_times), float32, optional
            Filled and returned instead of a new array.

        Returns
        -------
        array of shape (n_windows, n_channels, n_times), float32

        Raises
        ------
        BraindecError
            If a value is NaN or infinite; the message names the windows and channels.
        """
        kept = np.arange(len(self)) if rows is None else np.atleast_1d(np.arange(len(self))[rows])
        shape = (len(kept), self.n_channels, self.n_times)
        if out is None:
            out = np.empty(shape, dtype=np.float32)
        elif out.shape != shape or out.dtype != np.float32:
            raise BraindecError("out does not fit", found=f"{out.dtype} {out.shape}", allowed=f"float32 {shape}")
        finite = True
        with np.errstate(over="ignore", invalid="ignore"):
            for number in np.unique(self.index[kept, 0]):
                places = np.flatnonzero(self.index[kept, 0] == number)
                finite &= self._read(int(number), places, self.index[kept[places], 1], out)
        if check and not finite and not np.isfinite(out).all():
            self._refuse_nan(out, kept)
        return out

    def _read(self, number: int, places: np.ndarray, starts: np.ndarray, out: np.ndarray) -> bool:
        """Fill ``out[places]``; True when the sum of squares is finite, and so is every value."""
        signal, n_times = self.recordings[number].signal, self.n_times
        power = 0.0
        if not signal.slow:
            for place, start in zip(places.tolist(), starts.tolist(), strict=True):
                window = out[place]
                window[...] = signal.read(slice(None), start, start + n_times)
                if not signal.finite:
                    flat = window.reshape(-1)
                    power += float(np.dot(flat, flat))  # while the window is in the processor's cache
            return bool(np.isfinite(power))
        order = np.argsort(starts, kind="stable")  # sources that decode a file: neighbours are read together
        first = 0
        while first < len(order):
            last = first + 1
            begin, longest = starts[order[first]], max(n_times, _BLOCK // max(1, self.n_channels))
            while last < len(order):
                span = starts[order[last]] + n_times - begin
                if span > longest or span > _MERGE * n_times * (last + 1 - first):
                    break
                last += 1
            end = starts[order[last - 1]] + n_times
            block = signal.read(slice(None), int(begin), int(end))
            for k in order[first:last]:
                window = out[places[k]]
                window[...] = block[:, starts[k] - begin : starts[k] - begin + n_times]
                flat = window.reshape(-1)
                power += float(np.dot(flat, flat))
            first = last
        return bool(np.isfinite(power))

    def _refuse_nan(self, out: np.ndarray, kept: np.ndarray) -> None:
        bad = ~np.isfinite(out).all(axis=2)  # (window, channel)
        windows, channels = np.flatnonzero(bad.any(axis=1)), np.flatnonzero(bad.any(axis=0))
        names = [self.ch_names[c] for c in channels]
        raise BraindecError(
            f"{len(windows)} of {len(kept)} windows hold values that are not finite (NaN or infinite)",
            found=f"channels {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}; first window "
            f"{self.ids[kept[windows[0]]]}",
            fix="mark these channels bad (channels.tsv: status = bad) or leave these runs out",
        )

    def features(self, rows: Any = None) -> np.ndarray:
        """Read windows as rows of numbers, shape (n_windows, n_channels * n_times), float32."""
        data = self.load(rows)
        return data.reshape(len(data), -1)

    def crop(self, tmin: float | None = None, tmax: float | None = None) -> Windows:
        """Return a span of every window, ``tmin`` to ``tmax`` s relative to onset (end not included); nothing is read.

        Raises
        ------
        BraindecError
            If the span is not inside the windows.
        """
        first = 0 if tmin is None else round((tmin - self.tmin) * self.sfreq)
        last = self.n_times if tmax is None else round((tmax - self.tmin) * self.sfreq)
        if not 0 <= first < last <= self.n_times:
            end = self.tmin + self.n_times / self.sfreq
            raise BraindecError(
                f"windows have no span from {tmin} to {tmax} s", found=f"{self.tmin:.4g} to {end:.4g} s"
            )
        index = self.index + np.array([0, first])
        return replace(self, index=index, n_times=last - first, tmin=self.tmin + first / self.sfreq)

    def with_trials(self, trials: pd.DataFrame | None = None, **columns: Any) -> Windows:
        """Return a copy with another trial table, or with columns added."""
        table = (self.trials if trials is None else trials).reset_index(drop=True).assign(**columns)
        if "window_id" not in table:
            table["window_id"] = self.ids
        return replace(self, trials=table)

    @staticmethod
    def concat(windows: Sequence[Windows]) -> Windows:
        """Join windows of several subjects, sessions or runs; nothing is read.

        Raises
        ------
        BraindecError
            If lengths, sampling frequencies or channels differ.
        """
        windows = [w for w in windows if len(w)]
        if not windows:
            raise BraindecError("no windows to join", found="all parts are empty")
        lengths = sorted({(w.n_times, round(w.tmin, 6)) for w in windows})
        if len(lengths) > 1:
            raise BraindecError(
                "windows of different length or start cannot be joined", found=f"(n_times, tmin) {lengths}"
            )
        recordings: list[Recording] = []
        indices: list[np.ndarray] = []
        for part in windows:
            indices.append(part.index + np.array([len(recordings), 0]))
            recordings.extend(part.recordings)
        trials = pd.concat(_unique_ids(windows), ignore_index=True)
        first = windows[0]
        return Windows(tuple(recordings), np.concatenate(indices), first.n_times, trials, first.tmin, first.info)

    @staticmethod
    def from_arrays(
        X: np.ndarray,
        trials: pd.DataFrame | Mapping[str, Any],
        *,
        sfreq: float,
        channels: pd.DataFrame | Sequence[str] | None = None,
        tmin: float = 0.0,
        unit: str = "n/a",
        modality: str | None = None,
        **info: Any,
    ) -> Windows:
        """Make windows of an array that you already have; no copy, memory maps stay on disk.

        Parameters
        ----------
        X : array of shape (n_windows, n_channels, n_times)
            One window a trial.
        trials : DataFrame or dict of columns
            One row a window, e.g. ``{"trial_type": y, "run": run}``. Say ``run`` or ``onset`` when you know them:
            splits and the audit need them.
        sfreq : float
            Sampling frequency in Hz.
        channels : DataFrame or list of str, optional
            Channel table (see :class:`Recording`) or names; ``ch000``, ``ch001``, ... by default.
        tmin : float
            Time of the first sample relative to onset, s.
        unit : str
            Unit of ``X``, for labels; nothing is scaled.
        modality : str, optional
            "eeg", "meg", "ieeg", "fmri", ...
        **info
            dataset, subject, session, ... of the recording.

        Raises
        ------
        BraindecError
            If the shapes do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> X = np.zeros((6, 4, 100), dtype="float32")
        >>> w = Windows.from_arrays(X, {"trial_type": list("aabbab"), "run": [1, 1, 1, 2, 2, 2]}, sfreq=100.0)
        >>> w.shape
        (6, 4, 100)
        """
        if np.ndim(X) != 3:
            raise BraindecError(
                "X must be an array of (window, channel, time)", found=f"shape {np.shape(X)}",
                fix="for one value a channel use X[:, :, None]",
            )  # fmt: skip
        if np.asarray(X[:1]).dtype.kind not in "fiu":
            raise BraindecError("X must hold real numbers", found=f"dtype {np.asarray(X[:1]).dtype}")
        table = pd.DataFrame(trials).reset_index(drop=True)
        n_windows, n_channels, n_times = X.shape
        if len(table) != n_windows:
            raise BraindecError("X and trials differ in number", found=f"{n_windows} windows, {len(table)} trials")
        if not isinstance(channels, pd.DataFrame):
            given = list(channels) if channels is not None else [f"ch{i:03d}" for i in range(n_channels)]
            kind = modality if modality in ("eeg", "ecog", "seeg", "mag", "grad") else "misc"
            channels = pd.DataFrame({"name": given, "type": kind, "unit": unit})
        recording = Recording(StackedSignal(X), sfreq, channels, info={"modality": modality, **info})
        index = np.stack([np.zeros(n_windows, np.int64), np.arange(n_windows) * n_times], axis=1)
        for column in ("subject", "session"):
            if column not in table and info.get(column) is not None:
                table[column] = info[column]
        return Windows((recording,), index, n_times, table, tmin)

    @staticmethod
    def from_mne(epochs: mne.BaseEpochs, **info: Any) -> Windows:
        """Make windows of ``mne.Epochs``: positions, events and metadata are kept."""
        from braindec.types.mne_bridge import windows_from_mne

        return windows_from_mne(epochs, **info)

    def to_mne(self, rows: Any = None) -> mne.EpochsArray:
        """Return ``mne.EpochsArray`` with positions, events and the trial table as metadata."""
        from braindec.types.mne_bridge import windows_to_mne

        return windows_to_mne(self if rows is None else self[rows])

    def __repr__(self) -> str:
        n, c, t = self.shape
        return f"<Windows {n} x {c} channels x {t} samples at {self.sfreq:g} Hz, {len(self.recordings)} recordings>"


def check_same_channels(recordings: Sequence[Recording]) -> None:
    """Raise unless all recordings share sampling frequency and channel names in order.

    Raises
    ------
    BraindecError
        Names what differs and how to make them equal.
    """
    first = recordings[0]
    for other in recordings[1:]:
        if abs(other.sfreq - first.sfreq) > 1e-6 * first.sfreq:
            raise BraindecError(
                f"sampling frequencies differ: {first.label} and {other.label}",
                found=f"{first.sfreq:g} Hz and {other.sfreq:g} Hz",
                fix="resample them to one frequency: add the step {resample: {sfreq: ...}} to the signal steps",
            )
        if other.n_channels == first.n_channels and other.ch_names == first.ch_names:
            continue
        only_first = [c for c in first.ch_names if c not in set(other.ch_names)]
        only_other = [c for c in other.ch_names if c not in set(first.ch_names)]
        raise BraindecError(
            f"channel sets differ: {first.label} ({first.n_channels}) and {other.label} ({other.n_channels})",
            found=f"only in the first: {only_first[:8] or 'none'}; only in the second: {only_other[:8] or 'none'}"
            + ("; same channels in another order" if not only_first and not only_other else ""),
            fix="keep the common channels: braindec.signal.windows.common_channels(recordings) or the setting "
            "channels: common",
        )


def _unique_ids(windows: Sequence[Windows]) -> list[pd.DataFrame]:
    """Trial tables whose window_id differ where the recordings differ; one window that is there twice keeps its name."""
    tables: list[pd.DataFrame] = []
    seen: dict[str, set[int]] = {}  # name -> the recordings that have it
    for number, part in enumerate(windows):
        own = {id(r.signal) for r in part.recordings}
        taken = [name in seen and not seen[name] & own for name in part.ids]
        table = part.trials
        if any(taken):
            table = table.assign(window_id=np.array([f"{name}#{number}" for name in part.ids], dtype=object))
        for name in table["window_id"]:
            seen.setdefault(name, set()).update(own)
        tables.append(table)
    return tables


def _unique_labels(recordings: Sequence[Recording]) -> list[str]:
    labels = [r.label for r in recordings]
    return [label if labels.count(label) == 1 else f"{label}#{i}" for i, label in enumerate(labels)]
