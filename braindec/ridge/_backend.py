"""Where the arithmetic runs: numpy, or torch on a processor or a CUDA device. A value that is passed, no global switch.

Products of many targets are in the working precision (float32 by default); Gram matrices, eigendecompositions and
the factors for small penalties are in float64.

The numpy backend runs independent pieces (penalties, folds, blocks of targets) side by side, each with one BLAS thread,
instead of one piece with many: threads of a BLAS that wait for one another spin, and on a machine that others use too
they can be tens of times slower than a single one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.linalg import lapack
from threadpoolctl import ThreadpoolController

from braindec.errors import BraindecError, did_you_mean

__all__ = ["Backend", "NumpyBackend", "Places", "get_backend"]

_BACKENDS, _DTYPES = ("numpy", "torch"), ("float32", "float64")
_WORKERS = 8  # at most; more BLAS threads than that are shared out among them
_TILE = 256
_FEW = 8  # runs that are copied one by one


def get_backend(name: str = "numpy", *, device: str = "cpu", dtype: str = "float32") -> Backend:
    """Return the backend, or say that it, its device or its precision is not there."""
    if name not in _BACKENDS:
        raise BraindecError(f"backend {name!r}{did_you_mean(name, _BACKENDS)}", allowed=", ".join(_BACKENDS))
    if dtype not in _DTYPES:
        raise BraindecError(f"precision {dtype!r} of the ridge engine", allowed=", ".join(_DTYPES))
    if name == "torch":
        from braindec.ridge._torch_backend import TorchBackend

        return TorchBackend(device, dtype)
    if device != "cpu":
        raise BraindecError(f"device {device!r} with the numpy backend", allowed="cpu", fix="ask for backend='torch'")
    return NumpyBackend(dtype)


class Places:
    """Row or column numbers, with the runs of neighbours among them: copying runs is faster than picking places."""

    def __init__(self, places: np.ndarray) -> None:
        self.places = np.asarray(places)
        edges = np.flatnonzero(np.diff(self.places) != 1) + 1
        starts, stops = np.r_[0, edges], np.r_[edges, len(self.places)]
        self.runs = [slice(int(self.places[a]), int(self.places[b - 1]) + 1) for a, b in zip(starts, stops) if b > a]

    def __len__(self) -> int:
        return len(self.places)


class Backend:
    """The few operations that differ between array libraries; everything else is ``@``, slices and arithmetic."""

    name: str
    numpy_dtype: np.dtype
    workers = 1

    def session(self) -> AbstractContextManager:
        """Context of a fit: inside it :meth:`map` may use several workers."""
        return nullcontext()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Results in order of the items, which are drawn in the calling thread and only as they are needed."""
        return map(function, items)

    def product(self, a: Any, b: Any) -> Any:
        """Matrix product."""
        return a @ b

    def put(self, array: np.ndarray, *, exact: bool = False) -> Any:
        """Array on the device, in the working precision or (``exact``) in float64."""
        raise NotImplementedError

    def get(self, array: Any) -> np.ndarray:
        """Numpy array of a device array."""
        raise NotImplementedError

    def cast(self, array: Any, *, exact: bool = False) -> Any:
        """Device array in the working precision or (``exact``) in float64."""
        raise NotImplementedError

    def rows(self, array: Any, rows: Places) -> Any:
        """Rows of a device array; a view where the rows are contiguous."""
        raise NotImplementedError

    def columns(self, array: Any, columns: Places) -> Any:
        """Columns of a device array; may be a view where they are contiguous."""
        raise NotImplementedError

    def dot(self, a: Any, b: Any) -> Any:
        """Sum over rows of the product, (row, target) x (row, target) -> (target,)."""
        raise NotImplementedError

    def eigh(self, matrix: Any) -> tuple[Any, Any]:
        """Eigenvalues and eigenvectors of a symmetric float64 matrix; raises ``ArithmeticError`` when it fails."""
        raise NotImplementedError

    def svd(self, matrix: Any) -> tuple[Any, Any]:
        """Singular values and left singular vectors of a symmetric float64 matrix."""
        raise NotImplementedError

    def inverse(self, matrix: Any) -> Any | None:
        """Inverse of a positive definite matrix (which is overwritten); None where it is not positive definite."""
        raise NotImplementedError

    def solver(self, matrix: Any) -> Callable[[Any], Any] | None:
        """Function that solves for a positive definite matrix (overwritten); None where it is not that."""
        raise NotImplementedError

    def qr(self, matrix: Any) -> tuple[Any, Any]:
        """Thin QR of a float64 matrix."""
        raise NotImplementedError

    def empty(self, *shape: int) -> Any:
        """Uninitialised array in the working precision."""
        raise NotImplementedError


