"""Region groups from labels of atlases."""

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.regions import _GROUPS, region_groups
from braindec.types import Recording, Windows


def recording(labels, z=0.02, **columns):
    channels = pd.DataFrame(
        {
            "name": [f"A{k}" for k in range(len(labels))],
            "type": "seeg",
            "region": labels,
            "x": 0.05,
            "y": 0.0,
            "z": z,
            **columns,
        }
    )
    return Recording(np.zeros((len(labels), 10), dtype="float32"), 100.0, channels)


def test_the_strip_is_divided_by_height():
    labels = ["G_precentral", "G_postcentral", "S_central", "G_precentral", "G_precentral", "G_and_S_subcentral"]
    groups = region_groups(recording(labels, z=[0.02, 0.03, 0.06, 0.0449, np.nan, 0.06]))
    assert {k: v.tolist() for k, v in groups.items()} == {"vSMC": [0, 1, 3, 5], "SMC": [4], "dSMC": [2]}
    assert next(iter(groups)) == "vSMC", "the largest first"
    assert region_groups(recording(labels), ventral=0.01)["dSMC"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("atlas", "label", "group"),
    [("destrieux", "lh.G_temp_sup-Lateral", "STG"), ("destrieux", "ctx_rh_G_front_inf-Triangul", "IFG"), ("destrieux", "S_temporal_sup", "STS"),
     ("destrieux", "G_insular_short", "insula"), ("destrieux", "G_Ins_lg_and_S_cent_ins", "insula"), ("destrieux", "L G_precentral", "vSMC"),
     ("dkt", "ctx-lh-superiortemporal", "STG"), ("dkt", "postcentral-rh", "vSMC"), ("dkt", "lh.parsopercularis", "IFG"), ("dkt", "rostralanteriorcingulate", "cingulate"),
     ("dkt", "Left-Hippocampus", "hippocampus"), ("aal", "Temporal_Sup_L", "STG"), ("aal", "Heschl_R", "STG"), ("aal", "Rolandic_Oper_L", "vSMC"),
     ("aal", "Frontal_Inf_Oper_R", "IFG"), ("aal", "Cingulum_Ant_L", "cingulate"), ("aal", "Temporal_Pole_Sup_L", "temporal pole"), ("aal", "Insula_L", "insula")],
)  # fmt: skip
def test_labels_of_atlases(atlas, label, group):
    assert list(region_groups(recording([label]), atlas)) == [group]


def test_what_belongs_to_no_group_is_told():
    found = region_groups(
        recording(
            ["G_temp_sup-Lateral", "n/a", "Left-Cerebral-White-Matter", "gyrus rectilinear", "ctx-lh-unknown", ""]
        )
    )
    assert found.unknown == {"gyrus rectilinear": 1} and found.unlabelled.tolist() == [1, 2, 4, 5]
    assert "'gyrus rectilinear' (1)" in found.says()[0] and "4 channels have no label" in found.says()[1]


def test_bipolar_channels_need_both_contacts():
    found = region_groups(
        recording(
            [
                "G_precentral/S_central",
                "G_precentral/G_temp_sup-Lateral",
                "G_temp_sup-Lateral/n/a",
                "G_temp_sup-Lateral/White matter",
            ]
        )
    )
    assert {k: v.tolist() for k, v in found.items()} == {"STG": [2, 3], "vSMC": [0]} and found.unlabelled.tolist() == [
        1
    ]


def test_groups_of_your_own_and_windows():
    own = recording(["x"] * 4, site=["mouth", "hand", "mouth", "n/a"])
    assert {k: v.tolist() for k, v in region_groups(own, "site").items()} == {"mouth": [0, 2], "hand": [1]}
    windows = Windows.from_arrays(np.zeros((2, 4, 5)), {"run": ["1", "1"]}, sfreq=10.0, channels=own.channels)
    assert region_groups(windows, "site", min_channels=2).keys() == {"mouth"}


def test_refusals_name_labels_and_columns():
    with pytest.raises(BraindecError, match="did you mean 'dkt'"):
        region_groups(recording(["insula"]), "dktt")
    with pytest.raises(BraindecError, match="superiortemporal"):
        region_groups(recording(["superiortemporal"]), "destrieux")


def test_tables_hold_small_letters_only():
    assert all(label == label.lower() for table in _GROUPS.values() for label in table)
