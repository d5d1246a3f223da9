"""Frame SSIM: structural similarity of each frame with the frame shown at its time, mean over frames.

Source: see ``ssim``; per-frame use as in Chen, Qing & Zhou 2023 (NeurIPS, "MinD-Video"). A film that stands still on the right
picture scores high: put ``motion_direction`` or ``end_point_error`` beside it.
"""

from __future__ import annotations

from dataclasses import replace

from braindec.evaluate.pictures.ssim import ssim

__all__ = ["frame_ssim"]

frame_ssim = replace(
    ssim,
    name="frame_ssim",
    kind="films",
    describe="structural similarity of each frame with the one shown, mean over frames",
    blind_says="the mean training film, the same for every item",
)
