"""Decoders of pictures side by side on one split: fitted, chosen on validation rows, and put beside their controls.

Used by the recipe of image reconstruction. No score of a test row has a part in any choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._make import make_decoder
from braindec.decoders._pictures import PictureDecoder
from braindec.decoders._reading import column
from braindec.decoders.controls import ControlRows, control_rows
from braindec.decoders.controls.making import stored
from braindec.errors import BraindecError
from braindec.evaluate.picture_metric import find_metric
from braindec.types import Features, FitRecord, Pictures, Split, Windows

_LEVEL = 0.05  # p above which two decoders are not told apart

__all__ = ["Fold", "average_repetitions", "extra_digits", "fold_sentences", "picture_components", "reconstruct_fold"]

_WORDS = {
    "two_way": "two-way identification",
    "within_category": "identification within categories",
    "pixcorr": "PixCorr",
}
ALWAYS = {"picture_ridge": "ridge", "nearest_picture": "nearest_training"}  # decoders that stand beside any other


@dataclass(frozen=True, eq=False)
class Fold:
    """What one split gave.

    Parameters
    ----------
    rows : ControlRows
        With a row for every further decoder, and "chosen" where one was chosen.
    chosen : str or None
        The decoder that was best on validation rows.
    choice : DataFrame
        decoder, metric, value, n: scores on validation rows.
    records : list of FitRecord
    decoders : dict of str to PictureDecoder
        Fitted.
    """

    rows: ControlRows
    chosen: str | None
    choice: pd.DataFrame
    records: list[FitRecord] = field(default_factory=list)
    decoders: dict[str, PictureDecoder] = field(default_factory=dict)


def reconstruct_fold(
    options: Sequence[Mapping[str, Any]],
    windows: Windows,
    split: Split,
    pictures: Pictures,
    features: Features | None,
    *,
    refit: bool = False,
    average: bool = False,
    seeds: int = 5,
    rows: Sequence[str] | None = None,
    network: Any = "gabor",
    seed: int = 0,
    extra: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> Fold:
    """Fit decoders, choose among them on validation rows, and make what they and the controls show of the test rows.

    Parameters
    ----------
    options : sequence of mapping
        ``{"name": ..., ...}``; the first is the row "decoded", with all controls. Ridge and the nearest training picture are
        always fitted and may be chosen.
    windows, split, pictures, features
        Features may be None for decoders that need none.
    refit : bool
        After the choice fit all decoders again with the validation rows added to the training rows.
    average : bool
        Average the trials of each test stimulus (and validation stimulus).
    seeds : int
        Samples of each test item.
    rows : sequence of str, optional
        Control rows; all by default.
    network : name or mapping
        On which the choice is made, by identification (and identification within the category).
    seed : int
    extra : mapping, optional
        Settings for decoders that have such an option (``extra_pictures``, ``extra_features``, ``device``).
    folder : Path, optional
        Where the first decoder is saved.
    """
    train, held = windows[split.train], windows[split.validation] if len(split.validation) else None
    test = windows[split.test]
    if average:
        test, held = average_repetitions(test), None if held is None else average_repetitions(held)
    labels = _labels(options)
    settings = {labels[i]: dict(o) for i, o in enumerate(options)}
    for name in ALWAYS:
        settings.setdefault(name, {"name": name, **_same_reading(options)})

    def fitted(names: Sequence[str], part: Windows) -> dict[str, PictureDecoder]:
        offered = {"seed": seed, **(extra or {})}
        return {n: make_decoder(settings[n], **offered).fit(part, pictures, features, validation=held) for n in names}

    decoders, chosen, choice, records = fitted(list(settings), train), None, pd.DataFrame(), []
    if held is not None:
        choice = _choice(decoders, held, pictures, network, seed)
        chosen = str(choice.groupby("decoder", sort=False)["value"].mean().idxmax())
        records.append(FitRecord.of("choice of the decoder", held.ids if not average else windows[split.validation].ids, purpose="selection"))  # fmt: skip
        if refit:
            train = windows[np.sort(np.concatenate([split.train, split.validation]))]
            decoders = fitted(list(settings), train)
    records += [r for d in decoders.values() for r in d.fit_records_]
    first = decoders[labels[0]]
    wanted = {} if rows is None else {"rows": tuple(rows)}
    made = control_rows(
        first, train, test, pictures, features, seeds=seeds, seed=seed, ridge=decoders["picture_ridge"],
        nearest=decoders["nearest_picture"], **wanted,
    )  # fmt: skip
    if folder is not None:
        first.save(folder)
    more = {n: _samples(d, test, seeds, seed) for n, d in decoders.items() if n != labels[0] and n not in ALWAYS}
    if chosen is not None:
        own = {labels[0]: "decoded", **ALWAYS}.get(chosen)
        picked = (
            made.made[own]
            if own in made.made
            else more[chosen]
            if chosen in more
            else _samples(decoders[chosen], test, 1, seed)
        )
        more["chosen"] = picked
    return Fold(replace(made, made={**made.made, **more}), chosen, choice, records, decoders)


def average_repetitions(windows: Windows) -> Windows:
    """Return one window a stimulus: the mean of its trials, in order of first appearance; named after the stimulus."""
    shown = column(windows, "stimulus_id")
    items, first, codes = np.unique(shown, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    data = np.zeros((len(items), windows.n_channels, windows.n_times), dtype=np.float32)
    np.add.at(data, codes.reshape(-1), windows.load())
    data /= np.bincount(codes.reshape(-1))[:, None, None]
    trials = windows.trials.iloc[first[order]].reset_index(drop=True)
    trials = trials.drop(columns=[c for c in ("window_id", "repetition", "run", "onset") if c in trials])
    made = Windows.from_arrays(
        data[order], trials.assign(window_id=[f"mean of {s}" for s in items[order]]), sfreq=windows.sfreq,
        channels=windows.channels, tmin=windows.tmin, modality=windows.recordings[0].info.get("modality"),
    )  # fmt: skip
    return made


def picture_components(
    pictures: Pictures, stimulus_ids: Sequence[Any], *, n: int = 32, more: Pictures | None = None
) -> Features:
    """Describe pictures by the leading components of the pixels of the training pictures, which need no network.

    Parameters
    ----------
    pictures : Pictures
    stimulus_ids : sequence
        Training stimuli: the components are theirs.
    n : int
        How many, at most.
    more : Pictures, optional
        Further pictures that are described too.
    """
    seen = pictures.of(list(dict.fromkeys(stimulus_ids)))
    seen = seen.reshape(len(seen), -1)
    mean = seen.mean(axis=0)
    _, _, axes = np.linalg.svd(seen - mean, full_matrices=False)
    axes = axes[: min(n, len(seen) - 1)]

    def described(some: Pictures) -> np.ndarray:
        parts = [some.load(slice(i, i + 1024)) for i in range(0, len(some), 1024)]
        return np.concatenate([(p.reshape(len(p), -1) - mean) @ axes.T for p in parts])

    values, items = described(pictures), pictures.items
    if more is not None:
        values = np.concatenate([values, described(more)])
        items = pd.concat([items, more.items], ignore_index=True)
    return Features(values.astype(np.float32), items, info={"model": "components of training pictures"})


def extra_digits(pictures: Pictures, digits: Sequence[int]) -> Pictures:
    """Return the handwritten digits of scikit-learn of these classes, scaled to the size and mode of ``pictures``."""
    from scipy.ndimage import zoom

    from braindec.loaders.synthetic_pictures import digit_pictures

    known = digit_pictures()
    kept = known[known.items["concept_id"].isin([str(d) for d in digits]).to_numpy()]
    height, width = pictures.size
    values = np.clip(zoom(kept.load()[..., 0], (1, height / 8, width / 8), order=1), 0, 1)[..., None]
    items = kept.items.assign(stimulus_id="extra-" + kept.items["stimulus_id"])
    return Pictures(np.repeat(values, pictures.n_channels, axis=-1).astype(np.float32), items, info=dict(known.info))


def _labels(options: Sequence[Mapping[str, Any]]) -> list[str]:
    if not options:
        raise BraindecError("which decoder? There is none", fix="decoders: [{name: conditioned}]")
    names: list[str] = []
    for entry in options:
        name, k = str(entry["name"]), 2
        while name in names:
            name, k = f"{entry['name']} {k}", k + 1
        names.append(name)
    return names


def _same_reading(options: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How the first ridge embedder reads the recording, so that ridge on pixels is no worse off than what it is compared with."""
    for entry in options:
        embedder = dict(entry.get("embedder") or {})
        if embedder.get("name") == "ridge":
            return {k: embedder[k] for k in ("scaler", "noise_normalise", "scale_by", "time_bins") if k in embedder}
        if "scaler" in entry:
            return {k: entry[k] for k in ("scaler", "scale_by", "time_bins") if k in entry}
    return {}


