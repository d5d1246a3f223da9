"""Frame PSNR: peak signal-to-noise ratio of each frame, dB, mean over frames; see ``psnr``."""

from __future__ import annotations

from dataclasses import replace

from braindec.evaluate.pictures.psnr import psnr

__all__ = ["frame_psnr"]

frame_psnr = replace(
    psnr,
    name="frame_psnr",
    kind="films",
    describe="peak signal-to-noise ratio in dB of each frame, mean over frames; identical frames count 100 dB",
    blind_says="the mean training film, the same for every item",
)
