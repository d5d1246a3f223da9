"""The one place that imports diffusers: from its top level only, but for the two names that stand below it."""

from __future__ import annotations

from diffusers import ConfigMixin, DiffusionPipeline, ModelMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import BaseOutput

__all__ = ["BaseOutput", "ConfigMixin", "DiffusionPipeline", "ModelMixin", "SchedulerMixin", "register_to_config"]
