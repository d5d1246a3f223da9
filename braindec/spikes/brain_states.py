"""Do couplings switch with a hidden state? Models with and without states on held-out trials, controls, and the truth.

The question is answered by the likelihood of trials that nothing was fitted to: a plain GLM of the same couplings is
what states must beat, and counts redrawn from that GLM, which have no states, are what they must not beat it on. States in
which only rates differ, with the same couplings in all, stand beside them: couplings also follow states of rate a little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.spikes.hmm_glm import HMMGLM
from braindec.spikes.planted_states import PlantedStates
from braindec.spikes.states import choose_n_states, compare, match_states, structure_auc
from braindec.stats.asked import number
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p
from braindec.types import Spikes

__all__ = ["PLAIN", "StateFits", "cut_trials", "fit_states", "said", "state_panels", "state_rows", "switches"]

PLAIN = "plain GLM"
_NAMES = {"one_hot": "one-hot prior", "gaussian": "Gaussian prior", "none": "no prior"}
_N_PERMUTATIONS = 199
_SAME = 1e-3  # standard deviation over states of couplings that are the same in all


@dataclass(eq=False)
class StateFits:
    """Models of one data set and what they gain on held-out trials.

    Parameters
    ----------
    models : dict of str to HMMGLM
        ``PLAIN`` and one for each prior.
    train, test : list of array (n_units, n_bins)
    gains : dict of str to array (n_test,)
        Log-likelihood over mean rates, bits, of each held-out trial.
    n_states : int
    selection : DataFrame or None
        Of :func:`braindec.spikes.states.choose_n_states`, on the training trials.
    surrogate_gains : array
        What states gain over the plain GLM on each held-out trial without states, bits a spike.
    rate_gains : array of shape (n_test,)
        As ``gains``, of states in which rates differ and couplings do not.
    """

    models: dict[str, HMMGLM]
    train: list[np.ndarray]
    test: list[np.ndarray]
    gains: dict[str, np.ndarray]
    n_states: int
    selection: pd.DataFrame | None = None
    surrogate_gains: np.ndarray = field(default_factory=lambda: np.zeros(0))
    rate_gains: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def first(self) -> str:
        """The prior that is shown."""
        return next(k for k in self.models if k != PLAIN)

    @property
    def spikes(self) -> np.ndarray:
        """Spikes of each held-out trial."""
        return np.array([c.sum() for c in self.test])


def cut_trials(
    spikes: Sequence[Spikes],
    *,
    width: float,
    seconds: float,
    min_rate: float = 0.5,
    max_units: int = 30,
    max_trials: int | None = None,
) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Cut what was observed into trials of counts.

    Parameters
    ----------
    spikes : sequence of Spikes
        Recordings of the same units.
    width, seconds : float
        Bin width and length of a trial, s; an interval's rest that is shorter than half of one is left out.
    min_rate : float
        Units below it, Hz, are left out.
    max_units : int
        The most active are kept.
    max_trials : int, optional
        Of more so many are kept, evenly spaced over the recording.

    Returns
    -------
    counts : list of array (n_units, n_bins)
    names : list of str
        Of the units.
    notes : list of str
    """
    n = max(round(number(seconds, "seconds", least=0, ends=False, unit="s") / width), 2)
    names = spikes[0].units["name"].astype(str).tolist()
    pieces = []
    for s in spikes:
        if s.units["name"].astype(str).tolist() != names:
            raise BraindecError("recordings hold different units", fix="run them one by one")
        for interval in s.support.tolist():
            if interval[1] - interval[0] >= width * n / 2:
                counts = s.restrict([interval]).counts(width).load().astype(float)
                pieces += [c for c in np.split(counts, range(n, counts.shape[1], n), axis=1) if c.shape[1] >= n / 2]
    notes = []
    if max_trials is not None and len(pieces) > max_trials:
        notes.append(
            f"{max_trials} of {len(pieces)} trials were taken, evenly spaced over the recording (trials.max_trials)."
        )
        pieces = [pieces[k] for k in np.linspace(0, len(pieces) - 1, max_trials).round().astype(int)]
    if len(pieces) < 6:
        raise BraindecError(
            f"the recording gives {len(pieces)} trials of {seconds:g} s; held-out trials need 6 at least",
            fix="set trials.seconds to less",
        )  # fmt: skip
    rate = sum(c.sum(axis=1) for c in pieces) / (width * sum(c.shape[1] for c in pieces))
    half = [sum(c.sum(axis=1) for c in part) > 0 for part in (pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :])]
    good = np.flatnonzero((rate >= min_rate) & half[0] & half[1])
    if len(good) < 2:
        raise BraindecError(
            "fewer than 2 units are active enough", found=f"rates up to {rate.max():.3g} Hz", allowed=f"{min_rate:g} Hz"
        )
    kept = np.sort(good[np.argsort(-rate[good], kind="stable")[:max_units]])
    if len(kept) < len(names):
        notes.append(
            f"{len(names) - len(kept)} of {len(names)} units were left out: below {min_rate:g} Hz, silent in one half, or beyond the {max_units} most active."
        )
    return [c[kept] for c in pieces], [names[k] for k in kept], notes


