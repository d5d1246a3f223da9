"""The synthetic EEG cohort: a real BIDS data set, the same bytes from the same seed, and the planted truth is in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders import _synthetic_eeg as eeg
from braindec.loaders._synthetic_head import make_head, montage_info
from braindec.loaders._synthetic_presets import PRESETS
from braindec.loaders._synthetic_stimuli import list_stimuli
from braindec.loaders.synthetic import default_folder, make_cohort, open_cohort

mne = pytest.importorskip("mne")
mne_bids = pytest.importorskip("mne_bids")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("eeg") / "tiny", preset="tiny")


def hashes(root: Path, below: str = "") -> dict[str, str]:
    files = (p for p in (root / below).rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def load(cohort, subject: str, *, tmin: float = -0.25, tmax: float = 0.6):
    """Independent of braindec: mne-bids, then plain numpy. Returns X (trial, channel, time) in V, trials, times, names."""
    X, tables = [], []
    for run in ("01", "02", "03", "04"):
        path = mne_bids.BIDSPath(root=cohort.root, subject=subject, task="images", run=run, datatype="eeg")
        with mne.use_log_level("ERROR"):
            raw = mne_bids.read_raw_bids(path, verbose="ERROR").load_data().pick("eeg", exclude="bads").filter(0.5, 40)
        table = pd.read_csv(path.copy().update(suffix="events", extension=".tsv").fpath, sep="\t")
        sfreq = raw.info["sfreq"]
        first, last = round(tmin * sfreq), round(tmax * sfreq)
        starts = (table["onset"] * sfreq).round().astype(int)
        X.append(np.stack([raw.get_data()[:, s + first : s + last] for s in starts]))
        tables.append(table.assign(run=run))
    return np.concatenate(X), pd.concat(tables, ignore_index=True), np.arange(first, last) / sfreq, raw.ch_names


def ridge(train, Y, test, *, alpha=1.0):
    mean, scale = train.mean(axis=0), train.std(axis=0)
    A, B = (train - mean) / scale, (test - mean) / scale
    K = A @ A.T
    unit = np.trace(K) / len(K)
    return (B @ A.T / unit) @ np.linalg.solve(K / unit + alpha * np.eye(len(K)), Y - Y.mean(axis=0))


def retrieval_p(X, trials, features, *, shuffle=None, n=2000):
    """Mean similarity of each test image's averaged prediction to its own features, against permuted images."""
    train = (trials["part"] == "train").to_numpy()
    flat = np.clip(X, -8e-5, 8e-5).reshape(len(X), -1)
    Y = features.of(trials["stimulus_id"][train])
    if shuffle is not None:
        Y = Y[shuffle.permutation(len(Y))]
    predicted = ridge(flat[train], Y, flat[~train])
    shown = trials["stimulus_id"][~train].to_numpy()
    ids = np.unique(shown)
    average = np.stack([predicted[shown == i].mean(axis=0) for i in ids])
    candidates = features.of(ids)
    S = (average / np.linalg.norm(average, axis=1)[:, None]) @ (
        candidates / np.linalg.norm(candidates, axis=1)[:, None]
    ).T
    rng = np.random.default_rng(0)
    own = np.trace(S)
    null = np.array([S[np.arange(len(ids)), rng.permutation(len(ids))].sum() for _ in range(n)])
    return (1 + np.sum(null >= own)) / (1 + n)


def test_same_seed_same_bytes_and_subjects_do_not_depend_on_their_number(cohort, tmp_path):
    again = make_cohort(tmp_path / "again", preset="tiny")
    assert hashes(again.root) == hashes(cohort.root)
    one = make_cohort(tmp_path / "one", preset="tiny", n_subjects=1)
    assert hashes(one.root, "sub-01").items() >= hashes(cohort.root, "sub-01/eeg").items()
    assert hashes(one.root, "stimuli") == hashes(cohort.root, "stimuli")


def test_another_seed_gives_other_data(cohort, tmp_path):
    other = make_cohort(tmp_path / "other", preset="tiny", n_subjects=1, seed=1)
    here, there = (hashes(c.root, "sub-01/eeg") for c in (cohort, other))
    signal = [k for k in here if k.endswith(".eeg")]
    assert signal and all(here[k] != there[k] for k in signal)


