"""A trained model as a folder that works anywhere: config.json, model.safetensors, its encoders.

    config.json          classes, strategy, recipe, notes, and where each encoder comes from
    model.safetensors    cell, head and projections
    sec/ tec/            each encoder with its weights

A frozen encoder that the recipe calls by its name alone ("compact") is not stored: name and seed give
it back, and its fingerprint proves that it is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from mfas.config import EncoderSection, Recipe, parse_recipe
from mfas.encoders import SpeechEncoder, load_encoder
from mfas.encoders.load import RANDOM
from mfas.errors import ModelError
from mfas.fusion import Strategy
from mfas.model.build import build_model
from mfas.model.mfas import MFAS
from mfas.storage import atomic_folder, read_json, write_bytes, write_json

FORMAT = 1
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
STREAMS = ("sec", "tec")
# ValueError: broken JSON, and what mfas itself says of a wrong recipe or strategy
_DAMAGE = (
    OSError,
    SafetensorError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
)


@dataclass(frozen=True)
class ModelCard:
    """What must be known about a model beside its weights.

    `validation_ua` is the score that its epoch was chosen by: optimistic, not a test result.
    """

    recipe: Recipe
    classes: Sequence[str]
    strategy: Strategy | None
    notes: Sequence[str]
    validation_ua: float


def save_model(folder: Path, model: MFAS, card: ModelCard) -> None:
    """Write `model`, whose encoders are real ones, to `folder`, whole or not at all.

    `folder` must not exist, or be empty.
    """
    with atomic_folder(folder) as building:
        _write(building, model, card)


def _write(folder: Path, model: MFAS, card: ModelCard) -> None:
    encoders: dict[str, Any] = {}
    for name in STREAMS:
        encoder = getattr(model, name)
        if encoder is None:
            continue
        assert isinstance(encoder, SpeechEncoder), "stored frames cannot be saved; attach encoders"
        section: EncoderSection = getattr(card.recipe, name)
        stored = section.finetune or section.encoder not in RANDOM
        if stored:
            encoder.save(folder / name)
        encoders[name] = {"stored": stored, "fingerprint": encoder.fingerprint()}
    own = {
        key: tensor.contiguous()
        for key, tensor in model.state_dict().items()
        if not key.startswith(("sec.", "tec."))
    }
    write_bytes(folder / WEIGHTS_FILE, save(own))
    config = {
        "mfas_model": FORMAT,
        "mfas": version("mfas"),
        "name": card.recipe.name,
        "classes": list(card.classes),
        "strategy": str(card.strategy) if card.strategy else None,
        "notes": list(card.notes),
        "validation_ua": card.validation_ua,
        "encoders": encoders,
        "recipe": card.recipe.model_dump(mode="json", exclude_none=True),
    }
    write_json(folder / CONFIG_FILE, config)


def load_model(folder: Path) -> tuple[MFAS, ModelCard]:
    """Read what `save_model` wrote, ready to predict (evaluation mode, nothing to train).

    Raises `ModelError` if the folder is not a model, is damaged, or is of a newer format.
    """
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"{folder}: no model there (no {CONFIG_FILE}); mfas train makes one")
    try:
        config = read_json(folder / CONFIG_FILE)
        if config.get("mfas_model") != FORMAT:
            raise ModelError(f"{folder}: not a model of this version of mfas; update mfas")
        card = _card(config)
        streams = {
            name: _load_stream(folder / name, getattr(card.recipe, name), name, facts)
            for name, facts in config["encoders"].items()
        }
        model = build_model(
            card.recipe.model_copy(
                update={"head": card.recipe.head.model_copy(update={"alexnet_weights": None})}
            ),
            streams.get("sec"),
            streams.get("tec"),
            len(card.classes),
            card.strategy,
            seed=0,
        )
        model.load_state_dict({**_encoder_state(model), **load_file(folder / WEIGHTS_FILE)})
    except ModelError:
        raise
    except _DAMAGE as error:
        fault = str(error).replace("\n", " ").strip()[:120]
        raise ModelError(f"{folder}: damaged model ({fault}); copy it again") from error
    return model.eval().requires_grad_(False), card


def _card(config: dict[str, Any]) -> ModelCard:
    return ModelCard(
        recipe=parse_recipe(config["recipe"], origin=CONFIG_FILE),
        classes=tuple(config["classes"]),
        strategy=Strategy.parse(config["strategy"]) if config["strategy"] else None,
        notes=tuple(config["notes"]),
        validation_ua=config["validation_ua"],
    )


def _load_stream(
    folder: Path, section: EncoderSection, name: str, facts: dict[str, Any]
) -> SpeechEncoder:
    frozen = section.model_copy(update={"finetune": False})
    if facts["stored"]:
        if not folder.is_dir():  # its path could pass for the id of a Hub model
            raise FileNotFoundError(f"no folder {folder.name}")
        frozen = frozen.model_copy(update={"encoder": str(folder), "revision": None})
    encoder = load_encoder(frozen, name)  # type: ignore[arg-type]
    if encoder.fingerprint() != facts["fingerprint"]:
        raise ModelError(
            f"{folder.parent}: its {name.upper()} encoder came out with other weights than it was "
            "trained with; copy the model again, or use the version of torch it was made with"
        )
    return encoder


def _encoder_state(model: MFAS) -> dict[str, Any]:
    return {k: v for k, v in model.state_dict().items() if k.startswith(("sec.", "tec."))}