def fit_states(
    counts: Sequence[np.ndarray], *, n_states: int | Sequence[int], priors: Sequence[str], options: Mapping[str, Any],
    test_share: float = 0.4, n_folds: int = 2, n_surrogates: int = 3, rng: np.random.Generator | int = 0,
) -> StateFits:  # fmt: skip
    """Fit a plain GLM and HMM-GLMs to the first trials; the last ``test_share`` of them are held out.

    Parameters
    ----------
    counts : sequence of array (n_units, n_bins)
    n_states : int or sequence of int
        Of several the best is chosen by cross-validation among the training trials, with a Gaussian prior.
    priors : sequence of str
    options : dict
        Of :class:`HMMGLM`.
    test_share : float
    n_folds : int
        Of the choice of the number of states.
    n_surrogates : int
        Data sets without states, redrawn from the plain GLM given the observed history, that the first prior is fitted to.
    rng : Generator or int
    """
    rng = np.random.default_rng(rng)
    n_test = round(number(test_share, "test_share", least=0, most=1, ends=False) * len(counts))
    if n_test < 2 or len(counts) - n_test < 2:
        raise BraindecError(
            "training and held-out trials need 2 each at least",
            found=f"{len(counts)} trials, test_share {test_share:g}",
        )
    train, test = list(counts[: len(counts) - n_test]), list(counts[len(counts) - n_test :])
    selection, chosen = None, n_states
    if not isinstance(n_states, int):
        selection = choose_n_states(
            train, list(n_states), n_folds=min(n_folds, len(train)), **{**options, "prior": "gaussian"}
        )
        chosen = int(selection.loc[selection["chosen"], "n_states"].iloc[0])
    k = max(int(chosen), 2)  # one state is the plain GLM
    models = {PLAIN: HMMGLM(1, **options).fit(train)}
    models |= {_NAMES[p]: HMMGLM(k, prior=p, **options).fit(train) for p in dict.fromkeys(priors)}
    gains = {name: model.gain(test) for name, model in models.items()}
    rates = HMMGLM(k, prior="gaussian", **{**options, "prior_scale": _SAME, "state_bias": True}).fit(train).gain(test)
    surrogate = []
    for _ in range(n_surrogates):
        made, held = (models[PLAIN].redraw(part, rng=rng) for part in (train, test))
        with_states = HMMGLM(k, prior=priors[0], **options).fit(train, responses=made).gain(test, responses=held)
        without = HMMGLM(1, **options).fit(train, responses=made).gain(test, responses=held)
        surrogate.append((with_states - without) / [c.sum() for c in held])
    free = np.concatenate(surrogate) if surrogate else np.zeros(0)
    return StateFits(models, train, test, gains, k, selection, free, rates)


def state_rows(
    fits: StateFits, truth: PlantedStates | None = None, *, rng: np.random.Generator | int = 0
) -> list[dict[str, Any]]:
    """Return rows of scores: gain of states over the plain GLM, bits a spike, and what is known of the truth."""
    rng = np.random.default_rng(rng)
    rows, n = [], len(fits.test)
    for name in [k for k in fits.models if k != PLAIN]:
        lead = fits.gains[name] - fits.gains[PLAIN]
        low, high = _interval(lead, fits.spikes, rng)
        rows.append({"metric": "state_gain", "model": name, "row": "decoded", "value": lead.sum() / fits.spikes.sum(), "chance": 0.0,
                     "low": low, "high": high, "p": compare(fits.gains[name], fits.gains[PLAIN], rng=rng), "n": n,
                     "note": "bits a spike over the plain GLM, held-out trials; p: sign flips of trials"})  # fmt: skip
    if len(fits.surrogate_gains):
        g = fits.surrogate_gains
        rows.append({"metric": "state_gain", "model": fits.first, "row": "state_free", "value": g.mean(), "chance": 0.0,
                     **dict(zip(("low", "high"), bootstrap_interval(g, rng=rng), strict=True)), "p": compare(g, np.zeros(len(g)), rng=rng),
                     "n": len(g), "note": "the same on counts redrawn from the plain GLM given the observed history, which have no states"})  # fmt: skip
    first, plain, same = fits.gains[fits.first], fits.gains[PLAIN], fits.rate_gains
    pairs = {"rates_only": (same, plain, "states in which only rates differ, over the plain GLM"),
             "over_rates_only": (first, same, "over states in which only rates differ: what switching couplings add")}  # fmt: skip
    for name, (a, b, note) in pairs.items() if len(same) else ():
        low, high = _interval(a - b, fits.spikes, rng)
        rows.append({"metric": "state_gain", "model": fits.first, "row": name, "value": (a - b).sum() / fits.spikes.sum(), "chance": 0.0,
                     "low": low, "high": high, "p": compare(a, b, rng=rng), "n": n, "note": note})  # fmt: skip
    for name, gain in fits.gains.items():
        low, high = _interval(gain, fits.spikes, rng)
        rows.append({"metric": "bits_per_spike", "model": name, "row": "decoded", "value": gain.sum() / fits.spikes.sum(), "chance": 0.0,
                     "low": low, "high": high, "p": compare(gain, np.zeros(n), rng=rng), "n": n,
                     "note": "over the mean rates of the training trials"})  # fmt: skip
    return rows + (_truth_rows(fits, truth, rng) if truth is not None else [])


