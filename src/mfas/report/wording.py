"""What a run means, in plain words: its stamp, its protocol, its warnings.

A `Run` enters; sentences leave. A result is stamped honest only if the folds share no speaker,
every choice was made on training speakers, and nothing else leaked: the flag of result.json alone
is not enough.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mfas.report.recipe import in_closed_form
from mfas.report.run import Encoder, Run, Search, SearchRun

_SPLITS = {
    "lospo": "Leave one speaker out: every fold tests on a speaker the model has never heard.",
    "loso": "Leave one session out: every fold tests on a recording session, and on speakers, "
    "that the model has never heard.",
    "groups": "Groups of speakers: the speakers are dealt into {groups} groups, and every fold "
    "tests on one group that the model has never heard.",
    "kfold10": "Random ten-fold: utterances are dealt at random, so the same speakers, and often "
    "the same sentences, are in training and in test.",
}
_SELECTIONS = {
    "inner": "Every choice ({choices}) was made on training {material} alone{how}; each test fold "
    "was scored once, at the end.",
    "paper": "The {tuned} was chosen on the test fold itself, as the reference code chooses its epoch, "
    "so each score is the best of many looks at the test data.",
}
_CONDITIONS = {
    "plain": "Each utterance was recognised on its own.",
    "adapted": "Each speaker's features were standardised by that speaker's own recordings, without "
    "their labels, also in the test fold: this is for voices of which unlabelled recordings are at "
    "hand, and must not be compared with plain results.",
}
SEARCH_SELECTION = (
    "Every strategy was chosen on the training material of its fold, on an inner validation part of "
    "it or by leaving each of its speakers out in turn; no test fold was read. The scores here are the "
    "ones that chose, so they are optimistic: what a strategy is worth, mfas crossval measures on the "
    "test folds."
)
_PLACES = {
    "sec": ("SEC", "speech-related emotional content"),
    "tec": ("TEC", "textual-related emotional content"),
}


@dataclass(frozen=True)
class Stamp:
    """Whether a result can be taken at face value, and if not, why.

    adapted: it was got with unlabelled recordings of the test speakers.
    """

    honest: bool
    reasons: tuple[str, ...]
    adapted: bool = False

    def __str__(self) -> str:
        verdict = "honest" if self.honest else f"OPTIMISTIC: {'; '.join(self.reasons)}"
        return f"{verdict} · adapted to each speaker" if self.adapted else verdict


def stamp(run: Run) -> Stamp:
    """The stamp that goes wherever numbers of this run appear."""
    reasons = run.result.leaks or _visible_leaks(run)
    if not run.result.honest and not reasons:
        reasons = ("the run was recorded as not honest, without a reason",)
    adapted = run.result.condition == "adapted"
    return Stamp(honest=not reasons, reasons=reasons, adapted=adapted)


def _visible_leaks(run: Run) -> tuple[str, ...]:
    placed = {(fold.fold, name) for fold in run.result.folds for name in fold.test_speakers}
    tested = Counter(name for _, name in placed)
    shared = run.result.protocol == "kfold10" or any(count > 1 for count in tested.values())
    leaks = []
    if shared:
        leaks.append("the same speakers are in training and test")
    if run.result.selection == "paper":
        leaks.append("the epoch was chosen on the test fold")
    return tuple(leaks)


def split_words(run: SearchRun) -> str:
    """How the folds were cut."""
    kind, _, groups = run.result.protocol.partition(":")
    return _SPLITS[kind].format(groups=groups)


def selection_words(run: Run) -> str:
    """Where choices were made."""
    return _selection_words(run.result.protocol, run.result.selection, in_closed_form(run))


def _selection_words(protocol: str, selection: str, solved: bool) -> str:
    return _SELECTIONS[selection].format(
        choices="penalty, strategy" if solved else "epoch, strategy, operation weights",
        tuned="penalty" if solved else "epoch",
        material="utterances" if protocol == "kfold10" else "speakers",
        how=f", by leaving each {_group(protocol)} out in turn" if solved else "",
    )


@dataclass(frozen=True)
class Choice:
    """How labels name the scores that chose: "UA on ...", "inner-validation UA", "inner validation"."""

    where: str
    score: str
    short: str


def choice_words(run: SearchRun) -> Choice:
    """What the scores of a run's strategies were measured on."""
    group = _group(run.result.protocol)
    if in_closed_form(run):
        return Choice(
            f"of the training utterances, each {group} left out in turn",
            f"UA with each training {group} left out",
            f"training {group}s left out",
        )
    part = "part" if run.result.protocol == "kfold10" else f"{group}s"
    return Choice(f"on the inner validation {part}", "inner-validation UA", "inner validation")


def _group(protocol: str) -> str:
    return "session" if protocol == "loso" else "speaker"


def condition_words(run: SearchRun) -> str:
    """What was known of each speaker."""
    return _CONDITIONS[run.result.condition]


