"""What drives each voxel: banded ridge from named bands of features to fMRI.

Volumes or single-trial betas are predicted in held-out runs (or stimuli) from events, stimulus features, pictures, motion
or time; every voxel has its own penalties. Scores come with ceilings, unique variance of each band, p-values by refitting
on surrogate features, and maps in the space of the data. Without data it makes and runs a synthetic twin.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from braindec.align.bands import Band, trial_design, volume_design
from braindec.align.evaluate_encoding import evaluate_encoding
from braindec.align.responses import load_responses, trial_responses
from braindec.align.results import Regions, encoding_result, region_masks, write_encoding_maps
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, options_of
from braindec.evaluate.audit import audit
from braindec.evaluate.results import SplitBy, group_scores
from braindec.evaluate.splits import split_by
from braindec.loaders.cohort import Steps, source_of, subject_units
from braindec.loaders.features import load_features
from braindec.loaders.images import image_features
from braindec.loaders.twin import make_twin, twin_folder
from braindec.loaders.volume_tables import confounds_of, table_of
from braindec.signal.motion import estimate_motion

CONTROLS = ("one_penalty", "time_only", "oasm")  # the last two where rows have a place in time

CITATIONS = [
    {"key": "nunez2019", "text": "Nunez-Elizalde, Huth & Gallant (2019). Voxelwise encoding models with non-spherical multivariate normal "
     "priors. NeuroImage 197, 482-492.", "doi": "10.1016/j.neuroimage.2019.04.012"},
    {"key": "dupre2022", "text": "Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022). Feature-space selection with banded ridge "
     "regression. NeuroImage 264, 119728.", "doi": "10.1016/j.neuroimage.2022.119728"},
]  # fmt: skip


class Synthetic(Section):
    twin: str = "fmriprep"
    n_subjects: int = 2
    seed: int = 0


class Statistics(Section):
    n_surrogates: NonNegativeInt = 200
    unique: bool = True
    test_bands: list[str] = []
    ceiling_threshold: float = Field(0.1, ge=0, lt=1)


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    features: str | None = None
    bands: dict[str, Band] = {}
    delays: list[float] = [0.0]
    signal: Steps = []
    standardise: Literal["run", "none"] = "run"
    condition: str = "stimulus_id"
    split: SplitBy = SplitBy(by="content")
    encoder: Annotated[dict, options_of(VoxelwiseEncoder)] = {}
    regions: Regions = Regions()
    surfaces: dict[Literal["left", "right"], str] = {}
    statistics: Statistics = Statistics()


def with_data(config):
    """The settings as they are when recordings are named, else with those of the synthetic twin filled in."""
    if config.data.dataset or config.data.root:
        return config
    wanted = config.synthetic
    twin = make_twin(wanted.twin, twin_folder(wanted.twin, n_subjects=wanted.n_subjects, seed=wanted.seed),
                     n_subjects=wanted.n_subjects, seed=wanted.seed)  # fmt: skip
    plain, default = config.model_dump(), Config().model_dump()
    own = {k: v for k, v in twin.filled().items() if plain[k] == default[k]}  # what was said on the command line stays
    return Config.model_validate({**plain, **own, "data": twin.data})


def units(config):
    return subject_units(with_data(config).data, config.select.subjects)


def inputs(config, unit):
    config = with_data(config)
    named = {band.path or config.features for band in config.bands.values() if band.kind == "features"}
    return [*source_of(config.data).files(unit["subject"]), *sorted(n for n in named if n)]


def load(config, unit, cache):
    """The bands and the responses of a subject."""
    source, features = source_of(config.data), {}
    for name, band in config.bands.items():
        if band.kind == "features" and (band.path or config.features):
            features[band.path or name] = load_features(band.path or config.features)
        elif band.kind == "images":
            ids, pictures = source.pictures()
            features[name] = image_features(pictures, band.describe, grid=band.grid, stimulus_ids=ids)

    def tables(band, recording):
        if band.kind == "motion":
            return estimate_motion(recording)
        if band.kind == "confounds":
            return confounds_of(recording, band.columns)
        return table_of(recording, band.path, source.root)

    trials = source.windows(unit["subject"])
    if trials is not None:
        return source, trial_design(trials, config.bands, features=features), trial_responses(trials)
    runs = source.recordings(unit["subject"])
    design = volume_design(
        runs, config.bands, delays=config.delays, features=features, tables=tables, condition=config.condition
    )
    return source, design, load_responses(runs, config.signal, standardise=config.standardise, cache=cache)


def splits_of(config, design):
    return split_by(design.rows, config.split.by, n_folds=config.split.n_folds, gap=config.split.gap)


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit voxelwise_encoding --cohort ...``."""
    config = with_data(config)
    _, made, _ = load(config, unit, Cache(default_folder()))
    return audit(made.rows, splits_of(config, made))


def run(config, unit, work):
    config = with_data(config)
    source, made, responses = load(config, unit, work.cache)
    splits = splits_of(config, made)
    encoder = VoxelwiseEncoder(**config.encoder, seed=work.seed)
    rows, statistics = made.rows, config.statistics
    said: list[str] = []
    regions = region_masks(config.regions, responses, source, said=said)
    found = evaluate_encoding(
        encoder, made.bands, responses, splits, runs=made.runs, controls=CONTROLS if "onset" in rows else CONTROLS[:1], repeats=rows["condition"].to_numpy(),
        reliable=statistics.ceiling_threshold, stimuli=rows["stimulus_id"].to_numpy(),
        design=made.kind, regions=regions, test_bands=statistics.test_bands, n_surrogates=statistics.n_surrogates,
        unique=statistics.unique, seed=work.seed, keys=unit,
        reach=max((round(d / made.step) for lags in made.delays.values() for d in lags), default=0) if made.kind == "time" else 0,
    )  # fmt: skip
    card = audit(made.rows, splits, records=found.records)
    maps = write_encoding_maps(found, responses, work.folder / "maps", unit)
    return encoding_result(found, made, responses, card=card, source=source, maps=maps, mesh=config.surfaces, said=said)


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
