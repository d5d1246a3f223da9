"""THINGS-EEG2: raw and preprocessed files of the twin come out as they were made; leaks in them are caught; bad files are refused."""

from __future__ import annotations

import os
import pickle
import shutil

import numpy as np
import pytest

from braindec.decoders.ridge import RidgeDecoder
from braindec.errors import BraindecError, UnreadableError
from braindec.evaluate.audit import audit
from braindec.evaluate.official import official_split
from braindec.evaluate.published import published_records
from braindec.evaluate.retrieval import evaluate_retrieval
from braindec.loaders._twin_pickle import plain_pickle, save_npy_dictionary
from braindec.loaders.plain_pickle import load_plain
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin
from braindec.signal.windows import make_windows
from braindec.types import Features


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return make_twin("things_eeg2", tmp_path_factory.mktemp("eeg2") / "twin", n_subjects=1)


def open_it(twin, **options):
    return open_source("things-eeg2", root=twin.root, options=options)


def windows_of(twin):
    return make_windows(open_it(twin).recordings("01"), tmin=0.0, tmax=0.5)


def test_raw_events_are_those_of_the_trigger_channel(twin):
    recordings = open_it(twin).recordings("01")
    assert [(r.info["session"], r.info["run"]) for r in recordings] == [
        (f"{s:02d}", p) for s in range(1, 5) for p in ("training", "test")
    ]
    images = load_plain(twin.root / "image_set" / "image_metadata.npy")
    shown: dict[str, int] = {}
    for recording in recordings:
        part = {"training": "train", "test": "test"}[recording.info["run"]]
        path = (
            twin.root
            / "raw_data"
            / "sub-01"
            / f"ses-{recording.info['session']}"
            / f"raw_eeg_{recording.info['run']}.npy"
        )
        stim = np.load(path, allow_pickle=True).item()["raw_eeg_data"][-1]
        onset = np.flatnonzero((stim > 0) & (stim < 99999))
        events = recording.events
        assert np.array_equal(np.round(events["onset"] * recording.sfreq), onset)
        assert [f"{s}.jpg" for s in events["stimulus_id"]] == [
            images[f"{part}_img_files"][int(k) - 1] for k in stim[onset]
        ]
        assert all(
            c.split("_")[1] == e
            for c, e in zip(
                [images[f"{part}_img_concepts_THINGS"][int(k) - 1] for k in stim[onset]],
                events["concept_id"],
                strict=True,
            )
        )
        for name, repetition in zip(events["stimulus_id"], events["repetition"], strict=True):
            shown[name] = shown.get(name, 0) + 1
            assert repetition == shown[name]
        assert (stim == 99999).sum() and "targets" in recording.info["warnings"][0]
        assert (
            set(events["part"]) == {part}
            and "stim" not in recording.ch_names
            and set(recording.channels["unit"]) == {"V"}
        )
        assert np.isfinite(recording.positions).all()


def test_signals_stay_on_disk_and_travel_by_their_path(twin):
    recording = open_it(twin).recordings("01")[0]
    assert len(pickle.dumps(recording.signal)) < 2000
    path = twin.root / "raw_data" / "sub-01" / "ses-01" / "raw_eeg_training.npy"
    truth = np.load(path, allow_pickle=True).item()["raw_eeg_data"][:-1]
    assert np.array_equal(pickle.loads(pickle.dumps(recording)).load(), truth)
    assert 1e-6 < truth.std() < 1e-4


def test_the_planted_responses_are_found(twin):
    truth = twin.truth()
    windows = windows_of(twin)
    data = windows.load().astype(float)
    data -= data[:, :, :5].mean(axis=2, keepdims=True)
    latents = truth["latents"][twin.features.rows_of(windows.trials["stimulus_id"])]
    planted = np.einsum("lc,lt->lct", truth["01/topographies"], truth["01/courses"]).ravel()

    def fitted(latents):
        return np.linalg.lstsq(np.c_[latents, np.ones(len(latents))], data.reshape(len(data), -1), rcond=None)[0][
            :-1
        ].ravel()

    assert np.corrcoef(fitted(latents), planted)[0, 1] > 0.5
    assert abs(np.corrcoef(fitted(np.random.default_rng(0).permutation(latents)), planted)[0, 1]) < 0.1


def test_parts_share_no_concept_and_are_decoded_by_name(twin):
    windows = windows_of(twin)
    split = official_split(windows, "part", validation_by="concept_id", validation=0.0)
    assert split.hash == official_split(windows, "part", validation_by="concept_id", validation=0.0).hash
    assert (
        audit(
            windows, split, candidates=twin.features, claim=["concept_id", "stimulus_id"], checks=["content_overlap"]
        ).level
        == "pass"
    )
    features = twin.features
    shown = windows.trials["stimulus_id"].to_numpy()[split.test]
    candidates = features[features.rows_of(np.unique(shown))]
    decoder = RidgeDecoder(alpha=100.0, time_bins=8).fit(windows[split.train], features)
    means = np.stack([decoder.embed(windows[split.test])[shown == s].mean(axis=0) for s in np.unique(shown)])
    found = evaluate_retrieval(
        means, decoder.project(candidates), true_ids=np.unique(shown), topk=(1, 5), n_permutations=0, n_bootstrap=10
    )
    top5 = float(found.scores.query("metric == 'top5'")["value"].iloc[0])
    assert top5 > 0.8  # chance 5 / 12


