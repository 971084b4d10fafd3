"""A recipe file becomes a checked object: TOML plus overrides (`--section.key value`).

An unknown key is refused with the nearest known one; a wrong value with what was expected.
"""

import copy
import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mfas.errors import RecipeError


class Section(BaseModel):
    """A table of the recipe: immutable, and strict about its keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False
    )


class ComputeSection(Section):
    """Where and how precisely to compute."""

    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto", description="auto: bf16 on GPUs that have it, float32 on CPU"
    )
    device: Literal["auto", "cpu"] = Field("auto", description="auto: a GPU where there is one")
    threads: int = Field(1, ge=1, description="CPU threads of one process; part of what repeats")


class RecipeFile(Section):
    """What every recipe has. command: which of ours reads it."""

    command: ClassVar[str]
    name: str = "mfas"


AnyRecipe = TypeVar("AnyRecipe", bound=RecipeFile)


def read_file(model: type[AnyRecipe], path: Path, overrides: Sequence[str] = ()) -> AnyRecipe:
    """Read a recipe of type `model`, with overrides such as `["--train.lr", "1e-4"]`.

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
    return parse_values(model, values, overrides, origin=str(path))


def parse_values(
    model: type[AnyRecipe],
    values: Mapping[str, Any],
    overrides: Sequence[str] = (),
    origin: str = "recipe",
) -> AnyRecipe:
    """Validate a recipe given as nested dicts; see `read_file`."""
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
        return model.model_validate(merged)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {_explain(error, model)}") from error


def recipe_to_toml(recipe: RecipeFile) -> str:
    """The resolved recipe as TOML: every key with its value, optional keys that are unset left out."""
    return tomlkit.dumps(recipe.model_dump(mode="json", exclude_none=True))


def known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any, str]]:
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


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] != "extra_forbidden":
        return f"{key} = {first['input']!r}: {first['msg'].lower()}"
    return f"unknown key {key}; {_hint(key, model)}"


def _hint(key: str, model: type[BaseModel]) -> str:
    """What may have been meant by an unknown key."""
    assert issubclass(model, RecipeFile)
    for other in RecipeFile.__subclasses__():
        if key in other.model_fields and other is not model:
            return f"that is a key of mfas {other.command}, not of mfas {model.command}"
    known = [name for name, _, _ in known_keys(model)]
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"did you mean {nearest[0]}?" if nearest else f"see mfas {model.command} --help"
