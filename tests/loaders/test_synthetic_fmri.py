"""The synthetic fMRI cohort: BIDS and fMRIPrep-like files in MNI space, categories in the planted regions only."""

from __future__ import annotations

import hashlib
import json

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from braindec.errors import BraindecError
from braindec.loaders import _synthetic_fmri as fmri
from braindec.loaders._synthetic_presets import PRESETS
from braindec.loaders.synthetic import make_cohort

RUNS = ("01", "02", "03", "04")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("fmri") / "tiny", modality="fmri", preset="tiny")


def volumes(cohort, subject: str, run: str):
    """Return the voxels of the mask (volume, voxel), detrended and z-scored, and the events."""
    stem = cohort.root / f"sub-{subject}" / "func" / f"sub-{subject}_task-images_run-{run}"
    image = nibabel.load(f"{stem}_bold.nii.gz")
    data = image.get_fdata()[cohort.truth.arrays["mask"] > 0].T
    trend = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(data)), 3)
    percent = 100 * (data - trend @ np.linalg.lstsq(trend, data, rcond=None)[0]) / data.mean(axis=0)
    return percent, pd.read_csv(f"{stem}_events.tsv", sep="\t")


def labelled(cohort, subject: str, delay: float = 5.0):
    """Return volumes with the category that was on ``delay`` s earlier, and their run."""
    X, y, runs = [], [], []
    for run in RUNS:
        data, events = volumes(cohort, subject, run)
        label = np.full(len(data), "", object)
        time = 2.0 * np.arange(len(data)) - delay
        for row in events.itertuples():
            label[(time >= row.onset) & (time < row.onset + row.duration)] = row.trial_type
        X.append(data[label != ""])
        y.append(label[label != ""])
        runs += [run] * int((label != "").sum())
    return np.concatenate(X), np.concatenate(y), np.array(runs)


def accuracy(X, y, runs) -> float:
    """Nearest class mean by correlation, one run left out."""
    right = 0
    for run in RUNS:
        test = runs == run
        X0 = X - X[~test].mean(axis=0)
        means = np.stack([X0[~test & (y == c)].mean(axis=0) for c in np.unique(y)])
        scores = (X0[test] / np.linalg.norm(X0[test], axis=1)[:, None]) @ (
            means / np.linalg.norm(means, axis=1)[:, None]
        ).T
        right += (np.unique(y)[scores.argmax(axis=1)] == y[test]).sum()
    return right / len(y)


@pytest.mark.parametrize("subject", ["01", "02"])
def test_categories_are_decoded_in_the_planted_regions_and_nowhere_else(cohort, subject):
    X, y, runs = labelled(cohort, subject)
    roi = cohort.truth.arrays["roi"][cohort.truth.arrays["mask"] > 0]
    # 24 blocks of 3 categories: four standard errors of the share of right blocks at chance are 0.38
    assert accuracy(X[:, np.isin(roi, (1, 2))], y, runs) > 0.75
    assert abs(accuracy(X[:, roi == 0], y, runs) - 1 / 3) < 0.25
    assert abs(accuracy(X[:, roi == 3], y, runs) - 1 / 3) < 0.25
    rng = np.random.default_rng(0)
    shuffled = [
        accuracy(X[:, np.isin(roi, (1, 2))], np.concatenate([rng.permutation(y[runs == r]) for r in RUNS]), runs)
        for _ in range(20)
    ]
    assert abs(np.mean(shuffled) - 1 / 3) < 0.05


def test_response_amplitudes_are_the_planted_patterns(cohort):
    truth, info = cohort.truth.subject("01"), cohort.truth.info
    roi = cohort.truth.arrays["roi"][cohort.truth.arrays["mask"] > 0]
    betas = []
    for run in RUNS:
        data, events = volumes(cohort, "01", run)
        design = fmri.regressors(events, info["categories"], len(data), 2.0)
        design = np.column_stack([design, np.polynomial.legendre.legvander(np.linspace(-1, 1, len(data)), 3)])
        betas.append(np.linalg.lstsq(design, data, rcond=None)[0][:3])
    found, planted = np.mean(betas, axis=0), truth["patterns"]
    informative = np.isin(roi, (1, 2))
    both = found[:, informative].ravel(), planted[:, informative].ravel()
    assert np.corrcoef(*both)[0, 1] > 0.8
    assert np.polyfit(both[1], both[0], 1)[0] == pytest.approx(1, abs=0.12)  # percent signal change, not only direction
    assert np.abs(planted[:, roi == 0]).max() == 0 and np.abs(found[:, roi == 0].mean()) < 0.1
    assert np.ptp(planted[:, roi == 3], axis=0).max() == 0 and found[:, roi == 3].mean() > 0.5


def test_patterns_are_each_subjects_own(cohort):
    first, second = (cohort.truth.subject(s)["patterns"] for s in cohort.subjects)
    informative = np.isin(cohort.truth.arrays["roi"][cohort.truth.arrays["mask"] > 0], (1, 2))
    contrast = [p[0, informative] - p[1, informative] for p in (first, second)]
    assert abs(np.corrcoef(*contrast)[0, 1]) < 0.3