def test_candidates_are_images_or_concepts_by_the_features_given(twin):
    images, concepts = twin.features, Features.open(twin.root / "twin" / "prototypes.h5")
    tested = concepts.ids
    mine = images.load()[images.rows_of(tested)]
    assert concepts.info["candidates"].startswith("concepts") and mine.shape == concepts.load().shape
    near = [np.corrcoef(a, b)[0, 1] for a, b in zip(mine, concepts.load(), strict=True)]
    assert 0.2 < np.mean(near) < 0.95  # related, and not the same


def test_a_tested_concept_in_training_is_caught(tmp_path):
    leaky = make_twin(
        "things_eeg2", tmp_path / "twin", n_subjects=1, n_sessions=2, n_concepts=12, n_images=2, n_test=6, leaked=2
    )
    windows = windows_of(leaky)
    split = official_split(windows, "part", validation_by="concept_id", validation=0.0)
    found = audit(windows, split, candidates=leaky.features, claim="concept_id", checks=["content_overlap"])
    assert found.level == "fail" and any("2 of 6" in f.message for f in found.at("fail"))


def test_preprocessed_files(twin):
    windows = open_it(twin, form="preprocessed").windows("01")
    table = np.load(twin.root / "preprocessed_data" / "sub-01" / "preprocessed_eeg_test.npy", allow_pickle=True).item()
    data = table["preprocessed_eeg_data"]
    test = np.flatnonzero(windows.trials["part"] == "test")
    assert np.array_equal(windows.load(test), data.reshape(-1, *data.shape[2:])) and windows.n_times == len(
        table["times"]
    )
    assert np.allclose(windows.times, table["times"]) and "onset" not in windows.trials
    assert (windows.trials["repetition"].to_numpy()[test] == np.tile(np.arange(1, data.shape[1] + 1), len(data))).all()
    assert len(pickle.dumps(windows.recordings[0].signal)) < 2000
    split = official_split(windows, "part", validation_by="concept_id", validation=0.0)
    found = audit(windows, split, candidates=twin.features, checks=["fit_scope"])
    assert (
        found.level == "fail"
        and "MVNN" in found.findings[0].message
        and f"{len(test)} test rows" in found.findings[0].message
    )


def test_whitening_is_told_only_where_it_was_done(twin):
    assert published_records(windows_of(twin)) == []
    own = open_it(twin, form="preprocessed", whitened_with="train").windows("01")
    assert published_records(own) == [] and set(own.channels["unit"]) == {"a.u."}


def test_files_of_nice_are_bare_pickles_with_more_times_than_samples(twin, tmp_path):
    shutil.copytree(twin.root / "image_set", tmp_path / "image_set")
    for part in ("training", "test"):
        table = load_plain(twin.root / "preprocessed_data" / "sub-01" / f"preprocessed_eeg_{part}.npy")
        cut = {**table, "preprocessed_eeg_data": np.array(table["preprocessed_eeg_data"][..., 20:])}
        (tmp_path / "Preprocessed_data" / "sub-01").mkdir(parents=True, exist_ok=True)
        (tmp_path / "Preprocessed_data" / "sub-01" / f"preprocessed_eeg_{part}.npy").write_bytes(plain_pickle(cut))
    windows = open_source("things-eeg2", root=tmp_path, options={"form": "preprocessed"}).windows("01")
    assert windows.times[0] == pytest.approx(0.0) and windows.n_times == 50
    whole = open_it(twin, form="preprocessed").windows("01")
    assert np.array_equal(windows.load([3]), whole.load([3])[:, :, 20:])


def test_what_does_not_fit_is_refused(twin, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(twin.root, root)
    source = open_source("things-eeg2", root=root)
    with pytest.raises(BraindecError, match="no subject '07'"):
        source.load("07")
    with pytest.raises(BraindecError, match="form is raw"):
        open_source("things-eeg2", root=root, options={"form": "cooked"}).subjects()
    with pytest.raises(BraindecError, match="whitened_with is"):
        open_source("things-eeg2", root=root, options={"whitened_with": "x"}).load("01")
    path = root / "raw_data" / "sub-01" / "ses-01" / "raw_eeg_test.npy"
    table = dict(load_plain(path))
    wrong = np.array(table["raw_eeg_data"])
    wrong[-1, 500] = 500
    save_npy_dictionary(path, {**table, "raw_eeg_data": wrong})
    with pytest.raises(UnreadableError, match="names images that are not"):
        open_source("things-eeg2", root=root).load("01")

    class Bad:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'flag'}",)

    np.save(path, {**table, "raw_eeg_data": Bad()})
    with pytest.raises(UnreadableError, match="more than plain data"):
        open_source("things-eeg2", root=root).load("01")
    assert not (tmp_path / "flag").exists()
    (root / "image_set" / "image_metadata.npy").unlink()
    with pytest.raises(BraindecError, match=r"image_metadata\.npy"):
        open_source("things-eeg2", root=root).load("01")
    with pytest.raises(BraindecError, match="holds no raw EEG"):
        open_source("things-eeg2", root=tmp_path / "copy" / "image_set").subjects()


def test_one_part_and_one_session(twin):
    recordings = open_it(twin, part="test", session="02").recordings("01")
    assert (
        len(recordings) == 1 and set(recordings[0].events["part"]) == {"test"} and recordings[0].info["session"] == "02"
    )
    with pytest.raises(BraindecError, match="part is train or test"):
        open_it(twin, part="both").load("01")
    with pytest.raises(BraindecError, match="session"):
        open_it(twin, session="09").load("01")
