"""The rows that stand beside decoded pictures: one step of the decoder is swapped, everything else stays as it was.

=================  ============================================================================================
shuffled_brain     the condition of another trial of another stimulus; no trial keeps its own
noise_brain        the condition of white noise with each channel's scale
mean_brain         the condition of the mean training window
prior_only         no condition at all
ridge              ridge regression on pixels
nearest_training   the training picture that is nearest to ridge's
category_oracle    a random training picture of the item's own category
true_features      the condition that a perfect reading of the recording would give
=================  ============================================================================================

Noise goes by the name of the window and the seed, so a control starts from the same noise as what was decoded.

Source: Shirakawa et al. 2024 (arXiv 2405.10078) for nearest training pictures and categories; the digits experiment of the
recipe, where the mean recording gives the highest floor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from braindec.decoders._pictures import PictureDecoder
from braindec.decoders._reading import column
from braindec.decoders.controls.inductive import inductive_finding
from braindec.decoders.controls.making import LeftOut, RowMaker, kept, shuffle, stored
from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate.control_report import NULLS, ControlReport, control_report
from braindec.evaluate.finding import Finding
from braindec.types import Features, Pictures, Windows

ALL = ("decoded", *NULLS, "ridge", "nearest_training", "category_oracle", "true_features")

__all__ = ["ALL", "ControlRows", "control_rows", "inductive_finding", "shuffle"]


@dataclass(frozen=True, eq=False)
class ControlRows:
    """What was made for each row, and what it belongs to.

    Parameters
    ----------
    made : dict of row to array (n_seeds, n, ...)
        Pictures as uint8 (8 bits a value), captions as texts; "decoded" first.
    true : array (n, ...)
        What was shown, as uint8 or texts.
    ids, labels : arrays of shape (n,)
        stimulus_id and concept_id (None without it) of each trial.
    train : Pictures or array, or mapping of fold to these
        Training items, each once; None for captions.
    notes : dict of row to str
        Why a row is not there.
    findings : list of Finding
        Of :func:`inductive_finding`.
    folds : array of shape (n,), or None
        Where rows of several folds were joined.
    generative : bool
        Whether the decoder samples.
    """

    made: dict[str, np.ndarray]
    true: np.ndarray
    ids: np.ndarray
    labels: np.ndarray | None
    train: Any
    notes: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    folds: np.ndarray | None = None
    generative: bool = True

    def report(self, **options: Any) -> ControlReport:
        """Return :func:`braindec.evaluate.control_report.control_report` of these rows; ``options`` are passed on."""
        given = {
            "ids": self.ids, "labels": self.labels, "train": self.train, "notes": self.notes, "findings": self.findings,
            "exchange": self.folds, "generative": self.generative,
        }  # fmt: skip
        return control_report(self.made, self.true, **{**given, **options})

    @staticmethod
    def concat(parts: Mapping[Any, ControlRows]) -> ControlRows:
        """Join the rows of folds, given by the name of the fold; rows that a fold does not have are left out, with a note.

        Raises
        ------
        BraindecError
            If there are none, or folds differ in the size of pictures.
        """
        if not parts:
            raise BraindecError("there are no rows of folds to join")
        each = list(parts.values())
        if len({p.true.shape[1:] for p in each}) > 1:
            raise BraindecError(
                "folds differ in the size of pictures", found=", ".join(str(p.true.shape[1:]) for p in each)
            )
        notes = {row: text for p in each for row, text in p.notes.items()}
        rows = [r for r in each[0].made if all(r in p.made for p in each)]
        for row in {r for p in each for r in p.made} - set(rows):
            notes.setdefault(row, "not in every fold")
        fewest = {r: min(len(p.made[r]) for p in each) for r in rows}
        labels = None if any(p.labels is None for p in each) else np.concatenate([p.labels for p in each])
        order = ("skip", "pass", "warn", "fail")
        worst: dict[str, Finding] = {}
        for found in (f for p in each for f in p.findings):
            if found.check not in worst or order.index(found.level) > order.index(worst[found.check].level):
                worst[found.check] = found
        return ControlRows(
            {r: np.concatenate([p.made[r][: fewest[r]] for p in each], axis=1) for r in rows}, np.concatenate([p.true for p in each]),
            np.concatenate([p.ids for p in each]), labels, None if each[0].train is None else {str(k): p.train for k, p in parts.items()},
            notes, list(worst.values()), np.concatenate([np.full(len(p.ids), str(k), dtype=object) for k, p in parts.items()]), each[0].generative,
        )  # fmt: skip


def control_rows(
    decoder: PictureDecoder,
    train: Windows,
    test: Windows,
    pictures: Pictures | None,
    features: Features | None = None,
    *,
    rows: Sequence[str] = ALL,
    seeds: int | Sequence[int] = 5,
    seed: int = 0,
    ridge: PictureDecoder | None = None,
    nearest: PictureDecoder | None = None,
    truth: Callable[[Sequence[str]], Any] | None = None,
    sampling: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    inductive: bool = True,
) -> ControlRows:
    """Make decoded pictures and every row that stands beside them, with rows of its parts where a decoder has ``ablations``.

    Parameters
    ----------
    decoder : PictureDecoder
        Fitted on ``train``.
    train, test : Windows
        Training and test windows with ``stimulus_id``; ``concept_id`` for the category oracle.
    pictures : Pictures
        What was shown, training and test stimuli; None with ``truth``.
    features : Features, optional
        For decoders whose true features are an embedding.
    rows : sequence of str
        Which of :data:`ALL`; "decoded" is always made.
    seeds : int or sequence of int
        How many samples (seeds ``seed``, ``seed + 1``, ...), or which. A decoder without randomness makes one; shuffled and noise
        recordings differ from seed to seed.
    seed : int
        Also of shuffles, noise recordings and random training pictures.
    ridge, nearest : PictureDecoder, optional
        Fitted decoders of these rows; by default ``picture_ridge`` fitted on ``train``, and the training picture whose pixels
        correlate most with what it predicts.
    truth : callable, optional
        ``truth(stimulus_ids) -> array or list (n, ...)``: what was shown, for decoders that make something else than pictures
        (captions). The rows ridge and nearest_training are then left out unless they are given.
    sampling : mapping, optional
        Passed to ``generate`` (``num_inference_steps``, ``guidance_scale``, ...).
    folder : str or Path, optional
        Rows are written there (``<row>.u8``, memory-mapped) seed by seed, for films that do not fit into memory.
    inductive : bool
        Run :func:`inductive_finding` on some of the test windows.

    Returns
    -------
    ControlRows

    Raises
    ------
    BraindecError
        If a row has no such name, a stimulus has no picture, or there are fewer than two stimuli in the test.
    """
    unknown = [r for r in rows if r not in ALL]
    if unknown:
        raise BraindecError(f"there is no row {unknown[0]!r}{did_you_mean(unknown[0], ALL)}", allowed=", ".join(ALL))
    if pictures is None and truth is None:
        raise BraindecError("control rows need what was shown", fix="pictures=..., or truth=function of stimulus ids")
    numbers = list(range(seed, seed + seeds)) if isinstance(seeds, int) else [int(s) for s in seeds]
    if not numbers:
        raise BraindecError("control rows need at least one seed", found=repr(seeds))
    maker = RowMaker(
        decoder, train, test, pictures, features, numbers, ridge, nearest, truth, dict(sampling or {}), seed
    )
    wanted = [r for r in ALL if r in rows or r == "decoded"]
    made: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    with tqdm(wanted, desc="control rows", disable=None) as bar:
        for row in bar:
            bar.set_postfix_str(row)
            try:
                made[row] = kept(getattr(maker, row)(), None if folder is None else Path(folder), row)
            except LeftOut as reason:
                notes[row] = str(reason)
    if hasattr(decoder, "ablations"):  # parts of the decoder that could have made the score alone, such as a class
        parts = [decoder.ablations(test, seed=s, **dict(sampling or {})) for s in numbers]
        for row in parts[0]:
            made[row] = kept((p[row] for p in parts), None if folder is None else Path(folder), row)
    found = [inductive_finding(decoder, test, sampling=sampling, seed=seed)] if inductive else []
    labels = column(test, "concept_id").astype(str) if "concept_id" in test.trials else None
    return ControlRows(made, stored(maker.true), column(test, "stimulus_id").astype(str), labels, maker.train_items, notes, found,
                       None, bool(decoder.generative))  # fmt: skip
