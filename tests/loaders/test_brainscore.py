"""Assemblies in netCDF (versions 3 and 4) without xarray; Tuckute 2024; The Little Prince: what is there, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._netcdf import Assembly, read_assembly, write_assembly
from braindec.loaders.cards import difference, load_card
from braindec.loaders.readers import brainscore, little_prince, tuckute2024
from braindec.loaders.source import measure, open_source
from braindec.loaders.twin import make_twin


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins")
    sizes = {
        "fedorenko2016": {},
        "blank2014": {"n_pieces": 20},
        "tuckute2024": {"n_sentences": 40},
        "little_prince": {"n_subjects": 1, "n_volumes": 20},
    }
    return {name: make_twin(name, folder / name, seed=1, **size) for name, size in sizes.items()}


def assembly(n=16, missing=()):
    values = np.arange(n * 5, dtype=float).reshape(n, 5)
    for place in missing:
        values[place] = np.nan
    shown = pd.DataFrame({"stimulus_id": np.arange(n), "word": [f"wörd{k}" for k in range(n)], "word_num": np.arange(n) % 8, "sentence_id": np.arange(n) // 8})  # fmt: skip
    neuroids = pd.DataFrame({"electrode": np.arange(5), "subject_UID": [1, 1, 1, 10, 10], "x": np.linspace(-40, 40, 5)})
    return Assembly(values, ("presentation", "neuroid"), {"presentation": shown, "neuroid": neuroids})


def write_version_3(path, made):
    from scipy.io import netcdf_file

    with netcdf_file(str(path), "w") as file:
        for dim, size in zip(made.dims, made.values.shape, strict=True):
            file.createDimension(dim, size)
        file.createDimension("letters", 8)
        data = file.createVariable("data", "f8", made.dims)
        data[:] = made.values
        for dim, table in made.coords.items():
            for column in table:
                values = table[column].to_numpy()
                if values.dtype.kind in "fi":
                    file.createVariable(column, "f8" if values.dtype.kind == "f" else "i4", (dim,))[:] = values
                else:
                    letters = np.array([list(v.encode("utf8").ljust(8, b"\0")) for v in values], dtype="u1").view("S1")
                    file.createVariable(column, "c", (dim, "letters"))[:] = letters


@pytest.mark.parametrize("version", [3, 4])
def test_both_versions_give_the_same(tmp_path, version):
    made, path = assembly(), tmp_path / "a.nc"
    (write_version_3 if version == 3 else write_assembly)(path, made)
    found = read_assembly(path)
    assert found.dims == made.dims and np.array_equal(found.values, made.values)
    for dim, table in made.coords.items():
        assert {c: found.coords[dim][c].tolist() for c in table} == {c: table[c].tolist() for c in table}


def test_a_subject_is_a_recording(tmp_path):
    write_assembly(tmp_path / "a.nc", assembly())
    assert brainscore.subjects(tmp_path) == ["1", "10"] and brainscore.files(tmp_path, "1") == [tmp_path / "a.nc"]
    windows = brainscore.load(tmp_path, "10", modality="ieeg")
    assert windows.shape == (16, 2, 1) and windows.channels["type"].tolist() == ["ecog", "ecog"]
    assert np.array_equal(windows.load()[:, :, 0], assembly().values[:, 3:])
    assert windows.trials["concept_id"].tolist() == ["0"] * 8 + ["1"] * 8 and windows.trials["word"][3] == "wörd3"
    assert windows.channels["x"].isna().all() and windows.channels["file_x"].tolist() == [20.0, 40.0], (
        "no unit is guessed"
    )


def test_what_a_subject_did_not_see_is_left_out_and_counted(tmp_path):
    rows = np.arange(4, 8)
    write_assembly(tmp_path / "a.nc", assembly(missing=[(rows, slice(0, 3)), (12, 3)]))
    windows = brainscore.load(tmp_path, "1")
    assert len(windows) == 12 and "4 of 16 presentations: left out" in windows.recordings[0].info["warnings"][0]
    assert windows.load().shape == (12, 3, 1)
    other = brainscore.load(tmp_path, "10")
    assert other.channels["status"].tolist() == ["bad", "good"] and len(other) == 16


def test_blank_is_in_the_order_of_the_story(twins):
    windows = brainscore.load(twins["blank2014"].root, "088")
    table = windows.trials
    assert windows.ch_names[0] == "01_LH_PostTemp" and windows.n_channels == 12
    for _, part in table.groupby("run", sort=False):
        assert part["timepoint_value"].is_monotonic_increasing and part["concept_id"].nunique() == 1
    left = brainscore.load(twins["blank2014"].root, "088", regions=["01_LH_PostTemp"])
    assert left.n_channels == 1 and np.array_equal(left.load()[:, 0], windows.load()[:, 0])
    with pytest.raises(BraindecError, match="no region '01_LH_PosTemp'; did you mean '01_LH_PostTemp'"):
        brainscore.load(twins["blank2014"].root, "088", regions=["01_LH_PosTemp"])


@pytest.mark.parametrize("name", ["fedorenko2016", "blank2014", "tuckute2024", "little_prince"])
def test_twins_have_what_the_cards_say(twins, name):
    twin = twins[name]
    card = load_card(twin.dataset)
    source = open_source(card, root=twin.root)
    assert difference(card.facts, measure(source, card.facts)) == []


def test_planted_responses_follow_the_features(twins):
    twin = twins["fedorenko2016"]
    truth, windows = twin.truth(), brainscore.load(twin.root, "1", modality="ieeg")
    X = twin.features.of(windows.trials["stimulus_id"]).astype(float)
    predicted = X @ truth["1/weights"]
    share = truth["1/signal_share"]
    r = np.array(
        [np.corrcoef(predicted[:, k], windows.load()[:, k, 0])[0, 1] if share[k] > 0 else 0.0 for k in range(47)]
    )
    driven = share > 0.1
    assert np.abs(r[driven] ** 2 - share[driven]).mean() < 0.06


def test_broken_assemblies(tmp_path):
    path = tmp_path / "a.nc"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableError, match="no netCDF file"):
        brainscore.load(path)
    path.write_bytes(b"CDF\x01" + b"\0" * 7)
    with pytest.raises(UnreadableError, match="damaged netCDF 3"):
        read_assembly(path)
    write_assembly(tmp_path / "b.nc", assembly())
    path.write_bytes((tmp_path / "b.nc").read_bytes()[:700])
    with pytest.raises(BraindecError, match="damaged or was cut short"):
        read_assembly(path)
    made = assembly()
    write_assembly(
        path,
        Assembly(
            made.values, ("trial", "cell"), {"trial": made.coords["presentation"], "cell": made.coords["neuroid"]}
        ),
    )
    with pytest.raises(UnreadableError, match="dimensions trial, cell"):
        brainscore.load(path)
    with pytest.raises(BraindecError, match="2 netCDF files: which is meant"):
        brainscore.load(tmp_path)
    with pytest.raises(BraindecError, match="no netCDF file"):
        (tmp_path / "empty").mkdir()
        brainscore.load(tmp_path / "empty")


def test_missing_coordinates(tmp_path):
    made = assembly()
    lacking = {**made.coords, "neuroid": made.coords["neuroid"].drop(columns="subject_UID")}
    write_assembly(tmp_path / "a.nc", Assembly(made.values, made.dims, lacking))
    with pytest.raises(BraindecError, match="does not say the subject"):
        brainscore.load(tmp_path / "a.nc")
    write_assembly(tmp_path / "b.nc", made)
    with pytest.raises(BraindecError, match="no coordinate 'sentnce_id'; did you mean 'sentence_id'"):
        brainscore.load(tmp_path / "b.nc", "1", group="sentnce_id")
    with pytest.raises(BraindecError, match="no subject '2'"):
        brainscore.load(tmp_path / "b.nc", "2")
    with pytest.raises(BraindecError, match="no modality 'ecog'"):
        brainscore.load(tmp_path / "b.nc", "1", modality="ecog")
    bare = {"presentation": pd.DataFrame(index=range(16)), "neuroid": made.coords["neuroid"]}
    write_assembly(tmp_path / "c.nc", Assembly(made.values, made.dims, bare))
    with pytest.raises(BraindecError, match="does not say the stimulus"):
        brainscore.load(tmp_path / "c.nc", "1")


def test_tuckute(twins):
    root = twins["tuckute2024"].root
    assert tuckute2024.subjects(root)[:5] == ["848", "853", "865", "875", "876"]
    one = tuckute2024.load(root, "848")
    assert one.shape == (40, 6, 1) and one.trials["stimulus_id"].tolist() == [str(k) for k in range(1, 41)]
    mean = tuckute2024.load(root, average=tuckute2024.TRAIN, regions=["lang_LH_netw"])
    assert mean.shape == (40, 1, 1) and tuckute2024.subjects(root, average=list(tuckute2024.TRAIN)) == ["mean"]
    each = [tuckute2024.load(root, who).load()[:, one.ch_names.index("lang_LH_netw"), 0] for who in tuckute2024.TRAIN]
    assert np.allclose(np.mean(each, axis=0), mean.load()[:, 0, 0], atol=1e-6)
    other = tuckute2024.load(root, "901")
    assert set(other.trials["trial_type"]) == {"B", "D", "S"}
    raw = tuckute2024.load(root, "901", value="response_target_non_norm")
    assert np.allclose(raw.load(), 1.5 + 0.5 * other.load(), atol=1e-5)


def test_bad_tuckute(twins, tmp_path):
    root = twins["tuckute2024"].root
    table = pd.read_csv(root / tuckute2024.FILE)
    with pytest.raises(BraindecError, match="which participant"):
        tuckute2024.load(root)
    with pytest.raises(BraindecError, match="no region 'lang_LH_net'; did you mean"):
        tuckute2024.load(root, "848", regions=["lang_LH_net"])
    with pytest.raises(BraindecError, match="no participant '999'"):
        tuckute2024.load(root, average=["848", "999"])
    table.drop(columns="roi").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(BraindecError, match="lacks the column roi"):
        tuckute2024.load(tmp_path / "a.csv", "848")
    pd.concat([table, table.head(1)]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(BraindecError, match="two values for one sentence"):
        tuckute2024.load(tmp_path / "b.csv", str(table["target_UID"][0]))
    with pytest.raises(BraindecError, match="there is no file or folder"):
        tuckute2024.load(tmp_path, "848")


def test_little_prince(twins, tmp_path):
    root = twins["little_prince"].root
    runs = little_prince.load(root, "EN057")
    assert [r.info["run"] for r in runs] == [str(k) for k in range(1, 10)]
    assert [r.events["stimulus_id"].tolist() for r in runs] == [[f"lppEN-{k}"] for k in range(1, 10)]
    assert runs[0].events["onset"][0] == 0 and runs[0].events["duration"][0] == runs[0].duration - 8
    skipped = little_prince.load(root, "EN057", drop_volumes=2)[0]
    assert skipped.events["onset"][0] == -4 and skipped.events["duration"][0] == runs[0].events["duration"][0]
    words = little_prince.words(root)
    assert words["stimulus_id"].is_unique and set(words["text_id"]) == {f"lppEN-{k}" for k in range(1, 10)}
    assert words.attrs["texts"]["lppEN-2"].split() == words["word"][words["text_id"] == "lppEN-2"].tolist()
    with pytest.raises(BraindecError, match="no language 'DE'"):
        little_prince.load(root, language="DE")
    with pytest.raises(BraindecError):
        little_prince.load(root, language="FR")
    pointer = tmp_path / "annotation" / "EN" / "lppEN_word_information.csv"
    pointer.parent.mkdir(parents=True)
    pointer.write_text("/annex/objects/MD5E-s1--0.csv\n")
    with pytest.raises(UnreadableError, match="content was not fetched"):
        little_prince.words(tmp_path)


def test_a_missing_run_is_refused(twins, tmp_path):
    import shutil

    shutil.copytree(twins["little_prince"].root, tmp_path / "t")
    next((tmp_path / "t" / "derivatives").rglob("*run-17*bold.nii.gz")).unlink()
    with pytest.raises(BraindecError, match="EN057 has 8 runs"):
        little_prince.load(tmp_path / "t", "EN057")