class NumpyBackend(Backend):
    """numpy and LAPACK on the processor."""

    name = "numpy"

    def __init__(self, dtype: str = "float32", *, workers: int | None = None) -> None:
        self.dtype = self.numpy_dtype = np.dtype(dtype)
        self._blas = ThreadpoolController().select(user_api="blas")
        self._threads = max([library.num_threads for library in self._blas.lib_controllers], default=1)
        self.workers = min(self._threads, _WORKERS) if workers is None else workers
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def session(self) -> Iterator[None]:
        """Workers for :meth:`map`, with the BLAS threads shared out among them; as before when the fit is over."""
        if self.workers == 1 or self._pool is not None:
            yield
            return
        with self._blas.limit(limits=max(1, self._threads // self.workers)), ThreadPoolExecutor(self.workers) as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        pool = self._pool
        if pool is None:
            yield from map(function, items)
            return
        pending: deque = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > self.workers:  # one more than are at work, no more: memory stays flat
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if self._pool is None:
            return a @ b
        out = np.empty((len(a), b.shape[1]), dtype=np.result_type(a, b))
        edges = np.linspace(0, b.shape[1], self.workers + 1).astype(int)
        parts = [slice(start, stop) for start, stop in pairwise(edges)]
        for _ in self.map(lambda part: np.matmul(a, b[:, part], out=out[:, part]), parts):
            pass
        return out

    def put(self, array: np.ndarray, *, exact: bool = False) -> np.ndarray:
        return self.cast(np.asarray(array), exact=exact)

    def get(self, array: np.ndarray) -> np.ndarray:
        return array

    def cast(self, array: np.ndarray, *, exact: bool = False) -> np.ndarray:
        return array.astype(np.float64 if exact else self.dtype, copy=False)

    def rows(self, array: np.ndarray, rows: Places) -> np.ndarray:
        if len(rows.runs) > _FEW:
            return array.take(rows.places, axis=0)
        parts = [array[run] for run in rows.runs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def columns(self, array: np.ndarray, columns: Places) -> np.ndarray:
        if len(columns.runs) > _FEW:
            return array.take(columns.places, axis=1)
        parts = [array[:, run] for run in columns.runs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def dot(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.einsum("ij,ij->j", a, b)

    def eigh(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            return np.linalg.eigh(matrix)
        except np.linalg.LinAlgError as error:
            raise ArithmeticError(str(error)) from error

    def svd(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        vectors, values, _ = np.linalg.svd(matrix, hermitian=False)
        return values, vectors

    def inverse(self, matrix: np.ndarray) -> np.ndarray | None:
        potrf, potri = lapack.get_lapack_funcs(("potrf", "potri"), dtype=matrix.dtype)
        factor, failed = potrf(matrix.T, lower=1, clean=0, overwrite_a=1)  # .T: Fortran order, no second copy
        if failed:
            return None
        inverse, failed = potri(factor, lower=1, overwrite_c=1)
        if failed:
            return None
        n = len(inverse)
        for a in range(0, n, _TILE):  # the upper triangle, tile by tile: a plain transpose would miss the cache
            for b in range(0, a, _TILE):
                inverse[b : b + _TILE, a : a + _TILE] = inverse[a : a + _TILE, b : b + _TILE].T
            tile = inverse[a : a + _TILE, a : a + _TILE]
            tile[...] = np.tril(tile) + np.tril(tile, -1).T
        return inverse

    def solver(self, matrix: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
        potrf, potrs = lapack.get_lapack_funcs(("potrf", "potrs"), dtype=matrix.dtype)
        factor, failed = potrf(matrix.T, lower=1, clean=0, overwrite_a=1)
        return None if failed else lambda b: potrs(factor, b, lower=1)[0]

    def qr(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.linalg.qr(matrix)

    def empty(self, *shape: int) -> np.ndarray:
        return np.empty(shape, dtype=self.dtype)
