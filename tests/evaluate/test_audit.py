"""Audit: each check on a planted fault and on its clean twin; false alarms on clean designs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.splits import content_split, split_by
from braindec.types import Features, FitRecord, Recording, Split, Windows


def noise(rng, n_channels, n_times, exponent=1.0):
    """Noise with power 1 / f**exponent, shape (n_channels, n_times)."""
    f = np.fft.rfftfreq(n_times)
    spectrum = rng.normal(size=(n_channels, len(f))) + 1j * rng.normal(size=(n_channels, len(f)))
    spectrum[:, 1:] *= f[1:] ** (-exponent / 2)
    return np.fft.irfft(spectrum, n_times, axis=1).astype(np.float32)


def run_of(rng, run="1", n=40, *, labels=None, subject="01", soa=1.5, sfreq=50.0, session="01", **columns) -> Windows:
    """A run of 1/f noise with ``n`` trials; windows from -0.2 to 0.6 s."""
    onset = 1 + np.arange(n) * soa
    names = [f"C{i + 1}" for i in range(6)]
    info = {"subject": subject, "session": session, "run": run, "modality": "eeg"}
    data = noise(rng, 6, int((n * soa + 3) * sfreq))
    recording = Recording(data, sfreq, pd.DataFrame({"name": names, "type": "eeg", "unit": "V"}), info=info)
    trials = pd.DataFrame(
        {"subject": subject, "session": session, "run": run, "onset": onset, "duration": 0.5, **columns}
    )
    if labels is not None:
        trials["trial_type"] = labels
    index = np.c_[np.zeros(n, int), np.round((onset - 0.2) * sfreq).astype(int)]
    return Windows((recording,), index, int(0.8 * sfreq), trials, tmin=-0.2)


def runs(seed=0, n_runs=5, n=40, classes="ab", **options) -> Windows:
    rng = np.random.default_rng(seed)
    return Windows.concat([
        run_of(rng, str(r + 1), n, labels=rng.permutation(np.repeat(list(classes), n // len(classes))), **options)
        for r in range(n_runs)
    ])  # fmt: skip


def levels(found, check):
    return {f.level for f in found.of(check)}


def shuffled(windows, n_folds=5, seed=0) -> list[Split]:
    """The split that split_by refuses."""
    order = np.random.default_rng(seed).permutation(len(windows))
    ids = windows.ids if isinstance(windows, Windows) else np.arange(len(windows)).astype(str)
    return [
        Split(np.setdiff1d(order, order[k::n_folds]), [], order[k::n_folds], "shuffled", ids) for k in range(n_folds)
    ]


def test_every_check_is_run_and_speaks_plain_json():
    windows = runs()
    found = audit(windows, split_by(windows, "run"))
    assert {f.check for f in found.findings} == set(registry.names("evaluate.checks"))
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["level"] == found.level == "pass"
    assert again["counts"]["fail"] == 0 and len(again["findings"]) == len(found.table())
    assert found.to_dict() == audit(windows, split_by(windows, "run")).to_dict()
    assert str(found).startswith("audit: pass")


def test_content_overlap():
    trials = pd.DataFrame({"run": np.repeat(["1", "2"], 20), "stimulus_id": [f"s{i % 20}" for i in range(40)]})
    found = audit(trials, split_by(trials, "run"), checks=["content_overlap"])
    assert found.level == "warn" and "20 of 20 tested stimulus_id" in found.findings[0].message
    assert audit(trials, split_by(trials, "run"), checks=["content_overlap"], claim="stimulus_id").level == "fail"
    assert audit(trials, content_split(trials, "stimulus_id"), checks=["content_overlap"]).level == "pass"
    claimed = Split(np.arange(20), [], np.arange(20, 40), "stimulus_id", np.arange(40).astype(str))
    assert audit(trials, claimed, checks=["content_overlap"]).level == "fail"  # says it, and does not do it
    # new images of known concepts
    trials["concept_id"] = [f"c{int(s[1:]) % 4}" for s in trials.stimulus_id]
    found = audit(trials, content_split(trials, "stimulus_id"), checks=["content_overlap"], claim="concept_id")
    assert [f.level for f in found.findings] == ["fail", "pass"]
    # where the stimulus is the class, it has to be in both
    assert (
        audit(trials, split_by(trials, "run"), y="stimulus_id", checks=["content_overlap"]).findings[0].level == "pass"
    )


def test_subject_overlap():
    table = pd.DataFrame(
        {"subject": np.repeat([f"{i:02d}" for i in range(8)], 10), "run": np.tile(np.repeat(["1", "2"], 5), 8)}
    )
    diagnosis = np.where(table.subject.astype(int) < 4, "patient", "control")
    assert audit(table, split_by(table, "run"), y=diagnosis, checks=["subject_overlap"]).level == "fail"
    assert audit(table, split_by(table, "subject", n_folds=4), y=diagnosis, checks=["subject_overlap"]).level == "pass"
    within = np.tile(list("ab"), 40)
    assert audit(table, split_by(table, "run"), y=within, checks=["subject_overlap"]).level == "pass"
    assert audit(table, split_by(table, "run"), y=within, claim="subject", checks=["subject_overlap"]).level == "fail"
    one = table[table.subject == "01"]
    assert levels(audit(one, split_by(one, "run"), checks=["subject_overlap"]), "subject_overlap") == {"skip"}


def test_time_adjacency():
    rng = np.random.default_rng(0)
    windows = run_of(rng, n=100, labels=rng.permutation(list("ab") * 50))  # 0.7 s between windows of 0.8 s
    check = {"checks": ["time_adjacency"]}
    assert audit(windows, split_by(windows, "time", n_folds=5), **check).level == "warn"
    found = audit(windows, split_by(windows, "time", n_folds=5), **check).findings[0]
    assert found.evidence["smallest_s"] == pytest.approx(0.7) and found.evidence["n_near"] == 8
    assert audit(windows, split_by(windows, "time", n_folds=5, gap=1.0), **check).level == "pass"
    assert audit(windows, split_by(windows, "time", n_folds=5, gap=1.0), min_gap=5.0, **check).level == "warn"
    assert audit(windows, shuffled(windows), **check).level == "warn"
    close = run_of(rng, n=100, soa=0.5)
    found = audit(close, split_by(close, "time", n_folds=5), **check).findings[0]
    assert found.level == "fail" and found.evidence["n_overlapping"] == 8
    several = runs()
    assert audit(several, split_by(several, "run"), **check).level == "pass"
    table = pd.DataFrame({"run": list("1122")})
    assert levels(audit(table, split_by(table, "run"), **check), "time_adjacency") == {"skip"}


def test_block_design():
    check = {"checks": ["block_design"]}
    rng = np.random.default_rng(1)
    # one long block a class in one recording
    windows = run_of(rng, n=120, labels=np.repeat(list("abcd"), 30))
    found = audit(windows, shuffled(windows), **check)
    assert found.level == "fail" and found.findings[0].evidence["neighbour_agreement"] > 0.9
    # the same order in each run: position in the run gives it away, though whole runs are left out
    same = rng.permutation(np.repeat(list("ab"), 20))
    fixed = Windows.concat([run_of(rng, str(r), labels=same) for r in range(5)])
    found = audit(fixed, split_by(fixed, "run"), **check)
    assert found.level == "fail" and found.findings[0].evidence["position_agreement"] == 1.0
    # one class a run
    constant = Windows.concat([run_of(rng, str(r), labels=["ab"[r % 2]] * 40) for r in range(6)])
    assert audit(constant, split_by(constant, "run", n_folds=3), **check).level == "warn"
    assert audit(constant, split_by(constant, "time", n_folds=4), **check).level == "fail"  # runs are cut
    # unequal classes in runs, runs shared
    unequal = Windows.concat(
        [
            run_of(rng, str(r), labels=rng.choice(list("ab"), 40, p=[p, 1 - p]))
            for r, p in enumerate((0.9, 0.1, 0.8, 0.2))
        ]
    )
    assert audit(unequal, shuffled(unequal), **check).level == "fail"
    # blocks of volumes inside runs, dealt anew each run, whole runs left out: this is how it should be done
    clean = Windows.concat(
        [run_of(rng, str(r), 72, labels=np.repeat(rng.permutation(list("abcdefgh")), 9)) for r in range(8)]
    )
    assert audit(clean, split_by(clean, "run"), **check).level == "pass"


def test_block_design_without_times_uses_row_order():
    y = np.repeat(list("abcd"), 25)
    table = pd.DataFrame({"trial_type": y})
    assert audit(table, shuffled(table), checks=["block_design"]).level == "fail"
    mixed = pd.DataFrame({"trial_type": np.random.default_rng(0).permutation(y)})
    assert audit(mixed, shuffled(mixed), checks=["block_design"]).level == "pass"


def test_fit_scope_and_selection():
    windows = runs()
    split = split_by(windows, "run", validation=0.25)[0]
    ids = windows.ids
    inside = FitRecord.of("Scaler", ids[split.train])
    everything = FitRecord.of("Scaler", ids)
    cases = [
        ([inside], "pass"), ([everything], "fail"), ([FitRecord.of("Scaler", None)], "warn"),
        ([FitRecord.of("Scaler", ids[np.r_[split.train, split.validation]])], "pass"),
        ([FitRecord.of("Scaler", ["elsewhere"])], "warn"), ([(split, [inside])], "pass"), ([(split, [everything])], "fail"),
    ]  # fmt: skip
    for records, level in cases:
        found = audit(windows, split, records=records, checks=["fit_scope"])
        assert found.level == level, (records, found)
    finding = audit(windows, split, records=[everything], checks=["fit_scope"]).findings[0]
    assert finding.evidence["n_outside"] == len(split.test) and finding.evidence["examples"][0] in ids[split.test]
    assert "Scaler" in finding.message
    for rows, level in ((split.validation, "pass"), (split.train, "pass"), (split.test, "fail"), ([], "warn")):
        record = FitRecord.of("EarlyStopping", ids[np.asarray(rows, int)], purpose="selection")
        found = audit(windows, split, records=[record], checks=["test_selection", "fit_scope"])
        assert levels(found, "test_selection") == {level}
        assert levels(found, "fit_scope") == {"skip"}


def test_records_of_other_folds_are_told_apart():
    windows = runs()
    folds = split_by(windows, "run")
    records = [(s, [FitRecord.of("LDA", windows.ids[s.train])]) for s in folds]
    assert audit(windows, folds, records=records, checks=["fit_scope"]).level == "pass"
    assert (
        audit(windows, folds, records=[r for _, steps in records for r in steps], checks=["fit_scope"]).level == "pass"
    )
    crossed = [(folds[0], records[1][1])]  # carried over from another fold
    assert audit(windows, folds, records=crossed, checks=["fit_scope"]).level == "fail"


def test_duplicate_candidates():
    windows = runs()
    split = split_by(windows, "run")
    rng = np.random.default_rng(0)
    vectors, names = rng.normal(size=(30, 8)), [f"s{i}" for i in range(30)]
    check = {"checks": ["duplicate_candidates"]}
    assert audit(windows, split, candidates=vectors, candidate_ids=names, **check).level == "pass"
    assert audit(windows, split, candidates=Features.from_array(vectors, names), **check).level == "pass"
    tripled = {"candidates": np.tile(vectors, (3, 1)), "candidate_ids": names * 3}
    found = audit(windows, split, **tripled, **check).findings[0]
    assert found.level == "warn" and "60 candidates repeat" in found.message
    assert audit(windows, split, candidates=vectors, **check).level == "fail"  # no names
    two = audit(windows, split, candidates=np.r_[vectors, vectors[:1] + 1], candidate_ids=[*names, "s0"], **check)
    assert two.level == "fail" and "s0" in two.findings[0].message
    twins = audit(
        windows, split, candidates=np.r_[vectors, 2 * vectors[4:6]], candidate_ids=[*names, "x", "y"], **check
    )
    assert twins.level == "warn" and twins.findings[0].evidence["twins"] == [["s4", "x"], ["s5", "y"]]


def test_duplicate_recordings():
    rng = np.random.default_rng(0)
    check = {"checks": ["duplicate_recordings"]}
    windows = runs()
    assert audit(windows, split_by(windows, "run"), **check).level == "pass"
    first = windows[windows.trials.run == "1"]
    copied = Recording(  # the same run again, in another unit and with an offset
        first.recordings[0].signal.read() * 1e6 + 5,
        50.0,
        first.channels,
        info={"subject": "01", "session": "02", "run": "1"},
    )
    again = Windows(
        (copied,), first.index, first.n_times, first.trials.drop(columns="window_id").assign(session="02"), first.tmin
    )
    both = Windows.concat([windows, again])
    found = audit(both, split_by(both, "run"), **check).findings[0]
    assert found.level == "fail" and found.evidence["n_pairs"] == 40
    assert found.evidence["sources"] == [["sub-01_ses-01_run-1", "sub-01_ses-02_run-1"]]
    sparse = Windows.from_arrays(
        (rng.random((200, 4, 50)) < 0.01).astype("f4"), {"run": np.repeat(list("12"), 100)}, sfreq=50.0
    )
    assert audit(sparse, split_by(sparse, "run"), **check).level in ("pass", "skip")  # nearly empty spike windows


@pytest.mark.parametrize(
    ("make", "level", "words"),
    [
        (lambda d: d, "pass", "independent"),
        (lambda d: np.r_[d, -d.mean(axis=0)[None]], "warn", "X9 is minus the mean of the other 8"),
        (lambda d: np.r_[d, 3 * d[2:3]], "warn", "X9 is a copy of X3"),
        (lambda d: np.r_[d, (0.5 * d[1] - 0.2 * d[4])[None]], "warn", "a sum of 2 others"),
        (lambda d: d - d.mean(axis=0), "warn", "average reference, or one channel is rebuilt"),
        (lambda d: np.r_[d, np.zeros_like(d[:1])], "warn", "1 channels are flat: X9"),
    ],
)
def test_rank_deficient(make, level, words):
    rng = np.random.default_rng(0)
    data = make((rng.normal(size=(8, 8)) @ noise(rng, 8, 4000)).astype("f4")).astype("f4")
    names = [f"X{i + 1}" for i in range(len(data))]
    recording = Recording(data, 100.0, pd.DataFrame({"name": names, "type": "eeg"}))
    windows = Windows(
        (recording,), np.c_[np.zeros(39, int), np.arange(39) * 100], 100, pd.DataFrame({"run": ["1"] * 39})
    )
    found = audit(windows, split_by(windows, "time", n_folds=3), checks=["rank_deficient"]).findings[0]
    assert (found.level, words in found.message) == (level, True), found.message


def test_pre_onset():
    windows = runs(seed=3, classes="abcd")
    check = {"checks": ["pre_onset"]}
    assert audit(windows, split_by(windows, "run"), **check).level == "pass"
    # each run has blocks of one class, and the amplifier drifts
    blocked = run_of(np.random.default_rng(0), n=160, labels=np.repeat(list("abcd"), 40))
    drift = blocked.recordings[0]
    level = np.linspace(0, 4, drift.n_times) * drift.signal.read().std()
    drifting = Windows(
        (drift.with_signal(drift.signal.read() + level),), blocked.index, blocked.n_times, blocked.trials, blocked.tmin
    )
    found = audit(drifting, shuffled(drifting), **check).findings[0]
    assert found.level == "fail" and found.evidence["balanced_accuracy"] > 0.6
    later = Windows(windows.recordings, windows.index, windows.n_times, windows.trials, tmin=0.0)
    assert audit(later, split_by(later, "run"), **check).findings[0].level == "skip"


def positions(xyz, names=None, **info) -> Windows:
    xyz = np.asarray(xyz, dtype=float)
    channels = pd.DataFrame(
        {
            "name": names or [f"e{i}" for i in range(len(xyz))],
            "type": "seeg",
            "x": xyz[:, 0],
            "y": xyz[:, 1],
            "z": xyz[:, 2],
        }
    )
    info = {"space": "MNI152NLin2009cAsym", **info}
    recording = Recording(np.random.default_rng(0).normal(size=(len(xyz), 400)), 100.0, channels, info=info)
    return Windows(
        (recording,), np.c_[np.zeros(8, int), np.arange(8) * 50], 50, pd.DataFrame({"run": list("11112222")})
    )


def test_positions():
    metres = np.random.default_rng(0).uniform(-0.045, 0.045, size=(10, 3))
    far, some = metres.copy(), metres.copy()
    far[3], some[4] = (0.01, 0.2, 0.0), np.nan
    check = {"checks": ["positions"]}
    for xyz, info, level, words in (
        (metres, {}, "pass", "10 of 10"), (metres * 1000, {}, "warn", "as in mm"), (metres * 100, {}, "warn", "as in cm"),
        (metres[[0, 1, 2, 2]], {}, "warn", "e2 = e3"), (metres * np.nan, {}, "warn", "no electrode has a position"),
        (metres, {"renamed": {"A1-1": "A1"}}, "warn", "stood twice: A1"), (metres, {"renamed": {"Fz": "Fz.."}}, "pass", "10 of 10"), (metres, {"space": None}, "warn", "unknown space"),
        (far, {}, "warn", "outside the head: e3"), (some, {}, "warn", "without a position: e4"),
    ):  # fmt: skip
        windows = positions(xyz, **info)
        finding = audit(windows, split_by(windows, "run"), **check).findings[0]
        assert (finding.level, words in finding.message) == (level, True), finding.message


def test_class_balance_and_small_n():
    def look(y, run, check):
        table = pd.DataFrame({"trial_type": y, "run": run})
        return audit(table, split_by(table, "run"), y="trial_type", checks=[check])

    run = np.repeat(list("1234"), 10)
    assert look(list("ab") * 20, run, "class_balance").level == "pass"
    assert look(["a"] * 40, run, "class_balance").level == "fail"
    assert look(np.repeat(list("abcd"), 10), run, "class_balance").level == "fail"  # a class that training never saw
    alone = look(np.repeat(list("abab"), 10), run, "class_balance")
    assert alone.level == "warn" and "AUC is undefined" in alone.findings[0].message
    assert look(["a"] * 12 + ["b"] + ["a"] * 12 + ["b"] + ["a"] * 14, run, "class_balance").level in ("warn", "fail")
    imbalanced = look((["a"] * 4 + ["b"]) * 8, run, "class_balance").findings[0]
    assert imbalanced.level == "pass" and "balanced accuracy" in imbalanced.message
    finding = look(list("ab") * 20, run, "small_n").findings[0]
    assert finding.evidence["threshold"] == 0.65  # 26 of 40: P(X >= 26) = 0.040, P(X >= 25) = 0.077
    assert finding.level == "pass"
    assert look(list("ab") * 4, list("11112222"), "small_n").level == "warn"


def test_unreadable_signal_is_skipped_and_said():
    windows = runs(n_runs=2)

    class Broken(type(windows.recordings[0].signal)):
        def read(self, *args):
            raise BraindecError("the file is gone")

    recordings = [r.with_signal(Broken(r.signal.read())) for r in windows.recordings]
    broken = Windows(tuple(recordings), windows.index, windows.n_times, windows.trials, windows.tmin)
    found = audit(broken, split_by(broken, "run"))
    assert found.level == "pass" and "the file is gone" in found.of("rank_deficient")[0].message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"splits": []}, "at least one split"),
        ({"y": ["a"]}, "differ in number"),
        ({"y": "nothing"}, "no column 'nothing'"),
        ({"records": ["scaler"]}, "is not understood"),
        ({"candidates": np.zeros((3, 2)), "candidate_ids": ["a"]}, "a name each"),
        ({"checks": ["fitscope"]}, "did you mean 'fit_scope'"),
    ],
)
def test_errors(change, words):
    windows = runs(n_runs=2)
    splits = change.pop("splits", split_by(windows, "run"))
    with pytest.raises(BraindecError, match=words):
        audit(windows, splits, **change)
    other = runs(n_runs=3)
    with pytest.raises(BraindecError, match="made for other rows"):
        audit(windows, split_by(other, "run"))


def leave_run_out(seed):
    windows = runs(seed, classes="ab" if seed % 2 else "abcd")
    return windows, split_by(windows, "run")


def new_concepts(seed):
    rng = np.random.default_rng(seed)
    concept = rng.permutation(np.repeat([f"k{j}" for j in range(50)], 4))
    parts = [concept[40 * r : 40 * r + 40] for r in range(5)]
    windows = Windows.concat([
        run_of(rng, str(r), concept_id=part, stimulus_id=[f"{c}_{r}_{i}" for i, c in enumerate(part)]) for r, part in enumerate(parts)
    ])  # fmt: skip
    return windows, content_split(windows, "concept_id", validation=0, seed=seed)


def blocks_with_gap(seed):
    rng = np.random.default_rng(seed)
    windows = run_of(rng, n=200, labels=rng.permutation(list("ab") * 100))
    return windows, split_by(windows, "time", n_folds=5, gap=1.0)


@pytest.mark.parametrize("design", [leave_run_out, new_concepts, blocks_with_gap])
def test_clean_designs_give_no_warning(design):
    alarms = []
    for seed in range(12):
        windows, splits = design(seed)
        records = [
            (s, [FitRecord.of("Scaler", windows.ids[s.train])])
            for s in (splits if isinstance(splits, list) else [splits])
        ]
        found = audit(windows, splits, records=records)
        alarms += [(seed, f.check, f.message) for f in found.at("warn", "fail")]
    assert not alarms


@pytest.mark.slow
@pytest.mark.parametrize("order", ["shuffled", "drawn", "blocks"])
def test_block_design_raises_few_false_alarms(order):
    """Randomised labels, tables only: at most 2 % alarms (three tests at p <= 0.005)."""
    alarms = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        if order == "shuffled":
            y = np.concatenate([rng.permutation(list("abcd") * 10) for _ in range(5)])
        elif order == "drawn":
            y = rng.choice(list("ab"), 200, p=[0.8, 0.2])
        else:
            y = np.concatenate([np.repeat(rng.permutation(list("abcdefgh")), 5) for _ in range(5)])
        table = pd.DataFrame(
            {"run": np.repeat(list("12345"), 40), "onset": np.tile(np.arange(40) * 1.5, 5), "trial_type": y}
        )
        splits = split_by(table, "run") if seed % 2 or order == "blocks" else shuffled(table)
        alarms += audit(table, splits, checks=["block_design"], n_permutations=299).level != "pass"
    assert alarms <= 6


def test_sorted_rows_without_times_are_told_from_blocks():
    """Arrays sorted by class: a shuffled split fails, contiguous folds warn and say what is unknown."""
    table = pd.DataFrame({"trial_type": np.repeat(list("abcd"), 25)})
    X = np.random.default_rng(0).normal(size=(100, 2, 20))
    for data in (table, Windows.from_arrays(X, table, sfreq=20.0)):
        assert audit(data, shuffled(data), checks=["block_design"]).level == "fail"
        found = audit(data, split_by(data, "time", n_folds=10), checks=["block_design", "time_adjacency"])
        assert found.level == "warn" and "times are unknown" in found.findings[0].message
        assert levels(found, "time_adjacency") == {"skip"}
