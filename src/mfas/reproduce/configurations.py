"""The nine configurations of Table 2 of MFAS (arXiv 2306.09361, section 4), and what it printed.

Five codebook sizes (G codebooks of V codewords, V^G centres) and four depths K of continuous targets,
on one architecture (Table 1). Everything but the objective is the same for all nine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mfas.config import PretrainRecipe


@dataclass(frozen=True)
class Configuration:
    """One row of Table 2. centres: V^G; None for continuous targets."""

    name: str
    slug: str
    centres: int | None
    objective: Mapping[str, object]

    def recipe(self, common: PretrainRecipe) -> PretrainRecipe:
        """`common` with this row's objective."""
        kind = "quantised" if self.centres else "continuous"
        section = getattr(common, kind).model_copy(update=dict(self.objective))
        update = {"name": f"table2-{self.slug}", "objective": kind, kind: section}
        return common.model_copy(update=update)


def _quantised(groups: int, codewords: int) -> Configuration:
    return Configuration(
        name=f"G{groups} V{codewords}",
        slug=f"g{groups}v{codewords}",
        centres=codewords**groups,
        objective={"groups": groups, "codewords": codewords},
    )


def _continuous(layers: int) -> Configuration:
    return Configuration(f"K{layers}", f"k{layers}", None, {"layers": layers})


CONFIGURATIONS = (
    *(
        _quantised(groups, codewords)
        for groups, codewords in ((2, 2), (4, 2), (2, 8), (2, 12), (4, 8))
    ),
    *(_continuous(layers) for layers in (1, 2, 3, 4)),
)


@dataclass(frozen=True)
class Printed:
    """What the paper prints for one row and protocol: errors on 1 to 5, UA and WA in percent."""

    ua: float
    wa: float
    vad_mse: tuple[float, float, float] | None = None


IEMOCAP_LOSO, IEMOCAP_LOSPO, SAVEE = "IEMOCAP loso", "IEMOCAP lospo", "SAVEE 10-fold"
PRINTED: dict[str, dict[str, Printed]] = {
    IEMOCAP_LOSO: {
        "G2 V2": Printed(60.3, 59.6, (1.02, 0.54, 0.71)),
        "G4 V2": Printed(59.7, 58.9, (1.38, 0.55, 0.62)),
        "G2 V8": Printed(60.6, 60.3, (1.13, 0.49, 0.68)),
        "G2 V12": Printed(60.6, 60.2, (1.01, 0.47, 0.65)),
        "G4 V8": Printed(60.3, 60.2, (0.72, 0.28, 0.46)),
        "K1": Printed(60.5, 60.3, (0.71, 0.28, 0.45)),
        "K2": Printed(61.4, 61.3, (0.71, 0.28, 0.45)),
        "K3": Printed(60.2, 59.9, (0.71, 0.28, 0.45)),
        "K4": Printed(60.6, 60.6, (0.70, 0.28, 0.45)),
    },
    IEMOCAP_LOSPO: {
        "G2 V2": Printed(62.4, 61.9, (1.07, 0.60, 0.71)),
        "G4 V2": Printed(63.0, 61.9, (1.38, 0.54, 0.59)),
        "G2 V8": Printed(63.8, 63.3, (1.06, 0.44, 0.64)),
        "G2 V12": Printed(63.2, 62.3, (0.95, 0.40, 0.57)),
        "G4 V8": Printed(62.6, 62.6, (0.70, 0.28, 0.45)),
        "K1": Printed(62.5, 62.6, (0.68, 0.28, 0.44)),
        "K2": Printed(62.0, 62.5, (0.67, 0.27, 0.44)),
        "K3": Printed(62.9, 62.6, (0.67, 0.28, 0.45)),
        "K4": Printed(62.8, 62.5, (0.68, 0.28, 0.44)),
    },
    SAVEE: {
        "G2 V2": Printed(37.1, 43.5),
        "G4 V2": Printed(35.6, 42.9),
        "G2 V8": Printed(42.9, 47.9),
        "G2 V12": Printed(45.8, 49.2),
        "G4 V8": Printed(47.3, 51.3),
        "K1": Printed(59.1, 61.3),
        "K2": Printed(53.6, 57.7),
        "K3": Printed(62.8, 62.3),
        "K4": Printed(60.6, 63.1),
    },
}
