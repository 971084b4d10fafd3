"""One path at a time: a supernet without alpha, whose paths are trained equally often and then compared.

Single-path one-shot search (SPOS, arXiv 1904.00420) with strict fairness (FairNAS, arXiv 1907.01845):
each mini-batch trains one level of SEC (arXiv 2306.09361, section 5.1), and there every operation once,
alone in the place of the mixture; their gradients are added up to one step of AdamW. So all operations
of a level have learnt from the same batches, as often as each other.

FairNAS draws layers' paths together; here a path has one level, so levels take turns too, in an order
that is shuffled every three steps (choice: the paper draws them, but paths of different levels are
compared with each other here, and an uneven draw would favour a level). The gradients' mean stands for
their sum (choice: AdamW hardly tells them apart, but gradient clipping does).

At the end every one-hot path is scored on the inner-validation utterances with the weights of the last
epoch; the best of the 19 distinct ones is the answer.
"""

import time

from mfas.fusion import LEVELS, distinct_candidates
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.search.problem import SearchProblem, SearchResult
from mfas.search.supernet import Supernet, ranked
from mfas.train import derive_seed, shuffled, train_step


def search_single_path(problem: SearchProblem) -> SearchResult:
    """Search one fold; see the module's text."""
    paths = Paths(problem, "single_path")
    paths.train()
    started = time.perf_counter()
    scores = paths.score_paths()
    best = max(distinct_candidates(), key=lambda strategy: ranked(scores[strategy]))
    return paths.result(best, scores, started)


class Paths(Supernet):
    """A supernet that is trained one level a step, by all operations of that level one by one."""

    def train_epoch(self, epoch: int) -> float:
        """One step for every training batch."""
        losses = []
        for step, parts in enumerate(self.steps(epoch), start=epoch * self._steps_of_an_epoch):
            level = self._level(step)
            losses.append(
                train_step(
                    self.model,
                    parts,
                    self.optimizer,
                    self.loss,
                    self.accelerator,
                    level,
                    OPERATION_NAMES,
                )
            )
        return sum(losses) / len(losses)

    def _level(self, step: int) -> str:
        """The level of a step, counted over all epochs: each comes once in a turn of three."""
        turn, place = divmod(step, len(LEVELS))
        return LEVELS[shuffled(len(LEVELS), derive_seed(self.problem.seed, "turn", turn))[place]]

    @property
    def _steps_of_an_epoch(self) -> int:
        segments = len(self.problem.data.segments_of(self.problem.train))
        return -(-segments // self.problem.training.batch)
