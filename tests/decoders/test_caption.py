"""Captions of what was seen: planted embeddings are read and put into words; nothing is shared between test windows."""

import numpy as np
import pytest
from sklearn.base import clone

from braindec.decoders.caption import CaptionDecoder
from braindec.errors import BraindecError
from braindec.loaders.scenes import scene_features, scene_pictures
from braindec.loaders.synthetic_scenes import scene_fmri
from braindec.types import Pictures


@pytest.fixture(scope="module")
def scenes():
    pictures = scene_pictures(360, size=8, seed=3)
    return pictures, scene_features(pictures), scene_fmri(pictures, n_voxels=200, noise=0.4, seed=1)


def split(windows):
    shown = windows.trials["stimulus_id"].to_numpy()
    test = np.isin(shown, sorted(set(shown))[300:])
    return windows[~test], windows[test]


def words_said(captions, items, column):
    return np.mean([word in caption.split() for word, caption in zip(items[column], captions, strict=True)])


def test_captions_name_shape_and_colour(scenes, tmp_path):
    pictures, features, windows = scenes
    train, test = split(windows)
    decoder = CaptionDecoder().fit(train, pictures, features)
    made = decoder.reconstruct(test)
    items = pictures.items.iloc[pictures.rows_of(test.trials["stimulus_id"])]
    assert words_said(made, items, "colour") > 0.6 and words_said(made, items, "shape") > 0.6  # .25 by chance
    mixed = decoder.generate(np.roll(decoder.condition(test), 7, axis=0), names=test.ids)
    assert words_said(mixed, items, "shape") < 0.45
    ideal = decoder.ideal(list(items["stimulus_id"]), pictures, features)
    assert words_said(ideal, items, "shape") > 0.9  # the nearest picture, not the same one
    prior = decoder.prior(test.ids, seed=1)
    assert set(prior) <= set(pictures.items["caption"]) and not np.array_equal(prior, decoder.prior(test.ids, seed=2))
    np.testing.assert_array_equal(decoder.reconstruct(test[[5]]), made[[5]])
    decoder.save(tmp_path)
    again = CaptionDecoder.load(tmp_path)
    np.testing.assert_array_equal(again.reconstruct(test), made)
    np.testing.assert_array_equal(again.prior(test.ids, seed=1), prior)
    shown = set(train.trials["stimulus_id"])
    allowed = set(pictures.items["caption"][pictures.items["stimulus_id"].isin(shown)])
    assert set(made) <= allowed  # captions come from training pictures only


def test_refusals(scenes):
    pictures, features, windows = scenes
    train, _ = split(windows)
    assert clone(CaptionDecoder(seed=3)).seed == 3
    with pytest.raises(BraindecError, match="features"):
        CaptionDecoder().fit(train, pictures)
    with pytest.raises(BraindecError, match="no column 'text'"):
        CaptionDecoder(column="text").fit(train, pictures, features)
    items = pictures.items.assign(caption=[None, *pictures.items["caption"][1:]])
    with pytest.raises(BraindecError, match="1 of .* stimuli have no caption"):
        CaptionDecoder(extra=True).fit(train, Pictures(pictures.values, items), features)
    with pytest.raises(BraindecError, match="own units"):
        CaptionDecoder(embedder={"name": "contrastive", "scaler": None}).fit(train, pictures, features)
    with pytest.raises(BraindecError, match="not fitted"):
        CaptionDecoder().reconstruct(windows)
