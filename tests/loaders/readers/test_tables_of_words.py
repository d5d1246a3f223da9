"""Tables beside recordings that are empty, no text, or cut short: one message of the table, never of the parser."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.source import open_source
from braindec.loaders.speech_events import add_sentences
from braindec.loaders.twin import make_twin

SMALL = {
    "braintreebank": ({"n_subjects": 2}, "localization/sub_1/depth-wm.csv"),
    "brennan": ({"n_subjects": 1, "n_sentences": 8}, "AliceChapterOne-EEG.csv"),
    "broderick": ({"n_subjects": 1, "n_runs": 1, "n_sentences": 4}, "*/Run1.csv"),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(SMALL))
def twin(request, tmp_path_factory):
    options, table = SMALL[request.param]
    made = make_twin(request.param, tmp_path_factory.mktemp("tables") / request.param, **options)
    return made, next(made.root.glob(table))


def opened(twin):
    source = open_source(twin.data["dataset"], root=twin.root, options=twin.data["options"])
    return source.recordings(source.subjects()[0])


@pytest.mark.parametrize("content", [b"", b"\x82\xff\x00 no text"])
def test_a_table_that_is_none_is_refused(twin, content, tmp_path):
    made, table = twin
    kept = shutil.copy(table, tmp_path / "kept")
    try:
        table.write_bytes(content)
        with pytest.raises(BraindecError) as error:
            opened(made)
        assert table.name in str(error.value)
    finally:
        shutil.copy(kept, table)
    assert opened(made)


def test_electrodes_that_the_table_leaves_out_are_said(tmp_path):
    made = make_twin("braintreebank", tmp_path / "twin", n_subjects=2)
    before = opened(made)[0]
    table = made.root / "localization" / "sub_1" / "depth-wm.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[: len(lines) // 2]) + "\n")
    after = opened(made)[0]
    said = [w for w in after.info["warnings"] if "says no place of" in w]
    gone = (before.channels["region"] != "n/a").sum() - (after.channels["region"] != "n/a").sum()
    assert len(said) == 1 and gone > 0 and not any("says no place of" in w for w in before.info["warnings"])


def test_words_without_text_are_refused():
    words = pd.DataFrame({"onset": [0.0, 0.4], "duration": 0.2, "trial_type": "word", "text": ["one.", None]})
    with pytest.raises(BraindecError, match="1 of 2 words have no text") as error:
        add_sentences(words)
    assert "0.4 s" in error.value.found and not isinstance(error.value, UnreadableError)


def test_words_before_their_sound_are_refused(tmp_path):
    """Brennan's onsets in the recording come from elsewhere: only the times in the sound show that the table is wrong."""
    made = make_twin("brennan", tmp_path / "twin", n_subjects=1, n_sentences=8)
    path = made.root / "AliceChapterOne-EEG.csv"
    table = pd.read_csv(path)
    table[["onset", "offset"]] -= 100.0
    table.to_csv(path, index=False)
    with pytest.raises(BraindecError, match="begin before their sound") as error:
        opened(made)
    assert "SoundFile1" in error.value.found