def _truth_rows(fits: StateFits, truth: PlantedStates, rng: np.random.Generator) -> list[dict[str, Any]]:
    rows, true = [], truth.states[-len(fits.test) :]
    for name in [k for k in fits.models if k != PLAIN]:
        model = fits.models[name]
        k = max(len(truth.sign), fits.n_states)
        paths = {"smoothed": model.posterior(fits.test), "filtered": model.filtered(fits.test)}
        for how, p in paths.items():
            found = [v.argmax(axis=1) for v in p]
            own = match_states(true, found, k)
            by_trial = np.array([np.mean(own.order[t] == f) for t, f in zip(true, found, strict=True)])
            null = np.array(
                [
                    match_states([true[i] for i in rng.permutation(len(true))], found, k).accuracy
                    for _ in range(_N_PERMUTATIONS)
                ]
            )
            low, high = bootstrap_interval(by_trial, rng=rng)
            rows.append({"metric": "state_accuracy", "model": name, "how": how, "row": "decoded", "value": own.accuracy, "chance": null.mean(),
                         "low": low, "high": high, "p": permutation_p(own.accuracy, null), "n": len(true),
                         "note": "share of held-out bins, labels matched; chance: trials of the truth exchanged"})  # fmt: skip
        if k != fits.n_states or k != len(truth.sign):
            continue
        order = match_states(
            truth.states[: len(fits.train)], [v.argmax(axis=1) for v in model.posterior(fits.train)], k
        ).order
        strengths = model.strengths()[order]

        def area(targets: np.ndarray, strengths: np.ndarray = strengths) -> float:
            return structure_auc(truth.sign[:, targets], strengths[:, targets])["structure"]

        units = np.arange(truth.sign.shape[1])
        low, high = bootstrap_interval(units, lambda picked: area(picked.astype(int)), n=500, rng=rng)
        rows.append({"metric": "auc_planted", "model": name, "row": "decoded", "value": area(units), "chance": 0.5, "low": low, "high": min(high, 1.0),
                     "n": truth.sign.size, "note": "couplings of each kind against all others, mean of both kinds; interval over targets"})  # fmt: skip
    return rows


