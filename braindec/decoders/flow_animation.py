"""FlowAnimation: optical flow is read from the recording and moves a still frame that was read, too.

Motion and looks are separate: any decoder of pictures makes the first frame, ridge regression reads how each place moves, and the
frame is warped along. With ``animate`` the same motion can be put on a frame of one's own, which shows what was read of the
motion alone. A generator of films may refine the result.

Source: Yeung et al. 2024 (arXiv 2406.02659, "Neural representations of dynamic visual stimuli": optical flow decoded from fMRI
drives the animation of a start frame); Hoerl & Kennard 1970 (ridge).
Differs from the reference in: no code was published; flow is regressed directly on a coarse grid, not through a video diffusion
model; still and flow come from separate readers. A regression that is unsure says "little motion": where the flow points is the
ratio of expected flow to expected speed, and its length is the mean speed of training films.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import interpolate

from braindec.decoders._films import check_films, first_frames
from braindec.decoders._make import make_decoder
from braindec.decoders._picture_stored import load_part, load_picture_decoder, save_part, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder
from braindec.decoders._reading import column
from braindec.decoders.ridge import RidgeDecoder
from braindec.decoders.video import VideoDecoder
from braindec.diffusion.warping import animate
from braindec.errors import BraindecError
from braindec.evaluate.optical_flow import film_flows
from braindec.types import Features, Pictures, Windows

__all__ = ["FlowAnimation"]

_MOVES = 0.1  # pixels a frame
_SURE = 0.35  # of the largest expected speed; places below it rest


class FlowAnimation(PictureDecoder):
    """Read a still frame and optical flow; warp the one by the other.

    Parameters
    ----------
    still : dict, optional
        ``{"name": ..., ...}``: a decoder of pictures that reads the first frame; "picture_ridge" by default.
    grid : int
        Places a side at which flow is read; it is enlarged to the picture's size.
    alpha, scaler, noise_normalise, scale_by, time_bins
        Of the ridge regression of flow, as in :class:`~braindec.decoders.ridge.RidgeDecoder`.
    restore : bool
        Give flow the mean speed of training films; False keeps the (shrunken) prediction as it is.
    refiner : dict, optional
        Options of a :class:`~braindec.decoders.video.VideoDecoder` whose generator denoises the animated film.
    strength : float
        How far the animated film is noised for the refiner.
    seed : int

    Attributes
    ----------
    still_ : PictureDecoder
    flow_ : RidgeDecoder
    refiner_ : VideoDecoder or None
    """

    def __init__(
        self, *, still: dict[str, Any] | None = None, grid: int = 4, alpha: Any = "auto", scaler: Any = "standard_scaler",
        noise_normalise: bool = False, scale_by: str | None = None, time_bins: int | str | None = "auto", restore: bool = True,
        refiner: dict[str, Any] | None = None, strength: float = 0.4, seed: int = 0,
    ) -> None:  # fmt: skip
        self.still, self.grid, self.alpha, self.scaler = still, grid, alpha, scaler
        self.noise_normalise, self.scale_by, self.time_bins, self.restore = (
            noise_normalise,
            scale_by,
            time_bins,
            restore,
        )
        self.refiner, self.strength, self.seed = refiner, strength, seed

    @property
    def generative(self) -> bool:  # type: ignore[override]
        """False when nothing is drawn at random: a still by ridge that is only warped."""
        drawn = (
            self.still_.generative if hasattr(self, "still_") else (self.still or {}).get("name", "picture_ridge") != "picture_ridge"
        )  # fmt: skip
        return bool(drawn or self.refiner is not None)

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> FlowAnimation:  # fmt: skip
        """Fit still frame and flow on training windows; ``features`` go to the decoder of the still and to the refiner."""
        check_films(pictures)
        if not 1 <= self.grid <= min(pictures.size):
            raise BraindecError(
                "flow cannot be read at so many places", found=repr(self.grid), allowed=f"1 to {min(pictures.size)}"
            )
        self.picture_shape_ = pictures.shape[1:]
        kind = make_decoder(self.still or {"name": "picture_ridge"}, seed=self.seed)
        self.still_ = kind.fit(windows, first_frames(pictures), features)
        self.flow_ = self._ridge().fit(windows, self._flow_features(windows, pictures))
        self._still_shape = self.still_.condition(windows[:1]).shape[1:]
        self.refiner_ = None
        if self.refiner is not None:
            self.refiner_ = VideoDecoder(**{"seed": self.seed, **self.refiner}).fit(windows, pictures, features)
        more = [] if self.refiner_ is None else self.refiner_.fit_records_
        self.fit_records_ = [*self.still_.fit_records_, *self.flow_.fit_records_, *more]
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return what was read: the still's condition, flow and speed on the grid, the refiner's condition; (n, dim)."""
        self._check_fitted()
        parts = [self.still_.condition(windows), self.flow_.describe(windows)]
        parts += [] if self.refiner_ is None else [self.refiner_.condition(windows)]
        return np.concatenate([p.reshape(len(windows), -1) for p in parts], axis=1).astype(np.float32)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, without: Sequence[str] = (), **sampling: Any
    ) -> np.ndarray:  # fmt: skip
        """Make a film for each condition; ``without=("motion",)`` leaves the still frame as it is.

        ``sampling`` are options of the decoder of the still.
        """
        self._check_fitted()
        if [p for p in without if p != "motion"]:
            raise BraindecError("only motion can be taken away", found=str(without), allowed="motion")
        n_frames = self.picture_shape_[0]
        if condition is None:
            if not self.still_.generative:
                raise BraindecError(
                    "the still frame is a ridge's, which has no prior", fix="still={'name': 'conditioned'}"
                )
            still, cells = self.still_.generate(None, names=names, seed=seed, **sampling), None
            rest = None
        else:
            read, cells, rest = self._split(condition)
            still = self.still_.generate(read, names=names, seed=seed, **sampling)
        if cells is None or "motion" in without:
            film = np.repeat(still[:, None], n_frames, axis=1)
        else:
            film = self._animated(still, cells)
        if self.refiner_ is None:
            return film
        return self.refiner_.generate(rest, names=names, seed=seed, film=film, strength=self.strength)

    def animate(self, windows: Windows, frames: np.ndarray) -> np.ndarray:
        """Move given frames (n_windows, height, width, channel) by the flow that was read from each window.

        With the true first frames this shows what was read of the motion alone; it is no reconstruction.
        """
        self._check_fitted()
        frames = np.asarray(frames, dtype=np.float32)
        if frames.shape != (len(windows), *self.picture_shape_[1:]):
            raise BraindecError(
                "one frame is needed for each window", found=f"shape {frames.shape}", allowed=f"{(len(windows), *self.picture_shape_[1:])}"
            )  # fmt: skip
        return self._animated(frames, self.flow_.describe(windows))

    def flow(self, windows: Windows) -> np.ndarray:
        """Return the flow that was read, (n_windows, n_frames - 1, height, width, 2), pixels a frame to the right and down."""
        self._check_fitted()
        return self._flow_of(self.flow_.describe(windows)).numpy()

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder and its parts."""
        self._check_fitted()
        folder = Path(folder)
        save_part(self.still_, folder / "still")
        self.flow_.save(folder / "flow")
        if self.refiner_ is not None:
            self.refiner_.save(folder / "refiner")
        more = {"speed": self.speed_, "still_shape": list(self._still_shape)}
        return save_picture_decoder(self, folder, more=more)

    @classmethod
    def load(cls, folder: str | Path) -> FlowAnimation:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, _, more = load_picture_decoder(cls, folder)
        decoder.still_, decoder.flow_ = load_part(folder / "still"), RidgeDecoder.load(folder / "flow")
        decoder.speed_, decoder._still_shape = float(more["speed"]), tuple(more["still_shape"])
        decoder.refiner_ = VideoDecoder.load(folder / "refiner") if decoder.refiner is not None else None
        return decoder

    def _ridge(self) -> RidgeDecoder:
        names = ("alpha", "scaler", "noise_normalise", "scale_by", "time_bins")
        return RidgeDecoder(**{name: getattr(self, name) for name in names})

    def _flow_features(self, windows: Windows, pictures: Pictures) -> Features:
        """Flow and speed of the training films on the grid, averaged over pairs of frames, (item, 3 * grid * grid)."""
        items = np.unique(column(windows, "stimulus_id"))
        flows = film_flows(pictures.of(items)).mean(axis=1)  # (item, height, width, 2)
        speed = np.linalg.norm(flows, axis=-1, keepdims=True)
        moving = speed > _MOVES
        self.speed_ = float(speed[moving].mean()) if moving.any() else 0.0
        dense = torch.from_numpy(np.concatenate([flows, speed], axis=-1)).permute(0, 3, 1, 2)
        cells = torch.nn.functional.adaptive_avg_pool2d(dense, self.grid)
        return Features(cells.flatten(1).numpy().astype(np.float32), pd.DataFrame({"stimulus_id": items}))

    def _flow_of(self, cells: np.ndarray) -> torch.Tensor:
        """Predicted cells (n, 3 * grid * grid) -> flow (n, n_frames - 1, height, width, 2)."""
        n_frames, height, width = self.picture_shape_[:3]
        dense = torch.from_numpy(np.asarray(cells, dtype=np.float32)).reshape(-1, 3, self.grid, self.grid)
        dense = interpolate(dense, size=(height, width), mode="bilinear", align_corners=False)
        flow, speed = dense[:, :2], dense[:, 2:].clamp(min=0)
        if self.restore:
            top = speed.amax(dim=(2, 3), keepdim=True).clamp(min=1e-6)
            way = flow / speed.clamp(min=1e-6).maximum(_SURE * top)
            way = way / way.norm(dim=1, keepdim=True).amax(dim=(2, 3), keepdim=True).clamp(min=1e-6)
            flow = self.speed_ * way
        return flow.permute(0, 2, 3, 1)[:, None].expand(-1, n_frames - 1, -1, -1, -1)

    def _animated(self, still: np.ndarray, cells: np.ndarray) -> np.ndarray:
        first = torch.from_numpy(np.ascontiguousarray(still, dtype=np.float32)).permute(0, 3, 1, 2)
        film = animate(first, self._flow_of(cells))
        return film.permute(0, 2, 3, 4, 1).clamp(0, 1).numpy()

    def _split(self, condition: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        n_still, n_flow = int(np.prod(self._still_shape)), 3 * self.grid**2
        if condition.ndim != 2 or condition.shape[1] < n_still + n_flow:
            raise BraindecError(
                "the condition does not fit the decoder", found=f"shape {condition.shape}", fix="use condition(windows)"
            )
        read = condition[:, :n_still].reshape(len(condition), *self._still_shape)
        rest = condition[:, n_still + n_flow :] if self.refiner_ is not None else None
        return read, condition[:, n_still : n_still + n_flow], rest
