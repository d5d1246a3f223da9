"""Groups of channels by region: labels of an atlas to the few names that speech studies use (vSMC, STG, IFG, insula, ...).

Atlases cut the sensorimotor strip along its length, not across: "precentral gyrus" reaches from the foot to the tongue. Speech
is in its lower part, so labels of the strip are divided by height (z in MNI space) into vSMC and dSMC; where positions are unknown
they are "SMC". The frontal operculum and the subcentral (Rolandic) operculum belong to IFG and vSMC.

Source: Destrieux et al. 2010 (NeuroImage 53:1), table 1; Desikan et al. 2006 (NeuroImage 31:968) with Klein & Tourville 2012
(Front Neurosci 6:171) for "dkt"; Tzourio-Mazoyer et al. 2002 (NeuroImage 15:273) and Rolls et al. 2020 (AAL3) for "aal";
Bouchard et al. 2013 (Nature 495:327) for vSMC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Recording, Windows

ATLASES = ("destrieux", "dkt", "aal")
VENTRAL = 0.045  # m above the plane of the commissures, MNI: about the upper end of the face area
_STRIP = "SMC"

# atlas -> label in small letters without hemisphere (a "*" at the end stands for anything) -> group
_GROUPS: dict[str, dict[str, str]] = {
    "destrieux": {
        "g_precentral": _STRIP, "g_postcentral": _STRIP, "s_central": _STRIP, "s_precentral-inf-part": _STRIP, "s_precentral-sup-part": "dSMC",
        "s_postcentral": _STRIP, "g_and_s_subcentral": "vSMC", "g_and_s_paracentral": "dSMC",
        "g_temp_sup*": "STG", "s_temporal_sup": "STS", "s_temporal_transverse": "STG", "lat_fis-post": "STG",
        "g_front_inf*": "IFG", "s_front_inf": "IFG", "lat_fis-ant*": "IFG",
        "g_ins*": "insula", "g_insular*": "insula", "s_circular_insula*": "insula",
        "g_temporal_middle": "MTG", "s_temporal_inf": "MTG", "g_temporal_inf": "ITG", "pole_temporal": "temporal pole",
        "g_pariet_inf*": "IPL", "s_interm_prim-jensen": "IPL", "s_intrapariet_and_p_trans": "SPL", "g_parietal_sup": "SPL", "g_precuneus": "precuneus",
        "g_front_middle": "MFG", "s_front_middle": "MFG", "g_front_sup": "SFG", "s_front_sup": "SFG", "g_and_s_cingul*": "cingulate",
        "g_cingul*": "cingulate", "s_pericallosal": "cingulate", "s_cingul*": "cingulate", "s_subparietal": "cingulate",
        "g_orbital": "OFC", "s_orbital*": "OFC", "g_rectus": "OFC", "s_suborbital": "OFC", "g_subcallosal": "OFC",
        "g_and_s_transv_frontopol": "frontal pole", "g_and_s_frontomargin": "frontal pole",
        "g_oc-temp_lat-fusifor": "fusiform", "s_oc-temp_lat": "fusiform", "s_collat_transv*": "fusiform", "s_oc-temp_med_and_lingual": "fusiform",
        "g_oc-temp_med-parahip": "parahippocampal",
        "g_oc-temp_med-lingual": "visual", "g_occipital*": "visual", "g_and_s_occipital*": "visual", "g_cuneus": "visual", "pole_occipital": "visual",
        "s_calcarine": "visual", "s_oc*": "visual", "s_parieto_occipital": "visual", "s_occipital*": "visual",
    },
    "dkt": {
        "precentral": _STRIP, "postcentral": _STRIP, "paracentral": "dSMC", "superiortemporal": "STG", "transversetemporal": "STG", "bankssts": "STS",
        "parsopercularis": "IFG", "parstriangularis": "IFG", "parsorbitalis": "IFG", "insula": "insula", "middletemporal": "MTG", "inferiortemporal": "ITG",
        "temporalpole": "temporal pole", "supramarginal": "IPL", "inferiorparietal": "IPL", "superiorparietal": "SPL", "precuneus": "precuneus",
        "caudalmiddlefrontal": "MFG", "rostralmiddlefrontal": "MFG", "superiorfrontal": "SFG", "*cingulate": "cingulate",
        "lateralorbitofrontal": "OFC", "medialorbitofrontal": "OFC", "frontalpole": "frontal pole", "fusiform": "fusiform",
        "parahippocampal": "parahippocampal", "entorhinal": "parahippocampal", "lateraloccipital": "visual", "lingual": "visual", "cuneus": "visual",
        "pericalcarine": "visual",
    },
    "aal": {
        "precentral": _STRIP, "postcentral": _STRIP, "rolandic_oper": "vSMC", "paracentral_lobule": "dSMC", "temporal_sup": "STG", "heschl": "STG",
        "frontal_inf_oper": "IFG", "frontal_inf_tri": "IFG", "frontal_inf_orb*": "IFG", "insula": "insula", "temporal_mid": "MTG", "temporal_inf": "ITG",
        "temporal_pole*": "temporal pole", "supramarginal": "IPL", "angular": "IPL", "parietal_inf": "IPL", "parietal_sup": "SPL", "precuneus": "precuneus",
        "supp_motor_area": "SMA", "frontal_mid": "MFG", "frontal_mid_2": "MFG", "frontal_sup": "SFG", "frontal_sup_2": "SFG", "frontal_sup_medial": "SFG",
        "cingul*": "cingulate", "acc_*": "cingulate", "frontal_mid_orb*": "OFC", "frontal_sup_orb*": "OFC", "frontal_med_orb": "OFC", "rectus": "OFC",
        "olfactory": "OFC", "ofc*": "OFC", "fusiform": "fusiform", "parahippocampal": "parahippocampal", "calcarine": "visual", "cuneus": "visual",
        "lingual": "visual", "occipital*": "visual",
    },
}  # fmt: skip
_DEEP = {
    "hippocampus": "hippocampus", "amygdala": "amygdala", "thalamus*": "thalamus", "thal_*": "thalamus", "caudate": "striatum", "putamen": "striatum",
    "pallidum": "striatum", "accumbens*": "striatum", "n_acc": "striatum",
}  # fmt: skip
_NOWHERE = {"", "n/a", "nan", "none", "unknown", "background", "???", "medial_wall", "corpuscallosum"}
_WHITE = re.compile(r"white|^wm[-_]|unknown|medial_wall|corpuscallosum|ventricle|-vent$|csf", re.IGNORECASE)
_SIDE = (
    re.compile(r"^(ctx|wm)[-_](lh|rh)[-_]", re.IGNORECASE),
    re.compile(r"^(lh|rh|l|r|left|right)[-_. ]", re.IGNORECASE),
    re.compile(r"[-_. ](lh|rh|l|r|left|right)$", re.IGNORECASE),
)

__all__ = ["ATLASES", "RegionGroups", "region_groups"]


class RegionGroups(dict):
    """Group -> rows of its channels (array of int), by size of the group.

    Attributes
    ----------
    unknown : dict of str to int
        Labels that the atlas does not have, and how many channels have them.
    unlabelled : array of int
        Rows of channels without a label, in white matter or liquor, or between two groups.
    """

    def __init__(self, groups: Mapping[str, np.ndarray], unknown: Mapping[str, int], unlabelled: np.ndarray) -> None:
        super().__init__(sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])))
        self.unknown, self.unlabelled = dict(unknown), unlabelled

    def says(self) -> list[str]:
        """What a reader should know: sentences."""
        told = []
        if self.unknown:
            names = ", ".join(f"{label!r} ({n})" for label, n in list(self.unknown.items())[:6])
            told.append(f"{sum(self.unknown.values())} channels have labels that belong to no group: {names}")
        if len(self.unlabelled):
            told.append(f"{len(self.unlabelled)} channels have no label, lie in white matter, or between two groups")
        return told


def region_groups(
    data: Recording | Windows, atlas: str = "destrieux", *, column: str = "region", ventral: float = VENTRAL, min_channels: int = 1
) -> RegionGroups:  # fmt: skip
    """Group channels by region.

    Parameters
    ----------
    data : Recording or Windows
        Whose channel table has the labels.
    atlas : {"destrieux", "dkt", "aal"} or str
        How labels are read, whatever their hemisphere ("lh.", "ctx_lh_", "_L", ...). Any other word is a column of the channel table whose
        values are the groups already.
    column : str
        Where the labels of an atlas are.
    ventral : float
        Channels of the sensorimotor strip below this height (z, m, MNI) are vSMC, the others dSMC, and SMC without a position.
    min_channels : int
        Smaller groups are left out.

    Returns
    -------
    RegionGroups
        Bipolar channels ("a/b") belong to a group when both contacts do, or one does and the other has no label.

    Raises
    ------
    BraindecError
        If there is no such column, or no channel belongs to a group; the labels are named.
    """
    channels = data.channels
    if atlas in ATLASES:
        where, read = column, {**_DEEP, **_GROUPS[atlas]}
    else:
        where, read = atlas, None
    if where not in channels:
        raise BraindecError(
            f"the channels have no column {where!r}{did_you_mean(str(where), [*ATLASES, *map(str, channels.columns)])}",
            allowed=f"{', '.join(ATLASES)}, or a column: {', '.join(map(str, channels.columns))}",
        )
    rows: dict[str, list[int]] = {}
    unknown: dict[str, int] = {}
    unlabelled = []
    heights = channels["z"].to_numpy(dtype=float)
    for k, label in enumerate(channels[where].astype(str)):
        halves = [_group(part, read) for part in re.sub(r"\bn/a\b", "", label, flags=re.IGNORECASE).split("/")]
        found = {_by_height(h, heights[k], ventral) for h in halves if h}
        if "?" in found:
            unknown[label] = unknown.get(label, 0) + 1
        elif len(found) == 1:
            rows.setdefault(found.pop(), []).append(k)
        else:
            unlabelled.append(k)
    groups = {name: np.array(r) for name, r in rows.items() if len(r) >= min_channels}
    if not groups:
        labels = pd.unique(channels[where].astype(str))
        raise BraindecError(
            f"no channel belongs to a group of at least {min_channels} channels by {atlas!r}",
            found=f"{len(channels)} channels, labels: {', '.join(labels[:8])}",
            fix=f"use the atlas that the labels are from ({', '.join(ATLASES)}), or a column of your own groups",
        )
    return RegionGroups(groups, unknown, np.array(unlabelled, dtype=int))


def _group(label: str, read: Mapping[str, str] | None) -> str | None:
    """Group of a label; None for no label, "?" for one that the atlas does not have."""
    label = label.strip()
    if label.lower() in _NOWHERE:
        return None
    if read is None:
        return label
    if _WHITE.search(label):
        return None
    for side in _SIDE:
        label = side.sub("", label)
    small = label.strip().lower().replace(" ", "_")
    if small in read:
        return read[small]
    for pattern, group in sorted(read.items(), key=lambda pair: -len(pair[0])):  # the longest pattern first
        if (pattern.endswith("*") and small.startswith(pattern[:-1])) or (
            pattern.startswith("*") and small.endswith(pattern[1:])
        ):
            return group
    return "?"


def _by_height(group: str, z: float, ventral: float) -> str:
    if group != _STRIP:
        return group
    return _STRIP if not np.isfinite(z) else "vSMC" if z < ventral else "dSMC"
