"""The names of the search space."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfas.errors import RecipeError
from mfas.fusion import LEVELS, OPERATIONS, Strategy, distinct_candidates

strategies = st.builds(Strategy, st.sampled_from(LEVELS), st.sampled_from(tuple(OPERATIONS)))


@given(strategies)
def test_text_and_back(strategy):
    assert str(strategy) == f"{strategy.level}:{strategy.operation}"
    assert Strategy.parse(str(strategy)) == strategy


@given(st.text())
def test_every_other_text_is_refused(text):
    known = {f"{level}:{operation}" for level in LEVELS for operation in OPERATIONS}
    if text not in known:
        with pytest.raises(RecipeError):
            Strategy.parse(text)


@pytest.mark.parametrize(
    "text", ["last:isn", "lst:ism", "last", "ism", "", "last:ism:x", "last: ism"]
)
def test_a_refusal_names_what_there_is(text):
    with pytest.raises(RecipeError) as raised:
        Strategy.parse(text)
    message = str(raised.value)
    assert "\n" not in message
    assert text in message
    assert all(name in message for name in (*LEVELS, *OPERATIONS))


def test_19_of_24_candidates_differ():
    candidates = distinct_candidates()
    everything = {Strategy(level, operation) for level in LEVELS for operation in OPERATIONS}
    assert len(everything) == 24
    assert len(candidates) == len(set(candidates)) == 19
    assert {str(left_out) for left_out in everything - set(candidates)} == {
        "first:zero",
        "middle:zero",
        "first:concat_fc_r",
        "middle:concat_fc_r",
        "last:concat_fc_r",
    }


@given(strategies)
def test_every_strategy_is_one_of_the_distinct_candidates(strategy):
    assert strategy.distinct in distinct_candidates()
    assert strategy.distinct.distinct == strategy.distinct
    assert (strategy in distinct_candidates()) == (strategy.distinct == strategy)
