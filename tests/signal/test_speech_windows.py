"""Windows of speech against closed forms: places of windows, baseline, shift, scaling, blocks, and names that all subjects share."""

from __future__ import annotations

import hashlib
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest

from braindec.decoders._reading import WindowReader
from braindec.errors import BraindecError
from braindec.evaluate.splits import content_split
from braindec.signal.speech_windows import block_spans, segments_for, shared_content, speech_windows
from braindec.types import Recording, Windows
from braindec.types.signals import ArraySignal

SFREQ = 40.0


def words(texts=None, *, n_words=8, step=0.4, gap=0.2, audio="a.wav", first=0.4):
    """Sentences of words that last 0.3 s and begin every ``step`` s."""
    texts = [f"{audio} sentence {k}" for k in range(12)] if texts is None else texts
    rows, at = [], first
    for text in texts:
        for w in range(n_words):
            name = hashlib.sha256(text.encode()).hexdigest()[:12]
            rows.append({"duration": 0.3, "trial_type": "word", "text": f"{text}/{w}", "audio": audio, "audio_onset": at,
                         "sentence": text, "sentence_id": name, "word_index": w})  # fmt: skip
            at += step
        at += gap
    return pd.DataFrame(rows)


def recording(table, *, start=2.0, subject="01", session="0", extra=2.0, n_channels=3, signal=None):
    last = float((table["audio_onset"] + table["duration"]).max())
    n_times = round((start + last + extra) * SFREQ)
    if signal is None:
        signal = np.random.default_rng([int(subject), int(session)]).standard_normal((n_channels, n_times))
    channels = pd.DataFrame({"name": [f"M{k}" for k in range(len(signal))], "type": "mag", "unit": "T"})
    events = table.assign(onset=table["audio_onset"] + start)
    return Recording(
        np.asarray(signal, float), SFREQ, channels, events, {"subject": subject, "session": session, "modality": "meg"}
    )


def test_windows_are_where_the_words_are_less_their_baseline_and_the_first_150_ms():
    one = recording(words())
    w = speech_windows(one)
    data, raw = w.load(), one.signal.read()
    shift = round(0.150 * SFREQ)
    assert w.n_times == round(3.0 * SFREQ) - shift and w.tmin == pytest.approx(-0.5 + shift / SFREQ)
    for k in (0, 7, len(w) - 1):
        row = w.trials.iloc[k]
        first = round(row["onset"] * SFREQ) + round(-0.5 * SFREQ)
        base = raw[:, first : first + round(0.5 * SFREQ)].mean(axis=1, keepdims=True)
        assert np.allclose(data[k], raw[:, first + shift : first + round(3.0 * SFREQ)] - base, atol=1e-6)
        assert row["start"] == pytest.approx(
            row["audio_onset"] - 0.5
        )  # of the sound, for the first sample that is given
    plain = speech_windows(one, baseline=None)
    assert np.allclose(
        plain.load()[3], data[3] + (plain.load()[3] - data[3])[:, :1], atol=1e-5
    )  # differ by a constant a channel
    assert np.allclose(w[[5, 2, 2]].load(), data[[5, 2, 2]]) and np.allclose(
        w.crop(0.0, 1.0).load()[4], data[4][:, 14:54]
    )


def test_a_source_that_decodes_a_file_is_read_in_runs_with_the_same_result():
    class Slow(ArraySignal):
        slow = True
        reads = 0

        def read(self, channels=slice(None), start=0, stop=None):
            Slow.reads += 1
            return super().read(channels, start, stop)

    one = recording(words())
    slow = Recording(Slow(one.signal.read()), SFREQ, one.channels, one.events, one.info)
    w, plain = speech_windows(slow, anchor="stride"), speech_windows(one, anchor="stride")
    Slow.reads = 0
    assert np.array_equal(w.load(), plain.load()) and Slow.reads < len(w) / 3
    rows = np.array([9, 1, 30])
    assert np.array_equal(w.load(rows), plain.load(rows))


def test_every_window_lies_in_one_block_and_blocks_are_whole_sentences_of_six_seconds():
    one = recording(words())
    sentence = 8 * 0.4 + 0.2  # s
    for anchor in ("word", "stride"):
        t = speech_windows(one, anchor=anchor).trials
        assert (t["start"] >= t["block_start"] - 1e-6).all() and (t["start"] + 3.0 <= t["block_stop"] + 1e-6).all()
        length = t["block_stop"] - t["block_start"]
        assert (length >= 6.0 - 0.3).all() and (length <= 2 * sentence + 1e-6).all()
        assert (t["block_sentences"].str.split(" ").str.len() == 2).all() and t["block_id"].nunique() == 6
    strides = speech_windows(one, anchor="stride", stride=0.5).trials
    assert np.allclose(np.diff(strides.loc[strides["block_id"] == strides["block_id"].iloc[0], "onset"]), 0.5)
    single = speech_windows(one, tmin=-0.2, tmax=1.0, blocks="sentence").trials
    assert single["block_id"].nunique() == 12 and (single["block_sentences"] == single["sentence_id"]).all()


