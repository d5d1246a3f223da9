"""What the units of a language model do: every registered score in one table, beside untrained networks.

Units, heads and layers of a model (a local folder, or a tiny one that is built and trained on the spot) are scored on made-up
or given stimuli; the scores are joined by (model, layer, site, index), saved, summarised by layer and compared with those of
networks of the same architecture that were never trained, network against network.
"""

from dataclasses import replace
from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from braindec import registry
from braindec.config import RecipeConfig, Section
from braindec.errors import BraindecError
from braindec.llm._atlas import atlas_answers, atlas_notes, atlas_panels, compare_networks, flags_of
from braindec.llm.score import Probe
from braindec.llm.sites import resolve
from braindec.llm.source import ModelSource
from braindec.llm.tag_stimuli import tag_conditions
from braindec.llm.unit_table import unit_table
from braindec.loaders import language_stimuli as made_up
from braindec.stats.tagging import Design
from braindec.types import Result

CITATIONS = [
    {"key": "gurnee2024", "text": "Gurnee et al. (2024). Universal neurons in GPT2 language models. Transactions on Machine Learning Research; "
     "arXiv:2401.12181.", "doi": "10.48550/arXiv.2401.12181"},
    {"key": "jian2024", "text": "Ji-An, Zhou, Benna & Mattar (2024). Linking in-context learning in transformers to human episodic memory. Advances in "
     "Neural Information Processing Systems 37; arXiv:2405.14992.", "doi": "10.48550/arXiv.2405.14992"},
    {"key": "voita2023", "text": "Voita, Ferrando & Nalmpantis (2023). Neurons in large language models: dead, n-gram, positional. arXiv:2309.04827.",
     "doi": "10.48550/arXiv.2309.04827"},
]  # fmt: skip


class Stimuli(Section):
    """Sizes of the made-up stimuli; ``texts`` (a text file, a text a paragraph) and ``localizer`` (a folder) replace two of them."""

    texts: str | None = None
    localizer: str | None = None
    n_stories: PositiveInt = 32
    n_localizer: PositiveInt = 60
    n_languages: PositiveInt = 3
    n_pairs: PositiveInt = 12
    n_years: PositiveInt = 60
    n_tagged: PositiveInt = 144


class Config(RecipeConfig):
    model: ModelSource = ModelSource(steps=80)
    seeds: list[str] = []
    n_trained: PositiveInt = 3
    n_untrained: NonNegativeInt = 5
    sites: list[str] = ["mlp_act", "resid_post"]
    layers: list[int] | None = None
    scores: list[str] | None = None
    compare: list[str] = []
    options: dict[str, dict] = {}
    stimuli: Stimuli = Stimuli()
    batch_size: PositiveInt = 32


def units(config):
    return [{"model": Path(config.model.path).name if config.model.path else f"tiny-{config.model.tiny}"}]


def inputs(config, unit):
    given = [config.stimuli.texts] if config.stimuli.texts else []
    given += sorted(Path(config.stimuli.localizer).rglob("*.csv")) if config.stimuli.localizer else []
    return [*config.model.files(), *given]


def texts_of(config, seed):
    """Running text: paragraphs of a file, or stories."""
    if config.stimuli.texts:
        try:
            paragraphs = Path(config.stimuli.texts).read_text(encoding="utf8").split("\n\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BraindecError(
                f"{config.stimuli.texts} cannot be read as text", found=str(error)[:100], fix="save it as UTF-8"
            ) from error
        return [" ".join(p.split()) for p in paragraphs if p.strip()]
    stories = made_up.make_stories(config.stimuli.n_stories, seed=seed)
    return [". ".join(part) + "." for _, part in stories.groupby("text_id", sort=False)["text"]]


