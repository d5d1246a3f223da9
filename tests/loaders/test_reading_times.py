"""Tables of words and times: columns of any name, several readers, tokens dealt to words; what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.reading_times import read_natural_stories, read_reading_times, read_tok

TOK = 'word\tzone\titem\nIf\t1\t1\nyou\t2\t1\n"were\t3\t1\nNA,\t1\t2\nnull\t2\t2\n'
TIMES = (
    "word\tzone\titem\tnItem\tmeanItemRT\tsdItemRT\tgmeanItemRT\tgsdItemRT\n"
    '"were\t3\t1\t10\t330.0\t10\t320.0\t1.2\nIf\t1\t1\t9\t300.0\t10\t290.0\t1.2\nNA,\t1\t2\t8\t310.0\t1\t305.0\t1.1\nyou\t2\t1\t10\t280.0\t1\t270.0\t1.1\n'
)
TOKENS = 'token,logprob,offset,model,time,id,story\nIf,,0,m,1,i,0\n you,-1.0,2,m,1,i,0\n """we""",-2.0,6,m,1,i,0\n'


def folder_of(path, **changed):
    files = {"all_stories.tok": TOK, "processed_wordinfo.tsv": TIMES} | changed
    for name, text in files.items():
        (path / name).write_text(text, encoding="utf8")
    return path


def test_columns_of_any_name(tmp_path):
    table = pd.DataFrame(
        {
            "w": ["A", "cat", "sat", "It", "ran"],
            "rt": [0.3, 0.31, np.nan, 0.29, 0.35],
            "text": list("aaabb"),
            "pos": [1, 2, 3, 1, 2],
            "freq": range(5),
        }
    )
    table.sample(frac=1, random_state=1).to_csv(tmp_path / "t.csv", index=False)
    found = read_reading_times(tmp_path / "t.csv", word="w", time="rt", story="text", place="pos", unit="s")
    assert sorted(found["stimulus_id"]) == ["a/0", "a/1", "a/2", "b/0", "b/1"]
    assert found.attrs["texts"] == {"a": "A cat sat", "b": "It ran"}
    rows = found.set_index("stimulus_id")
    assert rows["time"].fillna(-1).round(6).to_dict() == {
        "a/0": 300.0,
        "a/1": 310.0,
        "a/2": -1.0,
        "b/0": 290.0,
        "b/1": 350.0,
    }
    assert rows["n_letters"]["a/1"] == 3 and rows["freq"]["b/1"] == 4
    for row in found.itertuples():
        assert found.attrs["texts"][row.text_id][row.start : row.stop] == row.word


def test_readers_are_averaged():
    table = pd.DataFrame(
        {"word": ["a", "b"] * 2, "time": [200.0, 300.0, 400.0, np.nan], "who": [1, 1, 2, 2], "trial": [1, 1, 2, 2]}
    )
    found = read_reading_times(table, subject="who")
    assert found["time"].tolist() == [300.0, 300.0] and found["n"].tolist() == [2, 1] and "trial" not in found
    with pytest.raises(BraindecError, match="two rows for one word"):
        read_reading_times(table.assign(place=[1, 2, 1, 2]), place="place")
    with pytest.raises(BraindecError, match="different words in one place"):
        read_reading_times(table.assign(word=["a", "b", "a", "c"]), subject="who")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"word": "wrod"}, "no column 'wrod' for the word; did you mean 'word'"),
        ({"story": "item"}, "for the story"),
        ({"unit": "min"}, "not read in 'min'"),
    ],
)
def test_wrong_columns(options, message):
    with pytest.raises(BraindecError, match=message):
        read_reading_times(pd.DataFrame({"word": ["a"], "time": [1.0]}), **options)


def test_values_that_are_no_times(tmp_path):
    (tmp_path / "a.csv").write_text("word,time\na,300\nb,NA\nc,slow\n")
    with pytest.raises(BraindecError, match="row 4"):
        read_reading_times(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("word,time\na,300\nb,NA\nc,-5\n")
    with pytest.raises(BraindecError, match="row 4"):
        read_reading_times(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"\x00\xff" * 40)
    with pytest.raises((UnreadableError, BraindecError)):
        read_reading_times(tmp_path / "a.csv")
    with pytest.raises(BraindecError, match="there is no file"):
        read_reading_times(tmp_path / "b.csv")


def test_natural_stories_are_joined_by_place(tmp_path):
    found = read_natural_stories(folder_of(tmp_path))
    assert found["word"].tolist() == ["If", "you", '"were', "NA,", "null"] and found["text_id"].tolist() == [
        "1",
        "1",
        "1",
        "2",
        "2",
    ]
    assert found["time"].fillna(-1).tolist() == [300.0, 280.0, 330.0, 310.0, -1.0] and "surprisal" not in found
    assert np.isclose(found["log_time"][1], np.log(270.0))


def test_tokens_are_dealt_to_words(tmp_path):
    text = 'token,logprob,offset,story\nIf,,0,0\n you,-1.0,2,0\n" """,-0.5,6,0\nwe,-2.0,8,0\nre,-0.25,10,0\nNA,,0,1\n",",-3.0,2,1\n null,-4.0,3,1\n'
    found = read_natural_stories(folder_of(tmp_path, **{"all_stories_gpt3.csv": text}))
    assert found["n_tokens"].tolist() == [1, 1, 3, 2, 1]
    bits = found["surprisal"].to_numpy() * np.log(2)
    assert np.isnan(bits[[0, 3]]).all() and np.allclose(bits[[1, 2, 4]], [1.0, 2.75, 4.0])
    with pytest.raises(BraindecError, match="offsets of all_stories_gpt3.csv do not fit"):
        read_natural_stories(
            folder_of(tmp_path, **{"all_stories_gpt3.csv": text.replace(",6,0", ",7,0").replace(",2,0", ",3,0")})
        )


