"""Hidden states of a population: do couplings between its units switch, when, and between which?

HMM-GLMs with one-hot, Gaussian and no priors over couplings are fitted to some trials and compared on the others with a
plain GLM and the mean rates; counts redrawn from the plain GLM, which have no states, go through the same steps, and
states in which only rates differ show what couplings that switch add. By default the population is simulated, so that
states and couplings are known.
"""

from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec.config import RecipeConfig, Section, options_of
from braindec.errors import BraindecError
from braindec.loaders.cohort import source_of, subject_units
from braindec.spikes.brain_states import cut_trials, fit_states, said, state_panels, state_rows
from braindec.spikes.hmm_glm import HMMGLM
from braindec.spikes.planted_states import planted_states
from braindec.spikes.state_audit import state_audit
from braindec.types import Result, Spikes

CITATIONS = [
    {"key": "li2024", "text": "Li, Kim, Rodgers, Choi & Wu (2024). One-hot generalized linear model for switching brain state discovery. ICLR 2024; arXiv:2310.15263.",
     "doi": "10.48550/arXiv.2310.15263"},
    {"key": "escola2011", "text": "Escola, Fontanini, Katz & Paninski (2011). Hidden Markov models for the stimulus-response relationships of multistate neural "
     "systems. Neural Computation 23, 1071-1132.", "doi": "10.1162/NECO_a_00118"},
    {"key": "pillow2008", "text": "Pillow, Shlens, Paninski, Sher, Litke, Chichilnisky & Simoncelli (2008). Spatio-temporal correlations and visual signalling in "
     "a complete neuronal population. Nature 454, 995-999.", "doi": "10.1038/nature07140"},
]  # fmt: skip


CARE = (
    "States also gain where the plain GLM misses slow changes of rate, bursts or a history longer than its basis; model.state_bias=true "
    "gives states rates of their own, and what couplings then still add is about couplings."
)


class Planted(Section):
    n_states: PositiveInt = 3
    n_units: int = Field(10, ge=2)
    n_trials: int = Field(20, ge=6)
    n_bins: int = Field(1000, ge=50)
    stay: float = Field(0.99, gt=0, lt=1)
    sparsity: float = Field(0.2, ge=0, le=1)
    strength: float = Field(2.0, ge=0)
    switching: bool = True


class Trials(Section):
    width: float = Field(0.02, gt=0)
    seconds: float = Field(20.0, gt=0)
    min_rate: float = Field(0.5, ge=0)
    max_units: int = Field(30, ge=2)
    max_trials: int | None = Field(60, ge=6)
    test_share: float = Field(0.4, gt=0, lt=1)


class Config(RecipeConfig):
    planted: Planted = Planted()
    trials: Trials = Trials()
    n_states: PositiveInt | list[PositiveInt] = [1, 2, 3, 4]
    priors: list[Literal["one_hot", "gaussian", "none"]] = Field(["one_hot", "gaussian", "none"], min_length=1)
    model: Annotated[dict[str, Any], options_of(HMMGLM)] = {"n_restarts": 3}
    n_surrogates: NonNegativeInt = 3


def is_planted(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    return [{"population": "planted"}] if is_planted(config) else subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return [] if is_planted(config) else source_of(config.data).files(unit["subject"])


def load(config, unit, work):
    """Counts of trials, names of units, notes, and the truth where it is known."""
    if is_planted(config):
        truth = planted_states(**config.planted.model_dump(), width=config.trials.width, rng=work.rng("planted"))
        return truth.counts, [f"unit{i}" for i in range(config.planted.n_units)], [], truth
    loaded = source_of(config.data).load(unit["subject"])
    spikes = [loaded] if isinstance(loaded, Spikes) else list(loaded)
    if not all(isinstance(s, Spikes) for s in spikes):
        raise BraindecError(
            "brain_states needs spike times", found=repr(spikes[0]), fix="take a reader of spikes, without bin_width"
        )
    options = config.trials.model_dump(exclude={"test_share"})
    counts, names, notes = cut_trials(spikes, **options)
    return counts, names, [*notes, CARE], None


def run(config, unit, work):
    counts, names, notes, truth = load(config, unit, work)
    link = "softplus" if truth is None else truth.link
    options = {"width": config.trials.width, "seed": work.seed, "link": link, **config.model}
    fits = fit_states(counts, n_states=config.n_states, priors=config.priors, options=options, test_share=config.trials.test_share,
                      n_surrogates=config.n_surrogates, rng=work.rng("surrogates"))  # fmt: skip
    rows = state_rows(fits, truth, rng=work.rng("statistics"))
    panels, arrays = state_panels(fits, truth, width=config.trials.width, rows=rows)
    overview = {"units": len(names), "trials": f"{len(fits.train)} to fit, {len(fits.test)} held out (the last ones)",
                "bins": f"{sum(c.shape[1] for c in counts):,} of {1000 * config.trials.width:g} ms", "spikes": int(sum(c.sum() for c in counts)),
                "states": f"{fits.n_states}" + ("" if truth is None else f" (planted {len(truth.sign)}{'' if config.planted.switching else ', without effect'})")}  # fmt: skip
    made_by = {
        "overview": overview,
        "panels": panels,
        "answers": said(rows, fits),
        "notes": notes,
        "audit": state_audit(fits, rows, rng=work.rng("audit")).to_dict(),
        "citations": [],
    }
    return Result(pd.DataFrame(rows), arrays, {k: v for k, v in made_by.items() if v})
