"""Parts of ControlNetDecoder: the coarse condition, silhouettes read from windows, and the training of denoiser and control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from braindec.decoders._diffusion_training import batches_of
from braindec.decoders._front_end import DecoderFront
from braindec.decoders._pictures import targets_of
from braindec.decoders._reading import column
from braindec.diffusion.silhouette import SilhouetteDecoder, silhouette_loss
from braindec.errors import BraindecError
from braindec.train.denoising import diffusion_loss
from braindec.train.diffusion import StepHistory, fit_diffusion
from braindec.types import Features, Pictures, Windows

__all__ = ["Coarse", "SilhouetteFront", "given_silhouettes", "train_control"]


class Coarse:
    """What is said to the frozen denoiser beside the control: a class, an embedding, or nothing.

    Parameters
    ----------
    kind : {"class", "embedding"} or None
    classifier : mapping
        Decoder of the registry that predicts it.
    label : str
        Column of the pictures' table that names classes.
    cross_fit, seed : int
    """

    def __init__(
        self, kind: str | None, classifier: Mapping[str, Any], *, label: str, cross_fit: int, seed: int
    ) -> None:
        if kind not in ("class", "embedding", None):
            raise BraindecError(
                "what the denoiser is told beside the control", found=repr(kind), allowed="class, embedding, None"
            )
        self.kind, self.label = kind, label
        self.front = DecoderFront(classifier, cross_fit=cross_fit, seed=seed)

    def fit(self, windows: Windows, pictures: Pictures, features: Features | None) -> tuple[np.ndarray, np.ndarray]:
        """Fit the classifier; return true values of the stimuli (n_items, dim), and predicted ones of the windows (n, dim)."""
        items = np.unique(column(windows, "stimulus_id"))
        if self.kind is None:
            self.dim = 1
            return np.zeros((len(items), 1), np.float32), np.zeros((len(windows), 1), np.float32)
        if self.kind == "class":
            features = self._classes(pictures)
            if (
                "concept_id" in windows.trials
            ):  # penalties are chosen by left-out stimuli: a left-out class cannot be learned
                windows = replace(windows, trials=windows.trials.drop(columns="concept_id"))
        elif features is None:
            raise BraindecError(
                "coarse='embedding' needs features of the stimuli", fix="fit(windows, pictures, features)"
            )
        predicted = self.front.fit(windows, pictures, features)
        true = features.of(items)
        self.dim = true.shape[1]
        if self.kind == "class":
            return true, _hard(self.front.in_sample_raw)
        self.mean, spread = true.mean(axis=0), true.std(axis=0)
        self.scale = np.where(spread > 1e-6 * max(float(spread.max()), 1e-12), spread, 1.0).astype(np.float32)
        return (true - self.mean) / self.scale, predicted

    def read(self, windows: Windows) -> np.ndarray:
        """Return what is said of each window, (n_windows, dim), float32; a class is one-hot."""
        if self.kind is None:
            return np.zeros((len(windows), 1), np.float32)
        return _hard(self.front.raw(windows)) if self.kind == "class" else self.front.read(windows)

    def true(self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None) -> np.ndarray | None:
        """Return what a perfect classifier would say, (n, dim); None where that cannot be known."""
        if self.kind is None:
            return np.zeros((len(stimulus_ids), 1), np.float32)
        if self.kind == "embedding":
            return None if features is None else (features.of(stimulus_ids) - self.mean) / self.scale
        names = self._labels(pictures)[pictures.rows_of(stimulus_ids)]
        return (names[:, None] == np.array(self.classes, dtype=object)).astype(np.float32)

    def _classes(self, pictures: Pictures) -> Features:
        names = self._labels(pictures)
        self.classes = sorted(set(names))
        if len(self.classes) < 2:
            raise BraindecError(
                "a coarse class needs two classes or more", found=", ".join(self.classes), fix="coarse=None"
            )
        one_hot = (names[:, None] == np.array(self.classes, dtype=object)).astype(np.float32)
        return Features(one_hot, pd.DataFrame({"stimulus_id": pictures.ids}))

    def _labels(self, pictures: Pictures) -> np.ndarray:
        if self.label not in pictures.items:
            raise BraindecError(f"the pictures have no column {self.label!r}", found=f"columns {', '.join(pictures.items.columns)}",
                                fix="coarse=None, or label=<column of the pictures' table>")  # fmt: skip
        return pictures.items[self.label].astype(str).to_numpy(dtype=object)


class SilhouetteFront:
    """Silhouettes read from the numbers of a recording by :class:`SilhouetteDecoder`, one network for all rows.

    Parameters
    ----------
    steps, seed : int
        Of the training.
    """

    def __init__(self, *, steps: int, seed: int) -> None:
        self.steps, self.seed = steps, seed

    def fit(self, X: np.ndarray, true: np.ndarray) -> SilhouetteDecoder:
        """Train on numbers (n, dim) and silhouettes (n, height, width, 1)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = SilhouetteDecoder(dim=X.shape[1], size=tuple(true.shape[1:3]))

            def loss(model: nn.Module, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
                return silhouette_loss(model.logits(batch["x"]), batch["y"])

            tensors = {
                "x": torch.from_numpy(X),
                "y": torch.from_numpy(np.ascontiguousarray(true.transpose(0, 3, 1, 2))),
            }
            fit_diffusion(
                model,
                loss,
                batches_of(tensors, 64),
                steps=self.steps,
                lr=3e-3,
                weight_decay=0.1,
                ema=0.98,
                seed=self.seed,
            )
        return model.eval().requires_grad_(False)

    @staticmethod
    @torch.no_grad()
    def read(model: SilhouetteDecoder, X: np.ndarray) -> np.ndarray:
        """Return silhouettes (n, height, width, 1) of 0 to 1, float32; one row at a time, so that rows do not meet."""
        out = [model(torch.from_numpy(X[i : i + 1])).numpy() for i in range(len(X))]
        return np.concatenate(out).transpose(0, 2, 3, 1) if out else np.zeros((0, *model.config.size, 1), np.float32)


def given_silhouettes(windows: Windows, pictures: Pictures, given: Pictures | None, rule: Any) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return a silhouette for each stimulus of windows (n_items, height, width, 1), and the stimulus of each window.

    Raises
    ------
    BraindecError
        If a stimulus has no silhouette, or they are of another size or mode.
    """
    values, codes = targets_of(windows, pictures)
    if given is None:
        return rule(values), codes
    items = np.unique(column(windows, "stimulus_id"))
    known = set(given.ids)
    missing = [i for i in items if i not in known]
    if missing:
        raise BraindecError(
            f"control images are missing for {len(missing)} of {len(items)} stimuli",
            found=f"none for {', '.join(map(repr, missing[:5]))}", fix="give one for every stimulus, leave their trials out, or let "
            "silhouettes be computed from the pictures (silhouettes=None)",
        )  # fmt: skip
    if given.is_film or given.size != pictures.size or given.n_channels != 1:
        raise BraindecError("silhouettes must be grey pictures of the pictures' size", found=repr(given),
                            allowed=f"{pictures.size[0]} x {pictures.size[1]} with 1 channel")  # fmt: skip
    return given.of(items), codes


def train_control(
    model: nn.ModuleDict, frozen: Mapping[str, nn.Module], tensors: Mapping[str, torch.Tensor], *, names: Sequence[str],
    scheduler: Any, steps: int, batch_size: int, lr: float, ema: float | None, drop: float, control_drop: float,
    min_snr: float | None, seed: int, device: str,
) -> StepHistory:  # fmt: skip
    """Train ``model["controlnet"]`` and ``model["hints"]``; denoiser and conditioner (``frozen``) stay as they are.

    Parameters
    ----------
    tensors : mapping of Tensor (n, ...)
        "x" is denoised, "condition" is said to the denoiser, and one entry for each control of ``names``.
    drop, control_drop : float
        Shares of rows without condition, and without control.
    """
    ready = diffusion_loss(
        frozen["unet"], frozen["conditioner"], scheduler, controlnet=model["controlnet"], min_snr=min_snr, condition_drop=drop,
        control_drop=control_drop,
    )  # fmt: skip
    for part in frozen.values():
        part.to(device).eval().requires_grad_(False)

    return fit_diffusion(
        model, _ControlLoss(ready, names), batches_of(tensors, batch_size), steps=steps, lr=lr, ema=ema, seed=seed, device=device,
        title="training the control",
    )  # fmt: skip


class _ControlLoss:
    """The common loss with a control image that is made of the batch by what is trained."""

    def __init__(self, ready: Any, names: Sequence[str]) -> None:
        self.ready, self.names, self.draw = ready, names, ready.draw

    def __call__(self, model: nn.Module, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        if "noise" not in batch:
            batch = self.draw(batch, generator)
        control = model["hints"]([(name, batch[name], 1.0) for name in self.names])
        return self.ready(model, {**batch, "control": control}, generator)


def _hard(values: np.ndarray) -> np.ndarray:
    """One-hot of the largest column."""
    out = np.zeros(values.shape, np.float32)
    out[np.arange(len(values)), values.argmax(axis=1)] = 1.0
    return out
