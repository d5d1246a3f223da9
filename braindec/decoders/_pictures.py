"""What decoders of pictures share: one window's condition never depends on another window, noise goes by name.

A picture decoder answers in two steps: ``condition`` (what the recording says, no randomness) and ``generate`` (a picture
of it, from noise that depends on the seed and the window's name only). The rows that stand beside every decoded picture
(:mod:`braindec.decoders.controls`) swap one step and keep the other. Targets are no argument of either, so a sample can
not be chosen by looking at the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from braindec.decoders._reading import column
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["PictureDecoder", "targets_of", "told"]


class PictureDecoder(BaseEstimator):
    """Base of decoders that make pictures (or films) of what was shown.

    Subclasses define ``fit``, ``condition`` and ``generate``; ``ideal`` and ``save`` / ``load`` where they can.

    Attributes
    ----------
    fit_records_ : list of FitRecord
        Which rows were seen, for the audit.
    picture_shape_ : tuple
        ([n_frames,] height, width, channel) of what is made.
    """

    fit_records_: list[FitRecord]
    picture_shape_: tuple[int, ...]
    generative = True
    """False for decoders whose picture has no randomness and no prior (ridge): rows of the prior are left out."""

    def fit(
        self,
        windows: Windows,
        pictures: Pictures,
        features: Features | None = None,
        *,
        validation: Windows | None = None,
    ) -> PictureDecoder:
        """Fit on training windows.

        Parameters
        ----------
        windows : Windows
            Training windows with ``stimulus_id``.
        pictures : Pictures
            What was shown, joined on ``stimulus_id``.
        features : Features, optional
            Embeddings of the stimuli, for decoders that go through one.
        validation : Windows, optional
            For early stopping, where a decoder has it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fit()")

    def condition(self, windows: Windows) -> np.ndarray:
        """Return what the recording says of each window, (n_windows, ...), float32; row i depends on window i alone."""
        raise NotImplementedError(f"{type(self).__name__} must define condition()")

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Make one picture for each condition.

        Parameters
        ----------
        condition : array (n, ...) or None
            As :meth:`condition` returns it; None asks for the prior alone.
        names : sequence of shape (n,)
            The noise of each picture is drawn from (seed, name).
        seed : int
            Another seed is another sample.
        **sampling
            Options of the decoder (``num_inference_steps``, ``guidance_scale``, ...) for this call.

        Returns
        -------
        array of shape (n, [n_frames,] height, width, channel), float32 of 0 to 1
        """
        raise NotImplementedError(f"{type(self).__name__} must define generate()")

    def reconstruct(self, windows: Windows, *, seed: int = 0, **sampling: Any) -> np.ndarray:
        """Return a picture of what was shown in each window, (n_windows, ...), float32 of 0 to 1."""
        self._check_fitted()
        return self.generate(self.condition(windows), names=windows.ids, seed=seed, **sampling)

    def prior(self, names: Sequence[Any], *, seed: int = 0, **sampling: Any) -> np.ndarray:
        """Return pictures that no recording had a part in."""
        self._check_fitted()
        if not self.generative:
            raise BraindecError(f"{type(self).__name__} has no prior: its pictures come from the recording alone")
        return self.generate(None, names=names, seed=seed, **sampling)

    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0,
        **sampling: Any,
    ) -> np.ndarray | None:  # fmt: skip
        """Return what a perfect reading of the recording would give (true features), or None where that has no meaning."""
        return None

    def predict(self, windows: Windows) -> np.ndarray:
        """The same as :meth:`reconstruct` with seed 0."""
        return self.reconstruct(windows)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON."""
        raise NotImplementedError(f"{type(self).__name__} must define save()")

    def _check_fitted(self) -> None:
        if not hasattr(self, "fit_records_"):
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit(windows, pictures) first")


def told(
    condition: Any, shape: Sequence[int] | None, *, names: Sequence[Any] | None = None, what: str = "the condition"
) -> np.ndarray:
    """Return a condition (n, *shape), or flat rows of as many numbers folded to that.

    Parameters
    ----------
    condition : array
        As ``condition()`` of the decoder returns it.
    shape : sequence of int, optional
        Of one row; None leaves it open.
    names : sequence, optional
        One a row.
    what : str
        For the message.

    Raises
    ------
    BraindecError
        If it has another shape, values that are not finite, or there is not one name for each row.
    """
    values = np.asarray(condition)
    one = values.shape[1:] if shape is None else tuple(int(s) for s in shape)
    fits = values.ndim > 1 and values.dtype.kind in "buif" and int(np.prod(values.shape[1:])) == int(np.prod(one))
    if not fits or (values.shape[1:] != one and values.ndim != 2 and len(one) != 1):
        raise BraindecError(
            f"{what} does not fit the decoder", found=f"{values.dtype} of shape {values.shape}",
            allowed="(n, " + ", ".join(map(str, one)) + ")", fix="give what condition(windows) of this decoder returns",
        )  # fmt: skip
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        raise BraindecError(
            f"{what} holds values that are not finite", found=f"{len(bad)} of {len(values)} rows, first row {bad[0]}"
        )
    if names is not None and len(names) != len(values):
        raise BraindecError("one name for each condition", found=f"{len(values)} conditions, {len(names)} names")
    return values.reshape(len(values), *one)


def targets_of(windows: Windows, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures of the stimuli of windows, each once, (n_items, ...), and the row of each window among them."""
    if not isinstance(pictures, Pictures):
        raise BraindecError(
            "this decoder needs the pictures that were shown",
            found=type(pictures).__name__,
            fix="fit(windows, pictures)",
        )
    shown = column(windows, "stimulus_id")
    if not len(shown):
        raise BraindecError("there are no training windows", found="0 windows")
    items, codes = np.unique(shown, return_inverse=True)
    return pictures.of(items), codes.reshape(-1)
