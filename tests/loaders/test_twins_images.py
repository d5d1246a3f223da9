"""Twins of image data sets: each is read through its card, holds what was planted, and is the same for the same seed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin
from braindec.loaders.twins._images import N_LATENTS, areas_in_order, ellipsoid, make_brain, make_stimuli, order_of
from braindec.types import Windows

TWINS = {
    "nsd": {}, "god": {}, "things_fmri": {}, "bold5000": {}, "bold5000-volumes": {"form": "volumes"}, "algonauts2023": {},
}  # fmt: skip


def make(name, folder, **sizes):
    return make_twin(name.split("-")[0], folder, **{**TWINS[name], **sizes})


@pytest.fixture(scope="module", params=list(TWINS))
def twin(request, tmp_path_factory):
    return make(request.param, tmp_path_factory.mktemp("twin") / "t")


@pytest.fixture(scope="module")
def source(twin):
    return open_source(twin.dataset, root=twin.root, options=twin.options)


def parts(source, twin, subject):
    """Betas, latents, features, training rows and sessions of one subject."""
    windows = source.windows(subject)
    items = twin.features.rows_of(windows.trials["stimulus_id"])
    train = (windows.trials["part"] == "train").to_numpy()
    if train.all():  # no official test part: every sixth stimulus
        train = ~windows.trials["stimulus_id"].isin(windows.trials["stimulus_id"].unique()[::6]).to_numpy()
    sessions = windows.trials["session"].to_numpy()
    return windows, windows.features().astype(float), items, train, sessions


def truth_of(twin, subject, what):
    truth = twin.truth()
    return truth[f"{subject}/{what}"] if f"{subject}/{what}" in truth else truth[f"subj{subject}/{what}"]


def test_is_read_through_its_card(twin, source):
    assert twin.recipe == "fmri_image_retrieval" and source.reader == twin.reader
    sizes = set()
    for subject in source.subjects():
        windows = source.windows(subject)
        assert isinstance(windows, Windows) and windows.n_times == 1 and windows.sfreq == 1.0
        columns = {"subject", "session", "stimulus_id", "repetition", "part", "onset"}
        assert columns <= set(windows.trials) and windows.modality == "fmri"
        assert set(windows.trials["subject"]) == {subject} == {r.info["subject"] for r in windows.recordings}
        assert windows.trials["onset"].is_monotonic_increasing or windows.trials["session"].nunique() > 1
        ids = {p: set(windows.trials["stimulus_id"][windows.trials["part"] == p]) for p in ("train", "test")}
        assert not ids["train"] & ids["test"]
        assert all(p.is_file() for p in source.files(subject))
        first = windows.recordings[0]
        assert np.array_equal(pickle.loads(pickle.dumps(first)).load(), first.load()), "travels as a path"
        sizes.add(windows.n_channels)
    assert len(sizes) == len(source.subjects()) >= 3, "subjects differ in their number of voxels"


def test_test_images_are_repeated(twin, source):
    trials = source.windows(source.subjects()[0]).trials
    test = trials[trials["part"] == "test"]
    if twin.dataset == "algonauts2023":
        assert test.empty
        return
    counts = test["stimulus_id"].value_counts()
    assert counts.min() == counts.max() >= 3
    for _, group in test.groupby("stimulus_id"):
        assert sorted(group["repetition"]) == list(range(len(group)))


def test_planted_map_is_recovered_by_least_squares(twin, source):
    for subject in source.subjects()[:2]:
        _, betas, items, _, sessions = parts(source, twin, subject)
        latents, weights = twin.truth()["latents"][items], truth_of(twin, subject, "weights")
        design = np.column_stack([latents, sessions[:, None] == np.unique(sessions)])
        found = np.linalg.lstsq(design, betas, rcond=None)[0][: 2 * N_LATENTS]
        assert found.shape == weights.shape
        assert np.corrcoef(found.ravel(), weights.ravel())[0, 1] > 0.5
        area = truth_of(twin, subject, "area")
        for number, strong in ((0, 0), (2, 1)):  # early voxels: the low band; high voxels: the semantic band
            bands = np.square(found[:, area == number]).reshape(2, -1).mean(axis=1)
            assert bands[strong] > 1.5 * bands[1 - strong]


def test_retrieval_is_above_chance_and_below_the_ceiling(twin, source):
    subject = source.subjects()[0]
    windows, betas, items, train, sessions = parts(source, twin, subject)
    for session in np.unique(sessions):
        mine = sessions == session
        betas[mine] = (betas[mine] - betas[mine & train].mean(axis=0)) / betas[mine & train].std(axis=0)
    target = twin.features.load().astype(float)[items]
    mean = target[train].mean(axis=0)
    kernel = betas[train] @ betas[train].T + 3000 * np.eye(train.sum())
    predicted = betas[~train] @ (betas[train].T @ np.linalg.solve(kernel, target[train] - mean))
    ids = np.unique(windows.trials["stimulus_id"][~train])
    candidates = twin.features.of(ids) - mean
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (predicted, candidates)]
    right = (ids[(unit[0] @ unit[1].T).argmax(axis=1)] == windows.trials["stimulus_id"][~train].to_numpy()).mean()
    assert 4 / len(ids) < right < 0.9


@pytest.mark.parametrize("name", list(TWINS))
def test_same_seed_same_bytes(tmp_path, name):
    folders = [make(name, tmp_path / str(i), n_subjects=2, seed=seed).root for i, seed in enumerate((5, 5, 6))]
    trees = [{p.relative_to(f): p.read_bytes() for p in sorted(f.rglob("*")) if p.is_file()} for f in folders]
    assert trees[0] == trees[1] and trees[0] != trees[2]
    assert sum(map(len, trees[0].values())) < 8e6


def test_stimuli_have_what_the_docstring_says():
    rng = np.random.default_rng(0)
    concept = np.repeat(np.arange(40), 10)
    stimuli = make_stimuli(rng, concept)
    low, high = stimuli.latents[:, :N_LATENTS], stimuli.latents[:, N_LATENTS:]
    between = [
        np.array([part[concept == c].mean(axis=0) for c in range(40)]).var(axis=0).mean() / part.var()
        for part in (low, high)
    ]
    assert between[0] < 0.2 and between[1] > 0.5, "only the semantic band knows concepts"
    design = np.column_stack([stimuli.features, np.ones(400)])
    for part, columns in ((low, slice(0, 24)), (high, slice(24, 48))):
        kept = design[:, [*range(columns.start, columns.stop), 48]]
        residual = part - kept @ np.linalg.lstsq(kept, part, rcond=None)[0]
        assert residual.var() < 1e-8 * part.var(), "latents are linear in the features of their band"
    back = np.column_stack([stimuli.latents, np.ones(400)])
    left = stimuli.features - back @ np.linalg.lstsq(back, stimuli.features, rcond=None)[0]
    assert 0.02 < left.var() / stimuli.features.var() < 0.3, "features are not quite linear in the latents"


def test_noise_has_the_ceiling_that_is_written_down():
    rng = np.random.default_rng(1)
    brain = make_brain(rng, areas_in_order(200), noise=2.0)
    latents = rng.normal(size=(4000, 2 * N_LATENTS))
    first, second = (brain.respond(np.random.default_rng(s), latents, drift=0.0) for s in (2, 3))
    r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(first.T, second.T, strict=True)])
    expected = brain.ncsnr**2 / (1 + brain.ncsnr**2)  # reliability of one trial
    assert np.abs(r - expected).max() < 0.08
    assert np.abs(r[brain.area == "none"]).max() < 0.08


def test_order_and_voxels():
    order = order_of(np.random.default_rng(0), 10, 30)
    assert sorted(order) == sorted(list(range(10)) * 3) and (np.diff(order) != 0).all()
    voxels = ellipsoid((8, 9, 7), 100)
    assert len({tuple(v) for v in voxels.tolist()}) == 100 and (np.diff(voxels[:, 1]) >= 0).all()
    assert (voxels >= 0).all() and (voxels < [8, 9, 7]).all()
