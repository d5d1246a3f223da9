"""InstalledCebra: the package ``cebra``, where a user has installed it, behind the interface of the other embeddings.

Nothing of that package is part of this one; it has its own licence and is patented. Its documented estimator
(``cebra.CEBRA(...).fit(X, y).transform(X)``, samples by units) is called with the options given here.

Source: Schneider, Lee & Mathis 2023 (Nature 617:360).
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from braindec.decoders._latent_sessions import Scaling, as_labels, as_rows, as_sessions, unwrap
from braindec.errors import BraindecError, MissingExtraError, did_you_mean
from braindec.stats.asked import whole
from braindec.types import FitRecord

__all__ = ["InstalledCebra"]

_METHODS = ("time", "label", "time_label")


class InstalledCebra(BaseEstimator):
    """Fit the user's own ``cebra``; arguments and methods as :class:`braindec.decoders.latents.ContrastiveLatents`.

    Parameters
    ----------
    method : {"time", "label", "time_label"}
        Handed on as ``conditional="time"``, ``"time_delta"``, or ``"time_delta"`` with ``hybrid=True``.
    dim : int
        ``output_dimension``.
    batch_size, iterations, lr, temperature
        ``batch_size``, ``max_iterations``, ``learning_rate``, ``temperature``.
    lag : int
        ``time_offsets``, samples.
    options : dict, optional
        Further options of ``cebra.CEBRA``, and any of the above by its name there.
    width : float, optional
        Bin width for Spikes, s.
    root : bool
        Take the square root of counts before they are scaled.
    seed : int
        Of numpy's and torch's global generators during ``fit``; both are as before afterwards.
    device : str
    package : module, optional
        Used instead of importing ``cebra``.
    """

    def __init__(
        self, *, method: str = "time", dim: int = 6, batch_size: int = 512, iterations: int = 1000, lr: float = 3e-4,
        temperature: float = 1.0, lag: int = 5, options: dict[str, Any] | None = None, width: float | None = None,
        root: bool = False, seed: int = 0, device: str = "cpu", package: Any = None,
    ) -> None:  # fmt: skip
        self.method, self.dim, self.batch_size, self.iterations = method, dim, batch_size, iterations
        self.lr, self.temperature, self.lag, self.options = lr, temperature, lag, options
        self.width, self.root, self.seed, self.device, self.package = width, root, seed, device, package

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, or the package is not there."""
        if self.method not in _METHODS:
            raise BraindecError(
                f"there is no method {self.method!r}{did_you_mean(str(self.method), _METHODS)}",
                allowed=", ".join(_METHODS),
            )
        for name in ("dim", "batch_size", "iterations", "lag"):
            whole(getattr(self, name), name, least=1)
        self._package()

    def settings(self) -> dict[str, Any]:
        """Return the options that ``cebra.CEBRA`` is called with."""
        return {
            "conditional": "time" if self.method == "time" else "time_delta", "hybrid": self.method == "time_label",
            "output_dimension": self.dim, "batch_size": self.batch_size, "max_iterations": self.iterations,
            "learning_rate": self.lr, "temperature": self.temperature, "time_offsets": self.lag, "device": self.device,
            **(self.options or {}),
        }  # fmt: skip

    def fit(self, signal: Any, labels: Any = None, *, rows: Any = None, ids: Any = None) -> InstalledCebra:
        """Fit one model to one session, or one with an encoder a session to several (these need labels)."""
        self.check()
        sessions, single = as_sessions(signal, width=self.width), not isinstance(signal, (list, tuple))
        lengths = [s.shape[1] for s in sessions]
        masks = as_rows(rows, lengths, single=single)
        if labels is None and (self.method != "time" or len(sessions) > 1):
            raise BraindecError("labels are needed", found=f"method {self.method!r}, {len(sessions)} sessions")
        found = None if labels is None else as_labels(labels, lengths, single=single)
        self.scaling_ = [Scaling.of(v, np.flatnonzero(m), root=self.root) for v, m in zip(sessions, masks, strict=True)]
        x = [s(v).T[m] for s, v, m in zip(self.scaling_, sessions, masks, strict=True)]
        y = None
        if found is not None and (self.method != "time" or len(sessions) > 1):
            y = [v[m, 0].astype(np.int64) if found.classes is not None else v[m].astype(np.float32)
                 for v, m in zip(found.values, masks, strict=True)]  # fmt: skip
        model = self._package().CEBRA(**self.settings())
        alone = len(x) == 1
        with _Seeded(self.seed):
            model.fit(x[0] if alone else x, *([] if y is None else [y[0] if alone else y]))
        self.model_ = model
        names = [np.array([f"{s}:{i}" for i in range(n)], dtype=object) for s, n in enumerate(lengths)]
        if ids is not None:
            names = [np.asarray(one, dtype=object) for one in ([ids] if single else ids)]
        seen = [n for own, mask in zip(names, masks, strict=True) for n in own[mask]]
        self.fit_records_ = [FitRecord.of("Scaling", seen), FitRecord.of(type(self).__name__, seen)]
        return self

    def transform(self, signal: Any, *, session: int | None = None) -> Any:
        """Return the embedding of every sample, (time, dim), or a list of them."""
        if not hasattr(self, "model_"):
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit first")
        sessions, fitted, out = as_sessions(signal, width=self.width), len(self.scaling_), []
        if not isinstance(signal, (list, tuple)) and session is None and fitted > 1:
            raise BraindecError(f"{fitted} sessions were fitted: which one is this?", fix=f"session=0 to {fitted - 1}")
        for k, values in enumerate(sessions):
            s = k if session is None else session
            if not 0 <= s < fitted or len(values) != len(self.scaling_[s].mean):
                raise BraindecError(
                    f"session {s} does not fit", found=f"{len(values)} units, {fitted} sessions were fitted"
                )
            more = {"session_id": s} if fitted > 1 else {}
            out.append(np.asarray(self.model_.transform(self.scaling_[s](values).T, **more)))
        return unwrap(out, signal)

    def _package(self) -> Any:
        if self.package is not None:
            return self.package
        try:
            return importlib.import_module("cebra")
        except ImportError as error:
            raise MissingExtraError(
                "InstalledCebra needs the package 'cebra', which is not installed and no part of braindec",
                fix="pip install cebra (see its licence), or use ContrastiveLatents",
            ) from error


class _Seeded:
    """Seed numpy's and torch's global generators, and put them back."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        import torch

        self.numpy, self.torch = np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
        np.random.seed(self.seed)  # noqa: NPY002
        torch.manual_seed(self.seed)

    def __exit__(self, *_: object) -> None:
        import torch

        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.random.set_rng_state(self.torch)
