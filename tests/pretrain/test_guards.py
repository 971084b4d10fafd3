"""A run is stopped when a measure has been too low for some lines in a row."""

import pytest

from mfas.errors import FailedError
from mfas.pretrain.guards import PATIENCE, Watch
from mfas.pretrain.objective import Guard

GUARDS = (
    Guard("effective_rank", 1.2, "the features span no space"),
    Guard("target_variance", 0.05, "the teacher says the same of all"),
)


def look(watch: Watch, *ranks: float, variance: float = 1.0) -> None:
    for update, rank in enumerate(ranks):
        watch.look(update, {"effective_rank": rank, "target_variance": variance, "loss": 0.0})


@pytest.mark.parametrize("low", [1.1, 0.0, float("nan")])
def test_patience_ends(low):
    watch = Watch(GUARDS)
    look(watch, *[low] * (PATIENCE - 1))
    with pytest.raises(FailedError) as raised:
        watch.look(700, {"effective_rank": low, "target_variance": 1.0})
    message = str(raised.value)
    assert message == (
        f"collapsed by update 700: effective rank {low:.3g} stays below 1.2, that is, the features "
        "span no space; lower optimize.lr, or change the objective (guards.effective_rank sets the "
        "limit)"
    )
    assert raised.value.exit_code == 1


def test_one_good_line_resets_the_count():
    watch = Watch(GUARDS)
    look(watch, *([1.0] * (PATIENCE - 1) + [1.2]) * 4)
    look(watch, *[1.0] * (PATIENCE - 1))
    with pytest.raises(FailedError):
        look(watch, 1.0)


def test_measures_are_counted_apart():
    watch = Watch(GUARDS)
    for _ in range(PATIENCE):
        look(watch, 1.0, 1.3)
        look(watch, 1.3, variance=0.01)
        look(watch, 1.3)
    with pytest.raises(FailedError, match=r"target variance 0\.01 stays below 0\.05"):
        look(watch, *[1.3] * PATIENCE, variance=0.01)


def test_the_count_is_plain_data_for_a_checkpoint():
    watch = Watch(GUARDS)
    look(watch, *[1.0] * (PATIENCE - 1))
    resumed = Watch(GUARDS, dict(watch.low))
    with pytest.raises(FailedError):
        look(resumed, 1.0)


def test_without_guards_nothing_stops():
    look(Watch(()), 0.0, 0.0, 0.0, 0.0)
