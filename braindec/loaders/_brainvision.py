"""Write BrainVision files: 32-bit numbers in microvolt, markers; same content, same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["save_brainvision"]


def save_brainvision(
    path: Path, data: np.ndarray, names: Sequence[str], sfreq: float, markers: Sequence[tuple[int, str]]
) -> None:
    """Write ``path`` (ending .vhdr) and the files beside it.

    Parameters
    ----------
    path : Path
    data : array of shape (n_channels, n_times)
        V.
    names : sequence of str
    sfreq : float
        Hz.
    markers : sequence of (int, str)
        First sample (from 0) and text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = path.name.removesuffix(".vhdr")
    channels = [f"Ch{k + 1}={name},,1,µV" for k, name in enumerate(names)]
    head = ["Brain Vision Data Exchange Header File Version 1.0", "", "[Common Infos]", "Codepage=UTF-8", f"DataFile={stem}.eeg",
            f"MarkerFile={stem}.vmrk", "DataFormat=BINARY", "DataOrientation=MULTIPLEXED", f"NumberOfChannels={len(names)}",
            f"SamplingInterval={1e6 / sfreq:.10g}", "", "[Binary Infos]", "BinaryFormat=IEEE_FLOAT_32", "", "[Channel Infos]", *channels]  # fmt: skip
    marked = [f"Mk{k + 2}=Stimulus,{text},{sample + 1},1,0" for k, (sample, text) in enumerate(markers)]
    mark = ["Brain Vision Data Exchange Marker File, Version 1.0", "", "[Common Infos]", "Codepage=UTF-8", f"DataFile={stem}.eeg", "",
            "[Marker Infos]", "Mk1=New Segment,,1,1,0", *marked]  # fmt: skip
    path.write_text("\n".join(head) + "\n", encoding="utf8")
    path.with_suffix(".vmrk").write_text("\n".join(mark) + "\n", encoding="utf8")
    path.with_suffix(".eeg").write_bytes(np.ascontiguousarray(data.T * 1e6, dtype="<f4").tobytes())
