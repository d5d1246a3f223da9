"""Splits: what is in which part, for every key; and what is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.evaluate._rows import distance_to, rows_of
from braindec.evaluate.splits import content_folds, content_split, inner, split_by
from braindec.types import Recording, Windows


def trials(n_subjects=2, n_sessions=2, n_runs=3, per=10) -> pd.DataFrame:
    rows = [
        (f"{s:02d}", f"{e:02d}", f"{r:02d}", 2.0 * i, 0.5, f"img{(per * r + i) % 15}")
        for s in range(1, n_subjects + 1) for e in range(1, n_sessions + 1) for r in range(1, n_runs + 1) for i in range(per)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["subject", "session", "run", "onset", "duration", "stimulus_id"])


def continuous(n=100, step=0.5, length=1.0, sfreq=10.0) -> Windows:
    start = np.round(np.arange(n) * step * sfreq).astype(int)
    n_times = int(length * sfreq)
    recording = Recording(np.zeros((2, start[-1] + n_times)), sfreq, pd.DataFrame({"name": ["a", "b"]}))
    return Windows((recording,), np.c_[np.zeros(n, int), start], n_times, pd.DataFrame({"run": ["1"] * n}))


def check_tested_once(splits, n):
    assert np.array_equal(np.sort(np.concatenate([s.test for s in splits])), np.arange(n))


def test_run_is_understood_within_subject_and_session():
    table = trials()
    splits = split_by(table, "run")
    assert len(splits) == 12
    assert splits[0].name == "sub-01_ses-01_run-01"
    check_tested_once(splits, len(table))
    for s in splits:
        assert len(table.iloc[s.test][["subject", "session", "run"]].drop_duplicates()) == 1
        assert len(s.train) + len(s.test) == len(table)


@pytest.mark.parametrize(("by", "n"), [("subject", 2), ("session", 4), ("stimulus_id", 15)])
def test_leave_one_value_out(by, n):
    table = trials()
    splits = split_by(table, by)
    assert len(splits) == n
    check_tested_once(splits, len(table))
    for s in splits:
        columns = {"session": ["subject", "session"]}.get(by, [by])
        keys = table[columns].agg("/".join, axis=1)
        assert not set(keys.iloc[s.train]) & set(keys.iloc[s.test])


def test_folds_keep_groups_whole_and_even():
    table = trials()
    splits = split_by(table, "stimulus_id", n_folds=4, validation=0.25, seed=3)
    check_tested_once(splits, len(table))
    sizes = [len(s.test) for s in splits]
    assert max(sizes) - min(sizes) <= 8  # a stimulus has 8 rows
    for s in splits:
        parts = [set(table.stimulus_id.iloc[p]) for p in (s.train, s.validation, s.test)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        assert len(parts[1]) == round(0.25 * (len(parts[0]) + len(parts[1])))
    again = split_by(table, "stimulus_id", n_folds=4, validation=0.25, seed=3)
    assert [s.hash for s in splits] == [s.hash for s in again]
    assert [s.hash for s in splits] != [
        s.hash for s in split_by(table, "stimulus_id", n_folds=4, validation=0.25, seed=4)
    ]


def test_time_blocks_are_contiguous_in_each_subject():
    table = trials(n_sessions=1).sample(frac=1, random_state=0).reset_index(drop=True)
    splits = split_by(table, "time", n_folds=5)
    check_tested_once(splits, len(table))
    for subject in ("01", "02"):
        mine = table[table.subject == subject]
        runs = list(dict.fromkeys(table.run[table.subject == subject]))  # recordings in the order of the table
        order = mine.assign(r=mine.run.map(runs.index)).sort_values(["r", "onset"]).index
        fold = np.empty(len(table), int)
        for k, s in enumerate(splits):
            fold[s.test] = k
        assert np.all(np.diff(fold[order]) >= 0)


def test_gap_leaves_out_exactly_the_rows_that_are_too_close():
    windows = continuous()
    for gap in (0.0, 0.7, 3.0):
        for s in split_by(windows, "time", n_folds=4, gap=gap):
            start = windows.index[:, 1] / windows.sfreq
            apart = np.abs(start[:, None] - start[None, s.test]) - 1.0  # windows last 1 s
            nearest = apart.min(axis=1)
            expected = np.setdiff1d(np.flatnonzero(nearest >= gap - 1e-9) if gap else np.arange(100), s.test)
            assert np.array_equal(s.train, expected)


def test_gap_never_reaches_into_another_recording():
    table = trials(1, 1, 3)
    for s in split_by(table, "run", gap=100.0):
        assert len(s.train) == 20


def test_gap_holds_for_validation_too():
    windows = continuous(200)
    rows = rows_of(windows)
    for s in split_by(windows, "time", n_folds=4, gap=2.0, validation=0.2):
        assert len(s.validation) >= 20
        assert distance_to(rows, s.train, s.validation).min() >= 2 - 1e-9
        assert distance_to(rows, s.train, s.test).min() >= 2 - 1e-9
        assert distance_to(rows, s.validation, s.test).min() >= 2 - 1e-9


def test_distance_against_every_pair():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"run": rng.choice(["1", "2"], 80), "onset": rng.uniform(0, 60, 80), "duration": rng.uniform(0.1, 3, 80)}
    )
    rows = rows_of(table)
    a, b = np.arange(30), np.arange(30, 80)
    found = distance_to(rows, a, b)
    for i, row in enumerate(a):
        same = b[rows.recording[b] == rows.recording[row]]
        gaps = np.maximum(rows.start[same] - rows.stop[row], rows.start[row] - rows.stop[same])
        if gaps.min() >= 0:
            assert found[i] == pytest.approx(gaps.min())
        else:
            assert found[i] < 0


def test_windows_of_arrays_use_onsets_not_places_in_the_array():
    table = pd.DataFrame({"onset": [0.0, 10.0, 20.0, 30.0], "run": ["1", "1", "2", "2"]})
    rows = rows_of(Windows.from_arrays(np.zeros((4, 1, 100)), table, sfreq=100.0, tmin=-0.5))
    assert rows.start.tolist() == [-0.5, 9.5, 19.5, 29.5]
    assert rows.stop.tolist() == [0.5, 10.5, 20.5, 30.5]
    assert rows.recording.tolist() == [0, 0, 1, 1]


def test_content_is_in_the_same_part_for_every_subject_and_cohort():
    table = trials()
    whole = content_split(table, "stimulus_id", test=0.3, validation=0.2)
    part_of = {}
    for part in ("train", "validation", "test"):
        for value in table.stimulus_id.iloc[getattr(whole, part)]:
            assert part_of.setdefault(value, part) == part
    other = pd.DataFrame({"stimulus_id": [f"img{i}" for i in range(14, -1, -1)]})
    again = content_split(other, "stimulus_id", test=0.3, validation=0.2)
    for part in ("train", "validation", "test"):
        assert {part_of[v] for v in other.stimulus_id.iloc[getattr(again, part)]} <= {part}


def test_content_hash_is_sha256_of_seed_and_value():
    table = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(400)]})
    split = content_split(table, "stimulus_id", test=0.25, validation=0.1, seed=5)
    place = [int(hashlib.sha256(f"5\ns{i}".encode()).hexdigest()[:16], 16) / 2**64 for i in range(400)]
    assert np.array_equal(split.test, np.flatnonzero(np.array(place) < 0.25))
    assert np.array_equal(split.validation, np.flatnonzero((np.array(place) >= 0.25) & (np.array(place) < 0.35)))
    assert abs(len(split.test) / 400 - 0.25) < 0.08


def test_content_does_not_depend_on_how_a_table_stored_it():
    a = content_split(pd.DataFrame({"stimulus_id": [str(i) for i in range(60)]}), "stimulus_id")
    b = content_split(pd.DataFrame({"stimulus_id": np.arange(60.0)}), "stimulus_id")
    assert np.array_equal(a.test, b.test) and np.array_equal(a.validation, b.validation)


def test_content_folds_agree_between_cohorts():
    table = trials()
    splits = content_folds(table, "stimulus_id", n_folds=3, validation=0.3)
    check_tested_once(splits, len(table))
    few = pd.DataFrame({"stimulus_id": [f"img{i}" for i in range(15)]})
    for s, t in zip(splits, content_folds(few, "stimulus_id", n_folds=3), strict=True):
        assert set(table.stimulus_id.iloc[s.test]) == set(few.stimulus_id.iloc[t.test])
        assert not set(table.stimulus_id.iloc[s.validation]) & set(table.stimulus_id.iloc[s.train])


def test_inner_stays_inside_training():
    windows = continuous(120)
    for outer in split_by(windows, "time", n_folds=4, gap=1.0):
        for s in inner(outer, windows, n_folds=3):
            used = np.concatenate([s.train, s.test])
            assert np.isin(used, outer.train).all()
            assert distance_to(rows_of(windows), s.train, s.test).min() >= 1 - 1e-9
    table = trials()
    outer = split_by(table, "subject")[0]
    nested = inner(outer, table, by="run", n_folds=2)
    assert np.isin(np.concatenate([s.test for s in nested]), outer.train).all()


@pytest.mark.parametrize("by", ["shuffled", "random", "KFold", "StratifiedKFold", "train_test_split", "window_id"])
def test_shuffled_splits_of_ordered_data_are_refused(by):
    for data in (trials(), continuous(), pd.DataFrame({"trial_type": list("abab")})):
        with pytest.raises(BraindecError, match=r"neighbouring windows[\s\S]*fix: .*by=\"time\""):
            split_by(data, by)


def test_shuffling_distinct_items_without_time_is_a_split_by_item():
    items = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(20)]})
    splits = split_by(items, "random")
    check_tested_once(splits, 20)
    assert splits[0].by == "stimulus_id"
    with pytest.raises(BraindecError):
        split_by(pd.concat([items, items]), "random")


@pytest.mark.parametrize(
    ("by", "options", "words"),
    [
        ("stimulusid", {}, "did you mean 'stimulus_id'"),
        ("empty", {}, "no value there"),
        ("dataset", {}, "all 120 rows have one value"),
        ("subject", {"n_folds": 5}, "5 folds by 'subject' need 5 groups"),
        ("subject", {"validation": 0.2}, "at least 2 groups"),
        ("time", {}, "needs n_folds"),
        ("time", {"n_folds": 100}, "100 blocks of time"),
        ("run", {"n_folds": 1}, "at least 2"),
        ("run", {"gap": -1}, "gap is a time"),
        ("run", {"validation": 1.5}, "validation is a share"),
        ("block", {"gap": 1000.0}, "leaves nothing to train on"),
    ],
)
def test_errors_say_what_to_do(by, options, words):
    table = trials().assign(empty=None, dataset="d", block=lambda t: (t.onset > 9).astype(str))
    with pytest.raises(BraindecError, match=words):
        split_by(table, by, **options)


def test_more_errors():
    with pytest.raises(BraindecError, match="time of every row"):
        split_by(trials().drop(columns="onset"), "run", gap=1.0)
    with pytest.raises(BraindecError, match="leaves a part empty"):
        content_split(trials(), "subject")
    with pytest.raises(BraindecError, match="no such column"):
        content_split(trials(), "concept_id")
    with pytest.raises(BraindecError, match="make 1200 folds"):
        split_by(pd.DataFrame({"stimulus_id": np.arange(1200)}), "stimulus_id")
    with pytest.raises(BraindecError, match="0 windows"):
        split_by(trials().iloc[:0], "run")
    with pytest.raises(BraindecError, match="another row has"):
        split_by(trials().assign(window_id="w"), "run")
    with pytest.raises(BraindecError, match="allowed: Windows"):
        split_by([1, 2, 3], "run")
    with pytest.raises(BraindecError, match="made for other windows"):
        inner(split_by(trials(), "run")[0], trials(1))
