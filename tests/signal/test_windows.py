from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.windows import common_channels, make_windows


def events(onset, labels, **columns):
    return {"onset": onset, "duration": 0.0, "trial_type": labels, **columns}


def test_windows_hold_the_samples_around_each_event(make_recording):
    ramp = np.arange(3000, dtype=np.float32).reshape(3, 1000)
    recording = make_recording(ramp, events=events([1.0, 2.504, 7.0], ["a", "b", "a"]))
    w = make_windows(recording, tmin=-0.1, tmax=0.3)
    assert w.shape == (3, 3, 40) and w.tmin == -0.1
    for row, sample in enumerate([100, 250, 700]):
        assert np.array_equal(w.load([row])[0], ramp[:, sample - 10 : sample + 30])
    assert list(w.trials["trial_type"]) == ["a", "b", "a"]
    assert list(w.trials["sample"]) == [100, 250, 700]
    assert list(w.trials["event_index"]) == [0, 1, 2]
    assert w.info["counts"] == {"a": 2, "b": 1} and w.info["dropped"] == []


@pytest.mark.parametrize(("sfreq", "tmin"), [(256.0, -0.1), (250.0, 0.0), (600.615, -0.2), (128.0, 0.1)])
def test_the_same_samples_as_mne_epochs(make_recording, sfreq, tmin):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, 5000)).astype(np.float32)
    onset = np.linspace(1, 5000 / sfreq - 2, 20) + rng.uniform(0, 0.1, 20)
    recording = make_recording(data, sfreq=sfreq, events=events(onset, "x"))
    w = make_windows(recording, tmin=tmin, tmax=0.8)
    raw = mne.io.RawArray(data.astype(np.float64), mne.create_info(2, sfreq, "eeg"), verbose="ERROR")
    codes = np.stack([np.round(onset * sfreq).astype(int), np.zeros(20, int), np.ones(20, int)], axis=1)
    epochs = mne.Epochs(raw, codes, tmin=tmin, tmax=0.8, baseline=None, preload=True, verbose="ERROR")
    assert np.allclose(epochs.get_data(copy=False)[:, :, : w.n_times], w.load(), atol=1e-6)
    assert np.allclose(w.times, epochs.times[: w.n_times])


def test_subjects_sessions_and_runs_come_from_info_as_text(make_recording):
    recordings = [
        make_recording(
            events=events([1.0, 2.0], ["a", "b"], stimulus_id=[1.0, 2.0], run=["x", "x"]),
            seed=i,
            subject=s,
            session="01",
            run=r,
        )
        for i, (s, r) in enumerate([("01", "01"), ("01", "02"), ("02", "01")])
    ]
    w = make_windows(recordings, tmin=0, tmax=0.5)
    assert len(w) == 6
    assert list(w.trials["subject"]) == ["01"] * 4 + ["02"] * 2
    assert list(w.trials["run"]) == ["01", "01", "02", "02", "01", "01"]
    assert list(w.trials["stimulus_id"]) == ["1", "2"] * 3
    assert list(w.trials["repetition"]) == [1, 1, 2, 2, 1, 1]
    assert w.ids[2] == "sub-01_ses-01_run-02@100" and len(set(w.ids)) == 6
    assert np.array_equal(w.load([4])[0], recordings[2].load()[:, 100:150])


def test_recordings_without_a_run_are_runs_of_their_own(make_recording):
    recordings = [
        make_recording(events=events([1.0], ["a"]), seed=i, subject="01", session=s)
        for i, s in enumerate(["a", "a", "b"])
    ]
    w = make_windows(recordings, tmin=0, tmax=0.5)
    assert list(w.trials["run"]) == ["01", "02", "01"]
    assert len(set(w.ids)) == 3


def test_a_run_column_of_the_events_is_kept_when_info_names_none(make_recording):
    recording = make_recording(events=events([1.0, 2.0], ["a", "a"], run=[1, 2]))
    assert list(make_windows(recording, tmin=0, tmax=0.5).trials["run"]) == ["1", "2"]


def test_a_repetition_column_of_the_file_wins_and_dropped_presentations_count(make_recording):
    given = make_recording(events=events([1.0, 2.0], ["a", "a"], stimulus_id=["s", "s"], repetition=[7, 8]))
    assert list(make_windows(given, tmin=0, tmax=0.5).trials["repetition"]) == [7, 8]
    early = make_recording(events=events([0.1, 2.0, 4.0], ["a", "a", "a"], stimulus_id=["s", "s", None]))
    w = make_windows(early, tmin=-0.2, tmax=0.5)
    assert list(w.trials["repetition"]) == [2, 0]  # 0: no stimulus


