"""Compile every CUDA kernel that a module of braindec.kernels offers as PTX_SIGNATURES; one JSON line a kernel.

Run by test_ptx.py in a process of its own, because the simulator, which other tests switch on, cannot compile.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from types import SimpleNamespace
from typing import Any
from unittest import mock

import braindec.kernels

CAPABILITY = (9, 0)


def compiled(kernel: Any, signature: tuple | str) -> dict:
    """Return facts about the PTX of one kernel: whether it is an entry, its target, its length, what it returns."""
    from numba import cuda
    from numba.core.sigutils import normalize_signature

    types = normalize_signature(signature)[0]
    device = SimpleNamespace(compute_capability=CAPABILITY)  # nested device functions ask for the one at hand
    with mock.patch("numba.cuda.dispatcher.get_current_device", lambda: device):
        text, returned = cuda.compile_ptx(kernel.py_func, types, cc=CAPABILITY)
    entry = re.search(r"\.entry\s+(\S+?)\(", text)
    target = re.search(r"^\.target (\S+)", text, re.MULTILINE)
    return {"entry": bool(entry), "target": target and target.group(1), "size": len(text), "returns": str(returned)}


def main() -> None:
    """Print one line a kernel."""
    for found in sorted(pkgutil.iter_modules(braindec.kernels.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"braindec.kernels.{found.name}")
        offered = getattr(module, "PTX_SIGNATURES", {})
        pairs = [
            (name, one)
            for name, some in (offered() if callable(offered) else offered).items()
            for one in (some if isinstance(some, list) else [some])
        ]
        for name, signature in pairs:
            line = {"module": found.name, "kernel": name if isinstance(name, str) else name.py_func.__name__}
            try:
                line |= compiled(getattr(module, name) if isinstance(name, str) else name, signature)
            except Exception as problem:  # reported by the test, kernel by kernel
                line["error"] = f"{type(problem).__name__}: {problem}"[-1500:]
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
