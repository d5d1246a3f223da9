"""Bad input through the command line: one message that says what to do, exit code 1, finished work kept."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from braindec.cli import main

SFREQ, SECONDS = 100.0, 40.0


def write_run(folder, run, *, n_events=30):
    """One BrainVision run of three channels as BIDS has it; the events of class b have a bump in C2."""
    base = f"sub-01_task-x_run-{run:02d}"
    rng = np.random.default_rng(run)
    x = rng.normal(scale=1e-5, size=(3, int(SECONDS * SFREQ))).astype(np.float32)
    onsets = 1.0 + 1.2 * np.arange(n_events)
    kinds = np.array(["a", "b"])[rng.permutation(n_events) % 2]
    for onset in onsets[kinds == "b"]:
        start = round((onset + 0.2) * SFREQ)
        x[1, start : start + 20] += 3e-5
    (x.T * 1e6).astype("<f4").tofile(folder / f"{base}_eeg.eeg")
    lines = "\n".join(f"Ch{i}=C{i},,1,µV" for i in (1, 2, 3))
    (folder / f"{base}_eeg.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={base}_eeg.eeg\nMarkerFile={base}_eeg.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\n"
        f"NumberOfChannels=3\nSamplingInterval={1e6 / SFREQ:g}\n\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n\n"
        f"[Channel Infos]\n{lines}\n", encoding="utf8")  # fmt: skip
    (folder / f"{base}_eeg.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={base}_eeg.eeg\n\n[Marker Infos]\nMk1=New Segment,,1,1,0\n", encoding="utf8")  # fmt: skip
    (folder / f"{base}_eeg.json").write_text(json.dumps({"SamplingFrequency": SFREQ, "RecordingDuration": SECONDS}))
    (folder / f"{base}_channels.tsv").write_text(
        "name\ttype\tunits\tstatus\n" + "".join(f"C{i}\tEEG\tuV\tgood\n" for i in (1, 2, 3)))  # fmt: skip
    pd.DataFrame({"onset": onsets, "duration": 0.1, "trial_type": kinds}).to_csv(
        folder / f"{base}_events.tsv", sep="\t", index=False)  # fmt: skip


class Study:
    """A folder of two runs, what is planted in it, and the command that runs over it."""

    def __init__(self, root):
        self.root, self.eeg = root, root / "data/sub-01/eeg"
        self.eeg.mkdir(parents=True)
        (root / "data/dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.8.0"}')
        for run in (1, 2):
            write_run(self.eeg, run)

    def file(self, run, ending):
        return self.eeg / f"sub-01_task-x_run-{run:02d}_{ending}"

    def values(self, run, change):
        path = self.file(run, "eeg.eeg")
        x = np.fromfile(path, "<f4").reshape(-1, 3).copy()
        change(x)
        x.tofile(path)

    def events(self, run, change):
        table = pd.read_csv(self.file(run, "events.tsv"), sep="\t")
        change(table).to_csv(self.file(run, "events.tsv"), sep="\t", index=False)

    def replace(self, run, ending, old, new):
        path = self.file(run, ending)
        path.write_text(path.read_text(encoding="utf8").replace(old, new), encoding="utf8")

    def words(self, *more):
        return ["run", "erp_classification", f"data.root={self.root / 'data'}", "data.reader=bids", "signal=[{filter: {low: 1.0}}]",
                "epochs.tmax=0.6", "statistics.n_permutations=0", "statistics.n_bootstrap=100", "statistics.controls=[]",
                "--out", str(self.root / "out"), "--cache", str(self.root / "cache"), "--no-report", *more]  # fmt: skip

    def run(self, *more):
        return main(self.words(*more))

    @property
    def unit(self):
        return self.root / "out/units/subject-01"


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def shift(seconds):
    return lambda table: table.assign(onset=table["onset"] + seconds)


def only(kind):
    return lambda table: table[table["trial_type"] == kind]


def half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 // 12 * 12])


def slower(study):
    study.replace(1, "eeg.vhdr", "SamplingInterval=10000", "SamplingInterval=20000")
    study.file(1, "eeg.json").write_text(json.dumps({"SamplingFrequency": 50}))


def rename_channel(study):
    for ending in ("eeg.vhdr", "channels.tsv"):
        study.replace(1, ending, "C1", "C9")


def fill(value, channels=slice(None), rows=slice(None)):
    def change(x):
        x[rows, channels] = value

    return change


DATA = {
    "cut short": (lambda s: half(s.file(1, "eeg.eeg")), "was cut short"),
    "cut inside a sample": (
        lambda s: s.file(1, "eeg.eeg").write_bytes(s.file(1, "eeg.eeg").read_bytes()[:-5]),
        "no whole number of samples",
    ),
    "empty": (lambda s: s.file(1, "eeg.eeg").write_bytes(b""), "is empty (0 bytes)"),
    "missing": (lambda s: s.file(1, "eeg.eeg").unlink(), "there is no file"),
    "empty header": (lambda s: s.file(1, "eeg.vhdr").write_bytes(b""), "is empty (0 bytes)"),
    "damaged header": (
        lambda s: s.file(1, "eeg.vhdr").write_bytes(bytes(range(256)) * 9),
        "is not a whole BrainVision header",
    ),
    "wrong ending": (lambda s: s.file(1, "eeg.vhdr").rename(s.file(1, "eeg.edf")), "is not a EDF file"),
    "another subject": (
        lambda s: s.file(1, "eeg.vhdr").rename(s.eeg / "sub-02_task-x_run-01_eeg.vhdr"),
        "named for another subject",
    ),
    "no events.tsv": (lambda s: s.file(1, "events.tsv").unlink(), "has no events"),
    "empty events.tsv": (lambda s: s.file(1, "events.tsv").write_text(""), "has no events"),
    "header of events only": (lambda s: s.events(1, lambda t: t[:0]), "has no events"),
    "events are bytes": (lambda s: s.file(1, "events.tsv").write_bytes(b"\x82\xff" * 40), "cannot be read as a table"),
    "onset is text": (lambda s: s.events(1, lambda t: t.assign(onset="soon")), "values of onset are not numbers"),
    "events of a run outside": (lambda s: s.events(1, shift(1e5)), "lie outside the recording"),
    "NaN": (lambda s: s.values(1, fill(np.nan, 1, 100)), "not finite"),
    "all flat": (lambda s: [s.values(r, fill(0.0)) for r in (1, 2)], "no good channel is left"),
    "all bad": (lambda s: s.replace(1, "channels.tsv", "good", "bad"), "no good channel is left"),
    "sampling rates": (slower, "sampling frequencies differ"),
    "channel sets": (rename_channel, "channel sets differ"),
    "one class": (lambda s: [s.events(r, only("a")) for r in (1, 2)], "there is one class only"),
    "class missing in a fold": (lambda s: s.events(1, only("a")), "has no window of class b"),
}


@pytest.mark.parametrize("name", DATA)
def test_bad_recordings(name, study, capsys):
    plant, said = DATA[name]
    plant(study)
    assert study.run() == 1
    shown = capsys.readouterr()
    assert said in shown.err and "Traceback" not in shown.out + shown.err
    assert not list(study.root.rglob("*.tmp"))


def test_what_is_odd_but_usable_is_used_and_said(study, capsys):
    [study.values(r, fill(0.0, 2)) for r in (1, 2)]
    study.events(1, lambda t: pd.concat([t, t[:1].assign(onset=1e6)]))
    assert study.run() == 0
    made_by = json.loads((study.unit / "made_by.json").read_text())
    assert "flat channels marked bad: C3" in str(made_by["warnings"])
    assert "1 of 31 events lie outside" in made_by["overview"]["events left out"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["classifier.model=ldaa"], ["did you mean 'lda'"]),
        (["classifier.foo=1", "classifier.bin_widht=2"], ["no option 'foo'", "did you mean 'bin_width'"]),
        (["classifier.bin_width=abc"], ["bin_width", "'abc'"]),
        (["statistics.metrics=[acc]", "statistics.controls=[x]"], ["2 of the settings", "has no 'acc'", "has no 'x'"]),
        (["signal=[{filtr: {low: 1}}, {resample: {sfreqq: 2}}]"], ["did you mean 'filter'", "did you mean 'sfreq'"]),
        (
            ["epoch.tmin=1", "seed=x", "split.n_folds=1"],
            ["3 of the settings", "did you mean 'epochs'", "seed", "split.n_folds"],
        ),
        (["epochs.tmin=0.7"], ["tmax=0.6 s is not after tmin=0.7 s"]),
        (["statistics.n_bootstrap=3"], ["statistics.n_bootstrap"]),
        (["channels=comon"], ["'same' or 'common'"]),
        (["data.reader=bidz"], ["did you mean 'bids'"]),
        (["data.options={tsk: x}"], ["did you mean 'task'"]),
        (["select.subjects=[09]"], ["no subject '09'"]),
        (["--unit", "subject=09"], ["no unit of work is subject=09", "allowed: subject=01"]),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else "",
)
def test_settings_are_refused_before_anything_runs(words, said, study, capsys):
    assert study.run(*words) == 1
    error = capsys.readouterr().err
    assert error.startswith("braindec: ") and all(text in error for text in said) and "Traceback" not in error
    assert not study.root.joinpath("out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["decoder.encoder=nicee"], "did you mean 'nice'"),
        (["decoder.encoder_options={n_filtr: 3}"], "did you mean 'n_filters'"),
        (["decoder.preset=huge"], "allowed: tiny, base, paper"),
        (["decoder.loss=infonc"], "did you mean 'infonce'"),
        (["decoder.name=classifier"], "cannot be used here"),
        (["decoder.lr=abc"], "lr"),
        (["decoder.optimizer=sdg"], "adamw, adam"),
        (["baseline.alhpa=2"], "did you mean 'alpha'"),
        (["controls=[x]", "topk=[0]"], "2 of the settings"),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else "",
)
def test_options_of_decoders_are_refused_before_anything_runs(words, said, tmp_path, capsys):
    assert main(["run", "eeg_image_retrieval", *words, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert said in error and error.startswith("braindec: ") and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["epochs.tmax=500"], "is longer than the run"),
        (["events.classes=[a, c]"], "no event has trial_type = 'c'"),
        (["events.column=trialtype"], "did you mean 'trial_type'"),
        (["split.by=sesion"], "no such column"),
        (["split.by=shuffled"], "neighbouring windows"),
        (["signal=[{filter: {low: 1.0, high: 80.0}}]"], "half the sampling frequency"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_data(words, said, study, capsys):
    assert study.run(*words) == 1
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_a_stimulus_without_a_feature(study, capsys):
    [study.events(r, lambda t: t.assign(stimulus_id=[f"s{i}" for i in range(len(t))])) for r in (1, 2)]
    table = study.root / "features.csv"
    pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(29)], "f0": 1.0, "f1": np.arange(29.0)}).to_csv(
        table, index=False
    )
    words = ["run", "eeg_image_retrieval", f"data.root={study.root / 'data'}", "data.reader=bids", f"features={table}", "signal=[]",
             "split.by=stimulus_id", "split.test=0.3", "decoder.epochs=1", "n_permutations=0", "--no-report",
             "--out", str(study.root / "out"), "--cache", str(study.root / "cache")]  # fmt: skip
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "s29" in error and "Traceback" not in error


def test_damaged_results_and_caches_are_made_again(study, capsys):
    assert study.run() == 0
    expected = (study.root / "out/scores.csv").read_bytes()
    for name, text in (
        ("status.json", "{"),
        ("scores.csv", 'x,,\n"'),
        ("scores.csv", ""),
        ("made_by.json", "["),
        ("arrays.h5", "x"),
    ):
        (study.unit / name).write_text(text)
        for verb in ("show", "audit", "cite", "report"):
            assert main([verb, str(study.root / "out")]) in (0, 1)
            assert "Traceback" not in capsys.readouterr().err
        assert study.run() == 0
        assert (study.root / "out/scores.csv").read_bytes() == expected
    for content in (b"junk", None):
        for path in study.root.glob("cache/*.h5"):
            path.write_bytes(path.read_bytes()[:2000] if content is None else content)
        (study.unit / "status.json").unlink()
        assert study.run() == 0
        assert (study.root / "out/scores.csv").read_bytes() == expected
    (study.root / "out/request.json").write_text("{")
    assert main(["report", str(study.root / "out")]) == 0


def test_a_folder_holds_results_of_one_recipe(study, capsys):
    assert study.run() == 0
    before = (study.root / "out/request.json").read_bytes()
    assert main(["run", "eeg_image_retrieval", "synthetic.preset=tiny", "--out", str(study.root / "out")]) == 1
    assert "holds results of the recipe 'erp_classification'" in capsys.readouterr().err
    assert (study.root / "out/request.json").read_bytes() == before


def test_out_that_is_a_file(study, capsys):
    (study.root / "out").write_text("x")
    assert study.run() == 1
    assert "is a file" in capsys.readouterr().err


class Touch:
    """Unpickling an object of this class leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["X.npy", "X.npz", "X.pkl"])
