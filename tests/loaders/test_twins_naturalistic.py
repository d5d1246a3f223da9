"""Twins of naturalistic data: read by their cards, and an independent least-squares fit finds what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.glm.first_level import spm_hrf

from braindec.align.bands import Band, trial_design, volume_design
from braindec.loaders._twin_bold import BANDS, ar_noise, band_rows, courses, plant, timed_features
from braindec.loaders._twin_brain import brain
from braindec.loaders._twin_confounds import nuisance
from braindec.loaders.fetch import checksum
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin

SMALL = {
    "fmriprep": {"n_subjects": 1, "n_volumes": 100}, "narratives": {"n_subjects": 1, "n_volumes": 120},
    "lebel": {"n_subjects": 1, "n_volumes": 110}, "pereira": {"n_subjects": 2}, "hcp7t_movie": {"n_subjects": 1},
    "algonauts2025": {"n_subjects": 1, "n_volumes": 120, "n_parcels": 120},
}  # fmt: skip
CARDS = {"narratives": "narratives", "lebel": "lebel-ds003020", "pereira": "pereira2018", "hcp7t_movie": "hcp7t-movie",
         "algonauts2025": "algonauts2025", "fmriprep": ""}  # fmt: skip
TIMED = [n for n in SMALL if n != "pereira"]


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Make each twin once."""
    folder, made = tmp_path_factory.mktemp("naturalistic"), {}

    def get(name):
        if name not in made:
            twin = make_twin(name, folder / name, seed=5, **SMALL[name])
            made[name] = (
                twin,
                open_source(
                    twin.dataset or None,
                    root=twin.root,
                    reader=None if twin.dataset else twin.reader,
                    options=twin.options,
                ),
            )
        return made[name]

    return get


def truth_of(twin, who):
    found = twin.truth()
    key = who if f"{who}/signal_share" in found else f"sub-{who}"
    return found[f"{key}/signal_share"], {b: found[f"{key}/unique/{b}"] for b in twin.about["bands"]}


def convolved(features, stimulus, onset, n, tr):
    """Features at the volumes by another response function (nilearn's) and another method (discrete convolution)."""
    rows = features.ids == stimulus
    values, fine = features.load(rows), float(np.diff(features.items["onset"][:2])[0])
    kernel = spm_hrf(fine, oversampling=1, time_length=32)
    course = np.stack([np.convolve(v, kernel) for v in values.T], axis=1)
    place = np.round(((np.arange(n) + 0.5) * tr - onset) / fine).astype(int)
    inside = (place >= 0) & (place < len(course))
    return np.where(inside[:, None], course[np.clip(place, 0, len(course) - 1)], 0.0)


def detrended(values):
    drift = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(values)), 4)
    return values - drift @ np.linalg.lstsq(drift, values, rcond=None)[0]


def held_out_r2(X, Y, groups, columns):
    """R2 with whole groups held out, mean over groups."""
    scores = []
    for group in np.unique(groups):
        test = groups == group
        weights = np.linalg.lstsq(X[~test][:, columns], Y[~test], rcond=None)[0]
        rest = Y[test] - X[test][:, columns] @ weights
        scores.append(1 - (rest**2).sum(axis=0) / np.maximum((Y[test] ** 2).sum(axis=0), 1e-9))
    return np.mean(scores, axis=0)


def check_recovery(twin, who, X, Y, groups):
    share, unique = truth_of(twin, who)
    band = twin.features.units["band"].to_numpy()
    moving = Y.std(axis=0) > 0
    full = held_out_r2(X, Y, groups, np.ones(len(band), bool))
    assert np.corrcoef(full[moving], share[moving])[0, 1] > 0.9
    assert np.abs(full[moving & (share == 0)]).max() < 0.35 and np.median(full[moving & (share == 0)]) < 0.0
    for name, planted in unique.items():
        lost = full - held_out_r2(X, Y, groups, band != name)
        if planted.max() > 0.1:
            assert np.corrcoef(lost[moving], planted[moving])[0, 1] > 0.8, name
        else:  # the band that drives nothing
            assert np.all(planted < 1e-12) and abs(np.mean(lost[moving & (share > 0.2)])) < 0.05, name


@pytest.mark.parametrize("name", TIMED)
def test_planted_bands_are_found_in_runs(twins, name):
    twin, source = twins(name)
    who = source.subjects()[0]
    X, Y, groups = [], [], []
    for number, run in enumerate(source.recordings(who)):
        shown = run.events[run.events["stimulus_id"].isin(set(twin.features.ids))]
        parts = [
            convolved(twin.features, e.stimulus_id, e.onset, run.n_times, 1 / run.sfreq) for e in shown.itertuples()
        ]
        values = detrended(run.load().T.astype(float))
        spread = values.std(axis=0)
        X.append(detrended(np.sum(parts, axis=0)))
        Y.append(np.divide(values, spread, out=np.zeros_like(values), where=spread > 1e-3))
        groups += [shown["stimulus_id"].iloc[0] if len(shown) == 1 else number] * run.n_times
    check_recovery(twin, who, np.concatenate(X), np.concatenate(Y), np.array(groups, dtype=str))


