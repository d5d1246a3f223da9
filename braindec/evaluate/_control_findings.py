"""What a control report warns of: truth that leaks in, categories instead of pictures, simpler decoders that do as well.

Source: Shirakawa et al. 2024 (arXiv 2405.10078) on identification inflated by categories and on output dimensions that collapse;
each finding names its own reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.evaluate._control_items import Items
from braindec.evaluate._control_metrics import Scorer
from braindec.evaluate._control_overlap import overlap_finding
from braindec.evaluate._control_rank import rank_finding
from braindec.evaluate._control_scores import RowScore
from braindec.evaluate._control_table import Lead
from braindec.evaluate._control_tests import interval
from braindec.evaluate.finding import Finding
from braindec.stats.permutation import permutation_p

_ALPHA, _LEAK = 0.05, 0.01  # the check for leaks may call one honest decoder in a hundred
_CATEGORY_ONLY = 0.25  # share of the lead over all items up to which a lead within categories counts as none
_POOR = 0.2  # share of the way from the best null to 1 that true features should give
_SIMPLE = {
    "ridge": "ridge regression alone",
    "nearest_training": "the nearest training {}",
    "category_oracle": "a random training {} of the right category",
    "mean_picture": "the mean training {}, which sees no brain,",
}
_SHIRAKAWA = "Shirakawa et al. 2024, arXiv 2405.10078"

__all__ = ["findings_of"]

Scored = Mapping[str, Mapping[str, RowScore]]


def findings_of(
    scored: Scored, asked: Sequence[Scorer], items: Items, *, made: Mapping[str, np.ndarray], true: np.ndarray, train: Any,
    network: Any, tests: Sequence[Lead], headline: pd.DataFrame, generative: bool, n_permutations: int, rng: np.random.Generator,
) -> tuple[list[Finding], list[str]]:  # fmt: skip
    """Return all findings, and the sentences that a reader should see first."""
    nulls = [row for row in made if any(t.row == row and t.kind == "null" for t in tests)]
    thing = "caption" if true.dtype.kind in "OUS" else "film" if true.ndim == 5 else "picture"
    found = [
        over_nulls(headline, nulls, n_permutations, tests),
        leak(scored, nulls),
        exemplar(scored, items, rng),
        simpler(tests, thing),
        seeds(scored[asked[0].name]["decoded"], generative, asked[0].name),
        limit(scored, nulls),
    ]
    if network is not None:
        found.append(rank_finding(made["decoded"], true, items, network))
        if train is not None and true.dtype.kind not in "OUS":
            found.append(overlap_finding(true[items.first], train, network=network, folds=None if items.folds is None else items.folds[items.first]))  # fmt: skip
    told = [f.message for f in (found[0], found[2]) if f.level != "skip"]
    told += (
        [] if found[3].level == "skip" else [found[3].message if found[3].level == "pass" else _in_short(tests, thing)]
    )
    told += [f.message for f in found if f.level == "fail" and f.message not in told]
    return found, [text[0].upper() + text[1:] + ("" if text.endswith(".") else ".") for text in told]


def over_nulls(
    headline: pd.DataFrame, nulls: Sequence[str], n_permutations: int, tests: Sequence[Lead] = ()
) -> Finding:
    """Is the decoded row better than the best of the rows that know nothing of the item?"""
    check = "decoded_over_nulls"
    if not len(headline):
        return Finding(check, "warn", "no row stands beside the decoded one that knows nothing of the item",
                       fix="make the rows shuffled_brain, noise_brain, mean_brain and prior_only")  # fmt: skip
    evidence = {"nulls": list(nulls), "by_metric": headline.to_dict("records")}
    first = headline.iloc[0]
    words = f"{_name(first['metric'])} {_number(first['decoded'])}, {_against(first, tests)}"
    if not n_permutations:
        return Finding(check, "skip", f"{words}; no permutations were made", evidence)
    holds = headline["p"] <= _ALPHA
    if holds.all():
        more = f"; better than every such control in all {len(headline)} metrics" if len(headline) > 1 else ""
        return Finding(check, "pass", words + more, evidence)
    lost = ", ".join(_name(m) for m in headline["metric"].iloc[1:][~holds.iloc[1:]])
    more = f"; not shown to be better than every such control in {lost}" if lost else ""
    level = "pass" if holds.iloc[0] else "warn"
    return Finding(check, level, words + more, evidence,
                   "what these metrics show may be the prior of the generator" if level == "warn" else "")  # fmt: skip


def _against(first: pd.Series, tests: Sequence[Lead]) -> str:
    """How the decoded row stands to the best null, in words that its p-value bears out."""
    null = f"the best control without the item ({_name(first['null'])}, {_number(first['null_value'])}"
    ahead = f"{_number(abs(first['gain']))} {'better' if first['gain'] >= 0 else 'worse'} than {null}"
    if first["p"] <= _ALPHA or not np.isfinite(first["p"]):
        return f"{ahead}; {_p(first['p'])})"
    if first["gain"] < 0:
        return f"no better than {null}; {_p(first['p'])})"
    apart = [t.p for t in tests if t.metric == first["metric"] and t.kind == "null"]
    if apart and max(apart) <= _ALPHA:  # nearer to all items than any null is, whichever item it was
        return f"{ahead}), but what was made scores as much for other stimuli ({_p(first['p'])})"
    return f"not told apart from {null}; {_p(first['p'])})"


def leak(scored: Scored, nulls: Sequence[str]) -> Finding:
    """Is a row that can not know the item above chance? All such rows and metrics in one test (largest statistic)."""
    check = "nulls_at_chance"
    fix = "samples must not be chosen by the truth, nor targets reach the sampler: only the brain may tell the item"
    tested = [(row, metric, by_row[row]) for metric, by_row in scored.items() for row in nulls if row in by_row]
    joint = [
        t
        for t in tested
        if t[2].null is not None and len(t[2].null) and t[1] != "within_category" and t[2].null.std() > 1e-9
    ]
    if joint:
        null = np.stack([score.null for _, _, score in joint], axis=1)
        centre, spread = null.mean(axis=0), null.std(axis=0)
        observed = (np.array([score.mean for _, _, score in joint]) - centre) / spread
        p = float(permutation_p(float(observed.max()), ((null - centre) / spread).max(axis=1)))
        row, metric, score = joint[int(observed.argmax())]
    else:
        joint = [t for t in tested if t[2].flipped is not None and len(t[2].flipped)]
        if not joint:
            return Finding(check, "skip", "no control row was tested against chance")
        flips = np.stack([score.flipped for _, _, score in joint], axis=1)  # the observed differences first
        spread = flips[1:].std(axis=0)
        flips = np.divide(flips, spread, out=np.zeros_like(flips), where=spread > 1e-9)
        p = float(permutation_p(float(flips[0].max()), flips[1:].max(axis=1)))
        row, metric, score = joint[int(flips[0].argmax())]
    evidence = {"p": p, "row": row, "metric": metric, "value": score.mean, "chance": score.chance, "n_tests": len(joint),
                "rows": sorted({t[0] for t in joint})}  # fmt: skip
    words = f"{_name(row)} scores {_number(score.mean)} in {_name(metric)} (chance {_number(score.chance)}, {_p(p)} over {len(joint)} tests)"
    if p <= _LEAK:
        return Finding(check, "fail", f"a row that can not know the item is above chance: {words}; something other than the brain brings the truth in",
                       evidence, fix, "best of n by the truth: MindEye2's enhanced pictures, Scotti et al. 2024")  # fmt: skip
    return Finding(
        check, "pass", f"no row without the item is above chance ({_p(p)} over {len(joint)} tests)", evidence
    )


def exemplar(scored: Scored, items: Items, rng: np.random.Generator) -> Finding:
    """Are items told apart within their category, or only the categories?"""
    check, fix = (
        "exemplar_information",
        "score within categories; split by category or cluster; show the row category_oracle",
    )
    if items.labels is None or "within_category" not in scored or "two_way" not in scored:
        return Finding(check, "skip", "needs the category of each item, two of a category at least")
    overall, within = scored["two_way"]["decoded"], scored["within_category"]["decoded"]
    low, high = interval(within.of_items, items.code, n=1000, rng=rng)
    n_classes = len(np.unique(items.labels))
    evidence = {"two_way": overall.mean, "two_way_p": overall.p, "within_category": within.mean, "within_category_p": within.p,
                "within_low": low, "within_high": high, "n_categories": n_classes, "category_only_scores": 1 - 1 / (2 * n_classes)}  # fmt: skip
    if not overall.p <= _ALPHA:
        return Finding(
            check, "skip", f"identification is not above chance over all items ({_number(overall.mean)})", evidence
        )
    words = f"{_number(within.mean)} [{_number(low)}, {_number(high)}] within categories against {_number(overall.mean)} over all items"
    if not np.isfinite(within.p):
        return Finding(check, "skip", f"not tested: no two stimuli of a category are in one fold, to be exchanged ({words})", evidence)  # fmt: skip
    if within.p <= _ALPHA:
        return Finding(check, "pass", f"items are told apart within their category: two-way identification {words} ({_p(within.p)})", evidence)  # fmt: skip
    if high - 0.5 <= _CATEGORY_ONLY * (overall.mean - 0.5):
        return Finding(check, "warn", f"no exemplar information: it knows the category only (two-way identification {words}, chance 0.5)",
                       evidence, fix, _SHIRAKAWA)  # fmt: skip
    return Finding(check, "warn", f"exemplar information is not shown: two-way identification {words}, chance 0.5 ({_p(within.p)})",
                   evidence, "more items within categories would decide it", _SHIRAKAWA)  # fmt: skip


def simpler(tests: Sequence[Lead], thing: str = "picture") -> Finding:
    """Does something simpler do as well as what was decoded, or better?"""
    check = "simpler_decoders"
    rows = [row for row in _SIMPLE if any(t.row == row for t in tests)]
    if not rows:
        return Finding(check, "skip", "no simpler decoder stands beside the decoded row",
                       fix="make the rows ridge, nearest_training and category_oracle")  # fmt: skip
    evidence = {row: {t.metric: {"value": t.other, "decoded": t.decoded, "lead": t.gain, "p": t.p} for t in tests if t.row == row} for row in rows}  # fmt: skip
    words = []
    for row in rows:
        mine = [t for t in tests if t.row == row]
        better = [t for t in mine if t.gain < 0 and (t.p <= _ALPHA or not np.isfinite(t.p))]
        level = [t for t in mine if t not in better and not t.p <= _ALPHA]
        parts = [f"{f'beats the decoded {thing}s' if k == 0 else 'is not told apart from them'} in {_listed(some)}"
                 for k, some in enumerate((better, level)) if some]  # fmt: skip
        if parts:
            words.append(f"{_SIMPLE[row].format(thing)} {' and '.join(parts)}")
    if not words:
        return Finding(check, "pass", f"decoded {thing}s are better than {_and([_SIMPLE[r].format(thing).strip(',') for r in rows])} in every metric", evidence)  # fmt: skip
    return Finding(check, "warn", "; ".join(words), evidence,
                   "say so beside every figure; the generator adds looks, not what was seen, where a simpler decoder does as well",
                   "digits experiment: ridge on pixels beats diffusion")  # fmt: skip


def limit(scored: Scored, nulls: Sequence[str]) -> Finding:
    """Can the generator make the pictures at all, when it is given what a perfect recording would say?"""
    check, by_row = "generator_limit", scored.get("two_way", {})
    if "true_features" not in by_row or not any(n in by_row for n in nulls):
        return Finding(check, "skip", "needs the rows true_features and one that knows nothing of the item")
    best, given = max(by_row[n].mean for n in nulls if n in by_row), by_row["true_features"]
    share = (given.mean - best) / max(1 - best, 1e-9)
    reached = (by_row["decoded"].mean - best) / max(given.mean - best, 1e-9)
    evidence = {
        "true_features": given.mean,
        "best_null": best,
        "decoded": by_row["decoded"].mean,
        "p": given.p,
        "reached": reached,
    }
    words = f"two-way identification {_number(given.mean)} from the true features, {_number(best)} from the best control without the item"
    if share < _POOR or given.p > _ALPHA:
        return Finding(check, "warn", f"even from the true features the generator hardly makes what was shown: {words}", evidence,
                       "train the generator longer, or on more stimuli, before the brain is blamed")  # fmt: skip
    return Finding(check, "pass", f"{words}; what was decoded goes {100 * reached:.0f} % of that way", evidence)


def seeds(decoded: RowScore, generative: bool, metric: str) -> Finding:
    """Were enough samples drawn to know what the noise does?"""
    n, check = len(decoded.values), "seeds"
    evidence = {"n_seeds": n, "seed_sd": decoded.seed_sd, "means": np.nanmean(decoded.values, axis=1)}
    if not generative:
        return Finding(check, "pass", "the decoder has no randomness", evidence)
    if n < 3:
        return Finding(check, "warn", f"{n} seed{'s' if n > 1 else ''} of sampling: how much is noise can not be known", evidence,
                       "draw 5 seeds or more", "MindEye2 and others show one sample, or the best of several")  # fmt: skip
    more = "" if n >= 5 else "; 5 are better"
    return Finding(
        check, "pass", f"{n} seeds, sd of {_name(metric)} between them {_number(decoded.seed_sd)}{more}", evidence
    )


def _in_short(tests: Sequence[Lead], thing: str) -> str:
    """One sentence on simpler decoders: where each is better, in numbers, and which the test does not tell apart."""
    first = tests[0].metric
    words, level = [], []
    for row, name in _SIMPLE.items():
        mine = {t.metric: t for t in tests if t.row == row}
        higher = [t for t in mine.values() if t.gain < 0 and not t.p > _ALPHA]
        if higher:
            words.append(
                f"{name.format(thing)} scores better in {len(higher)} of {len(mine)} metrics: {_listed(higher)}"
            )
        elif first in mine and mine[first].p > _ALPHA:
            level.append(
                f"{name.format(thing)} ({_name(first)} {_number(mine[first].other)} against {_number(mine[first].decoded)})"
            )
    if level:
        words.append(f"not told apart from what was decoded: {', '.join(level)}")
    return "; ".join(words) or "no simpler decoder scores significantly better in any metric"


def _listed(leads: Sequence[Lead], most: int = 3) -> str:
    words = [f"{_name(t.metric)} ({_number(t.other)} against {_number(t.decoded)})" for t in leads[:most]]
    return ", ".join(words) + (f" and {len(leads) - most} more" if len(leads) > most else "")


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _name(text: Any) -> str:
    known = {"two_way": "two-way identification", "within_category": "identification within categories", "pixcorr": "PixCorr",
             "ssim": "SSIM", "frame_ssim": "SSIM of frames", "two_way by pixels": "two-way identification by pixels",
             "bleu": "BLEU", "meteor": "METEOR", "rouge": "ROUGE", "cider": "CIDEr", "psnr": "PSNR", "frame_psnr": "PSNR of frames",
             "film_two_way": "two-way identification of films", "motion_direction": "direction of motion",
             "end_point_error": "end-point error of flow", "lpips": "LPIPS-like distance",
             "top1 by pixels": "the share of items nearest of all to their own stimulus, by pixels"}  # fmt: skip
    return known.get(str(text), str(text).replace("_", " "))


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) and abs(value) < 10 else f"{value:.4g}"


def _p(p: float) -> str:
    return "no p" if not np.isfinite(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
