import subprocess
import sys

import numpy as np
import pytest

from mfas.corpora.espeak import ESPEAK_RATE_HZ, EspeakSettings, say
from mfas.errors import CorpusError
from mfas.storage import sha256_of_bytes

TEXT = "The train leaves at seven in the evening."


def test_the_same_settings_give_the_same_samples_whatever_was_said_before():
    settings = EspeakSettings("en-us+m3", rate_wpm=180)
    first = say(TEXT, settings)
    say("Something else.", EspeakSettings("en+f3", pitch=80))
    assert np.array_equal(say(TEXT, settings), first)
    assert first.dtype == np.int16
    assert 1 < len(first) / ESPEAK_RATE_HZ < 3


def test_another_process_at_another_time_gives_the_same_samples():
    settings = EspeakSettings("en-us+f2")  # a breathy voice: it has noise
    program = (
        "import time; time.sleep(1.1)\n"
        "from mfas.corpora.espeak import EspeakSettings, say\n"
        "from mfas.storage import sha256_of_bytes\n"
        f"print(sha256_of_bytes(say({TEXT!r}, {settings!r}).tobytes()))"
    )
    here = sha256_of_bytes(say(TEXT, settings).tobytes())
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert there.stdout.decode().strip() == here


def test_settings_are_heard():
    plain = say(TEXT, EspeakSettings("en-us+m3"))
    assert len(say(TEXT, EspeakSettings("en-us+m3", rate_wpm=120))) > 1.2 * len(plain)
    assert len(say(TEXT, EspeakSettings("en-us+m3", word_gap_ms=100))) > len(plain) + 5_000
    assert not np.array_equal(say(TEXT, EspeakSettings("en-us+m3", pitch=80)), plain)


def test_an_unknown_voice_is_refused():
    with pytest.raises(CorpusError, match=r"xx-nowhere\+f9: espeak-ng has no such voice"):
        say(TEXT, EspeakSettings("xx-nowhere+f9"))


def test_without_the_package_the_fix_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(CorpusError, match=r"espeakng-loader is missing; install mfas\[demo\]"):
        say(TEXT, EspeakSettings("en-us+m3"))


def test_unusable_data_is_named(monkeypatch, tmp_path):
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(CorpusError, match=r"espeak-ng cannot load its data"):
        say(TEXT, EspeakSettings("en-us+m3"))
