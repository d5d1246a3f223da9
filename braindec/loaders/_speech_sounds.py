"""Sounds of made-up speech: phonemes from spelling, and a formant synthesiser just good enough that mel spectra differ.

Vowels and voiced sounds are harmonics of a pitch under the resonances of their formants, fricatives and bursts are band-passed noise.
Source: formants of American English vowels after Peterson & Barney 1952, table II (men), rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

__all__ = ["CLASSES", "LONGEST", "PHONEMES", "SOUND_RATE", "class_of", "phonemes_of", "speak"]

SOUND_RATE = 16000  # Hz
CLASSES = ("vowel", "plosive", "fricative", "nasal", "approximant")
LONGEST = 0.30  # s of a phoneme
_PITCHES = (98.0, 106.0, 115.0, 124.0, 134.0)  # Hz


@dataclass(frozen=True)
class _Phoneme:
    """How a phoneme sounds: its class, usual length (s), formants (Hz) of the voice, band of noise (Hz), level."""

    kind: str
    length: float
    formants: tuple[float, ...] = ()
    noise: tuple[float, float] | None = None
    level: float = 1.0


def _vowel(f1: float, f2: float, f3: float, length: float) -> _Phoneme:
    return _Phoneme("vowel", length, (f1, f2, f3), None, 1.0)


PHONEMES: dict[str, _Phoneme] = {
    "AA": _vowel(730, 1090, 2440, 0.13), "AE": _vowel(660, 1720, 2410, 0.12), "AH": _vowel(640, 1190, 2390, 0.08),
    "EH": _vowel(530, 1840, 2480, 0.10), "IH": _vowel(390, 1990, 2550, 0.08), "IY": _vowel(270, 2290, 3010, 0.13),
    "AO": _vowel(570, 840, 2410, 0.12), "UW": _vowel(300, 870, 2240, 0.13), "ER": _vowel(490, 1350, 1690, 0.13),
    "OW": _vowel(450, 1000, 2300, 0.14), "EY": _vowel(440, 2150, 2700, 0.14), "AW": _vowel(700, 1250, 2500, 0.15),
    "P": _Phoneme("plosive", 0.07, (), (300, 1200), 0.5), "T": _Phoneme("plosive", 0.07, (), (3500, 7000), 0.6),
    "K": _Phoneme("plosive", 0.08, (), (1400, 2600), 0.6), "B": _Phoneme("plosive", 0.06, (250, 900), (300, 900), 0.5),
    "D": _Phoneme("plosive", 0.06, (250, 1700), (3000, 5000), 0.5), "G": _Phoneme("plosive", 0.06, (250, 1500), (1300, 2200), 0.5),
    "CH": _Phoneme("plosive", 0.10, (), (2200, 5500), 0.6), "JH": _Phoneme("plosive", 0.08, (280, 1900), (2000, 4500), 0.5),
    "F": _Phoneme("fricative", 0.09, (), (1500, 7500), 0.25), "V": _Phoneme("fricative", 0.06, (220, 1100), (1500, 7000), 0.25),
    "TH": _Phoneme("fricative", 0.08, (), (5000, 7800), 0.25), "S": _Phoneme("fricative", 0.11, (), (4500, 7600), 0.6),
    "Z": _Phoneme("fricative", 0.08, (220, 1500), (4500, 7600), 0.4), "SH": _Phoneme("fricative", 0.11, (), (2000, 5000), 0.6),
    "HH": _Phoneme("fricative", 0.06, (), (600, 3000), 0.3),
    "M": _Phoneme("nasal", 0.08, (250, 1000, 2200), None, 0.6), "N": _Phoneme("nasal", 0.07, (250, 1450, 2300), None, 0.6),
    "NG": _Phoneme("nasal", 0.08, (250, 1900, 2700), None, 0.6),
    "L": _Phoneme("approximant", 0.07, (360, 1100, 2600), None, 0.8), "R": _Phoneme("approximant", 0.07, (320, 1200, 1550), None, 0.8),
    "W": _Phoneme("approximant", 0.07, (290, 650, 2150), None, 0.8), "Y": _Phoneme("approximant", 0.06, (270, 2200, 3000), None, 0.8),
}  # fmt: skip

# spellings, the longest first; a rough reading of English that always gives the same phonemes to a word
_SPELLINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("tch", ("CH",)), ("igh", ("AA", "IY")), ("ch", ("CH",)), ("sh", ("SH",)), ("th", ("TH",)), ("ph", ("F",)), ("ng", ("NG",)),
    ("ck", ("K",)), ("wh", ("W",)), ("qu", ("K", "W")), ("ee", ("IY",)), ("ea", ("IY",)), ("oo", ("UW",)), ("ou", ("AW",)), ("ow", ("OW",)),
    ("ai", ("EY",)), ("ay", ("EY",)), ("oa", ("OW",)), ("er", ("ER",)), ("ir", ("ER",)), ("ur", ("ER",)), ("or", ("AO", "R")),
    ("ar", ("AA", "R")), ("au", ("AO",)), ("aw", ("AO",)), ("a", ("AE",)), ("b", ("B",)), ("c", ("K",)), ("d", ("D",)), ("e", ("EH",)),
    ("f", ("F",)), ("g", ("G",)), ("h", ("HH",)), ("i", ("IH",)), ("j", ("JH",)), ("k", ("K",)), ("l", ("L",)), ("m", ("M",)), ("n", ("N",)),
    ("o", ("AO",)), ("p", ("P",)), ("r", ("R",)), ("s", ("S",)), ("t", ("T",)), ("u", ("AH",)), ("v", ("V",)), ("w", ("W",)),
    ("x", ("K", "S")), ("y", ("IY",)), ("z", ("Z",)),
)  # fmt: skip


def phonemes_of(word: str) -> list[str]:
    """Return the phonemes of a word as its spelling suggests; doubled letters count once, a final e is not said."""
    letters = "".join(c for c in word.lower() if c.isascii() and c.isalpha())
    if len(letters) > 3 and letters.endswith("e") and letters[-2] not in "aeiou":
        letters = letters[:-1]
    found: list[str] = []
    place = 0
    while place < len(letters):
        spelling, sounds = next((s, p) for s, p in _SPELLINGS if letters.startswith(s, place))
        if not (len(spelling) == 1 and place and letters[place - 1] == spelling):
            found += sounds
        place += len(spelling)
    return found or ["AH"]


def class_of(phoneme: str) -> str:
    """Return the class of a phoneme, one of :data:`CLASSES`."""
    return PHONEMES[phoneme].kind


def speak(
    phonemes: Sequence[str], starts: np.ndarray, lengths: np.ndarray, n_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the sound of phonemes at given times.

    Parameters
    ----------
    phonemes : sequence of str
    starts, lengths : array of shape (n_phonemes,)
        In samples; lengths are at most 0.3 s.
    n_samples : int
        Of the whole sound.
    rng : Generator
        Draws pitches and levels.

    Returns
    -------
    array of shape (n_samples,)
        float32, peak 0.7, with a little noise so that no stretch is quite silent.
    """
    sound = rng.normal(0, 1e-4, n_samples).astype(np.float32)
    pitches = rng.integers(len(_PITCHES), size=len(phonemes))
    levels = rng.uniform(0.8, 1.2, len(phonemes)).astype(np.float32)
    clips = _clips()
    for name, start, length, pitch, level in zip(phonemes, starts, lengths, pitches, levels, strict=True):
        piece = clips[name, int(pitch)][: int(length)]
        sound[start : start + len(piece)] += level * piece * _ramp(len(piece))
    return sound * np.float32(0.7 / max(1e-9, np.abs(sound).max()))


