"""Phonemes: ARPAbet and IPA, and how each is articulated.

Source: chart of the International Phonetic Alphabet (revised to 2020); CMU Pronouncing Dictionary for ARPAbet.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["ALPHABETS", "FEATURES", "features_of", "symbol_of"]

_MANNERS = {"P": "plosive", "A": "affricate", "F": "fricative", "N": "nasal", "T": "trill_tap", "L": "lateral", "G": "approximant"}  # fmt: skip
_PLACES = {"l": "labial", "f": "labiodental", "d": "dental", "a": "alveolar", "s": "postalveolar", "r": "retroflex", "j": "palatal",
           "v": "velar", "u": "uvular", "h": "glottal"}  # fmt: skip
_VOWEL = {"h": "high", "m": "mid", "l": "low", "f": "front", "c": "central", "b": "back", "r": "rounded", "t": "tense"}

# manner, place(s), + for voiced; pharyngeals are counted with glottals
_CONSONANTS = {
    "p": "Pl", "b": "Pl+", "t": "Pa", "d": "Pa+", "ʈ": "Pr", "ɖ": "Pr+", "c": "Pj", "ɟ": "Pj+", "k": "Pv", "ɡ": "Pv+", "q": "Pu", "ɢ": "Pu+",
    "ʔ": "Ph", "m": "Nl+", "ɱ": "Nf+", "n": "Na+", "ɳ": "Nr+", "ɲ": "Nj+", "ŋ": "Nv+", "ɴ": "Nu+", "r": "Ta+", "ɾ": "Ta+", "ʀ": "Tu+",
    "ɽ": "Tr+", "ɸ": "Fl", "β": "Fl+", "f": "Ff", "v": "Ff+", "θ": "Fd", "ð": "Fd+", "s": "Fa", "z": "Fa+", "ʃ": "Fs", "ʒ": "Fs+", "ʂ": "Fr",
    "ʐ": "Fr+", "ɕ": "Fj", "ʑ": "Fj+", "ç": "Fj", "ʝ": "Fj+", "x": "Fv", "ɣ": "Fv+", "χ": "Fu", "ʁ": "Fu+", "ħ": "Fh", "ʕ": "Fh+", "h": "Fh",
    "ɦ": "Fh+", "ʋ": "Gf+", "ɹ": "Ga+", "ɻ": "Gr+", "j": "Gj+", "ɥ": "Gjl+", "ɰ": "Gv+", "w": "Glv+", "ʍ": "Flv", "l": "La+", "ɭ": "Lr+", "ʎ": "Lj+",
    "ʟ": "Lv+", "tʃ": "As", "dʒ": "As+", "ts": "Aa", "dz": "Aa+", "tɕ": "Aj", "dʑ": "Aj+", "pf": "Af",
}  # fmt: skip
# height, backness, r rounded, t tense; a diphthong takes those of both its parts
_VOWELS = {
    "i": "hft", "y": "hfrt", "ɨ": "hc", "ʉ": "hcr", "ɯ": "hbt", "u": "hbrt", "ɪ": "hf", "ʏ": "hfr", "ʊ": "hbr", "e": "mft", "ø": "mfrt",
    "ɘ": "mc", "ɵ": "mcr", "ɤ": "mbt", "o": "mbrt", "ə": "mc", "ɛ": "mf", "œ": "mfr", "ɜ": "mc", "ɝ": "mcr", "ɚ": "mcr", "ɞ": "mcr", "ʌ": "mb",
    "ɔ": "mbr", "æ": "lf", "ɐ": "lc", "a": "lf", "ɶ": "lfr", "ɑ": "lbt", "ɒ": "lbr",
}  # fmt: skip
_ARPABET = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "EH": "ɛ", "ER": "ɝ",
    "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "OW": "oʊ",
    "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z",
    "ZH": "ʒ",
}  # fmt: skip
_SAME = {"g": "ɡ", "ʧ": "tʃ", "ʤ": "dʒ", "ʦ": "ts", "ʣ": "dz", "ɫ": "l", "ʱ": "", "ʰ": ""}
_MARKS = re.compile("[ˈˌːˑ.\u0361\u035c\u200d ]")
_DIPHTHONGS = ("aɪ", "aʊ", "eɪ", "oʊ", "əʊ", "ɔɪ", "ɪə", "eə", "ʊə", "ɛi", "œy", "ʌu", "ɔy")

FEATURES = (
    "vowel", "consonant", "voiced", *_MANNERS.values(), *_PLACES.values(), *_VOWEL.values(), "diphthong",
)  # fmt: skip
ALPHABETS: dict[str, tuple[str, ...]] = {"arpabet": tuple(_ARPABET), "ipa": (*_VOWELS, *_DIPHTHONGS, *_CONSONANTS)}


def symbol_of(label: str, alphabet: str) -> str | None:
    """Return the symbol that a label stands for, without stress, length and place in the word; None if there is none."""
    if alphabet == "arpabet":
        bare = re.sub(r"(_[BIES])?$", "", label.strip())
        bare = re.sub(r"\d$", "", bare).upper()
        return bare if bare in _ARPABET else None
    bare = _MARKS.sub("", unicodedata.normalize("NFD", label.strip()))
    bare = unicodedata.normalize("NFC", bare)
    bare = "".join(_SAME.get(sign, sign) for sign in bare)
    if bare not in ALPHABETS["ipa"]:  # marks such as nasal or dental do not make another symbol
        bare = "".join(s for s in unicodedata.normalize("NFD", bare) if unicodedata.category(s) != "Mn")
    return bare if bare in ALPHABETS["ipa"] else None


def features_of(symbol: str, alphabet: str) -> tuple[str, ...]:
    """Return the names of the features of a symbol of an alphabet, in order of :data:`FEATURES`."""
    symbol = _ARPABET[symbol] if alphabet == "arpabet" else symbol
    if symbol in _CONSONANTS:
        code = _CONSONANTS[symbol]
        found = {"consonant", _MANNERS[code[0]], *(_PLACES[c] for c in code[1:] if c != "+")}
        found |= {"voiced"} if "+" in code else set()
    else:
        found = {"vowel", "voiced", *(_VOWEL[c] for part in symbol for c in _VOWELS[part])}
        found |= {"diphthong"} if len(symbol) > 1 else set()
    return tuple(f for f in FEATURES if f in found)