def _samples(decoder: PictureDecoder, test: Windows, seeds: int, seed: int) -> np.ndarray:
    """Pictures of one decoder, (seed, item, ...), uint8."""
    condition = decoder.condition(test)
    numbers = range(seed, seed + (seeds if decoder.generative else 1))
    return np.stack([stored(decoder.generate(condition, names=test.ids, seed=k)) for k in numbers])


def _choice(
    decoders: Mapping[str, PictureDecoder], held: Windows, pictures: Pictures, network: Any, seed: int
) -> pd.DataFrame:
    """Identification of validation items by every decoder."""
    true = pictures.of(column(held, "stimulus_id"))
    labels = column(held, "concept_id") if "concept_id" in held.trials else None
    wanted = ["two_way"] + (["within_category"] if labels is not None and _company(labels) else [])
    rows = []
    for name, decoder in decoders.items():
        made = decoder.reconstruct(held, seed=seed)
        if made.shape != true.shape:
            raise BraindecError(
                f"{name} makes pictures of another size than those shown", found=f"{made.shape[1:]}", allowed=f"{true.shape[1:]}",
                fix="read the pictures at the size that the generator makes (pictures.size)",
            )  # fmt: skip
        for metric in wanted:
            given = {"labels": labels} if metric == "within_category" else {}
            values = find_metric(metric).per_item(made, true, network=network, **given)
            rows.append({"decoder": name, "metric": metric, "value": float(np.nanmean(values)), "n": len(values)})
    return pd.DataFrame(rows)