@lru_cache(maxsize=1)
def _clips() -> dict[tuple[str, int], np.ndarray]:
    """The longest version of every phoneme at every pitch; the voice is the same for all stories."""
    rng = np.random.default_rng(0)
    n = round(LONGEST * SOUND_RATE)
    times, hertz = np.arange(n) / SOUND_RATE, np.fft.rfftfreq(n, 1 / SOUND_RATE)
    hiss = {name: _hiss(p.noise, hertz, rng) for name, p in PHONEMES.items() if p.noise}
    clips: dict[tuple[str, int], np.ndarray] = {}
    for k, pitch in enumerate(_PITCHES):
        harmonics = pitch * np.arange(1, int(4500 / pitch))
        waves = np.sin(2 * np.pi * (harmonics[:, None] * times + rng.uniform(size=(len(harmonics), 1))))
        for name, p in PHONEMES.items():
            sound = np.zeros(n)
            if p.formants:
                peaks = [0.6**i / (1 + ((harmonics - f) / (60 + 0.05 * f)) ** 2) for i, f in enumerate(p.formants)]
                voice = (np.sum(peaks, axis=0) / np.sqrt(harmonics / pitch)) @ waves
                sound = voice / np.sqrt(np.mean(voice**2))
            if p.noise:
                sound = 0.5 * sound + hiss[name]
            if p.kind == "plosive":  # a closure, then a burst that dies away
                sound *= np.where(times < 0.025, 0.02, np.exp(-(times - 0.025) / 0.03))
            clips[name, k] = (0.2 * p.level * sound).astype(np.float32)
    return clips


def _hiss(band: tuple[float, float], hertz: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise in a band, of unit variance."""
    n = 2 * (len(hertz) - 1)
    edges = 1 / ((1 + np.exp(-(hertz - band[0]) / 80)) * (1 + np.exp((hertz - band[1]) / 80)))
    hiss = np.fft.irfft(np.fft.rfft(rng.normal(size=n)) * edges, n)
    return hiss / np.sqrt(np.mean(hiss**2))


def _ramp(n: int) -> np.ndarray:
    """10 ms up, 10 ms down."""
    edge = min(SOUND_RATE // 100, max(1, n // 3))
    shape = np.ones(n, dtype=np.float32)
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)).astype(np.float32)
    shape[:edge] = rise
    shape[n - edge :] = rise[::-1]
    return shape
