"""braindec: one road from a brain recording to a score that can be believed."""

from importlib import import_module as _import_module
from typing import Any as _Any

__version__ = "0.1.0"

_LAZY = {
    "Recording": "braindec.types",
    "Windows": "braindec.types",
    "Spikes": "braindec.types",
    "Features": "braindec.types",
    "Split": "braindec.types",
    "Result": "braindec.types",
    "BraindecError": "braindec.errors",
    "load": "braindec.loaders",
    "make_windows": "braindec.signal.windows",
    "audit": "braindec.evaluate.audit",
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> _Any:
    if name in _LAZY:
        return getattr(_import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'braindec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
