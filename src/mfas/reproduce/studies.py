"""What is run, on which protocols, and compared with what: Tables 3 and 4, Figs. 3 and 4, candidates, audit.

A study is a list of rows; a row is a model under a protocol, both of them changes to one recipe, so that
whoever lacks IEMOCAP runs the same rows on another corpus. The paper's numbers stand here, too
(MFAS, arXiv 2306.09361, sections 5.2.2 to 5.2.4), in percent.

Choice: the row "SEC wav2vec2 only" of Table 4, and "Co-attention with wav2vec2 only" of Fig. 4, is TEC's
encoder in SEC's place, with the head of the recipe.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mfas.config import Recipe, parse_recipe
from mfas.evaluate.experiment import NO_ENCODER
from mfas.fusion import Strategy, distinct_candidates

Values = dict[str, Any]
Printed = Mapping[str, Mapping[str, tuple[float | None, float]]]  # corpus -> row -> UA, WA, %
RANDOM_SPLIT = "kfold10"
AS_IT_IS, TEC_ALONE = "as-it-is", "tec-alone"


@dataclass(frozen=True)
class Change:
    """A model or a protocol: what it does to the values of a recipe. printed: the paper's name."""

    slug: str
    name: str
    change: Callable[[Values], None]
    printed: str = ""


def _keep(values: Values) -> None:
    """The recipe as it is."""


def _search(values: Values) -> None:
    values["fusion"]["strategy"] = "search"


def _unadjusted(values: Values) -> None:
    values["fusion"]["strategy"] = "none"


def _sec_alone(values: Values) -> None:
    values["tec"] = {"encoder": NO_ENCODER}
    _unadjusted(values)


def _tec_alone(values: Values) -> None:
    values["sec"] = values["tec"]
    _sec_alone(values)


def _fixed(strategy: Strategy) -> Change:
    """A candidate of the search by itself."""

    def change(values: Values) -> None:
        values["fusion"]["strategy"] = str(strategy)

    return Change(f"fixed-{strategy.level}-{strategy.operation}", str(strategy), change)


CANDIDATES = tuple(_fixed(strategy) for strategy in distinct_candidates())
MODELS = {
    model.slug: model
    for model in (
        *CANDIDATES,
        Change(AS_IT_IS, "the recipe as it is", _keep),
        Change("searched", "both, adjusted by the searched strategy", _search, "MFAS"),
        Change("unadjusted", "both, no adjustment", _unadjusted, "without adjustment"),
        Change("sec-alone", "SEC's encoder alone", _sec_alone, "SEC data2vec only"),
        Change(TEC_ALONE, "TEC's encoder alone", _tec_alone, "SEC wav2vec2 only"),
    )
}


def _protocol(split: str | None, selection: str, optimistic: bool) -> Callable[[Values], None]:
    """split: None keeps the recipe's; "apart" keeps it too, unless it shares speakers."""

    def change(values: Values) -> None:
        own = values["evaluate"]
        if split == "apart":
            own["split"] = "lospo" if own["split"] == RANDOM_SPLIT else own["split"]
        elif split is not None:
            own["split"] = split
        own |= {"selection": selection, "allow_optimistic": optimistic}

    return change


PROTOCOLS = {
    protocol.slug: protocol
    for protocol in (
        Change("honest", "honest", _protocol("apart", "inner", False)),
        Change("paper", "as the paper", _protocol(None, "paper", True)),
        Change("test-chosen", "validation = test", _protocol("apart", "paper", True)),
        Change("random", "random 10-fold", _protocol(RANDOM_SPLIT, "inner", True)),
    )
}


@dataclass(frozen=True)
class Row:
    """A model under a protocol."""

    model: str
    protocol: str

    @property
    def slug(self) -> str:
        """Names its run folders."""
        return f"{self.model}-{self.protocol}"

    @property
    def name(self) -> str:
        """As a sentence calls it."""
        return f"{MODELS[self.model].name} ({PROTOCOLS[self.protocol].name})"

    def recipe(self, base: Recipe, seed: int) -> Recipe:
        """`base` changed to this row, with a seed; raises `RecipeError` if it cannot be run so."""
        values = base.model_dump(mode="json", exclude_none=True)
        MODELS[self.model].change(values)
        PROTOCOLS[self.protocol].change(values)
        values |= {"seed": seed, "name": f"{base.name}-{self.slug}"}
        return parse_recipe(values, origin=f"{base.name}, {self.name}")


