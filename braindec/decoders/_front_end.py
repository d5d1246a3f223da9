"""From windows to the condition of a generator: the recording itself, a fitted decoder's prediction, or a trained encoder.

A decoder's predictions of its own training rows are better than those of new rows, so a generator that is trained on them
trusts them too much; training rows are therefore predicted by decoders that did not see their stimuli (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from braindec import registry
from braindec.decoders._make import make_decoder
from braindec.decoders._picture_stored import load_part, save_part
from braindec.decoders._pictures import PictureDecoder
from braindec.decoders._reading import WindowReader, spread_groups
from braindec.encoders._base import Encoder
from braindec.encoders.ridge import bin_weights
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["DecoderFront", "WindowFront", "cross_fitted", "make_encoder"]

_AUTO_COLUMNS = 3200


class WindowFront:
    """Windows through fitted transforms, averaged in time bins: ``read`` gives (n, channel, bin), float32.

    Parameters
    ----------
    scaler, scale_by
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.
    time_bins : int, "auto" or None
        None keeps every sample; "auto" takes as many bins as 3,200 columns allow.
    """

    def __init__(self, *, scaler: Any, scale_by: str | None = None, time_bins: int | str | None = "auto") -> None:
        self.reader, self.time_bins = WindowReader(scaler, scale_by), time_bins

    def fit(self, windows: Windows) -> WindowFront:
        """Fit the transforms on training windows."""
        self.reader.fit(windows)
        n = windows.n_times
        if self.time_bins == "auto":
            self.n_bins = max(1, min(n, _AUTO_COLUMNS // windows.n_channels))
        elif self.time_bins is None:
            self.n_bins = n
        elif isinstance(self.time_bins, int) and 1 <= self.time_bins <= n:
            self.n_bins = self.time_bins
        else:
            raise BraindecError(
                "time_bins does not fit the windows", found=repr(self.time_bins), allowed=f"1 to {n}, 'auto', or None"
            )
        return self

    @property
    def records(self) -> list[FitRecord]:
        """What the transforms saw."""
        return self.reader.records

    def read(self, windows: Windows) -> np.ndarray:
        """Return (n, channel, bin), float32."""
        weights = bin_weights(windows.n_times, self.n_bins)
        out = np.empty((len(windows), windows.n_channels, self.n_bins), dtype=np.float32)
        for rows, block in self.reader.blocks(windows):
            out[rows] = block if self.n_bins == windows.n_times else block @ weights
        return out


class DecoderFront:
    """Predictions of a decoder of the registry, standardised: ``read`` gives (n, dim), float32.

    Parameters
    ----------
    options : mapping
        ``name`` and options: a decoder of embeddings ("ridge", "contrastive", "diffusion_prior", ...) or one of pictures
        whose condition is a prediction ("picture_ridge").
    cross_fit : int
        Training rows are predicted by decoders fitted without their stimuli, in so many parts; 0 predicts them by the
        decoder that saw them.
    seed : int
    """

    def __init__(self, options: Mapping[str, Any], *, cross_fit: int = 5, seed: int = 0) -> None:
        self.options, self.cross_fit, self.seed = dict(options), cross_fit, seed

    def fit(self, windows: Windows, pictures: Pictures, features: Features | None) -> np.ndarray:
        """Fit the decoder; return the standardised predictions of the training rows, (n, dim)."""
        made = self._fresh()
        if not isinstance(made, PictureDecoder) and features is None:
            raise BraindecError(
                f"the embedder {self.options['name']!r} needs features of the stimuli", fix="fit(windows, pictures, features)"
            )  # fmt: skip
        raw = cross_fitted(
            lambda some: self._fit(self._fresh(), some, pictures, features), self._read, windows, self.cross_fit
        )
        self.decoder = self._fit(made, windows, pictures, features)
        if raw is None:
            raw = self._read(self.decoder, windows)
        self.mean = raw.mean(axis=0)
        spread = raw.std(axis=0)
        self.scale = np.where(spread > 1e-6 * max(spread.max(), 1e-12), spread, 1.0).astype(np.float32)
        self.in_sample_raw = raw
        return (raw - self.mean) / self.scale

    @property
    def records(self) -> list[FitRecord]:
        """What the decoder saw."""
        return list(self.decoder.fit_records_)

    def raw(self, windows: Windows) -> np.ndarray:
        """Return the predictions in the decoder's units, (n, dim), float32."""
        return self._read(self.decoder, windows)

    def read(self, windows: Windows) -> np.ndarray:
        """Return the standardised predictions, (n, dim), float32."""
        return ((self.raw(windows) - self.mean) / self.scale).astype(np.float32)

    def save(self, folder: str | Path) -> dict[str, np.ndarray]:
        """Write the decoder into ``folder``; return the arrays that :meth:`restore` needs."""
        save_part(self.decoder, folder)
        return {"front_mean": self.mean, "front_scale": self.scale}

    def restore(self, folder: str | Path, arrays: Mapping[str, np.ndarray]) -> DecoderFront:
        """Read what :meth:`save` wrote."""
        self.decoder = load_part(folder)
        self.mean, self.scale = arrays["front_mean"], arrays["front_scale"]
        return self

    def _fresh(self) -> Any:
        return make_decoder(self.options, seed=self.seed)

    @staticmethod
    def _fit(decoder: Any, windows: Windows, pictures: Pictures, features: Features | None) -> Any:
        if isinstance(decoder, PictureDecoder):
            return decoder.fit(windows, pictures, features)
        return decoder.fit(windows, features)

    @staticmethod
    def _read(decoder: Any, windows: Windows) -> np.ndarray:
        if isinstance(decoder, PictureDecoder):
            return decoder.condition(windows).reshape(len(windows), -1).astype(np.float32)
        read = decoder.describe if hasattr(decoder, "describe") else decoder.embed
        return np.asarray(read(windows), dtype=np.float32)


