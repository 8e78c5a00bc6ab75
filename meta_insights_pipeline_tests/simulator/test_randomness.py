"""Draws: the same for ever, evenly spread, and nesting."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meta_insights_pipeline.simulator.randomness import ONE, Dice, entity_day_bits, phase, portion, purpose_key


def test_draws_are_functions_of_their_arguments_alone() -> None:
    entities = np.array([120200030100000000, 120200030100007919], dtype=np.uint64)
    days = np.array([739000, 739001, 739002], dtype=np.int64)
    together = entity_day_bits(purpose_key(7, "x"), entities, days)
    apart = entity_day_bits(purpose_key(7, "x"), entities[1:], days[2:])
    assert together.shape == (3, 2)
    assert together[2, 1] == apart[0, 0]
    assert len(np.unique(together)) == 6
    # A changed number here changes every world, and so every number anyone has noted down.
    assert purpose_key(7, "x") == 17983083628715391822


def test_phases_are_spread_evenly() -> None:
    bits = entity_day_bits(purpose_key(1, "y"), np.arange(200, dtype=np.uint64), np.arange(200, dtype=np.int64))
    for which in range(3):
        assert abs(phase(bits, which).mean() / ONE - 0.5) < 0.01


@given(amount=st.integers(0, 10**7), rate=st.integers(0, ONE), carry=st.integers(0, ONE - 1))
def test_a_portion_is_never_more_than_the_whole(amount: int, rate: int, carry: int) -> None:
    part = portion(np.array([amount]), rate, np.array([carry]))[0]
    assert 0 <= part <= amount
    assert amount * rate // ONE <= part <= amount * rate // ONE + 1


def test_dice_repeat_themselves_and_stay_in_range() -> None:
    first, second = Dice(3, "a"), Dice(3, "a")
    numbers = [first.between(2, 5) for _ in range(400)]
    assert numbers == [second.between(2, 5) for _ in range(400)]
    assert set(numbers) == {2, 3, 4, 5}
