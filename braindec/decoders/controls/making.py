"""How each control row is made: one step of the decoder swapped; see :mod:`braindec.decoders.controls`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec import registry
from braindec.decoders._pictures import PictureDecoder
from braindec.decoders._reading import column
from braindec.errors import BraindecError
from braindec.evaluate.controls.noise_input import noise_windows
from braindec.types import Features, Pictures, Recording, Windows
from braindec.types.signals import StackedSignal

_BLOCK = 256

__all__ = ["LeftOut", "RowMaker", "kept", "shuffle", "stored"]


def shuffle(stimulus_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order of trials in which every trial gets one of another stimulus, shape (n,).

    Raises
    ------
    BraindecError
        If one stimulus has more than half of the trials.
    """
    code = np.unique(stimulus_ids, return_inverse=True)[1].reshape(-1)
    n = len(code)
    if n < 2 or np.bincount(code).max() > n / 2:
        raise BraindecError(
            "trials can not be exchanged between different stimuli", found=f"{n} trials, {np.bincount(code).max() if n else 0} of one stimulus",
            fix="test more stimuli",
        )  # fmt: skip
    order = rng.permutation(n)
    for _ in range(100 * n):
        bad = np.flatnonzero(code[order] == code)
        if not len(bad):
            return order
        for i in bad:  # exchange with a random trial for which neither gets its own stimulus
            j = int(rng.integers(n))
            if code[order[j]] != code[i] and code[order[i]] != code[j]:
                order[i], order[j] = order[j], order[i]
    by_stimulus = np.argsort(code + rng.random(n), kind="stable")  # a turn by the largest group always parts them
    out = np.empty(n, dtype=int)
    out[by_stimulus] = np.roll(by_stimulus, int(np.bincount(code).max()))
    return out


class LeftOut(Exception):
    """Why a row does not apply."""


class RowMaker:
    """Makes one row at a time; conditions are computed once."""

    def __init__(
        self, decoder: PictureDecoder, train: Windows, test: Windows, pictures: Pictures | None, features: Features | None, seeds: list[int],
        ridge: PictureDecoder | None, nearest: PictureDecoder | None, truth: Callable | None, sampling: dict[str, Any], seed: int,
    ) -> None:  # fmt: skip
        self.decoder, self.train, self.test, self.pictures, self.features = decoder, train, test, pictures, features
        self.seeds, self.given_ridge, self.given_nearest, self.sampling, self.seed = (
            seeds,
            ridge,
            nearest,
            sampling,
            seed,
        )
        self.truth: Callable[[Sequence[str]], Any] = truth if truth is not None else pictures.of  # type: ignore[union-attr]
        self.plain = truth is None
        self.shown = column(test, "stimulus_id").astype(str)
        self.train_ids = np.unique(column(train, "stimulus_id").astype(str))
        self.true = _array(self.truth(list(self.shown)))
        self.condition = decoder.condition(test)
        self.ridge_made: np.ndarray | None = None

    @property
    def train_items(self) -> Any:
        """Training pictures, each once; None for what is no picture."""
        if not self.plain:
            return None
        assert self.pictures is not None
        return self.pictures[np.sort(self.pictures.rows_of(list(self.train_ids)))]

    def _made(self, condition: Any, seed: int) -> np.ndarray:
        return _array(self.decoder.generate(condition, names=self.test.ids, seed=seed, **self.sampling))

    def decoded(self) -> Iterator[np.ndarray]:
        """Return what is read from each test window, one array a seed."""
        for seed in self.seeds if self.decoder.generative else self.seeds[:1]:
            yield self._made(self.condition, seed)

    def shuffled_brain(self) -> Iterator[np.ndarray]:
        """Return the condition of another trial of another stimulus, made into a picture, one array a seed."""
        for seed in self.seeds:
            yield self._made(self.condition[shuffle(self.shown, np.random.default_rng([self.seed, seed, 71]))], seed)

    def noise_brain(self) -> Iterator[np.ndarray]:
        """Return pictures of white noise with the scale of training channels, one array a seed."""
        for seed in self.seeds:
            yield self._made(
                self.decoder.condition(noise_windows(self.test, like=self.train, seed=1000 * self.seed + seed)), seed
            )

    def mean_brain(self) -> Iterator[np.ndarray]:
        """Return pictures of the mean training window, one array a seed."""
        condition = self.decoder.condition(_mean_windows(self.train, self.test))
        for seed in self.seeds if self.decoder.generative else self.seeds[:1]:
            yield self._made(condition, seed)

    def prior_only(self) -> Iterator[np.ndarray]:
        """Return pictures that no recording had a part in, one array a seed."""
        if not self.decoder.generative:
            raise LeftOut("the decoder has no prior: its pictures come from the recording alone")
        for seed in self.seeds:
            yield _array(self.decoder.prior(self.test.ids, seed=seed, **self.sampling))

    def ridge(self) -> Iterator[np.ndarray]:
        """Return what ridge regression on pixels predicts, one array a seed."""
        yield self._of_ridge()

    def _of_ridge(self) -> np.ndarray:
        if self.ridge_made is None:
            decoder = self.given_ridge
            if decoder is None:
                if not self.plain:
                    raise LeftOut("no ridge decoder was given for what is no picture")
                if type(self.decoder).__name__ == "PictureRidge":
                    raise LeftOut("what was decoded is ridge regression")
                decoder = registry.get("decoders", "picture_ridge")().fit(self.train, self.pictures)
            self.ridge_made = _array(decoder.reconstruct(self.test))
        return self.ridge_made

    def nearest_training(self) -> Iterator[np.ndarray]:
        """Return the training picture that is nearest to ridge's prediction, one array a seed."""
        if self.given_nearest is not None:
            yield _array(self.given_nearest.reconstruct(self.test))
            return
        if not self.plain:
            raise LeftOut("no decoder of nearest training items was given for what is no picture")
        if type(self.decoder).__name__ == "NearestPicture":
            raise LeftOut("what was decoded is the nearest training picture")
        predicted = (
            self.decoder.reconstruct(self.test) if type(self.decoder).__name__ == "PictureRidge" else self._of_ridge()
        )
        bank = self.train_items
        yield bank.load(_nearest(predicted, bank))

    def category_oracle(self) -> Iterator[np.ndarray]:
        """Return a random training picture of each item's own category, one array a seed."""
        if "concept_id" not in self.test.trials or "concept_id" not in self.train.trials:
            raise LeftOut("trials have no concept_id")
        kinds = dict(
            zip(
                column(self.train, "stimulus_id").astype(str), column(self.train, "concept_id").astype(str), strict=True
            )
        )
        members: dict[str, list[str]] = {}
        for name in self.train_ids:
            members.setdefault(kinds[name], []).append(name)
        own = column(self.test, "concept_id").astype(str)
        missing = sorted({k for k, s in zip(own, self.shown, strict=True) if not set(members.get(k, [])) - {s}})
        if missing:
            raise LeftOut(f"{len(missing)} categories of the test have no training picture, such as {missing[0]}")
        for seed in self.seeds:
            rng = np.random.default_rng([self.seed, seed, 72])
            picked = [str(rng.choice([m for m in members[k] if m != s])) for k, s in zip(own, self.shown, strict=True)]
            texts = self.truth(picked)
            yield _array([t[0] if isinstance(t, (list, tuple)) else t for t in texts] if not self.plain else texts)

    def true_features(self) -> Iterator[np.ndarray]:
        """Return what a perfect reading of the recording would give, one array a seed."""
        for k, seed in enumerate(self.seeds if self.decoder.generative else self.seeds[:1]):
            made = self.decoder.ideal(list(self.shown), self.pictures, self.features, seed=seed, **self.sampling)
            if made is None:
                assert not k
                raise LeftOut("a perfect reading of the recording has no meaning for this decoder")
            yield _array(made)


