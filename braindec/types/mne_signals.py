"""Signals that mne reads from disk: continuous files and epochs files, opened once in each process."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindec.errors import BraindecError
from braindec.types.signals import Signal

if TYPE_CHECKING:
    import mne


@contextmanager
def quiet_mne() -> Iterator[list[str]]:
    """Keep mne silent; the list that is given holds its warnings, one line each, when the block ends."""
    import mne

    said: list[str] = []
    with (
        warnings.catch_warnings(record=True) as caught,
        mne.utils.use_log_level("WARNING"),  # at ERROR mne would not even issue its warnings
        mne.utils.catch_logging(),
        redirect_stdout(io.StringIO()),  # one reader prints
    ):
        warnings.simplefilter("always")
        try:
            yield said
        finally:
            skipped = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)
            texts = [" ".join(str(w.message).split()) for w in caught if not issubclass(w.category, skipped)]
            said.extend(dict.fromkeys(texts))


class MneSignal(Signal):
    """The samples of a continuous file that mne reads, in SI units, as float64 of (channel, time).

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Not preloaded; kept as the handle of this process.
    path : str or Path, optional
        The file to open again in another process; the first file of ``raw`` by default.
    options : dict, optional
        Named options of ``mne.io.read_raw`` that ``raw`` was opened with.
    whole : bool
        Read the file once, as a whole, and keep it in memory: for files that cannot be read in pieces.

    Notes
    -----
    Pickles as path + options + names of the channels. A raw that was cropped or reordered is found again in its file by
    first sample and channel names; any other change in memory is refused when the file is opened again.
    """

    slow = True
    dtype = np.dtype(np.float64)

    def __init__(
        self,
        raw: mne.io.BaseRaw,
        *,
        path: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
        whole: bool = False,
    ) -> None:
        self.whole = whole
        self.path = str(path if path is not None else file_of(raw))
        self.options = dict(options or {})
        self.names, self.first = list(raw.ch_names), int(raw.first_samp)
        self.projected = bool(raw.info["projs"]) and raw.proj
        self.shape = (len(raw.ch_names), int(raw.n_times))
        self._open_raw = raw
        self._open_offset = 0

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        rows = np.arange(self.shape[0])[channels]
        if stop <= start or not len(rows):
            return np.zeros((len(rows), max(0, stop - start)))
        raw = self._raw()
        wanted = np.unique(rows)  # mne's readers want rising rows
        block = raw[wanted, start + self._open_offset : stop + self._open_offset][0]
        if block.shape[1] != stop - start:
            raise BraindecError(
                f"{self.path} ended early", found=f"{block.shape[1]} of {stop - start} samples from sample {start}",
                fix="the file was cut short: copy it again",
            )  # fmt: skip
        return block if np.array_equal(wanted, rows) else block[np.searchsorted(wanted, rows)]

    def _raw(self) -> mne.io.BaseRaw:
        if self.__dict__.get("_open_raw") is None:
            self._open_raw, self._open_offset = self._reopen()
        if self.whole and not self._open_raw.preload:
            with quiet_mne():
                self._open_raw.load_data()
        return self._open_raw

    def _reopen(self) -> tuple[mne.io.BaseRaw, int]:
        import mne

        with quiet_mne():
            raw = mne.io.read_raw(self.path, preload=False, **self.options)
            if raw.ch_names != self.names and set(self.names) <= set(raw.ch_names):
                raw.pick(self.names)
            if self.projected:
                raw.apply_proj()
        offset = self.first - int(raw.first_samp)
        if raw.ch_names != self.names or offset < 0 or offset + self.shape[1] > raw.n_times:
            raise BraindecError(
                f"{self.path} is not what it was when it was opened",
                found=f"{len(raw.ch_names)} channels x {raw.n_times} samples, expected {self.shape}",
                fix="the file changed, or the raw object was changed in memory: save it first (recording.save('name.h5'))",
            )
        return raw, offset


class EpochsSignal(Signal):
    """The windows of an epochs or evoked file laid end to end as one signal of (channel, window x time), float64.

    Parameters
    ----------
    path : str or Path
        The file.
    kind : {"epochs", "epochs_eeglab", "evoked"}
        How mne reads it.
    shape : tuple of int
        (n_windows, n_channels, n_times).
    options : dict, optional
        Named options of mne's reading function.
    opened : mne.BaseEpochs or array of shape (n_windows, n_channels, n_times), optional
        What this process has opened already.
    """

    slow = True
    dtype = np.dtype(np.float64)

    def __init__(
        self,
        path: str | Path,
        kind: str,
        shape: tuple[int, int, int],
        options: Mapping[str, Any] | None = None,
        opened: Any = None,
    ) -> None:
        self.path, self.kind, self.options = str(path), kind, dict(options or {})
        self.n_windows, n_channels, self.n_times = shape
        self.shape = (n_channels, self.n_windows * self.n_times)
        self._open_source = opened

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        first, last = start // self.n_times, max(-(-stop // self.n_times), start // self.n_times)
        block = self._block(first, last)[:, channels].swapaxes(0, 1)  # (channel, window, time)
        flat = block.reshape(block.shape[0], -1)
        return flat[:, start - first * self.n_times : stop - first * self.n_times]

    def _block(self, first: int, last: int) -> np.ndarray:
        source = self.__dict__.get("_open_source")
        if source is None:
            with quiet_mne():
                source = self._open_source = open_windows(str(self.path), self.kind, self.options)
        if isinstance(source, np.ndarray):
            return source[first:last]
        if last <= first:
            return np.zeros((0, self.shape[0], self.n_times))
        return source[first:last].get_data(copy=False, verbose="ERROR")


def file_of(raw: mne.io.BaseRaw) -> str | None:
    """Return the path that ``mne.io.read_raw`` opens ``raw`` with (a header or a folder), or None for memory."""
    opened = getattr(raw, "_init_kwargs", {})  # ``filenames`` names the file of samples, which read_raw refuses
    given = [opened[k] for k in ("fname", "input_fname", "vhdr_fname", "directory", "header_fname") if opened.get(k)]
    names = [f for f in (*given, *raw.filenames) if isinstance(f, (str, Path))]
    return str(names[0]) if names else None


def open_windows(path: str, kind: str, options: Mapping[str, Any]) -> Any:
    """Open a file of windows: an ``mne.BaseEpochs`` (read piece by piece) or an array (window, channel, time)."""
    import mne

    if kind == "epochs":
        return mne.read_epochs(path, preload=False, verbose="ERROR", **options)
    if kind == "epochs_eeglab":
        return mne.read_epochs_eeglab(path, verbose="ERROR", **options)
    if kind == "evoked":
        return np.stack([e.data for e in mne.read_evokeds(path, verbose="ERROR", **options)])
    raise BraindecError(f"there is no kind of windows file called {kind!r}", allowed="epochs, epochs_eeglab, evoked")
