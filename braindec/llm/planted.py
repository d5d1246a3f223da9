"""A transformer whose weights were set by hand, so that the truth about its units is known.

The architecture is GPT-2's; blocks, layer norms, heads and neurons are used as they are. Words have classes, sentences
repeat a grammar (adjective noun verb adverb), and every word of the lists is one token. What each part does:

* head 0 of layer 0 attends to the previous word and copies its class;
* *detectors*, neurons of layer 0, fire where a class follows the class that it should follow;
* *language units*, neurons of layers 1 and 2, fire at every word in such a context, each a little more for some classes:
  the class of the next word is written by them together, and by nothing else;
* *sentence units* fire in the first half of each sentence, *phrase units* at the end of each phrase: once a sentence
  (without its even harmonics) and twice;
* all other neurons and heads are random: they respond to which word it is, and where it stands, never to its class.

Sentences therefore drive detectors, language and tagged units more than made-up words do (all of them single tokens, so
that both kinds of stimuli have the same number of tokens). Without the language units the class of the next word is at
chance; without as many random ones nothing changes.

Source: our own construction; the language network's profile (sentences above word lists above non-words) is that of
Fedorenko et al. 2010 (J Neurophysiol 104:1177), tagging at the rates of sentences and phrases that of Ding et al. 2016
(Nat Neurosci 19:158).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError
from braindec.llm._planted_words import CLASSES, GRAMMARS, NONWORDS, phrases_of
from braindec.llm.load import LanguageModel, wrap
from braindec.stats.asked import number, seed_of
from braindec.stats.asked import whole as whole_number

_END = "<|endoftext|>"
_HEAD = 16  # width of a head, and of the code of positions
# the mean of the cosines of these (radians a word) is 1 at distance 0 and below 0.6 at any other up to 1,024 words
_TURNS = np.array([0.93893125, 1.07921063, 1.36628829, 1.3770373, 1.7436448, 2.1228726, 2.51519983, 2.57938389])
_SHARP = 40.0  # height of the attention to the previous word, in logits
_N = {"detector": 8, "language": 24, "tagged": 8}  # a class; a layer; a layer and rate
_STEP = {"detector": 6.0, "language": 5.0, "tagged": 5.0}  # of the drive, from no response to one
_REST = {"detector": -3.0, "language": -2.0, "tagged": -2.0}  # the drive without a response
_BACKGROUND = 1.2  # spread of the drive of a random neuron
_LOGIT = 7.0  # of a word of the class that follows

__all__ = ["next_class", "planted_classes", "planted_model", "planted_nonwords", "planted_sentences"]


def planted_model(
    *, words_per_sentence: int = 4, n_layers: int = 4, n_units: int = 96, snr: float = 3.0, max_length: int = 512, seed: int = 0
) -> tuple[LanguageModel, dict[str, Any]]:  # fmt: skip
    """Build the model and what is true of it.

    Parameters
    ----------
    words_per_sentence : {4, 6}
    n_layers : int
        At least 4; language units are in layers 1 and 2, tagged ones in 1 to the last.
    n_units : int
        Width of the residual stream, a multiple of 16 from 64; four times as many neurons a layer.
    snr : float
        Signal-to-noise ratio of every planted unit: the step of its drive (before the non-linearity) between no response
        and a response, over the standard deviation that the identity of words adds to it.
    max_length : int
        Longest text, at most 1,024 tokens.
    seed : int

    Returns
    -------
    model : LanguageModel
    truth : dict
        ``language``, ``detector``, ``tagged_sentence``, ``tagged_phrase``, ``selective`` (all of them: more for sentences
        than for non-words): tables (model, layer, site "mlp_act", index); ``classes``: word -> class; ``grammar``: classes
        in order; ``phrases``: (start, stop) of each; ``chance``: of the next class; ``snr``.

    Raises
    ------
    BraindecError
        For sizes that the construction does not fit.
    """
    for name, value in (("n_layers", n_layers), ("n_units", n_units), ("max_length", max_length)):
        whole_number(value, name)
    number(snr, "snr")
    if (
        words_per_sentence not in GRAMMARS
        or n_layers < 4
        or n_units < 64
        or n_units % _HEAD
        or not 2 <= max_length <= 1024
        or snr <= 0
    ):
        raise BraindecError(
            "a planted model of these sizes cannot be built",
            found=f"words_per_sentence={words_per_sentence}, n_layers={n_layers}, n_units={n_units}, max_length={max_length}, snr={snr}",
            allowed="4 or 6 words, 4 layers or more, 64, 80, 96, ... units, 2 to 1024 tokens, snr above 0",
        )  # fmt: skip
    seed_of(seed)
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = _tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=max_length, n_embd=n_units, n_layer=n_layers, n_head=n_units // _HEAD,
        activation_function="gelu_new", tie_word_embeddings=False, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config).eval().requires_grad_(False)
    builder = _Builder(model, tokenizer, GRAMMARS[words_per_sentence], snr, np.random.default_rng(seed))
    builder.build()
    name = f"planted-{words_per_sentence}x{n_layers}x{n_units}"
    units = {k: _table(name, rows) for k, rows in builder.planted.items()}
    units["selective"] = pd.concat(list(units.values()), ignore_index=True)
    grammar = GRAMMARS[words_per_sentence]
    truth = {
        **units, "classes": planted_classes(words_per_sentence=words_per_sentence), "grammar": grammar,
        "phrases": phrases_of(words_per_sentence), "chance": 1 / len(grammar), "snr": float(snr),
    }  # fmt: skip
    return wrap(model, tokenizer=tokenizer, name=name), truth


def planted_classes(*, words_per_sentence: int = 4) -> dict[str, str]:
    """Return the class of each word of the grammar."""
    return {w: c for c in GRAMMARS[words_per_sentence] for w in CLASSES[c]}


def planted_sentences(
    n: int, seed: int = 0, *, n_words: int = 12, words_per_sentence: int = 4, whole: bool = False
) -> list[str]:  # fmt: skip
    """Return ``n`` texts of the grammar, words drawn at random within their classes.

    Parameters
    ----------
    n, seed : int
    n_words : int
        Words a text; a text longer than a sentence holds several.
    words_per_sentence : {4, 6}
    whole : bool
        Start each text at the start of a sentence. Otherwise it starts anywhere, so that the last word (which the last
        token is) is of every class alike.
    """
    whole_number(n, "n", least=1)
    rng, grammar = np.random.default_rng([seed_of(seed), 0]), GRAMMARS[words_per_sentence]
    texts = []
    for _ in range(n):
        start = 0 if whole else int(rng.integers(len(grammar)))
        texts.append(" ".join(str(rng.choice(CLASSES[grammar[(start + i) % len(grammar)]])) for i in range(n_words)))
    return texts


def planted_nonwords(n: int, seed: int = 0, *, n_words: int = 12) -> list[str]:
    """Return ``n`` lists of made-up words, each one token."""
    whole_number(n, "n", least=1)
    rng = np.random.default_rng([seed_of(seed), 1])
    return [" ".join(map(str, rng.choice(NONWORDS, n_words))) for _ in range(n)]


def next_class(
    model: LanguageModel, texts: Sequence[str], *, words_per_sentence: int = 4, batch_size: int = 64
) -> pd.DataFrame:  # fmt: skip
    """Predict the class of the next word at every word but the first (which has no context) and the last.

    Parameters
    ----------
    model : LanguageModel
        Any; each word of the lists counts with the probability of its first token.
    texts : sequence of str
        Texts of :func:`planted_sentences`.

    Returns
    -------
    DataFrame
        One row a prediction: text, position, true, predicted, correct, surprisal (bits, of the word that follows).
    """
    classes = planted_classes(words_per_sentence=words_per_sentence)
    first = {w: model.tokenizer(" " + w, add_special_tokens=False)["input_ids"][0] for w in classes}
    names = list(GRAMMARS[words_per_sentence])
    columns = [[first[w] for w, c in classes.items() if c == name] for name in names]
    words, ids = [t.split() for t in texts], [model.tokenizer(t, add_special_tokens=False)["input_ids"] for t in texts]
    if wrong := [i for i in range(len(texts)) if len(ids[i]) != len(words[i])]:
        raise BraindecError(f"text {wrong[0]} is not one token a word for {model.name}",
                            found=f"{len(words[wrong[0]])} words, {len(ids[wrong[0]])} tokens")  # fmt: skip
    rows = []
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    for _, alike in groupby(order, key=lambda i: len(ids[i])):  # texts of one length need no padding
        mine = list(alike)
        for some in (mine[k : k + batch_size] for k in range(0, len(mine), batch_size)):
            tokens = torch.tensor([ids[i] for i in some])
            with torch.inference_mode():
                bits = torch.log_softmax(model.logits(tokens).double().cpu(), dim=-1) / np.log(2.0)
            share = torch.stack([bits[..., c].mean(dim=-1) for c in columns], dim=-1)  # of the words of each class
            guess, told = share.argmax(dim=-1).tolist(), -bits[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
            for i, own, cost in zip(some, guess, told.tolist(), strict=True):
                for k in range(1, len(words[i]) - 1):
                    right, named = classes.get(words[i][k + 1], ""), names[own[k]]
                    rows.append((i, k, right, named, right == named, cost[k]))
    rows.sort()
    return pd.DataFrame(rows, columns=["text", "position", "true", "predicted", "correct", "surprisal"])


def _tokenizer() -> Any:
    """Byte-level BPE whose merges spell the lists letter by letter: any text is covered, a listed word is one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: dict[tuple[str, str], None] = {}
    for word in [w for words in CLASSES.values() for w in words] + list(NONWORDS):
        grown = "Ġ"
        for letter in word:
            merges[grown, letter] = None
            grown += letter
            vocabulary.setdefault(grown, len(vocabulary))
    vocabulary[_END] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_END, pad_token=_END)