def size_words(run: Run) -> str:
    """How many folds, speakers, utterances, classes and seeds, as "5 folds, 10 speakers, ..."."""
    speakers = {name for fold in run.result.folds for name in fold.test_speakers}
    folds = (counted(len(run.result.folds), "fold"), counted(len(speakers), "test speaker"))
    return ", ".join((*folds, *_corpus_sizes(run)))


def search_size_words(run: SearchRun) -> str:
    """How many folds have a strategy, and how many utterances, classes and seeds there are."""
    folds = [counted(len(run.searches), "fold")] if run.searches else []
    return ", ".join((*folds, *_corpus_sizes(run)))


def _corpus_sizes(run: SearchRun) -> tuple[str, ...]:
    result = run.result
    return (
        counted(result.n_utterances, "utterance"),
        counted(len(result.classes), "class", "classes"),
        counted(len(result.seeds), "seed"),
    )


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 fold", "5,531 utterances"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def interval_words(run: Run) -> str:
    """What the intervals mean, and when they are rough themselves."""
    speakers = {name for fold in run.result.folds for name in fold.test_speakers}
    words = (
        "The 95 % intervals resample whole speakers: they say how far the score would move with "
        "other speakers of the same kind, not with other utterances of these."
    )
    if len(speakers) < 8:
        words += f" With {counted(len(speakers), 'speaker')} they are rough, and rather too narrow."
    return words


def untrained_warnings(run: SearchRun) -> tuple[str, ...]:
    """One warning for every encoder whose weights never saw speech."""
    encoders = {"sec": run.result.encoders.sec, "tec": run.result.encoders.tec}
    return tuple(
        _untrained_warning(encoder, *_PLACES[place])
        for place, encoder in encoders.items()
        if encoder is not None and not encoder.trained
    )


def _untrained_warning(encoder: Encoder, place: str, content: str) -> str:
    if encoder.finetuned:
        return (
            f"The {place} encoder began with random weights: {encoder.name} was trained on this "
            "corpus alone, without any pretraining on speech."
        )
    return (
        f"The {place} encoder has random weights: {encoder.name} was never trained on speech. It "
        f"passes on audio through a fixed random mixture and carries no learned {content}, so "
        "these scores show what the rest of the system can do, not what the method of the paper can do."
    )


def encoder_words(encoder: Encoder | None) -> str:
    """An encoder in one line, such as "compact, pretrained, frozen"."""
    if encoder is None:
        return "none"
    origin = "pretrained" if encoder.trained else "random weights"
    return f"{encoder.name}, {origin}, {'fine-tuned' if encoder.finetuned else 'frozen'}"


def votes(searches: Sequence[Search]) -> list[tuple[str, int]]:
    """The strategies that searches chose, with how many chose each, most often first."""
    return Counter(str(search.strategy or "no adjustment") for search in searches).most_common()


def agreement(run: SearchRun) -> str:
    """How far the searches agree on a strategy, in one sentence."""
    found = [search for search in run.searches if search.method != "fixed"]
    if not found:
        name = ", ".join(name for name, _ in votes(run.searches)) or "no adjustment"
        return f"Nothing was searched: the recipe fixes the strategy ({name})."
    (best, count), *others = votes(found)
    if not others:
        return f"All {len(found)} searches chose {best}." if count > 1 else f"It chose {best}."
    rest = ", ".join(f"{name}\u00a0({times})" for name, times in others)
    degree = "agree mostly" if 2 * count > len(found) else "do not agree"
    return f"The searches {degree}: {count} of {len(found)} chose {best}; the others {rest}."


def comparability(runs: Sequence[Run]) -> tuple[str, ...]:
    """Reasons why the numbers of several runs must not be set against each other."""
    faults = []
    if len({run.result.manifest_sha256 for run in runs}) > 1:
        faults.append("These runs use different manifests: they were not scored on the same data.")
    elif len({run.result.folds_sha256 for run in runs}) > 1:
        faults.append("These runs cut the same data into different folds.")
    if len({run.result.condition for run in runs}) > 1:
        faults.append(
            "Plain and adapted results stand side by side: the adapted ones used unlabelled "
            "recordings of the test speakers."
        )
    if len({stamp(run).honest for run in runs}) > 1:
        faults.append(
            "Honest and optimistic results stand side by side: the optimistic ones are inflated, "
            "and a lead of theirs means nothing."
        )
    return tuple(faults)


def protocol_words(
    protocol: str, selection: str, condition: str, solved: bool
) -> tuple[str, str, str]:
    """How folds were cut, where choices were made, what was known of each speaker.

    solved: whether the head was solved in closed form.
    """
    kind, _, groups = protocol.partition(":")
    cut = _SPLITS[kind].format(groups=groups)
    return cut, _selection_words(protocol, selection, solved), _CONDITIONS[condition]
