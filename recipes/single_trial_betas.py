"""Single-trial betas from fMRI runs: a response for each voxel, noise regressors, fractional ridge, and how reliable they are.

One beta a trial and voxel, written as one HDF5 file a subject for the reader betas. What is learned over runs comes from
train_runs only; the reliability of each step of the ladder is measured on runs that nothing was learned from. Without
data it makes and runs a synthetic twin.
"""

from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeInt

from braindec.config import RecipeConfig, Section, options_of
from braindec.evaluate.audit import Audit
from braindec.evaluate.beta_reliability import fold_runs, ladder_reliability
from braindec.evaluate.beta_results import betas_result, findings_of
from braindec.evaluate.results import group_scores
from braindec.loaders.betas import write_betas
from braindec.loaders.brain_maps import write_maps
from braindec.loaders.cohort import Steps, load_recordings, source_of, subject_units
from braindec.loaders.twin import make_twin, twin_folder
from braindec.loaders.volume_tables import confounds_of
from braindec.signal.glm.single_trial import SingleTrialGLM

CITATIONS = [
    {"key": "prince2022", "text": "Prince, Charest, Kurzawski, Pyles, Tarr & Kay (2022). Improving the accuracy of single-trial fMRI "
     "response estimates using GLMsingle. eLife 11, e77599.", "doi": "10.7554/eLife.77599"},
    {"key": "mumford2012", "text": "Mumford, Turner, Ashby & Poldrack (2012). Deconvolving BOLD activation in event-related designs for "
     "multivoxel pattern classification analyses. NeuroImage 59, 2636-2643.", "doi": "10.1016/j.neuroimage.2011.08.076"},
]  # fmt: skip


class Synthetic(Section):
    twin: str = "event_related"
    n_subjects: int = 2
    seed: int = 0


class Statistics(Section):
    n_folds: int = Field(2, ge=2)
    threshold: float = Field(0.05, ge=0, lt=1)
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: int = Field(2000, ge=100)


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    signal: Steps = []
    confounds: str | list[str] = "none"
    train_runs: list[str] | None = None
    glm: Annotated[dict, options_of(SingleTrialGLM)] = {"model": "ladder"}
    statistics: Statistics = Statistics()


def data_of(config):
    """The recordings that are named, or those of the synthetic twin."""
    if config.data.dataset or config.data.root:
        return config.data
    wanted = config.synthetic
    sizes = {"n_subjects": wanted.n_subjects, "seed": wanted.seed}
    twin = make_twin(wanted.twin, twin_folder(wanted.twin, **sizes), **sizes)
    return config.data.model_copy(update=twin.data)


def units(config):
    return subject_units(data_of(config), config.select.subjects)


def inputs(config, unit):
    return source_of(data_of(config)).files(unit["subject"])


def load(config, unit, cache):
    """The runs of a subject, memory-mapped, and their confounds."""
    source = source_of(data_of(config))
    raw = source.recordings(unit["subject"])
    confounds = None if config.confounds == "none" else [confounds_of(r, config.confounds)[0] for r in raw]
    return load_recordings(source, unit["subject"], config.signal, cache=cache), confounds


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit single_trial_betas --cohort ...``."""
    trials, condition_numbers = SingleTrialGLM(**config.glm).design(
        source_of(data_of(config)).recordings(unit["subject"])
    )
    return Audit(tuple(findings_of(trials, condition_numbers)))


def maps_of(glm, betas, folder):
    """Write maps of what was learned where voxels or vertices have a place, and say so."""
    info = betas.recordings[0].info
    if info.get("affine") is None and not info.get("n_vertices"):
        return []
    maps = {"timetopeak": glm.time_to_peak_, "r2": glm.r2_, "onoffr2": glm.onoff_r2_, "fraction": glm.fraction_}
    kept = {k: np.asarray(v, dtype=np.float32) for k, v in maps.items() if np.isfinite(v).any()}
    paths = write_maps(betas.recordings[0], kept, folder / "maps", entities={"desc": "singletrial"})
    return [f"Maps of what was learned ({', '.join(kept)}) stand beside the betas, in {paths[0].parent.name}/."]


def run(config, unit, work):
    recordings, confounds = load(config, unit, work.cache)
    glm = SingleTrialGLM(**config.glm).fit(recordings, runs=config.train_runs, confounds=confounds)
    betas = glm.betas(recordings, confounds=confounds)
    work.folder.mkdir(parents=True, exist_ok=True)
    path = write_betas(work.folder / f"sub-{unit['subject']}_betas.h5", betas.load(check=False)[:, :, 0], betas.trials,
                       betas.channels, info=betas.recordings[0].info)  # fmt: skip
    scores, found, notes = ladder_reliability(
        glm, recordings, fold_runs(recordings, config.statistics.n_folds), confounds=confounds,
        **config.statistics.model_dump(exclude={"n_folds"}), rng=work.rng("reliability"),
    )  # fmt: skip
    return betas_result(glm, betas, scores, found, path=path, notes=[*notes, *maps_of(glm, betas, work.folder)])


def summary(config, results):
    return group_scores(results, seed=config.seed)
