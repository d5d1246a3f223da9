"""Where vision meets language: electrodes that a multimodal model predicts better than anything unimodal or joined.

During a film, the response to each word (with the frame on screen) and to each scene cut (with the sentence heard) is
predicted, for each electrode and bin of time, by ridge from models of vision, models of language, all of them joined (each
with a weight of its own), and a multimodal model, each beside its randomly initialised twin. An electrode is a site of
integration where the multimodal model beats every model of vision, every model of language, what they predict linearly
together, its untrained twin, and low-level features, in held-out stretches of the film.

Source: Subramaniam et al. 2024 (ICML; arXiv 2406.14481) for the design: events, 200 ms bins every 25 ms in 4 s, comparisons.
Differs from the reference in: folds are contiguous in film time with a gap; the joined model has a weight for each band,
chosen with its penalty in inner folds, and may choose any unimodal model; low-level features and place in the film are
regressed out; units of the statistics are blocks of film; all comparisons must hold in one bin (intersection-union), bins
are combined and electrodes corrected; effects are read at bins that were chosen without the stretch they are read in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.align._integration_data import Bins, place_notes, subjects_of
from braindec.align._integration_fit import Models
from braindec.align._integration_run import Job, analyse, by_type
from braindec.align._integration_table import correct_sites, electrode_table, region_table, site_notes, type_notes
from braindec.align._integration_test import CORRECTIONS
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, FitRecord, Recording, Split, Windows

__all__ = ["ROLES", "IntegrationSites", "integration_sites"]

ROLES = ("vision", "language", "multimodal", "nuisance")
_COLUMNS = {"vision": "frame_id", "language": "text_id", "multimodal": "stimulus_id", "nuisance": "stimulus_id"}


@dataclass(frozen=True, eq=False)
class IntegrationSites:
    """What :func:`integration_sites` found.

    Parameters
    ----------
    table : DataFrame
        One row an electrode: subject, name, region, x, y, z (m), space, ``mapped`` (its place can be drawn), best_type,
        best_time (s), best_model, ``r_<model>`` and ``d_<comparison>`` with ``_low`` and ``_high`` (95 %; at bins that were
        chosen in other folds), ``p_<type>``, ``p``, ``q``, ``is_site``, ``agreement``,
        ``untrained_p`` and ``untrained_q`` (the twin in place of the multimodal model).
    times : array of shape (n_bins,)
        Centres of bins, s from onset.
    r : mapping of type to mapping of model to array of shape (n_electrodes, n_bins)
        Held-out Pearson r; low-level features are taken out of responses (their own row, ``low_level``, is of whole ones).
    p : mapping of type to array of shape (n_electrodes, n_bins)
        Of each bin, not corrected.
    regions : DataFrame
        region, n, sites, share.
    models : Models
    splits, records
        Of each subject and event type, for the audit.
    trials : mapping of str to DataFrame
        The events of each subject that were used.
    """

    table: pd.DataFrame
    times: np.ndarray
    r: Mapping[str, Mapping[str, np.ndarray]]
    p: Mapping[str, np.ndarray]
    regions: pd.DataFrame
    models: Models
    correction: str
    alpha: float
    splits: Sequence[Split] = ()
    records: Sequence[tuple[Split, list[FitRecord]]] = ()
    trials: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def sites(self) -> pd.DataFrame:
        """Electrodes that are sites of integration, the surest first."""
        return self.table[self.table["is_site"]].sort_values("p", ignore_index=True)

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays for a Result."""
        out = {f"r/{kind}/{name}": v for kind, own in self.r.items() for name, v in own.items()}
        return {"times": self.times, **out, **{f"p/{kind}": v for kind, v in self.p.items()}}


