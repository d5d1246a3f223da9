"""The work of an alignment: layers, unique parts, untrained networks and random units of each model, by each kind of comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._alignment_data import BrainItems, Layer, layers_of, values_of
from braindec.align._alignment_encoding import (
    Encoded,
    encode,
    encode_targets,
    encode_unique,
    fold_rows,
    nuisance_design,
)
from braindec.align._alignment_null import SLOW, make_surrogates, slowness
from braindec.align._alignment_splits import Held
from braindec.align._alignment_table import ModelScores
from braindec.align.alignment_controls import oasm_features, random_sets
from braindec.align.layer_choice import LayerChoice, choose_layers
from braindec.errors import BraindecError
from braindec.types import Features

__all__ = ["Job"]


class Job:
    """Everything that all models share: folds, surrogates, masks, nuisance."""

    def __init__(
        self, data: BrainItems, rows: pd.DataFrame, held: Held, bands: Mapping[str, np.ndarray], *, inner_folds: int,
        n_surrogates: int, seed: int, comparator: str, oasm_sigma: float,
    ) -> None:  # fmt: skip
        self.data, self.rows, self.held, self.bands, self.seed = data, rows, held, bands, seed
        self.comparator, self.oasm_sigma, self.n_surrogates = comparator, oasm_sigma, n_surrogates
        self.folds = fold_rows(held, inner_folds=inner_folds)
        self.masks = np.stack(list(data.regions.values()))
        self.surrogates = make_surrogates(
            len(data),
            n_surrogates,
            groups=held.groups,
            runs=data.runs,
            kind="time" if held.unnamed else data.kind,
            seed=seed,
        )
        self.words = {"encoding": self.surrogates.words}
        self.nuisance = nuisance_design(bands, len(data), most=max(4, min(len(f.train) for f in self.folds) // 8))
        self.edge: dict[str, tuple[int, int]] = {}
        self._geometry: Any = None

    def model(
        self, name: str, features: Features, score: str, untrained: Sequence[Features], n_random: int
    ) -> ModelScores:
        """All scores of one model by one kind of comparison."""
        layers, values = layers_of(features, name), values_of(features, self.data, name)
        engine = self._engine(score)
        whole = engine.layers([values[:, layer.columns] for layer in layers], surrogates=True)
        choice = choose_layers(np.stack([w.train for w in whole]), np.stack([w.test for w in whole]), [la.name for la in layers],
                               full=engine.full(whole))  # fmt: skip
        unique = engine.unique([values[:, layer.columns] for layer in layers], choice)
        seeds = [self._untrained(other, layers, name, engine) for other in untrained]
        random = self._random(features, values, layers, choice, engine, n_random)
        targets = (
            engine.targets([values[:, layer.columns] for layer in layers], whole, choice)
            if score == "encoding"
            else None
        )
        return ModelScores(name, score, engine.metric, layers, whole, choice, unique, seeds, random, targets)

    def shared(self, score: str) -> dict[str, Any]:
        """Scores that no model enters: neighbourhood in time, nuisance."""
        engine, out = self._engine(score), {}
        oasm = oasm_features(len(self.data), runs=self.data.runs, sigma=self.oasm_sigma)
        if oasm is not None:
            out["oasm"] = engine.layers([oasm], surrogates=True)[0]
        if self.nuisance.shape[1]:
            out["nuisance"] = engine.layers([self.nuisance], surrogates=False)[0]
        return out

    def _engine(self, score: str) -> Any:
        if score == "encoding":
            return _Encoding(self)
        if self._geometry is None:
            from braindec.align._alignment_geometry import ItemGeometry

            self._geometry = ItemGeometry(self)
        self.words[score] = self._geometry.words
        return self._geometry.engine(score)

    def _untrained(
        self, other: Features, layers: Sequence[Layer], name: str, engine: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """Layer scores (n_layers, n_regions) and nested scores (n_regions,) of one untrained network."""
        theirs = layers_of(other, f"{name}, untrained")
        if [t.name for t in theirs] != [la.name for la in layers]:
            raise BraindecError(f"an untrained network of {name!r} has other layers", found=f"{[t.name for t in theirs][:6]}",
                                allowed=f"{[la.name for la in layers][:6]}")  # fmt: skip
        values = values_of(other, self.data, f"{name}, untrained")
        whole = engine.layers([values[:, layer.columns] for layer in theirs], surrogates=False)
        choice = choose_layers(np.stack([w.train for w in whole]), np.stack([w.test for w in whole]), [la.name for la in layers],
                               full=engine.full(whole))  # fmt: skip
        return engine.full(whole)[:, 0], choice.value

    def _random(
        self, features: Features, values: np.ndarray, layers: Sequence[Layer], choice: LayerChoice, engine: Any, n: int
    ) -> np.ndarray:  # fmt: skip
        """Scores of random units, as many as the layer most often chosen for all channels, (n_sets, n_regions)."""
        layer = layers[int(choice.usual[0])]
        rng = np.random.default_rng([self.seed, 21])
        sets = random_sets(pd.DataFrame(features.units), layer.columns, n_sets=n, rng=rng, whole_layer=True)
        if not sets:
            return np.zeros((0, len(self.masks)))
        found = engine.layers([values[:, columns] for columns in sets], surrogates=False)
        if len(layers) == 1:
            return engine.full(found)[:, 0]
        return np.stack([w.test[:, 0].mean(axis=0) for w in found])  # as the score that stands beside them


class _Encoding:
    """Encoding scores of a set of units."""

    metric = "pearson"

    def __init__(self, job: Job) -> None:
        self.job = job

    def layers(self, values: Sequence[np.ndarray], *, surrogates: bool) -> list[Encoded]:
        """Scores of several sets of units."""
        job, drawn = self.job, self.job.surrogates if surrogates else None
        return [encode(X, job.data.Y, job.folds, job.masks, drawn) for X in values]

    def full(self, whole: Sequence[Encoded]) -> np.ndarray:
        """Score of each layer, (n_layers, 1 + n_surrogates, n_regions)."""
        return np.stack([w.test.mean(axis=0) for w in whole])

    def targets(
        self, values: Sequence[np.ndarray], whole: Sequence[Encoded], choice: LayerChoice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Correlation of each target and number of surrogates that reach it, by the layer each fold chose for all channels.

        One layer for all folds would have been chosen with their test rows.
        """
        place = choice.place[:, 0]
        if len(set(place.tolist())) == 1:
            return whole[place[0]].targets, whole[place[0]].exceed
        return encode_targets([values[p] for p in place], self.job.data.Y, self.job.folds, self.job.surrogates)

    def unique(self, values: Sequence[np.ndarray], choice: LayerChoice) -> dict[str, Any] | None:
        """R2 that the chosen layers add to nuisance: value, null, pieces of each region."""
        job = self.job
        if not job.nuisance.shape[1]:
            return None
        n_folds, n_regions = choice.place.shape
        by_fold = np.full((n_folds, 1 + len(job.surrogates), n_regions), np.nan)
        pieces: list[list[np.ndarray]] = [[] for _ in range(n_regions)]
        for place in np.unique(choice.place):
            mine = [f for f in range(n_folds) if (choice.place[f] == place).any()]
            gained, parts = encode_unique(
                values[place], job.nuisance, job.data.Y, [job.folds[f] for f in mine], job.masks, job.surrogates
            )
            for k, fold in enumerate(mine):
                here = choice.place[fold] == place
                by_fold[fold][:, here] = gained[k][:, here]
                for region in np.flatnonzero(here):
                    pieces[region].append(parts[k][:, region])
        mean = by_fold.mean(axis=0)
        return {
            "metric": "unique_r2",
            "value": mean[0],
            "null": mean[1:],
            "pieces": [np.concatenate(p) for p in pieces],
            "slow": self._slow(),
        }

    def _slow(self) -> np.ndarray:
        """Regions whose responses drift so much that residuals with turned phases would give too small p-values, (n_regions,)."""
        job = self.job
        if job.surrogates.kind != "phases":
            return np.zeros(len(job.masks), dtype=bool)
        found = slowness(job.data.Y, job.nuisance, job.data.runs)
        return np.array([np.median(found[mask]) > SLOW for mask in job.masks])
