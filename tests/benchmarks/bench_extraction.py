"""Units of a language model: batched extraction beside a loop over sentences, in one run.

The peer is the plain loop that published localizer scripts use, written here again: one sentence at a time, hooks on
every block registered for each sentence and removed after it, the whole model run to its head, all tokens copied and
the last one kept. Both read what leaves each block, at the last token of 480 stimuli of 12 words (half of them
non-words); values are compared along with times. The batched forward pass is all matrix products, so the gain is what
the loop spends around them: largest for small models and on accelerators, smaller where one sentence fills a core.

``--scale 0.25`` takes a quarter of the stimuli; more ``--threads`` help batches more than single sentences, on cores
that are free. ``--by-layer`` lets the loop read one layer at a time, as scripts do that take one layer's units.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from braindec.llm.extract import extract
from braindec.llm.load import LanguageModel
from braindec.llm.tiny import made_up_texts, tiny_model

MODELS = {
    "4 layers x 64": {"n_layers": 4, "n_units": 64},
    "4 layers x 256": {"n_layers": 4, "n_units": 256, "n_heads": 8},
}


def stimuli(n: int) -> list[str]:
    """Half lists of made-up words, half lists of made-up non-words, 12 in each."""
    rng = np.random.default_rng(0)
    words = sorted({w.strip(".").lower() for text in made_up_texts(200) for w in text.split()})
    letters = np.array(list("aeiou")), np.array(list("bcdfglmnprstv"))

    def nonword() -> str:
        return "".join(str(rng.choice(letters[(k + 1) % 2])) for k in range(rng.integers(3, 8)))

    return [" ".join(str(rng.choice(words)) if k % 2 else nonword() for _ in range(12)) for k in range(n)]


def loop_by_layer(lm: LanguageModel, texts: list[str]) -> np.ndarray:
    """Read one layer after another, one sentence at a time, shape (text, layer x unit)."""
    return np.concatenate([loop(lm, texts, [k]) for k in range(lm.n_layers)], axis=1)


def loop(lm: LanguageModel, texts: list[str], layers: list[int] | None = None) -> np.ndarray:
    """Read the blocks one sentence at a time, shape (text, layer x unit)."""
    rows = []
    layers = list(range(lm.n_layers)) if layers is None else layers
    for text in texts:
        found: dict[int, torch.Tensor] = {}

        def keep(layer: int) -> Callable:
            def hook(module: object, args: object, output: object) -> None:
                hidden = output[0] if isinstance(output, tuple) else output
                found[layer] = hidden.detach().cpu().clone()  # noqa: B023

            return hook

        handles = [lm.blocks[k].module.register_forward_hook(keep(k)) for k in layers]
        ids = lm.tokenizer(text, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            lm.model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"])
        for handle in handles:
            handle.remove()
        rows.append(np.concatenate([found[k][0, -1].numpy() for k in layers]))
    return np.stack(rows)


def timed(run: Callable[[], np.ndarray], repeats: int) -> tuple[np.ndarray, float, float]:
    """Return the values, and the least wall and processor time of some runs."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        values = run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return values, min(walls), min(cpus)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--by-layer", action="store_true")
    options = parser.parse_args()
    peer = loop_by_layer if options.by_layer else loop
    torch.set_num_threads(options.threads)
    texts = stimuli(max(16, int(480 * options.scale)))
    print(f"units of {len(texts)} stimuli, {options.threads} threads; best of {options.repeats}", flush=True)
    print(
        "  model           loop, s (processor)   extract, s (processor)   times faster (processor)   largest difference"
    )
    for name, size in MODELS.items():
        lm = tiny_model("gpt2", texts=texts, **size)  # its vocabulary knows the stimuli, as that of a real model would
        extract(lm, texts[:16])  # the first call of anything pays for imports
        peer(lm, texts[:4])
        theirs, wall, cpu = timed(lambda: peer(lm, texts), options.repeats)  # noqa: B023
        mine, own_wall, own_cpu = timed(lambda: extract(lm, texts).load(), options.repeats)  # noqa: B023
        print(
            f"  {name:14s}{wall:10.2f} ({cpu:.2f}){own_wall:17.2f} ({own_cpu:.2f}){wall / own_wall:18.1f} "
            f"({cpu / own_cpu:.1f}){np.abs(mine - theirs).max():22.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