def _table(name: str, rows: Sequence[tuple[int, int]]) -> pd.DataFrame:
    made = pd.DataFrame(sorted(rows), columns=["layer", "index"])
    made.insert(0, "model", name)
    made.insert(2, "site", "mlp_act")
    return made


class _Builder:
    """Writes the weights, front to back; the scale of each layer norm is measured on texts before it is divided out."""

    def __init__(
        self, model: Any, tokenizer: Any, grammar: Sequence[str], snr: float, rng: np.random.Generator
    ) -> None:
        self.model, self.tokenizer, self.grammar, self.snr, self.rng = model, tokenizer, grammar, snr, rng
        self.blocks, self.width = model.transformer.h, model.config.n_embd
        n = len(grammar)
        # an orthonormal basis of what layer norms leave alone (mean 0), cut into named parts
        raw = np.concatenate([np.ones((self.width, 1)), rng.normal(size=(self.width, self.width - 1))], axis=1)
        basis = np.linalg.qr(raw)[0][:, 1:]
        # + 2: made-up words, anything else; "idle" stands where "legal" or "next" are empty: the size of the stream
        # must not tell other units what the context is
        sizes = {"word": n + 2, "before": n + 2, "legal": n, "next": n, "idle": 2, "place": _HEAD}
        ends = np.cumsum([0, *sizes.values()])
        self.part = {k: basis[:, ends[i] : ends[i + 1]] for i, k in enumerate(sizes)}
        self.part["identity"] = basis[:, ends[-1] :]
        self._dims = basis.shape[1] - int(ends[-1])
        self.size = 2.0  # of a code in the residual stream
        self.small = 0.8  # of what depends on context: little of the size of the stream, by which layer norms divide
        self.planted: dict[str, list[tuple[int, int]]] = {
            k: [] for k in ("language", "detector", "tagged_sentence", "tagged_phrase")
        }
        self.probe = torch.tensor(
            tokenizer(planted_sentences(48, 5, words_per_sentence=n), add_special_tokens=False)["input_ids"]
        )
        self.nothing = torch.tensor(tokenizer(planted_nonwords(48, 5), add_special_tokens=False)["input_ids"])

    def build(self) -> None:
        """Write all weights."""
        for parameter in self.model.parameters():
            parameter.zero_()
        for name, module in self.model.named_modules():
            if name.endswith(("ln_1", "ln_2", "ln_f")):
                module.weight.fill_(1.0)
        self._embed()
        for layer, block in enumerate(self.blocks):
            self._attend(layer, block)
            self._respond(layer, block)
        self._predict()

    def _embed(self) -> None:
        n, vocabulary = len(self.grammar), self.tokenizer.get_vocab()
        kinds = [[vocabulary["Ġ" + w] for w in CLASSES[c]] for c in self.grammar]
        kinds.append([vocabulary["Ġ" + w] for w in NONWORDS])
        listed = {i for kind in kinds for i in kind}
        kinds.append([i for i in range(len(vocabulary)) if i not in listed])
        identity = np.zeros((len(vocabulary), self.part["identity"].shape[1]))
        rows = np.zeros((len(vocabulary), n + 2))
        for kind, members in enumerate(kinds):
            codes = self.rng.normal(size=(len(members), identity.shape[1]))
            for _ in range(
                60
            ):  # of equal length, and with mean 0 in each class: which class it is cannot be read from them
                codes -= codes.mean(axis=0)
                codes /= np.linalg.norm(codes, axis=1, keepdims=True)
            identity[members], rows[members, kind] = codes, 1.0
        table = self.size * (rows @ self.part["word"].T + identity @ self.part["identity"].T)
        self.model.transformer.wte.weight.copy_(torch.tensor(table))
        angle = np.arange(self.model.config.n_positions)[:, None] * _TURNS
        place = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / np.sqrt(len(_TURNS))
        self.model.transformer.wpe.weight.copy_(torch.tensor(self.size * place @ self.part["place"].T))
        self.kinds = kinds

    def _attend(self, layer: int, block: Any) -> None:
        """Random heads, weak and looking anywhere; head 0 of layer 0 carries the class of the previous word."""
        gain, width = self._gain(block.ln_1), self.width
        weight = np.zeros((width, 3 * width))
        out = np.zeros((width, width))
        for head in range(width // _HEAD):
            own = slice(head * _HEAD, (head + 1) * _HEAD)
            if not layer and not head:
                continue
            for k in range(3):
                weight[:, k * width :][:, own] = self._random(("identity",), _HEAD) * 0.7 / (gain * self.size)
            out[own] = self._random(("identity",), _HEAD).T * 0.5 * self.size / np.sqrt(width * self._dims)
        if not layer:
            place, scale = self.part["place"], np.sqrt(_SHARP * np.sqrt(_HEAD)) / (gain * self.size)
            cos, sin = np.diag(np.cos(_TURNS)), np.diag(np.sin(_TURNS))
            back = np.block([[cos, sin], [-sin, cos]])  # the code of the place one word earlier
            weight[:, :_HEAD] = place @ back.T * scale
            weight[:, width : width + _HEAD] = place * scale
            kept = self.part["word"].shape[1]
            weight[:, 2 * width : 2 * width + kept] = self.part["word"] / gain
            out[:kept] = self.part["before"].T
        block.attn.c_attn.weight.copy_(torch.tensor(weight))
        block.attn.c_proj.weight.copy_(torch.tensor(out))

    def _respond(self, layer: int, block: Any) -> None:
        """Neurons of a layer: the planted ones at random places, all others random."""
        gain, n = self._gain(block.ln_2), len(self.grammar)
        hidden = block.mlp.c_fc.weight.shape[1]
        noise = self._random(("identity", "place"), hidden)
        noise /= (self._inputs(block.ln_2) @ noise).std(axis=0)  # a spread of 1 over the words of sentences
        weight, bias = noise * _BACKGROUND, np.full(hidden, -0.5)
        out = self._random(("identity",), hidden).T * self.size * 0.4 / np.sqrt(hidden * self._dims)
        free = iter(self.rng.permutation(hidden))
        sizes = {"word": self.size, "before": self.size, "legal": self.small}
        code = {k: self.part[k] / (gain * size) for k, size in sizes.items()}

        def plant(kind: str, what: str, reads: np.ndarray) -> int:
            unit = int(next(free))
            step = _STEP[what]
            weight[:, unit] = step * reads + noise[:, unit] * step / self.snr
            bias[unit] = _REST[what] - (step if what == "detector" else 0.0)  # a detector needs both of its classes
            out[unit] = 0.0  # others learn nothing from it but what is written below
            self.planted[kind].append((layer, unit))
            return unit

        if not layer:
            for c in range(n):
                reads = code["word"][:, c] + code["before"][:, (c - 1) % n]
                for unit in [plant("detector", "detector", reads) for _ in range(_N["detector"])]:
                    out[unit] = (
                        (self.part["legal"][:, c] - self.part["idle"][:, 0]) * self.small / (_N["detector"] * 3.0)
                    )
        elif layer in (1, 2):
            taste = self.rng.uniform(0.6, 1.4, size=(_N["language"], n))
            taste *= n / taste.sum(axis=1, keepdims=True)
            mine = [plant("language", "language", code["legal"] @ row) for row in taste]
        if layer:
            slots = np.arange(n)
            for kind, at in (("tagged_sentence", slots < n // 2), ("tagged_phrase", slots % (n // 2) == n // 2 - 1)):
                for _ in range(_N["tagged"]):
                    plant(kind, "tagged", code["legal"] @ at)
        block.mlp.c_fc.weight.copy_(torch.tensor(weight))
        block.mlp.c_fc.bias.copy_(torch.tensor(bias))
        block.mlp.c_proj.weight.copy_(torch.tensor(out))
        if layer in (1, 2):
            self._read_out(block, out, mine)
        if not layer:
            self._level(block, out)

    def _level(self, block: Any, out: np.ndarray) -> None:
        """Scale what the detectors write so that a legal word has a code of the size of all others."""
        seen, kinds = self._activity(block, self.probe), self._classes(self.probe)
        units = [u for _, u in self.planted["detector"]]
        for c in range(len(self.grammar)):
            own = units[c * _N["detector"] : (c + 1) * _N["detector"]]
            out[own] *= 3.0 / seen[kinds == c][:, own].mean()
        block.mlp.c_proj.weight.copy_(torch.tensor(out))
        block.mlp.c_proj.bias.copy_(torch.tensor(self.part["idle"][:, 0] * self.small))

    def _read_out(self, block: Any, out: np.ndarray, units: Sequence[int]) -> None:
        """Language units together write the class that comes next: the least-squares reading of their mean responses."""
        n = len(self.grammar)
        seen, kinds = self._activity(block, self.probe)[:, units], self._classes(self.probe)
        rest = self._activity(block, self.nothing)[:, units].mean(axis=0)
        means = np.stack([seen[kinds == c].mean(axis=0) - rest for c in range(n)])  # (class, unit)
        reading = np.linalg.pinv(means)  # (unit, class)
        ahead = np.roll(self.part["next"], -1, axis=1)  # class c is followed by class c + 1
        idle = self.part["idle"][:, 1]
        out[units] = reading @ (ahead.T - idle) * self.small / 2  # two layers write it
        block.mlp.c_proj.weight.copy_(torch.tensor(out))
        block.mlp.c_proj.bias.copy_(torch.tensor(idle * self.small / 2 - rest @ out[units]))

    def _predict(self) -> None:
        gain = self._gain(self.model.transformer.ln_f)
        weight = self._random(("identity",), self.model.config.vocab_size).T * 0.3 / (gain * self.size)
        for c in range(len(self.grammar)):
            weight[self.kinds[c]] += _LOGIT / (gain * self.small) * self.part["next"][:, c]
        self.model.lm_head.weight.copy_(torch.tensor(weight))

    def _random(self, parts: Sequence[str], n: int) -> np.ndarray:
        """Random directions within parts of the residual stream, (width, n), of variance 1 in a unit vector of each."""
        directions = [self.part[p] @ self.rng.normal(size=(self.part[p].shape[1], n)) for p in parts]
        return np.sum(directions, axis=0)

    def _gain(self, norm: Any) -> float:
        """What a layer norm multiplies its input by, at words of sentences."""
        values = self._before(norm, self.probe)
        return float(np.mean(1 / np.sqrt(values.var(axis=1) + norm.eps)))

    def _inputs(self, norm: Any) -> np.ndarray:
        """What a layer norm gives at words of sentences, (text * word, width)."""
        values = self._before(norm, self.probe)
        return (values - values.mean(axis=1, keepdims=True)) / np.sqrt(values.var(axis=1, keepdims=True) + norm.eps)

    def _activity(self, block: Any, tokens: torch.Tensor) -> np.ndarray:
        """Activations of the neurons of a block from the third word on, (text * word, unit)."""
        return self._before(block.mlp.c_proj, tokens)

    def _before(self, module: Any, tokens: torch.Tensor) -> np.ndarray:
        """What goes into a module from the third word on, (text * word, unit)."""
        seen: list[torch.Tensor] = []
        hook = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            with torch.inference_mode():
                self.model.transformer(input_ids=tokens)
        finally:
            hook.remove()
        return seen[0][:, 2:].double().reshape(-1, seen[0].shape[-1]).numpy()

    def _classes(self, tokens: torch.Tensor) -> np.ndarray:
        kind = {t: c for c, members in enumerate(self.kinds) for t in members}
        return np.array([kind[t] for t in tokens[:, 2:].reshape(-1).tolist()])
