"""What a recipe of `mfas pretrain` may say: speech, encoder, objective, masks, schedule, guards.

MFAS (arXiv 2306.09361) section 4 gives the objectives, the numbers of centres and layers, and the
mask rate; everything else is a choice, and marked so where it matters.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mfas.config.reading import ComputeSection, RecipeFile, Section, read_file


class SpeechSection(Section):
    """Which recordings, and how they are cut."""

    manifest: Path | None = Field(None, description="CSV with file,speaker (ctc: and text)")
    crop_seconds: tuple[Annotated[float, Field(ge=0.1)], ...] = Field(
        (1.5, 2.0, 2.5, 3.0, 4.0),
        min_length=1,
        description="lengths of crops; a recording gives the longest it can fill (ctc: all of it)",
    )
    held_out: float = Field(
        0.0, ge=0, lt=1, description="share of speakers never trained on, for validation"
    )
    held_out_seed: int = Field(0, ge=0, description="which speakers those are")
    speeds: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = Field(
        (1.0,), min_length=1, description="a recording is played at one of these, drawn each epoch"
    )
    gain_db: float = Field(0.0, ge=0, description="random level of each crop, up to +- this")


class StartSection(Section):
    """The encoder that is trained."""

    size: Literal["table1", "compact"] = Field("table1", description="see mfas.encoders")
    start: Path | None = Field(None, description="folder of an encoder to go on from")
    fresh_layers: int = Field(
        0,
        ge=0,
        description="of `start`: this many of the last layers begin anew; those of a quantised encoder "
        "know its codebooks, and keep CTC from starting (choice)",
    )
    dropout: float = Field(0.1, ge=0, lt=1)


class MaskSection(Section):
    """Which frames the model must guess."""

    share: float = Field(0.65, gt=0, lt=1, description="of frames (paper: .65)")
    span: int = Field(10, ge=1, description="frames of 20 ms in one masked span")
    placement: Literal["disjoint", "overlapping"] = Field(
        "disjoint",
        description="disjoint: exactly `share`; overlapping: as wav2vec 2.0, .65 masks about half",
    )


class QuantisedSection(Section):
    """Quantised targets, as in wav2vec 2.0 (arXiv 2006.11477)."""

    groups: int = Field(2, ge=1, description="codebooks G (paper: 2 or 4)")
    codewords: int = Field(8, ge=2, description="codewords V of each (paper: 2, 8 or 12)")
    loss: Literal["bce", "infonce"] = Field("bce", description="paper: bce")
    negatives: int = Field(
        100, ge=1, description="sampled per frame where there are more than 144 centres"
    )
    dim: int = Field(256, ge=1, description="width of codewords and predictions")
    similarity_temperature: float = Field(
        0.1, gt=0, description="cosine similarity is divided by it"
    )
    gumbel_start: float = Field(2.0, gt=0, description="temperature of the Gumbel softmax at first")
    gumbel_end: float = Field(0.5, gt=0, description="and at the end of the run")
    score_standard: Literal["batch", "none"] = Field(
        "batch",
        description="codewords' scores over a batch are standardised, which keeps few centres alive "
        "(choice); none: as wav2vec 2.0",
    )
    diversity: float = Field(
        1.5,
        ge=0,
        description="weight of the codebook diversity loss; wav2vec 2.0's .1 lets few centres collapse",
    )
    feature_penalty: float = Field(
        0.0, ge=0, description="weight of the mean squared feature; wav2vec 2.0's 10 shrinks them"
    )
    mel_weight: float = Field(
        0.0, ge=0, description="weight of guessing the masked log-mel as well (choice)"
    )


class ContinuousSection(Section):
    """Continuous targets, as in data2vec (arXiv 2202.03555, arXiv 2212.07525)."""

    layers: int = Field(4, ge=1, description="last layers K that make the target (paper: 1 to 4)")
    student: Literal["masked", "visible"] = Field(
        "masked",
        description="masked: all frames, some replaced (paper); visible: unmasked frames alone and a "
        "small decoder (data2vec 2.0)",
    )
    masks: int = Field(1, ge=1, description="masks that share one pass of the teacher")
    ema_start: float = Field(
        0.005, gt=0, le=1, description="averaging window of the teacher at first, share of the run"
    )
    ema_end: float = Field(0.1, gt=0, le=1, description="and once it has grown")
    ema_ramp: float = Field(0.3, gt=0, le=1, description="share of the run over which it grows")
    mel_weight: float = Field(
        0.0, ge=0, description="weight of guessing the masked log-mel as well (choice)"
    )


class CtcSection(Section):
    """Fine-tuning on transcripts by connectionist temporal classification (Graves et al., 2006)."""

    time_masks: int = Field(2, ge=0, description="SpecAugment: masked spans of time a recording")
    time_mask_frames: int = Field(15, ge=1, description="longest of them, frames of 20 ms")
    time_mask_share: float = Field(
        0.2, ge=0, le=1, description="most frames of a recording that all spans of time hide"
    )
    feature_masks: int = Field(2, ge=0, description="SpecAugment: masked bands of features")
    feature_mask_share: float = Field(0.1, ge=0, le=1, description="widest of them, share of all")
    consistency: float = Field(
        0.0, ge=0, description="weight of two augmented views' agreement (CR-CTC); 0: one view"
    )
    validate_every: int = Field(500, ge=1, description="updates between looks at held-out speakers")


class OptimizeSection(ComputeSection):
    """AdamW with linear warm-up and cosine decay."""

    updates: int = Field(1000, ge=1)
    batch_seconds: float = Field(
        32.0, gt=0, description="audio of one update, all processes together"
    )
    lr: float = Field(5e-4, gt=0, description="highest learning rate")
    warmup: float = Field(0.08, ge=0, le=1, description="share of the updates")
    final: float = Field(
        0.01, ge=0, le=1, description="last learning rate as a share of the highest"
    )
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.98), description="how long AdamW remembers"
    )
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    compile: bool = Field(False, description="torch.compile; pays on GPUs")
    log_every: int = Field(
        25, ge=1, description="updates between lines of the log; each checkpoint has one too"
    )
    checkpoint_every: int = Field(200, ge=1, description="updates between checkpoints")


class GuardSection(Section):
    """When a run counts as collapsed; see `mfas.pretrain.guards`."""

    target_variance: float = Field(0.05, ge=0, description="continuous: least over frames")
    prediction_variance: float = Field(0.005, ge=0, description="continuous: least over frames")
    effective_rank: float = Field(1.2, ge=0, description="least of the front end's features")
    perplexity: float = Field(
        1.2, ge=0, description="quantised: least of a codebook's mean over the batch"
    )
    grace: float = Field(0.15, ge=0, le=1, description="share of the run without guards")


class PretrainRecipe(RecipeFile):
    """One run of `mfas pretrain`."""

    command = "pretrain"
    seed: int = Field(0, ge=0)
    objective: Literal["quantised", "continuous", "ctc"] = "continuous"
    speech: SpeechSection = SpeechSection()
    encoder: StartSection = StartSection()
    mask: MaskSection = MaskSection()
    quantised: QuantisedSection = QuantisedSection()
    continuous: ContinuousSection = ContinuousSection()
    ctc: CtcSection = CtcSection()
    optimize: OptimizeSection = OptimizeSection()
    guards: GuardSection = GuardSection()

    @model_validator(mode="after")
    def _masks_fit(self) -> Self:
        if self.continuous.student == "visible" and self.mask.placement == "overlapping":
            raise ValueError(
                'continuous.student = "visible" leaves out as many frames of every crop; '
                'set mask.placement = "disjoint"'
            )
        return self


def read_pretrain_recipe(path: Path, overrides: Sequence[str] = ()) -> PretrainRecipe:
    """The pretraining run in the TOML file `path`, with overrides; raises `RecipeError`."""
    return read_file(PretrainRecipe, path, overrides)
