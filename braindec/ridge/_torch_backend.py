"""The ridge engine's operations in torch, on a processor or a CUDA device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.ridge._backend import Backend, Places

__all__ = ["TorchBackend"]


class TorchBackend(Backend):
    """torch; ``device`` as torch names it: "cpu", "cuda", "cuda:1"."""

    name = "torch"

    def __init__(self, device: str = "cpu", dtype: str = "float32") -> None:
        try:
            import torch
        except ImportError as error:
            raise BraindecError("the torch backend of the ridge engine", found="torch is not installed") from error
        self.torch = torch
        self.dtype, self.numpy_dtype = getattr(torch, dtype), np.dtype(dtype)
        try:
            self.device = torch.device(device)
            torch.empty(1, device=self.device, dtype=torch.float64)
        except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
            raise BraindecError(
                f"device {device!r} for the ridge engine",
                found=str(error).splitlines()[0],
                allowed="cpu" + ", cuda" * torch.cuda.is_available(),
            ) from error

    def put(self, array: np.ndarray, *, exact: bool = False) -> Any:
        tensor = self.torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self.device, self.torch.float64 if exact else self.dtype)

    def get(self, array: Any) -> np.ndarray:
        return array.cpu().numpy()

    def cast(self, array: Any, *, exact: bool = False) -> Any:
        return array.to(self.torch.float64 if exact else self.dtype)

    def rows(self, array: Any, rows: Places) -> Any:
        return array[self._index(rows)]

    def columns(self, array: Any, columns: Places) -> Any:
        return array[:, self._index(columns)]

    def _index(self, places: Places) -> Any:
        return places.runs[0] if len(places.runs) == 1 else self.torch.as_tensor(places.places, device=self.device)

    def dot(self, a: Any, b: Any) -> Any:
        return (a * b).sum(0)

    def eigh(self, matrix: Any) -> tuple[Any, Any]:
        try:
            return self.torch.linalg.eigh(matrix)
        except self.torch.linalg.LinAlgError as error:
            raise ArithmeticError(str(error)) from error

    def svd(self, matrix: Any) -> tuple[Any, Any]:
        vectors, values, _ = self.torch.linalg.svd(matrix)
        return values, vectors

    def inverse(self, matrix: Any) -> Any | None:
        factor, failed = self.torch.linalg.cholesky_ex(matrix)
        return None if int(failed) else self.torch.cholesky_inverse(factor)

    def solver(self, matrix: Any) -> Callable[[Any], Any] | None:
        factor, failed = self.torch.linalg.cholesky_ex(matrix)
        return None if int(failed) else lambda b: self.torch.cholesky_solve(b, factor)

    def qr(self, matrix: Any) -> tuple[Any, Any]:
        return self.torch.linalg.qr(matrix)

    def empty(self, *shape: int) -> Any:
        return self.torch.empty(shape, dtype=self.dtype, device=self.device)
