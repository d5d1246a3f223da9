"""What a model does without some of its units, against the same without as many random ones.

Source: AlKhamissi et al. 2025 (NAACL, "The LLM language network"), lesions of localized and of random units.

Differs from the reference in: random sets have the layers and sites of the chosen units; 20 or more of them give a p-value;
nothing of the model is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.llm.controls import chosen_rows
from braindec.llm.interventions import ablate
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["Lesion", "lesion", "mean_surprisal"]


@dataclass(frozen=True, eq=False)
class Lesion:
    """A measure of behaviour of the intact and of the lesioned model.

    Parameters
    ----------
    intact, lesioned : array of shape (n_texts,)
        The measure of each text.
    random : array of shape (n_sets, n_texts)
        Without the units of each random set.
    """

    intact: np.ndarray
    lesioned: np.ndarray
    random: np.ndarray

    @property
    def change(self) -> float:
        """Mean over texts of lesioned minus intact."""
        return float((self.lesioned - self.intact).mean())

    @property
    def random_changes(self) -> np.ndarray:
        """The same for each random set, shape (n_sets,)."""
        return (self.random - self.intact).mean(axis=1)

    def p(self, *, worse: str = "larger") -> float:
        """Share of sets (the lesion counted in) that change the measure as much; ``worse``: which direction is harm."""
        if worse not in ("larger", "smaller"):
            raise BraindecError(f"worse={worse!r} is unknown", allowed="larger, smaller")
        sign = 1.0 if worse == "larger" else -1.0
        return float(permutation_p(sign * self.change, sign * self.random_changes))

    def interval(self, *, n: int = 2000, rng: np.random.Generator | int = 0) -> tuple[float, float]:
        """95 % interval of the change, texts drawn again."""
        return tuple(bootstrap_interval(self.lesioned - self.intact, n=n, rng=rng))  # type: ignore[return-value]


def lesion(
    lm: LanguageModel, units: pd.DataFrame, chosen: np.ndarray, sets: Sequence[np.ndarray],
    measure: Callable[[LanguageModel], np.ndarray], *, how: str = "zero", means: np.ndarray | None = None,
) -> Lesion:  # fmt: skip
    """Measure a model intact, without chosen units, and without those of each random set.

    Parameters
    ----------
    lm : LanguageModel
    units : DataFrame
        layer, site, index of each unit.
    chosen : array of int
        Rows of ``units``.
    sets : sequence of array of int
        From :func:`braindec.llm.controls.matched_random_units`, with ``overlap=True`` where ``p`` is to be read.
    measure : callable
        ``measure(lm) -> (n_texts,)``; on texts that had no part in choosing the units.
    how : {"zero", "mean"}
    means : array of shape (n_units,), optional
        What units are held at for "mean".

    Raises
    ------
    BraindecError
        If no unit is chosen, or the measure is not finite.
    """
    chosen, sets = chosen_rows(chosen, len(units), "chosen"), [chosen_rows(s, len(units), "a random set") for s in sets]
    if not len(chosen):
        raise BraindecError("there is no unit to take away", fix="loosen the gate of the localizer, or name units")

    def without(rows: np.ndarray) -> np.ndarray:
        with ablate(lm, units.iloc[rows], how=how, means=None if means is None else np.asarray(means)[rows]):
            return _finite(measure(lm))

    intact = _finite(measure(lm))
    random = [without(rows) for rows in tqdm(sets, desc="random lesions", disable=None, leave=False)]
    return Lesion(intact, without(chosen), np.stack(random) if random else np.zeros((0, len(intact))))


def mean_surprisal(lm: LanguageModel, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
    """Mean surprisal of the words of each text but its first (bits), shape (n_texts,)."""
    from braindec.llm.surprisal import surprisal

    table = surprisal(lm, list(texts), batch_size=batch_size)
    later = table[table["word_index"] > 0]
    found = later.groupby(later["text_id"].astype(int))["surprisal"].mean()
    if len(found) < len(texts):
        raise BraindecError(
            "texts of one word have no word that others predict", found=f"{len(texts) - len(found)} of {len(texts)}"
        )
    return found.sort_index().to_numpy(dtype=float)


def _finite(values: Any) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        lost = int((~np.isfinite(values)).sum())
        raise BraindecError(
            "a measure gives one finite number a text", found=f"shape {values.shape}, {lost} values are not finite"
        )
    return values
