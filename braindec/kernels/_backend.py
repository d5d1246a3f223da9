"""Which version of a kernel runs: its numpy definition, Numba on the processor, or Numba on a CUDA device.

A backend that was asked for and is not there is an error: nothing falls back in silence. The simulator of Numba
(``NUMBA_ENABLE_CUDASIM=1``, set before Numba is imported) counts as a CUDA device.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from braindec.errors import BraindecError, did_you_mean

__all__ = ["choose", "cuda", "cuda_is_available", "simulated"]

BACKENDS = ("numpy", "numba", "cuda")


def choose(backend: str | None, *, has: Sequence[str] = BACKENDS, kernel: str) -> str:
    """Return the backend to run: ``backend``, or "numba" for None.

    Parameters
    ----------
    backend : {"numpy", "numba", "cuda"} or None
        What was asked for.
    has : sequence of str
        The versions that this kernel has.
    kernel : str
        Its name, for messages.

    Raises
    ------
    BraindecError
        If there is no such backend, the kernel has no such version, or no CUDA device is there.
    """
    name = "numba" if backend is None else str(backend)
    if name not in has:
        raise BraindecError(
            f"{kernel} has no version for the backend {name!r}{did_you_mean(name, has)}", allowed=", ".join(has)
        )
    if name == "cuda" and not cuda_is_available():
        raise BraindecError(
            f"{kernel} was asked for on CUDA, and no CUDA device can be used here",
            fix="take backend='numba' (the processor), or install a driver and pip install 'braindec[cuda]'",
        )
    return name


@cache
def cuda_is_available() -> bool:
    """Whether Numba finds a CUDA device, or its simulator is on."""
    try:
        return bool(cuda().is_available())
    except Exception:  # a driver that is there and broken raises errors of its own kinds
        return False


def simulated() -> bool:
    """Whether Numba's CUDA simulator is on."""
    from numba import config

    return bool(config.ENABLE_CUDASIM)


def cuda() -> Any:
    """Return ``numba.cuda``."""
    from numba import cuda as module

    return module
