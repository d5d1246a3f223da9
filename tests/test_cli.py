"""The command line as a user meets it: one message and an exit code, never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from braindec.cli import main


def test_every_verb_has_help(capsys):
    for verb in ("run", "list", "show", "report", "fetch", "init", "audit", "cite"):
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0
    assert "key=value" in capsys.readouterr().out


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in ("eeg_image_retrieval", "erp_classification", "fmri_category_decoding", "muse-p300", "nice", "balanced_accuracy",
                 "things-eeg2", "bids"):  # fmt: skip
        assert name in shown
    assert main(["list", "encoders"]) == 0
    assert "recipes" not in capsys.readouterr().out


def test_show_a_recipe_a_cohort_and_a_card(capsys):
    for name, word in (("erp_classification", "n_permutations"), ("muse-p300", "target"), ("things-eeg2", "licence")):
        assert main(["show", name]) == 0
        assert word in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "erp_clasification"], "did you mean 'erp_classification'"),
        (["run", "erp_classification", "--cohort", "nowhere.yaml"], "there is no file"),
        (["run", "erp_classification", "epoch.tmin=1", "seed=x"], "2 of the settings"),
        (["run", "fmri_category_decoding", "--cohort", "muse-p300"], "is for the recipe"),
        (["run", "erp_classification", "data.root=/nowhere/at/all"], "/nowhere/at/all"),
        (["run", "erp_classification", "data.dataset=muse-p30"], "did you mean 'muse-p300'"),
        (["show", "erp_clasification"], "did you mean"),
        (["report", "/nowhere/at/all"], "/nowhere/at/all"),
        (["init", "/nowhere/at/all"], "/nowhere/at/all"),
        (["audit", "/nowhere/trials.csv"], "/nowhere/trials.csv"),
        (["cite", "nothing"], "nothing"),
        (["fetch", "nothing"], "nothing"),
    ],
    ids=lambda v: "-".join(v)[:40] if isinstance(v, list) else "",
)
def test_mistakes_give_one_message_and_exit_code_1(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert said in error and error.startswith("braindec: ") and "Traceback" not in error


def test_wrong_calls_exit_with_2(capsys):
    for words in (["run"], ["nonsense"], ["run", "erp_classification", "-j", "0"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2


def test_show_a_sound_and_its_words(tmp_path, capsys):
    from scipy.io import wavfile

    wavfile.write(tmp_path / "story.wav", 8000, np.zeros((12000, 2), dtype=np.int16))
    tiers = 'xmin = 0 xmax = 1.5 <exists> 1 "IntervalTier" "words" 0 1.5 3 0 0.5 "" 0.5 1 "once" 1 1.5 "upon"'
    (tmp_path / "story.TextGrid").write_text(f'File type = "ooTextFile"\nObject class = "TextGrid"\n{tiers}\n')
    assert main(["show", str(tmp_path / "story.wav")]) == 0 and main(["show", str(tmp_path / "story.TextGrid")]) == 0
    sound, words = capsys.readouterr().out.splitlines()
    assert "1.5 s at 8000 Hz, channels: 2" in sound and "words: 3, 2 with text, to 1.5 s" in words


def test_cite(capsys):
    assert main(["cite", "fmri_category_decoding"]) == 0
    assert "Haxby" in capsys.readouterr().out


def test_audit_of_a_users_own_table(tmp_path, capsys):
    trials = pd.DataFrame({"subject": ["01"] * 8, "stimulus_id": list("aabbccdd"), "split": ["train", "test"] * 4,
                           "condition": ["x", "y"] * 4})  # fmt: skip
    path = tmp_path / "trials.csv"
    trials.to_csv(path, index=False)
    assert main(["audit", str(path), "--label", "condition"]) == 1
    assert "content_overlap" in capsys.readouterr().out
    assert main(["audit", str(path), "--split-column", "part"]) == 1
    assert "no column 'part'" in capsys.readouterr().err


def test_ctrl_c_exits_with_130(monkeypatch, capsys):
    import braindec.registry

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(braindec.registry, "names", interrupted)
    assert main(["list", "encoders"]) == 130
    assert "finished work is kept" in capsys.readouterr().err


def test_run_show_report_audit_end_to_end(tmp_path, capsys, monkeypatch):
    """One small synthetic subject through every verb that takes a results folder."""
    monkeypatch.setenv("BRAINDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["eeg_image_retrieval", "synthetic.preset=tiny", "synthetic.n_subjects=1", "decoder.epochs=3", "n_permutations=50",
             "n_bootstrap=50"]  # fmt: skip
    assert main(["run", *words, "--out", "out"]) == 0
    assert main(["show", "out"]) == 0
    assert "chance" in capsys.readouterr().out
    assert main(["report", "out"]) == 0
    assert main(["audit", "out"]) == 0
    assert main(["cite", "out"]) == 0
    page = (tmp_path / "out/report.html").read_text(encoding="utf8")
    assert "<html" in page and "http" not in page.split("<body")[0].replace("http-equiv", "")
    request = json.loads((tmp_path / "out/request.json").read_text())
    assert request["recipe"] == "eeg_image_retrieval"
    scores = pd.read_csv(tmp_path / "out/scores.csv")
    assert {"decoded", "ridge baseline", "noise_input", "time_only", "untrained"} <= set(scores["row"])


def test_module_and_script_are_the_same():
    done = subprocess.run([sys.executable, "-m", "braindec", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("braindec ")