def test_events_outside_the_recording_are_dropped_and_counted(make_recording):
    recording = make_recording(events=events([-1.0, 0.05, 5.0, 9.8, 12.0, np.nan], ["a"] * 6), subject="01")
    w = make_windows(recording, tmin=-0.1, tmax=0.5)
    assert len(w) == 1
    said = " | ".join(w.info["dropped"])
    assert "sub-01: 1 events have no onset" in said
    assert "2 of 5 events lie outside the recording (0 to 10 s; onset -1, 12 s)" in said
    assert "2 of 5 events have a window that leaves the recording" in said
    with pytest.raises(BraindecError, match="no whole window"):
        make_windows(recording, tmin=-0.1, tmax=0.5, on_short="raise")
    with pytest.raises(BraindecError, match="no window from"):
        make_windows(recording.with_events(recording.events.iloc[[0, 4]]), tmin=0, tmax=0.5)


def test_a_window_that_just_fits_is_kept(make_recording):
    recording = make_recording(events=events([0.1, 9.5], ["a", "b"]))
    w = make_windows(recording, tmin=-0.1, tmax=0.5)
    assert len(w) == 2 and w.index[:, 1].tolist() == [0, 940]


def test_a_window_longer_than_a_run(make_recording):
    recordings = [
        make_recording(events=events([1.0], ["a"]), run="01"),
        make_recording(n_times=200, events=events([1.0], ["a"]), run="02"),
    ]
    with pytest.raises(BraindecError, match="longer than the run run-02") as error:
        make_windows(recordings, tmin=0, tmax=3.0)
    assert "200 samples (2 s)" in str(error.value)


@pytest.mark.parametrize(("tmin", "tmax"), [(0.5, 0.5), (0.5, 0.1), (0.0, 0.001), (np.nan, 1.0), (0.0, np.inf)])
def test_a_window_without_samples(make_recording, tmin, tmax):
    with pytest.raises(BraindecError, match="has no sample"):
        make_windows(make_recording(events=events([1.0], ["a"])), tmin=tmin, tmax=tmax)


def test_missing_and_empty_events_name_the_file(make_recording):
    recording = make_recording(path="/data/sub-01_eeg.vhdr", subject="01")
    with pytest.raises(BraindecError, match=r"/data/sub-01_eeg\.vhdr.*has no events"):
        make_windows(recording, tmin=0, tmax=0.5)
    with_events = make_recording(path="/data/a.vhdr", events=events([1.0], ["face"]))
    with pytest.raises(BraindecError, match=r"/data/a\.vhdr.*no column 'trialtype'; did you mean 'trial_type'"):
        make_windows(with_events, tmin=0, tmax=0.5, column="trialtype")
    empty = make_recording(path="/data/a.vhdr", events=events([1.0, 2.0], ["n/a", None]))
    with pytest.raises(BraindecError, match="nothing but n/a"):
        make_windows(empty, tmin=0, tmax=0.5)
    with pytest.raises(BraindecError, match="an empty list"):
        make_windows([], tmin=0, tmax=0.5)


def test_an_unknown_label_says_what_is_there_and_what_is_near(make_recording):
    recording = make_recording(events=events([1.0, 2.0, 3.0], ["target", "nontarget", "nontarget"]), path="/d/x.vhdr")
    with pytest.raises(BraindecError, match="trial_type = 'traget'; did you mean 'target'") as error:
        make_windows(recording, tmin=0, tmax=0.5, select=["traget"])
    assert "nontarget (2), target (1)" in str(error.value) and "/d/x.vhdr" in str(error.value)


def test_select_rename_and_numbers_as_labels(make_recording):
    recording = make_recording(events={"onset": [1.0, 2, 3, 4], "duration": 0.0, "value": [1.0, 2.0, 3.0, np.nan]})
    w = make_windows(recording, tmin=0, tmax=0.5, column="value")
    assert list(w.trials["value"]) == ["1", "2", "3"]
    w = make_windows(
        recording, tmin=0, tmax=0.5, column="value", rename={"1": "odd", "3": "odd", 2: "even"}, select=["odd"]
    )
    assert list(w.trials["value"]) == ["odd", "odd"] and list(w.trials["onset"]) == [1, 3]
    assert len(make_windows(recording, tmin=0, tmax=0.5, column="value", select="2")) == 1
    assert len(make_windows(recording, tmin=0, tmax=0.5, column=None)) == 4


def test_one_class_only_is_not_refused_here_but_counted(make_recording):
    w = make_windows(make_recording(events=events([1.0, 2.0], ["a", "a"])), tmin=0, tmax=0.5)
    assert w.info["counts"] == {"a": 2}


def test_a_run_without_a_chosen_event_is_said(make_recording):
    recordings = [make_recording(events=events([1.0], [k]), run=r) for k, r in (("a", "01"), ("b", "02"))]
    w = make_windows(recordings, tmin=0, tmax=0.5, select=["a"])
    assert len(w) == 1 and w.info["dropped"] == ["run-02: none of its 1 events was chosen"]


