"""ControlReport: what was decoded beside everything that could have scored as well without reading the brain.

Generated pictures look good whatever the brain did. So the decoded row stands beside *nulls*, which know nothing of the item
(shuffled, noise and mean recordings, the prior alone), and *references*, which know something simpler (ridge, the nearest
training picture, a random picture of the right category, the true features). The headline is decoded minus the best null.

Every metric gives one value an item and seed; values are averaged over seeds, and tests are paired over stimuli:

* decoded against a row: signs of the differences flipped within stimuli (trials of one stimulus together); one-sided against
  nulls, two-sided against references. Against the best null: the largest of the p-values against each and of exchanging items
  (intersection-union): a picture that is near to all items, whatever the brain did, is not above the nulls.
* a row against chance: made items exchanged between stimuli, one-sided; metrics whose pairs are dear to compute are compared
  with what the same items score against a few other stimuli, by flipping signs (conservative).

Source: rows as in Shirakawa et al. 2024 (arXiv 2405.10078) and the digits experiment of the recipe; identification as in
:mod:`braindec.evaluate.identification`; tests in :mod:`braindec.evaluate._control_tests`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._control_findings import findings_of
from braindec.evaluate._control_items import Items
from braindec.evaluate._control_metrics import Scorer, hidden_scorers, scorers
from braindec.evaluate._control_pairs import as_unit
from braindec.evaluate._control_parts import ReportParts, report_parts
from braindec.evaluate._control_scores import RowScore, score_rows
from braindec.evaluate._control_table import score_table
from braindec.evaluate.finding import Finding
from braindec.evaluate.picture_network import Remembered

NULLS = ("shuffled_brain", "noise_brain", "mean_brain", "prior_only")
REFERENCES = ("ridge", "nearest_training", "category_oracle", "true_features", "mean_picture")

__all__ = ["NULLS", "REFERENCES", "ControlReport", "ReportParts", "control_report", "report_parts", "row_kind"]


@dataclass(frozen=True, eq=False)
class ControlReport:
    """Outcome of :func:`control_report`.

    Parameters
    ----------
    scores : DataFrame
        Long table as in :class:`braindec.types.Result`: for each metric the row ``decoded`` first, then nulls and references;
        then, as metric ``<name>_difference``, decoded minus the best null (row ``decoded``) and minus each row
        (``over_<row>``), signed so that more is better. Columns ``seeds`` and ``seed_sd`` beside the usual ones.
    headline : DataFrame
        One row a metric: decoded, null (its name), null_value, gain, low, high, p, n.
    values : mapping of metric to mapping of row to array (n_seeds, n)
        One value an item and seed.
    findings : list of Finding
    sentences : list of str
        What a reader should know first.
    ids : array of str, shape (n,)
        Stimulus of each item.
    better : mapping of metric to bool
        Whether higher is better.
    notes : mapping of row to str
        Why a row is not there, or how it was made.
    """

    scores: pd.DataFrame
    headline: pd.DataFrame
    values: Mapping[str, Mapping[str, np.ndarray]]
    findings: list[Finding]
    sentences: list[str]
    ids: np.ndarray
    better: Mapping[str, bool]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def per_item(self) -> pd.DataFrame:
        """One row a metric, row, seed and item: item, metric, row, seed, value."""
        parts = [
            pd.DataFrame({"item": self.ids, "metric": metric, "row": row, "seed": seed, "value": values})
            for metric, by_row in self.values.items() for row, seeds in by_row.items() for seed, values in enumerate(seeds)
        ]  # fmt: skip
        return pd.concat(parts, ignore_index=True)

    def finding(self, check: str) -> Finding:
        """Return the finding of one check (the worst, where there are several).

        Raises
        ------
        BraindecError
            If no finding is of that check.
        """
        order = ("skip", "pass", "warn", "fail")
        found = [f for f in self.findings if f.check == check]
        if not found:
            known = sorted({f.check for f in self.findings})
            raise BraindecError(f"there is no finding {check!r}{did_you_mean(check, known)}", allowed=", ".join(known))
        return max(found, key=lambda f: order.index(f.level))

    def __repr__(self) -> str:
        first = self.headline.iloc[0]
        return (
            f"<ControlReport {first['metric']} {first['decoded']:.3f}, best null {first['null']} {first['null_value']:.3f}, "
            f"p {first['p']:.3g}; {sum(f.level == 'fail' for f in self.findings)} fail, {sum(f.level == 'warn' for f in self.findings)} warn>"
        )


def row_kind(row: str) -> str:
    """Return "decoded", "null" (knows nothing of the item) or "reference" (any other row)."""
    return "decoded" if row == "decoded" else "null" if row in NULLS else "reference"


def control_report(
    rows: Mapping[str, Any],
    true: Any,
    *,
    ids: Sequence[Any],
    train: Any = None,
    labels: Sequence[Any] | None = None,
    metrics: Sequence[Any] | None = None,
    versions: str | Mapping[str, str] | None = None,
    network: Any = "gabor",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    exchange: Sequence[Any] | None = None,
    n_permutations: int = 1000,
    n_bootstrap: int = 1000,
    seed: int = 0,
    keys: Mapping[str, Any] | None = None,
    generative: bool | None = None,
    findings: Sequence[Finding] = (),
    notes: Mapping[str, str] | None = None,
) -> ControlReport:
    """Score the decoded row and its controls, test them in pairs, and look for the known ways to be fooled.

    Parameters
    ----------
    rows : mapping of row to array (n_seeds, n, [n_frames,] height, width, channel)
        What was made: "decoded" and any of :data:`NULLS` and :data:`REFERENCES`; other names are references. Pictures are
        uint8 or floats of 0 to 1; captions are arrays of texts (n_seeds, n). A row without randomness has one seed.
    true : array (n, ...)
        What was shown.
    ids : sequence of shape (n,)
        The stimulus of each trial; trials of one stimulus are kept together by every test.
    train : array (n_train, ...), Pictures, or mapping of label to these, optional
        What was shown in training, for the overlap with test stimuli and the row of the mean training picture; a mapping has
        one entry for each value of ``exchange`` (folds).
    labels : sequence of shape (n,), optional
        The category of each item.
    metrics : sequence of str, PictureMetric or callable ``metric(made, true) -> (n,)``, optional
        By default two_way, within_category (with labels), pixcorr and ssim; the first is the headline.
    versions, network, options
        As in :func:`braindec.evaluate.picture_scores.score_pictures`. Of captions, ``network`` may be a function of texts that
        gives vectors; a name is then only passed to the metrics.
    exchange : sequence of shape (n,), optional
        Items are exchanged only with those of the same label (fold, subject) when a row is tested against chance.
    n_permutations, n_bootstrap, seed : int
        For p-values and intervals (over stimuli).
    keys : mapping, optional
        Columns put before the table, e.g. ``{"subject": "01"}``.
    generative : bool, optional
        Whether the decoder samples; by default whether there is a row prior_only.
    findings : sequence of Finding
        Of checks that were made before (:func:`braindec.decoders.controls.inductive_finding`).
    notes : mapping of row to str, optional
        Why a row was left out.

    Returns
    -------
    ControlReport

    Raises
    ------
    BraindecError
        If there is no decoded row, rows differ in their items, a value is not finite, or there are fewer than two stimuli.
    """
    made, true = _checked(rows, true)
    kind = "captions" if true.dtype.kind in "OUS" else "films" if true.ndim == 5 else "pictures"
    items = Items.of(ids, labels, exchange, n=len(true))
    network = _opened(network, kind)
    if train is not None and kind != "captions" and "mean_picture" not in made:
        made["mean_picture"] = items.mean_training(train, true)
    asked = scorers(metrics, kind=kind, network=network, labels=items.labels, n=items.n_items, versions=versions, options=options)  # fmt: skip
    hidden: list[Scorer] = []
    if kind != "captions" or callable(network):
        hidden = hidden_scorers(asked, network=network, labels=items.labels)
        hidden = [s for s in hidden if kind != "captions" or not s.name.endswith("by pixels")]
    rng = np.random.default_rng(seed)
    scored = score_rows(made, true, items, [*asked, *hidden], n_permutations=n_permutations, rng=rng)
    names = {s.name for s in asked}
    shown: dict[str, dict[str, RowScore]] = {m: r for m, r in scored.items() if m in names}
    table, tests, headline = score_table(shown, asked, items, kinds=row_kind, n_permutations=n_permutations, n_bootstrap=n_bootstrap, rng=rng, keys=keys or {})  # fmt: skip
    generative = "prior_only" in made if generative is None else generative
    found, sentences = findings_of(
        scored, asked, items, made=made, true=true, train=train, network=network if kind != "captions" or callable(network) else None,
        tests=tests, headline=headline, generative=generative, n_permutations=n_permutations, rng=rng,
    )  # fmt: skip
    values = {m: {r: s.values for r, s in by_row.items()} for m, by_row in shown.items()}
    return ControlReport(table, headline, values, [*findings, *found], sentences, items.ids,
                         {s.name: s.higher_is_better for s in asked}, dict(notes or {}))  # fmt: skip


def _opened(network: Any, kind: str) -> Any:
    if kind == "captions" or isinstance(network, Remembered):
        return network
    return Remembered(network, keep=4)


def _checked(rows: Mapping[str, Any], true: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the rows in order, decoded first, and the truth as floats (or texts)."""
    if "decoded" not in rows:
        raise BraindecError('a control report needs the row "decoded"', found=", ".join(map(str, rows)) or "no row")
    text = _is_text(true)
    true = _texts(true) if text else as_unit(np.asarray(true))
    order = [r for r in ("decoded", *NULLS, *REFERENCES) if r in rows]
    made = {}
    for row in [*order, *(r for r in rows if r not in order)]:
        values = _texts_of_seeds(rows[row]) if text else np.asarray(rows[row])
        if values.shape[1:] != true.shape or not len(values):
            raise BraindecError(
                f"the row {row!r} must be (seed, item, ...) of the items shown", found=f"shape {values.shape}",
                allowed=f"(n_seeds, {', '.join(map(str, true.shape))})", fix="a row without randomness has one seed: made[None]",
            )  # fmt: skip
        made[str(row)] = values
    return made, true


def _is_text(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return values.dtype.kind in "OUS"
    first = values[0] if len(values) else None
    return isinstance(first, str) or (isinstance(first, (list, tuple)) and bool(first) and isinstance(first[0], str))


def _texts(values: Any) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = [v if isinstance(v, str) else list(v) for v in values]
    return out


def _texts_of_seeds(rows: Any) -> np.ndarray:
    seeds = [_texts(v) for v in rows]
    return np.stack(seeds) if seeds else np.zeros((0, 0), dtype=object)
