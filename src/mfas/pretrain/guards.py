"""What stops a run when its model has stopped telling its inputs apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mfas.errors import FailedError
from mfas.pretrain.objective import Guard

PATIENCE = 3  # lines of the log in a row


@dataclass
class Watch:
    """Counts for how many lines of the log each guarded measure has been too low."""

    guards: Sequence[Guard]
    low: dict[str, int] = field(default_factory=dict)

    def look(self, update: int, measures: Mapping[str, float]) -> None:
        """Raises `FailedError`, with the reason, if the run has collapsed."""
        for guard in self.guards:
            value = measures[guard.measure]
            is_low = not value >= guard.least
            self.low[guard.measure] = self.low.get(guard.measure, 0) + 1 if is_low else 0
            if self.low[guard.measure] >= PATIENCE:
                raise FailedError(
                    f"collapsed by update {update}: {guard.measure.replace('_', ' ')} {value:.3g} "
                    f"stays below {guard.least:g}, that is, {guard.meaning}; lower optimize.lr, or "
                    f"change the objective (guards.{guard.measure} sets the limit)"
                )
