"""Windows of several subjects and the segments that they heard: whose rows are whose, standardised targets, mixed batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from braindec.decoders._batches import content_part
from braindec.decoders._reading import WindowReader, column, spread_groups
from braindec.decoders._subject_training import padded
from braindec.decoders._subject_windows import subjects_of
from braindec.errors import BraindecError
from braindec.types import Segments, Windows

_CONTENT = ("content_id", "concept_id", "stimulus_id")
_FEWEST = 5  # contents that a validation part can be taken from
_FIT_ITEMS = 2000  # segments that mean and spread are taken from, spread evenly

__all__ = ["Heard", "SequenceBatches", "SequenceTargets", "divided", "joined_trials", "rows_by_subject"]

Heard = Windows | Sequence[Windows] | Mapping[str, Windows]


def rows_by_subject(windows: Heard) -> list[tuple[str, Windows, np.ndarray]]:
    """Return (subject, its windows, their rows among all windows in the order given)."""
    if isinstance(windows, Windows):
        whose = column(windows, "subject") if "subject" in windows.trials else np.full(len(windows), "0", dtype=object)
        rows = {str(s): np.flatnonzero(whose == s) for s in dict.fromkeys(whose)}
        return [(s, windows[r], r) for s, r in rows.items()]
    found, first = [], 0
    for name, part in subjects_of(windows).items():
        found.append((name, part, first + np.arange(len(part))))
        first += len(part)
    return found


def joined_trials(windows: Heard) -> pd.DataFrame:
    """The trials of all windows in the order given."""
    if isinstance(windows, Windows):
        return windows.trials
    return pd.concat([w.trials for w in subjects_of(windows).values()], ignore_index=True)


def divided(
    windows: Heard, validation: Heard | None, share: float | None
) -> tuple[dict[str, Windows], dict[str, Windows]]:
    """Training and validation windows of each subject; without given ones, a share of the contents, the same for all.

    Raises
    ------
    BraindecError
        If there are too few contents, or validation names a subject that is not trained.
    """
    parts = subjects_of(windows)
    if validation is not None:
        held = subjects_of(validation)
        strange = [s for s in held if s not in parts]
        if strange:
            raise BraindecError(
                f"validation has a subject {strange[0]!r} that is not trained", allowed=", ".join(parts)
            )
        return parts, held
    if share is None:
        return parts, {}
    contents = {s: spread_groups(w, _CONTENT) for s, w in parts.items()}
    everything = np.concatenate(list(contents.values()))
    if len(set(everything)) < _FEWEST:
        raise BraindecError(
            f"early stopping needs validation rows of other contents, and the training windows show {len(set(everything))}",
            allowed=f"at least {_FEWEST}", fix="pass validation=, or patience=None",
        )  # fmt: skip
    out = set(everything[content_part(everything, share)])
    masks = {s: np.array([c in out for c in own]) for s, own in contents.items()}
    bare = [s for s, m in masks.items() if m.all()]
    if bare:
        raise BraindecError(
            f"no window of subject {bare[0]!r} would be left to fit on", fix="a smaller validation_share"
        )
    return {s: parts[s][~m] for s, m in masks.items()}, {s: parts[s][m] for s, m in masks.items() if m.any()}


class SequenceTargets:
    """Segments less their mean over their spread, which are taken from training segments.

    Parameters
    ----------
    mean, scale : array of shape (1,) or (n_units,)
        One number for everything, or one a unit.
    """

    def __init__(self, mean: np.ndarray, scale: np.ndarray) -> None:
        self.mean, self.scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)

    @classmethod
    def fit(cls, segments: Segments, rows: np.ndarray, by: str) -> SequenceTargets:
        """Take mean and spread of the segments ``rows`` (each once); ``by`` is "global" or "unit"."""
        rows = np.unique(rows)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _FIT_ITEMS)).round().astype(int))]
        values = segments.load(rows).astype(np.float64)
        axes = (0, 2) if by == "unit" else None
        mean, scale = np.atleast_1d(values.mean(axis=axes)), np.atleast_1d(values.std(axis=axes))
        floor = 1e-12 * max(float(np.abs(values).max()), 1e-30)
        return cls(mean, np.where(scale > floor, scale, 1.0))

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """values (item, unit, time) -> the same shape, float32."""
        if values.ndim != 3 or len(self.mean) not in (1, values.shape[1]):
            raise BraindecError(
                "segments do not fit the decoder", found=f"shape {values.shape}", allowed=f"(n, {len(self.mean)}, time)"
            )
        return ((values - self.mean[:, None]) / self.scale[:, None]).astype(np.float32)


class SequenceBatches:
    """Batches of one epoch over the windows of all subjects, shuffled together.

    Parameters
    ----------
    parts : list of (int, Windows, WindowReader)
        Number of the subject, its windows, and the fitted transforms.
    segments : Segments
        Joined on ``stimulus_id``; windows of one segment share an id, so that they are never negatives of each other.
    targets : SequenceTargets
    n_chans : int
        Channels of a batch; subjects with fewer are filled with zeros.
    batch_size : int
    n_batches : int, optional
        Batches an epoch at most.
    sound : bool
        Give the targets to the model too, as ``sound``.
    ram_limit : float
        MiB that windows, and that targets, may take in memory; more are read batch by batch.
    """

    def __init__(
        self, parts: Sequence[tuple[int, Windows, WindowReader]], segments: Segments, targets: SequenceTargets, *, n_chans: int,
        batch_size: int = 128, n_batches: int | None = None, sound: bool = False, ram_limit: float = 1024.0,
    ) -> None:  # fmt: skip
        self.parts, self.segments, self.targets = list(parts), segments, targets
        self.n_chans, self.batch_size, self.n_batches, self.sound = n_chans, batch_size, n_batches, sound
        sizes = [len(w) for _, w, _ in self.parts]
        self.part = np.repeat(np.arange(len(sizes)), sizes)
        self.row = np.concatenate([np.arange(n) for n in sizes])
        self.items = np.concatenate([segments.rows_of(column(w, "stimulus_id")) for _, w, _ in self.parts])
        limit = ram_limit * 2**20
        fits = sum(4.0 * np.prod(w.shape, dtype=float) for _, w, _ in self.parts) <= limit
        self.memory = [self._whole(w, r) for _, w, r in self.parts] if fits else None
        self.kept: np.ndarray | None = None
        used = np.unique(self.items)
        if 4.0 * len(used) * np.prod(segments.shape[1:], dtype=float) <= limit:
            self.kept, self.place = targets.standardise(segments.load(used)), np.searchsorted(used, self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __call__(self, generator: torch.Generator) -> Iterator[dict[str, torch.Tensor]]:
        """Give the batches of one epoch; a last batch of a single window is left out."""
        order = torch.randperm(len(self), generator=generator).numpy()
        if self.n_batches is not None:
            order = order[: self.n_batches * self.batch_size]
        yield from self._in_turn(order, self.batch_size)

    def fixed(self, seed: int, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """Give batches of mixed subjects that are the same each time, for validation."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).numpy()
        yield from self._in_turn(order, size)

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Make the batch of some rows."""
        x, subject = (
            torch.empty((len(rows), self.n_chans, self.parts[0][1].n_times)),
            torch.empty(len(rows), dtype=torch.int64),
        )
        for number in np.unique(self.part[rows]):
            here = np.flatnonzero(self.part[rows] == number)
            code, windows, reader = self.parts[number]
            own = self.row[rows[here]]
            data = reader.read(windows, own) if self.memory is None else self.memory[number][own]
            x[here], subject[here] = padded(torch.from_numpy(data), self.n_chans), code
        y = torch.from_numpy(self._target(rows))
        made = {"x": x, "y": y, "ids": torch.from_numpy(self.items[rows].astype(np.int64)), "subject": subject}
        return {**made, "sound": y} if self.sound else made

    def fingerprint(self) -> str:
        """A hash that tells other data apart: names, and a few windows and targets as the model sees them."""
        names = [str(i) for _, w, _ in self.parts for i in w.ids]
        digest = hashlib.sha256("\n".join([*names, *map(str, self.segments.ids[self.items])]).encode())
        digest.update(f"{self.batch_size} {self.n_batches} {self.n_chans} {[c for c, _, _ in self.parts]}".encode())
        probe = self.batch(np.unique(np.linspace(0, len(self) - 1, 8).round().astype(int)))
        digest.update(probe["x"].numpy().tobytes() + probe["y"].numpy().tobytes())
        return digest.hexdigest()

    def _in_turn(self, order: np.ndarray, size: int) -> Iterator[dict[str, torch.Tensor]]:
        for start in range(0, len(order), size):
            some = order[start : start + size]
            if len(some) > 1 or len(order) == 1:
                yield self.batch(some)

    def _target(self, rows: np.ndarray) -> np.ndarray:
        if self.kept is not None:
            return self.kept[self.place[rows]]
        used, inverse = np.unique(self.items[rows], return_inverse=True)
        return self.targets.standardise(self.segments.load(used))[inverse]

    @staticmethod
    def _whole(windows: Windows, reader: WindowReader) -> np.ndarray:
        out = np.empty(windows.shape, dtype=np.float32)
        for rows, block in reader.blocks(windows):
            out[rows] = block
        return out


def check_segments(windows: Mapping[str, Windows], segments: Any) -> None:
    """Raise unless the segments have the length and rate of the windows."""
    if not isinstance(segments, Segments):
        raise BraindecError(
            "a decoder of sequences needs the features of the sounds over time", found=f"segments={segments!r}"[:80],
            fix="segments_for(windows, series), or Segments.from_array(values, stimulus_ids, sfreq=...)",
        )  # fmt: skip
    for name, part in windows.items():
        if part.n_times != segments.shape[2] or abs(part.sfreq - segments.sfreq) > 1e-6 * part.sfreq:
            raise BraindecError(
                "windows and segments differ in length or rate",
                found=f"subject {name!r}: {part.n_times} samples at {part.sfreq:g} Hz; segments {segments.shape[2]} at {segments.sfreq:g} Hz",
                fix="cut them with segments_for(windows, series)",
            )  # fmt: skip