@dataclass(frozen=True)
class Study:
    """Rows to run, pairs of them to compare, and what the paper prints: corpus -> row -> UA, WA.

    against_average: the model that is compared with the average of all candidates, if one is.
    """

    name: str
    title: str
    models: tuple[str, ...]
    pairs: tuple[tuple[Row, Row], ...]
    protocols: tuple[str, ...]
    printed: Printed
    against_average: str | None = None

    def rows(self, protocols: tuple[str, ...]) -> tuple[Row, ...]:
        """Its rows under those of `protocols` that it has."""
        kept = [protocol for protocol in self.protocols if protocol in protocols]
        return tuple(Row(model, protocol) for protocol in kept for model in self.models)


def _within(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[Row, Row], ...]:
    """The same pairs of models under both protocols."""
    return tuple(
        (Row(first, protocol), Row(second, protocol))
        for protocol in ("honest", "paper")
        for first, second in pairs
    )


TABLE3: Printed = {
    "IEMOCAP, leave one session out": {
        "MFAS": (74.0, 71.9),
        "IS09-classification": (63.8, 68.1),
        "CME": (73.5, 72.7),
        "Co-attention": (71.1, 69.8),
        "Prosody2Vec": (73.3, 72.4),
    },
    "IEMOCAP, leave one speaker out": {
        "MFAS": (74.6, 73.2),
        "CNN TF Att. pooling": (68.1, 71.8),
        "HNSD": (72.5, 70.5),
        "Co-attention": (72.7, 71.6),
        "Prosody2Vec": (73.9, 72.7),
    },
    "SAVEE, 10 random folds": {
        "MFAS": (86.0, 86.3),
        "DCNN": (None, 82.1),
        "TSP+INCA": (83.4, 84.8),
        "CPAC": (83.7, 85.6),
        "TIM-Net": (77.3, 79.4),
    },
}
TABLE4: Printed = {
    "IEMOCAP, leave one session out": {
        "SEC wav2vec2 only": (70.6, 69.6),
        "SEC data2vec only": (72.9, 71.8),
        "without adjustment": (73.1, 71.7),
        "MFAS": (74.0, 71.9),
    }
}
BOTH = ("honest", "paper")
SEARCHED_TEC, SEARCHED_NONE = ("searched", TEC_ALONE), ("searched", "unadjusted")
STUDIES = {
    study.name: study
    for study in (
        Study(
            "table3",
            "Recognition, and one encoder alone",
            ("searched", TEC_ALONE),
            (*_within((SEARCHED_TEC,)), (Row("searched", "paper"), Row("searched", "honest"))),
            BOTH,
            TABLE3,
        ),
        Study(
            "table4",
            "What each part adds",
            (TEC_ALONE, "sec-alone", "unadjusted", "searched"),
            _within(
                (
                    ("sec-alone", TEC_ALONE),
                    ("unadjusted", "sec-alone"),
                    SEARCHED_NONE,
                    SEARCHED_TEC,
                )
            ),
            BOTH,
            TABLE4,
        ),
        Study("fig3", "Strategies over folds", ("searched",), (), ("honest",), {}),
        Study(
            "fig4",
            "Confusions, and those of one encoder alone",
            ("searched", TEC_ALONE),
            _within((SEARCHED_TEC,)),
            BOTH,
            {},
        ),
        Study(
            "candidates",
            "The search, and every candidate by itself",
            ("searched", "unadjusted", *(model.slug for model in CANDIDATES)),
            _within((SEARCHED_NONE,)),
            BOTH,
            {},
            against_average="searched",
        ),
        Study(
            "audit",
            "What leaks are worth",
            (AS_IT_IS,),
            tuple(
                (Row(AS_IT_IS, leaky), Row(AS_IT_IS, "honest"))
                for leaky in ("test-chosen", "random")
            ),
            ("honest", "test-chosen", "random"),
            {},
        ),
    )
}