def integration_sites(
    data: Recording | Windows | Sequence[Recording] | Sequence[Windows], features: Mapping[str, Features], *,
    roles: Mapping[str, str], random: Mapping[str, str] | None = None, controlled: tuple[str, str] | None = None,
    columns: Mapping[str, str] | None = None, types: Sequence[str] = ("word", "cut"), type_column: str = "trial_type",
    time_column: str = "movie_time", film_column: str | None = "film", tmin: float = -2.0, tmax: float = 2.0,
    bin_width: float = 0.2, bin_step: float = 0.025, n_folds: int = 5, inner_folds: int = 4, gap: float | None = None,
    block: float = 30.0, position: bool = True, alphas: Any = "auto", combine: Literal["any", "all"] = "any",
    correction: Literal["bh", "by"] = "bh", alpha: float = 0.05, min_events: int = 100, missing: Literal["raise", "drop"] = "raise",
    n_bootstrap: int = 1000, backend: str = "numpy", device: str = "cpu", seed: int = 0,
) -> IntegrationSites:  # fmt: skip
    """Find electrodes where a multimodal model beats vision, language, both joined, its untrained twin and low-level features.

    Parameters
    ----------
    data : Recording, Windows, or a sequence of them
        Recordings of one or more subjects (runs of one subject share electrodes), or one Windows a subject.
    features : mapping of name to Features
        Models and low-level features, one row a frame, word or sentence, or event.
    roles : mapping of name to {"vision", "language", "multimodal", "nuisance"}
        What each is; several candidates of a kind are welcome: the multimodal model must beat each of them.
    random : mapping of name to name, optional
        Trained model -> randomly initialised twin; without the twin of a multimodal model that comparison is not made.
    controlled : (with, without), optional
        Two models that differ in one thing (SLIP and SimCLR: supervision by language); their difference is reported.
    columns : mapping of role or name to str, optional
        Event columns with the ids: by default frame_id, text_id, stimulus_id (multimodal, nuisance).
    types : sequence of str
        Event types, each analysed by itself: values of ``type_column``.
    time_column, film_column : str
        Time in the film (s) and name of the film: folds, gaps and blocks are in film time.
    tmin, tmax, bin_width, bin_step : float
        Centres of bins, width and step, s.
    n_folds, inner_folds : int
        Contiguous stretches of film that are held out, and those of the training rows that choose penalties.
    gap : float, optional
        s of film between training and held-out events: at least the length of a response with its bins, which is the
        default plus 5 s, because scenes and sentences last.
    block : float
        s of film that are a unit of the statistics.
    position : bool
        Place in the film and its square are low-level features too.
    combine : {"any", "all"}
        A site integrates at events of any type (Simes), or of all of them (the largest p).
    correction : {"bh", "by"}
        False discovery rate over electrodes: Benjamini-Hochberg (positive dependence), or Benjamini-Yekutieli (any).
    alpha : float
        Rate of false discoveries among sites.
    min_events : int
        A type with fewer events is left out, and said.
    missing : {"raise", "drop"}
        What to do with events without features.

    Raises
    ------
    BraindecError
        If roles, columns, ids or events do not fit, or there is too little film.
    """
    bins = Bins(tmin, tmax, bin_width, bin_step)
    models = _models(features, roles, random or {}, controlled)
    length = bins.span[1] - bins.span[0]
    gap = length + 5.0 if gap is None else float(gap)
    _check(gap, length, combine, correction, missing, types, alpha)
    where = {k: (columns or {}).get(k, (columns or {}).get(v, _COLUMNS[v])) for k, v in _role_of(models).items()}
    used = {k: features[k] for k in where}
    subjects = subjects_of(data, bins, type_column, types)
    job = Job(models, used, where, bins, type_column, time_column, film_column, missing, min_events, n_bootstrap, np.random.default_rng(seed),
              {"position": position, "n_folds": n_folds, "inner_folds": inner_folds, "gap": gap, "block": block, "alphas": alphas,
               "backend": backend, "device": device})  # fmt: skip
    notes: list[str] = []
    tables, found = [], {}
    n_fits = len(subjects) * len(types) * n_folds * (len(models.single) + 1)
    with tqdm(total=n_fits, desc="integration sites", disable=None, leave=False) as bar:
        for subject, windows in subjects.items():
            notes += [*place_notes(subject, windows), *windows.info.get("dropped", [])]
            own = {kind: analyse(job, subject, windows, kind, notes=notes, step=bar.update) for kind in types}
            own = {kind: one for kind, one in own.items() if one is not None}
            if not own:
                counts = windows.trials[type_column].astype(str).value_counts().to_dict()
                raise BraindecError(f"sub-{subject}: too few events", found=", ".join(f"{v} {k}" for k, v in counts.items()),
                                    allowed=f"{min_events} or more of a type", fix="use more film, or lower min_events")  # fmt: skip
            found |= {(subject, kind): one for kind, one in own.items()}
            tables.append(electrode_table(subject, windows, {k: v.sites for k, v in own.items()}, models, bins.centres, combine=combine))  # fmt: skip
    table = correct_sites(pd.concat(tables, ignore_index=True), correction=correction, alpha=alpha)
    r, p = by_type(found, {s: w.n_channels for s, w in subjects.items()}, types, len(bins.centres))
    for kind in r:
        own = [one for (_, k), one in found.items() if k == kind]
        notes += type_notes(kind, [one.scored for one in own], [one.widening for one in own])
    notes = [*site_notes(table, models, correction, alpha, combine, gap, block), *dict.fromkeys(notes)]
    splits = [split for one in found.values() for split in one.splits]
    records = [(s, [FitRecord.of("ridge", s.ids[s.train])]) for s in splits]
    trials = {f"{subject}/{kind}": one.trials for (subject, kind), one in found.items()}
    return IntegrationSites(table, bins.centres, r, p, region_table(table), models, correction, alpha, splits, records, trials, notes)  # fmt: skip


