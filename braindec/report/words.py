"""Numbers and names as people read them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from braindec.llm.site_names import site_name

_NAMES = {
    "auc": "AUC",
    "r2": "R²",
    "mrr": "mean reciprocal rank",
    "f1_macro": "F1 (macro)",
    "pearson": "Pearson r",
    "pearson_normalized": "Pearson r over its ceiling",
    "pairwise": "pairwise accuracy",
    "split_r2": "share of R²",
    "unique_r2": "R² that a band adds",
    "item_correlation": "correlation of each item",
    "identification": "pairwise identification",
    "identification_within": "pairwise identification within a class",
    "added_r2": "R² that units add to nuisance",
    "pearson_units": "Pearson r of selected units",
    "rsa": "RSA",
    "rsa_partial": "RSA beyond nuisance",
    "cka": "debiased CKA",
    "cka_partial": "debiased CKA beyond nuisance",
    "cosine": "cosine of RDMs",
    "spearman": "Spearman correlation of RDMs",
    "rho_a": "rank correlation rho-a of RDMs",
    "kendall_tau_b": "Kendall's tau-b of RDMs",
    "tau_a": "Kendall's tau-a of RDMs",
    "cosine_cov": "whitened cosine of RDMs",
    "corr_cov": "whitened correlation of RDMs",
    "partial_linear": "partial correlation of RDMs",
    "partial_rank": "partial rank correlation of RDMs",
    "explained_variance": "variance of RDMs explained",
    "tagged_channels": "share of channels tagged",
    "tagged_units": "share of units tagged",
    "auc_planted": "AUC for what was planted",
    "planted_auc": "AUC for planted language units",
    "spectra_rho": "Spearman's rho of spectra",
    "held_out_effect": "effect on held-out stimuli (Cohen's d)",
    "split_half_r": "split-half reliability r",
    "surprisal_rise": "rise in surprisal without the chosen units (bits a word)",
    "class_errors_rise": "rise in errors about the next word's class",
    "brain_r": "held-out r of the chosen units with the brain",
    "logit_lens": "next token from the last layer (bits below equal odds)",
    "universal": "partners in networks from other seeds (r beyond chance)",
    "ngram": "units that follow the current token",
    "positional": "units that follow position",
    "vocabulary": "kurtosis of the logits that units write",
    "sparsity": "lifetime sparseness of units",
    "massive": "massive activations",
    "dead": "dead units",
    "induction": "induction heads (attention)",
    "copying": "copying heads",
    "previous_token": "previous-token heads (attention)",
    "cmr": "share of CMR-like heads",
    "verbatim_memory": "verbatim memory (bits a word)",
    "localizer": "localizer (sentences against non-words)",
    "frequency_tag": "units tagged by frequency",
    "lape": "LAPE (minus the entropy over languages)",
    "language_specificity": "language-specific units",
    "average_precision": "units that tell concepts (average precision)",
    "gradient_activation": "gradient times activation",
    "word_class": "clustering by word class",
    "weber_fechner": "log-compressed time",
    "bits_saved": "bits a byte saved against byte frequencies",
    "silent_share": "share of units that are silent",
    "multiply_adds_saved": "share of multiply-adds saved",
    "rate": "rate (Hz)",
    "rate_ratio": "ratio of rates",
    "tuning_variance": "share of variance by condition",
    "tuned_units": "tuned units",
    "field_coherence": "spike-field coherence",
    "phase_consistency": "pairwise phase consistency",
    "locked_units": "units locked to the field",
    "strongest_synchrony": "strongest synchrony of a pair",
    "fano_factor": "Fano factor",
    "interval_cv": "CV of intervals",
    "local_variation": "local variation of intervals",
    "bits_per_spike": "bits a spike over the mean rate",
    "state_gain": "gain of hidden states (bits a spike)",
    "state_accuracy": "hidden states found",
    "branching": "branching parameter (per 4 ms)",
    "synchrony_depth": "depth of synchrony",
    "cv_intervals": "CV of intervals",
    "fano_5ms": "Fano factor of the population (5 ms)",
    "population_frequency": "frequency of the population (Hz)",
    "consistency": "agreement of sessions (R²)",
    "goodness": "what an embedding says of its positives (bits)",
    "held_out_affinity": "variance of held-out affinities explained",
    "modularity": "modularity of communities",
    "community_information": "found and planted communities (normalised mutual information)",
    "course_cosine": "found and planted courses (cosine)",
    "pixcorr": "PixCorr",
    "ssim": "SSIM",
    "psnr": "PSNR (dB)",
    "mse": "mean squared error",
    "two_way": "two-way identification",
    "n_way": "n-way identification",
    "within_category": "two-way identification within a category",
    "feature_distance": "distance of features",
    "lpips": "LPIPS-like distance",
    "bleu": "BLEU",
    "meteor": "METEOR",
    "rouge": "ROUGE",
    "cider": "CIDEr",
    "sentence_cosine": "sentence cosine",
    "frame_ssim": "SSIM of frames",
    "frame_psnr": "PSNR of frames (dB)",
    "film_two_way": "two-way identification of films",
    "film_n_way": "n-way identification of films",
    "end_point_error": "end-point error of optical flow (px)",
    "temporal_consistency": "temporal consistency",
    "motion_direction": "direction of motion",
    "activation_rise": "rise of the region's activation (SD)",
    "activation_trend": "trend of activation with guidance",
    "planted_attribute": "planted attribute in guided pictures",
    "encoding_r": "held-out r of the encoding model",
    "caption_r": "r of responses with likeness to the caption",
    "planted_named": "captions that name what was planted",
    "integration_sites": "share of electrodes that are sites of integration",
    "sites_by_region": "share of sites by region",
    "pearson_lead": "lead in r",
    "pearson_at_sites": "r at sites",
    "information_rate": "information rate (bits a minute)",
    "wolpaw_rate": "Wolpaw's rate (bits a minute)",
    "rate_of_selections": "rate of selections (bits a minute)",
    "accuracy_of_selections": "share of right selections",
    "trend_a_run": "trend a run",
}
_DIFFERENCE = "_difference"
_ROWS = {
    "fresh_weights": "fresh weights",
    "jittered_spikes": "jittered spikes",
    "state_free": "data without states",
    "rates_only": "states of rates only",
    "over_rates_only": "beyond states of rates only",
    "before_steering": "before steering",
    "without_astrocyte": "without the astrocyte",
    "no_recurrence": "without recurrence",
    "input_counts": "counts of the input",
    "input_times": "input in time bins",
    "steered_from_weak": "steered, weak at first",
    "over_before_steering": "over the liquid before steering",
    "over_without_astrocyte": "over plasticity without the astrocyte",
    "over_no_recurrence": "over neurons without recurrence",
    "over_input_counts": "over counts of the input",
    "over_input_times": "over the input in time bins",
    "shifted_trains": "trains shifted in time",
    "refit_null": "surrogate features",
    "one_penalty": "plain ridge",
    "class_known": "class only",
    "oasm": "neighbours in time only",
    "neighbourhood": "neighbours in time only",
    "nuisance": "position, length and pace only",
    "best_layer": "best layer (optimistic)",
    "random_units": "as many random units",
    "unselective_units": "as many unselective units",
    "untrained": "untrained networks",
    "untrained_mean": "untrained networks, mean",
    "same_stimuli": "chosen and tried on the same",
    "nearest_training": "nearest training item",
    "category_oracle": "same category, random",
    "mean_picture": "mean training picture",
    "chosen": "chosen on validation rows",
    "not_projected": "weights not projected",
    "class_only": "class only",
    "embedding_only": "embedding only",
    "control_only": "control image only",
    "no_residual": "without the residual block",
    "no_subject_layers": "without subject layers",
    "over_no_subject_layers": "over no subject layers",
    "content_permutation": "contents exchanged",
    "deep_mel": "learned mel spectra",
}
_NOT_DECODED = {  # metrics of which the judged row is no decoder's
    "pearson", "pearson_normalized", "r2", "split_r2", "unique_r2", "added_r2", "pearson_units", "rsa", "rsa_partial", "cka", "cka_partial",
    "cosine", "spearman", "rho_a", "kendall_tau_b", "tau_a", "cosine_cov", "corr_cov", "partial_linear", "partial_rank", "explained_variance",
    "tagged_channels", "tagged_units", "auc_planted", "planted_auc", "spectra_rho", "held_out_effect", "split_half_r", "surprisal_rise",
    "class_errors_rise", "brain_r", "logit_lens", "universal", "ngram", "positional", "vocabulary", "sparsity", "massive", "dead", "induction",
    "copying", "previous_token", "cmr", "verbatim_memory", "localizer", "frequency_tag", "lape", "language_specificity", "average_precision",
    "gradient_activation", "word_class", "weber_fechner", "bits_saved", "silent_share", "multiply_adds_saved", "rate", "rate_ratio",
    "tuning_variance", "tuned_units", "field_coherence", "phase_consistency", "locked_units", "strongest_synchrony", "fano_factor",
    "interval_cv", "local_variation", "bits_per_spike", "state_gain", "state_accuracy", "branching", "synchrony_depth", "cv_intervals", "fano_5ms", "population_frequency",
    "consistency", "goodness", "held_out_affinity", "community_information", "course_cosine", "modularity", "caption_r", "planted_named", "activation_rise", "activation_trend", "planted_attribute", "encoding_r",
    "integration_sites", "sites_by_region", "pearson_lead", "pearson_at_sites",
}  # fmt: skip
_RATES = {"tagged_channels", "tagged_units", "auc_planted"}  # their bands are rates
_CHECKS = {
    "oasm": "neighbours in time",
    "shuffled_split": "split",
    "random_units": "random units",
    "untrained": "untrained networks",
}
_PARTS = {  # as block_keys writes them, without underscores
    "reliable": "reliable channels",
    "csp": "CSP",
    "tangent space": "tangent space",
    "filter bank csp": "filter-bank CSP",
    "r2 selected": "features by r²",
    "adaptive q": "learning from rewards",
    "tangent space recentre=session": "tangent space, sessions re-centred",
}
_MODALITIES = {"eeg": "EEG", "meg": "MEG", "ieeg": "iEEG", "fmri": "fMRI", "fnirs": "fNIRS"}


def metric_name(metric: Any) -> str:
    """Return the name of a metric for people."""
    text = str(metric)
    if text.endswith(_DIFFERENCE):
        return f"lead in {metric_name(text.removesuffix(_DIFFERENCE))}"
    if text.startswith("top") and text[3:].isdigit():
        return f"top-{text[3:]} accuracy"
    return _NAMES.get(text, text.replace("_", " "))


def block_name(key: str) -> str:
    """Return the name of a block of scores, such as "pearson, reliable, all bands", for people."""
    metric, *parts = key.split(", ")
    name, named = metric_name(metric), [_PARTS.get(part.replace("_", " "), part) for part in parts]
    if metric in _RATES and len(named) > 1:
        named[-1] = f"{named[-1]} rate"
    return ", ".join([name, *named])


def is_decoded(metric: str) -> bool:
    """True where the judged row of a metric is that of a decoder."""
    return not (metric in _NOT_DECODED or metric.endswith(_DIFFERENCE))


def row_name(row: Any, metric: str = "") -> str:
    """Return the name of a row of scores for people; the judged row of an alignment is its "score", as nothing is decoded."""
    text = str(row)
    if text == "decoded" and not is_decoded(metric):
        return "score"
    if text in _ROWS:
        return _ROWS[text]
    text = re.sub(r"^(over )?untrained_(\d+)$", r"\1untrained network \2", text)
    text = re.sub(r"^layer (\S+) (\w+)$", lambda m: f"layer {m[1]}, {site_name(m[2])}", text)
    return text.replace("_", " ")


def check_name(check: Any) -> str:
    """Return the name of a check of the audit for people."""
    return _CHECKS.get(str(check), str(check).replace("_", " "))


def modality_name(text: str) -> str:
    """Return a modality as people write it."""
    return _MODALITIES.get(text, text)


def number(value: Any, *, span: float = 0.0) -> str:
    """A score as text: three places where it is small, none where it is large; empty when there is none.

    On a scale that spans ``span`` of 0.02 or more, what is less than 0.0005 is 0.000: more places would be noise.
    """
    if value is None or not np.isfinite(value):
        return ""
    size = abs(float(value))
    if size < 0.0005 and span >= 0.02:
        return "0.000"
    if size >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.1f}" if size >= 100 else f"{value:.2f}" if size >= 10 else f"{value:.3f}"
    if text.strip("-0.") == "" and value != 0:
        text = f"{value:.2g}"
    return text.replace("-", "−")


def p_number(p: float) -> str:
    """A p-value as text; empty when there is none."""
    if not np.isfinite(p):
        return ""
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_phrase(p: float) -> str:
    """A p-value as ", p = 0.012"; empty when there is none."""
    text = p_number(p)
    hard = "\u00a0"  # a space where a line must not end
    return (
        "" if not text else f", p{hard}{text.replace(' ', hard)}" if text.startswith("<") else f", p{hard}={hard}{text}"
    )


def fact(value: Any) -> str:
    """A fact as text: counts with thousands, tables as "name count" pairs."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not said"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {fact(v)}" for k, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(fact(v) for v in value) or "none"
    return str(value)


def nice_ends(low: float, high: float) -> tuple[float, float]:
    """Return round numbers that enclose a span, with some room; a span inside 0 to 1 stays inside it."""
    span = high - low
    if not span > 0:
        span = abs(high) or 1.0
    raw = span / 10
    size = 10 ** np.floor(np.log10(raw))
    step = size * next(k for k in (1, 2, 5, 10) if k * size >= raw * (1 - 1e-9))
    ends = [float(np.floor((low - 0.03 * span) / step) * step), float(np.ceil((high + 0.03 * span) / step) * step)]
    if low >= 0:
        ends[0] = max(ends[0], 0.0)
    if high <= 1 and low >= 0:
        ends[1] = min(ends[1], 1.0)
    return ends[0], ends[1]


def tick(value: float) -> str:
    """An end of a scale as short text."""
    return f"{round(value, 10):g}".replace("-", "−")
