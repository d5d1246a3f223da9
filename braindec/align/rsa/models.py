"""Families of models: a fixed matrix, a non-negative mixture of matrices, or the best of several.

A mixture and a choice are fitted, so they are scored on conditions and subjects that had no part in the fit
(:mod:`._crossval`); all models of one comparison are scored on the same held-out parts.

Source: Khaligh-Razavi & Kriegeskorte 2014 (PLoS Comput Biol 10:e1003915), non-negative mixtures of matrices; Schütt et al.
2023 (eLife 12:e82566), "Flexible models"; Lawson & Hanson 1974 (Solving Least Squares Problems), chapter 23.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from braindec.align.rsa._tables import complete, names_of
from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError

__all__ = ["Fixed", "Model", "Select", "Weighted", "as_models"]


@dataclass(frozen=True, eq=False)
class Model:
    """A model made of one or more matrices; see its kinds below.

    Parameters
    ----------
    name : str
    parts : array of shape (n_parts, n_pairs)
        Upper triangles, row by row.
    labels : sequence of str
        Name of each part.
    """

    name: str
    parts: np.ndarray
    labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        try:
            parts = np.atleast_2d(np.asarray(self.parts, dtype=float))
        except (TypeError, ValueError):
            parts = np.empty((0, 0, 0))
        if parts.ndim != 2:
            raise BraindecError(f"model {self.name!r} is made of the cells of matrices", found=f"{type(self.parts).__name__} of shape {np.shape(self.parts)}",
                                allowed="numbers of shape (n_parts, n_pairs)", fix=f"{type(self).__name__}.of(name, rdms)")  # fmt: skip
        if isinstance(self.labels, str):
            raise BraindecError(f"model {self.name!r}: labels are a list of names", found=repr(self.labels))
        labels = tuple(self.labels) or tuple(f"{self.name}-{i}" for i in range(len(parts)))
        if len(labels) != len(parts) or not len(parts):
            raise BraindecError(f"model {self.name!r}: parts and their names differ in number",
                                found=f"{len(parts)} matrices, {len(labels)} names")  # fmt: skip
        if not np.isfinite(parts).all():
            raise BraindecError(f"model {self.name!r} has missing cells", found=f"{int((~np.isfinite(parts)).sum())}")
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "labels", labels)

    flexible = True

    @classmethod
    def of(cls, name: str, rdms: RDMs) -> Any:
        """Make a model of all matrices of ``rdms``."""
        complete(**{f"parts of model {name!r}": rdms})
        return cls(name, rdms.values, names_of(rdms))

    def fit(self, gram: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return weights of the parts, (n_parts,), from their inner products with one another and with the data."""
        raise NotImplementedError


class Fixed(Model):
    """One matrix, nothing to fit."""

    flexible = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.parts) != 1:
            raise BraindecError(f"a fixed model is one matrix, {self.name!r} has {len(self.parts)}",
                                fix="Weighted or Select take several")  # fmt: skip

    def fit(self, gram: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return a weight of 1."""
        return np.ones(1)


class Weighted(Model):
    """A sum of matrices with weights >= 0 that bring it closest to the training data."""

    def fit(self, gram: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the non-negative least-squares weights, which also maximise the cosine with the data.

        Where no part is positively related to the data all weights would be 0 and nothing predicted: the part that is least
        against them is taken then.
        """
        size = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
        scaled = gram / np.outer(size, size) + 1e-10 * np.eye(len(gram))
        root = np.linalg.cholesky(scaled).T
        weights = nnls(root, np.linalg.solve(root.T, target / size))[0]
        if not weights.any():
            weights[np.argmax(target / size)] = 1.0
        return weights / size


class Select(Model):
    """The one matrix that is most similar to the training data (the layer of a network, a parameter on a grid)."""

    def fit(self, gram: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return 1 for the chosen matrix, 0 for the others."""
        size = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
        return np.eye(len(gram))[np.argmax(target / size)]


def as_models(models: RDMs | Sequence[Model]) -> list[Model]:
    """Return models, one for each matrix of RDMs or as they are given.

    Raises
    ------
    BraindecError
        If two have one name, or sizes differ.
    """
    several = isinstance(models, RDMs) or (isinstance(models, Sequence) and all(isinstance(m, Model) for m in models))
    if not several:
        kinds = sorted({type(m).__name__ for m in models}) if isinstance(models, Sequence) else [type(models).__name__]
        raise BraindecError("models are RDMs, or a list of models", found=", ".join(kinds), fix='RDMs(values, conditions), or [Fixed("name", cells), ...]')  # fmt: skip
    found = (
        [Fixed(n, v) for n, v in zip(names_of(models), models.values, strict=True)]
        if isinstance(models, RDMs)
        else list(models)
    )
    names, sizes = [str(m.name) for m in found], {m.parts.shape[1] for m in found}
    if not found or len(set(names)) < len(names) or len(sizes) > 1:
        raise BraindecError(
            "models need different names and matrices of one size",
            found=f"{', '.join(names) or 'none'}; {', '.join(map(str, sorted(sizes)))} pairs",
        )
    return found
