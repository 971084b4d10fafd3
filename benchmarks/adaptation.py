"""How many unlabelled recordings of a voice does adaptation need?

    python -m benchmarks.adaptation MANIFEST [--clips 5 10 20] [--draws 5] [--strategy last:sum]

Leave one speaker out with the recipe best-compact and a fixed strategy. In each fold the model is
solved for both conditions on the other speakers; `clips` recordings of the tested speaker are drawn at
random, without their labels, and make a voice; the speaker's *other* recordings are recognised, plain
and with that voice. Both columns of a line are therefore scores of the same recordings, averaged over
draws; the difference has a speaker-clustered bootstrap interval. With a negative number, all of the
speaker's recordings make the voice, tested ones included: what `evaluate.condition = "adapted"` does.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfas.config import read_recipe
from mfas.corpora import Fold, make_folds
from mfas.errors import MfasError
from mfas.evaluate.experiment import Experiment, prepare_experiment, read_corpus
from mfas.heads import RidgeHead
from mfas.train import derive_seed, fit, shuffled
from mfas.train.pooled import by_utterance, pool_utterances

RESAMPLES = 2000


@dataclass(frozen=True)
class Answer:
    """One recording, recognised without and with a voice."""

    speaker: str
    label: str
    plain: str
    adapted: str


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 2, 5, 10, 20, -1])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--strategy", default="none")
    options = parser.parse_args(arguments)
    recipe = read_recipe(options.manifest, ["--fusion.strategy", options.strategy])
    manifest = read_corpus(recipe)
    experiment = prepare_experiment(recipe, manifest)
    fewest = min(manifest.speaker_counts().values())
    if options.strategy == "search" or any(c == 0 or c >= fewest for c in options.clips):
        parser.error(
            f"--clips must be from 1 to {fewest - 1}, fewer than the recordings of every speaker, or "
            "negative; --strategy is none or level:operation"
        )
    answers: dict[int, list[list[Answer]]] = {clips: [] for clips in options.clips}
    for fold in make_folds(manifest, "lospo", recipe.seed, recipe.evaluate.inner_fraction, "inner"):
        head = solved_head(experiment, fold)
        for clips in options.clips:
            draws = 1 if clips < 0 else options.draws
            answers[clips].append(
                [a for draw in range(draws) for a in asked(experiment, head, fold, clips, draw)]
            )
    print(f"{'recordings':>10}{'plain UA':>10}{'adapted UA':>12}{'gain':>7}  95 % over speakers")
    for clips, by_speaker in answers.items():
        print(line(clips, by_speaker), flush=True)


def solved_head(experiment: Experiment, fold: Fold) -> tuple[RidgeHead, object]:
    model = experiment.make_model(experiment.fixed_strategy, 0)
    train, _ = experiment.learns_from(fold.train, fold.validation)
    settings = experiment.recipe.train
    fit(model, experiment.data, train, (), settings, 0, print_nothing, None, ("plain", "adapted"))
    assert isinstance(model.head, RidgeHead)
    return model.head, pool_utterances(model, experiment.data, fold.test)


def asked(
    experiment: Experiment, solved: tuple[RidgeHead, object], fold: Fold, clips: int, draw: int
) -> Iterator[Answer]:
    """The recordings that made no voice, recognised; all of them if all made it."""
    head, pooled = solved
    order = shuffled(len(fold.test), derive_seed("adaptation", fold.name, draw))
    chosen = {fold.test[i] for i in (order if clips < 0 else order[:clips])}
    rows = [row for row, utterance in enumerate(pooled.utterances) if utterance in chosen]
    voice = head.make_voice(pooled.features_WF[rows])
    answers = [
        by_utterance(head.classify(pooled.features_WF, known), pooled, fold.test).argmax(-1)
        for known in (None, voice)
    ]
    for place, utterance in enumerate(fold.test):
        if clips < 0 or utterance not in chosen:
            spoken = experiment.manifest.utterances[utterance]
            plain, adapted = (experiment.classes[int(answer[place])] for answer in answers)
            yield Answer(spoken.speaker, spoken.label, plain, adapted)


def line(clips: int, by_speaker: list[list[Answer]]) -> str:
    every = [answer for answers in by_speaker for answer in answers]
    plain, adapted = recalls(every)
    random = np.random.default_rng(0)
    gains = []
    for _ in range(RESAMPLES):
        drawn = random.integers(len(by_speaker), size=len(by_speaker))
        without, with_voice = recalls([a for index in drawn for a in by_speaker[index]])
        gains.append(with_voice - without)
    low, high = np.percentile(gains, [2.5, 97.5])
    name = "all" if clips < 0 else str(clips)
    return (
        f"{name:>10}{100 * plain:>10.1f}{100 * adapted:>12.1f}{100 * (adapted - plain):>7.1f}"
        f"  [{100 * low:.1f}, {100 * high:.1f}]"
    )


def recalls(answers: Sequence[Answer]) -> tuple[float, float]:
    """UA without and with a voice."""
    labels = np.array([answer.label for answer in answers])
    right = np.array([[a.plain == a.label, a.adapted == a.label] for a in answers])
    means = np.mean([right[labels == label].mean(0) for label in np.unique(labels)], axis=0)
    return float(means[0]), float(means[1])


def print_nothing(_facts: object) -> None:
    return


if __name__ == "__main__":
    try:
        main()
    except MfasError as error:
        sys.exit(f"adaptation: {error}")
