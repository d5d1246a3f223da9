"""phonemes: which phoneme sounds when, one unit a phoneme, or one an articulatory feature.

Source: chart of the International Phonetic Alphabet (revised to 2020) for place, manner and voice of consonants and height, backness
and rounding of vowels; CMU Pronouncing Dictionary for ARPAbet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._phonetics import ALPHABETS, FEATURES, features_of, symbol_of
from braindec.loaders._stimulus_events import of_kind, spans
from braindec.loaders.stimulus_series import hash_of, make_series, stretches
from braindec.stats.asked import number
from braindec.types import Recording

__all__ = ["phonemes"]


def phonemes(
    events: pd.DataFrame, *, duration: float, sfreq: float = 100.0, coding: str = "one_hot", alphabet: str = "arpabet",
    labels: Sequence[str] | None = None, at: str = "span", unknown: str = "raise", audio: str | None = None, blocks: Any = None,
) -> Recording:  # fmt: skip
    """Make a series of the phonemes of one sound.

    Parameters
    ----------
    events : DataFrame
        The standard table (:mod:`braindec.loaders.speech_events`): rows of ``trial_type`` phoneme, ``audio_onset`` in s of
        the sound, ``duration``, and the label in ``text``.
    duration : float
        Of the sound, s.
    sfreq : float
        Samples of the series a second, Hz.
    coding : {"one_hot", "features"}
        One unit a phoneme of the alphabet, or one a feature of articulation (voiced, plosive, labial, high, front, ...).
    alphabet : {"arpabet", "ipa"}
        Of the labels. Case, stress (``AH0``) and places in the word (``ae_B``) of ARPAbet do not count, nor do marks of
        length and stress of IPA.
    labels : sequence of str, optional
        An alphabet of your own, for "one_hot": labels are taken as they are.
    at : {"span", "onset"}
        1 for as long as the phoneme lasts, or at the sample nearest to its onset.
    unknown : {"raise", "drop"}
        What happens to labels that the alphabet does not have; dropped ones are counted in ``info["warnings"]``.
    audio : str, optional
        The sound, where the table has several.
    blocks : DataFrame or sequence of (start, stop), optional
        A span ends where its block ends (s).

    Raises
    ------
    BraindecError
        If there are no phonemes, a label is unknown, or one lies beyond the sound.
    """
    sfreq = number(sfreq, "sfreq", least=0, ends=False, unit="Hz")
    for what, value, allowed in (("coding", coding, ("one_hot", "features")), ("alphabet", alphabet, tuple(ALPHABETS)),
                                 ("unknown", unknown, ("raise", "drop"))):  # fmt: skip
        if value not in allowed:
            raise BraindecError(f"{what}={value!r} is unknown{did_you_mean(str(value), allowed)}", allowed=", ".join(allowed))  # fmt: skip
    if labels is not None and (coding != "one_hot" or len(set(labels)) < max(1, len(list(labels)))):
        raise BraindecError("labels of your own are different, and go with coding='one_hot'", found=f"coding={coding!r}, labels={list(labels)[:5]}")  # fmt: skip
    table, name = of_kind(events, "phoneme", audio)
    texts = table["text"].astype(str)
    known = {t: (t if t in set(labels) else None) if labels is not None else symbol_of(t, alphabet) for t in set(texts)}
    symbols = texts.map(known)
    warnings = _refuse_unknown(texts, symbols, unknown, list(labels) if labels is not None else ALPHABETS[alphabet])
    table, symbols = table[symbols.notna()].reset_index(drop=True), symbols[symbols.notna()].tolist()
    units = list(FEATURES) if coding == "features" else list(labels if labels is not None else ALPHABETS[alphabet])
    place = {unit: k for k, unit in enumerate(units)}
    parts = stretches(blocks, number(duration, "duration", least=0, ends=False, unit="s"), sfreq=sfreq, name=name)
    first, last = spans(table, parts, sfreq=sfreq, duration=duration, at=at)
    series = np.zeros((len(units), parts[-1].last), dtype=np.float32)
    for symbol, begin, end in zip(symbols, first, last, strict=True):
        active = features_of(symbol, alphabet) if coding == "features" else (symbol,)
        series[[place[a] for a in active], begin:end] = 1.0
    return make_series(series, sfreq, units, feature="phonemes", stimulus=name, content=hash_of(series), warnings=warnings,
                       settings={"coding": coding, "alphabet": None if labels is not None else alphabet, "at": at, "n_phonemes": len(table),
                                 "n_blocks": len(parts)})  # fmt: skip


def _refuse_unknown(texts: pd.Series, symbols: pd.Series, unknown: str, alphabet: Sequence[str]) -> list[str]:
    """What was left out, as sentences; BraindecError unless labels may be dropped."""
    strange = texts[symbols.isna()]
    if not len(strange):
        return []
    kinds = ", ".join(f"{label!r} ({n} times)" for label, n in strange.value_counts().head(6).items())
    if unknown == "raise" or len(strange) == len(texts):
        raise BraindecError(f"{len(strange)} of {len(texts)} phonemes are not in the alphabet{did_you_mean(strange.iloc[0], alphabet)}", found=kinds,
                            allowed=", ".join(list(alphabet)[:60]), fix="name the alphabet, give labels of your own, or say unknown='drop'")  # fmt: skip
    return [f"{len(strange)} of {len(texts)} phonemes are not in the alphabet and are left out: {kinds}"]
