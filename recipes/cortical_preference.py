"""Which pictures does a region prefer? A prior of pictures, steered by one encoding model and judged by another.

A prior over pictures is trained on training pictures alone. An encoding model of one subject steers it to what should drive a
region, at several scales; a second encoding model, with other features and of another subject (or of other trials), says
whether it would. Beside the samples stand unguided ones from the same noise, samples steered to another region or by guides
that learned from shuffled responses, and the training pictures that the guide likes best. Without a cohort it makes drawn scenes and an fMRI with patches of known preference.
"""

from typing import Any, Literal

import pandas as pd
from pydantic import Field, PositiveInt

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section
from braindec.decoders._preference import held_out, planted_patches, prefer_regions, preference_panels, preference_rows
from braindec.decoders.guided import GuidedDecoder, ResponseEncoder
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.official import official_split
from braindec.evaluate.picture_attributes import AttributeReader
from braindec.evaluate.splits import content_split
from braindec.loaders.cohort import (
    Channels,
    Epochs,
    Events,
    Steps,
    event_windows,
    overview,
    source_of,
    subject_units,
    units_of,
)
from braindec.loaders.pictures import load_pictures
from braindec.loaders.scenes import scene_pictures
from braindec.loaders.synthetic_scenes import scene_cohort
from braindec.types import Result

CITATIONS = [
    {"key": "luo2023", "text": "Luo, Henderson, Wehbe & Tarr (2023). Brain diffusion for visual exploration: Cortical discovery using large scale "
     "generative models. NeurIPS (BrainDiVE)."},
    {"key": "dhariwal2021", "text": "Dhariwal & Nichol (2021). Diffusion models beat GANs on image synthesis. NeurIPS."},
    {"key": "kriegeskorte2009", "text": "Kriegeskorte, Simmons, Bellgowan & Baker (2009). Circular analysis in systems neuroscience: the dangers of double "
     "dipping. Nature Neuroscience 12, 535-540.", "doi": "10.1038/nn.2303"},
]  # fmt: skip


class Synthetic(Section):
    """Drawn scenes seen by fMRI; patches of V4 and V1 prefer a colour or a side."""

    n_subjects: int = Field(2, ge=1)
    n_guides: PositiveInt = 1
    n_train: PositiveInt = 640
    n_test: PositiveInt = 64
    size: PositiveInt = 16
    n_voxels: PositiveInt = 400
    noise: float = Field(0.25, ge=0)
    seed: int = 0


class PictureOptions(Section):
    folder: str | None = None
    size: PositiveInt | None = None
    mode: Literal["colour", "grey"] | None = None


class Judge(Section):
    """``of``: another subject, or other trials of the same one; ``encoder``: options with another network than the guide's."""

    of: Literal["subject", "trials"] = "subject"
    encoder: dict[str, Any] = {"network": "gabor"}


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    pictures: PictureOptions = PictureOptions()
    signal: Steps = []
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs()
    split: str = "part"
    regions: list[str] | None = None
    decoder: dict[str, Any] = {}
    judge: Judge = Judge()
    scales: list[float] = Field([1.0, 2.0, 4.0, 8.0], min_length=1)
    n_samples: int = Field(32, ge=8)
    n_best: PositiveInt = 9
    n_permutations: PositiveInt = 2000


