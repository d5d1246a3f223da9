from __future__ import annotations

import subprocess
import sys

import pytest

from braindec import registry
from braindec.errors import BraindecError


def test_listing_imports_nothing():
    code = (
        "import sys; from braindec import registry; names = registry.names('encoders'); assert 'nice' in names, names; "
        "heavy = {'torch', 'numpy', 'pandas', 'mne'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", ["encoders", "decoders", "evaluate.metrics", "evaluate.checks", "evaluate.controls", "signal.steps",
                                  "signal.transforms", "loaders.readers", "viz"])  # fmt: skip
def test_every_name_imports_and_is_what_its_all_names_first(kind):
    names = registry.names(kind)
    assert names
    for name in names:
        assert registry.get(kind, name).__doc__, f"{kind}.{name} has no docstring"


def test_unknown_names_say_the_nearest_and_the_list():
    with pytest.raises(BraindecError, match=r"encoders has no 'nicee'; did you mean 'nice'\?") as caught:
        registry.get("encoders", "nicee")
    assert "eegnet" in str(caught.value)
    with pytest.raises(BraindecError, match="no kind of thing"):
        registry.names("nothing")


def test_shared_files_are_found_by_name_and_by_path(tmp_path):
    assert registry.file("recipes", ".py", "erp_classification").is_file()
    own = tmp_path / "mine.yaml"
    own.write_text("recipe: erp_classification\n")
    assert registry.file("recipes/cohorts", ".yaml", str(own)) == own
    with pytest.raises(BraindecError, match="did you mean 'muse-p300'"):
        registry.file("recipes/cohorts", ".yaml", "muse-p30")
    with pytest.raises(BraindecError, match="there is no file"):
        registry.file("recipes/cohorts", ".yaml", str(tmp_path / "gone.yaml"))
