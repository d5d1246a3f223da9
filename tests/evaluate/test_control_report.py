"""The control report: pairs and exchanges against brute force, paired tests against enumeration, rows, seeds, repetitions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from braindec.decoders.controls import shuffle
from braindec.errors import BraindecError
from braindec.evaluate._control_pairs import beaten, correlations, exchange_null, exchanges, thumbnails
from braindec.evaluate._control_rank import dimensions
from braindec.evaluate._control_tests import Flips, interval
from braindec.evaluate.control_report import NULLS, control_report, report_parts, row_kind
from braindec.evaluate.identification import identification_scores
from braindec.evaluate.pictures.two_way import two_way
from braindec.report.judge import judge
from braindec.types import Result


def flat(pictures):
    """Pixels as features."""
    return np.asarray(pictures).reshape(len(pictures), -1)


def world(seed=0, *, n=40, k=5, n_seeds=2, strength=0.6, size=5, channels=1, spread=1.0, part=0):
    """An honest decoder whose pictures are drawn around what a noisy brain says, all its controls, and the truth."""
    rng, units = np.random.default_rng([seed, part]), size * size * channels
    centre, labels = np.random.default_rng(seed).normal(size=(k, units)), np.arange(n) % k
    true = centre[labels] + spread * rng.normal(size=(n, units))
    brain = strength * true + (1 - strength) * 1.2 * rng.normal(size=(n, units))

    def picture(values):
        return (1 / (1 + np.exp(-values))).reshape(-1, size, size, channels).astype(np.float32)

    def made(condition):
        prior = 0.6 * centre[rng.integers(0, k, n)] + 0.5 * rng.normal(size=(n, units))
        return picture(0.8 * condition + 0.5 * prior)

    conditions = {
        "decoded": lambda: brain,
        "shuffled_brain": lambda: brain[shuffle(np.arange(n), rng)],
        "noise_brain": lambda: rng.normal(size=(n, units)),
        "mean_brain": lambda: np.zeros((n, units)),
        "prior_only": lambda: 0 * brain,
    }
    rows = {name: np.stack([made(give()) for _ in range(n_seeds)]) for name, give in conditions.items()}
    return {**rows, "ridge": picture(brain)[None]}, picture(true), labels


def of(world_, **options):
    rows, true, labels = world_
    given = {"ids": np.arange(len(true)), "labels": labels, "network": flat, "metrics": ("two_way", "within_category", "pixcorr"),
             "n_permutations": 200, "n_bootstrap": 200}  # fmt: skip
    return control_report(rows, true, **{**given, **options})


def test_pairs_are_what_brute_force_gives():
    rng = np.random.default_rng(0)
    made, true, labels = rng.normal(size=(7, 5)), rng.normal(size=(6, 5)), np.array(list("aabbbc"))
    true[3] = true[2]  # a tie
    r = correlations(made, true)
    np.testing.assert_allclose(r, np.corrcoef(made, true)[:7, 7:], atol=1e-8)
    for within in (None, labels):
        got = beaten(r, within)
        for i, j in product(range(7), range(6)):
            others = [m for m in range(6) if m != j and (within is None or labels[m] == labels[j])]
            want = np.mean([(r[i, m] < r[i, j]) + 0.5 * (r[i, m] == r[i, j]) for m in others]) if others else np.nan
            np.testing.assert_allclose(got[i, j], want)


def test_pairs_agree_with_the_metric_and_with_identification():
    rows, true, labels = world()
    made = rows["decoded"][0]
    pairs = beaten(correlations(flat(made), flat(true)))
    np.testing.assert_allclose(np.diag(pairs), two_way.per_item(made, true, network=flat))
    np.testing.assert_allclose(np.diag(pairs), identification_scores(correlations(flat(made), flat(true))))
    within = beaten(correlations(flat(made), flat(true)), labels)
    np.testing.assert_allclose(
        np.diag(within), identification_scores(correlations(flat(made), flat(true)), within=labels)
    )


def test_exchanges_are_permutations_within_groups_and_the_null_is_theirs():
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 0, 1, 1, 2])
    orders = exchanges(6, groups, n=50, rng=rng)
    assert (
        (np.sort(orders, axis=1) == np.arange(6)).all()
        and (groups[orders] == groups).all()
        and len(np.unique(orders, axis=0)) > 5
    )
    pairs, code = rng.normal(size=(8, 6)), np.array([0, 1, 2, 3, 4, 5, 0, 3])
    want = [np.mean([pairs[i, order[code[i]]] for i in range(8)]) for order in orders]
    np.testing.assert_allclose(exchange_null(pairs, code, orders), want)


def test_small_sets_of_stimuli_try_all_signs():
    rng = np.random.default_rng(0)
    code = np.repeat(np.arange(5), 2)
    values = rng.normal(0.3, 1, 10)
    flips = Flips(code, n=7, rng=rng)
    sums = np.array([values[code == k].sum() for k in range(5)]) / 10
    every = np.array([np.dot(signs, sums) for signs in product((1, -1), repeat=5)])
    assert flips.p(values) == pytest.approx((every >= sums.sum() - 1e-9).mean())
    assert flips.p(values, two_sided=True) == pytest.approx((np.abs(every) >= abs(sums.sum()) - 1e-9).mean())
    assert flips.p(np.zeros(10)) == 1.0


def test_trials_of_one_stimulus_count_once():
    rng = np.random.default_rng(1)
    few = rng.normal(0.4, 1, 20)
    many, code = np.repeat(few, 10), np.repeat(np.arange(20), 10)
    once = Flips(np.arange(20), n=5000, rng=np.random.default_rng(0)).p(few)
    assert Flips(code, n=5000, rng=np.random.default_rng(0)).p(many) == pytest.approx(once, abs=0.02)
    width = np.ptp(interval(few, np.arange(20), n=2000, rng=np.random.default_rng(0)))
    assert np.ptp(interval(many, code, n=2000, rng=np.random.default_rng(0))) == pytest.approx(width, rel=0.1)


def test_dimensions_of_known_clouds():
    rng = np.random.default_rng(0)
    line = rng.normal(size=(200, 1)) @ rng.normal(size=(1, 30))
    assert dimensions(line)[:2] == (pytest.approx(1), pytest.approx(1))
    ball = dimensions(np.linalg.qr(rng.normal(size=(400, 11)) - 0)[0][:, 1:])
    assert ball[0] == pytest.approx(10, rel=0.02) and ball[1] == pytest.approx(10, rel=0.02)
    shares = np.array([0.5, 0.3, 0.2])
    basis = np.linalg.qr(np.column_stack([np.ones(50), rng.normal(size=(50, 3))]))[0][:, 1:]
    got = dimensions(basis * np.sqrt(shares))
    assert got[0] == pytest.approx(1 / (shares**2).sum()) and got[1] == pytest.approx(
        np.exp(-(shares * np.log(shares)).sum())
    )
    assert dimensions(np.ones((5, 3)))[:2] == (0, 0)


def test_thumbnails_average_blocks():
    films = np.random.default_rng(0).random((2, 3, 8, 8, 3))
    want = films.reshape(2, 3, 4, 2, 4, 2, 3).mean(axis=(3, 5)).reshape(2, -1)
    np.testing.assert_allclose(thumbnails(films, size=4), want, rtol=1e-5)
    assert thumbnails(films[:, 0], size=4).shape == (2, 48)


def test_scores_hold_every_row_and_the_leads():
    found = of(world())
    table = found.scores
    assert list(table["row"][:6]) == ["decoded", *NULLS, "ridge"] and table["metric"][0] == "two_way"
    decoded, made = found.values["pixcorr"]["decoded"], world()[0]["decoded"]
    true = world()[1]
    by_hand = [[np.corrcoef(m.ravel(), t.ravel())[0, 1] for m, t in zip(seed, true, strict=True)] for seed in made]
    np.testing.assert_allclose(decoded, by_hand, atol=1e-6)
    row = table[(table.metric == "pixcorr") & (table.row == "decoded")].iloc[0]
    assert (
        row["value"] == pytest.approx(np.mean(by_hand))
        and row["low"] < row["value"] < row["high"]
        and row["seeds"] == 2
    )
    assert row["seed_sd"] == pytest.approx(np.std(np.mean(by_hand, axis=1), ddof=1))
    elsewhere = [
        np.corrcoef(made[s, i].ravel(), true[j].ravel())[0, 1]
        for s in range(2)
        for i in range(40)
        for j in range(40)
        if i != j
    ]
    assert row["chance"] == pytest.approx(np.mean(elsewhere), abs=1e-6)
    lead = table[(table.metric == "pixcorr_difference") & (table.row == "decoded")].iloc[0]
    best = max(np.mean(found.values["pixcorr"][null]) for null in NULLS)
    assert lead["value"] == pytest.approx(row["value"] - best) and lead["p"] <= 0.01
    against = table[(table.metric == "pixcorr_difference") & table.row.isin([f"over_{n}" for n in NULLS])]
    assert lead["p"] == against["p"].max()
    assert row_kind("prior_only") == "null" and row_kind("ridge") == "reference"
    Result(table)  # a decoded score has value, chance, interval and n
    assert judge([("s", row)])[0].call == "above"
    assert len(found.per_item) == 3 * (5 * 2 + 1) * 40


def test_the_same_seed_gives_the_same_numbers_and_keys_stand_first():
    one, two = of(world(), keys={"subject": "01"}), of(world(), keys={"subject": "01"})
    assert one.scores.equals(two.scores) and list(one.scores.columns[:2]) == ["subject", "metric"]


def test_eight_bits_score_as_floats_do():
    rows, true, labels = world()
    stored = {k: np.round(255 * v).astype(np.uint8) for k, v in rows.items()}
    a, b = of((rows, true, labels)), of((stored, np.round(255 * true).astype(np.uint8), labels))
    np.testing.assert_allclose(a.headline["gain"], b.headline["gain"], atol=0.01)


def test_metrics_may_be_functions_and_lower_may_be_better():
    def error(made, true):
        return ((made - true) ** 2).reshape(len(made), -1).mean(axis=1)

    error.higher_is_better = False
    found = of(world(strength=0.9), metrics=(error, "mse"))
    rows = found.scores.set_index(["metric", "row"])
    assert rows.loc[("error", "decoded"), "value"] == pytest.approx(rows.loc[("mse", "decoded"), "value"], abs=1e-6)
    assert (found.headline["gain"] > 0).all() and (found.headline["p"] < 0.05).all()
    assert rows.loc[("error", "decoded"), "value"] < rows.loc[("error", "decoded"), "chance"]
    assert rows.loc[("error", "decoded"), "p"] < 0.05 < rows.loc[("error", "noise_brain"), "p"]


def test_repetitions_are_no_distractors_of_one_another():
    rows, true, labels = world(n=20)
    trials = np.repeat(np.arange(20), 3)
    rng = np.random.default_rng(0)
    noisy = {
        k: np.clip(v[:, trials] + 0.05 * rng.normal(size=(len(v), 60, 5, 5, 1)), 0, 1).astype(np.float32)
        for k, v in rows.items()
    }
    found = of((noisy, true[trials], labels[trials]), ids=trials)
    similar = correlations(flat(noisy["decoded"][0]), flat(true))
    np.testing.assert_allclose(found.values["two_way"]["decoded"][0], identification_scores(similar, trials))
    assert "20 stimuli" in found.scores["note"][0] and (found.scores["n"] == 60).all()


def test_folds_keep_exchanges_within_them():
    rows, true, _ = world(n=40, strength=0.0)
    folds = np.arange(40) // 20
    shifted = {k: np.clip(v * np.where(folds == 1, 1.0, 0.2)[:, None, None, None], 0, 1) for k, v in rows.items()}
    darker = true * np.where(folds == 1, 1.0, 0.2)[:, None, None, None]

    def brightness(made, true):
        return -np.abs(made.mean(axis=(1, 2, 3)) - true.mean(axis=(1, 2, 3)))

    leaky = of((shifted, darker, None), metrics=(brightness,))
    kept = of((shifted, darker, None), metrics=(brightness,), exchange=folds)
    p = [r.scores[(r.scores.row == "noise_brain")]["p"].iloc[0] for r in (leaky, kept)]
    assert p[0] < 0.01 < p[1]  # a fold is not an item


def test_films_and_captions():
    rng = np.random.default_rng(0)
    true = rng.random((14, 3, 6, 6, 1)).astype(np.float32)
    near = np.clip(true + 0.1 * rng.normal(size=true.shape), 0, 1).astype(np.float32)
    rows = {"decoded": near[None], **{k: near[rng.permutation(14)][None] for k in NULLS}}
    found = control_report(rows, true, ids=range(14), network=flat, metrics=("two_way", "pixcorr"), n_permutations=200)
    assert (found.headline["p"] < 0.02).all()
    want = [np.mean([np.corrcoef(near[i, f].ravel(), true[i, f].ravel())[0, 1] for f in range(3)]) for i in range(14)]
    np.testing.assert_allclose(found.values["pixcorr"]["decoded"][0], want, atol=1e-6)
    parts = report_parts(found, rows, true)
    assert parts.arrays["control/pictures"].shape == (6, 3, 3, 6, 6, 1)

    words = [
        f"a {c} {s} on the {p}" for c in ("red", "blue", "green") for s in ("ball", "cube") for p in ("left", "right")
    ]

    def shared_words(made, true):
        return np.array([len(set(m.split()) & set(t.split())) / 6 for m, t in zip(made, true, strict=True)])

    texts = {
        "decoded": [words],
        "prior_only": [list(rng.permutation(words))],
        "noise_brain": [["a red ball on the left"] * 12],
    }
    found = control_report(texts, words, ids=range(12), metrics=(shared_words,), n_permutations=500)
    assert found.headline["p"].iloc[0] < 0.01 and found.values["shared_words"]["decoded"].mean() == 1
    parts = report_parts(found, texts, words)
    assert parts.arrays["control/texts"].shape[0] == 4 and [p["draw"] for p in parts.panels] == ["control_bars"]

    def letters(texts):
        return np.array([[t.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts], dtype=float)

    found = control_report(texts, words, ids=range(12), metrics=(shared_words,), network=letters, n_permutations=500)
    assert found.finding("nulls_at_chance").level == "pass" and found.finding("effective_rank").level == "pass"


def test_parts_show_best_median_and_worst():
    rows, true, labels = world()
    found = of((rows, true, labels))
    parts = report_parts(found, rows, true)
    scores = found.values["pixcorr"]["decoded"][0]
    shown = parts.panels[0]["args"]
    assert shown["labels"][0] == "best" and shown["labels"][-1] == "worst" and "median" in shown["labels"]
    assert (
        shown["scores"][0] == scores.max()
        and shown["scores"][-1] == scores.min()
        and sorted(shown["scores"])[::-1] == shown["scores"]
    )
    np.testing.assert_allclose(
        parts.arrays["control/pictures"][1, 0] / 255, rows["decoded"][0, scores.argmax()], atol=0.003
    )
    assert parts.arrays["control/value"].shape == (6, 3) and parts.sentences and parts.findings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r, t: ({k: v for k, v in r.items() if k != "decoded"}, t, {}), "decoded"),
        (lambda r, t: ({**r, "ridge": r["ridge"][0]}, t, {}), "one seed"),
        (lambda r, t: ({**r, "ridge": r["ridge"][:, :10]}, t, {}), "must be"),
        (lambda r, t: ({**r, "ridge": r["ridge"] * np.nan}, t, {}), "not finite"),
        (lambda r, t: (r, t, {"ids": np.zeros(40)}), "two stimuli"),
        (lambda r, t: (r, t, {"ids": np.arange(30)}), "ids"),
        (lambda r, t: (r, t, {"ids": np.arange(40) // 2}), "one category"),
        (lambda r, t: (r, t, {"metrics": ("pixcor",)}), "pixcorr"),
        (lambda r, t: (r, t, {"metrics": ("pixcorr", "pixcorr")}), "twice"),
        (lambda r, t: (r, t, {"metrics": (lambda m, t: 1.0,)}), "one value an item"),
        (lambda r, t: (r, t, {"train": np.zeros((4, 6, 6, 1))}), "size"),
    ],
)
def test_odd_input_is_refused(change, says):
    rows, true, labels = world()
    rows, true, options = change(rows, true)
    with pytest.raises(BraindecError, match=says):
        of((rows, true, labels), **options)
