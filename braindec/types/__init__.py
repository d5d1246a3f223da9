"""The types that every room shares: frozen dataclasses over numpy and pandas, read lazily, saved without pickle."""

from braindec.types.features import Features
from braindec.types.pictures import Pictures
from braindec.types.recording import Recording
from braindec.types.result import Result
from braindec.types.segments import Segments
from braindec.types.signals import ArraySignal, HDF5Signal, SelectedSignal, Signal, StackedSignal
from braindec.types.spikes import Spikes
from braindec.types.split import FitRecord, Split, hash_ids
from braindec.types.windows import Windows

__all__ = [
    "ArraySignal",
    "Features",
    "FitRecord",
    "HDF5Signal",
    "Pictures",
    "Recording",
    "Result",
    "Segments",
    "SelectedSignal",
    "Signal",
    "Spikes",
    "Split",
    "StackedSignal",
    "Windows",
    "hash_ids",
]
