"""Sounds: WAV without further packages, FLAC, OGG and MP3 through soundfile, at the sampling frequency asked for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, MissingExtraError, UnreadableError
from braindec.loaders import _files
from braindec.loaders.stimulus_series import hash_of, stretches
from braindec.stats.asked import number
from braindec.types import Recording

__all__ = ["AudioInfo", "Sound", "as_sound", "audio_info", "cut_at_blocks", "load_audio"]

_WAV = (".wav", ".wave")
_OTHERS = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file says of itself.

    Attributes
    ----------
    sfreq : float
        Hz.
    n_samples, n_channels : int
    encoding : str
        Such as "int16", "float32", or what soundfile calls it.
    """

    sfreq: float
    n_samples: int
    n_channels: int
    encoding: str

    @property
    def duration(self) -> float:
        """Length in s."""
        return self.n_samples / self.sfreq


@dataclass(frozen=True, eq=False)
class Sound:
    """A mono sound in memory.

    Attributes
    ----------
    samples : array of shape (n_samples,)
        float32, 1 is full scale.
    sfreq : float
        Hz.
    name : str
        Name of the file, without folder.
    path : str or None
    content : str
        Hash of the file or of the samples.
    """

    samples: np.ndarray
    sfreq: float
    name: str
    path: str | None
    content: str

    @property
    def duration(self) -> float:
        """Length in s."""
        return len(self.samples) / self.sfreq


def load_audio(path: str | Path, *, sfreq: float | None = 16000.0, mono: bool = True) -> tuple[np.ndarray, float]:
    """Read a sound.

    Parameters
    ----------
    path : str or Path
        WAV (8, 16, 24, 32 bit, float); FLAC, OGG, MP3 with the extra ``audio``.
    sfreq : float or None
        Sampling frequency wanted, Hz; None keeps that of the file. A low-pass goes before it (polyphase, 80 dB).
    mono : bool
        Average the channels.

    Returns
    -------
    samples : array of float32, shape (n_samples,), or (n_channels, n_samples) when ``mono`` is False
        1 is the full scale of integers; floats are as they are.
    sfreq : float
        Hz.

    Raises
    ------
    UnreadableError
        If it is no sound that can be read, is cut short, empty, or not finite.
    MissingExtraError
        If it is no WAV and soundfile is not installed.
    """
    path = _files.existing(path)
    values, rate, _ = _read(path)
    if not values.size:
        raise UnreadableError(f"{path} holds no sound", found="0 samples", fix="copy the file again")
    if not np.isfinite(values).all():
        raise UnreadableError(f"{path} holds values that are no numbers", found=f"{int((~np.isfinite(values)).sum())} of {values.size} are NaN or infinite",
                              fix="export the sound again")  # fmt: skip
    if mono:
        values = values.mean(axis=0, keepdims=True, dtype=np.float64)
    values, rate = _at_rate(values, rate, sfreq, path.name)
    return np.ascontiguousarray(values[0] if mono else values, dtype=np.float32), rate


def audio_info(path: str | Path) -> AudioInfo:
    """Return sampling frequency, length, channels and encoding of a sound file.

    Raises
    ------
    UnreadableError, MissingExtraError
        As :func:`load_audio`.
    """
    path = _files.existing(path)
    if path.suffix.lower() not in _OTHERS or path.is_dir():
        values, rate, encoding = _read(path, lazy=True)
        return AudioInfo(rate, values.shape[1], values.shape[0], encoding)
    soundfile = _soundfile(path)
    try:
        with soundfile.SoundFile(str(path)) as file:
            return AudioInfo(
                float(file.samplerate), int(file.frames), int(file.channels), f"{file.format} {file.subtype}"
            )
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise _unreadable(path, error) from error


def as_sound(sound: Any, *, sfreq: float | None = 16000.0) -> Sound:
    """Open whatever stands for a sound: a path, a :class:`Sound`, a pair (samples, sfreq), or an object with
    ``sound``, ``sfreq`` and ``audio`` such as a made-up story.

    Raises
    ------
    BraindecError
        If it stands for none, is empty or not finite.
    """  # fmt: skip
    if isinstance(sound, (str, Path)):
        samples, rate = load_audio(sound, sfreq=sfreq)
        return Sound(samples, rate, Path(sound).name, str(sound), hash_of(sound))
    name, path, content = "sound", None, None
    if isinstance(sound, Sound):
        samples, rate, name, path, content = sound.samples, sound.sfreq, sound.name, sound.path, sound.content
    elif isinstance(sound, tuple) and len(sound) == 2:
        samples, rate = sound
    elif hasattr(sound, "sound") and hasattr(sound, "sfreq"):
        samples, rate, name = sound.sound, sound.sfreq, str(getattr(sound, "audio", name))
    else:
        raise BraindecError("this is no sound", found=type(sound).__name__, allowed="a path, or a pair (samples, sfreq in Hz)")  # fmt: skip
    samples = np.asarray(samples)
    if samples.ndim != 1 or not samples.size or samples.dtype.kind not in "fiu":
        raise BraindecError(f"{name}: a sound is a row of numbers", found=f"{samples.dtype} of shape {samples.shape}",
                            fix="average the channels first")  # fmt: skip
    if samples.dtype.kind != "f":
        raise BraindecError(f"{name}: samples are floats, 1 is full scale", found=str(samples.dtype), fix="divide by the full scale, such as 32768")  # fmt: skip
    if not np.isfinite(samples).all():
        raise BraindecError(f"{name}: the sound holds values that are no numbers", found=f"{int((~np.isfinite(samples)).sum())} of {samples.size}")  # fmt: skip
    rate = number(float(rate), "sfreq", least=0, ends=False, unit="Hz")
    values, rate = _at_rate(samples[None], rate, sfreq, name)
    return Sound(np.ascontiguousarray(values[0], dtype=np.float32), rate, name, path, content or hash_of(samples))