def test_nothing_is_unpickled(name, tmp_path, capsys):
    path, trace = tmp_path / name, tmp_path / "unpickled"
    value = np.array([Touch(str(trace))], dtype=object)
    if name.endswith("pkl"):
        path.write_bytes(pickle.dumps(value))
    else:
        np.savez(path, X=value) if name.endswith("z") else np.save(path, value, allow_pickle=True)
    assert main(["show", str(path), "sfreq=100"] if name != "X.pkl" else ["show", str(path)]) == 1
    assert "Traceback" not in capsys.readouterr().err and not trace.exists()


def in_small_disk(study, size, *words):
    """Run in a mount namespace of its own, where ``small`` is a disk of that size."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare to make a small disk")
    small = study.root / "small"
    small.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o size={size} small "{small}" || exit 77; "$@"; code=$?; find "{small}" -name "*.tmp"; exit $code'
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", sys.executable, "-m", "braindec", *words],
        capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this machine does not let us mount a small disk")
    return done


def test_a_full_disk_of_caches_and_of_results(study):
    for words in (["--cache", str(study.root / "small/cache")], ["--out", str(study.root / "small/out")]):
        done = in_small_disk(study, "12k", *study.words(*words))
        assert done.returncode == 1, done.stdout + done.stderr
        assert "the disk is full" in done.stderr and "Traceback" not in done.stderr and ".tmp" not in done.stdout
    assert study.run() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_while_units_run(jobs, tmp_path):
    if jobs != "1":
        pytest.importorskip("distributed")
    recipe = tmp_path / "slow.py"
    recipe.write_text(
        '"""One quick unit and slow ones."""\nimport time\nimport pandas as pd\nfrom braindec.config import RecipeConfig as Config\n'
        "from braindec.types import Result\n\n\ndef units(config):\n    return [{'subject': s} for s in ('01', '02', '03')]\n\n\n"
        "def inputs(config, unit):\n    return []\n\n\ndef run(config, unit, work):\n"
        "    time.sleep(0 if unit['subject'] == '01' else 60)\n"
        "    return Result(pd.DataFrame({'metric': ['m'], 'value': [1.0], 'chance': [0.5], 'low': [0.9], 'high': [1.0], 'n': [9]}))\n")  # fmt: skip
    words = [
        sys.executable,
        "-m",
        "braindec",
        "run",
        str(recipe),
        "-j",
        jobs,
        "--out",
        str(tmp_path / "out"),
        "--no-report",
    ]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores Ctrl-C
    )  # fmt: skip
    finished = tmp_path / "out/units/subject-01/status.json"
    deadline = time.monotonic() + 60
    while not finished.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "finished work is kept" in error and "Traceback" not in error
    assert json.loads(finished.read_text())["state"] == "done"
    assert not list((tmp_path / "out").rglob("*.tmp"))
    with pytest.raises(ProcessLookupError):  # no child is left in the group
        for _ in range(50):
            os.killpg(process.pid, 0)
            time.sleep(0.1)
