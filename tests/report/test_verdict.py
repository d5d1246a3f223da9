"""The words on top claim no more than the numbers show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.report.folder import RunRecord, UnitRecord, natural, unit_label
from braindec.report.judge import adjusted, judge, judge_controls, row_kind
from braindec.report.verdict import verdict
from braindec.report.words import block_name, fact, metric_name, nice_ends, number, p_number, row_name


def score(value=0.7, low=0.6, high=0.8, p=0.001, chance=0.5, n=100) -> dict:
    return {"value": value, "chance": chance, "low": low, "high": high, "p": p, "n": n}


def unit(name: str, rows: list[dict], **made_by) -> UnitRecord:
    plain = {"metric": "auc", "version": "1", "row": "decoded", **score()}
    return UnitRecord(f"subject-{name}", {"subject": name}, pd.DataFrame([{**plain, **r} for r in rows]), made_by, None)


def run(units, failures=(), summary=None) -> RunRecord:
    return RunRecord(None, {}, list(units), list(failures), summary, [])


@pytest.mark.parametrize(
    ("row", "call"),
    [
        (score(), "above"),
        (score(p=0.2), "unclear"),
        (score(low=0.49), "unclear"),
        (score(value=0.52, low=0.45, high=0.6, p=0.3), "near"),
        (score(value=0.4, low=0.3, high=0.49, p=0.99), "below"),
        (score(p=np.nan), "untested"),
        (score(low=0.4, p=np.nan), "near"),
    ],
)
def test_one_score(row, call):
    assert judge([("sub-01", row)])[0].call == call


def test_a_p_that_does_not_survive_the_correction_is_not_evidence():
    many = [(f"sub-{i}", score(value=0.52, low=0.45, high=0.6, p=0.5)) for i in range(19)]
    assert judge([*many, ("sub-20", score(p=0.04))])[-1].call == "uncorrected"
    assert judge([("sub-20", score(p=0.04))])[-1].call == "above"


def test_a_p_at_its_floor_is_undecided_not_near_chance():
    many = [(f"sub-{i}", score(value=0.52, low=0.45, high=0.6, p=0.5)) for i in range(3)]
    coarse = ("sub-04", score(p=1 / 41))
    assert judge([*many, coarse], n_permutations=40)[-1].call == "undecided"
    assert judge([*many, coarse], n_permutations=200)[-1].call == "uncorrected"
    record = run([unit("01", [score(p=1 / 41)]), *(unit(f"{i}", [score(0.52, 0.45, 0.6, 0.5)]) for i in range(2, 5))])
    record.made_by["config"] = {"seed": 0, "statistics": {"n_permutations": 40}}
    found = verdict(record)
    assert found.headline == "Not decided for 1 of 4 subjects: too few permutations (AUC)"
    assert "n_permutations of at least 80" in " ".join(found.points)


def test_one_leaking_control_among_many_is_found_with_few_permutations():
    fine = [{"row": "noise_input", **score(0.5, 0.4, 0.6, 0.5)}] * 30
    leaking = {"row": "time_only", **score(0.73, 0.68, 0.78, 1 / 201)}
    assert judge_controls([unit("01", [{}, *fine, leaking])], 200).off == {("subject-01", 31)}


def test_no_control_is_off_in_most_runs_where_none_is():
    """16 control rows at chance with p from 200 permutations, 300 runs."""
    from scipy.stats import norm

    rng, called = np.random.default_rng(2), 0
    for _ in range(300):
        z = rng.standard_normal(16)
        p = (1 + rng.binomial(200, norm.sf(z))) / 201
        rows = [
            {"row": "noise_input", **score(0.5 + 0.02 * v, 0.5 + 0.02 * (v - 1.96), 0.5 + 0.02 * (v + 1.96), q)}
            for v, q in zip(z, p, strict=True)
        ]
        called += bool(judge_controls([unit("01", rows)], 200).off)
    assert called / 300 <= 0.08


def test_where_less_is_better_the_sides_are_changed():
    rank = score(value=8.0, low=5.0, high=12.0, chance=30.5)
    assert judge([("a", rank)], higher=False)[0].call == "above"
    assert judge([("a", score(value=40.0, low=35.0, high=45.0, chance=30.5, p=0.9))], higher=False)[0].call == "below"


def test_adjusted_agrees_with_the_definition_and_leaves_nan_alone():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.2])
    known = np.sort(p[np.isfinite(p)])
    expected = {v: min(known[j] * 4 / (j + 1) for j in range(i, 4)) for i, v in enumerate(known)}
    got = adjusted(p)
    assert np.isnan(got[1]) and all(got[i] == pytest.approx(expected[p[i]]) for i in (0, 2, 3, 4))


def test_nothing_there_is_called_above_chance_in_at_most_one_run_of_twenty():
    """20 subjects without any effect, 400 runs: normal scores, exact p and interval."""
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    called = 0
    for _ in range(400):
        z = rng.standard_normal(20)
        rows = [
            ("s", score(0.5 + 0.02 * v, 0.5 + 0.02 * (v - 1.96), 0.5 + 0.02 * (v + 1.96), float(norm.sf(v)))) for v in z
        ]
        called += any(j.call == "above" for j in judge(rows))
    assert called / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_the_headline_counts_and_names():
    found = verdict(run([unit("01", [{}]), unit("02", [score(value=0.51, low=0.45, high=0.57, p=0.4)])]))
    assert found.headline == "1 of 2 subjects is above chance (AUC)" and found.state == "mixed"
    text = " ".join(found.points)
    assert "Near chance, cannot be told from guessing: sub-02 (0.510 [0.450, 0.570]" in text
    assert verdict(run([unit("01", [{}]), unit("02", [{}])])).state == "good"
    assert verdict(run([unit("01", [score(p=0.4, low=0.4)]), unit("02", [score(p=0.4, low=0.4)])])).headline.startswith(
        "No subject of 2"
    )


def test_control_rows_off_chance_are_flagged_and_the_score_doubted():
    rows = [
        {},
        {"row": "time_only", **score(0.65, 0.55, 0.75, 0.001)},
        {"row": "noise_input", **score(0.5, 0.4, 0.6, 0.5)},
    ]
    found = verdict(run([unit("01", rows)]))
    assert (
        found.controls.off == {("subject-01", 1)}
        and found.doubts == {"sub-01": "control off chance"}
        and found.state == "mixed"
    )
    assert any("1 of 2 control rows is off chance" in p and "time only" in p for p in found.points)


def test_one_control_in_twenty_at_p_005_is_not_called_off():
    rng = np.random.default_rng(1)
    rows = [{"row": "noise_input", **score(0.5, 0.4, 0.6, float(p))} for p in rng.permutation(np.arange(1, 41) / 41)]
    rows[0].update(p=0.03, value=0.6, low=0.51, high=0.69)
    found = judge_controls([unit("01", [{}, *rows])])
    assert not found.off and found.n == 40


def test_controls_without_p_are_judged_by_their_interval():
    shuffle = {"row": "label_shuffle", **score(0.5, 0.45, 0.55, np.nan)}
    assert not judge_controls([unit("01", [shuffle])]).off
    assert judge_controls([unit("01", [{**shuffle, "value": 0.6, "low": 0.56, "high": 0.66}])]).off


def test_a_control_of_which_interval_and_test_disagree_is_not_called_at_chance():
    found = verdict(run([unit("01", [{}, {"row": "time_only", **score(0.247, 0.177, 0.317, 0.095, chance=0.125)}])]))
    assert found.controls.unclear == {("subject-01", 1)} and not found.controls.off and found.state == "mixed"
    assert any("not clear" in p and "time only: sub-01 AUC 0.247" in p for p in found.points)


def test_a_control_of_which_nothing_can_be_said_is_not_called_at_chance():
    whole = {"row": "time_only", "value": 0.94, "low": 0.0, "high": 1.0, "p": np.nan}
    found = verdict(run([unit("01", [{}, whole])]))
    assert found.controls.blind == {("subject-01", 1)} and not found.controls.off
    assert any("cannot be judged" in point and "0.94" in point for point in found.points)
    assert not verdict(run([unit("01", [{}, {**whole, "low": 0.4, "high": 0.6, "value": 0.5}])])).controls.blind


def test_baselines_are_no_controls():
    assert [row_kind(r) for r in ("decoded", "label_shuffle", "time_only", "untrained", "ridge baseline", "category_oracle")] == [
        "decoded", "control", "control", "control", "reference", "reference"]  # fmt: skip
    assert not judge_controls([unit("01", [{"row": "ridge baseline"}])]).off


def test_a_failed_audit_comes_before_any_score():
    bad = {"audit": {"findings": [{"check": "block_design", "level": "fail", "message": "..."}]}}
    found = verdict(run([unit("01", [{}], **bad), unit("02", [{}])]))
    assert found.state == "bad" and "do not trust" in found.headline and "block design" in found.points[0]
    assert "At face value: both subjects are above chance (AUC)." in found.points
    assert found.doubts == {"sub-01": "audit failed"}


def test_directions_of_retrieval_are_not_mixed():
    rows = [
        {"metric": "top1", "direction": "brain_to_image"},
        {"metric": "top1", "direction": "image_to_brain", **score(0.5, 0.4, 0.6, 0.5)},
    ]
    found = verdict(run([unit("01", rows), unit("02", rows)]))
    assert found.metric == "top-1 accuracy, brain to image" and [j.value for j in found.judged] == [0.7, 0.7]


def test_the_mean_is_told_with_its_limits():
    summary = UnitRecord(
        "summary",
        {},
        pd.DataFrame(
            [
                {
                    "subject": "mean",
                    "metric": "auc",
                    "version": "1",
                    "row": "decoded",
                    **score(0.63, 0.55, 0.7, 0.01, n=4),
                }
            ]
        ),
        {},
        None,
    )
    text = " ".join(verdict(run([unit("01", [{}])], summary=summary)).points)
    assert (
        "Mean over 4 subjects: 0.630 [0.550, 0.700], chance 0.500" in text and "little about people in general" in text
    )


def test_units_that_are_no_subjects():
    fold = UnitRecord("fold-1", {"subject": "01", "fold": "1"}, unit("01", [{}]).scores, {}, None)
    assert run([fold]).noun == ("unit", "units") and fold.label == "sub-01 fold-1"
    assert unit_label({}) == "" and sorted(["sub-10", "sub-2", "sub-1a"], key=natural) == ["sub-1a", "sub-2", "sub-10"]


def test_the_page_is_about_scores_that_no_subject_lacks():
    both = [{"region": "reliable", "metric": "pearson"}, {"region": "all", "metric": "pearson", **score(0.6)}]
    most = verdict(run([unit("01", both), unit("02", both)]))
    assert most.block == "pearson, reliable" and most.metric == "Pearson r, reliable channels"
    found = verdict(run([unit("01", both), unit("02", both[1:])]))
    assert found.block == "pearson, all" and len(found.judged) == 2
    other = [{"metric": "auc", **score(np.nan)}, {"metric": "r2"}]
    assert verdict(run([unit("01", [{}, {"metric": "r2"}]), unit("02", other)])).block == "auc"


def test_the_combined_p_is_named_as_it_was_made():
    for note, word in (
        ("mean of 2 units, Cauchy-combined p", "(Cauchy, for tests that share stimuli)"),
        ("Fisher's combined p", "(Fisher)"),
    ):
        mean = pd.DataFrame([{"metric": "auc", "version": "1", "row": "decoded", **score(n=2), "note": note}])
        points = verdict(
            run([unit("01", [{}]), unit("02", [{}])], summary=UnitRecord("summary", {}, mean, {}, None))
        ).points
        assert any(f"Tests combined {word}" in p for p in points)


def test_results_that_are_all_left_out_are_not_called_unfinished():
    record = run([])
    record.made_by["left_out"] = ["subject-01"]
    assert verdict(record).state == "empty" and "other settings" in verdict(record).headline


def test_a_baseline_that_scores_higher_is_said():
    rows = [score(0.6), {"row": "ridge_baseline", **score(0.7)}, {"row": "from_scratch", **score(0.5)}]
    found = verdict(run([unit("01", rows), unit("02", rows)]))
    said = [p for p in found.points if "baseline" in p]
    assert said == ["A baseline scores higher: ridge baseline in 2 of 2 subjects (mean 0.700 against 0.600)."]
    assert not [p for p in verdict(run([unit("01", [score(0.8), *rows[1:]])])).points if "higher" in p]


def test_numbers_as_people_read_them():
    assert [number(v) for v in (0.12345, 0.00001, -0.5, 12.345, 30.5, 123.45, 12345.6, np.nan, None, 0)] == [
        "0.123", "1e−05", "−0.500", "12.35", "30.50", "123.5", "12,346", "", "", "0.000"]  # fmt: skip
    assert [p_number(p) for p in (0.0004, 0.00498, 0.06, 0.2, np.nan)] == ["< 0.001", "0.005", "0.060", "0.20", ""]
    assert [metric_name(m) for m in ("auc", "top5", "balanced_accuracy", "topic")] == [
        "AUC",
        "top-5 accuracy",
        "balanced accuracy",
        "topic",
    ]
    assert [number(v, span=0.3) for v in (-5.9e-05, 0.0004, 0.0006)] == ["0.000", "0.000", "0.001"]
    assert block_name("unique_r2, reliable, all bands") == "R² that a band adds, reliable channels, all bands"
    assert [row_name(r) for r in ("refit_null", "time_only")] == ["surrogate features", "time only"]
    assert [fact(v) for v in (1234, 0.5, {"a": 1200, "b": 3}, [], None, True)] == [
        "1,234",
        "0.5",
        "a 1,200, b 3",
        "none",
        "not said",
        "yes",
    ]


def test_ends_of_a_scale_are_round_and_enclose():
    rng = np.random.default_rng(0)
    for low, width in rng.uniform(0, 1, (200, 2)) * [0.9, 0.1] * rng.choice([1, 1, 50], (200, 1)) + [0, 1e-3]:
        ends = nice_ends(low, low + width)
        assert ends[0] <= low and ends[1] >= low + width and ends[1] - ends[0] <= 1.7 * width + 1e-9
    assert nice_ends(0.0, 1.0) == (0.0, 1.0) and nice_ends(0.4, 0.4)[0] < 0.4 < nice_ends(0.4, 0.4)[1]


def test_below_the_best_blind_guess_is_no_fault_and_no_leak():
    worse = {"metric": "accuracy", **score(value=0.55, low=0.5, high=0.6, p=0.4, chance=0.8)}
    rows = [worse, {**worse, "row": "noise_input"}, {**worse, "row": "label_shuffle", "p": np.nan}]
    found = verdict(run([unit("01", rows)]))
    text = " ".join(found.points)
    assert not found.controls.off and not found.controls.unclear
    assert "best blind guess" in text and "fault" not in text
    rows = [{**r, "metric": "log_loss", **score(value=0.9, low=0.85, high=0.95, p=0.4, chance=0.69)} for r in rows]
    assert not judge_controls([unit("01", rows)]).off
    better = {**rows[1], **score(value=0.4, low=0.3, high=0.5, p=0.001, chance=0.69)}
    assert len(judge_controls([unit("01", [rows[0], better])]).off) == 1


def test_below_chance_with_a_small_p_is_a_disagreement_not_a_fault():
    assert judge([("sub-01", score(value=0.6, low=0.55, high=0.7, p=0.01, chance=0.8))])[0].call == "unclear"


def test_the_combined_p_is_not_told_as_that_of_the_mean():
    row = {"subject": "mean", "metric": "auc", "version": "1", "row": "decoded", **score(0.56, 0.42, 0.7, 0.001, n=4)}
    record = run(
        [unit(str(i), [score()]) for i in range(4)], summary=UnitRecord("summary", {}, pd.DataFrame([row]), {}, None)
    )
    told = next(t for t in verdict(record).points if t.startswith("Mean over"))
    assert "chance 0.500. Tests combined (Fisher)" in told and "may come from one" in told


def test_answers_beyond_chance_are_joined_over_units():
    def said(region, says):
        return {"about": "Encoding", "item": region, "says": says}

    one = unit("01", [{}], answers=[said("IFG", "beyond length in"), said("A1", "not above chance in"), "The same."])
    two = unit(
        "02", [{}], answers=[said("IFG", "beyond length in"), said("A1", "beyond length in"), "The same.", "Mine."]
    )
    text = " ".join(verdict(run([one, two])).points)
    assert "Encoding: beyond length in IFG, A1 (1 of 2 subjects); not above chance in A1 (1 of 2 subjects)." in text
    assert text.count("The same.") == 1 and "sub-02: Mine." in text


@pytest.mark.parametrize(
    ("auc", "lead"), [(0.99, "is found ("), (0.8, "is found in part ("), (0.5, "is not found everywhere (")]
)
def test_what_was_planted_is_named(auc, lead):
    rows = [{}, {"metric": "auc_planted", "band": "sentence", "region": "channels", "value": auc}]
    text = " ".join(verdict(run([unit("01", rows)])).points)
    assert f"What was planted {lead}" in text and number(auc) in text


def test_fewer_tagged_than_by_chance_is_no_leak():
    low, high = (
        {"metric": "tagged_units", "row": "untrained", **score(v, v - 0.005, v + 0.005, np.nan, 0.05)}
        for v in (0.03, 0.08)
    )
    assert not judge_controls([unit("01", [{}, low])]).off and judge_controls([unit("01", [{}, high])]).off


def test_scores_that_no_decoder_made():
    assert row_name("decoded", "corr_cov") == row_name("decoded", "corr_cov_difference") == "score"
    assert row_name("decoded", "auc") == "decoded" and row_name("untrained_3") == "untrained network 3"
    assert row_name("layer 2 mlp_out") == "layer 2, MLP output"
    assert (
        block_name("tagged_channels, all channels, sentence") == "share of channels tagged, all channels, sentence rate"
    )
