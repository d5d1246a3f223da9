"""Metrics of pictures against scikit-image, plain loops and closed forms; chance, blind predictors, bad input."""

from itertools import chain, combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom

from braindec import registry
from braindec.errors import BraindecError
from braindec.evaluate._made_and_true import resized
from braindec.evaluate.picture_metric import find_metric
from braindec.evaluate.pictures.lpips import lpips
from braindec.evaluate.pictures.mse import mse
from braindec.evaluate.pictures.n_way import n_way
from braindec.evaluate.pictures.pixcorr import pixcorr
from braindec.evaluate.pictures.psnr import psnr
from braindec.evaluate.pictures.ssim import ssim
from braindec.evaluate.pictures.two_way import two_way
from braindec.evaluate.pictures.within_category import within_category


def pictures(n=6, size=24, channels=3, seed=0, frames=None):
    rng = np.random.default_rng(seed)
    shape = (n, size, size, channels) if frames is None else (n, frames, size, size, channels)
    return rng.random(shape, dtype=np.float32)


def blurred(n=6, size=24, seed=0):
    """Coloured pictures with structure, and noisy copies."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    true = gaussian_filter(rng.random((n, size, size, 3)), (0, 2, 2, 0))
    true = (true - true.min()) / np.ptp(true)
    return np.clip(true + 0.1 * rng.standard_normal(true.shape), 0, 1), true


def table(features):
    """A network that looks its answer up: picture i (all pixels i / n) has row i of ``features``."""
    return lambda x, layer=None: features[np.rint(x[:, 0, 0, 0] * len(features)).astype(int)]


def numbered(n, start=0):
    return np.broadcast_to((np.arange(start, start + n) / (2 * n))[:, None, None, None], (n, 4, 4, 1)).astype(float)


def test_pixcorr_is_the_correlation_of_all_values():
    made, true = pictures(), pictures(seed=1)
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(made, true)]
    np.testing.assert_allclose(pixcorr.per_item(made, true), expected, atol=1e-7)
    np.testing.assert_allclose(pixcorr.per_item(1 - true, true), -1, atol=1e-6)  # the sign is kept
    films = pictures(n=3, frames=4), pictures(n=3, frames=4, seed=1)
    frames = [[np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*pair)] for pair in zip(*films)]
    np.testing.assert_allclose(pixcorr.per_item(*films), np.mean(frames, axis=1), atol=1e-7)


def test_historical_pixcorr_scales_first():
    made, true = blurred(n=2)
    assert not np.allclose(pixcorr.per_item(made, true), pixcorr.per_item(made, true, version="mindeye-2023"))
    same = pixcorr.per_item(made, true, version="mindeye-2023", resize=None)
    np.testing.assert_array_equal(same, pixcorr.per_item(made, true))


def test_scaling_down_filters_first_as_pillow_does():
    image = pytest.importorskip("PIL.Image")
    x = pictures(1, 40, 1)
    for size in (9, 40, 77):
        expected = np.asarray(image.fromarray(x[0, ..., 0]).resize((size, size), image.Resampling.BILINEAR))
        np.testing.assert_allclose(resized(x, size)[0, ..., 0], expected, atol=1e-5)


def test_ssim_equals_scikit_image_in_each_definition():
    metrics = pytest.importorskip("skimage.metrics")
    from skimage.color import rgb2gray

    made, true = blurred()
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = [metrics.structural_similarity(a, b, channel_axis=-1, **options) for a, b in zip(made, true)]
    np.testing.assert_allclose(ssim.per_item(made, true), expected, atol=1e-10)
    grey = [(rgb2gray(a), rgb2gray(b)) for a, b in zip(made, true)]
    expected = [metrics.structural_similarity(a, b, **options) for a, b in grey]
    np.testing.assert_allclose(ssim.per_item(made, true, version="mindeye-2023", resize=None), expected, atol=1e-10)
    # what multichannel=True did to a grey picture: every column is a signal of its own
    expected = [
        np.mean([metrics.structural_similarity(a[:, c], b[:, c], **options) for c in range(a.shape[1])])
        for a, b in grey
    ]
    found = ssim.per_item(made, true, version="braindiffuser-2023", resize=None)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_historical_ssim_scales_as_it_says():
    metrics = pytest.importorskip("skimage.metrics")
    import torch
    from torch.nn.functional import interpolate

    made, true = blurred(n=2, size=30)
    sized = []
    for values in (made, true):
        grey = torch.from_numpy(values @ np.array([0.2125, 0.7154, 0.0721]))[:, None]
        for size in (256, 425):
            grey = interpolate(grey, size=(size, size), mode="bilinear", antialias=True)
        sized.append(grey[:, 0].numpy())
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = [metrics.structural_similarity(a, b, **options) for a, b in zip(*sized)]
    np.testing.assert_allclose(ssim.per_item(made, true, version="mindeye-2023"), expected, atol=1e-6)
    assert (ssim.per_item(made, true, version="braindiffuser-2023") < 1).all()


def test_ssim_closed_forms_and_small_pictures():
    flat = np.full((1, 8, 8, 1), 0.25), np.full((1, 8, 8, 1), 0.75)
    assert ssim.per_item(*flat) == pytest.approx((2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4))
    assert ssim.per_item(flat[0], flat[0]) == pytest.approx(1)
    with pytest.raises(BraindecError, match="window of 11"):
        ssim.per_item(*flat, version="mindeye-2023", resize=None)


def test_psnr_and_mse_closed_forms():
    true = np.zeros((2, 4, 4, 1))
    made = true + np.array([0.1, 0.0])[:, None, None, None]
    assert mse.per_item(made, true) == pytest.approx([0.01, 0])
    assert psnr.per_item(made, true) == pytest.approx([20, 100])
    assert not mse.higher_is_better


def loop_two_way(made, true):
    """Historical definition by a plain loop: correlation matrix true x made; ties lose."""
    n = len(made)
    r = np.corrcoef(true, made)[:n, n:]
    return [sum(r[i, j] < r[j, j] for i in range(n) if i != j) / (n - 1) for j in range(n)]


@pytest.mark.parametrize("version", ["strict", "mindeye-2023"])
def test_two_way_equals_a_plain_loop(version):
    rng = np.random.default_rng(3)
    features = rng.standard_normal((24, 10))
    features[12:] += 0.8 * features[:12]
    found = two_way.per_item(numbered(12), numbered(12, start=12), version=version, network=table(features))
    np.testing.assert_allclose(found, loop_two_way(features[:12], features[12:]), atol=1e-12)
    assert two_way.chance(12) == 0.5


def test_two_way_compares_a_prediction_with_all_truths_not_a_truth_with_all_predictions():
    """Three predictions near truth 0: only item 0 is identified; the other way round each truth finds its own."""
    true = np.array([[1.0, 0.0, 0.0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    made = np.array([[1.0, 0, 0, 0], [0.9, 0.5, 0, 0], [0.9, 0, 0.5, 0]])
    found = two_way.per_item(
        numbered(3), numbered(3, start=3), network=table(np.concatenate([made, true])), version="mindeye-2023"
    )
    assert found.tolist() == loop_two_way(made, true) == [1.0, 0.5, 0.5]


def test_ties_lose_or_count_half():
    rng = np.random.default_rng(0)
    features = np.concatenate([np.ones((8, 5)), rng.standard_normal((8, 5))])
    made, true = numbered(8), numbered(8, start=8)
    assert two_way.per_item(made, true, network=table(features)).tolist() == [0.5] * 8
    assert two_way.per_item(made, true, network=table(features), version="mindeye-2023").tolist() == [0.0] * 8
    same = np.concatenate([np.tile(rng.standard_normal(5), (8, 1)), features[8:]])  # one picture for all items
    for version in ("strict", "mindeye-2023"):
        assert two_way.score(made, true, network=table(same), version=version) == pytest.approx(0.5)


def test_equal_truths_are_ties_whatever_the_last_digit():
    """Truths that are one another scaled and shifted correlate equally with everything but for rounding."""
    rng = np.random.default_rng(0)
    one = rng.standard_normal(300)
    features = np.concatenate([rng.standard_normal((12, 300)), [a * one + b for a, b in rng.uniform(0.1, 3, (12, 2))]])
    found = two_way.per_item(numbered(12), numbered(12, start=12), network=table(features))
    assert found.tolist() == [0.5] * 12


def test_category_decoders_win_overall_and_nothing_within():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 10)
    centres = 3 * rng.standard_normal((5, 40))
    features = np.concatenate([centres[labels], centres[labels] + rng.standard_normal((50, 40))])
    made, true, network = numbered(50), numbered(50, start=50), table(features)
    assert two_way.score(made, true, network=network) == pytest.approx(40 / 49 + 9 / 49 / 2, abs=0.01)
    assert within_category.score(made, true, network=network, labels=labels) == pytest.approx(0.5)
    loops = [loop_two_way(features[:50][labels == k], features[50:][labels == k]) for k in range(5)]
    found = within_category.per_item(made, true, network=network, labels=labels, version="mindeye-2023")
    np.testing.assert_allclose(found, np.concatenate(loops), atol=1e-12)


def test_an_item_alone_in_its_category_counts_half_and_is_told():
    with pytest.warns(UserWarning, match=r"1 of 5 items had no answer \(alone in its category\)"):
        found = within_category.per_item(pictures(5), pictures(5), network="pixels", labels=["a", "a", "b", "b", "c"])
    assert found.tolist() == [1, 1, 1, 1, 0.5]
    with pytest.raises(BraindecError, match="two items of a category"):
        within_category.per_item(pictures(2), pictures(2), network="pixels", labels=["a", "b"])


def test_a_constant_picture_counts_0_and_is_told():
    made = pictures(3)
    made[1] = 0.3
    with pytest.warns(UserWarning, match="1 of 3 items .*constant picture"):
        found = pixcorr.per_item(made, pictures(3))
    assert found[1] == 0 and found[[0, 2]] == pytest.approx(1)


@pytest.mark.parametrize(("n", "k", "m"), [(2, 1, 1), (5, 2, 1), (10, 1, 3), (2, 1, 3), (6, 3, 2)])
def test_n_way_is_the_mean_over_all_draws(n, k, m):
    """The expectation equals brute force, ties included; many classes without information give chance."""
    rng = np.random.default_rng(n * k * m)
    scores = np.concatenate([rng.integers(0, 5, (3, 12)).astype(float), rng.random((3, 12))])
    truth = rng.random((3, 12))
    found = n_way.per_item(
        numbered(3),
        numbered(3, start=3),
        network=table(np.concatenate([scores[:3], truth])),
        n_way=n,
        top_k=k,
        n_targets=m,
    )
    order = np.argsort(-truth, axis=1)
    for row, ranked, value in zip(scores[:3], order, found):
        right, others = ranked[:m], ranked[m:]
        best = row[right].max()
        tied = [c for c in right if row[c] == best]
        same = [c for c in others if row[c] == best]
        hits = []
        for ahead in chain.from_iterable(combinations(same, u) for u in range(len(same) + 1)):
            # chance that exactly these of the tied others stand before the first tied target
            e, t, u = len(same), len(tied), len(ahead)
            weight = comb(e - u + t - 1, t - 1) / comb(e + t, t) / comb(e, u)
            above = [c for c in others if row[c] > best] + list(ahead)
            share = np.mean([len(set(d) & set(above)) < k for d in combinations(others.tolist(), n - 1)])
            hits.append(weight * share)
        assert value == pytest.approx(sum(hits))


@pytest.mark.parametrize(
    ("n", "k", "m", "nominal"),
    [(2, 1, 3, 0.75), (50, 1, 3, 3 / 52), (100, 1, 3, 3 / 102), (50, 1, 1, 0.02), (5, 2, 1, 0.4)],
)
def test_chance_of_n_way_is_exact(n, k, m, nominal):
    assert n_way.chance(10, n_way=n, top_k=k, n_targets=m) == pytest.approx(nominal)
    rng = np.random.default_rng(0)
    features = rng.random((4000, 300))
    made, true = numbered(2000), numbered(2000, start=2000)
    found = n_way.score(made, true, network=table(features), n_way=n, top_k=k, n_targets=m)
    assert found == pytest.approx(nominal, abs=0.02)


def test_sampled_versions_agree_with_the_expectation():
    rng = np.random.default_rng(0)
    features = rng.random((80, 200))
    features[:40] += 0.5 * features[40:]
    pair = numbered(40), numbered(40, start=40)
    network = table(features)
    for version, m in (("mindvis-2023", 1), ("mindvideo-2023", 3)):
        exact = n_way.score(*pair, network=network, n_targets=m)
        assert n_way.score(*pair, network=network, version=version, trials=400) == pytest.approx(exact, abs=0.02)
        assert n_way.chance(40, version=version) == pytest.approx(m / (49 + m))
        same = [n_way.per_item(*pair, network=network, version=version, seed=5) for _ in range(2)]
        np.testing.assert_array_equal(*same)


def test_a_constant_guess_of_classes_loses_in_the_historical_versions_and_gets_chance_in_strict():
    features = np.concatenate([np.ones((5, 60)), np.random.default_rng(0).random((5, 60))])
    pair, network = (numbered(5), numbered(5, start=5)), table(features)
    assert n_way.per_item(*pair, network=network) == pytest.approx([0.02] * 5)
    assert n_way.per_item(*pair, network=network, n_targets=3) == pytest.approx([3 / 52] * 5)
    assert n_way.per_item(*pair, network=network, version="mindvis-2023").tolist() == [0] * 5


def test_the_class_prior_beats_chance_without_a_brain():
    """Classes as unequal as words: the same guess for every item is far above chance."""
    rng = np.random.default_rng(0)
    prior = 1 / np.arange(1, 101)
    classes = rng.choice(100, size=600, p=prior / prior.sum())
    probabilities = np.eye(100)[classes] * 0.9 + rng.random((600, 100)) * 0.1
    true, train = numbered(300), numbered(300, start=300)
    blind = n_way.blind(true, train, network=table(probabilities), n_way=50)
    # the guess ranks classes by how often they are first: the exact hit rate by counting
    seen = np.bincount(classes[300:], minlength=100)
    assert blind > 0.2 > 10 * n_way.chance(300, n_way=50) * 0.9
    greater = (seen > seen[classes[:300], None]).sum(axis=1)
    most = hypergeom.cdf(0, 99, greater, 49).mean()
    assert blind == pytest.approx(most, abs=0.02)


def test_blind_predictors_of_other_metrics():
    made, true = blurred(n=12)
    train = blurred(n=12, seed=1)[1]
    mean = train.mean(axis=0)
    expected = np.mean([np.corrcoef(mean.ravel(), t.ravel())[0, 1] for t in true])
    assert pixcorr.blind(true, train) == pytest.approx(expected, abs=1e-5)
    assert two_way.blind(true, train, network="gabor") == pytest.approx(0.5)
    assert within_category.blind(true, train, network="gabor", labels=np.repeat([0, 1], 6)) == pytest.approx(0.5)
    swapped = np.mean([pixcorr.score(np.roll(made, s, axis=0), true) for s in range(1, 12)])
    assert pixcorr.exchanged(made, true) == pytest.approx(swapped)
    assert np.isnan(pixcorr.chance(12))  # nothing follows from counting


def test_lpips_by_a_plain_loop_and_with_weights():
    from braindec.evaluate.picture_networks.random_conv import RandomConv

    made, true = blurred(n=3)
    network = RandomConv(n_filters=4)
    total = np.zeros(3)
    for a, b in zip(network.maps(made, network.map_layers), network.maps(true, network.map_layers)):
        a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True).clip(1e-10) for v in (a, b))
        total += ((a - b) ** 2).sum(axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(lpips.per_item(made, true, network=network), total, rtol=1e-5)
    np.testing.assert_allclose(lpips.per_item(true, true, network=network), 0, atol=1e-12)
    half = {"conv-1": np.full(4, 0.5)}
    once = lpips.per_item(made, true, network=network, layers=["conv-1"])
    np.testing.assert_allclose(lpips.per_item(made, true, network=network, layers=["conv-1"], weights=half), once / 2)
    for wrong, words in (
        ({"conv-1": np.ones(3)}, "one weight a feature"),
        ({"conv-2": np.ones(4)}, "weights of each layer"),
    ):
        with pytest.raises(BraindecError, match=words):
            lpips.per_item(made, true, network=network, layers=["conv-1"], weights=wrong)
    with pytest.raises(BraindecError, match="feature maps"):
        lpips.per_item(made, true, network=lambda x: x.reshape(len(x), -1))


def test_every_metric_of_the_folders_says_what_it_is():
    for kind in ("pictures", "films", "captions"):
        for name in registry.names(f"evaluate.{kind}"):
            metric = registry.get(f"evaluate.{kind}", name)
            assert metric.name == name and metric.kind == kind and find_metric(name) is metric
            assert metric.default in metric.versions and set(metric.about) == set(metric.versions)
            assert metric.describe and metric.blind_says and metric.bounds[0] < metric.bounds[1]
            assert all(registry.load_module(f"evaluate.{kind}", name).__doc__.strip())


BAD = [
    (lambda a: (a[:, :10], a), "one size and mode"),
    (lambda a: (a[..., :1], a), "one size and mode"),
    (lambda a: (a[0], a[0]), "must be \\(item, height"),
    (lambda a: (a * 3, a), "between 0 and 1"),
    (lambda a: (a - 0.5, a), "between 0 and 1"),
    (
        lambda a: (np.where(np.arange(6)[:, None, None, None] == 2, np.nan, a), a),
        "1 of 6 with values that are not finite",
    ),
    (lambda a: ([a[0], a[1][:5]], a[:2]), "mixed shape"),
    (lambda a: (a[:0], a[:0]), "must be \\(item, height"),
    (lambda a: (a.astype(str), a), "must be \\(item, height"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
@pytest.mark.parametrize("metric", [pixcorr, ssim, two_way])
def test_bad_pictures_are_refused(metric, change, words):
    with pytest.raises(BraindecError, match=words):
        metric.per_item(*change(pictures()), network="pixels")


def test_bytes_are_pictures_of_0_to_255():
    made = (pictures() * 255).astype(np.uint8)
    np.testing.assert_allclose(mse.per_item(made, made / 255), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: ssim.per_item(a, a, version="mindeye-2032"), "did you mean 'mindeye-2023'"),
        (lambda a: ssim.chance(3, version="brain-diffuser-2023"), "did you mean 'braindiffuser-2023'"),
        (lambda a: ssim.per_item(a, a, rezise=None), "no option 'rezise'; did you mean 'resize'"),
        (lambda a: pixcorr.per_item(a, a, resize=None, layer="x"), "no option 'layer'"),
        (lambda a: two_way.per_item(a, a), "needs a network"),
        (lambda a: two_way.per_item(a[:1], a[:1], network="pixels"), "needs distractors"),
        (lambda a: two_way.per_item(a, a, network="gabro"), "did you mean 'gabor'"),
        (lambda a: two_way.per_item(a, a, network={"name": "gabor", "grids": 3}), "did you mean 'grid'"),
        (lambda a: two_way.per_item(a, a, network="gabor", layer="enregy"), "did you mean 'energy'"),
        (lambda a: two_way.per_item(a, a, network=3), "a name, a mapping or a function"),
        (lambda a: two_way.per_item(a, a, network=lambda x: np.full((len(x), 4), np.nan)), "not finite.*\n.*6 of 6"),
        (lambda a: two_way.per_item(a, a, network=lambda x: np.ones((2, 4))), "one row of units a picture"),
        (lambda a: within_category.per_item(a, a, network="pixels"), "class of each item"),
        (lambda a: within_category.per_item(a, a, network="pixels", labels=["a"]), "one label an item"),
        (lambda a: within_category.per_item(a, a, network="pixels", labels=["a"] * 5 + [None]), "missing"),
        (lambda a: n_way.per_item(a, a, network="gabor"), "needs a classifier"),
        (lambda a: n_way.per_item(a, a, network={"name": "random_conv", "layer": "classes"}, n_way=200), "up to 100"),
        (lambda a: n_way.per_item(a, a, network=lambda x: np.ones((len(x), 1))), "one number a class"),
        (lambda a: pixcorr.blind(a, None), "made of training items"),
        (lambda a: pixcorr.blind(a, a[:, :5]), "differ in size or mode"),
        (lambda a: pixcorr.exchanged(a[:1], a[:1]), "exchanged between items"),
        (lambda a: find_metric("pixcor"), "did you mean 'pixcorr'"),
        (lambda a: find_metric("frame_ssim").per_item(a, a), "must be films"),
    ],
)  # fmt: skip
def test_bad_calls_are_refused(call, words):
    with pytest.raises(BraindecError, match=words):
        call(pictures())


def test_versions_of_identification_differ_in_size_and_ties_only():
    made, true = blurred(n=5, size=20)
    sizes = []

    def network(x, layer=None):
        sizes.append(x.shape[1:3])
        return x.reshape(len(x), -1)

    strict = two_way.per_item(made, true, network=network)
    scaled = two_way.per_item(made, true, network=network, version="braindiffuser-2023")
    assert sizes == [(20, 20)] * 2 + [(224, 224)] * 2 and strict.tolist() == scaled.tolist() == [1.0] * 5
    distance = [
        find_metric("feature_distance").per_item(made, true, network=network, version=v)
        for v in ("strict", "mindeye-2023")
    ]
    expected = [1 - np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(made, true)]
    np.testing.assert_allclose(distance, [expected] * 2)
    with pytest.warns(UserWarning, match="constant features"):
        assert find_metric("feature_distance").score(np.full_like(made, 0.5), true, network=network) == 1
