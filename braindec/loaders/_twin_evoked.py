"""What twins of recordings share: responses to stimuli with known latents, and background activity with a 1/f spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Sensors", "background", "make_sensors", "place"]


@dataclass(frozen=True)
class Sensors:
    """How one subject's sensors follow the latents of stimuli.

    Parameters
    ----------
    topographies : array of shape (n_latents, n_channels)
        Response of each channel to one unit of a latent.
    courses : array of shape (n_latents, n_times)
        Course of the response from the onset on.
    """

    topographies: np.ndarray
    courses: np.ndarray

    def respond(self, latents: np.ndarray) -> np.ndarray:
        """Responses to stimuli, shape (n_stimuli, n_channels, n_times)."""
        return np.einsum("sl,lc,lt->sct", latents, self.topographies, self.courses, optimize=True)


def make_sensors(
    rng: np.random.Generator, n_latents: int, n_channels: int, *, sfreq: float, duration: float = 0.5, amplitude: float = 1.0
) -> Sensors:  # fmt: skip
    """Draw the sensors of a subject: the first half of the latents at 90 to 140 ms, the other half at 160 to 260 ms.

    Parameters
    ----------
    amplitude : float
        Standard deviation over channels, at the peak, of the response to one latent.
    """
    half = n_latents // 2
    peak = np.r_[rng.uniform(0.09, 0.14, half), rng.uniform(0.16, 0.26, n_latents - half)]
    width = np.r_[np.full(half, 0.02), np.full(n_latents - half, 0.035)]
    times = np.arange(round(duration * sfreq)) / sfreq
    courses = np.exp(-0.5 * ((times - peak[:, None]) / width[:, None]) ** 2)
    return Sensors(amplitude * rng.normal(size=(n_latents, n_channels)), courses)


def background(
    rng: np.random.Generator, n_channels: int, n_times: int, *, sfreq: float, exponent: float = 1.0, shared: float = 0.5,
    lowest: float = 0.1,
) -> np.ndarray:  # fmt: skip
    """Noise with power 1/f**exponent above ``lowest`` Hz (flat below), unit variance, shape (n_channels, n_times).

    ``shared`` of the power comes from three sources that all channels see.
    """
    frequency = np.maximum(np.fft.rfftfreq(n_times, 1 / sfreq), lowest)
    shape = frequency ** (-exponent / 2)

    def noise(n: int) -> np.ndarray:
        spectrum = (rng.normal(size=(n, len(shape))) + 1j * rng.normal(size=(n, len(shape)))) * shape
        spectrum[:, 0] = 0
        made = np.fft.irfft(spectrum, n=n_times, axis=1)
        return made / made.std(axis=1, keepdims=True)

    mixing = rng.normal(size=(n_channels, 3)) / np.sqrt(3)
    return np.sqrt(1 - shared) * noise(n_channels) + np.sqrt(shared) * mixing @ noise(3)


def place(signal: np.ndarray, responses: np.ndarray, samples: np.ndarray) -> None:
    """Add ``responses`` (n, channel, time) to ``signal`` (channel, time) from ``samples`` on; they may overlap."""
    n_times = signal.shape[1]
    for response, start in zip(responses, samples, strict=True):
        stop = min(start + response.shape[1], n_times)
        signal[:, start:stop] += response[:, : stop - start]