def test_it_is_bids_with_positions_bad_channel_and_volts(cohort):
    found = mne_bids.find_matching_paths(cohort.root, suffixes="eeg", extensions=".vhdr")
    assert len(found) == 8 and mne_bids.get_entity_vals(cohort.root, "subject") == cohort.subjects == ["01", "02"]
    path = mne_bids.BIDSPath(root=cohort.root, subject="02", task="images", run="01", datatype="eeg")
    raw = mne_bids.read_raw_bids(path, verbose="ERROR")
    assert raw.info["bads"] == ["T8"] == cohort.truth.subject("02")["bad_channels"]
    assert raw.info["sfreq"] == 125.0 and raw.info["line_freq"] == 50.0
    assert raw.get_channel_types(picks="VEOG") == ["eog"]
    places = np.array([raw.info["chs"][raw.ch_names.index(c)]["loc"][:3] for c in ("Fp1", "Oz", "T7", "T8")])
    assert 0.08 < np.linalg.norm(places, axis=1).min() and np.linalg.norm(places, axis=1).max() < 0.13
    assert places[0, 1] > 0.05 and places[1, 1] < -0.05 and places[2, 0] < -0.05 < 0.05 < places[3, 0]
    data = raw.load_data().pick("eeg", exclude="bads").get_data()
    assert 5e-6 < np.median(data.std(axis=1)) < 5e-5
    assert np.linalg.matrix_rank(data @ data.T, hermitian=True) == len(data)  # no channel is a sum of the others


def test_events_say_what_was_shown(cohort):
    _, trials, _, _ = load(cohort, "01")
    stimuli = cohort.stimuli.set_index("stimulus_id")
    assert (stimuli.loc[trials["stimulus_id"], "concept_id"].to_numpy() == trials["concept_id"]).all()
    assert all((cohort.root / "stimuli" / f).is_file() for f in trials["stim_file"].unique())
    train, test = (trials[trials["part"] == p] for p in ("train", "test"))
    assert set(train["concept_id"]).isdisjoint(test["concept_id"])
    assert set(train["run"]) == {"01", "03"} and set(test["run"]) == {"02", "04"}
    assert (test["stimulus_id"].value_counts() == 4).all() and (train["stimulus_id"].value_counts() == 1).all()
    assert sorted(test[test["stimulus_id"] == test["stimulus_id"].iloc[0]]["repetition"]) == [1, 2, 3, 4]
    gaps = trials.groupby("run")["onset"].diff().dropna()
    assert gaps.between(0.33, 0.47).all() and gaps.std() > 0.02


def test_order_is_random_in_every_run_and_differs_between_subjects(cohort):
    preset = PRESETS["eeg"]["tiny"]
    first, second = (eeg.design(cohort.stimuli, preset, 0, index) for index in (0, 1))
    assert list(first[0]["stimulus_id"]) != list(second[0]["stimulus_id"])
    for table in first:
        concepts = table["concept_id"].to_numpy()
        assert np.mean(concepts[1:] == concepts[:-1]) < 0.2  # blocks of a concept would give values near 1
        spread = pd.Series(np.arange(len(table))).groupby(concepts).agg(lambda p: p.max() - p.min())
        assert spread.mean() > 0.3 * len(table)
    for table in (first[0], first[2]):  # the two training runs share the exemplars of each concept evenly
        assert set(table["concept_id"].value_counts()) == {3}


def test_features_are_standardised_over_training_images_only(cohort):
    train = (cohort.stimuli["part"] == "train").to_numpy()
    values = cohort.features.load().astype(float)
    assert list(cohort.features.ids) == list(cohort.stimuli["stimulus_id"])
    np.testing.assert_allclose(values[train].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(values[train].T, bias=True), np.eye(values.shape[1]), atol=1e-4)
    assert np.abs(values[~train].mean(axis=0)).max() > 0.05  # test images were not used


@pytest.mark.parametrize("subject", ["01", "02"])
def test_images_are_retrieved_from_the_planted_range_and_not_from_before_onset(cohort, subject):
    X, trials, times, _ = load(cohort, subject)
    assert retrieval_p(X[:, :, (times >= 0.05) & (times < 0.55)], trials, cohort.features) < 0.005
    assert retrieval_p(X[:, :, times < 0.0], trials, cohort.features) > 0.05
    assert retrieval_p(X[:, :, times >= 0.05], trials, cohort.features, shuffle=np.random.default_rng(3)) > 0.05


def test_encoded_topographies_and_time_courses_are_the_planted_ones(cohort):
    X, trials, times, names = load(cohort, "01", tmin=0.0, tmax=0.6)
    truth, info = cohort.truth.subject("01"), cohort.truth.info
    rows = cohort.features.rows_of(trials["stimulus_id"])
    drives = np.column_stack([np.ones(len(rows)), cohort.truth.arrays["drives"][rows]])
    X = np.clip(X, -8e-5, 8e-5)
    maps = np.linalg.lstsq(drives, X.reshape(len(X), -1), rcond=None)[0][1:].reshape(
        -1, X.shape[1], X.shape[2]
    )  # (k, channel, time)
    planted = truth["leadfield"].T[:, [info["channels"].index(n) for n in names]]
    courses = truth["courses"][:, : X.shape[2]]
    found = np.einsum("kct,kt->kc", maps, courses)
    topography = [np.corrcoef(a, b)[0, 1] for a, b in zip(found, planted, strict=True)]
    assert np.min(topography) > 0.8, topography
    when = np.einsum("kct,kc->kt", maps, planted)
    assert np.max(np.abs(times[when.argmax(axis=1)] - truth["times"][courses.argmax(axis=1)])) <= 0.03


