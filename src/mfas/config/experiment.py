"""What a recipe of an experiment may say: corpus, encoders, fusion, head, search, protocol.

Every key whose value the paper (arXiv 2306.09361) leaves open is marked *choice* in its description.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mfas.config.reading import ComputeSection, RecipeFile, Section, parse_values, read_file

BEST_COMPACT = Path(__file__).parent / "best-compact.toml"


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
        "compact",
        description='"sec-compact", "tec-compact" (pretrained, come with mfas), "compact", "table1" '
        '(random weights), a Hub id, a local folder, or "none"',
    )
    revision: str | None = Field(None, description="commit of the Hub model")
    seed: int = Field(0, ge=0, description="initialisation of an encoder that has no weights yet")
    finetune: bool = Field(False, description="paper: true; choice: frozen, encoded once, cached")


class SecSection(EncoderSection):
    """The encoder of speech-related emotional content."""

    encoder: str = Field(
        "sec-compact", description=EncoderSection.model_fields["encoder"].description
    )
    seed: int = Field(1, ge=0, description="initialisation of an encoder that has no weights yet")


class TecSection(EncoderSection):
    """The encoder of textual-related emotional content."""

    encoder: str = Field(
        "tec-compact", description=EncoderSection.model_fields["encoder"].description
    )
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
    """The emotion analysis head (paper section 3): Co-attention, or pooled frames in closed form."""

    kind: Literal["coattention", "ridge"] = Field(
        "coattention",
        description="coattention: the paper's; ridge: pooled frames of all levels, kernel ridge in "
        "closed form, for small corpora and frozen encoders (choice)",
    )
    context_seconds: float = Field(
        12.0,
        ge=3,
        multiple_of=3,
        description="ridge: seconds pooled together at most, a multiple of 3",
    )
    sec_beside: bool = Field(
        True,
        description="ridge: all levels of SEC stand beside x'; false: the head reads x' alone",
    )
    size: Literal["paper", "compact"] = Field(
        "compact", description="of co-attention; compact is a choice"
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="overrides the size's dropout")
    alexnet_weights: Path | None = Field(
        None, description="torchvision AlexNet state dict (.safetensors or .pth) for size paper"
    )


SUPERNETS = (
    "darts",
    "single_path",
    "perturbation",
)  # methods that train all operations in one model


class SearchSection(Section):
    """How a strategy is found (paper section 5.1)."""

    method: Literal["darts", "single_path", "perturbation", "random", "exhaustive"] = "darts"
    epochs: int = Field(8, ge=1, description="epochs of the search")
    lr: float = Field(1e-3, gt=0, description="learning rate of the weights (AdamW)")
    alpha_lr: float = Field(
        0.5,
        gt=0,
        description='SGD on alpha; the paper prints "5" with a lost exponent; 5 collapses (choice)',
    )
    samples: int = Field(4, ge=1, description="random: candidates tried per fold")
    twins: bool = Field(
        False,
        description="exhaustive: train concat_fc_r too, the same function as concat_fc, to measure noise",
    )


class TrainSection(ComputeSection):
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
        "inner",
        description="inner: training speakers only; paper: the epoch is picked on the test fold (ridge: "
        "penalty and temperature)",
    )
    condition: Literal["plain", "adapted"] = Field(
        "plain",
        description="adapted: each speaker's features are standardised by that speaker's own "
        "recordings, without their labels, also in the test fold; results are stamped (ridge only)",
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


class Recipe(RecipeFile):
    """An experiment."""

    command = "crossval"
    seed: int = Field(0, ge=0)
    corpus: CorpusSection = CorpusSection()
    sec: SecSection = SecSection()
    tec: TecSection = TecSection()
    fusion: FusionSection = FusionSection()
    head: HeadSection = HeadSection()
    search: SearchSection = SearchSection()
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()

    @model_validator(mode="after")
    def _closed_form_fits(self) -> Self:
        if self.head.kind != "ridge":
            if self.evaluate.condition == "adapted":
                raise ValueError(
                    'evaluate.condition = "adapted": only head.kind = "ridge" adapts; set it, or '
                    'use "plain"'
                )
            return self
        both = "none" not in (self.sec.encoder, self.tec.encoder)
        trains = self.search.method in SUPERNETS
        if both and self.fusion.strategy == "search" and trains:
            raise ValueError(
                'head.kind = "ridge" is solved in closed form, which search.method = '
                f'"{self.search.method}" cannot follow; set '
                'search.method to "exhaustive" or "random"'
            )
        if self.sec.finetune or self.tec.finetune:
            raise ValueError(
                'head.kind = "ridge" is solved in closed form, which cannot fine-tune an encoder; '
                "set sec.finetune and tec.finetune to false"
            )
        return self


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The experiment in the TOML file `path`, with overrides; raises `RecipeError`.

    A manifest (.csv) in its place means the recipe best-compact on that manifest.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        given = ["--corpus.manifest", str(path), "--name", f"{path.stem}-best-compact"]
        return read_file(Recipe, BEST_COMPACT, [*given, *overrides])
    return read_file(Recipe, path, overrides)


def parse_recipe(
    values: Mapping[str, Any], overrides: Sequence[str] = (), origin: str = "recipe"
) -> Recipe:
    """The experiment that nested dicts describe, with overrides; raises `RecipeError`."""
    return parse_values(Recipe, values, overrides, origin)