def test_planted_bands_are_found_in_sentences(twins):
    twin, source = twins("pereira")
    trials = source.windows("P01")
    Y = trials.load()[:, :, 0]
    X = twin.features.of(trials.trials["stimulus_id"])
    numbers = {c: k % 6 for k, c in enumerate(dict.fromkeys(trials.trials["concept_id"]))}
    groups = np.array([numbers[c] for c in trials.trials["concept_id"]])
    check_recovery(twin, "P01", X - X.mean(axis=0), Y - Y.mean(axis=0), groups)


def test_held_out_sentences_flatter_what_held_out_passages_do_not(twins):
    twin, source = twins("pereira")
    trials = source.windows("M08")
    Y = trials.load()[:, :, 0]
    Y = Y - Y.mean(axis=0)
    passage = trials.trials["concept_id"].to_numpy()
    nothing = (passage[:, None] == np.unique(passage)[None]).astype(float)  # which passage it is, and no more
    share, _ = truth_of(twin, "M08")
    shuffled = np.random.default_rng(0).permutation(len(Y)) % 6
    numbers = {c: k % 6 for k, c in enumerate(dict.fromkeys(passage))}
    whole = np.array([numbers[c] for c in passage])

    def predicted(groups):
        found = np.zeros_like(Y)
        for group in range(6):
            test = groups == group
            found[test] = nothing[test] @ np.linalg.lstsq(nothing[~test], Y[~test], rcond=None)[0]
        return found

    leaky = predicted(shuffled)[:, share == 0]
    r = [np.corrcoef(p, y)[0, 1] for p, y in zip(leaky.T, Y[:, share == 0].T, strict=True)]
    assert np.median(r) > 0.25  # in voxels of pure noise
    assert np.abs(predicted(whole)).max() < 1e-4  # nothing is known of a passage that was held out


@pytest.mark.parametrize("name", list(SMALL))
def test_card_and_settings_fit(twins, name):
    twin, source = twins(name)
    assert twin.dataset == CARDS[name] and twin.recipe == "voxelwise_encoding"
    bands = {k: Band(**v) for k, v in twin.filled()["bands"].items()}
    assert set(bands) == set(twin.about["bands"]) and all(
        b.path == str(twin.root / "twin" / "features.h5") for b in bands.values()
    )
    features = {b.path: twin.features for b in bands.values()}
    who = source.subjects()[0]
    windows = source.windows(who)
    if windows is not None:
        made = trial_design(windows, bands, features=features)
        assert len(made.rows) == len(windows) and not made.rows["concept_id"].isna().any()
    else:
        runs = source.recordings(who)
        assert len({r.label for r in runs}) == len(runs)
        assert len({(r.info["session"], r.info["run"]) for r in runs}) == len(runs), "a run is named once in a session"
        assert all(r.info["modality"] == "fmri" and r.signal.path for r in runs)
        made = volume_design(runs, bands, delays=twin.settings["delays"], features=features)
        assert len(made.rows) == sum(r.n_times for r in runs)
        counts = made.rows.loc[made.rows["condition"] != "", "condition"].value_counts()
        assert counts.max() > 1, "one stimulus is repeated"
        assert counts[counts > 1].index.str.startswith(twin.about["repeated"] + "@").all()
    for band in twin.about["bands"]:
        assert made.bands[band].std() > 0.1


@pytest.mark.parametrize("name", list(SMALL))
def test_same_seed_same_bytes(twins, tmp_path, name):
    twin, _ = twins(name)

    def contents(root):
        return {str(p.relative_to(root)): checksum(p) for p in sorted(root.rglob("*")) if p.is_file()}

    again = contents(make_twin(name, tmp_path / "again", seed=5, **SMALL[name]).root)
    assert again == contents(twin.root)
    other = contents(make_twin(name, tmp_path / "other", seed=6, **SMALL[name]).root)
    assert sum(again[k] != other.get(k) for k in again) > len(again) / 3


def test_fmriprep_has_what_fmriprep_writes(twins):
    import pandas as pd

    twin, source = twins("fmriprep")
    folder = twin.root / "derivatives" / "fmriprep"
    table = pd.read_csv(
        sorted(folder.glob("sub-01/func/*_run-01_desc-confounds_timeseries.tsv"))[0], sep="\t", na_values="n/a"
    )
    first = table.columns[table.iloc[0].isna()]
    assert {"framewise_displacement", "dvars", "trans_x_derivative1", "rot_z_derivative1_power2"} <= set(first)
    assert not table.iloc[1:].isna().any().any()
    for strategy in ("motion6", "motion24", "compcor"):
        cleaned = open_source(
            root=twin.root, reader="fmri", options={**twin.options, "confounds": strategy}
        ).recordings("01")[0]
        assert np.isfinite(cleaned.load()).all()
    raw = open_source(root=twin.root, reader="fmri", options={"derivatives": "derivatives/fmriprep"}).recordings("01")
    assert [r.events["stimulus_id"].iloc[0] for r in raw[-3:]] == ["clip-05"] * 3
    flat = raw[0].load().std(axis=1) == 0
    np.testing.assert_array_equal(flat, twin.truth()["sub-01/constant"])
    motion = source.recordings("01")[0].load()  # cleaned of motion: less variance than without
    assert motion.var(axis=1).sum() < raw[0].load().var(axis=1).sum()


