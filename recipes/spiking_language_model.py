"""Language models that speak in spikes: how much they learn from a text, and how rarely their units send anything.

Networks of spiking or event-based units are trained on the bytes of a text and read documents that they have not seen. What
they save against a model that knows only how often each byte occurs is set beside n-gram models, the same network with fresh
weights, and the same network trained on letters in random order. Beside the score stands what the event-based
form promises: the share of units that are silent, and the arithmetic that this leaves.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from pydantic import Field, PositiveInt

from braindec import registry
from braindec.config import RecipeConfig, Section
from braindec.loaders.language_stimuli import make_stories
from braindec.loaders.text import BEGIN, byte_chunks, read_documents, split_documents
from braindec.networks.language_scores import VERSION, NextToken, saved_bits, spikes_of, surprisals, to_tensors
from braindec.networks.ngram import NGram
from braindec.train import fit
from braindec.types import Result

CITATIONS = [
    {"key": "zhu2023", "text": "Zhu, Zhao, Li & Eshraghian (2023). SpikeGPT: Generative pre-trained language model with spiking neural networks. "
     "Transactions on Machine Learning Research (2024).", "doi": "10.48550/arXiv.2302.13939"},
    {"key": "subramoney2023", "text": "Subramoney, Nazeer, Schöne, Mayr & Kappel (2023). Efficient recurrent architectures through activity sparsity and "
     "sparse back-propagation through time. ICLR.", "doi": "10.48550/arXiv.2206.06178"},
    {"key": "kosowski2025", "text": "Kosowski, Uznański, Chorowski, Stamirowska & Bartoszkiewicz (2025). The Dragon Hatchling: The missing link between the "
     "transformer and models of the brain.", "doi": "10.48550/arXiv.2509.26507"},
    {"key": "witten1991", "text": "Witten & Bell (1991). The zero-frequency problem: Estimating the probabilities of novel events in adaptive text compression. "
     "IEEE Transactions on Information Theory 37, 1085-1094.", "doi": "10.1109/18.87000"},
]  # fmt: skip


class Text(Section):
    path: str | None = None
    n_stories: int = Field(400, ge=20)
    test: float = Field(0.2, gt=0, lt=0.5)
    validation: float = Field(0.1, gt=0, lt=0.5)


class Training(Section):
    n_times: int = Field(96, ge=8)
    batch_size: PositiveInt = 32
    epochs: PositiveInt = 14
    lr: float = Field(5e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    patience: PositiveInt = 3


class Config(RecipeConfig):
    text: Text = Text()
    models: list[str] = ["spike_gpt", "egru", "bdh"]
    preset: str = "tiny"
    options: Mapping[str, dict] = {}
    training: Training = Training()
    ngrams: list[int] = [2, 3, 5]
    n_permutations: PositiveInt = 999


def units(config):
    for name in [*config.models, *config.options]:
        registry.check("networks.language", name)
    return [{"model": name} for name in config.models]


def inputs(config, unit):
    return [config.text.path] if config.text.path else []


def documents_of(config):
    """Paragraphs of the text, or made-up stories."""
    if config.text.path:
        return read_documents(config.text.path)
    stories = make_stories(config.text.n_stories, seed=config.seed)
    return [". ".join(part) + "." for _, part in stories.groupby("text_id", sort=False)["text"]]


def train(config, name, tokens, validation, work, folder):
    """A network of the preset, trained on rows of tokens; and its history."""
    torch.manual_seed(work.seed)
    model = registry.get("networks.language", name).from_preset(
        config.preset, vocab_size=BEGIN + 1, **config.options.get(name, {})
    )
    said = config.training

    def batches(generator):
        for rows in torch.randperm(len(tokens), generator=generator).split(said.batch_size):
            x, y = to_tensors(tokens[rows.numpy()])
            yield {"x": x, "y": y}

    def validate(network, loss):
        return {"loss": float(np.nanmean(surprisals(network, validation)) * math.log(2))}

    history = fit(model, NextToken(), batches, epochs=said.epochs, validate=validate, lr=said.lr, weight_decay=said.weight_decay,
                  patience=said.patience, clip_norm=1.0, folder=work.folder / folder, key=f"{name}-{folder}", seed=work.seed,
                  title=f"{name}, {folder}")  # fmt: skip
    return model.eval(), history


def shuffled(documents, seed):
    """As many documents of the same lengths, with all letters dealt out at random: no order, no topics."""
    letters = iter(np.random.default_rng(seed).permutation(list("".join(documents))).tolist())
    return ["".join(next(letters) for _ in text) for text in documents]


def run(config, unit, work):
    name, n_times = unit["model"], config.training.n_times
    documents = documents_of(config)
    parts = split_documents(documents, test=config.text.test, validation=config.text.validation, seed=config.seed)
    (tokens, _), (validation, _), (held_out, document) = (byte_chunks(part, n_times) for part in parts)
    network, history = train(config, name, tokens, validation, work, "text")
    mixed = [byte_chunks(shuffled(part, config.seed), n_times)[0] for part in parts[:2]]
    control, _ = train(config, name, *mixed, work, "shuffled text")
    torch.manual_seed(work.seed + 1)
    fresh = registry.get("networks.language", name).from_preset(
        config.preset, vocab_size=BEGIN + 1, **config.options.get(name, {})
    )
    base = NGram(1, BEGIN + 1).fit(tokens).bits(held_out)
    bits = {"decoded": surprisals(network, held_out), "label_shuffle": surprisals(control, held_out),
            "untrained": surprisals(fresh.eval(), held_out)}  # fmt: skip
    bits |= {f"{n}-grams": NGram(n, BEGIN + 1).fit(tokens).bits(held_out) for n in config.ngrams}
    scores = saved_bits(bits, base, document, n_permutations=config.n_permutations, seed=work.seed)
    scores["row"] = scores["row"].replace({"untrained": "fresh_weights"})
    whole = held_out[(held_out >= 0).all(axis=1)]
    read = to_tensors(whole[:64] if len(whole) else held_out[:64])[0]
    events = network.sparsity(read)
    saving = 1 - events["sparse"].sum() / events["dense"].sum()
    told = [{"metric": "silent_share", "version": VERSION, "row": "trained", "value": share, "layer": layer}
            for layer, share in zip(events["layer"], events["sparsity"])]  # fmt: skip
    told.append(
        {"metric": "multiply_adds_saved", "version": VERSION, "row": "trained", "value": saving, "n": len(read)}
    )
    scores = pd.concat([scores, pd.DataFrame(told)], ignore_index=True)
    row = scores[scores["row"] == "decoded"].iloc[0]
    grams = scores[scores["row"].str.endswith("-grams")]
    best = grams.loc[grams["value"].idxmax()] if len(grams) else None
    made = network.generate(
        torch.tensor([[BEGIN, *b"The "]]), 60, temperature=0.5, generator=torch.Generator().manual_seed(work.seed)
    )
    sample = bytes(t for t in made[0, 1:].tolist() if t < BEGIN).decode("utf8", errors="replace")
    answers = [f"Held-out text is read at {row['note']}, {row['value']:.2f} fewer than byte frequencies alone"
               + (f" (the best n-gram, of order {best['row'].split('-')[0]}: {best['note']})." if best is not None else "."),
               f"{events['sparsity'].mean():.0%} of units are silent at a byte; of the multiply-adds that units cause, {saving:.0%} can be left out."]  # fmt: skip
    position, which, layers = spikes_of(network, read[0])
    columns = history.columns()
    panels = [
        {"draw": "training_curves", "title": "Training", "caption": "Cross-entropy of the next byte; the epoch that was kept is marked.",
         "args": {"train": "@train", "validation": "@validation", "chosen": int(columns["best_epoch"][0]), "ylabel": "nats a byte"}},
        {"draw": "raster", "title": "What units send while they read", "caption": f"One held-out document, byte by byte; of each layer up to 40 units"
         f"{' (x: units that write and read the memory, y: units that it drives)' if name == 'bdh' else ''}. "
         f"In it: “{bytes(t for t in read[0].tolist() if t < BEGIN).decode('utf8', errors='replace')[:80]}…”",
         "args": {"times": "@position", "unit": "@unit", "groups": list(layers), "xlabel": "byte"}},
    ]  # fmt: skip
    overview = {"preset": config.preset, "parameters": f"{network.n_parameters:,}", "text": config.text.path or "made-up stories",
                "documents": f"{len(parts[0])} to train on, {len(parts[1])} to stop by, {len(parts[2])} held out",
                "bytes held out": f"{int((held_out[:, 1:] >= 0).sum()):,}", "read at once": f"{n_times} bytes"}  # fmt: skip
    notes = [f"Asked to go on from “The ”, {name} wrote: “{sample}”.",
             "Multiply-adds are counted for the weights that an event meets; a processor that skips zeros is needed to gain them."]  # fmt: skip
    arrays = {
        "position": position,
        "unit": which,
        "train": columns["train_loss"],
        "validation": columns["validation_loss"],
    }
    return Result(scores, arrays, {"overview": overview, "panels": panels, "answers": answers, "notes": notes})
