"""How well held-out speakers are spelt, and the handicap of the blank that spells them best.

CTC favours the blank (Zeyer et al., arXiv 2105.14849), and a model that is used to its speakers favours it
all the more on others: it drops letters. As decoders do, a constant is taken from the blank's score, the
blank penalty. Choices: one of `PENALTIES`, that with the lowest character error rate; since held-out
speakers choose it, the error rates with it are measured crosswise: each half of the speakers is spelt with
the penalty that the other half chose. Where that is no better than none, there is none.

Shape legend: T encoder frames of one utterance, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mfas.pretrain.batches import plan_recordings, read_batch
from mfas.pretrain.ctc import CtcObjective
from mfas.pretrain.speech import Speech
from mfas.pretrain.transcripts import BLANK, ErrorRates, error_rates, greedy

PENALTIES = tuple(step / 4 for step in range(9))  # nats


@dataclass(frozen=True)
class Spoken:
    """An utterance that was heard: who said what, and log_probabilities_TK of its real frames."""

    speaker: str
    text: str
    log_probabilities_TK: Tensor


@dataclass(frozen=True)
class Spelling:
    """blank_penalty: what suits all held-out speakers; by_halves: what each half of them chose.

    plain: error rates without a penalty. crosswise: with that of the other half; None of one speaker.
    """

    blank_penalty: float
    by_halves: tuple[float, ...]
    plain: ErrorRates
    crosswise: ErrorRates | None

    @property
    def rates(self) -> ErrorRates:
        """What to say of the head with `blank_penalty` in it."""
        return self.crosswise if self.blank_penalty and self.crosswise else self.plain


def hear(objective: CtcObjective, speech: Speech, batch_seconds: float) -> list[Spoken]:
    """What `objective` makes of every utterance of `speech`, at its own speed."""
    device = next(objective.parameters()).device
    heard = []
    for plan in plan_recordings(speech, batch_seconds, 1, seed=None):
        batch = read_batch(speech, plan).to(device)
        log_probabilities_BTK, frames_B = objective.log_probabilities(batch)
        for piece, row_TK, frames in zip(plan, log_probabilities_BTK, frames_B, strict=True):
            spoken = speech.utterances[piece.recording]
            heard.append(Spoken(spoken.speaker, spoken.text or "", row_TK[:frames].cpu()))
    return heard


def plain_rates(heard: Sequence[Spoken]) -> ErrorRates:
    """Error rates of greedy transcripts."""
    return _rates(heard, lambda _: 0.0)


def choose_penalty(heard: Sequence[Spoken]) -> float:
    """The penalty with the lowest character error rate, the smallest of equals."""
    return min(PENALTIES, key=lambda penalty: (_rates(heard, lambda _: penalty).cer, penalty))


def weigh_spelling(heard: Sequence[Spoken]) -> Spelling:
    """The penalty and what it is worth. Of one speaker alone nothing can be said: no penalty then."""
    plain = plain_rates(heard)
    speakers = sorted({spoken.speaker for spoken in heard})
    if len(speakers) < 2:
        return Spelling(0.0, (), plain, None)
    halves = [set(speakers[::2]), set(speakers[1::2])]
    chosen = tuple(choose_penalty([s for s in heard if s.speaker in half]) for half in halves)
    crosswise = _rates(heard, lambda speaker: chosen[speaker in halves[0]])
    penalty = choose_penalty(heard) if crosswise.cer < plain.cer else 0.0
    return Spelling(penalty, chosen, plain, crosswise)


def _rates(heard: Sequence[Spoken], penalty_of: Callable[[str], float]) -> ErrorRates:
    """Error rates with a penalty for each speaker."""
    spelt = []
    for spoken in heard:
        scores_TK = spoken.log_probabilities_TK.clone()
        scores_TK[:, BLANK] -= penalty_of(spoken.speaker)
        spelt += greedy(scores_TK[None], torch.tensor([len(scores_TK)]))
    return error_rates([spoken.text for spoken in heard], spelt)