def _company(labels: np.ndarray) -> bool:
    return bool((pd.Series(labels).value_counts() > 1).any())


def fold_sentences(
    folds: Mapping[str, Fold], report: Any, options: Sequence[Mapping[str, Any]]
) -> tuple[list[str], pd.DataFrame]:
    """Say which decoder validation rows chose, how it did on test rows, and what the first one gains or loses against ridge.

    Returns
    -------
    sentences : list of str
    table : DataFrame
        decoder, metric, value, n: scores on validation rows, averaged over folds.
    """
    chosen = [f.chosen for f in folds.values() if f.chosen is not None]
    sentences, table = [], pd.DataFrame()
    first = str(options[0]["name"])
    scores = report.scores

    def value(metric: str, row: str) -> float | None:
        found = scores[(scores["metric"] == metric) & (scores["row"] == row)]["value"]
        return float(found.iloc[0]) if len(found) else None

    if chosen:
        counts = pd.Series(chosen).value_counts()
        whole = pd.concat([f.choice for f in folds.values()], ignore_index=True)
        table = whole.groupby(["decoder", "metric"], sort=False).agg(value=("value", "mean"), n=("n", "sum")).reset_index()  # fmt: skip
        where = ", ".join(f"{n} ({k} of {len(chosen)} folds)" for n, k in counts.items()) if len(folds) > 1 else counts.index[0]  # fmt: skip
        reached = [f"{_WORDS[m]} {v:.3f}" for m in ("two_way", "within_category", "pixcorr") if (v := value(m, "chosen")) is not None]  # fmt: skip
        sentences.append(
            f"Best on validation rows, which have no part in the test: {where}; on the test: {', '.join(reached)}."
        )
    against = []
    for metric, name in _WORDS.items():
        made, ridge = value(metric, "decoded"), value(metric, "ridge")
        if made is None or ridge is None:
            continue
        p = scores[(scores["metric"] == f"{metric}_difference") & (scores["row"] == "over_ridge")]["p"]
        said = (
            ""
            if not len(p) or not np.isfinite(p.iloc[0])
            else ", p < 0.001"
            if p.iloc[0] < 0.001
            else f", p = {p.iloc[0]:.2g}"
        )
        apart = not len(p) or not p.iloc[0] > _LEVEL
        word = (
            f"{'gains' if made >= ridge else 'loses'} {abs(made - ridge):.3f}" if apart else "neither gains nor loses"
        )
        against.append(f"{word} in {name} ({made:.3f} and {ridge:.3f}{said})")
    if against:
        sentences.append(f"Against ridge {first} {'; '.join(against)}.")
    return sentences, table
