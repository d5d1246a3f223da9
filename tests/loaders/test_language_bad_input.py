"""Files and sizes of language stimuli and reading times that cannot be used: one clear error each."""

import numpy as np
import pandas as pd
import pytest

import braindec.loaders.language_stimuli as stimuli
import braindec.loaders.synthetic_language as synthetic
from braindec.errors import BraindecError
from braindec.loaders.language_stimuli import make_tagged_corpus, read_corpus
from braindec.loaders.reading_times import read_reading_times


@pytest.mark.parametrize(
    ("columns", "options", "says"),
    [({"word": ["the", None]}, {}, "no word in row 3"), ({"word": ["the", " "]}, {}, "no word in row 3"), ({"time": [300, np.inf]}, {}, "not a reading time in row 3"),
     ({"time": [0.3, 0.31]}, {}, "unit='s'"), ({"time": [300, 310]}, {"unit": "s"}, "unit='ms'"), ({"word": [], "time": []}, {}, "no rows")],
)  # fmt: skip
def test_reading_times(columns, options, says):
    table = pd.DataFrame({"word": ["the", "cat"], "time": [300.0, 310.0], **columns} if len(columns) < 2 else columns)
    with pytest.raises(BraindecError) as error:
        read_reading_times(table, **options)
    assert says in str(error.value)


def test_corpora(tmp_path):
    (tmp_path / "b.txt").write_bytes(b"\x00\x01\x02")
    with pytest.raises(BraindecError, match=r"b\.txt holds no words"):
        read_corpus(tmp_path / "b.txt")
    for n in (0, -1, 1.5, "a"):
        with pytest.raises(BraindecError, match="cannot be made"):
            make_tagged_corpus(n)


def test_a_layer_that_is_not_there_drives_no_brain():
    from braindec.loaders.synthetic_language import language_brain
    from braindec.types import Features

    units = pd.DataFrame({"layer": [0] * 8, "site": "mlp_out", "index": range(8)})
    values = np.random.default_rng(0).standard_normal((12, 8))
    features = Features(
        values, pd.DataFrame({"stimulus_id": [str(k) for k in range(12)], "n_words": range(3, 15)}), units
    )
    with pytest.raises(BraindecError, match="no layer 9.*the features have none") as error:
        language_brain(features, driving_layer=9, n_subjects=1)
    assert "[0]" in error.value.found


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: stimuli.make_stories("a"), "n='a'"), (lambda: stimuli.make_stories(n_words=3), "n_words=3"), (lambda: stimuli.make_languages(seed="a"), "seed='a'"), (lambda: stimuli.make_localizer(1.5), "n=1.5"),
     (lambda: stimuli.make_word_pairs(n=None), "n=None"), (lambda: stimuli.make_word_pairs(relations=3), "relations=3"), (lambda: stimuli.make_years(first="a"), "first='a'"), (lambda: stimuli.make_tagged_corpus(seed=-1), "seed=-1"),
     (lambda: stimuli.read_corpus(None), "no file or folder"), (lambda: stimuli.read_localizer(None), "no file or folder"), (lambda: synthetic.tagged_seeg(n_subjects=0), "n_subjects=0"),
     (lambda: synthetic.tagged_seeg(snr=float("nan")), "snr=nan"), (lambda: synthetic.tagged_seeg(rates="a"), "rates are named"), (lambda: synthetic.language_brain(None, driving_layer=0), "driven by Features")],
)  # fmt: skip
def test_sizes_seeds_and_files_of_the_wrong_type(make, says):
    with pytest.raises(BraindecError, match=says):
        make()