def cross_fitted(fit: Any, read: Any, windows: Windows, n_parts: int) -> np.ndarray | None:
    """Predict each row by a decoder that did not see its stimulus; None when ``n_parts`` is 0.

    Parameters
    ----------
    fit : callable
        ``fit(windows) -> decoder``.
    read : callable
        ``read(decoder, windows) -> (n, dim)``.
    windows : Windows
        Training windows; a stimulus is in one part only.
    n_parts : int

    Returns
    -------
    array of shape (n_windows, dim), float32
    """
    if not n_parts:
        return None
    names, codes = np.unique(spread_groups(windows, ("stimulus_id",)), return_inverse=True)
    if len(names) < 2 or n_parts < 2:
        raise BraindecError(
            "cross-fitting needs two parts or more, of different stimuli",
            found=f"cross_fit={n_parts}, {len(names)} stimuli", fix="cross_fit=5, or 0 for none",
        )  # fmt: skip
    part = np.random.default_rng(0).permutation(len(names))[codes] % min(n_parts, len(names))
    out: np.ndarray | None = None
    for k in np.unique(part):
        values = read(fit(windows[part != k]), windows[part == k])
        out = np.empty((len(windows), values.shape[1]), dtype=np.float32) if out is None else out
        out[part == k] = values
    return out


def make_encoder(name: str, preset: str, windows_shape: tuple[int, int], dim: int, options: Mapping[str, Any], *, seed: int) -> Encoder:  # fmt: skip
    """Build an encoder by its name in the registry, or open one that was saved in a folder (its weights go on).

    Parameters
    ----------
    name : str
        In ``encoders``, or a folder that ``Encoder.save`` wrote.
    preset : str
    windows_shape : tuple
        (channel, time) of the windows.
    dim : int
        Length of the output.
    options : mapping
        Settings that differ from the preset.
    seed : int
        Of first weights.
    """
    names = registry.names("encoders")
    if name not in names:
        if not Path(name).is_dir():
            raise BraindecError(f"there is no encoder {name!r}{did_you_mean(name, names)}", allowed=", ".join(names))
        found = Encoder.load(name)
        if (found.n_chans, found.n_times, found.dim) != (*windows_shape, dim):
            raise BraindecError(
                f"the encoder in {name} does not fit", found=f"{found.n_chans} channels, {found.n_times} samples, dim {found.dim}",
                allowed=f"{windows_shape[0]} channels, {windows_shape[1]} samples, dim {dim}",
            )  # fmt: skip
        return found
    kind = registry.get("encoders", name)
    if kind.uses_subject:
        raise BraindecError(
            f"the encoder {name!r} asks for the subject, which this decoder does not give",
            allowed=", ".join(n for n in names if not registry.get("encoders", n).uses_subject),
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind.from_preset(preset, n_chans=windows_shape[0], n_times=windows_shape[1], dim=dim, **dict(options))