def test_query(make_recording):
    columns = {"rt": [0.2, 0.9, 0.5, np.nan], "side": ["left", "right", "left", "right"]}
    recording = make_recording(events=events([1.0, 2, 3, 4], list("abab"), **columns))

    def onsets(query):
        return list(make_windows(recording, tmin=0, tmax=0.5, query=query).trials["onset"])

    assert onsets("rt < 0.6") == [1, 3]
    assert onsets("0.3 < rt < 0.95") == [2, 3]
    assert onsets("side == 'left' and not rt > 0.3") == [1]
    assert onsets("side in ['right'] or rt == 0.5") == [2, 3, 4]
    assert onsets("trial_type not in ['a'] and event_index >= 2") == [4]
    assert onsets("rt > -1") == [1, 2, 3]


@pytest.mark.parametrize(
    "query",
    ["__import__('os').system('true')", "rt.max() > 0", "rt +", "[r for r in rt]", "rtt < 1", "side < 3", "rt", "@rt > 1", "rt if rt else rt",
     "lambda: 1", "rt is None", "side in 'left'", "rt < 1 and side", "'a'", "f'{rt}' == 1"],
)  # fmt: skip
def test_a_query_never_runs_code(make_recording, query):
    recording = make_recording(events=events([1.0], ["a"], rt=[1.0], side=["left"]))
    with pytest.raises(BraindecError, match="query"):
        make_windows(recording, tmin=0, tmax=0.5, query=query)


def test_unlike_recordings_are_refused_and_common_channels_mend_it(make_recording):
    a = make_recording(names=["x", "y", "z"], events=events([1.0], ["a"]), subject="01")
    b = make_recording(names=["z", "w", "x"], events=events([1.0], ["a"]), subject="02", seed=1)
    with pytest.raises(BraindecError, match="channel sets differ"):
        make_windows([a, b], tmin=0, tmax=0.5)
    shared = common_channels([a, b])
    assert [r.ch_names for r in shared] == [["x", "z"]] * 2
    w = make_windows(shared, tmin=0, tmax=0.5)
    assert np.array_equal(w.load([1])[0], b.load()[[2, 0], 100:150])
    with pytest.raises(BraindecError, match="sampling frequencies differ"):
        make_windows([a, make_recording(names=["x", "y", "z"], sfreq=50.0)], tmin=0, tmax=0.5)
    with pytest.raises(BraindecError, match="share no"):
        common_channels([a, make_recording(names=["u", "v", "t"])])


def test_common_channels_can_leave_out_what_is_bad_anywhere(make_recording):
    a = make_recording(status=["good", "bad", "good"])
    b = make_recording(status=["good", "good", "bad"])
    assert common_channels([a, b], good=True)[1].ch_names == ["c0"]
    assert common_channels([a, b])[1].ch_names == ["c0", "c1", "c2"]


def test_two_events_at_one_sample_have_two_names_and_overlap_is_fine(make_recording):
    w = make_windows(make_recording(events=events([1.0, 1.001, 1.2], ["a", "b", "a"])), tmin=0, tmax=0.5)
    assert len(set(w.ids)) == 3 and w.ids[1] == w.ids[0] + "#2"


def test_on_short_is_checked(make_recording):
    with pytest.raises(BraindecError, match="on_short"):
        make_windows(make_recording(events=events([1.0], ["a"])), tmin=0, tmax=0.5, on_short="pad")


def test_as_many_windows_as_events_in_a_real_cohort(shared):
    from mne_bids import BIDSPath, read_raw_bids

    from braindec.types import Recording

    root = shared("muse-p300")
    n_events = n_windows = 0
    for path in sorted(root.glob("sub-01/ses-*/eeg/*_events.tsv"))[:6]:
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8-sig").splitlines()]
        place = rows[0].index("trial_type")
        n_events += sum(row[place] in ("target", "nontarget") for row in rows[1:])
        parts = dict(p.split("-", 1) for p in path.stem.split("_")[:-1])
        bids = BIDSPath(
            root=root,
            subject=parts["sub"],
            session=parts["ses"],
            task=parts["task"],
            run=parts["run"],
            datatype="eeg",
            suffix="eeg",
            extension=".vhdr",
        )
        raw = read_raw_bids(bids, verbose="ERROR")
        recording = Recording.from_mne(raw, subject=parts["sub"], session=parts["ses"], run=parts["run"])
        w = make_windows(recording, tmin=0.0, tmax=0.8, select=["target", "nontarget"])
        lost = sum(int(text.split(": ")[1].split()[0]) for text in w.info["dropped"])
        n_windows += len(w) + lost
        table = pd.read_csv(path, sep="\t", encoding="utf-8-sig")
        kept = table.set_index("sample").loc[w.trials["sample"]]
        assert list(kept["trial_type"]) == list(w.trials["trial_type"])
        first = w.trials["sample"].iloc[0]
        assert np.allclose(w.load([0])[0], raw[:, first : first + w.n_times][0], atol=1e-9)
    assert n_windows == n_events > 500
