from __future__ import annotations

import pytest

from braindec.config import RecipeConfig, Section, dump_yaml, load_config, parse_yaml
from braindec.errors import BraindecError


class Window(Section):
    tmin: float = 0.0
    tmax: float = 0.8


class Settings(RecipeConfig):
    epochs: Window = Window()
    names: list[str] = []


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf8")
    return path


def test_later_files_and_words_win_and_keep_the_rest(tmp_path):
    base = write(tmp_path, "base.yaml", "epochs: {tmin: -0.1, tmax: 1}\nseed: 3\n")
    cohort = write(tmp_path, "cohort.yaml", "recipe: anything\nepochs: {tmax: 0.5}\n")
    config = load_config(Settings, base, cohort, overrides=["epochs.tmin=1e-3", "names=[a, b]"])
    assert (config.epochs.tmin, config.epochs.tmax, config.seed, config.names) == (0.001, 0.5, 3, ["a", "b"])


def test_every_error_is_told_at_once_with_its_origin_and_the_nearest_name(tmp_path):
    cohort = write(tmp_path, "cohort.yaml", "epochs: {tmn: 1}\nseeed: 2\n")
    with pytest.raises(BraindecError) as caught:
        load_config(Settings, cohort, overrides=["epochs.tmax=long"])
    text = str(caught.value)
    assert "3 of the settings" in text
    assert "epochs.tmn: unknown; did you mean 'tmin'?" in text and "[cohort.yaml]" in text
    assert "seeed: unknown; did you mean 'seed'?" in text
    assert "epochs.tmax" in text and "'long'" in text and "[command line]" in text


@pytest.mark.parametrize(
    ("text", "value"),
    [("01", "01"), ("007", "007"), ("no", "no"), ("on", "on"), ("1e-3", 1e-3), ("12", 12), ("-1.5", -1.5), ("true", True),
     ("2020-01-01", "2020-01-01"), ("null", None), ("0", 0), ("1:30", "1:30")],
)  # fmt: skip
def test_scalars_mean_what_a_scientist_expects(text, value):
    found = parse_yaml(f"x: {text}", "test")["x"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["a: !!python/object/apply:os.getcwd []", "a: [1", "a: 1\na: 2", "- just\n- a list"],
    ids=["code", "cut", "twice", "list"],
)
def test_bad_yaml_gives_one_clear_error(tmp_path, text):
    with pytest.raises(BraindecError, match="bad.yaml"):
        load_config(Settings, write(tmp_path, "bad.yaml", text))


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(BraindecError, match="not a text file"):
        load_config(Settings, tmp_path / "binary.yaml")
    with pytest.raises(BraindecError, match="there is no file"):
        load_config(Settings, tmp_path / "missing.yaml")


def test_selection_and_place_of_the_data_are_not_part_of_the_key():
    a = load_config(Settings, overrides=["select.subjects=[01]", "data.root=/one"])
    b = load_config(Settings, overrides=["data.root=/two"])
    c = load_config(Settings, overrides=["seed=1"])
    assert a.for_key() == b.for_key() != c.for_key()
    assert a.select.subjects == ["01"]


def test_dumped_yaml_reads_back():
    value = {"a": ["01", "no", 1e-9, None, True, 3], "b": {"c": "1e5", "d": "ä"}}
    assert parse_yaml(dump_yaml(value), "test") == value


def test_words_that_are_not_settings():
    with pytest.raises(BraindecError, match="key=value"):
        load_config(Settings, overrides=["epochs"])


def test_another_name_replaces_a_section_and_the_order_of_words_does_not_matter(tmp_path):
    class Named(RecipeConfig):
        decoder: dict = {}

    base = tmp_path / "base.yaml"
    base.write_text("decoder: {name: ridge, alpha: 3}\n")
    words = ["decoder.size=2", "decoder.name=net"]
    for given in (words, words[::-1]):
        assert load_config(Named, base, overrides=given).decoder == {"name": "net", "size": 2}
    assert load_config(Named, base, overrides=["decoder.name=ridge"]).decoder == {"name": "ridge", "alpha": 3}
    assert load_config(Named, base, overrides=["decoder.size=2"]).decoder == {"name": "ridge", "alpha": 3, "size": 2}


def test_numbers_that_are_not_finite_are_refused():
    from braindec.config import Section

    class Sizes(Section):
        snr: float = 0.5

    for value in (float("nan"), float("inf"), "nan"):
        with pytest.raises(ValueError, match="finite number"):
            Sizes(snr=value)
