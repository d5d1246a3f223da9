"""The long table of scores, items by metrics, and the network that remembers."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.picture_network import Remembered
from braindec.evaluate.picture_scores import CAPTION_METRICS, FILM_METRICS, score_pictures
from braindec.evaluate.pictures.pixcorr import pixcorr
from braindec.evaluate.pictures.two_way import two_way


def pair(n=8, size=16):
    rng = np.random.default_rng(0)
    true = rng.random((n, size, size, 3), dtype=np.float32)
    return np.clip(true + 0.3 * rng.standard_normal(true.shape).astype(np.float32), 0, 1), true


def test_each_row_is_one_item_of_one_metric():
    made, true = pair()
    table = score_pictures(
        made, true, labels=list("aabbccdd"), ids=[f"s{i}" for i in range(8)], versions="mindeye-2023"
    )
    assert list(table.columns) == ["item", "metric", "version", "value", "note"]
    assert table.groupby("metric").size().to_dict() == dict.fromkeys(
        ("pixcorr", "ssim", "two_way", "within_category"), 8
    )
    assert set(table["version"]) == {"mindeye-2023"} and table["value"].notna().all()
    found = table[table["metric"] == "pixcorr"].set_index("item")["value"]
    np.testing.assert_array_equal(
        found[[f"s{i}" for i in range(8)]], pixcorr.per_item(made, true, version="mindeye-2023")
    )
    assert set(score_pictures(made, true)["metric"]) == {"pixcorr", "ssim", "two_way"}  # no labels
    mixed = score_pictures(made, true, metrics=["psnr", "ssim"], versions={"ssim": "braindiffuser-2023"})
    assert mixed.groupby("metric")["version"].first().to_dict() == {"psnr": "strict", "ssim": "braindiffuser-2023"}


def test_items_without_an_answer_are_noted():
    made, true = pair()
    made[3] = 0
    table = score_pictures(made, true, metrics=["pixcorr", "mse"])
    told = table[table["note"] != ""]
    assert told[["item", "metric", "value"]].to_numpy().tolist() == [[3, "pixcorr", 0.0]]
    assert "constant picture" in told["note"].iloc[0]


def test_the_truth_is_described_once_for_all_metrics():
    calls = []

    def network(x, layer=None):
        calls.append(len(x))
        return x.reshape(len(x), -1)

    made, true = pair()
    labels = list("aabbccdd")
    remembered = Remembered(network)
    for changed in (made, 1 - made):
        score_pictures(
            changed, true, metrics=["two_way", "within_category", "feature_distance"], labels=labels, network=remembered
        )
    assert len(calls) == 3  # the truth, and two sets of pictures
    np.testing.assert_array_equal(
        two_way.per_item(made, true, network=remembered), two_way.per_item(made, true, network=network)
    )


def test_captions_go_through_the_same_table():
    table = score_pictures(
        ["a red disc", "two dogs"], ["a red disc", "a cat"], metrics=["rouge", "sentence_cosine"], network="hashing"
    )
    assert table["value"].tolist() == pytest.approx([1, 0, 1, 0])


def test_default_metrics_fit_what_was_shown():
    films = np.random.default_rng(0).random((3, 3, 12, 12, 1))
    films[:, 1:] = np.roll(films[:, :-1], 1, axis=3)
    assert set(score_pictures(films, films)["metric"]) == set(FILM_METRICS)
    captions = score_pictures(["a red disc", "two dogs"], [["a disc", "a red disc"], ["dogs"]])
    assert set(captions["metric"]) == set(CAPTION_METRICS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": ["pixcor"]}, "did you mean 'pixcorr'"),
        ({"metrics": []}, "no metric was named"),
        ({"metrics": ["pixcorr", "within_category"]}, "class of each item"),
        ({"ids": [1, 2]}, "2 ids, 8 items"),
        ({"versions": {"psnr": "strict"}}, "'psnr', which is not scored"),
        ({"versions": {"ssim": "2023"}}, "no version '2023'"),
        ({"options": {"ssim": {"sigma": 2}}}, "no option 'sigma'"),
    ],
)
def test_errors(options, words):
    with pytest.raises(BraindecError, match=words):
        score_pictures(*pair(), **options)
