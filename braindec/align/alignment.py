"""Units of models against brain recordings: encoding, RSA and CKA in one call, each score with its controls.

``align_units`` joins the units of language models with the responses to the same items and returns one long table: models x
regions x scores x rows. The row "decoded" is the score of the layer that was chosen on training folds; beside it stand each
layer, the largest score of any layer with its optimism, the noise ceiling by name (nothing is ever clamped), neighbourhood in
time (OASM), nuisance (position, length, pace), what the units add to nuisance (``unique_r2``), untrained networks, random
units, and p-values by fitting again on surrogate responses. Items that stand in order are held out by whole passages or
contiguous blocks; a shuffled split is refused.

Source: the defaults follow Feghhi et al. 2024 (arXiv:2406.01538) and Hadidi et al. 2025 (bioRxiv 2025.03.09.642245) on what
inflates such scores; Schrimpf et al. 2021 (PNAS 118:e2105646118) for the kind of comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.align._alignment_data import BrainItems, Layer, brain_items, with_item_columns
from braindec.align._alignment_job import Job
from braindec.align._alignment_splits import Held, hold_out
from braindec.align._alignment_table import CHOSEN, ModelScores, calls, finish, profiles, rows_of_model, shared_rows
from braindec.align._alignment_volumes import timed_items, words_of_runs
from braindec.align.alignment_controls import nuisance_bands, untrained_list
from braindec.align.layer_choice import LayerChoice
from braindec.errors import BraindecError
from braindec.evaluate.finding import Finding
from braindec.stats.asked import number, whole
from braindec.stats.ceilings import Ceiling
from braindec.types import Features, Windows

__all__ = ["Alignment", "align_units", "timed_items", "words_of_runs"]

SCORES = ("encoding", "rsa", "cka")
_COLUMNS = set(
    "metric version row model region layer value chance low high p q p_max n n_targets n_units set leaky note".split()
)


@dataclass(frozen=True, eq=False)
class Alignment:
    """What :func:`align_units` found.

    Parameters
    ----------
    table : DataFrame
        Long: metric, version, row, model, region, layer, value, chance, low, high, p, q, p_max, n, n_targets, leaky, note.
        ``q``: false discovery rate over models and regions (of one metric); ``p_max``: family-wise over regions, of single layers over layers and regions.
    calls : DataFrame
        One row a model and region: what the rows together allow to say.
    choices : dict of (model, metric) to LayerChoice
    regions : list of str
    targets : DataFrame
        One row a target and model: r, p, q (false discovery rate over targets) of the layer that each fold chose for all channels.
    null : dict of str to array
        For figures: "MODEL/METRIC" -> (n_surrogates, n_regions).
    findings : list of Finding
        As the audit's: leaks, and controls that are off.
    notes : list of str
    held : Held
        The folds.
    layers : dict of str to list of Layer
    ceiling : Ceiling or None
    profiles : DataFrame
        One row a model, metric, region and layer: value, low, high, and the range of untrained networks.
    """

    table: pd.DataFrame
    calls: pd.DataFrame
    choices: Mapping[tuple[str, str], LayerChoice]
    regions: Sequence[str]
    targets: pd.DataFrame
    null: Mapping[str, np.ndarray] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = ()
    held: Held | None = None
    layers: Mapping[str, Sequence[Layer]] = field(default_factory=dict)
    ceiling: Ceiling | None = None
    profiles: pd.DataFrame = field(default_factory=pd.DataFrame)

    def rows(self, **keys: Any) -> pd.DataFrame:
        """Rows of the table with these values, e.g. ``rows(metric="pearson", row="decoded")``."""
        kept = np.ones(len(self.table), dtype=bool)
        for column, value in keys.items():
            if column not in self.table:
                raise BraindecError(f"the table has no column {column!r}", allowed=", ".join(map(str, self.table)))
            kept &= (self.table[column] == value).to_numpy()
        return self.table[kept]

    def value(self, **keys: Any) -> float:
        """The one value with these keys; BraindecError unless there is exactly one."""
        found = self.rows(**keys)
        if len(found) != 1:
            raise BraindecError(f"{len(found)} rows have {keys}", allowed="exactly one")
        return float(found["value"].iloc[0])


def align_units(
    models: Mapping[str, Features], brain: Windows | Features | BrainItems, *, scores: Sequence[str] = SCORES,
    regions: Any = None, split: Any = "auto", groups: Any = None, n_folds: int = 5, inner_folds: int = 4, buffer: int | None = None,
    ordered: bool | None = None, allow_leaky: bool = False, untrained: Any = None, nuisance: Any = None, n_surrogates: int = 200,
    n_random_sets: int = 20, ceiling: Any = "auto", window: tuple[float, float] | None = None, average: bool = True, comparator: str = "spearman",
    oasm_sigma: float = 2.0, seed: int = 0, keys: Mapping[str, Any] | None = None,
) -> Alignment:  # fmt: skip
    """Compare units of models with the responses of one subject.

    Parameters
    ----------
    models : mapping of str to Features
        Units of each model for the same items (joined on ``stimulus_id``); the units table has ``layer`` and ``site``.
    brain : Windows or Features
        Betas, epochs (averaged over ``window``), or a table of items and regions; :func:`timed_items` makes one of runs.
    scores : sequence of {"encoding", "rsa", "cka"}
    regions : str, mapping or labels, optional
        A column of the channels, masks by name, or one label a channel; the column "region" by default.
    split : str or list of Split
        See :func:`braindec.align._alignment_splits.hold_out`: "auto" holds out whole passages (the one column that says what
        belongs together), else contiguous blocks; "shuffled" is refused where items stand in order.
    groups : str or labels, optional
        What belongs together, where the columns leave it open.
    n_folds, inner_folds : int
        Outer folds; inner folds choose penalties and layers inside the training rows.
    buffer : int, optional
        Rows beside a contiguous test block that leave training.
    ordered : bool, optional
        Items stand in an order in time; by default where a column says so.
    allow_leaky : bool
        Take a shuffled split after all: every row is marked.
    untrained : mapping of str to sequence of Features, or sequence of Features
        The same network before training, 5 seeds or more.
    nuisance : mapping of str to array or Features, optional
        Bands added to position, length and pace, which are always made.
    n_surrogates : int
        The smallest p is 1 / (n + 1); 0 for none.
    n_random_sets : int
        Sets of as many units as the chosen layer, drawn from the whole model.
    ceiling : "auto", None, Ceiling or array of shape (n_targets,)
        "auto": from repetitions of items, where there are any.
    window : (float, float), optional
        s; the part of epochs that is averaged.
    average : bool
        Average repetitions of an item first.
    comparator : str
        Of the RSA: spearman, pearson, rho_a or cosine.
    oasm_sigma : float
        Width of the neighbourhood in rows.
    keys : mapping, optional
        Columns put before the table (subject, ...).

    Raises
    ------
    BraindecError
        If models and brain share no items, a split leaks, or it is unclear which items belong together.
    """
    scores = _check(models, scores)
    _numbers(n_folds=n_folds, inner_folds=inner_folds, buffer=buffer, n_surrogates=n_surrogates, n_random_sets=n_random_sets, seed=seed,
             oasm_sigma=oasm_sigma, keys=keys)  # fmt: skip
    data = (
        brain if isinstance(brain, BrainItems) else brain_items(brain, regions=regions, window=window, average=average)
    )
    rows = with_item_columns(data, models)
    held = hold_out(rows, split=split, groups=groups, n_folds=n_folds, buffer=buffer, runs=data.runs, ordered=ordered,
                    allow_leaky=allow_leaky, kind=data.kind, reach=int(rows.attrs.get("reach", 0)))  # fmt: skip
    bands = nuisance_bands(rows, groups=held.groups if held.by != "time" else None, runs=data.runs, extra=nuisance)
    bands |= dict(data.bands)
    job = Job(data, rows, held, bands, inner_folds=inner_folds, n_surrogates=n_surrogates, seed=seed, comparator=comparator,
               oasm_sigma=oasm_sigma)  # fmt: skip
    share = _ceiling(ceiling, data)
    fresh = untrained_list(untrained, list(models))
    found: list[ModelScores] = []
    for name, features in tqdm(models.items(), desc="models", disable=None, leave=False):
        for score in scores:
            found.append(job.model(name, features, score, fresh[name], n_random_sets))
    shared = {score: job.shared(score) for score in scores}
    context = {
        "data": data,
        "held": held,
        "ceiling": share,
        "n_rows": len(data),
        "seed": seed,
        "words": job.words,
        "keys": dict(keys or {}),
    }
    tables = [rows_of_model(one, shared[one.score], context) for one in found]
    table = finish(
        pd.concat([*tables, *(shared_rows(shared[s], s, context) for s in scores)], ignore_index=True), context
    )
    findings, notes = _told(job, table, found, fresh, share, n_random_sets)
    return Alignment(
        table, calls(table, list(models)), {(m.model, m.metric): m.choice for m in found}, list(data.regions), _targets(found, data),
        {f"{m.model}/{m.metric}": m.choice.null for m in found}, findings, notes, held, {m.model: m.layers for m in found}, share,
        profiles(found, context),
    )  # fmt: skip


def _check(models: Mapping[str, Features], scores: Sequence[str]) -> list[str]:
    if not isinstance(models, Mapping) or not models:
        raise BraindecError("which models?", found=type(models).__name__, fix='align_units({"gpt2": features}, brain)')
    for name, features in models.items():
        if not isinstance(features, Features):
            raise BraindecError(f"the units of {name!r} are not Features", found=type(features).__name__)
    if not isinstance(scores, (str, Sequence)):
        raise BraindecError(f"scores={scores!r} are no names", allowed=", ".join(SCORES))
    wanted = [scores] if isinstance(scores, str) else list(dict.fromkeys(scores))
    unknown = [s for s in wanted if s not in SCORES]
    if unknown or not wanted:
        raise BraindecError(
            f"there is no score {unknown[0]!r}" if unknown else "no score was asked for", allowed=", ".join(SCORES)
        )
    return wanted


def _numbers(*, keys: Any, oasm_sigma: Any, buffer: Any, **counts: Any) -> None:
    """Refuse numbers of folds, surrogates, ... that cannot be meant, and keys that are no new columns."""
    for name, value in counts.items():
        whole(value, name, least=2 if name.endswith("folds") else 0)
    if buffer is not None:
        whole(buffer, "buffer")
    number(oasm_sigma, "oasm_sigma", least=0.0, ends=False, unit="rows")
    if keys is not None and (not isinstance(keys, Mapping) or set(keys) & _COLUMNS):
        raise BraindecError(
            "keys are columns put before the table", found=repr(keys)[:60], allowed='a mapping such as {"subject": "01"}',
            fix=f"another name than {', '.join(sorted(set(keys) & _COLUMNS))}" if isinstance(keys, Mapping) else None,
        )  # fmt: skip


def _ceiling(ceiling: Any, data: BrainItems) -> Ceiling | None:
    """The noise ceiling of the targets that are scored, or None."""
    if ceiling is None:
        return None
    if isinstance(ceiling, str):
        if ceiling != "auto":
            raise BraindecError(
                f"a ceiling called {ceiling!r} is unknown", allowed='"auto", None, a Ceiling, or one share a channel'
            )
        return data.ceiling
    given = ceiling.share if isinstance(ceiling, Ceiling) else ceiling
    share = np.asarray(given)
    if share.dtype.kind not in "fiu" or np.isinf(share).any() or (share.size and np.isnan(share).all()):
        raise BraindecError("a ceiling is one share of the variance a channel, and not all of them are missing", found=repr(given)[:60])  # fmt: skip
    share = share.astype(float)
    found = ceiling if isinstance(ceiling, Ceiling) else Ceiling(share, "given")
    if share.shape == (data.n_all,) and data.n_all != data.Y.shape[1]:
        share = share[data.targets["place"].to_numpy()]
    if share.shape != (data.Y.shape[1],):
        raise BraindecError(
            "the ceiling does not fit the channels", found=f"shape {share.shape}", allowed=f"({data.n_all},)"
        )
    return Ceiling(share, found.kind, found.n_averaged, note=found.note)


def _targets(found: Sequence[ModelScores], data: BrainItems) -> pd.DataFrame:
    from braindec.stats.fdr import fdr_bh

    tables = []
    for one in found:
        if one.targets is None:
            continue
        r, exceed = one.targets
        n, places = len(one.choice.null), set(one.choice.place[:, 0].tolist())
        layer = one.layers[int(one.choice.usual[0])].name if len(places) == 1 else CHOSEN
        table = data.targets.assign(model=one.model, layer=layer, r=r)
        table["p"] = (1 + exceed) / (1 + n) if n else np.nan
        table["q"] = fdr_bh(table["p"].to_numpy(dtype=float))
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _told(
    job: Job,
    table: pd.DataFrame,
    found: Sequence[ModelScores],
    fresh: Mapping[str, Sequence[Features]],
    share: Ceiling | None,
    n_random: int,
) -> tuple[list[Finding], list[str]]:
    """Findings and sentences for the reader."""
    from braindec.align._alignment_notes import told

    return told(job, table, found, fresh, share, n_random)