def test_surfaces_of_fmriprep(tmp_path):
    twin = make_twin(
        "fmriprep", tmp_path / "a", seed=1, n_subjects=1, n_stimuli=2, n_repeats=1, n_volumes=60, surfaces=True
    )
    truth = twin.truth()
    options = {"derivatives": "derivatives/fmriprep"}
    gray = open_source(root=twin.root, reader="cifti", options=options).recordings("01")
    sheet = open_source(root=twin.root, reader="gifti", options=options).recordings("01")
    assert len(gray) == len(sheet) == 2 and gray[0].n_channels == len(truth["surface/region"]) == 660
    assert sheet[0].n_channels == 600 and sheet[0].info["space"] == "fsaverage5"
    np.testing.assert_allclose(sheet[1].load(), gray[1].load()[:600])
    course = courses(twin.features, "clip-02", onset=6.0, n_volumes=60, tr=2.0)
    signal = course @ truth["sub-01/surface/weights"]
    driven = truth["sub-01/surface/signal_share"] > 0.3
    pairs = zip(signal.T[driven], gray[1].load()[driven], strict=True)
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]) > 0.5


def test_plant_gives_the_shares_asked_for():
    rng = np.random.default_rng(0)
    features = timed_features({"a": 400.0, "b": 300.0}, BANDS, step=0.5, rng=rng)
    x = np.concatenate([courses(features, s, onset=0.0, n_volumes=n, tr=2.0) for s, n in (("a", 200), ("b", 150))])
    bands = band_rows(BANDS)
    shares = {"visual": np.array([0.5, 0.0, 0.3, 0.0]), "language": np.array([0.0, 0.4, 0.3, 0.0])}
    planted = plant(x, bands, shares, np.random.default_rng(1))
    signal = (x - x.mean(axis=0)) @ planted.weights
    np.testing.assert_allclose(planted.signal_share, signal.var(axis=0))
    np.testing.assert_allclose(planted.signal_share[[0, 1, 3]], [0.5, 0.4, 0.0], atol=1e-12)
    assert planted.unique["motion"].max() < 1e-12 and np.all(planted.unique["visual"] <= shares["visual"] + 1e-12)
    np.testing.assert_allclose(planted.noise**2 + planted.signal_share, 1.0)
    # closed form: unique variance of a band alone in a channel is its share times the part that others leave
    others = np.delete(x - x.mean(axis=0), np.arange(bands["visual"].start, bands["visual"].stop), axis=1)
    y = signal[:, 0]
    explained = others @ np.linalg.pinv(others) @ y
    np.testing.assert_allclose(planted.unique["visual"][0], y.var() - explained.var(), atol=1e-10)


def test_noise_drift_and_confounds_are_what_they_say():
    rng = np.random.default_rng(3)
    noise = ar_noise(3000, 20, rng)
    lag = np.mean([np.corrcoef(n[:-1], n[1:])[0, 1] for n in noise.T])
    assert abs(noise.std() - 1) < 1e-6 and abs(lag - 0.4) < 0.03
    space = brain({"visual": ("occipital", 0.5)}, voxel=14)
    smooth = space.smooth(rng.standard_normal((300, len(space.voxels))))
    step = np.linalg.norm(space.voxels[:, None] - space.voxels[None, :200], axis=2)
    a, b = np.argwhere(step == 1)[0]
    assert np.corrcoef(smooth[:, a], smooth[:, b])[0, 1] > 0.2
    other = nuisance(200, rng)
    table = other.table(rng.normal(1000, 10, (200, 30)), rng)
    np.testing.assert_allclose(table["trans_x_derivative1"].iloc[1:], np.diff(other.moved[:, 0]))
    assert table["framewise_displacement"].iloc[1:].ge(0).all() and np.isnan(table["framewise_displacement"].iloc[0])
    components = table[[f"a_comp_cor_{k:02d}" for k in range(6)]].to_numpy()
    np.testing.assert_allclose(components.T @ components, np.eye(6), atol=1e-9)


def test_regions_lie_where_they_should():
    space = brain({"visual": ("occipital", 0.5), "semantic": ("temporal", 0.4), "acoustic": ("auditory", 0.4)})
    mm = space.voxels @ space.affine[:3, :3].T + space.affine[:3, 3]
    assert 900 < len(mm) < 1300
    assert (
        mm[space.shares["visual"] > 0][:, 1].max() < -58 and np.abs(mm[space.shares["semantic"] > 0][:, 0]).min() > 36
    )
    for side in (mm[:, 0] < 0, mm[:, 0] > 0):
        assert all((share[side] > 0).sum() > 8 for share in space.shares.values())
    assert (space.region == 0).mean() > 0.4
    values = np.arange(2 * len(mm)).reshape(2, -1)
    np.testing.assert_array_equal(space.volumes(values)[space.places].T, values)
