"""Human inferior temporal cortex and models of it: 92 pictures, 4 subjects, 2 sessions."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa.inference import infer
from braindec.align.rsa.models import Fixed, Weighted
from braindec.align.rsa.partial import partial_rsa
from braindec.align.rsa.partition import variance_partition
from braindec.align.rsa.read_rdms import read_rdms
from braindec.errors import BraindecError, UnreadableError

LOW = ["V1", "Silhouette", "RADON"]


@pytest.fixture(scope="module")
def images(shared):
    folder = shared("images92")
    data = read_rdms(folder / "92_brainRDMs.mat", fields=["region", "subject", "session"])
    return read_rdms(folder / "92_modelRDMs.mat"), data


def test_files_are_read(images):
    models, data = images
    assert list(models.table["model"])[:2] == ["animacy", "FaceBodyManmadeNatobj"] and models.n_conditions == 92
    assert (
        sorted(data.table["subject"].unique()) == ["BE", "KO", "SN", "TI"]
        and (data.table["session"].value_counts() == 4).all()
    )


@pytest.mark.parametrize("comparator", ["corr_cov", "rho_a"])
def test_categories_beat_what_is_seen_early(images, comparator):
    found = infer(*images, comparator=comparator, permutations=200)
    score = found.decoded.set_index("model")
    assert score.loc["animacy", "value"] > score.loc[LOW, "value"].max() + 0.1
    assert (
        score.loc["animacy", "p_max"] <= 0.01
        and score.loc["animacy", "p_population"] < 0.02
        and score.loc["animacy", "low"] > 0.05
    )
    assert score.loc["monkeyIT", "value"] > score.loc["HMAX", "value"] > score.loc["RADON", "value"]
    assert score.loc["RADON", "p_to_ceiling"] < 0.05
    ends = found.scores.set_index("row")["value"]
    assert 0.2 < ends["noise_ceiling_lower"] < ends["noise_ceiling_upper"] < 0.7
    rows = found.differences.set_index(["model", "other"])
    assert rows.loc[("animacy", "RADON"), "p"] < 0.05
    assert score["n"].eq(4).all() and next(iter(found.bootstraps.values())).n_conditions == 92


def test_what_is_left_beyond_early_models(images):
    models, data = images
    found = partial_rsa(models, data, models.where(model=LOW), permutations=200).set_index("model")
    assert found.loc["animacy", "p"] <= 0.01 and found.loc["animacy", "value"] > 0.2 and found.loc["V1", "p"] > 0.05
    parts = variance_partition(models.where(model=["animacy", "monkeyIT", "V1"]), data, permutations=100).set_index(
        "sets"
    )
    assert (
        parts.loc["V1", "value"] < 0.01 < parts.loc["animacy", "value"] and parts.loc["animacy + monkeyIT", "low"] > 0
    )


def test_mixtures_of_early_models_stay_below_categories(images):
    models, data = images
    found = infer(
        [Fixed.of("animacy", models.where(model="animacy")), Weighted.of("early", models.where(model=LOW))],
        data,
        comparator="corr_cov",
        n=20,
    )
    score = found.decoded.set_index("model")["value"]
    assert score["animacy"] > score["early"] + 0.05


def test_other_files(images, tmp_path):
    models, _ = images
    models.save(tmp_path / "m.h5")
    np.save(tmp_path / "m.npy", models.square())
    np.testing.assert_allclose(read_rdms(tmp_path / "m.h5").values, models.values)
    np.testing.assert_allclose(read_rdms(tmp_path / "m.npy").values, models.values)


def test_files_that_do_not_fit(shared, tmp_path):
    from scipy.io import savemat

    with pytest.raises(BraindecError, match="names and fields differ"):
        read_rdms(shared("images92") / "92_brainRDMs.mat", fields=["subject"])
    savemat(tmp_path / "x.mat", {"a": np.zeros(3)})
    with pytest.raises(UnreadableError, match="no structure with the fields RDM and name"):
        read_rdms(tmp_path / "x.mat")
    (tmp_path / "broken.mat").write_bytes(b"nothing")
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_rdms(tmp_path / "broken.mat")
    with pytest.raises(BraindecError, match="cannot be found"):
        read_rdms(tmp_path / "gone.mat")
