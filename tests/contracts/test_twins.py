"""Every twin: same seed, same bytes; read by the card's reader; audited by its recipe as the real data would be."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from braindec import registry
from braindec.engine.recipe import load_recipe
from braindec.errors import BraindecError
from braindec.loaders.fetch import checksum
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin, open_twin
from braindec.types import Windows

NAMES = registry.names("loaders.twins")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("twins")


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): checksum(p) for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bytes(name, folder):
    first, again = make_twin(name, folder / f"{name}-a", seed=3), make_twin(name, folder / f"{name}-b", seed=3)
    assert contents(first.root) == contents(again.root)
    assert sum(p.stat().st_size for p in first.root.rglob("*") if p.is_file()) < 40e6


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_as_the_data_would_be(name, folder):
    twin = make_twin(name, folder / f"{name}-a", seed=3)
    source = open_source(
        twin.dataset or None, root=twin.root, reader=None if twin.dataset else twin.reader, options=twin.options
    )
    subject = source.subjects()[0]
    things = source.load(subject)
    first = things if isinstance(things, Windows) else things[0]
    modality = first.modality if isinstance(first, Windows) else first.info["modality"]
    assert modality in ("fmri", "ieeg", "meg", "eeg")
    assert not isinstance(first, Windows) or first.n_channels > 1
    assert source.files(subject) and all(Path(p).exists() for p in source.files(subject))
    assert twin.truth()


@pytest.mark.parametrize("name", NAMES)
def test_its_recipe_takes_it(name, folder):
    twin = make_twin(name, folder / f"{name}-a", seed=3)
    recipe = load_recipe(twin.recipe)
    config = recipe.config(None, shlex.split(" ".join(twin.words())))
    units = list(recipe.units(config, None))
    assert units
    assert recipe.module.design(config, units[0]).level in ("pass", "warn")


def test_another_folder_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(BraindecError, match="not empty"):
        make_twin("fmriprep", tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep me"
    made = make_twin("fmriprep", tmp_path / "twin", seed=1, n_subjects=1, n_volumes=60)
    assert open_twin(made.root) == make_twin("fmriprep", tmp_path / "twin", seed=1, n_subjects=1, n_volumes=60)
    with pytest.raises(BraindecError, match="another twin"):
        make_twin("fmriprep", tmp_path / "twin", seed=2)
    with pytest.raises(BraindecError, match="did you mean"):
        make_twin("fmriprp", tmp_path / "x")
