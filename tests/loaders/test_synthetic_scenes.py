"""Brains that see drawn scenes: what was planted is found where it was planted, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.scenes import scene_pictures
from braindec.loaders.synthetic_scenes import scene_cohort, scene_eeg, scene_fmri
from braindec.types import Pictures

_TRAIN = 800


@pytest.fixture(scope="module")
def films() -> Pictures:
    return scene_pictures(1100, size=16, film=True, seed=3)


@pytest.fixture(scope="module")
def betas(films):
    return scene_fmri(films)


@pytest.fixture(scope="module")
def eeg(films):
    return scene_eeg(films)


def _read(X: np.ndarray, y: np.ndarray) -> float:
    """Accuracy (or correlation, for numbers) of a ridge fitted on the first trials, on the others."""
    X = (X - X[:_TRAIN].mean(axis=0)) / X[:_TRAIN].std(axis=0)
    numbers = y.dtype.kind == "f"
    targets = y[:, None] if numbers else (y[:, None] == np.unique(y)).astype(float)
    centre = targets[:_TRAIN].mean(axis=0)
    gram = X[:_TRAIN].T @ X[:_TRAIN] + 0.7 * _TRAIN * np.eye(X.shape[1])
    found = X[_TRAIN:] @ np.linalg.solve(gram, X[:_TRAIN].T @ (targets[:_TRAIN] - centre)) + centre
    if numbers:
        return float(np.corrcoef(found[:, 0], y[_TRAIN:])[0, 1])
    return float((np.unique(y)[found.argmax(axis=1)] == y[_TRAIN:]).mean())


_WHERE = {"shape": "LOC", "colour": "V4", "motion": "MT", "x": "V1", "y": "V1"}
_NULL = {"shape": 0.25, "colour": 0.25, "motion": 0.25, "x": 0.0, "y": 0.0}


@pytest.mark.parametrize("column", _WHERE)
def test_each_attribute_is_read_from_its_region_and_not_from_the_control_region(betas, column):
    X, y, region = betas.features(), betas.trials[column].to_numpy(), betas.channels["region"]
    y = y.astype(float if column in "xy" else str)
    whole = _read(X, y)
    mine, control = (_read(X[:, (region == r).to_numpy()], y) for r in (_WHERE[column], "control"))
    assert 0.55 < whole < 0.92 and 0.55 < mine < 0.95
    assert abs(control - _NULL[column]) < 0.09  # 300 trials: 3.5 standard errors
    for other in {"V4", "LOC", "MT"} - {_WHERE[column]}:
        assert abs(_read(X[:, (region == other).to_numpy()], y) - _NULL[column]) < 0.11


def test_receptive_fields_are_found_by_fitting_gaussians():
    """The grid of Dumoulin & Wandell 2008: the field whose predicted response correlates best."""
    pictures = scene_pictures(800, size=16, seed=4)
    betas = scene_fmri(pictures, noise=0.3, n_voxels=120)
    truth = betas.info["truth"]
    values = pictures.of(betas.trials["stimulus_id"])
    contrast = np.sqrt(((values - np.median(values, axis=(1, 2), keepdims=True)) ** 2).mean(axis=-1))
    nuisance = np.column_stack(
        [np.ones(len(values)), values.mean(axis=(1, 2, 3))]
    )  # luminance, mostly of the background
    v1 = np.flatnonzero(truth["region"] == "V1")
    central = v1[(np.abs(truth["rf_x"][v1]) < 0.45) & (np.abs(truth["rf_y"][v1]) < 0.45)]  # where objects are shown
    at = 2 * (np.arange(16) + 0.5) / 16 - 1
    gauss = np.exp(-((at[:, None] - (grid := np.linspace(-0.6, 0.6, 25))) ** 2) / (2 * 0.2**2))
    models = np.einsum("nyx,ya,xb->nab", contrast, gauss, gauss).reshape(len(values), -1)

    def without(Y):
        rest = Y - nuisance @ np.linalg.lstsq(nuisance, Y, rcond=None)[0]
        return rest / np.linalg.norm(rest, axis=0)

    best = (without(models).T @ without(betas.features()[:, central])).argmax(axis=0)
    assert len(central) > 8
    assert np.abs(grid[best % 25] - truth["rf_x"][central]).mean() < 0.1
    assert np.abs(grid[best // 25] - truth["rf_y"][central]).mean() < 0.1


def test_noise_is_what_the_truth_says(films):
    few = scene_fmri(films, stimulus_ids=films.ids[:150], repetitions=8, runs=12, n_voxels=150)
    truth = few.info["truth"]
    row = films.rows_of(few.trials["stimulus_id"])
    clean, X = truth["response"][row], few.features()
    assert clean.shape == X.shape
    noise = X - clean
    assert noise.std(axis=0) / truth["noise_sd"] == pytest.approx(np.ones(150), abs=0.22)
    assert (noise.std(axis=0) / truth["noise_sd"]).mean() == pytest.approx(1.0, abs=0.03)
    tuned = truth["gain"] > 0
    found = np.array([np.corrcoef(X[:, v], clean[:, v])[0, 1] for v in np.flatnonzero(tuned)])
    assert np.abs(found - truth["noise_ceiling"][tuned]).mean() < 0.03
    assert (truth["noise_ceiling"][~tuned] == 0).all() and set(truth["region"][~tuned]) == {"control"}
    # voxels share noise, more so within a region; and noise is slow within runs
    together = np.corrcoef(noise.T)
    same = truth["region"][:, None] == truth["region"][None]
    off = ~np.eye(150, dtype=bool)
    assert np.abs(together[same & off]).mean() > 1.1 * np.abs(together[~same]).mean()
    runs = few.trials["run"].to_numpy()
    lag = np.mean([np.mean(noise[runs == r][1:] * noise[runs == r][:-1]) for r in np.unique(runs)]) / noise.var()
    assert 0.05 < lag < 0.35


def test_a_brain_without_noise_repeats_itself():
    pictures = scene_pictures(12, size=16)
    w = scene_fmri(pictures, noise=0.0, repetitions=2, runs=2, n_voxels=40)
    X, ids = w.features(), w.trials["stimulus_id"].to_numpy()
    np.testing.assert_array_equal(X[:12][np.argsort(ids[:12])], X[12:][np.argsort(ids[12:])])
    assert set(w.trials["repetition"]) == {1, 2}


@pytest.mark.parametrize("make", [scene_fmri, scene_eeg])
def test_same_seed_same_bytes_and_each_subject_is_another(make):
    pictures = scene_pictures(16, size=16)
    a, b, other = make(pictures, runs=2), make(pictures, runs=2), make(pictures, runs=2, subject="02")
    np.testing.assert_array_equal(a.load(), b.load())
    assert a.trials.equals(b.trials)
    assert not a.trials["stimulus_id"].equals(other.trials["stimulus_id"])
    assert (a.load() != other.load()).any()
    assert (other.trials["subject"] == "02").all() and a.trials["run"].tolist() == ["01"] * 8 + ["02"] * 8
    assert a.trials["onset"].groupby(a.trials["run"]).apply(lambda t: t.is_monotonic_increasing).all()


_WHEN = {"x": 0.08, "y": 0.08, "colour": 0.105, "shape": 0.165, "motion": 0.24}


@pytest.mark.parametrize("column", _WHEN)
def test_each_attribute_appears_in_the_eeg_at_its_time_and_not_before_onset(eeg, column):
    data, times, y = eeg.load() * 1e6, eeg.times, eeg.trials[column].to_numpy()
    y = y.astype(float if column in "xy" else str)
    starts = np.arange(0, 44, 2)
    found = np.array([_read(data[:, :, k : k + 2].reshape(len(data), -1), y) for k in starts])
    centre = times[starts] + 0.005
    assert np.abs(found[centre < 0.02] - _NULL[column]).max() < 0.2  # the largest of six, 300 trials
    assert abs(found[centre < 0.02].mean() - _NULL[column]) < 0.08
    assert abs(centre[found.argmax()] - _WHEN[column]) <= 0.025
    assert 0.4 < found.max() < 0.8


def test_single_trials_of_eeg_are_read_well_but_not_perfectly(eeg):
    keep = (eeg.times >= 0.04) & (eeg.times < 0.315)
    data = eeg.load()[:, :, keep] * 1e6
    X = data.reshape(len(data), 32, -1, 2).mean(axis=-1).reshape(len(data), -1)
    for column in ("shape", "colour", "motion"):
        assert 0.42 < _read(X, eeg.trials[column].to_numpy(str)) < 0.85


def test_eeg_is_the_planted_signal_when_there_is_no_noise():
    pictures = scene_pictures(40, size=16, film=True)
    w = scene_eeg(pictures, noise=0.0, runs=2, sfreq=200.0, tmax=0.5)
    truth, data = w.info["truth"], w.load()
    after = w.times >= 0
    drive = truth["drives"][pictures.rows_of(w.trials["stimulus_id"])]
    planted = np.einsum("cs,st,ns->nct", truth["topographies"], truth["courses"][:, : after.sum()], drive)
    strength = ((data[:, :, after] - truth["evoked"][:, : after.sum()]) * planted).sum(axis=(1, 2)) / (planted**2).sum(
        axis=(1, 2)
    )
    assert strength.mean() == pytest.approx(1.0, abs=0.1)  # it varies by 10 % from trial to trial, the evoked by 15 %
    assert np.abs(data[:, :, w.times < 0.038]).max() == 0  # nothing before 40 ms, and nothing of the scene before
    assert w.channels["unit"].eq("V").all() and np.isfinite(w.channels[["x", "y", "z"]]).all().all()
    peak = truth["times"][truth["courses"].argmax(axis=1)]
    np.testing.assert_allclose(peak, truth["latency"], atol=0.008)


def test_topographies_are_those_of_dipoles_in_the_sphere():
    from braindec.loaders._synthetic_head import REFERENCE
    from braindec.signal.spherical_head import ORIGIN, eeg_gains

    w = scene_eeg(scene_pictures(4, size=16), runs=1)
    truth = w.info["truth"]
    for k in (0, 6):  # a topography lies in the span of the three directions of a dipole at its place
        place = np.repeat(truth["position"][k][None] - ORIGIN, 3, axis=0)
        free = eeg_gains(w.ch_names, place, np.eye(3), reference=REFERENCE, on_sphere=True)
        topography = truth["topographies"][:, k]
        rest = topography - free @ np.linalg.lstsq(free, topography, rcond=None)[0]
        assert np.linalg.norm(rest) < 1e-6 * np.linalg.norm(topography)


def test_a_cohort_has_parts_in_separate_runs_and_sees_one_set_of_scenes():
    fmri, eeg = (
        scene_cohort(m, n_train=32, n_test=8, n_subjects=2, test_repetitions=3, test_runs=3, train_runs=4)
        for m in ("fmri", "eeg")
    )
    np.testing.assert_array_equal(fmri.pictures.values, eeg.pictures.values)
    assert fmri.subjects == ["01", "02"] and (fmri.features.ids == fmri.pictures.ids).all()
    for cohort in (fmri, eeg):
        w = cohort.windows("02")
        trials = w.trials
        assert len(w) == 32 + 3 * 8 and trials["run"].nunique() == 7
        assert (trials.groupby("run")["part"].nunique() == 1).all()
        shown = trials.groupby(["part", "stimulus_id"]).size()
        assert (shown["train"] == 1).all() and (shown["test"] == 3).all() and len(shown["test"]) == 8
        test = trials[trials["part"] == "test"]
        assert (test.groupby(["run", "stimulus_id"]).size() == 1).all()  # once a run
        assert w.ids.tolist() == list(dict.fromkeys(w.ids))
        np.testing.assert_array_equal(w.load(), cohort.windows("02").load())
    one = scene_cohort("fmri", n_train=32, n_test=8, n_subjects=1, test_repetitions=3, test_runs=3, train_runs=4)
    np.testing.assert_array_equal(
        one.windows("01").load(), fmri.windows("01").load()
    )  # however many subjects there are
    values = fmri.pictures.values
    assert len(np.unique(values.reshape(len(values), -1), axis=0)) == len(values)  # no picture is in both parts


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda p: scene_fmri(p, n_voxels=3), "n_voxels >= 8"),
        (lambda p: scene_fmri(p, noise=-1.0), "noise >= 0"),
        (lambda p: scene_fmri(p, runs=99), "runs"),
        (lambda p: scene_fmri(p, stimulus_ids=["scene-9999"]), "no picture"),
        (lambda p: scene_eeg(p, channels=["Cz", "Qz"]), "'Qz'"),
        (lambda p: scene_eeg(p, tmin=0.5, tmax=0.2), "tmin < tmax"),
        (lambda p: scene_cohort("megg"), "eeg"),
        (lambda p: scene_cohort("fmri", signal={"sfreq": 3}), "sfreq"),
        (lambda p: scene_cohort("fmri", n_test=0), "1 or more"),
        (lambda p: scene_cohort("fmri", n_train=8, n_test=8).windows("7"), "01, 02"),
        (lambda p: scene_fmri(Pictures.from_arrays(np.zeros((3, 8, 8)), list("abc"))), "no drawn scenes"),
    ],
)
def test_what_makes_no_sense_is_refused(call, word):
    with pytest.raises(BraindecError) as error:
        call(scene_pictures(8, size=16))
    assert word in str(error.value)


@pytest.mark.parametrize("see", [scene_fmri, scene_eeg])
@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"noise": "x"}, {"noise": float("inf")}, {"repetitions": 1.5}, {"runs": 2.5}]
)
def test_strange_options_of_viewers_are_said(see, options):
    with pytest.raises(BraindecError):
        see(scene_pictures(6, size=8), **{"runs": 2, **options})


@pytest.mark.parametrize("options", [{"seed": -1}, {"n_subjects": 1.5}, {"signal": "a"}, {"shpes": 3}])
def test_strange_options_of_cohorts_are_said(options):
    with pytest.raises(BraindecError, match="did you mean 'shapes'" if "shpes" in options else None):
        scene_cohort(**{"n_train": 16, "n_test": 8, "size": 8, **options})


def test_a_window_without_a_sample_is_refused():
    with pytest.raises(BraindecError, match="at least one sample"):
        scene_eeg(scene_pictures(6, size=8), runs=1, tmin=0.0, tmax=1e-4)