def test_truth_is_what_simulation_adds():
    preset = PRESETS["eeg"]["tiny"]
    channels = preset.channels.split()
    head = make_head(channels, preset.sfreq, preset.n_components, np.random.default_rng(0))
    trials = pd.DataFrame({"sample": [400, 1000], "onset": [3.2, 8.0]})
    drives = np.random.default_rng(1).normal(size=(2, preset.n_components))
    with_signal, without = (
        eeg.simulate_run(head, trials, drives, gain, preset, np.random.default_rng(2)) for gain in (2.0, 0.0)
    )
    added = (with_signal - without) / (2.0 * eeg._AMPLITUDE)
    assert np.abs(added[:, :400]).max() < 1e-9 and np.abs(added[:, 400 + 85 : 1000]).max() < 1e-9
    shape = (head.leadfield * drives[0]) @ head.courses
    best = max(
        np.corrcoef(added[:, 400 + k : 400 + k + shape.shape[1]].ravel(), shape.ravel())[0, 1] for k in range(-2, 3)
    )
    assert best > 0.999999


def test_leadfield_agrees_with_the_dipole_potential_of_an_independent_call():
    channels = PRESETS["eeg"]["tiny"].channels.split()
    head = make_head(channels, 125.0, 16, np.random.default_rng(0))
    dipole = mne.Dipole([0.0], [head.components[5]["position_m"]], [1.0], [head.components[5]["orientation"]], [1.0])
    info = montage_info([*channels, "TP9", "TP10"], 100.0)
    sphere = mne.make_sphere_model(r0=(0, 0, 0.04), head_radius=0.09, verbose="ERROR")
    forward, _ = mne.make_forward_dipole(dipole, sphere, info, verbose="ERROR")
    gain = forward["sol"]["data"][:, 0]
    gain = gain[:-2] - gain[-2:].mean()
    np.testing.assert_allclose(head.leadfield[:, 5], gain / np.abs(gain).max(), atol=1e-4)
    assert np.abs(gain).max() == pytest.approx(head.components[5]["peak_gain_V_per_Am"], rel=1e-3)


def test_the_third_subject_is_weak_and_snr_says_so():
    gains = [eeg.subject_gain(i, 1.0, 0) for i in range(6)]
    assert gains[2] < 0.75 * min(gains[0], gains[1]) and gains[5] < 0.75 * gains[4]
    assert eeg.subject_gain(0, 0.0, 0) == 0.0


@pytest.mark.parametrize("preset", ["demo", "paper-like"])
def test_larger_presets_have_the_designs_they_promise(preset):
    chosen = PRESETS["eeg"][preset]
    stimuli = pd.DataFrame([row for _, row in list_stimuli("eeg", chosen, 0)])
    assert stimuli["stimulus_id"].is_unique
    runs = eeg.design(stimuli, chosen, 0, 0)
    trials = pd.concat(runs)
    expected = (
        chosen.train_concepts * chosen.train_exemplars * chosen.train_repetitions
        + chosen.test_concepts * chosen.test_repetitions
    )
    assert len(trials) == expected and len(runs) == chosen.train_runs + chosen.test_runs
    assert all(len(set(run["part"])) == 1 for run in runs)
    if preset == "demo":
        assert 300 < sum(run["onset"].iloc[-1] for run in runs) < 600


def test_default_folder_follows_the_environment_and_every_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("BRAINDEC_CACHE", str(tmp_path))
    folders = {
        default_folder(),
        default_folder(seed=1),
        default_folder(strength=0.5),
        default_folder(n_subjects=2),
        default_folder(modality="fmri"),
    }
    assert len(folders) == 5 and all(f.parent == tmp_path / "synthetic" for f in folders)
    assert default_folder(n_subjects=3) == default_folder()  # three is what the preset has


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"modality": "eg"}, "did you mean 'eeg'"), ({"preset": "dmo"}, "did you mean 'demo'"), ({"strenght": 2}, "did you mean 'strength'"),
     ({"sfreq": 128.5}, "microseconds"), ({"test_repetitions": 3}, "multiple of test_runs"), ({"n_subjects": 0}, "greater than 0"),
     ({"n_components": 17}, "planted components"), ({"picture_size": 100}, "multiple of 64")],
)  # fmt: skip
def test_senseless_settings_are_refused_and_nothing_is_left(tmp_path, settings, said):
    with pytest.raises(BraindecError, match=said):
        make_cohort(tmp_path / "c", **{"preset": "tiny", "n_subjects": 1, **settings})
    assert not list(tmp_path.iterdir())


def test_open_cohort_gives_the_same_as_make(cohort):
    opened = open_cohort(cohort.root, verify=True)
    assert opened.parameters == cohort.parameters and opened.modality == "eeg"
    assert opened.picture(opened.features.ids[0]).is_file()
    with pytest.raises(BraindecError, match="there is no image"):
        opened.picture("nothing")
    with pytest.raises(BraindecError, match="there is no subject '03'"):
        opened.truth.subject("03")
