"""Regions of electrodes against a search through every voxel, and on real positions and real masks."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.loaders.atlases import Atlas, electrode_regions, open_atlas, with_regions
from braindec.loaders.source import open_source
from braindec.types import Recording

RNG = np.random.default_rng(1)
TURNED = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.2, -0.1, 0.3) @ np.diag([2.0, 3.0, 1.5]), [-12.0, -15.0, -4.0]
)
REGULAR = np.array([[-2.0, 0, 0, 20], [0, 2, 0, -20], [0, 0, 2, -10], [0, 0, 0, 1]])


def atlas(affine=REGULAR, share=0.05, space="MNI152") -> Atlas:
    labels = RNG.choice([0, 2001, 7], size=(12, 14, 10), p=[1 - share, share / 2, share / 2]).astype(np.int32)
    return Atlas("toy", "volume", space, {2001: "Precentral_L", 7: "STN"}, labels, affine)


def search(point, one: Atlas):
    """Distance (mm) from a point to the box of each labelled voxel, and their labels; no tree, no clipping."""
    ijk = np.argwhere(one.labels)
    axes = one.affine[:3, :3]
    size = np.linalg.norm(axes, axis=0)
    offset = (point - (ijk @ axes.T + one.affine[:3, 3])) @ (axes / size)  # along the axes of the grid, in mm
    outside = np.maximum(np.abs(offset) - size / 2, 0)
    return np.sqrt((outside**2).sum(axis=1)), np.linalg.norm(offset, axis=1), one.labels[tuple(ijk.T)]


@pytest.mark.parametrize("affine", [REGULAR, TURNED])
def test_nearest_region_and_distance_are_those_of_a_full_search(affine):
    one = atlas(affine)
    points = nib.affines.apply_affine(affine, RNG.uniform(-3, [15, 17, 13], (80, 3)))
    found = electrode_regions(points / 1000, one, space="MNI152", max_distance=0.004, radius=0.006)
    assert (found["distance"] > 4).any() and (found["distance"] == 0).any()
    for point, row in zip(points, found.itertuples(), strict=True):
        gaps, centres, keys = search(point, one)
        assert row.distance == pytest.approx(gaps.min(), abs=1e-9)
        best = set(keys[np.isclose(gaps, gaps.min(), atol=1e-6)].tolist())
        assert row.nearest in {one.names[k] for k in best}
        assert (row.region == "n/a") == (gaps.min() > 4) and (row.label in best or row.label == 0)
        inside = keys[centres <= 6]
        assert row.n_voxels == len(inside)
        if row.region != "n/a" and len(inside):
            assert row.share == pytest.approx((inside == row.label).mean())


def test_inside_a_voxel_the_distance_is_zero():
    labels = np.zeros((5, 5, 5), np.int32)
    labels[2, 2, 2], labels[2, 2, 3] = 1, 2
    one = Atlas("toy", "volume", "MNI152", {1: "a", 2: "b"}, labels, np.diag([2.0, 2, 2, 1]))
    points = np.array([[4.9, 4.9, 3.1], [4.0, 4.0, 5.1], [4.0, 4.0, 9.0], [np.nan] * 3]) / 1000
    said: list[str] = []
    found = electrode_regions(points, one, names=list("wxyz"), space="MNI152", max_distance=0.0015, said=said)
    assert found["name"].tolist() == list("wxyz") and found["region"].tolist() == ["a", "b", "n/a", "n/a"]
    np.testing.assert_allclose(found["distance"], [0, 0, 2, np.nan], atol=1e-12)
    assert found["nearest"].tolist() == ["a", "b", "b", "n/a"] and found["label"].tolist() == [1, 2, 0, 0]
    assert "1 of 4 electrodes have no position" in said[0] and "1 electrodes lie more than 1.5 mm" in said[1]
    around = electrode_regions(points[:1], one, space="MNI152", radius=0.004)["around"][0]
    assert around == "a 0.50; b 0.50"


@pytest.mark.parametrize(
    ("points", "options", "words"),
    [
        (np.ones((2, 3)) * 20, {"space": "MNI152"}, "in m"),
        (np.zeros((2, 3)), {"space": "MNI305"}, "MNI305 against MNI152"),
        (np.zeros((2, 3)), {}, "unknown"),
        (np.full((2, 3), np.nan), {"space": "MNI152"}, "no electrode positions"),
        (np.zeros((2, 2)), {"space": "MNI152"}, "shape"),
        (np.zeros((2, 3)), {"space": "MNI152", "names": ["a"]}, "differ in number"),
        (np.zeros((2, 3)), {"space": "MNI152", "max_distance": 5.0, "radius": 5.0}, "in m"),
    ],
)
def test_positions_that_cannot_be_meant_are_refused(points, options, words):
    with pytest.raises(BraindecError, match=words):
        electrode_regions(points, atlas(), **options)


def test_regions_fill_the_channel_table():
    one = atlas(share=0.5)
    channels = pd.DataFrame({"name": ["a", "b", "c"], "type": "seeg", "x": [0.0, 0.01, 0.3], "y": 0.0, "z": 0.0})
    recording = Recording(np.zeros((3, 5), np.float32), 100.0, channels, info={"space": "mni", "subject": "01"})
    table = electrode_regions(recording, one)
    filled = with_regions(recording, table.iloc[::-1])
    assert filled.channels["region"].tolist() == table["region"].tolist() and filled.channels["region"][2] == "n/a"
    np.testing.assert_allclose(filled.channels["region_distance"] * 1000, table["distance"])
    with pytest.raises(BraindecError, match="'d'"):
        with_regions(recording, table.assign(name=["a", "b", "d"]))


def test_real_electrodes_and_real_masks(shared):
    source = open_source("ecog-grip", data_home=shared("ecog-grip").parent)
    recording = source.recordings("testsub")[0]
    folder = shared("atlas_ibc_language_rois")
    grey = open_atlas({"grey matter": folder / "gm_mask_1_5mm.nii.gz"}, space="MNI152")
    said: list[str] = []
    found = electrode_regions(recording, grey, max_distance=0.01, said=said).set_index("name")
    ecog = [n for n in found.index if n.startswith("ECOG")]
    assert (found.loc[ecog, "distance"] < 10).all() and (found.loc[ecog, "region"] == "grey matter").all()
    assert np.isnan(found.loc["MOV_RIGHT", "distance"]) and found.loc["MOV_RIGHT", "region"] == "n/a"
    assert any("no position" in s for s in said) and any("mni" in s for s in said)
    left = open_atlas({n: folder / f"left_{n}.nii.gz" for n in ("IFG", "TPJ")}, space="MNI152")
    far = electrode_regions(recording, left)  # the electrodes lie in the right hemisphere
    assert (far["region"] == "n/a").all() and far["distance"].dropna().min() > 30
