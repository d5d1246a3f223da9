"""Training: one loop for encoders (:mod:`braindec.train.loop`), one for diffusion models (:mod:`braindec.train.diffusion`)."""

from braindec.train.loop import History, check_settings, fit, resolve_device

__all__ = ["History", "check_settings", "fit", "resolve_device"]