def _mean_windows(train: Windows, test: Windows) -> Windows:
    """Return the mean training window (of the same subject, where there are several) under the name of each test window."""
    subject = {
        w: column(w, "subject").astype(str) if "subject" in w.trials else np.full(len(w), "") for w in (train, test)
    }
    here = np.unique(subject[test])
    apart = len(here) > 1 and np.isin(here, subject[train]).all()
    groups = list(here) if apart else [None]
    means = np.zeros((len(groups), train.n_channels, train.n_times))
    for k, name in enumerate(groups):
        rows = np.arange(len(train)) if name is None else np.flatnonzero(subject[train] == name)
        for start in range(0, len(rows), _BLOCK):
            means[k] += train.load(rows[start : start + _BLOCK]).sum(axis=0, dtype=np.float64)
        means[k] /= len(rows)
    first = test.recordings[0]
    recording = Recording(StackedSignal(means.astype(np.float32)), test.sfreq, first.channels, info=first.info)
    place = np.searchsorted(here, subject[test]) if apart else np.zeros(len(test), dtype=int)
    index = np.stack([np.zeros(len(test), dtype=int), place * train.n_times], axis=1)
    return Windows((recording,), index, test.n_times, test.trials, test.tmin, test.info)


def _nearest(predicted: np.ndarray, bank: Pictures) -> np.ndarray:
    """Row of the training picture that correlates most with each prediction, read in blocks."""
    a = _unit(predicted)
    best, place = np.full(len(a), -np.inf), np.zeros(len(a), dtype=int)
    for start in range(0, len(bank), _BLOCK):
        r = a @ _unit(bank.load(slice(start, start + _BLOCK))).T
        top = r.argmax(axis=1)
        value = r[np.arange(len(a)), top]
        place = np.where(value > best, start + top, place)
        best = np.maximum(best, value)
    return place


def _unit(pictures: np.ndarray) -> np.ndarray:
    rows = np.asarray(pictures, dtype=np.float64).reshape(len(pictures), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def kept(seeds: Any, folder: Path | None, row: str) -> np.ndarray:
    """Stack what was made seed by seed, in 8 bits; on disk where there is a folder."""
    done = [stored(next(seeds))]
    if folder is None or done[0].dtype == object:
        done += [stored(made) for made in seeds]
        return np.stack(done)
    folder.mkdir(parents=True, exist_ok=True)
    path, n, shape = folder / f"{row}.u8", 1, done[0].shape
    with path.open("wb") as file:
        file.write(np.ascontiguousarray(done.pop()).data)
        for made in seeds:
            file.write(np.ascontiguousarray(stored(made)).data)
            n += 1
    return np.memmap(path, dtype=np.uint8, mode="r", shape=(n, *shape))


def stored(made: np.ndarray) -> np.ndarray:
    if made.dtype.kind in "OUS" or made.dtype == np.uint8:
        return made
    if not np.isfinite(made).all():
        raise BraindecError(
            "a decoder made pictures that are not finite", found=f"{int((~np.isfinite(made)).sum())} values"
        )
    return np.round(255 * np.clip(made, 0, 1)).astype(np.uint8)


def _array(made: Any) -> np.ndarray:
    if isinstance(made, np.ndarray) and made.dtype.kind not in "OUS":
        return made
    out = np.empty(len(made), dtype=object)
    out[:] = [v if isinstance(v, str) else list(v) for v in made]
    return out
