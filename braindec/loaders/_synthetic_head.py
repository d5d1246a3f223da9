"""A spherical head: where planted and background sources sit, and what each channel sees of them.

Source: the three-shell sphere of :mod:`braindec.signal.spherical_head`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.signal.spherical_head import ORIGIN, eeg_gains, montage_info

REFERENCE = ("TP9", "TP10")  # linked mastoids: recorded against them, so no channel is a sum of the others

# name, latency s, width s, x, y, z relative to the origin in m
_SITES = (
    ("V1 left", 0.105, 0.020, -0.014, -0.064, -0.006), ("V1 right", 0.110, 0.020, 0.014, -0.064, -0.006),
    ("V2 upper", 0.130, 0.024, 0.004, -0.058, 0.022), ("V3 left", 0.145, 0.026, -0.030, -0.057, 0.004),
    ("V3 right", 0.150, 0.026, 0.030, -0.057, 0.004), ("LO left", 0.170, 0.028, -0.043, -0.046, -0.010),
    ("LO right", 0.175, 0.028, 0.043, -0.046, -0.010), ("IPS left", 0.215, 0.032, -0.027, -0.043, 0.042),
    ("IPS right", 0.220, 0.032, 0.027, -0.043, 0.042), ("IT left", 0.230, 0.036, -0.054, -0.026, -0.012),
    ("IT right", 0.240, 0.036, 0.054, -0.026, -0.012), ("V1 late", 0.260, 0.040, 0.000, -0.062, 0.006),
    ("TPJ left", 0.320, 0.048, -0.052, -0.024, 0.030), ("TPJ right", 0.330, 0.048, 0.052, -0.024, 0.030),
    ("precuneus", 0.380, 0.055, 0.000, -0.030, 0.056), ("temporal pole", 0.400, 0.055, -0.054, 0.016, -0.010),
)  # fmt: skip
_EVOKED = (  # the response that all images share: name, latency, width, peak in V, x, y, z
    ("P1 left", 0.100, 0.018, 4e-6, -0.030, -0.056, 0.0), ("P1 right", 0.102, 0.018, 4.5e-6, 0.030, -0.056, 0.0),
    ("N170 left", 0.165, 0.022, -3.5e-6, -0.046, -0.042, -0.012), ("N170 right", 0.168, 0.022, -5e-6, 0.046, -0.042, -0.012),
    ("P2", 0.225, 0.035, 4e-6, 0.0, -0.045, 0.045), ("P300", 0.370, 0.070, 3e-6, 0.0, -0.020, 0.062),
)  # fmt: skip
N_SITES = len(_SITES)


@dataclass(frozen=True)
class Head:
    """One subject's sources as the channels see them.

    Attributes
    ----------
    leadfield : array of shape (n_chans, n_components)
        Topography of each planted component; the channel that sees most of it has +1 or -1.
    courses : array of shape (n_components, n_times)
        Time course of each component, peak 1, exactly 0 before 40 ms; ``times`` in s from onset.
    evoked : array of shape (n_chans, n_times)
        The response that all images share, V.
    background, alpha : arrays of shape (n_chans, n_sources)
        Topographies of ongoing activity (scaled as ``leadfield``).
    eyes, muscle : arrays of shape (n_chans,)
        What each channel sees of blinks and of the temporal muscles, 0 to 1.
    components : list of dict
        Name, latency, width, position (m, head coordinates), orientation and peak gain (V a A m) of each component.
    """

    leadfield: np.ndarray
    courses: np.ndarray
    times: np.ndarray
    evoked: np.ndarray
    background: np.ndarray
    alpha: np.ndarray
    eyes: np.ndarray
    muscle: np.ndarray
    components: list[dict]


def course(times: np.ndarray, latency: float, width: float) -> np.ndarray:
    """A deflection with a smaller rebound, peak 1 at ``latency``; 0 before 40 ms and after the end of ``times``."""
    shape = np.exp(-0.5 * ((times - latency) / width) ** 2)
    shape -= 0.35 * np.exp(-0.5 * ((times - latency - 2.2 * width) / (1.3 * width)) ** 2)
    rise = np.clip((times - 0.04) / 0.03, 0, 1)
    fall = np.clip((times[-1] - times) / 0.05, 0, 1)
    return shape * rise**2 * (3 - 2 * rise) * fall


def make_head(channels: list[str], sfreq: float, n_components: int, rng: np.random.Generator) -> Head:
    """Place one subject's sources (jittered around the standard sites) and compute what the channels see.

    Parameters
    ----------
    channels : list of str
        Names of the standard 10-05 system.
    sfreq : float
        Hz, of the time courses.
    n_components : int
        Planted components, at most 16 (then the sites are used in turn from early to late).
    rng : Generator
        Draws jitter of place (4 mm), orientation (about 15 degrees), latency (7 ms) and width.
    """
    times = np.arange(round(0.6 * sfreq) + 1) / sfreq
    chosen = [_SITES[i] for i in np.linspace(0, N_SITES - 1, n_components).round().astype(int)]
    places = np.array([s[3:] for s in chosen]) + rng.normal(0, 0.004, (n_components, 3))
    evoked_places = np.array([e[4:] for e in _EVOKED]) + rng.normal(0, 0.003, (len(_EVOKED), 3))
    background = rng.normal(size=(48, 3))
    background *= (0.07 * rng.uniform(0.3, 1, (48, 1)) ** (1 / 3)) / np.linalg.norm(background, axis=1, keepdims=True)
    alpha = np.array([[-0.02, -0.058, 0.012], [0.022, -0.056, 0.014], [0.0, -0.045, 0.045]]) + rng.normal(
        0, 0.004, (3, 3)
    )
    groups = [_inside(p) for p in (places, evoked_places, background, alpha)]
    radial = [1.0, 1.0, 0.0, 1.0]
    normals = [_orientations(p, r, rng) for p, r in zip(groups, radial, strict=True)]
    gains = eeg_gains(
        channels, np.concatenate(groups), np.concatenate(normals), reference=REFERENCE
    )  # (channel, dipole), V / (A m)
    peak = np.abs(gains).max(axis=0)
    scaled = np.split(gains / peak, np.cumsum([len(g) for g in groups])[:-1], axis=1)
    latency = np.array([s[1] for s in chosen]) + rng.normal(0, 0.007, n_components)
    width = np.array([s[2] for s in chosen]) * rng.uniform(0.9, 1.15, n_components)
    courses = np.stack([course(times, a, b) for a, b in zip(latency, width, strict=True)])
    shift, size = rng.normal(0, 0.005, len(_EVOKED)), rng.uniform(0.8, 1.25, len(_EVOKED))
    waves = np.stack([e[3] * g * course(times, e[1] + d, e[2]) for e, d, g in zip(_EVOKED, shift, size, strict=True)])
    upright = np.sign(scaled[1].sum(axis=0))  # the reference side decides the sign of a column; positive means upright
    eyes, muscle = _artefacts(channels)
    return Head(
        scaled[0], courses, times, (scaled[1] * upright) @ waves, scaled[2], scaled[3], eyes, muscle,
        [{"name": s[0], "latency_s": float(a), "width_s": float(b), "position_m": (p + ORIGIN).tolist(), "orientation": o.tolist(),
          "peak_gain_V_per_Am": float(g)} for s, a, b, p, o, g in zip(chosen, latency, width, groups[0], normals[0], peak, strict=False)],
    )  # fmt: skip


def _inside(places: np.ndarray) -> np.ndarray:
    """Pull sources that jitter took too far out back into the brain shell."""
    radius = np.linalg.norm(places, axis=1, keepdims=True)
    return places * np.minimum(1.0, 0.072 / np.maximum(radius, 1e-6))


def _orientations(places: np.ndarray, radial: float, rng: np.random.Generator) -> np.ndarray:
    outward = places / np.linalg.norm(places, axis=1, keepdims=True)
    tilt = rng.normal(0, 1.0 if radial == 0 else 0.3, places.shape)
    normals = radial * outward + tilt
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _artefacts(channels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    positions = np.array([ch["loc"][:3] for ch in montage_info(channels, 100.0)["chs"]])
    eyes = np.array([[-0.033, 0.105, 0.0], [0.033, 0.105, 0.0]])
    temples = np.array([[-0.085, 0.03, 0.02], [0.085, 0.03, 0.02]])
    near = [
        np.exp(-np.linalg.norm(positions[:, None] - place, axis=2) / 0.035).sum(axis=1) for place in (eyes, temples)
    ]
    return near[0] / near[0].max(), near[1] / near[1].max()