def state_panels(
    fits: StateFits,
    truth: PlantedStates | None = None,
    *,
    width: float,
    seconds: float = 20.0,
    rows: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return panels of the report, and the arrays that they name."""
    model, arrays = fits.models[fits.first], {}
    bins = slice(0, round(seconds / width))
    order = np.arange(fits.n_states)
    known = truth is not None and len(truth.sign) == fits.n_states
    if known:
        order = match_states(
            truth.states[: len(fits.train)], [v.argmax(axis=1) for v in model.posterior(fits.train)], fits.n_states
        ).order
    place = np.argsort(order)
    arrays["posterior"] = model.posterior(fits.test[:1])[0][bins, order]
    arrays["path"] = place[model.viterbi(fits.test[:1])[0][bins]]
    arrays["times"] = np.arange(len(arrays["path"])) * width
    arrays["couplings"] = model.strengths()[order]
    args: dict[str, Any] = {"posterior": "@posterior", "times": "@times", "path": "@path"}
    couplings: dict[str, Any] = {"couplings": "@couplings", "label": "fitted"}
    if known:
        arrays["true"] = truth.states[len(fits.train)][bins]
        arrays["planted"] = truth.weights * truth.basis.values.sum()
        args["true"], couplings["true"] = "@true", "@planted"
    panels = [
        _bars(rows, "bits_per_spike", arrays, "What each model predicts of held-out spikes", "bits a spike", "mean rate",
              "Log-likelihood of held-out trials over the mean rates of training, each bin given those before it. Lines: 95 % intervals over trials."),
        _bars(rows, "state_gain", arrays, "What states add to the plain GLM", "bits a spike", "plain GLM",
              "The same trials, paired. State-free: the same steps on counts redrawn from the plain GLM, on which states must not gain. Rates only: "
              "states whose couplings are the same; over them: what couplings that switch add."),
        {"draw": "state_posterior", "title": "States of the first held-out trial", "args": args,
         "caption": f"Probability of each state given the whole trial ({fits.first}); above, the most likely path" + (" and the planted one." if known else ".")},
        {"draw": "coupling_matrix", "title": "Couplings in each state", "args": couplings,
         "caption": f"Area of each coupling filter ({fits.first}): orange excites, blue inhibits." + (" Below: what was planted." if known else "")},
    ]  # fmt: skip
    if fits.selection is not None:
        table = fits.selection
        arrays["selection"] = table["bits_per_spike"].to_numpy()
        names = [
            f"{n} state{'s' * int(n > 1)}{' (chosen)' * bool(c)}"
            for n, c in zip(table["n_states"], table["chosen"], strict=True)
        ]
        panels.append({"draw": "score_bars", "title": "How many states", "caption": "Cross-validation among the training trials. Chosen: the fewest within one standard error of the best.",
                       "args": {"rows": names, "values": "@selection", "chance": 0.0, "metric": "bits a spike", "zero": "mean rate"}})  # fmt: skip
    return panels, arrays


def said(rows: Sequence[Mapping[str, Any]], fits: StateFits) -> list[str]:
    """Return sentences for the top of the page."""
    table = pd.DataFrame(rows)
    control = table[table["row"] == "state_free"]
    out = []
    if len(control):
        row = control.iloc[0]
        fine = row["p"] > 0.05 or row["low"] <= 0
        out.append(
            f"On counts redrawn from the plain GLM, which have no states, states {'do not gain' if fine else 'gain too'}: "
            f"{row['value']:+.4f} bits a spike [{row['low']:+.4f}, {row['high']:+.4f}]"
            + ("." if fine else ", so that what they gain is in doubt.")
        )
    both = table.set_index("row")["value"]
    if "over_rates_only" in both:
        over = f"{both['over_rates_only']:+.4f}"
        rate = table[table["row"] == "rates_only"].iloc[0]
        ends = ": the states are of rate, not of coupling" if rate["p"] <= 0.05 and rate["low"] > 0 else ""
        out.append(
            f"States in which only rates differ gain {both['rates_only']:+.4f} bits a spike over the plain GLM; couplings that switch "
            + (f"add {over} to that." if switches(rows) else f"add nothing to that ({over}){ends}.")
        )
    if fits.selection is not None:
        best = fits.selection.loc[fits.selection["chosen"], "n_states"].iloc[0]
        out.append(
            f"Cross-validation chooses {best} state{'s' * int(best > 1)}{'; two are shown' if best == 1 else ''}."
        )
    if "state_accuracy" in set(table["metric"]):
        own = table[(table["metric"] == "state_accuracy") & (table["model"] == fits.first)].set_index("how")
        mine, chance = own["value"], own["chance"]
        out.append(
            f"The planted state is found in {mine['smoothed']:.1%} of held-out bins given the whole trial (chance {chance['smoothed']:.1%}), "
            f"in {mine['filtered']:.1%} given the past only ({fits.first})."
        )
    return [text.replace(" -", " −").replace("[-", "[−").replace("(-", "(−") for text in out]


def switches(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether couplings that switch predict held-out trials better than states in which only rates differ."""
    row = next(r for r in rows if r["row"] == "over_rates_only")
    return bool(row["p"] <= 0.05 and row["low"] > 0)


def _interval(gain: np.ndarray, spikes: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of bits a spike over trials."""
    found = bootstrap_interval(np.column_stack([gain, spikes]), lambda v: float(v[:, 0].sum() / v[:, 1].sum()), rng=rng)
    return found.low, found.high


def _bars(rows, metric, arrays, title, label, zero, caption):  # type: ignore[no-untyped-def]
    mine = [r for r in rows if r["metric"] == metric]
    more = {
        "decoded": "{}",
        "state_free": "{}, state-free data",
        "rates_only": "rates only",
        "over_rates_only": "{}, over rates only",
    }
    names = [more[r["row"]].format(r["model"]) for r in mine]
    args: dict[str, Any] = {"rows": names, "chance": 0.0, "metric": label, "zero": zero}
    for column in ("value", "low", "high", "p"):
        arrays[f"{metric}/{column}"] = np.array([float(r.get(column, np.nan)) for r in mine])
        args["values" if column == "value" else column] = f"@{metric}/{column}"
    return {"draw": "score_bars", "title": title, "caption": caption, "args": args}
