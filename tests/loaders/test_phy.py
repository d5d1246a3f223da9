"""Folders of phy and Kilosort: samples to seconds by the rate that is said; settings are parsed and never run."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import load
from braindec.loaders.readers import phy


@pytest.fixture
def folder(tmp_path):
    at = tmp_path / "kilosort4"
    at.mkdir()
    np.save(at / "spike_times.npy", np.array([[300], [600], [900], [1200], [1500]], dtype=np.uint64))
    np.save(at / "spike_clusters.npy", np.array([7, 2, 7, 5, 2], dtype=np.int32))
    (at / "params.py").write_text(
        "dat_path = r'C:\\data\\raw.bin'\nn_channels_dat = 2\ndtype = 'int16'\noffset = 0\nsample_rate = 30000.\nhp_filtered = False\n"
    )
    (at / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n2\tgood\n5\tmua\n7\tgood\n")
    return at


def test_clusters_of_good_quality(folder):
    found = load(folder)
    assert found.units["name"].tolist() == ["cluster2", "cluster7"] and found.units["KSLabel"].tolist() == [
        "good",
        "good",
    ]
    assert found.train("cluster2").tolist() == pytest.approx([0.02, 0.05]) and found.train(
        "cluster7"
    ).tolist() == pytest.approx([0.01, 0.03])
    assert found.stop == pytest.approx(0.05) and any(
        "2 of 3 clusters are kept (by KSLabel: good 2, mua 1)" in t for t in found.info["warnings"]
    )
    assert (
        load(folder, reader="phy", quality=["good", "mua"]).n_units == 3
        and load(folder, reader="phy", quality=None).n_units == 3
    )
    assert load(folder, reader="phy", quality="mua").times.tolist() == pytest.approx([0.04])
    assert {p.name for p in phy.files(folder)} == {
        "params.py",
        "spike_times.npy",
        "spike_clusters.npy",
        "cluster_KSLabel.tsv",
    }
    assert phy.subjects(folder) == ["kilosort4"]


def test_what_a_person_said_wins_over_the_sorter(folder):
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n2\tnoise\n7\tgood\n")
    found = load(folder)
    assert found.units["cluster_id"].tolist() == [7]
    (folder / "cluster_info.tsv").write_text(
        "cluster_id\tch\tdepth\tgroup\tn_spikes\n2\t1\t20.0\tgood\t2\n5\t0\t0.0\t\t1\n7\t3\t60.0\tgood\t2\n"
    )
    found = load(folder)
    assert found.units["depth"].tolist() == [20.0, 60.0] and found.units["ch"].tolist() == [1, 3]


def test_the_end_of_the_recording_is_that_of_the_raw_file(folder):
    (folder / "raw.bin").write_bytes(b"\0" * 2 * 2 * 3000)
    found = load(folder)
    assert found.stop == pytest.approx(0.1) and not any("stop" in t for t in found.info["warnings"])
    assert load(folder, reader="phy", stop=2.0).stop == 2.0


def test_settings_are_never_run(folder, tmp_path):
    mark = tmp_path / "ran"
    (folder / "params.py").write_text(
        f"import pathlib\nx = pathlib.Path({str(mark)!r}).write_text('run')\nsample_rate = 30000\n"
    )
    assert load(folder).n_units == 2 and not mark.exists()
    (folder / "params.py").write_text("sample_rate = 15000 * 2\n")
    with pytest.raises(BraindecError, match="does not say its sampling rate"):
        load(folder)


def test_not_curated_yet(folder):
    (folder / "spike_clusters.npy").rename(folder / "spike_templates.npy")
    assert any("was not curated" in t for t in load(folder).info["warnings"])


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda f: (f / "params.py").unlink(), {}, "does not say its sampling rate"),
        (lambda f: (f / "params.py").write_text("sample_rate = 0"), {}, "is no rate"),
        (lambda f: (f / "params.py").write_text("sample_rate = = 1"), {}, "cannot be parsed"),
        (lambda f: None, {"sfreq": 25_000.0}, "30000 Hz, the option sfreq 25000 Hz"),
        (lambda f: None, {"quality": "goood"}, "did you mean 'good'"),
        (lambda f: (f / "cluster_KSLabel.tsv").unlink(), {}, "does not say the quality"),
        (lambda f: np.save(f / "spike_clusters.npy", np.zeros(3, int)), {}, "differ in number"),
        (lambda f: np.save(f / "spike_times.npy", np.array([0.1, 0.2, 0.3, 0.4, 0.5])), {}, "must hold samples"),
        (lambda f: np.save(f / "spike_times.npy", np.array([-5, 1, 2, 3, 4])), {}, "negative samples"),
        (lambda f: np.save(f / "spike_times.npy", np.array([None] * 5), allow_pickle=True), {}, "Python objects"),
        (lambda f: np.save(f / "spike_clusters.npy", np.arange(5) + 0.5), {}, "numbers of clusters"),
        (lambda f: None, {"stop": "a"}, "stop='a'"),
        (lambda f: None, {"sfreq": "a"}, "sfreq='a'"),
        (lambda f: (f / "params.py").write_text("sample_rate = 1e400"), {}, "is no rate"),
        (lambda f: (f / "spike_clusters.npy").unlink(), {}, "has no spike_clusters.npy"),
        (lambda f: (f / "spike_times.npy").unlink(), {}, "is no folder of phy"),
        (lambda f: (f / "cluster_KSLabel.tsv").write_text("cluster\tKSLabel\n2\tgood\n"), {}, "no column cluster_id"),
    ],
)
def test_bad_folders_are_one_clear_error(folder, change, options, said):
    change(folder)
    with pytest.raises((BraindecError, UnreadableError), match=said):
        load(folder, reader="phy", **options)


def test_rate_can_be_said(folder):
    (folder / "params.py").unlink()
    assert load(folder, reader="phy", sfreq=30_000.0).times[0] == pytest.approx(0.01)


def test_folders_of_several_sessions(folder, tmp_path):
    for name in ("s1", "s2"):
        (tmp_path / "m1" / name).mkdir(parents=True)
        for file in folder.iterdir():
            (tmp_path / "m1" / name / file.name).write_bytes(file.read_bytes())
    found = phy.load(tmp_path, pattern="{subject}/{session}")
    found = [f for f in found if f.info["subject"] == "m1"]
    assert [f.info["session"] for f in found] == ["s1", "s2"]


def test_an_offset_that_is_no_number_leaves_the_raw_file_alone(folder):
    (folder / "params.py").write_text(
        "sample_rate = 30000.\nn_channels_dat = 4\noffset = 'q'\ndtype = 'int16'\ndat_path = 'x.dat'\n"
    )
    (folder / "x.dat").write_bytes(b"0" * 800_000)
    found = load(folder, reader="phy")
    assert any("does not say the stop" in w for w in found.info["warnings"])