def cut_at_blocks(
    samples: np.ndarray, blocks: pd.DataFrame | Sequence[tuple[float, float]] | None, *, sfreq: float, name: str = "the sound"
) -> list[tuple[float, np.ndarray]]:  # fmt: skip
    """Cut a sound where blocks begin and end; what lies between them is a piece too.

    Parameters
    ----------
    samples : array of shape (n_samples,)
    blocks : DataFrame, sequence of (start, stop), or None
        In s; see :func:`braindec.loaders.stimulus_series.stretches`.
    sfreq : float
        Hz.
    name : str

    Returns
    -------
    list of (start, array)
        Start in s, and the samples until the next piece; together they are the sound.

    Raises
    ------
    BraindecError
        If blocks overlap or leave the sound.
    """
    samples = np.asarray(samples)
    parts = stretches(blocks, len(samples) / sfreq, sfreq=sfreq, name=name)
    return [(part.start, samples[part.first : part.last]) for part in parts]


def _read(path: Path, *, lazy: bool = False) -> tuple[np.ndarray, float, str]:
    """Samples as float32 (n_channels, n_samples) (as stored, when ``lazy``), Hz, and how they are stored."""
    if path.is_dir():
        raise UnreadableError(f"{path} is a folder, not a sound", fix="name one file of it")
    if path.suffix.lower() in _WAV:
        found = _read_wav(path, lazy)
        if found is not None:
            return found
    elif path.suffix.lower() not in _OTHERS:
        raise UnreadableError(f"{path} is no sound that is known", found=f"ending {path.suffix!r}", allowed=", ".join((*_WAV, *_OTHERS)))  # fmt: skip
    soundfile = _soundfile(path)
    try:
        values, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise _unreadable(path, error) from error
    return values.T, float(rate), "float32"


def _unreadable(path: Path, error: Exception) -> UnreadableError:
    return UnreadableError(
        f"{path} cannot be read as a sound", found=str(error)[:150], fix="copy the file again, or convert it to WAV"
    )


def _read_wav(path: Path, lazy: bool) -> tuple[np.ndarray, float, str] | None:
    """As :func:`_read`; None for an encoding that scipy does not know."""
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of other programs
        warnings.filterwarnings("error", message=".*[Ee]OF.*", category=wavfile.WavFileWarning)
        try:
            rate, values = wavfile.read(path, mmap=False)
        except wavfile.WavFileWarning as error:
            raise UnreadableError(f"{path} ends early", found=str(error)[:150], fix="copy the file again") from error
        except (ValueError, OSError, EOFError, MemoryError, IndexError, KeyError, UnboundLocalError) as error:
            if "Unknown wave file format" in str(error):
                return None
            raise UnreadableError(f"{path} cannot be read as WAV", found=f"{type(error).__name__}: {str(error)[:150]}",
                                  fix="copy the file again, or convert it") from error  # fmt: skip
        except Exception as error:  # struct.error of a cut header
            if type(error).__module__ != "struct":
                raise
            raise UnreadableError(f"{path} cannot be read as WAV", found="its header ends early", fix="copy the file again") from error  # fmt: skip
    if not rate > 0:
        raise UnreadableError(f"{path} has no sampling frequency", found=repr(rate))
    encoding = str(values.dtype)
    values = values[None] if values.ndim == 1 else values.T
    if lazy:
        return values, float(rate), encoding
    if values.dtype == np.uint8:  # 8 bit is unsigned
        return ((values.astype(np.float32) - 128) / 128), float(rate), encoding
    if values.dtype.kind == "i":  # 24 bit is read into the upper bytes of 32
        return (values / float(-np.iinfo(values.dtype).min)).astype(np.float32), float(rate), encoding
    return values.astype(np.float32), float(rate), encoding


def _soundfile(path: Path) -> Any:
    try:
        import soundfile
    except ImportError:
        raise MissingExtraError.of("soundfile", "audio", f"reading the sound {path.name}") from None
    return soundfile


def _at_rate(values: np.ndarray, rate: float, sfreq: float | None, name: str) -> tuple[np.ndarray, float]:
    """Values (n_channels, n_samples) at ``sfreq`` Hz."""
    if sfreq is None or abs(rate - number(sfreq, "sfreq", least=0, ends=False, unit="Hz")) < 1e-9 * rate:
        return values, rate
    from braindec.signal.steps.resample import resample

    channels = pd.DataFrame({"name": [str(k) for k in range(len(values))]})
    new = resample(Recording(values, rate, channels, info={"path": name}), sfreq=float(sfreq))
    return new.load(), float(sfreq)