def _models(features: Mapping[str, Features], roles: Mapping[str, str], random: Mapping[str, str], controlled: tuple[str, str] | None) -> Models:  # fmt: skip
    """Sort features by role, and refuse what is not there."""
    for name, role in roles.items():
        if role not in ROLES:
            raise BraindecError(f"the role {role!r} of {name!r} is unknown{did_you_mean(role, ROLES)}", allowed=", ".join(ROLES))  # fmt: skip
    for name in [*roles, *random, *random.values(), *(controlled or ())]:
        if name not in features:
            raise BraindecError(
                f"there are no features {name!r}{did_you_mean(name, features)}", found=", ".join(features)
            )
    of = {role: tuple(k for k, v in roles.items() if v == role) for role in ROLES}
    lacking = [r for r in ("vision", "language", "multimodal") if not of[r]]
    if lacking:
        raise BraindecError(f"no features have the role {lacking[0]!r}", found=", ".join(f"{k}: {v}" for k, v in roles.items()) or "no roles",
                            fix="integration is more than either alone: give models of vision, of language and of both")  # fmt: skip
    taken = {*of["vision"], *of["language"], *of["multimodal"]}
    strange = [k for k in random if k not in taken]
    if strange or set(random.values()) & taken:
        raise BraindecError("random names the twin of a model that has a role, and twins have none",
                            found=", ".join(strange or set(random.values()) & taken), allowed=", ".join(sorted(taken)))  # fmt: skip
    other = tuple(k for k in controlled or () if k not in taken)
    return Models(of["vision"], of["language"], of["multimodal"], of["nuisance"], dict(random), other, controlled)


def _role_of(models: Models) -> dict[str, str]:
    """Role of all features that are used; twins and controlled models are joined to events as their likes are."""
    roles = {k: r for r in ROLES for k in getattr(models, r)}
    roles |= {twin: roles[trained] for trained, twin in models.random.items()}
    return roles | {k: "multimodal" for k in models.other if k not in roles}


def _check(gap: float, length: float, combine: str, correction: str, missing: str, types: Sequence[str], alpha: float) -> None:  # fmt: skip
    if not gap >= length:
        raise BraindecError(
            f"a gap of {gap:g} s lets responses to held-out events overlap with those of training events", found=f"responses of {length:g} s",
            allowed=f"{length:g} s or more", fix="leave gap out, or use a shorter window",
        )  # fmt: skip
    for name, value, known in (("combine", combine, ("any", "all")), ("correction", correction, tuple(CORRECTIONS)), ("missing", missing, ("raise", "drop"))):  # fmt: skip
        if value not in known:
            raise BraindecError(
                f"{name}={value!r} is unknown{did_you_mean(str(value), known)}", allowed=", ".join(known)
            )
    if isinstance(types, str) or not len(types):
        raise BraindecError("types is a list of event types", found=repr(types), allowed="e.g. ['word', 'cut']")
    if not 0 < alpha < 1:
        raise BraindecError("alpha is a rate of false discoveries", found=repr(alpha), allowed="between 0 and 1")
