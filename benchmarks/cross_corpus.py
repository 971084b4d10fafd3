"""What a model is worth on a corpus that it never saw, over the classes that both know.

    python -m benchmarks.cross_corpus MANIFEST [--model MODEL] [--merge excited=happiness ...] [--adapt]

Every recording of MANIFEST whose label the model knows is recognised; probabilities of the other
classes are left out. --merge renames labels of the manifest first. --adapt: each speaker's own
recordings make a voice first, without their labels (`Recognizer.adapt`), which is another condition.
The model chose nothing on this corpus, so there is nothing to cross-validate.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mfas import Recognizer, read_manifest
from mfas.audio import RATE_HZ, read_audio
from mfas.corpora import Manifest, Utterance
from mfas.errors import MfasError
from mfas.evaluate.bootstrap import bootstrap_intervals
from mfas.evaluate.metrics import unweighted_accuracy, weighted_accuracy


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", help="model folder or Hub id (default: the one in the package)")
    parser.add_argument("--merge", nargs="+", default=[], metavar="OLD=NEW")
    parser.add_argument("--adapt", action="store_true")
    options = parser.parse_args(arguments)
    recognizer = Recognizer.from_pretrained(options.model)
    if any("=" not in pair for pair in options.merge):
        parser.error("--merge takes OLD=NEW, as --merge excited=happiness")
    merge = dict(pair.split("=", 1) for pair in options.merge)
    manifest = read_manifest(options.manifest).select((), merge)
    common = tuple(name for name in recognizer.classes if name in manifest.classes)
    if len(common) < 2:
        parser.error(
            f"{options.manifest}: has {', '.join(manifest.classes)}, the model knows "
            f"{', '.join(recognizer.classes)}: fewer than two in common; rename some with --merge"
        )
    manifest = manifest.select(common, {})
    predicted = predict(recognizer, manifest, common, options.adapt)
    true, speakers = [u.label for u in manifest], [u.speaker for u in manifest]
    ua, wa = unweighted_accuracy(true, predicted), weighted_accuracy(true, predicted)
    interval, _ = bootstrap_intervals(true, predicted, speakers)
    print(f"{len(manifest)} recordings of {len(manifest.speakers)} speakers, {', '.join(common)}")
    condition = "adapted to each speaker" if options.adapt else "plain"
    print(
        f"{condition}: UA {100 * ua:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}], "
        f"WA {100 * wa:.1f} %; guessing {100 / len(common):.1f} %"
    )


def predict(
    recognizer: Recognizer, manifest: Manifest, common: Sequence[str], adapt: bool
) -> list[str]:
    """The most probable of the classes in common, for every utterance, in their order."""
    labels = {}
    for speaker in manifest.speakers:
        own = [utterance for utterance in manifest if utterance.speaker == speaker]
        asked = recognizer.adapt([spoken(u) for u in own]) if adapt else recognizer
        for utterance in own:
            labels[id(utterance)] = most_probable(asked, utterance, common)
    return [labels[id(utterance)] for utterance in manifest]


def most_probable(recognizer: Recognizer, utterance: Utterance, common: Sequence[str]) -> str:
    probabilities = recognizer.predict(spoken(utterance)).probabilities
    return max(common, key=probabilities.__getitem__)


def spoken(utterance: Utterance) -> tuple[np.ndarray, int]:
    """Its samples: a row of the manifest may be a part of a file."""
    return read_audio(utterance.path, utterance.start, utterance.end), RATE_HZ


if __name__ == "__main__":
    try:
        main()
    except MfasError as error:
        sys.exit(f"cross_corpus: {error}")
