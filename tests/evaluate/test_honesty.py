"""What leaks is refused, or runs with a stamp that cannot be taken off."""

import pytest

from mfas.errors import LeakageError
from mfas.evaluate import cross_validate, verify_run
from mfas.storage import read_json, write_json

NO_SEARCH = ("--fusion.strategy", "last:sum", "--train.epochs", "1")
RANDOM = ("--evaluate.split", "kfold10", "--sec.encoder", "none")
PAPER = ("--evaluate.split", "groups:2", "--evaluate.selection", "paper", "--tec.encoder", "none")
ALLOWED = ("--evaluate.allow_optimistic", "true")


@pytest.fixture
def duplicates(manifest_of, tone_corpus):
    """dot's first clip is a copy of ann's under another name."""
    ann, dot = tone_corpus.parent / "ann" / "glad0.wav", tone_corpus.parent / "dot" / "copy.wav"
    dot.write_bytes(ann.read_bytes())
    yield manifest_of(
        lambda row: row | {"file": str(dot)} if row["file"].endswith("dot/glad0.wav") else row
    )
    dot.unlink()


def refusal(recipe, out, cache):
    with pytest.raises(LeakageError) as raised:
        cross_validate(recipe, out, cache=cache)
    assert "\n" not in str(raised.value)
    assert not out.exists()
    return str(raised.value)


@pytest.mark.parametrize(
    ("protocol", "kind"), [(RANDOM, "speaker leak"), (PAPER, "validation leak")]
)
def test_leaky_protocols_are_refused_or_stamped(
    quick_recipe, tone_cache, tmp_path, no_pictures, protocol, kind
):
    out = tmp_path / "run"
    message = refusal(quick_recipe(*protocol, *NO_SEARCH), out, tone_cache)
    assert kind in message
    assert message.endswith("set evaluate.allow_optimistic = true to run it, stamped optimistic")
    result = cross_validate(quick_recipe(*protocol, *NO_SEARCH, *ALLOWED), out, cache=tone_cache)
    assert result["honest"] is False
    assert any(line.startswith(kind.removesuffix(" leak")) for line in result["leaks"])
    assert verify_run(out) == []
    write_json(out / "result.json", result | {"honest": True})
    (fault,) = verify_run(out)
    assert fault.startswith("result.json: says honest, but fold 01: ")
    assert kind in fault


def test_the_same_audio_under_two_names_is_found(
    quick_recipe, duplicates, tone_cache, tmp_path, no_pictures
):
    split = ("--evaluate.split", "groups:4")
    message = refusal(
        quick_recipe(*split, *NO_SEARCH, manifest=duplicates), tmp_path / "run", tone_cache
    )
    assert "audio leak" in message
    assert "ann/glad0.wav" in message
    assert "dot/copy.wav" in message
    recipe = quick_recipe(*split, *NO_SEARCH, *ALLOWED, manifest=duplicates)
    result = cross_validate(recipe, tmp_path / "run", cache=tone_cache)
    assert result["honest"] is False
    write_json(tmp_path / "run" / "result.json", result | {"honest": True})
    (fault,) = verify_run(tmp_path / "run")
    assert "audio leak, 1 shared" in fault


def test_allowing_optimism_does_not_make_an_honest_run_optimistic(
    quick_recipe, tone_cache, tmp_path, no_pictures
):
    recipe = quick_recipe("--evaluate.split", "groups:2", *NO_SEARCH, *ALLOWED)
    assert cross_validate(recipe, tmp_path / "run", cache=tone_cache)["honest"] is True
    assert read_json(tmp_path / "run" / "result.json")["leaks"] == []