def stimuli_of(config, texts, seeds):
    """All stimuli that scores read, by name; made up where none are given."""
    said, seed = config.stimuli, config.seed
    pairs = made_up.make_word_pairs(min(said.n_pairs, 20), seed=seed)
    words = made_up.make_word_classes(said.n_stories, seed=seed)
    design = Design({"word": 1, "phrase": 2, "sentence": 4}, n_sentences=6, unit_rate=4.0, drop=1)
    ends = pairs[pairs["prompt"] != pairs["text"]]  # the others do not end with their second word
    read = (
        made_up.read_localizer(said.localizer)
        if said.localizer
        else made_up.make_localizer(said.n_localizer, seed=seed)
    )
    found = {
        "texts": texts, "localizer": read, "languages": made_up.make_languages(said.n_languages, seed=seed),
        "concepts": pairs.rename(columns={"concept": "group", "relation": "concept"}),
        "targets": ends.assign(text=ends["prompt"], target=ends["word2"])[["text", "target"]],
        "years": made_up.make_years(said.n_years, seed=seed), "word_classes": words.rename(columns={"word_class": "class"}),
        "tagged": tag_conditions(made_up.make_tagged_corpus(said.n_tagged, 4, seed=seed), design, seed=seed),
    }  # fmt: skip
    return found | ({"seeds": seeds} if seeds else {})


def networks_of(config, texts):
    """The model, and others of its kind that were trained from other seeds (a tiny one; else those that ``seeds`` names)."""
    source, lm = config.model, config.model.open(texts)
    if source.path:
        return lm, [source.model_copy(update={"path": path}).open() for path in config.seeds]
    more = [(source.seed + 100 * k, f"{lm.name}-{k + 1}") for k in range(1, config.n_trained)] if source.steps else []
    return lm, [replace(source.model_copy(update={"seed": seed}).open(texts), name=name) for seed, name in more]


def run(config, unit, work):
    for name in [*(config.scores or ()), *config.compare]:
        registry.check("llm.scores", name)
    for name in config.options:
        if name not in ("texts", "repeats"):  # what several scores share
            registry.check("llm.scores", name)
    if config.seeds and not config.model.path:
        raise BraindecError("seeds= names models beside the one of model.path, and there is none", found=", ".join(config.seeds),
                            fix="model.path=FOLDER; tiny models are trained from n_trained seeds")  # fmt: skip
    texts = texts_of(config, config.seed)
    if not texts:
        raise BraindecError(f"{config.stimuli.texts} holds no text")
    training = texts if config.stimuli.texts else texts_of(config, config.seed + 1)
    lm, seeds = networks_of(config, training)
    resolve(lm, config.sites, config.layers)  # a site or layer that is not there is one error, not one of each score
    plain = list(config.model.untrained(config.n_untrained, training, like=lm))
    compared = config.compare or registry.names("llm.scores")

    def table(network, partners, scores):
        probe = Probe(network, stimuli_of(config, texts, partners), sites=config.sites, layers=config.layers, batch_size=config.batch_size,
                      seed=config.seed, options=config.options)  # fmt: skip
        return unit_table(probe, scores)

    found = table(lm, seeds, config.scores)
    if not found.scores:
        raise BraindecError("no score could be computed", found=" ".join(atlas_notes(found)))
    compared = [s for s in compared if s in found.scores]
    others = [table(n, [lm, *(m for m in seeds if m is not n)], compared) for n in seeds]
    controls = [table(n, [m for m in plain if m is not n][: len(seeds)], compared) for n in plain]
    path = work.folder / "units.h5"
    found.save(path)
    found.save(path.with_suffix(".csv"))
    panels, arrays = atlas_panels(found, controls)
    rows = compare_networks([found, *others], controls, compared)
    overview = {"model": lm.name, "layers": lm.n_layers, "sites": ", ".join(config.sites), **flags_of(found), "scores": len(found.scores),
                "trained networks": 1 + len(seeds), "untrained networks": len(plain)}  # fmt: skip
    notes = [*atlas_notes(found), f"All scores are in {path.parent.name}/units.h5 and units.csv, which join on model, layer, site and index; "
             "means by layer are the arrays whose names begin with summary/ in arrays.h5."]  # fmt: skip
    summary = found.summary()
    arrays |= {f"summary/{c}": summary[c].to_numpy() for c in summary}
    made_by = {"overview": overview, "panels": panels, "answers": atlas_answers(rows), "notes": notes, "citations": []}
    return Result(rows, arrays, made_by)
