"""motion_energy: what moves where, in which direction, how fast and how fine, in a film.

Lightness of the frames is filtered by Gabors in space and time, each in two phases a quarter apart; the root of the sum of their
squares does not depend on phase. A Gabor that is tuned to a direction does not answer to the opposite one.

Source: Adelson & Bergen 1985 (JOSA A 2:284), section 3 (quadrature pairs); Nishimoto et al. 2011 (Curr Biol 21:1641), supplemental
procedures, "Motion-energy encoding model": lightness, 0, 2, 4 ... cycles a picture, 0, 2 and 4 Hz, 8 directions, log(1 + energy).
Differs from the reference in: it was written from the papers; the envelope has a standard deviation of ``spatial_sd`` cycles and
``temporal_sd`` s, Gabors have no mean, and energy stands at the middle of its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._film_frames import FilmFrames, open_film
from braindec.loaders.stimulus_series import Stretch, in_stretches, make_series, stretches, to_rate
from braindec.stats.asked import number, whole
from braindec.types import Recording

__all__ = ["motion_energy"]


def motion_energy(
    film: Any, *, frame_rate: float | None = None, sfreq: float | None = None, spatial: Sequence[float] = (0.0, 2.0, 4.0, 8.0),
    temporal: Sequence[float] = (0.0, 2.0, 4.0), n_directions: int = 8, size: int = 64, spatial_sd: float = 0.5, temporal_sd: float = 0.15,
    spacing: float = 3.5, log: bool = True, blocks: Any = None,
) -> Recording:  # fmt: skip
    """Compute motion energy.

    Parameters
    ----------
    film : path, Pictures of one film, or array (frame, height, width[, 1 or 3])
    frame_rate : float, optional
        Hz, for what does not say it: arrays and folders of frames.
    sfreq : float, optional
        Samples of the series a second, Hz, averaged; the frame rate without it.
    spatial : sequence of float
        Spatial frequencies, cycles a picture; 0 is one Gaussian over the whole of it.
    temporal : sequence of float
        Temporal frequencies, Hz; 0 does not move.
    n_directions : int
        Even; directions in which the pattern of a moving Gabor goes. One that does not move has half as many.
    size : int
        Frames are averaged to ``size`` x ``size`` pixels.
    spatial_sd, temporal_sd : float
        Standard deviation of the envelope, in cycles and in s.
    spacing : float
        Steps between the centres of Gabors, in standard deviations of the envelope.
    log : bool
        log(1 + energy), which keeps large values from ruling; energy is the root of the sum of squares, in units of L*.
    blocks : DataFrame or sequence of (start, stop), optional
        The film is cut there first (s), so that no Gabor reaches across; at the ends, the first and last frame last on.

    Returns
    -------
    Recording
        ``channels`` has spatial_frequency, temporal_frequency, direction (degrees; 0 goes right, 90 up), centre_x and
        centre_y (0 to 1 from the upper left corner).

    Raises
    ------
    BraindecError
        If the film cannot be used, or frequencies are beyond what frames can show.
    """
    frames = open_film(film, frame_rate=frame_rate)
    size, n_directions = whole(size, "size", least=4), whole(n_directions, "n_directions", least=2)
    (
        number(spatial_sd, "spatial_sd", least=0, ends=False),
        number(temporal_sd, "temporal_sd", least=0, ends=False, unit="s"),
    )
    number(spacing, "spacing", least=0, ends=False)
    _check(frames, spatial, temporal, n_directions, size)
    kernels, places = _gabors(spatial, n_directions, size, spatial_sd, spacing)
    seen = np.concatenate([batch.reshape(len(batch), -1) @ kernels for batch in frames.lightness((size, size))])
    units, rows, signs, speeds = _units(places, temporal)

    def make(part: Stretch, times: np.ndarray) -> np.ndarray:
        own = seen[part.first : part.last]
        found = np.zeros((len(units), len(own)), dtype=np.float32)
        for speed in sorted(set(speeds)):
            mine = np.flatnonzero(speeds == speed)
            course = own[:, rows[mine]]
            course = np.where(signs[mine] < 0, course.conj(), course)
            flat = units["spatial_frequency"].to_numpy()[mine] == 0
            energy = np.abs(_filtered(course, speed, temporal_sd, frames.rate, flat))
            found[mine] = energy.T
        return np.log1p(found) if log else found

    parts = stretches(blocks, frames.duration, sfreq=frames.rate, name=frames.name)
    values = in_stretches(parts, len(units), frames.rate, make)
    settings = {"spatial": list(map(float, spatial)), "temporal": list(map(float, temporal)), "n_directions": n_directions, "size": size,
                "spatial_sd": spatial_sd, "temporal_sd": temporal_sd, "spacing": spacing, "log": log, "n_blocks": len(parts)}  # fmt: skip
    series = make_series(values, frames.rate, units, feature="motion_energy", stimulus=frames.name, settings=settings,
                         path=frames.path, content=frames.content)  # fmt: skip
    return series if sfreq is None else to_rate(series, sfreq, method="mean", blocks=blocks)


def _gabors(
    spatial: Sequence[float], n_directions: int, size: int, spatial_sd: float, spacing: float
) -> tuple[np.ndarray, pd.DataFrame]:
    """Complex Gabors (pixel, gabor) of half of the directions, and spatial_frequency, direction, centre_x, centre_y of each."""
    at = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(at, at)
    kernels, rows = [], []
    for frequency in spatial:
        sd = spatial_sd / frequency if frequency > 0 else 0.25
        n = max(1, int(np.floor((1 - 2 * sd) / (spacing * sd))) + 1) if frequency > 0 and 2 * sd < 1 else 1
        centres = 0.5 + (np.arange(n) - (n - 1) / 2) * spacing * sd
        angles = 360.0 * np.arange(n_directions // 2) / n_directions if frequency > 0 else np.zeros(1)
        for centre_y in centres:
            for centre_x in centres:
                envelope = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * sd**2))
                envelope /= envelope.sum()
                for angle in angles:
                    radians = np.deg2rad(angle)  # rows of a picture go down, so up is minus y
                    along = (x - centre_x) * np.cos(radians) - (y - centre_y) * np.sin(radians)
                    wave = np.exp(-2j * np.pi * frequency * along)
                    wave = wave - (envelope * wave).sum() if frequency > 0 else wave
                    kernels.append((2 if frequency > 0 else 1) * (envelope * wave).ravel())
                    rows.append((float(frequency), float(angle), float(centre_x), float(centre_y)))
    table = pd.DataFrame(rows, columns=["spatial_frequency", "direction", "centre_x", "centre_y"])
    return np.stack(kernels, axis=1).astype(np.complex64), table


def _units(places: pd.DataFrame, temporal: Sequence[float]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """The units, and for each one its Gabor, 1 or -1 for the direction of that Gabor or the opposite one, and its Hz."""
    found = []
    for speed in temporal:
        for row, place in places.iterrows():
            both = (1, -1) if speed > 0 and place["spatial_frequency"] > 0 else (1,)
            for sign in both:
                direction = place["direction"] + (180.0 if sign < 0 else 0.0)
                found.append({"row": row, "sign": sign, **place.to_dict(), "direction": direction, "temporal_frequency": float(speed)})  # fmt: skip
    table = pd.DataFrame(found)
    table.insert(0, "name", [
        f"{r.spatial_frequency:g} c {r.temporal_frequency:g} Hz {r.direction:g} deg at {r.centre_x:.2f} {r.centre_y:.2f}" for r in table.itertuples()
    ])  # fmt: skip
    rows, signs = table.pop("row").to_numpy(dtype=int), table.pop("sign").to_numpy(dtype=int)
    return table, rows, signs, table["temporal_frequency"].to_numpy()


def _filtered(course: np.ndarray, speed: float, sd: float, rate: float, flat: np.ndarray) -> np.ndarray:
    """Filter (frame, unit) by a Gaussian in time that turns at ``speed`` Hz; its middle is at the frame.

    ``course`` of a pattern that moves in the direction of its Gabor turns by exp(-2j pi speed t); the filter turns it back.
    """
    from scipy.signal import oaconvolve

    half = max(1, round(3 * sd * rate))
    t = np.arange(-half, half + 1) / rate
    envelope = np.exp(-(t**2) / (2 * sd**2))
    envelope /= envelope.sum()
    # convolution flips the kernel: at lag t the frame is that of t s ago
    wave = envelope * np.exp(-2j * np.pi * speed * t)
    padded = np.pad(course, ((half, half), (0, 0)), mode="edge")
    out = oaconvolve(padded, wave[:, None], mode="valid", axes=0)
    if speed > 0 and flat.any():  # lightness that stays has no flicker
        still = envelope * (np.exp(-2j * np.pi * speed * t) - wave.sum())
        out[:, flat] = 2 * oaconvolve(padded[:, flat], still[:, None], mode="valid", axes=0)
    return out


def _check(
    frames: FilmFrames, spatial: Sequence[float], temporal: Sequence[float], n_directions: int, size: int
) -> None:
    spatial, temporal = np.asarray(spatial, dtype=float), np.asarray(temporal, dtype=float)
    for name, values, most, why in (("spatial", spatial, size / 2, f"half of size={size}"), ("temporal", temporal, frames.rate / 2, "half of the frame rate")):  # fmt: skip
        if (
            values.ndim != 1
            or not len(values)
            or len(set(values)) < len(values)
            or not ((values >= 0) & (values < most)).all()
        ):
            raise BraindecError(f"{name} frequencies are different numbers", found=str(values.tolist()), allowed=f"0 to below {most:g} ({why})")  # fmt: skip
    if n_directions % 2:
        raise BraindecError(
            "directions come in opposite pairs", found=f"n_directions={n_directions}", allowed="an even number"
        )
