"""Time-resolved RSA: every time against one matrix computed alone, and a planted moment."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa.noise import noise_from_repeats
from braindec.align.rsa.permutation import condition_orders, permutation_test
from braindec.align.rsa.rdm import RDMs, compute_rdm
from braindec.align.rsa.time_resolved import cells_by_time, time_resolved_rdms, time_resolved_rsa
from braindec.errors import BraindecError
from braindec.types import Windows

N, RUNS, CHANNELS, TIMES = 8, 3, 12, 40
CONDITION = np.tile(np.repeat([f"w{i}" for i in range(N)], 2), RUNS)
RUN = np.repeat([f"r{i}" for i in range(RUNS)], 2 * N)


def trials(seed: int = 0, plant: bool = False):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((len(CONDITION), CHANNELS, TIMES))
    code = np.random.default_rng(42).standard_normal((N, 4))
    if plant:
        number = np.array([int(c[1:]) for c in CONDITION])
        X[:, :, 20:30] += 1.5 * (code @ rng.standard_normal((4, CHANNELS)))[number][:, :, None]
    model = RDMs(compute_rdm(code, measure="squared_euclidean").values, [f"w{i}" for i in range(N)])
    windows = Windows.from_arrays(
        X.astype(np.float32), {"stimulus_id": CONDITION, "run": RUN}, sfreq=100.0, tmin=-0.1, subject=f"{seed:02d}"
    )
    return windows, X.astype(np.float32).astype(float), model


@pytest.mark.parametrize("measure", ["correlation", "squared_euclidean", "mahalanobis", "crossnobis"])
def test_each_time_is_the_matrix_of_that_sample(measure):
    windows, X, _ = trials()
    runs = RUN if measure == "crossnobis" else None
    noise = None
    if measure in ("mahalanobis", "crossnobis"):
        noise = noise_from_repeats(X[:, :, :10].mean(axis=2), CONDITION)
    found = time_resolved_rdms(windows, measure=measure, noise=noise)
    assert len(found) == TIMES and np.allclose(found.table.time, windows.times)
    assert set(found.table.subject) == {"00"}
    for t in (0, 13, 39):
        alone = compute_rdm(X[:, :, t], measure=measure, conditions=CONDITION, runs=runs, noise=noise)
        assert np.allclose(found.values[t], alone.values[0], atol=1e-10)


@pytest.mark.parametrize("combine", ["mean", "concatenate"])
@pytest.mark.parametrize("measure", ["correlation", "crossnobis"])
def test_stretches_are_averaged_or_laid_side_by_side(combine, measure):
    windows, X, _ = trials()
    found = time_resolved_rdms(windows, measure=measure, width=0.05, step=0.02, combine=combine)
    assert len(found) == 18 and found.table.time[2] == pytest.approx(-0.1 + 0.04 + 0.02)
    assert found.table.start[2] == pytest.approx(-0.06) and found.table.stop[2] == pytest.approx(-0.01)
    piece = X[:, :, 4:9].mean(axis=2) if combine == "mean" else X[:, :, 4:9].reshape(len(X), -1)
    alone = compute_rdm(piece, measure=measure, conditions=CONDITION, runs=RUN if measure == "crossnobis" else None)
    assert np.allclose(found.values[2], alone.values[0], atol=1e-10)


def test_runs_that_lack_a_condition_and_reading_in_blocks(monkeypatch):
    windows, X, _ = trials()
    kept = np.flatnonzero(~((CONDITION == "w3") & (RUN == "r1")))
    monkeypatch.setattr("braindec.align.rsa.time_resolved._BLOCK", 7 * CHANNELS * TIMES)
    found = time_resolved_rdms(windows[kept], measure="crossnobis")
    alone = compute_rdm(X[kept][:, :, 11], measure="crossnobis", conditions=CONDITION[kept], runs=RUN[kept])
    assert np.allclose(found.values[11], alone.values[0], atol=1e-10)


def test_a_planted_moment_is_found_in_every_subject():
    subjects = [trials(seed, plant=True) for seed in range(4)]
    data = [time_resolved_rdms(w, measure="crossnobis") for w, _, _ in subjects]
    model = subjects[0][2]
    found = time_resolved_rsa(data, model.subset(model.conditions[::-1]), comparator="spearman")
    assert found.values.shape == (4, 1, TIMES) and list(found.subjects.subject) == ["00", "01", "02", "03"]
    inside = found.values[:, 0, 20:30].mean(axis=1)
    outside = np.delete(found.values[:, 0], np.s_[20:30], axis=1).mean(axis=1)
    assert (inside > 0.5).all() and (np.abs(outside) < 0.15).all()
    assert found.lower[25] > 0.5 > abs(found.lower[:20].mean()) and (found.lower < found.upper).all()
    single = time_resolved_rsa(data[0], model, comparator="spearman")
    assert np.allclose(single.values[0], found.values[0]) and single.lower is None


def test_the_largest_score_of_permutations_finds_the_moment_and_nothing_else():
    subjects = [trials(seed, plant=True) for seed in range(3)]
    data = [time_resolved_rdms(w, measure="crossnobis") for w, _, _ in subjects]
    model = subjects[0][2].subset([f"w{i}" for i in reversed(range(N))])
    cells = cells_by_time(data, model)
    assert len(cells) == TIMES and cells[0].shape == (3, model.n_pairs)
    found = permutation_test(
        model.values, cells, comparator="pearson", orders=condition_orders(N, n=199, rng=np.random.default_rng(0))
    )
    p = np.asarray(found.p_max).reshape(-1)
    assert (p[20:30] <= 0.05).all() and (np.delete(p, np.s_[20:30]) > 0.05).all()
    mean = time_resolved_rsa(data, model, comparator="pearson").values.mean(axis=0)
    assert np.allclose(np.asarray(found.observed).reshape(-1), mean.reshape(-1), atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": "concept"}, "no complete column 'concept'"),
        ({"width": 5.0}, "do not fit the windows"),
        ({"combine": "sum"}, "mean, concatenate"),
        ({"measure": "correlation", "noise": np.eye(CHANNELS)}, "takes no noise"),
        ({"measure": "crossnobis", "runs": "session_name"}, "no complete column"),
        ({"measure": "poisson"}, "not negative"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(arguments, message):
    with pytest.raises(BraindecError, match=message):
        time_resolved_rdms(trials()[0], **arguments)


def test_flat_patterns_are_named_with_their_time_and_subjects_are_not_mixed():
    windows, X, model = trials()
    X[CONDITION == "w2", :, 5] = 0.1
    flat = Windows.from_arrays(X.astype(np.float32), {"stimulus_id": CONDITION}, sfreq=100.0, tmin=-0.1)
    with pytest.raises(BraindecError, match=r"condition 'w2' at -0.050 s"):
        time_resolved_rdms(flat)
    two = Windows.from_arrays(X.astype(np.float32), {"stimulus_id": CONDITION, "subject": RUN}, sfreq=100.0)
    with pytest.raises(BraindecError, match="3 subjects"):
        time_resolved_rdms(two)
    one, other = time_resolved_rdms(windows), time_resolved_rdms(windows.crop(0.0, 0.2))
    with pytest.raises(BraindecError, match="different times"):
        time_resolved_rsa([one, other], model)