def test_broken_natural_stories(tmp_path):
    with pytest.raises(BraindecError, match="other words"):
        read_natural_stories(folder_of(tmp_path, **{"processed_wordinfo.tsv": TIMES.replace("you\t2", "your\t2")}))
    with pytest.raises(BraindecError, match="lacks gmeanItemRT"):
        read_natural_stories(folder_of(tmp_path, **{"processed_wordinfo.tsv": TIMES.replace("gmeanItemRT", "g")}))
    with pytest.raises(BraindecError, match="no token file"):
        read_tok(folder_of(tmp_path, **{"all_stories.tok": TOK.replace("zone", "place")}) / "all_stories.tok")
    with pytest.raises(BraindecError, match="two words in one place"):
        read_tok(folder_of(tmp_path, **{"all_stories.tok": TOK + "so\t2\t2\n"}) / "all_stories.tok")
    (tmp_path / "all_stories.tok").unlink()
    with pytest.raises(BraindecError, match="holds no all_stories.tok"):
        read_natural_stories(tmp_path)


def test_the_corpus(shared):
    found = read_natural_stories(shared("reading_times_naturalstories"))
    assert len(found) == 10256 and found["text_id"].nunique() == 10 and found["time"].notna().all()
    assert found["surprisal"].isna().sum() == 10 and (found["n_tokens"] > 0).all()
    tokens = pd.read_csv(shared("reading_times_naturalstories") / "all_stories_gpt3.csv")
    first = found["word_index"] == 0  # whose surprisal is not known: its first token has none
    beginning = tokens.groupby("story").cumcount() < np.repeat(
        found["n_tokens"][first].to_numpy(), tokens.groupby("story").size()
    )
    assert found["n_tokens"].sum() == len(tokens), "no token is lost or counted twice"
    assert np.isclose(found["surprisal"].sum() * np.log(2), -tokens["logprob"][~beginning].sum())