def test_a_short_rest_joins_the_block_before_it_and_silence_ends_a_block():
    t = speech_windows(recording(words([f"s{k}" for k in range(5)])), anchor="stride").trials
    assert sorted(t.groupby("block_id")["block_sentences"].first().str.split(" ").str.len()) == [2, 3]
    late = words([f"l{k}" for k in range(3)], first=30.0)
    t = speech_windows(recording(pd.concat([words([f"s{k}" for k in range(3)]), late])), anchor="stride").trials
    assert t["block_id"].nunique() == 2 and t["block_stop"].max() - t["block_start"].min() > 30
    assert (t["block_stop"] - t["block_start"] < 12).all()


def test_contents_have_the_same_names_and_parts_in_every_subject_and_session():
    table = words([f"s{k}" for k in range(30)], n_words=7)
    parts = [speech_windows([recording(table, start=1.0 + k, subject=f"0{k + 1}", session=s) for s in "01"], anchor=a)
             for k in range(3) for a in ("word", "stride")]  # fmt: skip
    named = shared_content(parts)
    splits = [content_split(w, "content_id", test=0.2, validation=0.2, seed=1) for w in named]
    part_of: dict[str, set[str]] = {}
    for w, split in zip(named, splits, strict=True):
        for name in ("train", "validation", "test"):
            for content in w.trials["content_id"].iloc[getattr(split, name)]:
                part_of.setdefault(content, set()).add(name)
    assert part_of and all(len(p) == 1 for p in part_of.values())
    words_only = [w for w in named if w.trials["trial_type"].iloc[0] == "word"]
    assert all(set(w.trials["stimulus_id"]) == set(words_only[0].trials["stimulus_id"]) for w in words_only)
    assert (words_only[0].trials["repetition"].max() == 2) and "several recordings" in words_only[0].info["repeated"][0]
    alone = speech_windows(recording(table, subject="09"))  # made by itself: the same names
    assert set(alone.trials["stimulus_id"]) == set(words_only[0].trials["stimulus_id"])
    assert set(alone.trials["content_id"]) == set(words_only[0].trials["content_id"])
    # the hash is sha256 of the name and the seed, nothing of this machine
    again = content_split(
        named[0].trials.assign(window_id=named[0].ids), "content_id", test=0.2, validation=0.2, seed=1
    )
    assert np.array_equal(again.test, splits[0].test)


def test_a_sentence_that_is_said_twice_keeps_its_blocks_on_one_side_and_has_a_segment_at_each_place():
    texts = [f"s{k}" for k in range(12)]
    texts[7] = "s0"  # said again in another block
    w = speech_windows(recording(words(texts)))
    t = w.trials
    both = t.loc[t["sentence_id"] == hashlib.sha256(b"s0").hexdigest()[:12]]
    assert both["block_id"].nunique() == 2 and both["content_id"].nunique() == 1
    assert both["stimulus_id"].is_unique and both["stimulus_id"].str.contains("#2").any()
    assert t["content_id"].nunique() == t["block_id"].nunique() - 1


def test_segments_go_with_the_sound_of_their_window():
    table = words()
    n = round(60 * SFREQ)
    series = {
        "a.wav": Recording(
            np.stack([np.arange(n) / SFREQ, -np.arange(n) / SFREQ]), SFREQ, pd.DataFrame({"name": ["clock", "back"]})
        )
    }
    w = shared_content([speech_windows(recording(table, start=s, subject=f"0{k}")) for k, s in ((1, 1.0), (2, 3.3))])
    segments = segments_for(w, series)
    assert segments.shape[2] == w[0].n_times and len(segments) == w[0].trials["stimulus_id"].nunique()
    for part in w:
        got = segments.of(part.trials["stimulus_id"])[:, 0, 0]
        assert np.abs(got - part.trials["start"]).max() <= 0.5 / SFREQ + 1e-5
    # the brain's sample i is 150 ms after the sound's sample i
    clock = recording(table, start=1.0, signal=np.tile(np.arange(round(60 * SFREQ)) / SFREQ, (2, 1)))
    brain = speech_windows(clock, baseline=None)
    sound = segments_for(brain, series).of(brain.trials["stimulus_id"])[:, 0]
    assert np.abs(brain.load()[:, 0] - 1.0 - sound - 0.150).max() < 1.01 / SFREQ
    with pytest.raises(BraindecError, match="another rate"):
        segments_for(w, {"a.wav": Recording(np.zeros((1, 999)), 25.0, pd.DataFrame({"name": ["x"]}))})


