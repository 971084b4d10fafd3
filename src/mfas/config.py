"""A recipe: one TOML file that says everything about an experiment.

A recipe enters as TOML plus overrides (`--section.key value`); a frozen, validated `Recipe` leaves.
An unknown key is refused with the nearest known one. Every key whose value the paper
(arXiv 2306.09361) leaves open is marked *choice* in its description.
"""

import copy
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mfas.errors import RecipeError


class Section(BaseModel):
    """A table of the recipe: immutable, and strict about its keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False
    )


class CorpusSection(Section):
    """Which utterances, and what their labels mean."""

    manifest: Path | None = Field(None, description="manifest CSV, relative to where you stand")
    classes: tuple[str, ...] = Field(
        (), description="labels to keep, in report order; empty: every label of the manifest"
    )
    merge: dict[str, str] = Field(
        {}, description='labels to rename before `classes` applies, e.g. {excited = "happy"}'
    )
    guard_text: bool = Field(
        False, description="treat the same text in training and test as leakage"
    )


class EncoderSection(Section):
    """One speech encoder (paper section 5.2.1): a name, a Hub id or a local folder."""

    encoder: str = Field(
        "compact", description='"compact", "table1" (ours), a Hub id, a local folder, or "none"'
    )
    revision: str | None = Field(None, description="commit of the Hub model")
    seed: int = Field(0, ge=0, description="initialisation of an encoder that has no weights yet")
    finetune: bool = Field(False, description="paper: true; choice: frozen, encoded once, cached")


class SecSection(EncoderSection):
    """The encoder of speech-related emotional content."""

    seed: int = Field(1, ge=0, description="initialisation of an encoder that has no weights yet")


class TecSection(EncoderSection):
    """The encoder of textual-related emotional content; another seed, so that it is another one."""

    seed: int = Field(2, ge=0, description="initialisation of an encoder that has no weights yet")


class FusionSection(Section):
    """How SEC adjusts TEC (paper section 5.1)."""

    strategy: str = Field(
        "search",
        description='"search", "none" (no adjustment), or a fixed "level:operation" as "last:ism"',
    )
    dim: int | None = Field(
        None, ge=1, description="project both encoders to this width first; unset: no projection"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout of concat_fc (choice)")
    ism_form: Literal["x+y*g(y)", "x+y*g(x)", "x*g(y)"] = Field(
        "x+y*g(y)", description="form of the information supplement module (reconstruction)"
    )
    residual: bool = Field(False, description="LayerNorm(x + x') after the cell (choice)")


class HeadSection(Section):
    """The two-stream Co-attention head (paper section 3)."""

    size: Literal["paper", "compact"] = Field("compact", description="compact is a choice")
    dropout: float | None = Field(None, ge=0, lt=1, description="overrides the size's dropout")
    alexnet_weights: Path | None = Field(
        None, description="torchvision AlexNet state dict (.safetensors or .pth) for size paper"
    )


class SearchSection(Section):
    """How a strategy is found (paper section 5.1)."""

    method: Literal["darts", "random", "exhaustive"] = "darts"
    epochs: int = Field(8, ge=1, description="epochs of the search")
    lr: float = Field(1e-3, gt=0, description="learning rate of the weights (AdamW)")
    alpha_lr: float = Field(
        0.5, gt=0, description='SGD on alpha; the paper prints "5" with a lost exponent (choice)'
    )
    samples: int = Field(4, ge=1, description="random: candidates tried per fold")


class TrainSection(Section):
    """The training loop; the paper's reference trains with AdamW, 1e-5, batch 64, patience 8."""

    epochs: int = Field(30, ge=1)
    patience: int = Field(8, ge=1, description="epochs without a better score before stopping")
    batch: int = Field(32, ge=1, description="segments per optimisation step")
    accumulate: int = Field(1, ge=1, description="micro-batches a step is split into")
    lr: float = Field(1e-3, gt=0, description="learning rate of cell and head")
    encoder_lr: float = Field(1e-5, gt=0, description="learning rate of fine-tuned encoders")
    weight_decay: float = Field(1e-2, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    balance: bool = Field(True, description="weigh classes inversely to their frequency (choice)")
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 on GPUs that have it, float32 on CPU"
    )
    device: Literal["auto", "cpu"] = Field("auto", description="auto: a GPU where there is one")
    threads: int = Field(1, ge=1, description="CPU threads of one fold; part of what is repeatable")

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Self:
        if self.batch % self.accumulate:
            raise ValueError(
                f"train.batch = {self.batch} is not a multiple of train.accumulate = "
                f"{self.accumulate}; choose numbers that divide"
            )
        return self


