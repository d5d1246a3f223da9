"""Ctrl-C and SIGTERM while a step is under way: the step is finished first, so that a checkpoint can be written."""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["StopAfterStep"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopAfterStep:
    """Hold back the first signal to stop; the second one stops at once.

    Used as a context manager; it does nothing outside the main thread (only there can signals be held back) or when
    ``active`` is false. What was held back is sent again on leaving.
    """

    def __init__(self, *, active: bool = True) -> None:
        self.active = active and threading.current_thread() is threading.main_thread()
        self.asked: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopAfterStep:
        if self.active:
            self._before = {s: signal.signal(s, self._note) for s in _SIGNALS if signal.getsignal(s) is not None}
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()
        if self.asked is not None:
            number, self.asked = self.asked, None
            signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked is None:
            self.asked = number
            return
        self._restore()
        self.asked = None
        signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}
