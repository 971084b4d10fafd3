from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mfas.corpora import check_manifest, plan_corpus, read_manifest, speak, synthesize_corpus
from mfas.corpora.sentences import SENTENCES
from mfas.errors import CorpusError


def contents(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_two_calls_give_the_same_bytes(tmp_path):
    manifest = synthesize_corpus(tmp_path / "a", voices=2, sentences=1, seed=5)
    synthesize_corpus(tmp_path / "b", voices=2, sentences=1, seed=5)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 9
    assert manifest == read_manifest(tmp_path / "a" / "manifest.csv")
    synthesize_corpus(tmp_path / "b", voices=2, sentences=1, seed=6)
    assert contents(tmp_path / "a") != contents(tmp_path / "b")


def test_the_corpus_is_complete_and_sound(tmp_path):
    manifest = synthesize_corpus(tmp_path, voices=2, sentences=2)
    assert manifest.counts() == dict.fromkeys(("angry", "happy", "neutral", "sad"), 4)
    assert manifest.speaker_counts() == {"f1": 8, "m1": 8}
    assert {u.gender for u in manifest} == {"female", "male"}
    assert all(u.text for u in manifest)
    info = soundfile.info(manifest.utterances[0].path)
    assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
    report = check_manifest(manifest, workers=2)
    assert report.problems == []
    assert 1.2 < report.seconds / 16 < 4


def test_words_mostly_agree_or_are_neutral():
    plan = plan_corpus(voices=3, sentences=10, seed=0)
    assert len(plan) == 120
    sad = Counter(s.word_emotion for s in plan if s.prosody_emotion == "sad")
    assert (sad["sad"], sad["neutral"], sad["happy"] + sad["angry"]) == (15, 12, 3)
    assert all(spoken.text in SENTENCES[spoken.word_emotion] for spoken in plan)
    assert len({(s.voice.name, s.prosody_emotion, s.text) for s in plan}) == len(plan)
    assert plan_corpus(voices=3, sentences=10, seed=0) == plan


def test_words_and_prosody_pair_freely():
    spoken = plan_corpus(voices=1, sentences=1, seed=0)[0]
    tones = {e: speak(replace(spoken, prosody_emotion=e)) for e in ("angry", "sad")}
    assert len(tones["sad"]) > len(tones["angry"])
    assert np.std(tones["sad"]) < np.std(tones["angry"])
    assert tones["sad"].dtype == np.float32
    assert np.array_equal(speak(replace(spoken, prosody_emotion="sad")), tones["sad"])


def test_impossible_sizes(tmp_path):
    with pytest.raises(CorpusError, match=r"0 sentences per emotion; choose 1 or more"):
        synthesize_corpus(tmp_path, voices=1, sentences=0)
