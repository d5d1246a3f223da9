"""Names of the sites of a network as people read them."""

from __future__ import annotations

__all__ = ["site_name"]

_NAMES = {
    "embedding": "embedding",
    "resid_pre": "residual stream (before)",
    "resid_mid": "residual stream (middle)",
    "resid_post": "residual stream",
    "attn_out": "attention output",
    "head_out": "attention heads",
    "attn_pattern": "attention pattern",
    "mlp_pre": "MLP (before activation)",
    "mlp_act": "MLP neurons",
    "mlp_out": "MLP output",
    "mixer_out": "mixer output",
}


def site_name(site: str) -> str:
    """Return the name of a site, such as "mlp_act", for people; a site without one keeps its own."""
    return _NAMES.get(site, site.replace("_", " "))