class EvaluateSection(Section):
    """The protocol: how folds are cut (split) and where choices are made (selection)."""

    split: str = Field(
        "lospo",
        description="loso: sessions; lospo: speakers; groups:N: N folds of speakers; kfold10: random",
    )
    selection: Literal["inner", "paper"] = Field(
        "inner", description="inner: training speakers only; paper: the epoch is picked on test"
    )
    inner_fraction: float = Field(
        0.2, gt=0, lt=1, description="share of training speakers held out for choices (choice)"
    )
    allow_optimistic: bool = Field(
        False, description="run protocols that leak, with their results stamped optimistic"
    )
    workers: int = Field(0, ge=0, description="folds at once; 0: as many as the cores allow")
    bootstrap: int = Field(2000, ge=100, description="resamples of speakers for the intervals")

    @field_validator("split")
    @classmethod
    def _known_split(cls, split: str) -> str:
        if not re.fullmatch(r"loso|lospo|kfold10|groups:[1-9]\d*", split):
            raise ValueError(
                f"evaluate.split = {split!r}: no such split; "
                "use loso, lospo, kfold10, or groups:N with a number"
            )
        return split


class Recipe(Section):
    """An experiment."""

    name: str = "mfas"
    seed: int = Field(0, ge=0)
    corpus: CorpusSection = CorpusSection()
    sec: SecSection = SecSection()
    tec: TecSection = TecSection()
    fusion: FusionSection = FusionSection()
    head: HeadSection = HeadSection()
    search: SearchSection = SearchSection()
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides such as `["--train.lr", "1e-4"]`.

    Raises `RecipeError` for a missing file, broken TOML, an unknown key or a wrong value.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError(
            f"{path}: no such recipe; recipes are TOML files, see recipes/"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML ({error}); correct that place") from error
    values.setdefault("name", Path(path).stem)
    return parse_recipe(values, overrides, origin=str(path))


def parse_recipe(
    values: Mapping[str, Any], overrides: Sequence[str] = (), origin: str = "recipe"
) -> Recipe:
    """Validate a recipe given as nested dicts; see `read_recipe`."""
    merged = copy.deepcopy(dict(values))
    for dotted, text in _override_pairs(overrides):
        *tables, key = dotted.split(".")
        table = merged
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise RecipeError(f"--{dotted}: {name!r} is not a table; it has no keys")
        table[key] = _toml_value(text)
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {_explain(error)}") from error


def recipe_to_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML: every key with its value, optional keys that are unset left out."""
    return tomlkit.dumps(recipe.model_dump(mode="json", exclude_none=True))


def known_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield (dotted key, default, description) of every key a recipe may have."""
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, Section):
            yield from known_keys(type(default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", default, field.description or ""


def _override_pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("--"):
            raise RecipeError(f"{argument}: not an option; recipe keys are given as --section.key")
        dotted, equals, text = argument[2:].partition("=")
        if not equals:
            following = next(remaining, None)
            if following is None:
                raise RecipeError(f"{argument}: has no value; write {argument} VALUE")
            text = following
        yield dotted, text


def _toml_value(text: str) -> Any:
    """`text` as TOML where it is TOML (numbers, booleans, arrays), else as the plain string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] != "extra_forbidden":
        return f"{key} = {first['input']!r}: {first['msg'].lower()}"
    nearest = difflib.get_close_matches(key, [name for name, _, _ in known_keys()], n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]}?" if nearest else "see mfas crossval --help for the keys"
    return f"unknown key {key}; {hint}"
