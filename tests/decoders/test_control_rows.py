"""Control rows: what each is made of, that nothing keeps its own brain, and that planted cheats are caught."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.decoders._pictures import PictureDecoder
from braindec.decoders.controls import ALL, ControlRows, control_rows, inductive_finding, shuffle
from braindec.decoders.picture_ridge import PictureRidge
from braindec.errors import BraindecError
from braindec.evaluate.control_report import NULLS, report_parts
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.types import Pictures

PICTURES = digit_pictures()
ORDER = np.random.default_rng(0).permutation(len(PICTURES))
WINDOWS = pixel_voxels(PICTURES, n_voxels=40, noise=0.7)
TRAIN, TEST = WINDOWS[ORDER[300:900]], WINDOWS[ORDER[:120]]


def flat(pictures):
    """Pixels as features."""
    return np.asarray(pictures).reshape(len(pictures), -1)


class Noisy(PictureDecoder):
    """An honest stand-in for a generator: ridge on pixels, drawn towards the mean training picture, with named noise."""

    generative = True

    def __init__(self, *, noise=0.15):
        self.noise = noise

    def fit(self, windows, pictures, features=None, *, validation=None):
        self.ridge_ = PictureRidge().fit(windows, pictures)
        self.mean_ = pictures.of(np.unique(windows.trials["stimulus_id"])).mean(axis=0)
        self.picture_shape_, self.fit_records_ = self.ridge_.picture_shape_, self.ridge_.fit_records_
        return self

    def condition(self, windows):
        return self.ridge_.condition(windows)

    def generate(self, condition, *, names, seed=0, **sampling):
        import zlib

        noise = [
            np.random.default_rng([seed, zlib.crc32(str(n).encode())]).normal(size=self.picture_shape_) for n in names
        ]
        made = 0.5 * self.mean_ + 0.5 * (self.mean_ if condition is None else condition) + self.noise * np.stack(noise)
        return np.clip(made, 0, 1).astype(np.float32)

    def ideal(self, stimulus_ids, pictures, features=None, *, seed=0, **sampling):
        return self.generate(pictures.of(stimulus_ids), names=stimulus_ids, seed=seed)


class TestStandardised(Noisy):
    """Cheat: predictions are standardised with the statistics of whatever is decoded together."""

    __test__ = False

    def condition(self, windows):
        found = super().condition(windows)
        spread = found.std(axis=0)
        return (found - found.mean(axis=0)) / np.where(spread > 1e-6, spread, 1) * 0.3 + self.mean_


class BestByTruth(Noisy):
    """Cheat: knows what was shown, draws several samples and keeps the one that is nearest to it."""

    def fit(self, windows, pictures, features=None, *, validation=None):
        self.pictures_ = pictures
        self.shown_ = dict(zip(WINDOWS.ids, WINDOWS.trials["stimulus_id"], strict=True))
        return super().fit(windows, pictures)

    def generate(self, condition, *, names, seed=0, **sampling):
        true = self.pictures_.of([self.shown_.get(n, n) for n in names])
        drawn = np.stack([Noisy.generate(self, condition, names=names, seed=100 * seed + k) for k in range(4)])
        best = ((drawn - true) ** 2).reshape(4, len(true), -1).sum(axis=-1).argmin(axis=0)
        return drawn[best, np.arange(len(true))]


class CategoryOnly(Noisy):
    """Knows nothing but the category: a random training picture of the category that is decoded is shown."""

    def fit(self, windows, pictures, features=None, *, validation=None):
        super().fit(windows, pictures)
        self.bank_ = pictures.of(windows.trials["stimulus_id"])
        self.kind_ = windows.trials["concept_id"].to_numpy(dtype=int)
        self.means_ = np.stack([self.bank_[self.kind_ == k].mean(axis=0) for k in range(10)])
        return self

    def condition(self, windows):
        away = ((super().condition(windows)[:, None] - self.means_) ** 2).reshape(len(windows), 10, -1).sum(axis=-1)
        return np.eye(10, dtype=np.float32)[away.argmin(axis=1)]

    def generate(self, condition, *, names, seed=0, **sampling):
        rng = np.random.default_rng(seed)
        kinds = rng.integers(0, 10, len(names)) if condition is None else condition.argmax(axis=1)
        return np.stack([self.bank_[rng.choice(np.flatnonzero(self.kind_ == k))] for k in kinds])


class CategoryFromTrials(CategoryOnly):
    """Cheat: takes the category from the table of trials, where the test has it too."""

    def condition(self, windows):
        return np.eye(10, dtype=np.float32)[windows.trials["concept_id"].to_numpy(dtype=int)]


class Memoriser(Noisy):
    """Cheat: was trained on the test pictures too and gives the nearest one back."""

    def fit(self, windows, pictures, features=None, *, validation=None):
        super().fit(windows, pictures)
        self.bank_ = pictures.of(np.unique(windows.trials["stimulus_id"]))
        return self

    def generate(self, condition, *, names, seed=0, **sampling):
        wanted = super().generate(condition, names=names, seed=seed)
        away = ((wanted[:, None] - self.bank_[None]) ** 2).reshape(len(wanted), len(self.bank_), -1).sum(axis=-1)
        return self.bank_[away.argmin(axis=1)]


class Constant(Noisy):
    """One picture for every window."""

    def generate(self, condition, *, names, seed=0, **sampling):
        return np.repeat(self.mean_[None], len(names), axis=0)


def made_by(kind, *, train=TRAIN, test=TEST, seeds=3, **options):
    decoder = kind().fit(train, PICTURES)
    rows = control_rows(decoder, train, test, PICTURES, seeds=seeds, **options)
    report = rows.report(
        network=flat, metrics=("two_way", "within_category", "pixcorr"), n_permutations=300, n_bootstrap=200
    )
    return rows, report


@pytest.fixture(scope="module")
def honest():
    return made_by(Noisy)


def test_all_nine_rows_of_an_honest_decoder(honest):
    rows, report = honest
    assert list(rows.made) == list(ALL) and not rows.notes
    seeds = {row: len(made) for row, made in rows.made.items()}
    assert seeds == {r: 1 if r in ("ridge", "nearest_training") else 3 for r in ALL}
    assert all(m.dtype == np.uint8 and m.shape[1:] == (120, 8, 8, 1) for m in rows.made.values())
    value = report.scores[report.scores.metric == "two_way"].set_index("row")["value"]
    assert (
        value["decoded"] > 0.85
        and value["true_features"] > value["decoded"]
        and value[list(NULLS)].between(0.43, 0.57).all()
    )
    assert value["category_oracle"] > 0.7
    levels = {f.check: f.level for f in report.findings}
    assert set(levels.values()) <= {"pass", "warn"} and levels["inductive"] == levels["nulls_at_chance"] == "pass"
    assert levels["exemplar_information"] == levels["decoded_over_nulls"] == levels["train_test_overlap"] == "pass"
    assert levels["simpler_decoders"] == "warn"  # ridge is better here, and it is said
    assert report_parts(report, rows.made, rows.true).arrays["control/pictures"].shape[0] == 10


def test_rows_are_what_they_say(honest):
    rows, _ = honest
    decoder = Noisy().fit(TRAIN, PICTURES)

    def eight(made):
        return np.round(255 * made).astype(np.uint8)

    np.testing.assert_array_equal(rows.made["decoded"][2], eight(decoder.reconstruct(TEST, seed=2)))
    np.testing.assert_array_equal(rows.made["prior_only"][1], eight(decoder.prior(TEST.ids, seed=1)))
    mean = decoder.ridge_.condition(TRAIN).mean(
        axis=0
    )  # the map is linear, so the mean window gives the mean prediction
    expected = decoder.generate(np.repeat(mean[None], 120, axis=0), names=TEST.ids, seed=0)
    assert np.abs(rows.made["mean_brain"][0] / 255 - expected).max() < 0.01
    oracle = {p.tobytes(): k for p, k in zip(eight(PICTURES.load()), PICTURES.items["concept_id"], strict=True)}
    assert all([oracle[p.tobytes()] for p in made] == list(rows.labels) for made in rows.made["category_oracle"])
    train_ids = set(TRAIN.trials["stimulus_id"])
    assert set(rows.train.ids) == train_ids
    bank = {p.tobytes() for p in eight(rows.train.load())}
    assert all(p.tobytes() in bank for p in rows.made["nearest_training"][0])
    again = control_rows(decoder, TRAIN, TEST, PICTURES, seeds=3, rows=("shuffled_brain", "noise_brain"))
    for row in ("decoded", "shuffled_brain", "noise_brain"):
        np.testing.assert_array_equal(rows.made[row], again.made[row])
    assert list(again.made) == ["decoded", "shuffled_brain", "noise_brain"]


def test_no_trial_keeps_its_own_stimulus():
    rng = np.random.default_rng(0)
    for ids in (
        np.arange(9),
        np.repeat(np.arange(6), 3),
        np.array([0, 0, 1, 1]),
        np.array([0, 1]),
        np.repeat([0, 1, 2], [5, 4, 1]),
    ):
        orders = np.array([shuffle(ids, rng) for _ in range(30)])
        assert (np.sort(orders, axis=1) == np.arange(len(ids))).all() and (ids[orders] != ids).all()
        if len(ids) > 4:
            assert len(np.unique(orders, axis=0)) > 20
    with pytest.raises(BraindecError, match="different stimuli"):
        shuffle(np.array([0, 0, 0, 1]), rng)


def test_shuffles_are_spread_evenly():
    orders = np.array([shuffle(np.arange(5), np.random.default_rng(s)) for s in range(4000)])
    counts = np.stack([(orders == k).mean(axis=0) for k in range(5)])
    np.testing.assert_allclose(counts[~np.eye(5, dtype=bool)], 0.25, atol=0.03)


def test_rows_that_do_not_apply_are_left_out_with_a_note():
    ridge = PictureRidge().fit(TRAIN, PICTURES)
    rows = control_rows(ridge, TRAIN, TEST.with_trials(TEST.trials.drop(columns="concept_id")), PICTURES, seeds=2)
    assert set(rows.notes) == {"prior_only", "ridge", "category_oracle", "true_features"} and not rows.generative
    assert len(rows.made["decoded"]) == 1 and len(rows.made["shuffled_brain"]) == 2 and rows.labels is None
    report = rows.report(network=flat, metrics=("two_way",), n_permutations=100)
    assert report.notes == rows.notes and report.finding("seeds").level == "pass"
    zeros = TRAIN[TRAIN.trials["concept_id"].to_numpy() != "3"]
    rows = control_rows(ridge, zeros, TEST, PICTURES, rows=("category_oracle",), inductive=False)
    assert "no training picture" in rows.notes["category_oracle"]


class InParts(Noisy):
    """Honest, and able to leave a part of itself out."""

    def ablations(self, windows, *, seed=0, **sampling):
        return {"class_only": self.prior(windows.ids, seed=seed)}


def test_parts_of_the_decoder_stand_beside_it():
    decoder = InParts().fit(TRAIN, PICTURES)
    rows = control_rows(decoder, TRAIN, TEST, PICTURES, seeds=2, rows=("decoded", "prior_only"))
    assert list(rows.made) == ["decoded", "prior_only", "class_only"] and len(rows.made["class_only"]) == 2
    np.testing.assert_array_equal(rows.made["class_only"], rows.made["prior_only"])
    scores = rows.report(network="pixels", n_permutations=19, n_bootstrap=19).scores
    assert "class_only" in set(scores["row"])


def test_rows_on_disk_are_the_same(tmp_path, honest):
    rows = control_rows(Noisy().fit(TRAIN, PICTURES), TRAIN, TEST, PICTURES, seeds=3, folder=tmp_path, inductive=False)
    assert isinstance(rows.made["decoded"], np.memmap)
    for row, made in rows.made.items():
        np.testing.assert_array_equal(made, honest[0].made[row])


def test_folds_are_joined():
    parts = {}
    for fold in range(2):
        test, train = (WINDOWS[ORDER[50 * f : 50 * f + 50]] for f in (fold, 1 - fold))
        parts[fold] = control_rows(Noisy().fit(train, PICTURES), train, test, PICTURES, seeds=2)
    rows = ControlRows.concat(parts)
    assert (
        rows.made["decoded"].shape[:2] == (2, 100)
        and list(np.unique(rows.folds)) == ["0", "1"]
        and len(rows.findings) == 1
    )
    report = rows.report(network=flat, metrics=("two_way",), n_permutations=200)
    assert report.headline["p"].iloc[0] < 0.05 and report.finding("train_test_overlap").level == "pass"


def test_captions_take_the_same_way():
    words = {s: f"the digit {k}" for s, k in zip(PICTURES.ids, PICTURES.items["concept_id"], strict=True)}

    class Captions(Noisy):
        def generate(self, condition, *, names, seed=0, **sampling):
            if condition is None:
                return [f"the digit {np.random.default_rng([seed, i]).integers(10)}" for i in range(len(names))]
            bank = self.ridge_mean_
            away = ((condition[:, None] - bank) ** 2).reshape(len(condition), 10, -1).sum(axis=-1)
            return [f"the digit {k}" for k in away.argmin(axis=1)]

        def fit(self, windows, pictures, features=None, *, validation=None):
            super().fit(windows, pictures)
            shown, kind = pictures.of(windows.trials["stimulus_id"]), windows.trials["concept_id"].to_numpy()
            self.ridge_mean_ = np.stack([shown[kind == str(k)].mean(axis=0) for k in range(10)])
            return self

        def ideal(self, stimulus_ids, pictures, features=None, *, seed=0, **sampling):
            return [words[s] for s in stimulus_ids]

    def same(made, true):
        return np.array([float(m == t) for m, t in zip(made, true, strict=True)])

    decoder = Captions().fit(TRAIN, PICTURES)
    rows = control_rows(decoder, TRAIN, TEST, PICTURES, seeds=2, truth=lambda ids: [words[i] for i in ids])
    assert set(rows.notes) == {"ridge", "nearest_training"} and rows.made["decoded"].dtype == object
    report = rows.report(metrics=(same,), n_permutations=300)
    assert report.headline["p"].iloc[0] < 0.01 and report.finding("nulls_at_chance").level == "pass"


def test_test_set_standardisation_is_caught():
    _, report = made_by(TestStandardised, rows=("decoded", *NULLS))
    found = report.finding("inductive")
    assert found.level == "fail" and "depends on the other test windows" in found.message
    assert inductive_finding(Noisy().fit(TRAIN, PICTURES), TEST).level == "pass"


def test_a_generator_that_looks_at_its_batch_is_caught():
    class BatchMean(Noisy):
        def generate(self, condition, *, names, seed=0, **sampling):
            given = None if condition is None else condition - 0.5 * condition.mean(axis=0)
            return super().generate(given, names=names, seed=seed)

    decoder = BatchMean().fit(TRAIN, PICTURES)
    assert inductive_finding(decoder, TEST).level == "fail"
    assert inductive_finding(decoder, TEST, generate=False).level == "pass"


def test_an_order_of_trials_that_matters_is_caught():
    class Smoothed(Noisy):
        def condition(self, windows):
            found = super().condition(windows)
            return (found + np.roll(found, 1, axis=0)) / 2

    assert inductive_finding(Smoothed().fit(TRAIN, PICTURES), TEST).level == "fail"


def test_samples_chosen_by_the_truth_are_caught():
    _, report = made_by(BestByTruth)
    found = report.finding("nulls_at_chance")
    assert found.level == "fail" and found.evidence["row"] in NULLS


def test_a_decoder_of_categories_is_caught():
    kind = PICTURES.items["concept_id"].to_numpy()
    mean = {k: PICTURES.load(kind == k).mean(axis=0) for k in np.unique(kind)}  # a brain that sees categories
    seen = pixel_voxels(Pictures(np.stack([mean[k] for k in kind]), PICTURES.items), n_voxels=40, noise=0.3)
    _, report = made_by(
        CategoryOnly, train=seen[ORDER[300:900]], test=seen[ORDER[:120]], rows=("decoded", *NULLS), seeds=5
    )
    found = report.finding("exemplar_information")
    assert found.level == "warn" and "knows the category only" in found.message
    assert report.finding("nulls_at_chance").level == "pass"


def test_a_category_that_comes_with_the_trials_is_caught():
    _, report = made_by(CategoryFromTrials, rows=("decoded", *NULLS), inductive=False)
    assert report.finding("nulls_at_chance").level == "fail"  # noise and mean recordings have the same trials


def test_a_memoriser_is_caught():
    _, report = made_by(Memoriser, train=WINDOWS[ORDER[:400]])
    found = report.finding("train_test_overlap")
    assert found.level == "fail" and found.evidence["share_same"] == 1


def test_a_constant_decoder_is_caught():
    _, report = made_by(Constant)
    assert report.finding("effective_rank").level == "fail" and report.finding("decoded_over_nulls").level == "warn"


def test_films_and_several_subjects_keep_their_own_mean():
    rng = np.random.default_rng(0)
    films = Pictures(
        rng.random((40, 3, 4, 4, 1)).astype(np.float32),
        pd.DataFrame({"stimulus_id": [f"f{i}" for i in range(40)], "concept_id": ["a", "b"] * 20}),
    )
    windows = pixel_voxels(Pictures(films.values[:, 0], films.items), n_voxels=12)
    windows = windows.with_trials(subject=np.where(np.arange(40) % 4 < 2, "01", "02"))
    train, test = windows[:30], windows[30:]
    decoder = Noisy().fit(train, films)
    rows = control_rows(decoder, train, test, films, seeds=2)
    assert rows.made["decoded"].shape == (2, 10, 3, 4, 4, 1) and set(rows.made) == set(ALL)
    same = test.trials["subject"].to_numpy()
    expected = {s: decoder.condition(train[train.trials["subject"].to_numpy() == s]).mean(axis=0) for s in ("01", "02")}
    want = decoder.generate(np.stack([expected[s] for s in same]), names=test.ids, seed=0)
    assert np.abs(rows.made["mean_brain"][0] / 255 - want).max() < 0.01


def test_odd_input_is_refused():
    decoder = Noisy().fit(TRAIN, PICTURES)
    for options, says in (
        ({"rows": ("mean_brian",)}, "mean_brain"),
        ({"seeds": 0}, "one seed"),
        ({"seeds": []}, "one seed"),
    ):
        with pytest.raises(BraindecError, match=says):
            control_rows(decoder, TRAIN, TEST, PICTURES, **options)
    with pytest.raises(BraindecError, match="what was shown"):
        control_rows(decoder, TRAIN, TEST, None)
    with pytest.raises(BraindecError, match="no rows of folds"):
        ControlRows.concat({})


def test_noise_has_the_scale_of_training_windows():
    from braindec.evaluate.controls.noise_input import noise_windows

    quiet, loud = (pixel_voxels(PICTURES, n_voxels=40, noise=n)[ORDER[:200]] for n in (0.1, 5.0))
    made, own = (noise_windows(loud, like=w, seed=1).load(np.arange(200)) for w in (quiet, loud))
    np.testing.assert_allclose(made.std(axis=(0, 2)), quiet.load(np.arange(200)).std(axis=(0, 2)), rtol=0.3)
    assert own.std() > 2 * made.std()
