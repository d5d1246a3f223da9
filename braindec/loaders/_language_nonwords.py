"""Words that are none: letter triples as in the vocabulary, exact lengths; and made-up languages with sounds of their own."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError
from braindec.loaders._language_words import words_of

__all__ = ["Language", "Nonwords", "make_language"]

_REAL = frozenset(
    "a i am an as at be by do go he hi if in is it me my no of on or so to up us we all and any are ask bad bag bed big bit but buy can "
    "cat cow cry cup cut day did die dog dry ear eat egg end eye far few fly for fun gas get god got gun had has hat her him his hit hot "
    "how ice ill its job joy key kid law lay leg let lie lot low mad man map may men mix mud net new nor not now nut odd off oil old one "
    "our out own pay pen per pet pie pig pit pot put raw red rid row rub run sad say sea see set sex she shy sin sir sit six sky son sun "
    "tea ten the tie tip toe too top toy try two use van war was way wet who why win yes yet you able also away back ball bank bear beat "
    "been best bird blow blue boat body bone book born both call calm came care case cell city clay coat cold come cook cool corn cost "
    "date dead deal dear deep deer does done door down draw drew drop dust each east easy edge even ever face fact fair fall farm fast "
    "fear feel feet fell felt file fill film find fine fire fish five flat flow food foot form four free from full game gate gave girl "
    "give glad goal goat gold gone good gray grew grow hair half hall hand hang hard hate have head hear heat held hell help here hide "
    "high hill hold hole home hope hour huge hung hunt idea into iron join jump just keep kept kill kind king knew know lack lady laid "
    "lake lamb lamp land last late lead left less life lift like line lion list live long look lose loss lost loud love luck made mail "
    "main make male many mark meal mean meat meet mile milk mind mine miss moon more most move much must name near neck need nest news "
    "next nice nine none nose note once only onto open oven over pace pack page paid pain pair park part past path pick pile pine pink "
    "pipe plan play poem poet pole pond pool poor port pour pull pure push race rain read real rear rent rest rice rich ride ring rise "
    "road rock role roof room root rope rose rule rush safe said sail sale salt same sand save seat seed seek seem seen self sell send "
    "sent ship shoe shop shot show shut sick side sign silk sing sink site size skin slow snow soap soft soil sold sole some song soon "
    "sort soul soup star stay stem step stop such suit sure swim tail take tale talk tall tank task team tear tell term test than that "
    "them then they thin this thus tide time tiny told tone took tool torn tour town tree trip true tube turn twin type unit upon used "
    "vary vast very view vote wage wait wake walk wall want warm wash wave ways weak wear week well went were west what when whom wide "
    "wife wild will wind wine wing wire wise wish with wood wool word wore work worn yard yeah year your zero".split()
)  # short English words that a draw of letters would hit


class Nonwords:
    """Draws strings of a given length whose letter triples, first and last pairs occur in the vocabulary, but which are no word of it."""

    def __init__(self) -> None:
        self.words = frozenset(words_of()) | _REAL
        self.next: dict[str, list[str]] = defaultdict(list)
        self.last: set[str] = set()
        for word in sorted(w for w in words_of() if len(w) > 2):
            padded = f"^^{word}"
            for k in range(2, len(padded)):
                self.next[padded[k - 2 : k]].append(padded[k])
            self.last.add(word[-2:])

    def draw(self, length: int, rng: np.random.Generator) -> str:
        """Return one of ``length`` letters.

        Raises
        ------
        BraindecError
            If the length is below 1.
        """
        if length < 1:
            raise BraindecError("a non-word needs a letter", found=str(length))
        if length == 1:
            return "eouy"[int(rng.integers(4))]
        for _ in range(400):
            text = "^^"
            while len(text) < length + 2 and self.next.get(text[-2:]):
                options = self.next[text[-2:]]
                text += options[int(rng.integers(len(options)))]
            made = text[2:]
            vowels = sum(letter in "aeiouy" for letter in made)
            fits = len(made) == length and (length == 2 or made[-2:] in self.last) and 0 < vowels < length
            if fits and made not in self.words:
                return made
        return self._plain(length, rng)

    def _plain(self, length: int, rng: np.random.Generator) -> str:
        """Consonant and vowel in turn: always there, for lengths that triples do not reach."""
        while True:
            starts = int(rng.integers(2))
            pairs = ("bdfgklmnprstvz", "aeiou")
            made = "".join(
                pairs[(k + starts) % 2][int(rng.integers(len(pairs[(k + starts) % 2])))] for k in range(length)
            )
            if made not in self.words:
                return made


@dataclass(frozen=True)
class Language:
    """A made-up language: its letters, a lexicon (meaning number -> word) and the order of subject, verb and object."""

    name: str
    letters: str
    lexicon: tuple[str, ...]
    order: str


# (consonants, vowels) of the alphabets; latin ones differ in their letters, so that their words do too
_ALPHABETS = (
    ("ptkmnlsrw", "aiu"),
    ("бвгджзклмнпрст", "аоуие"),
    ("bdgvzjfhc", "eoy"),
    ("βγδζθκλμνπρστφχ", "αεηιου"),
    ("ბგდვზთკლმნპრს", "აეიოუ"),
    ("qxhtkcnmy", "aeui"),
    ("բգդզթլկմնպսվտ", "աեիոու"),
    ("bprtdgñlš", "aäoö"),
)
_SHAPES = (("cv", "cvc"), ("cvc", "ccv", "vc"), ("cvcv", "vcv"), ("vc", "cvc"), ("ccv", "cv"), ("cv", "v", "cvc"))
_ORDERS = ("svo", "sov", "vso", "osv", "vos", "ovs")


def make_language(number: int, *, n_meanings: int, seed: int) -> Language:
    """Draw a language; the number decides on alphabet, syllables and word order, the seed on the words."""
    rng = np.random.default_rng([seed, 71, number])
    consonants, vowels = _ALPHABETS[number % len(_ALPHABETS)]
    turn = number // len(_ALPHABETS)
    if turn:  # an alphabet that is used again keeps other letters
        keep = sorted(rng.permutation(len(consonants))[: max(5, len(consonants) - 3)])
        consonants = "".join(consonants[k] for k in keep)
    shapes = _SHAPES[(number + turn) % len(_SHAPES)]
    lexicon: dict[str, None] = {}
    while len(lexicon) < n_meanings:
        syllables = [shapes[int(rng.integers(len(shapes)))] for _ in range(int(rng.integers(1, 4)))]
        word = "".join(
            (consonants if sound == "c" else vowels)[int(rng.integers(len(consonants if sound == "c" else vowels)))]
            for sound in "".join(syllables)
        )
        if len(word) > 1:
            lexicon[word] = None
    return Language(f"language-{number + 1}", consonants + vowels, tuple(lexicon), _ORDERS[number % len(_ORDERS)])
