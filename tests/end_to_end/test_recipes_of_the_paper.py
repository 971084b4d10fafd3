"""The recipes for SAVEE and IEMOCAP, from a release's folder to a verified run, small and short."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mfas.cli import main
from mfas.corpora import adapt_corpus, write_manifest

RECIPES = Path(__file__).parents[2] / "recipes"
QUICK = [
    *("--sec.encoder", "compact", "--tec.encoder", "compact", "--fusion.dim", "16"),
    *("--search.epochs", "1", "--train.epochs", "1", "--train.device", "cpu"),
    *("--evaluate.workers", "1", "--evaluate.bootstrap", "100"),
]
FIXED = ["--fusion.strategy", "last:ism"]
CLOSED_FORM = ["--head.kind", "ridge", "--search.method", "random", "--search.samples", "2"]


@pytest.fixture(scope="module")
def manifests(generate_corpus, tmp_path_factory) -> dict[str, Path]:
    """Two hundredths of IEMOCAP and a tenth of SAVEE, in clips of a fifth of a second."""
    folder = tmp_path_factory.mktemp("manifests")
    for name, portion in (("savee", "0.1"), ("iemocap", "0.02")):
        release = generate_corpus(name, "--seconds", "0.2", "--portion", portion)
        write_manifest(adapt_corpus(name, release), folder / f"{name}.csv")
    return {name: folder / f"{name}.csv" for name in ("savee", "iemocap")}


@pytest.fixture
def result_of(manifests, tone_cache, monkeypatch, tmp_path, capsys) -> Callable[..., dict]:
    """Run a recipe, verify the run, and return its result."""
    monkeypatch.setenv("MFAS_CACHE", str(tone_cache))

    def run(recipe: str, *overrides: str) -> dict:
        manifest = ["--corpus.manifest", str(manifests[recipe.partition("-")[0]])]
        command = ["crossval", str(RECIPES / f"{recipe}.toml"), "--out", str(tmp_path / "run")]
        assert main([*command, *manifest, *QUICK, *overrides]) == 0
        capsys.readouterr()
        assert main(["verify", str(tmp_path / "run")]) == 0
        return json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))

    return run


def test_savee_in_ten_folds_is_stamped_optimistic(result_of):
    result = result_of("savee", *FIXED)
    assert (len(result["folds"]), result["n_utterances"]) == (10, 60)
    assert len(result["classes"]) == 7
    assert not result["honest"]
    assert "speaker" in result["leaks"][0]


def test_savee_by_speaker_is_honest(result_of):
    result = result_of("savee", "--evaluate.split", "lospo", "--evaluate.allow_optimistic", "false")
    assert [fold["fold"] for fold in result["folds"]] == ["DC", "JE", "JK", "KL"]
    assert (result["honest"], result["leaks"]) == (True, [])


@pytest.mark.parametrize(("recipe", "folds"), [("iemocap-loso", 5), ("iemocap-lospo", 10)])
def test_iemocap_in_closed_form_is_honest(result_of, recipe, folds):
    result = result_of(recipe, *CLOSED_FORM)
    assert (len(result["folds"]), result["honest"]) == (folds, True)
    assert result["classes"] == ["angry", "happy", "neutral", "sad"]
    assert sum(sum(row) for row in result["confusion"]) == result["n_utterances"] == 111


def test_the_papers_selection_is_one_override_away_and_stamped(result_of):
    optimistic = ["--evaluate.selection", "paper", "--evaluate.allow_optimistic", "true"]
    result = result_of("iemocap-loso", *FIXED, *optimistic)
    assert (result["selection"], result["honest"], len(result["folds"])) == ("paper", False, 5)
