"""speech_model: layers of a pretrained network of speech (wav2vec 2.0, HuBERT, WavLM and the like), from a folder on this machine.

Source: Défossez et al. 2023 (Nat Mach Intell 5:1097), Methods, "wav2vec 2.0": the mean of five layers (14 to 18 of 24), brought to the
rate of the recording; Baevski et al. 2020 (NeurIPS 33:12449) for the network and the zero mean and unit variance of its input.
Differs from the reference in: each feature stands at the middle of the samples it was computed from (12.5 ms, half of 400 samples, after
its first one), the sound is cut at blocks before anything is computed, and long blocks are read in pieces with context.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec.cache import Cache, fingerprint
from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate._local_weights import local_folder
from braindec.evaluate._transformers_network import open_model
from braindec.loaders.audio import Sound, as_sound
from braindec.loaders.stimulus_series import Stretch, in_stretches, make_series, stretches
from braindec.stats.asked import number, seed_of, whole
from braindec.types import Recording
from braindec.types.storage import write_recording

__all__ = ["speech_model"]

_METHODS = ("nearest", "linear")
_WHAT = "speech_model"
VERSION = 1  # of the computation, in the key of cached series


def speech_model(
    sound: Any, *, model: str | Path, layers: Sequence[int] = (14, 15, 16, 17, 18), sfreq: float = 50.0, method: str = "nearest",
    chunk: float = 20.0, context: float = 5.0, normalize: bool | None = None, untrained: int | None = None, device: str = "cpu",
    cache: Cache | None = None, blocks: Any = None,
) -> Recording:  # fmt: skip
    """Compute the mean of some layers of a network over time.

    Parameters
    ----------
    sound : path, Sound, or (samples, sfreq)
        It is brought to the rate of the model (16 kHz).
    model : str or Path
        A folder that ``save_pretrained`` wrote (config.json, safetensors); nothing is downloaded.
    layers : sequence of int
        Hidden states to average: 0 is the input of the first transformer layer, the last one its number of layers.
    sfreq : float
        Samples of the series a second, Hz; the model gives 50.
    method : {"nearest", "linear"}
        How features of the model, each at the middle of its samples, are brought to the samples of the series.
    chunk, context : float
        A block longer than ``chunk`` s is read in pieces of that length, each with up to ``context`` s before and after.
    normalize : bool, optional
        Bring the sound of each block to zero mean and unit variance; as the folder's preprocessor_config.json says without
        it, and yes if there is none.
    untrained : int, optional
        A seed: the same network with weights drawn by chance, as a control.
    device : str
    cache : Cache, optional
        Series are kept under the content of sound and model and all settings.
    blocks : DataFrame or sequence of (start, stop), optional
        The sound is cut there first (s): context cannot cross, so a split between blocks leaks nothing.

    Returns
    -------
    Recording
        Units "unit 0" ...

    Raises
    ------
    BraindecError
        If there is no such folder, layer or method, or the model does not read sound.
    """
    sfreq = number(sfreq, "sfreq", least=0, ends=False, unit="Hz")
    number(chunk, "chunk", least=1, unit="s"), number(context, "context", least=0, unit="s")
    if method not in _METHODS:
        raise BraindecError(f"there is no method {method!r}{did_you_mean(str(method), _METHODS)}", allowed=", ".join(_METHODS))  # fmt: skip
    if untrained is not None:
        seed_of(untrained, "untrained")
    folder, config, told = _described(model)
    layers = _layers(layers, int(config.num_hidden_layers))
    normalize = bool(told.get("do_normalize", True)) if normalize is None else bool(normalize)
    sound = as_sound(sound, sfreq=float(told.get("sampling_rate", 16000)))
    parts = stretches(blocks, sound.duration, sfreq=sfreq, name=sound.name)
    settings = {"model": folder.name, "model_type": str(config.model_type), "weights": None if untrained is not None else fingerprint(folder),
                "layers": layers, "method": method, "chunk": chunk, "context": context, "normalize": normalize, "untrained": untrained,
                "n_blocks": len(parts)}  # fmt: skip

    def compute() -> Recording:
        network = _open(folder, config, untrained, device)

        def make(part: Stretch, times: np.ndarray) -> np.ndarray:
            return _part(network, sound, part, times, layers=layers, method=method, chunk=chunk, context=context, normalize=normalize)  # fmt: skip

        values = in_stretches(parts, int(config.hidden_size), sfreq, make, doing=f"{folder.name} hears {sound.name}")
        return make_series(values, sfreq, [f"unit {k}" for k in range(len(values))], feature="speech_model", stimulus=sound.name,
                           settings=settings, path=sound.path, content=sound.content)  # fmt: skip

    if cache is None:
        return compute()
    key = {**settings, "version": VERSION, "content": sound.content, "sfreq": sfreq, "name": sound.name,
           "config": config.to_dict() if untrained is not None else None, "parts": [[p.start, p.stop] for p in parts]}  # fmt: skip
    return Recording.open(cache.get(f"speech_model-{sound.name}", key, lambda file: write_recording(file, compute())))


def _described(model: str | Path) -> tuple[Path, Any, dict[str, Any]]:
    """The folder, the configuration of the network, and how it wants its sound."""
    from transformers import AutoConfig

    folder = local_folder(model, what=_WHAT)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise BraindecError(f"{folder} does not say which model it holds", found=str(error).splitlines()[0][:150], fix="name a folder that save_pretrained wrote") from error  # fmt: skip
    if not getattr(config, "conv_stride", None) or not getattr(config, "conv_kernel", None):
        raise BraindecError(f"{folder} holds no network that reads a sound sample by sample", found=f"model type {config.model_type!r}",
                            allowed="wav2vec2, hubert, wavlm, unispeech, data2vec-audio, ...")  # fmt: skip
    path = folder / "preprocessor_config.json"
    told = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    return folder, config, told


def _layers(layers: Sequence[int], n_layers: int) -> list[int]:
    asked = [whole(k, "a layer") for k in ([layers] if isinstance(layers, int) else layers)]
    if not asked or len(set(asked)) < len(asked) or max(asked) > n_layers:
        raise BraindecError("layers are different numbers of hidden states", found=f"{asked} of a model of {n_layers} layers",
                            allowed=f"0 (before the first layer) to {n_layers}", fix=f"such as layers=({max(1, round(0.6 * n_layers))},)")  # fmt: skip
    return asked


def _open(folder: Path, config: Any, untrained: int | None, device: str) -> Any:
    if untrained is None:
        return open_model("AutoModel", folder, what=_WHAT, device=device)
    import torch
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(untrained)
        network = AutoModel.from_config(config)
    return network.to(device).eval().requires_grad_(False)


def _part(
    network: Any, sound: Sound, part: Stretch, times: np.ndarray, *, layers: Sequence[int], method: str, chunk: float, context: float,
    normalize: bool,
) -> np.ndarray:  # fmt: skip
    """Features of one stretch at ``times``, shape (n_units, n)."""
    own = sound.samples[round(part.start * sound.sfreq) : round(part.stop * sound.sfreq)].astype(np.float64)
    if normalize:
        own = (own - own.mean()) / np.sqrt(own.var() + 1e-7)
    hop, width = _geometry(network.config)
    if len(own) < width:  # shorter than one feature
        own = np.pad(own, (0, width - len(own)))
    features = _features(network, own.astype(np.float32), hop=hop, width=width, layers=layers, chunk=round(chunk * sound.sfreq / hop),
                         context=round(context * sound.sfreq / hop))  # fmt: skip
    at = (times * sound.sfreq - (width - 1) / 2) / hop  # in features; the middle of feature 0 is at (width - 1) / 2
    at = np.clip(at, 0, len(features) - 1)
    if method == "nearest":
        return features[np.floor(at + 0.5).astype(int)].T
    left = np.minimum(np.floor(at).astype(int), max(len(features) - 2, 0))
    right = np.minimum(left + 1, len(features) - 1)
    return (features[left] + (at - left)[:, None] * (features[right] - features[left])).T


def _geometry(config: Any) -> tuple[int, int]:
    """Samples from one feature of the model to the next, and samples that one is computed from."""
    hop, width = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        width += (kernel - 1) * hop
        hop *= stride
    return hop, width


def _features(
    network: Any, samples: np.ndarray, *, hop: int, width: int, layers: Sequence[int], chunk: int, context: int
) -> np.ndarray:
    """Mean of layers, shape (n_features, n_units), float32; read in pieces of ``chunk`` features with ``context`` more."""
    import torch

    n = (len(samples) - width) // hop + 1
    pieces = []
    for first in range(0, n, chunk):
        begin, end = max(first - context, 0), min(first + chunk + context, n)
        if n <= chunk:
            begin, end = 0, n
        stop = len(samples) if end == n else (end - 1) * hop + width  # the rest after the last feature is heard too
        heard = torch.from_numpy(samples[begin * hop : stop])[None]
        with torch.inference_mode():
            states = network(heard.to(network.device), output_hidden_states=True).hidden_states
            mean = torch.stack([states[k][0] for k in layers]).mean(dim=0)
        pieces.append(mean[first - begin : min(first + chunk, n) - begin].float().cpu().numpy())
    return np.concatenate(pieces)
