"""Prepare: apply a list of steps to recordings, and keep the results on disk so that windows are read from a memory map."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from braindec import registry
from braindec.config import fill_options
from braindec.errors import BraindecError, did_you_mean
from braindec.files import explain_os_error
from braindec.signal._source import source_key
from braindec.types import ArraySignal, HDF5Signal, Recording, SelectedSignal, StackedSignal

if TYPE_CHECKING:
    from braindec.cache import Cache

__all__ = ["Step", "check_steps", "prepare"]

_FORMAT = 1  # of a cached recording

Step = tuple[str, dict[str, Any]]


def prepare(
    recordings: Recording | Sequence[Recording], steps: Sequence[Any] = (), *, cache: Cache | None = None
) -> list[Recording]:
    """Apply ``steps`` to each recording, one after the other.

    Parameters
    ----------
    recordings : Recording or sequence of Recording
        Each is read when its turn comes; one is in memory at a time when there is a cache.
    steps : sequence
        Names, or mappings of a name to its options: ``[{"filter": {"low": 1.0, "high": 20.0}}, "zscore"]``.
    cache : Cache, optional
        Results are stored there as contiguous float32, under a key of the files (or samples) and the steps, and opened
        memory-mapped; without a cache they are in memory.

    Returns
    -------
    list of Recording
        In the order given. ``info["steps"]`` lists what was applied.

    Raises
    ------
    BraindecError
        If a step or an option is unknown (all such errors at once), or a step refuses a recording.
    """
    from tqdm import tqdm

    plan = check_steps(steps)
    listed = [recordings] if isinstance(recordings, Recording) else list(recordings)
    if not plan and (cache is None or all(_is_ready(r) for r in listed)):
        return listed
    bar = tqdm(listed, desc="prepare", unit="run", disable=None, leave=False)
    return [_one(recording, plan, cache) for recording in bar]


def check_steps(steps: Sequence[Any]) -> list[Step]:
    """Return (name, options with defaults filled in) of each step.

    Raises
    ------
    BraindecError
        Lists every unknown step, unknown or missing option and wrong type, with the nearest names.
    """
    if isinstance(steps, (str, Mapping)):
        steps = [steps]
    plan, errors = [], []
    for number, step in enumerate(steps, start=1):
        try:
            plan.append(_one_step(step))
        except BraindecError as error:
            errors.append((number, error))
    if len(errors) == 1:
        raise BraindecError(f"signal step {errors[0][0]}: {errors[0][1].asked}", found=errors[0][1].found,
                            allowed=errors[0][1].allowed, fix=errors[0][1].fix)  # fmt: skip
    if errors:
        lines = [f"step {n}: {e.asked}" + (f" (allowed: {e.allowed})" if e.allowed else "") for n, e in errors]
        raise BraindecError(f"{len(errors)} signal steps cannot be used", found="; ".join(lines))
    return plan


def _one_step(step: Any) -> Step:
    if isinstance(step, Mapping) and len(step) == 1:
        name, options = next(iter(step.items()))
    elif isinstance(step, str):
        name, options = step, None
    elif isinstance(step, (tuple, list)) and len(step) == 2 and isinstance(step[0], str):
        name, options = step
    else:
        raise BraindecError(
            f"{step!r} is no step", allowed="a name, or one name with its options: {filter: {low: 1.0, high: 20.0}}"
        )
    known = registry.names("signal.steps")
    if name not in known:
        raise BraindecError(f"there is no step {name!r}{did_you_mean(str(name), known)}", allowed=", ".join(known))
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        raise BraindecError(
            f"the options of {name} must be names with values", found=repr(options), fix=f"e.g. {name}: {{...}}"
        )
    return name, _check_options(name, _function(name), options)


def _check_options(name: str, function: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(function, eval_str=True).parameters
    return fill_options(name, {k: p for k, p in parameters.items() if p.kind is p.KEYWORD_ONLY}, options)


def _function(name: str) -> Callable[..., Recording]:
    return registry.get("signal.steps", name)


def _one(recording: Recording, plan: list[Step], cache: Cache | None) -> Recording:
    if cache is None:
        return _apply(recording, plan)
    from braindec.types.storage import open_recording, write_recording

    versions = {name: getattr(registry.load_module("signal.steps", name), "VERSION", 1) for name, _ in plan}
    key = {"format": _FORMAT, "source": source_key(recording), "steps": [[n, o, versions[n]] for n, o in plan]}
    name = f"{recording.label}_prepared"
    try:
        path = cache.get(name, key, lambda file: write_recording(file, _apply(recording, plan)))
    except RuntimeError as error:
        # HDF5 fails a second time, with another error, when a file that could not be written is closed
        first = error.__context__ if isinstance(error.__context__, OSError) else OSError(str(error))
        if "errno" not in str(error):
            raise
        raise explain_os_error(first, cache.path(name, key)) from error
    found = open_recording(path)
    return found.with_signal(found.signal, path=recording.info.get("path"))  # the data may have moved since


def _apply(recording: Recording, plan: list[Step]) -> Recording:
    applied = list(recording.info.get("steps") or [])
    for name, options in plan:
        recording = _function(name)(recording, **options)
        applied.append({name: {k: v for k, v in options.items() if v is not None}})
    return recording.with_signal(recording.signal, steps=applied)


def _is_ready(recording: Recording) -> bool:
    """True when windows can be read fast from where the signal is: memory, or a memory map."""
    signal = recording.signal
    if isinstance(signal, SelectedSignal):
        signal = signal.source
    return isinstance(signal, (ArraySignal, StackedSignal, HDF5Signal))
