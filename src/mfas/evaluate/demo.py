"""The whole way on an embedded corpus: speech is synthesised, a recogniser searched and measured.

Offline, on a CPU, in minutes. What it shows is that everything works together; its scores say
nothing about human speech.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mfas.config import (
    CorpusSection,
    FusionSection,
    Recipe,
    SearchSection,
    TrainSection,
)
from mfas.corpora import synthesize_corpus
from mfas.evaluate.crossval import cross_validate
from mfas.evaluate.protocol import check_run_folder
from mfas.evaluate.training import train_model
from mfas.train import Progress

VOICES, SENTENCES = 8, 10


@dataclass(frozen=True)
class Demo:
    """Where the demo left things: a model, and a recording to try it on."""

    model: Path
    example: Path


def demo_recipe(manifest: Path) -> Recipe:
    """Leave one voice out, inner selection, DARTS in every fold; small enough for minutes."""
    return Recipe(
        name="demo",
        corpus=CorpusSection(manifest=manifest),
        fusion=FusionSection(dim=128),
        search=SearchSection(epochs=5),
        train=TrainSection(epochs=15, patience=5),
    )


def run_demo(out: Path, progress: Progress | None = None) -> Demo:
    """Speak a corpus beside `out`, cross-validate on it into `out`, train a model from it.

    A demo that was interrupted goes on; one that was finished is shown again.
    """
    out = out if out.name else out.resolve()  # "." has no name to put others beside
    corpus = out.with_name(f"{out.name}-corpus")
    manifest = corpus / "manifest.csv"
    recipe = demo_recipe(manifest)
    check_run_folder(out, recipe, resume=out.exists(), search_only=False)
    if not manifest.exists():
        synthesize_corpus(corpus, VOICES, SENTENCES)
    result = cross_validate(recipe, out, resume=out.exists(), progress=progress)
    model = out.with_name(f"{out.name}-model")
    if not (model / "config.json").exists():
        chosen = Counter(
            f"{fold['strategy']['level']}:{fold['strategy']['operation']}"
            for fold in result["folds"]
        )
        strategy = FusionSection(dim=recipe.fusion.dim, strategy=chosen.most_common(1)[0][0])
        train_model(recipe.model_copy(update={"fusion": strategy}), model, progress=progress)
    return Demo(model, min(corpus.glob("**/*.wav")))
