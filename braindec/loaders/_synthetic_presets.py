"""Sizes of the synthetic cohorts: plain numbers, one frozen table a modality and preset."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from braindec.errors import BraindecError, did_you_mean

_CAP16 = "Fp1 Fp2 F7 F8 Fz C3 Cz C4 T7 T8 P7 Pz P8 O1 Oz O2"
_CAP32 = "Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 PO7 PO3 PO4 PO8 O1 Oz O2"
_CAP63 = (
    "Fp1 Fp2 AF7 AF3 AFz AF4 AF8 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT9 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 FT10 T7 C5 C3 C1 Cz "
    "C2 C4 C6 T8 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2 Iz"
)


@dataclass(frozen=True)
class EEGPreset:
    """What an EEG cohort holds. Times in s; training and test images are shown in separate runs."""

    n_subjects: int = 3
    channels: str = _CAP32
    sfreq: float = 200.0
    train_concepts: int = 60
    train_exemplars: int = 8
    train_repetitions: int = 1
    test_concepts: int = 50
    test_repetitions: int = 8
    train_runs: int = 2
    test_runs: int = 2
    soa: tuple[float, float] = (0.34, 0.46)
    image_duration: float = 0.2
    n_components: int = 16
    n_units: int = 64
    strength: float = 1.0
    line_freq: float = 50.0
    picture_size: int = 128


@dataclass(frozen=True)
class FMRIPreset:
    """What an fMRI cohort holds. Times in s, lengths in mm; each block shows the images of one category."""

    n_subjects: int = 3
    categories: int = 6
    exemplars: int = 12
    runs: int = 6
    blocks_per_category: int = 2
    images_per_block: int = 6
    image_duration: float = 2.0
    rest: tuple[float, float] = (6.0, 10.0)
    tr: float = 2.0
    voxel: int = 5
    bounds: tuple[tuple[float, float], ...] = ((-72.5, 72.5), (-105.0, -20.0), (-25.0, 5.0))
    n_units: int = 32
    strength: float = 1.0
    picture_size: int = 128


PRESETS: dict[str, dict[str, Any]] = {
    "eeg": {
        "demo": EEGPreset(),
        "tiny": EEGPreset(n_subjects=2, channels=_CAP16, sfreq=125.0, train_concepts=20, train_exemplars=6, test_concepts=10,
                          test_repetitions=4, n_components=8, n_units=24, strength=2.5, picture_size=64),
        "paper-like": EEGPreset(n_subjects=10, channels=_CAP63, sfreq=250.0, train_concepts=200, train_exemplars=10,
                                train_repetitions=2, test_concepts=200, test_repetitions=20, train_runs=4, test_runs=4,
                                soa=(0.2, 0.2), image_duration=0.1),
    },
    "fmri": {
        "demo": FMRIPreset(),
        "tiny": FMRIPreset(n_subjects=2, categories=3, exemplars=4, runs=4, blocks_per_category=2, images_per_block=4, n_units=8,
                           bounds=((-55.0, 55.0), (-100.0, -45.0), (-20.0, -5.0)), strength=1.3, picture_size=64),
        "paper-like": FMRIPreset(n_subjects=6, categories=8, exemplars=24, runs=12, voxel=4),
    },
}  # fmt: skip


def parameters(
    modality: str, preset: str, seed: int, n_subjects: int | None, changes: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the preset with its changes, and everything that decides the bytes of the cohort as plain JSON.

    Raises
    ------
    BraindecError
        If the modality, the preset or a setting is unknown, or a number makes no sense.
    """
    if modality not in PRESETS:
        raise BraindecError(
            f"no synthetic cohort of modality {modality!r}{did_you_mean(modality, PRESETS)}", allowed=", ".join(PRESETS)
        )
    if preset not in PRESETS[modality]:
        raise BraindecError(
            f"there is no preset {preset!r}{did_you_mean(preset, PRESETS[modality])}",
            allowed=", ".join(PRESETS[modality]),
        )
    chosen = PRESETS[modality][preset]
    known = [f.name for f in fields(chosen)]
    unknown = [k for k in changes if k not in known]
    if unknown:
        raise BraindecError(
            f"unknown setting {unknown[0]!r}{did_you_mean(unknown[0], known)}", allowed=", ".join(known)
        )
    if n_subjects is not None:
        changes = {**changes, "n_subjects": n_subjects}
    chosen = replace(chosen, **changes)
    _check(chosen)
    return chosen, {"modality": modality, "seed": int(seed), **_plain(asdict(chosen))}


def _check(chosen: Any) -> None:
    for f in fields(chosen):
        value = getattr(chosen, f.name)
        if isinstance(value, (int, float)) and not (value > 0 or (f.name == "strength" and value == 0)):
            raise BraindecError(f"{f.name} must be greater than 0", found=repr(value))
    if chosen.n_subjects > 99:
        raise BraindecError("n_subjects must be at most 99", found=str(chosen.n_subjects))
    if chosen.picture_size % 64:
        raise BraindecError("picture_size must be a multiple of 64", found=str(chosen.picture_size))
    if isinstance(chosen, EEGPreset):
        if chosen.test_repetitions % chosen.test_runs:
            raise BraindecError("test_repetitions must be a multiple of test_runs",
                                found=f"{chosen.test_repetitions} repetitions, {chosen.test_runs} runs")  # fmt: skip
        if 1e6 / chosen.sfreq != round(1e6 / chosen.sfreq):
            raise BraindecError(
                "1 / sfreq must be a whole number of microseconds",
                found=f"{chosen.sfreq} Hz",
                allowed="125, 200, 250, 500, ...",
            )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value