def test_response_is_the_canonical_one():
    times = np.arange(0, 32, 0.1)
    from nilearn.glm.first_level import spm_hrf

    canonical = spm_hrf(0.1, oversampling=1, time_length=32.0)
    assert np.corrcoef(fmri.hrf(times), canonical)[0, 1] > 0.999
    peak = minimize_scalar(lambda t: -fmri.hrf(np.array([t]))[0], bounds=(3, 8), method="bounded")
    assert -peak.fun == pytest.approx(1.0, abs=1e-4) and peak.x == pytest.approx(5.0, abs=0.02)
    assert (fmri.hrf(np.array([-3.0, 0.0])) == 0).all()


def test_long_block_reaches_one_and_single_images_add_up():
    block = pd.DataFrame({"onset": [0.0], "duration": [60.0], "concept_id": ["a"]})
    images = pd.DataFrame({"onset": np.arange(0, 60, 2.0), "duration": 2.0, "concept_id": "a"})
    long = fmri.regressors(block, ["a", "b"], 60, 2.0)
    assert long[25, 0] == pytest.approx(1, abs=0.01) and not long[:, 1].any()
    np.testing.assert_allclose(fmri.regressors(images, ["a", "b"], 60, 2.0), long, atol=1e-9)


def test_displacement_of_a_known_move():
    parameters = np.zeros((3, 6))
    parameters[1] = [1, 0, -2, 0.01, 0, 0]
    np.testing.assert_allclose(fmri.framewise_displacement(parameters), [np.nan, 3.5, 3.5])


def test_files_are_bids_in_mni_space(cohort):
    func = cohort.root / "sub-01" / "func"
    image = nibabel.load(func / "sub-01_task-images_run-01_bold.nii.gz")
    assert image.header.get_zooms() == (5.0, 5.0, 5.0, 2.0) and image.header.get_xyzt_units() == ("mm", "sec")
    assert int(image.header["sform_code"]) == 4
    sidecar = json.loads((func / "sub-01_task-images_run-01_bold.json").read_text())
    assert sidecar["RepetitionTime"] == 2.0
    derived = cohort.root / "derivatives" / "fmriprep" / "sub-01" / "func"
    stem = "sub-01_task-images_run-01"
    mask = nibabel.load(derived / f"{stem}_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz")
    assert (mask.get_fdata() == cohort.truth.arrays["mask"]).all() and np.allclose(mask.affine, image.affine)
    inside = mask.get_fdata() > 0
    mean = nibabel.load(derived / f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz").get_fdata().mean(axis=3)
    assert mean[inside].min() > 10 * mean[~inside].max()
    confounds = pd.read_csv(derived / f"{stem}_desc-confounds_timeseries.tsv", sep="\t")
    assert len(confounds) == image.shape[3] and {"trans_x", "rot_z", "framewise_displacement", "global_signal"} <= set(
        confounds
    )
    assert confounds["framewise_displacement"].isna().tolist() == [True] + [False] * (len(confounds) - 1)
    # the region really lies where it is said to lie
    left = np.argwhere(cohort.truth.arrays["roi"] == 1).mean(axis=0)
    np.testing.assert_allclose((image.affine @ [*left, 1])[:3], (-38, -56, -15), atol=5)


def test_noise_is_autocorrelated_and_smooth(cohort):
    data, _ = volumes(cohort, "01", "01")
    roi = cohort.truth.arrays["roi"][cohort.truth.arrays["mask"] > 0]
    rest = data[:, roi == 0]
    lag = np.mean([np.corrcoef(v[1:], v[:-1])[0, 1] for v in rest.T])
    assert 0.3 < lag < 0.75 and 0.8 < rest.std() < 2.0
    cube = np.zeros((*cohort.truth.arrays["mask"].shape, len(data)))
    cube[cohort.truth.arrays["mask"] > 0] = data.T
    near = [np.corrcoef(cube[i, j, 1], cube[i + 1, j, 1])[0, 1] for i in range(4, 12) for j in range(3, 8)]
    assert np.nanmean(near) > 0.2


def test_every_run_holds_every_category_in_another_order(cohort):
    orders = []
    for run in RUNS:
        _, events = volumes(cohort, "01", run)
        blocks = events.drop_duplicates("block")
        assert (blocks["trial_type"].value_counts() == 2).all() and (events["block"].value_counts() == 4).all()
        assert (events.groupby("block")["trial_type"].nunique() == 1).all()
        orders.append(tuple(blocks["trial_type"]))
    assert len(set(orders)) > 1
    assert all((cohort.root / "stimuli" / f).is_file() for f in events["stim_file"])


def test_same_seed_same_bytes(cohort, tmp_path):
    again = make_cohort(tmp_path / "again", modality="fmri", preset="tiny")
    for path in (p for p in cohort.root.rglob("*") if p.is_file()):
        other = again.root / path.relative_to(cohort.root)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest(), path


def test_regions_outside_the_slab_are_refused(tmp_path):
    with pytest.raises(BraindecError, match="VT left lies outside"):
        make_cohort(tmp_path / "c", modality="fmri", preset="tiny", bounds=((0.0, 20.0), (-100.0, -80.0), (-20.0, 0.0)))
    with pytest.raises(BraindecError, match="too many categories"):
        make_cohort(tmp_path / "c", modality="fmri", preset="tiny", categories=99)


def test_demo_space_has_the_promised_size():
    space = fmri.make_space(PRESETS["fmri"]["demo"])
    assert 1500 < space.mask.sum() < 3000 and all((space.roi == k).sum() > 30 for k in (1, 2, 3))
