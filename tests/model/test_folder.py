"""A saved model gives the same answers wherever it is copied, or says in one line why not."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mfas.encoders import SpeechEncoder, TransformerEncoder, load_encoder, save_random_huggingface
from mfas.errors import ModelError
from mfas.fusion import Strategy
from mfas.heads import SIZES
from mfas.heads.alexnet import AlexNetFeatures
from mfas.model import MFAS, ModelCard, build_model, load_model, save_model

CLASSES = ("angry", "calm", "sad")
RANDOM = {"encoder": "compact"}
ISM = Strategy("first", "ism")


def make(recipe, strategy: Strategy | None = ISM, seed: int = 1) -> tuple[MFAS, ModelCard]:
    """A model with the encoders that the recipe names."""
    streams = {
        name: None if section.encoder == "none" else load_encoder(section, name)
        for name, section in (("sec", recipe.sec), ("tec", recipe.tec))
    }
    model = build_model(recipe, **streams, classes=3, strategy=strategy, seed=seed).eval()
    return model, ModelCard(recipe, CLASSES, strategy, ("a note", "another"), 0.625)


def answers(model: MFAS, batch) -> list[torch.Tensor]:
    mixture = model.cell is not None and model.cell.only is None
    with torch.no_grad():
        return [model(batch, level) for level in (("first", "last") if mixture else (None,))]


def assert_same_answers(one: MFAS, other: MFAS, batch) -> None:
    for expected, seen in zip(answers(one, batch), answers(other, batch), strict=True):
        assert torch.equal(seen, expected)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory, encoder: Callable[..., SpeechEncoder]) -> Path:
    """Folders of small encoders of ours, sec and tec, by width."""
    root = tmp_path_factory.mktemp("encoders")
    for role, dim in (("sec", 32), ("tec", 32), ("tec", 48)):
        encoder(role, dim).save(root / f"{role}{dim}")
    return root


@pytest.fixture
def saved(encoders, recipe, tmp_path) -> Path:
    """A saved model with stored encoders."""
    model, card = make(sections(recipe, encoders))
    save_model(tmp_path / "model", model, card)
    return tmp_path / "model"


def sections(recipe, encoders: Path, tec: str = "tec32", **tables):
    return recipe(
        sec={"encoder": str(encoders / "sec32")}, tec={"encoder": str(encoders / tec)}, **tables
    )


@pytest.mark.parametrize(
    ("tables", "strategy"),
    [
        ({}, ISM),
        ({"fusion": {"strategy": "search"}}, None),
        ({"fusion": {"strategy": "none"}}, None),
        ({"fusion": {"residual": True, "ism_form": "x*g(y)"}}, Strategy("last", "ism_r")),
        ({"fusion": {"dim": 20}, "tec": "tec48"}, Strategy("middle", "concat_fc")),
    ],
)
def test_what_is_saved_answers_the_same_elsewhere(
    tables, strategy, encoders, recipe, batch, tmp_path
):
    own = tmp_path / "encoders"
    shutil.copytree(encoders, own)
    model, card = make(sections(recipe, own, **tables), strategy)
    with torch.no_grad():  # what training sets
        model.head.scale.fit(torch.linspace(-75, -60, 200), torch.linspace(-5, -10, 200))
        for projection in model.projections.values():
            projection.standard.mean.normal_()
    save_model(tmp_path / "model", model, card)
    shutil.rmtree(own)
    (tmp_path / "model").rename(tmp_path / "moved")
    loaded, loaded_card = load_model(tmp_path / "moved")
    assert loaded_card == card
    assert_same_answers(model, loaded, batch)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize(("sec", "tec"), [("sec32", "none"), ("none", "tec32")])
def test_one_stream(sec, tec, encoders, recipe, batch, tmp_path):
    names = {
        role: {"encoder": name if name == "none" else str(encoders / name)}
        for role, name in (("sec", sec), ("tec", tec))
    }
    model, card = make(recipe(**names), None)
    save_model(tmp_path, model, card)
    assert_same_answers(model, load_model(tmp_path)[0], batch)


def test_encoders_that_follow_from_their_seed_are_not_stored(recipe, batch, tmp_path):
    model, card = make(recipe(sec=RANDOM | {"seed": 3}, tec=RANDOM | {"seed": 4}))
    save_model(tmp_path, model, card)
    assert not (tmp_path / "sec").exists()
    assert not (tmp_path / "tec").exists()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 5e6
    assert_same_answers(model, load_model(tmp_path)[0], batch)


def test_shipped_encoders_are_stored_so_that_a_model_outlives_them(recipe, batch, tmp_path):
    model, card = make(recipe())
    save_model(tmp_path, model, card)
    assert (tmp_path / "sec" / "model.safetensors").is_file()
    assert_same_answers(model, load_model(tmp_path)[0], batch)


def test_a_finetuned_encoder_is_stored(recipe, batch, tmp_path):
    model, card = make(recipe(sec=RANDOM | {"finetune": True}, tec=RANDOM))
    with torch.no_grad():
        for parameter in model.sec.parameters():
            parameter.mul_(1.1)
    save_model(tmp_path, model, card)
    loaded, _ = load_model(tmp_path)
    assert loaded.sec.fingerprint() == model.sec.fingerprint()
    assert (tmp_path / "sec").is_dir()
    assert not (tmp_path / "tec").exists()
    model.sec.freeze()
    assert_same_answers(model, loaded, batch)


@pytest.mark.parametrize(("sec", "tec"), [("data2vec-audio", "wav2vec2"), ("wavlm", "hubert")])
def test_hugging_face_encoders_are_stored(sec, tec, recipe, batch, tmp_path):
    for seed, (role, kind) in enumerate((("sec", sec), ("tec", tec))):
        save_random_huggingface(kind, tmp_path / role, seed, size="tiny")
    named = {role: {"encoder": str(tmp_path / role)} for role in ("sec", "tec")}
    model, card = make(recipe(**named), Strategy("middle", "attention"))
    save_model(tmp_path / "model", model, card)
    for role in ("sec", "tec"):
        shutil.rmtree(tmp_path / role)
    loaded, _ = load_model(tmp_path / "model")
    for role in ("sec", "tec"):
        assert getattr(loaded, role).fingerprint() == getattr(model, role).fingerprint()
        assert not getattr(loaded, role).trained
    assert_same_answers(model, loaded, batch)


def test_a_loaded_model_can_be_saved_again(saved, batch, tmp_path):
    model, card = load_model(saved)
    save_model(tmp_path / "again", model, card)
    shutil.rmtree(saved)
    assert_same_answers(model, load_model(tmp_path / "again")[0], batch)


def test_alexnets_file_is_needed_once(encoders, recipe, batch, tmp_path, monkeypatch):
    narrow = replace(SIZES["paper"], lstm_width=4, lstm_layers=1, lstm_dropout=0.0, code=4)
    monkeypatch.setitem(SIZES, "paper", narrow)
    save_file(AlexNetFeatures().state_dict(), tmp_path / "alexnet.safetensors")
    head = {"size": "paper", "alexnet_weights": str(tmp_path / "alexnet.safetensors")}
    model, card = make(sections(recipe, encoders, head=head))
    save_model(tmp_path / "model", model, card)
    (tmp_path / "alexnet.safetensors").unlink()
    loaded, loaded_card = load_model(tmp_path / "model")
    assert loaded_card == card
    assert_same_answers(model, loaded, batch)


def test_nothing_is_pickled(saved):
    names = {path.name for path in saved.rglob("*") if path.is_file()}
    assert names == {"config.json", "model.safetensors"}


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as raised:
        load_model(folder)
    message = str(raised.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_no_model_there(tmp_path):
    assert "no model there (no config.json); mfas train makes one" in refusal(tmp_path)
    assert "no model there" in refusal(tmp_path / "missing")


def test_half_a_file_is_damage(saved):
    content = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(content[: len(content) // 2])
    assert "damaged model (" in refusal(saved)
    (saved / "model.safetensors").unlink()
    assert refusal(saved).endswith("copy it again")


@pytest.mark.parametrize("content", ["", "{", "[]", '"mfas"', "\x00\xff"])
def test_a_config_that_is_no_config(content, saved):
    (saved / "config.json").write_bytes(content.encode("latin-1"))
    refusal(saved)


def edited(folder: Path, edit: Callable[[dict], object]) -> Path:
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "edit",
    [
        lambda config: config.pop("classes"),
        lambda config: config.pop("encoders"),
        lambda config: config["encoders"]["sec"].pop("fingerprint"),
        lambda config: config["encoders"].update(third=config["encoders"]["sec"]),
        lambda config: config.update(strategy="first:isn"),
        lambda config: config.update(strategy="last:attention"),
        lambda config: config["recipe"].update(colour="red"),
        lambda config: config["recipe"]["fusion"].update(dim="wide"),
        lambda config: config["classes"].append("surprise"),
    ],
)
def test_a_config_that_does_not_fit_is_damage(edit, saved):
    assert "damaged model (" in refusal(edited(saved, edit))


def test_a_newer_format(saved):
    message = refusal(edited(saved, lambda config: config.update(mfas_model=99)))
    assert "not a model of this version of mfas; update mfas" in message


def test_a_stored_encoder_that_is_missing_is_not_sought_elsewhere(saved, monkeypatch):
    shutil.rmtree(saved / "tec")
    monkeypatch.chdir(saved.parent)  # "model/tec" could be an id of the Hub
    monkeypatch.setattr(
        "mfas.encoders.load.snapshot_download", lambda *a, **k: pytest.fail("asked")
    )
    refusal(Path("model"))
    refusal(saved)


def test_another_encoder_is_not_taken_for_the_models_own(saved):
    other = TransformerEncoder.load(saved / "sec")
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    other.save(saved / "sec")
    assert "its SEC encoder came out with other weights" in refusal(saved)


def test_a_seed_that_gives_other_weights_is_noticed(recipe, tmp_path):
    save_model(tmp_path, *make(recipe(sec={"encoder": "none"}, tec=RANDOM | {"seed": 4}), None))
    other = edited(tmp_path, lambda config: config["recipe"]["tec"].update(seed=5))
    assert "its TEC encoder came out with other weights" in refusal(other)