def is_synthetic(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if not is_synthetic(config):
        return subject_units(config.data, config.select.subjects)
    known = subjects_of(config)
    return units_of(known, config.select.subjects or known[: config.synthetic.n_guides])


def subjects_of(config):
    if is_synthetic(config):
        return [f"{k + 1:02d}" for k in range(config.synthetic.n_subjects)]
    return source_of(config.data).subjects()


def inputs(config, unit):
    if is_synthetic(config):
        return []
    source = source_of(config.data)
    return [f for s in dict.fromkeys((unit["subject"], judge_of(config, unit["subject"]))) for f in source.files(s)]


def judge_of(config, subject):
    """The subject whose responses the judge learns: the next one, or the same."""
    known = subjects_of(config)
    if config.judge.of == "trials":
        return subject
    if len(known) < 2:
        raise BraindecError("there is no other subject for the judge", found=", ".join(known), fix="judge.of=trials")
    return known[(known.index(subject) + 1) % len(known)]


def load(config, subject, cache):
    """Windows and pictures of a subject, what was planted in which patch, and the source."""
    made, wanted = config.synthetic, config.pictures
    if is_synthetic(config):
        cohort = scene_cohort("fmri", n_subjects=made.n_subjects, n_train=made.n_train, n_test=made.n_test, size=made.size, noise=made.noise,
                              seed=made.seed, signal={"n_voxels": made.n_voxels})  # fmt: skip
        windows, planted = planted_patches(cohort.windows(subject))
        return windows, cohort.pictures, planted, None
    source = source_of(config.data)
    windows = source.windows(subject)
    if windows is None or windows.n_times > 1 or config.epochs.tmax is not None:
        windows, _ = event_windows(source, subject, events=config.events, epochs=config.epochs, steps=config.signal, channels=config.channels, cache=cache)  # fmt: skip
    return windows, load_pictures(source, size=wanted.size, mode=wanted.mode, folder=wanted.folder), None, source


def split_of(config, windows):
    """Training and held-out stimuli: the official ones where the trials name them, or a fifth of the stimuli."""
    if config.split == "part" and "part" in windows.trials:
        return official_split(windows, "part", validation_by="stimulus_id", validation=0.0, seed=config.seed)
    return content_split(
        windows, "stimulus_id" if config.split == "part" else config.split, test=0.2, validation=0.0, seed=config.seed
    )


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit cortical_preference``."""
    windows, *_ = load(config, unit["subject"], Cache(default_folder()))
    return audit(windows, [split_of(config, windows)], claim="stimulus_id")


def run(config, unit, work):
    windows, pictures, planted, source = load(config, unit["subject"], work.cache)
    split = split_of(config, windows)
    train = windows[split.train]
    other = judge_of(config, unit["subject"])
    if other == unit["subject"]:
        halves = content_split(train, "stimulus_id", test=0.5, validation=0.0, seed=config.seed)
        train, learned = train[halves.train], train[halves.test]
        asked = windows[split.test]
    else:
        theirs, *_ = load(config, other, work.cache)
        parts = split_of(config, theirs)
        learned, asked = theirs[parts.train], theirs[parts.test]
    decoder = GuidedDecoder(**{"seed": work.seed, "folder": str(work.folder / "training"), **config.decoder}).fit(
        train, pictures
    )
    judge = ResponseEncoder(**{"seed": work.seed + 1, **config.judge.encoder}).fit(learned, pictures)
    found, independence, notes = prefer_regions(decoder, judge, config.regions, scales=config.scales, n=config.n_samples, n_best=config.n_best,
                                                windows=train, pictures=pictures, seed=work.seed)  # fmt: skip
    regions = [one.region for one in found]
    accuracy = {"decoded": held_out(decoder.encoder_, windows[split.test], pictures, regions, n_permutations=config.n_permutations, seed=work.seed),
                "judge": held_out(judge, asked, pictures, regions, n_permutations=config.n_permutations, seed=work.seed)}  # fmt: skip
    reader = None
    if planted:
        more = scene_pictures(800, size=config.synthetic.size, seed=10_007 + config.synthetic.seed, prefix="reader")
        reader = AttributeReader(more, ["colour"])
    rows = preference_rows(
        found,
        config.scales,
        planted=planted,
        reader=reader,
        accuracy=accuracy,
        n_permutations=config.n_permutations,
        seed=work.seed,
    )
    panels, arrays = preference_panels(found, config.scales, seed=work.seed)
    card = audit(windows, [split], records=[(split, decoder.fit_records_)], claim="stimulus_id")
    panels.append({"draw": "training_curves", "title": "Training of the prior", "caption": "Loss on training pictures; the prior never sees a brain.",
                   "args": {"history": {k: f"@training/{k}" for k in decoder.history_}}})  # fmt: skip
    arrays |= {f"training/{k}": v for k, v in decoder.history_.items()}
    told = overview(train, "part" if "part" in train.trials else "concept_id", source)
    said = {k: list(told.pop(k, [])) for k in ("warnings", "citations")}
    told |= {"guide": f"{decoder.encoder_.network} features, subject {unit['subject']}", "judge": f"{judge.network} features, subject {other}",
             "samples a region and scale": config.n_samples, "scales": ", ".join(f"{s:g}" for s in sorted(config.scales))}  # fmt: skip
    notes = [f"Independence: {independence.sentence}.", *notes,
             "A scale of 1 makes a picture e times as likely for each standard deviation that its predicted activation is higher."]  # fmt: skip
    if planted:
        notes.append(
            "Patches were named by what their voxels were made to prefer; in data of your own, name them by an independent localizer."
        )
    made_by = {
        "overview": told,
        "panels": panels,
        "answers": answers(rows, regions),
        "notes": notes,
        **said,
        "audit": card.to_dict(),
    }
    return Result(pd.DataFrame(rows), arrays, made_by)


def answers(rows, regions):
    """What may be said of each region."""
    table, said = pd.DataFrame(rows), []
    for region in regions:
        mine = table[table["region"] == region].set_index(["metric", "row"])
        rise, best = mine.loc[("activation_rise", "decoded")], mine.loc[("activation_rise", "best_training_pictures")]
        sure = rise["p"] < 0.01 and rise["low"] > 0
        text = (f"{region}: an independent model predicts {rise['value']:+.2f} SD for guided pictures against unguided ones (p = {rise['p']:.2g})" if sure
                else f"{region}: an independent model does not confirm what the guide says ({rise['value']:+.2f} SD, p = {rise['p']:.2g})")  # fmt: skip
        text += f"; the best training pictures reach {best['value']:+.2f} SD"
        if ("planted_attribute", "decoded") in mine.index:
            row = mine.loc[("planted_attribute", "decoded")]
            shown = row["p"] < 0.01 and row["value"] > 0
            text += (
                f"; guided pictures {'show' if shown else 'do not show'} what was planted ({row['note'].split(';')[0]})"
            )
        judge = mine.loc[("encoding_r", "judge")]
        if not judge["p"] < 0.05:
            text += f"; but on held-out stimuli the judge itself does not predict this region (r = {judge['value']:.2f}, p = {judge['p']:.2g})"
        said.append(text + ".")
    return said
