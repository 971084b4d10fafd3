"""A recipe made ready to run: its utterances, classes and features, and how to build its models."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfas.config import EncoderSection, Recipe
from mfas.corpora import Manifest, read_manifest
from mfas.encoders import FrameCache, SpeechEncoder, load_encoder
from mfas.errors import RecipeError
from mfas.fusion import Strategy
from mfas.model import MFAS, StoredFrames, Stream, build_model
from mfas.search import SEARCHERS, SearchProblem, SearchResult
from mfas.train import (
    Progress,
    SegmentSet,
    cpu_threads,
    derive_seed,
    make_accelerator,
    prepare_features,
)
from mfas.train.loop import Log

NO_ENCODER = "none"
POOLED_FOLDER = "pooled-1"  # counts up when the pooling changes


@dataclass(frozen=True)
class EncoderFacts:
    """What a result must say about an encoder."""

    name: str
    trained: bool
    finetuned: bool
    fingerprint: str


@dataclass(frozen=True)
class Experiment:
    """A recipe with its material.

    It travels to worker processes, so frozen encoders stay behind: their frames are in the cache,
    and `StoredFrames` stands in their place.
    """

    recipe: Recipe
    manifest: Manifest
    classes: tuple[str, ...]
    data: SegmentSet
    stored: dict[str, StoredFrames]
    encoders: dict[str, EncoderFacts | None]

    def make_model(self, strategy: Strategy | None, seed: int) -> MFAS:
        """A fresh model: a mixture of all operations if `strategy` is None (see `build_model`).

        With a head in closed form the weights of its operations follow from the recipe's seed alone, so
        that what they make of an utterance is the same in every fold, and computed once.
        """
        if self.recipe.head.kind == "ridge":
            seed = derive_seed(self.recipe.seed, "operations")
        sec, tec = self._stream("sec"), self._stream("tec")
        return build_model(self.recipe, sec, tec, len(self.classes), strategy, seed)

    def search(
        self,
        train: Sequence[int],
        validation: Sequence[int],
        seed: int,
        log: Log,
        folder: Path | None = None,
    ) -> SearchResult:
        """Look for a strategy by the recipe's method; arguments as in `SearchProblem`."""
        inner_train, inner_validation = self.learns_from(train, validation)
        problem = SearchProblem(
            make_model=self.make_model,
            data=self.data,
            train=inner_train,
            validation=inner_validation,
            condition=self.recipe.evaluate.condition,
            settings=self.recipe.search,
            training=self.recipe.train,
            seed=seed,
            log=log,
            folder=folder,
        )
        return SEARCHERS[self.recipe.search.method](problem)

    def learns_from(
        self, train: Sequence[int], validation: Sequence[int]
    ) -> tuple[Sequence[int], Sequence[int]]:
        """What a model is trained on, and what its choices are made on, of a fold's inner split.

        A head in closed form chooses by leaving each of its speakers out, so it learns from both.
        """
        if self.recipe.head.kind == "ridge":
            return sorted([*train, *validation]), ()
        return train, validation

    @property
    def searches(self) -> bool:
        """Whether there is a strategy to look for."""
        return self.recipe.fusion.strategy == "search" and None not in self.encoders.values()

    @property
    def fixed_strategy(self) -> Strategy | None:
        """The strategy that the recipe fixes, if it does."""
        named = self.recipe.fusion.strategy
        return None if named in ("search", "none") else Strategy.parse(named)

    def notes(self) -> list[str]:
        """What a reader of any number of this experiment must know."""
        return [
            *self.manifest.skipped,
            *(
                f"The {stream.upper()} encoder ({facts.name}) started from random weights and was "
                "fine-tuned on this corpus alone."
                if facts.finetuned
                else f"The {stream.upper()} encoder ({facts.name}) is untrained: its weights are random "
                "(seeded). The numbers show what the rest of the system makes of random features."
                for stream, facts in self.encoders.items()
                if facts is not None and not facts.trained
            ),
        ]

    def _stream(self, name: str) -> Stream | None:
        section: EncoderSection = getattr(self.recipe, name)
        if section.encoder == NO_ENCODER:
            return None
        return self.stored[name] if name in self.stored else load_stream(name, section)


def load_stream(name: str, section: EncoderSection) -> SpeechEncoder:
    """Load the encoder of one stream, "sec" or "tec"."""
    assert name in ("sec", "tec")
    return load_encoder(section, name)  # type: ignore[arg-type]


def read_corpus(recipe: Recipe) -> Manifest:
    """The utterances that `recipe` selects, with their labels merged as it says."""
    path = recipe.corpus.manifest
    if path is None:
        raise RecipeError("corpus.manifest is not set; give a manifest with --corpus.manifest FILE")
    twice = [name for name, count in Counter(recipe.corpus.classes).items() if count > 1]
    if twice:
        raise RecipeError(f"corpus.classes: names {', '.join(twice)} more than once; keep one")
    manifest = read_manifest(path).select(recipe.corpus.classes, recipe.corpus.merge)
    if len(manifest.classes) < 2:
        raise RecipeError(f"{path}: one class only; recognition needs at least two")
    return manifest


def prepare_experiment(
    recipe: Recipe,
    manifest: Manifest,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Experiment:
    """Compute or find the views and frames of `manifest`, and say what the encoders are."""
    classes = recipe.corpus.classes or manifest.classes
    store = FrameCache(cache) if cache else FrameCache()
    sections = {"sec": recipe.sec, "tec": recipe.tec}
    encoders = {
        name: None if section.encoder == NO_ENCODER else load_stream(name, section)
        for name, section in sections.items()
    }
    device = make_accelerator(recipe.train).device
    frozen = {
        n: e.to(device) for n, e in encoders.items() if e is not None and not sections[n].finetune
    }
    tuned = [e for n, e in encoders.items() if e is not None and sections[n].finetune]
    with cpu_threads(recipe.train):
        features = prepare_features(
            manifest,
            frozen,
            store,
            waveforms=bool(tuned),
            progress=progress,
        )
    targets = tuple(classes.index(utterance.label) for utterance in manifest)
    return Experiment(
        recipe=recipe,
        manifest=manifest,
        classes=classes,
        data=SegmentSet(
            features,
            targets,
            len(classes),
            speakers=tuple(u.speaker for u in manifest),
            groups=tuple(
                (u.session or u.speaker) if recipe.evaluate.split == "loso" else u.speaker
                for u in manifest
            ),
            pooled=store.folder / POOLED_FOLDER,
        ),
        stored={name: StoredFrames(encoder) for name, encoder in frozen.items()},
        encoders={name: _facts(encoders[name], sections[name]) for name in sections},
    )


def _facts(encoder: SpeechEncoder | None, section: EncoderSection) -> EncoderFacts | None:
    if encoder is None:
        return None
    return EncoderFacts(encoder.name, encoder.trained, section.finetune, encoder.fingerprint())