def test_block_spans_follow_one_another_and_overlaps_are_refused():
    table = words()
    w = speech_windows(recording(table))
    spans = block_spans(w)["a.wav"]
    assert len(spans) == 6 and all(a[1] <= b[0] + 1e-9 for a, b in itertools.pairwise(spans))
    cut = table[table["audio_onset"] > 3.5]  # a recording that begins at the second sentence makes other blocks
    with pytest.raises(BraindecError, match="overlap"):
        block_spans([w, speech_windows(recording(cut, subject="02"))])


def test_scaling_is_the_median_and_quartiles_of_training_windows_of_each_recording_and_clamps_at_20():
    table = words()
    rng = np.random.default_rng(3)
    loud = [rng.standard_normal((3, round(46 * SFREQ))) * np.array([[1], [5], [0]]) * f + 7 for f in (1e-13, 1e-11)]
    for x in loud:
        x[0, 900] *= 1e6  # an artefact
    w = speech_windows([recording(table, session=str(k), signal=x) for k, x in enumerate(loud)])
    split = content_split(w, "content_id", test=0.3, validation=0.0, seed=0)
    train, test = w[split.train], w[split.test]
    reader = WindowReader("robust", "recording").fit(train)
    assert set(reader.records[0].ids) <= set(train.ids)
    for label in ("sub-01_ses-0", "sub-01_ses-1"):
        own = train[(train.trials["recording"] == label).to_numpy()].load().astype(float)
        q25, q50, q75 = np.percentile(own.transpose(1, 0, 2).reshape(3, -1), [25, 50, 75], axis=1)
        spread = np.where(q75 - q25 > 1e-12 * np.abs(q50), q75 - q25, 1.0)
        mine = (test.trials["recording"] == label).to_numpy()
        want = np.clip((test[mine].load() - q50[:, None]) / spread[:, None], -20, 20)
        assert np.allclose(reader.read(test[mine]), want, atol=1e-5)
    whole = reader.read(w)
    assert np.abs(whole).max() == 20.0 and np.isfinite(whole).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="sentence_id"), "need the columns sentence_id"),
        (lambda t: t.assign(trial_type="tone"), "has no words"),
        (lambda t: t.assign(audio_onset=t["audio_onset"].where(t["word_index"] != 3)), "have no time or place"),
    ],
)
def test_events_that_are_no_speech_are_refused(change, message):
    with pytest.raises(BraindecError, match=message):
        speech_windows(recording(words()).__class__(np.zeros((2, 4000)), SFREQ, pd.DataFrame({"name": list("ab")}),
                                                    change(words()).assign(onset=lambda t: np.arange(len(t)) * 0.4)))  # fmt: skip


def test_words_beyond_the_recording_are_dropped_and_told_or_refused_when_most_are():
    table = words()
    short = recording(table, extra=-8.0)
    w = speech_windows(short)
    assert any("lie beyond the recording" in d for d in w.info["dropped"]) and len(w) < len(
        speech_windows(recording(table))
    )
    with pytest.raises(BraindecError, match="beyond the recording"):
        speech_windows(recording(table, extra=-30.0))


def test_options_that_cannot_work_are_said():
    one = recording(words())
    for options, message in (({"anchor": "words"}, "did you mean 'word'"), ({"blocks": "merge"}, "unknown"), ({"tmin": 0.5}, "cannot be cut"),
                             ({"baseline": 4.0}, "baseline"), ({"stride": 0.0}, "stride"), ({"tmax": 9.0, "min_block": 3.0}, "no window"),
                             ({"shift": 3.5}, "cannot be cut")):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            speech_windows(one, **options)


def test_windows_of_a_saved_recording_pickle(tmp_path):
    one = recording(words())
    saved = one.save(tmp_path / "one.h5")
    w = speech_windows(saved if isinstance(saved, Recording) else Recording.open(saved))
    back = pickle.loads(pickle.dumps(w))
    assert isinstance(back, Windows) and np.array_equal(back.load(), w.load())
