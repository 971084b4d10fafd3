"""A strategy: which level of SEC adjusts TEC, by which operation (arXiv 2306.09361, section 5.1)."""

from dataclasses import dataclass

from mfas.errors import RecipeError

LEVELS = ("first", "middle", "last")
OPERATION_NAMES = (
    "zero",
    "sum",
    "attention",
    "attention_r",
    "concat_fc",
    "concat_fc_r",
    "ism",
    "ism_r",
)


@dataclass(frozen=True, order=True)
class Strategy:
    """One (level, operation) of the search space; its text form is "level:operation"."""

    level: str
    operation: str

    def __post_init__(self) -> None:
        if self.level not in LEVELS or self.operation not in OPERATION_NAMES:
            raise RecipeError(
                f"strategy {self.level}:{self.operation}: unknown; levels are {', '.join(LEVELS)}, "
                f"operations {', '.join(OPERATION_NAMES)}"
            )

    def __str__(self) -> str:
        return f"{self.level}:{self.operation}"

    @property
    def distinct(self) -> "Strategy":
        """The one of `distinct_candidates` that is the same function as this."""
        if self.operation == "zero":
            return Strategy("last", "zero")
        return Strategy(self.level, self.operation.replace("concat_fc_r", "concat_fc"))

    @classmethod
    def parse(cls, text: str) -> "Strategy":
        """Read "level:operation"; raises `RecipeError` for anything else."""
        level, _, operation = text.partition(":")
        return cls(level, operation)


def distinct_candidates() -> tuple[Strategy, ...]:
    """The 19 candidates of the 24 that differ as functions.

    zero is the same at every level (kept once, at `last`), and concat_fc_r is concat_fc with the
    columns of W exchanged, so a network with either can learn exactly what one with the other can.
    """
    return tuple(
        Strategy(level, operation)
        for level in LEVELS
        for operation in OPERATION_NAMES
        if operation != "concat_fc_r" and (operation != "zero" or level == "last")
    )
