"""How much to ask for at once: what a refusal teaches, and how it heals."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from meta_insights_pipeline.collector.lessons import Lessons, Size
from meta_insights_pipeline.collector.portions import DAYS, DIRECT, PAGE, Key, Portions
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
ADS = Key("1", "ad_insights")


class Collections:
    """One collection after the other, with the lessons that they share."""

    def __init__(self, state: State) -> None:
        self.clock = SkippingClock(NOW)
        self.lessons = Lessons(state, self.clock)
        self.portions = Portions(self.lessons, self.clock)

    def next(self, days: float = 0.0) -> Portions:
        """The portions of a collection some days later: suspicions are forgotten by then."""
        self.clock.sleep(timedelta(days=days).total_seconds())
        self.portions = Portions(self.lessons, self.clock)
        return self.portions

    def size(self) -> Size | None:
        """What a plan is told."""
        return self.lessons.size(*ADS)


@pytest.fixture
def syncs() -> Iterator[Collections]:
    with State.in_memory() as state:
        yield Collections(state)


def test_a_refusal_alone_teaches_nothing_and_half_is_next(syncs: Collections) -> None:
    syncs.portions.refused(ADS, DAYS, 28, is_sure=True)
    assert syncs.portions.most(ADS, DAYS, 28) == 14
    syncs.portions.refused(ADS, DAYS, 14, is_sure=True)
    assert syncs.portions.most(ADS, DAYS, 28) == 7
    assert syncs.size() is None
    assert syncs.next().most(ADS, DAYS, 28) == 28


def test_what_came_after_a_refusal_is_where_the_next_collection_begins(syncs: Collections) -> None:
    syncs.portions.learned(ADS, DAYS, 7, 14, is_sure=True)
    assert syncs.size() == Size(7)
    assert syncs.next().most(ADS, DAYS, 28) == 7
    assert syncs.portions.most(ADS, DAYS, 5) == 5
    assert syncs.portions.most(Key("2", "ad_insights"), DAYS, 28) == 28


def test_trouble_is_followed_by_the_smallest_part_and_then_by_twice_as_much_each_time(syncs: Collections) -> None:
    syncs.portions.refused(ADS, DAYS, 28, is_sure=False)
    asked = []
    while (most := syncs.portions.most(ADS, DAYS, 28)) <= 6:
        asked.append(most)
        syncs.portions.gave(ADS, DAYS, most)
    assert (asked, most) == ([1, 2, 4], 8)
    syncs.portions.refused(ADS, DAYS, 8, is_sure=False)
    assert syncs.portions.most(ADS, DAYS, 21) == 4
    assert syncs.next().most(ADS, DAYS, 28) == 4


def test_trouble_that_passed_is_forgotten_after_two_more_collections(syncs: Collections) -> None:
    syncs.portions.learned(ADS, DAYS, 13, 28, is_sure=False)
    assert syncs.next().most(ADS, DAYS, 28) == 26
    syncs.portions.gave(ADS, DAYS, 26)
    assert syncs.next().most(ADS, DAYS, 28) == 28
    syncs.portions.gave(ADS, DAYS, 28)
    assert syncs.size() is None


def test_a_bound_is_tried_again_after_a_day_then_after_twice_as_long_and_a_week_at_most(syncs: Collections) -> None:
    syncs.portions.learned(ADS, DAYS, 7, 14, is_sure=True)
    waits = []
    for _ in range(5):
        days = 0
        while syncs.next(days=1).most(ADS, DAYS, 28) == 7:
            days += 1
        waits.append(days + 1)
        syncs.portions.refused(ADS, DAYS, 14, is_sure=True)
        assert syncs.portions.most(ADS, DAYS, 28) == 7
    assert waits == [1, 2, 4, 7, 7]


def test_two_refusals_of_one_trial_count_once(syncs: Collections) -> None:
    syncs.portions.learned(ADS, DAYS, 7, 14, is_sure=True)
    syncs.next(days=1)
    for _ in range(2):
        syncs.portions.refused(ADS, DAYS, 14, is_sure=True)
    bound = syncs.lessons.bound(ADS, DAYS)
    assert bound is not None
    assert (bound.given, bound.tries) == (7, 2)


def test_an_account_that_has_grown_is_given_less(syncs: Collections) -> None:
    syncs.portions.learned(ADS, DAYS, 7, 14, is_sure=True)
    syncs.next()
    syncs.portions.refused(ADS, DAYS, 7, is_sure=True)
    assert syncs.portions.most(ADS, DAYS, 28) == 4
    syncs.portions.gave(ADS, DAYS, 4)
    assert syncs.size() == Size(4)


def test_a_single_day_that_is_too_much_is_asked_for_in_parts_and_whole_again_after_a_day(syncs: Collections) -> None:
    syncs.portions.refused(ADS, DAYS, 1, is_sure=True)
    syncs.portions.gave(ADS, DAYS, 0)
    assert syncs.size() == Size(1, by_entity=True)
    assert syncs.next(days=1).most(ADS, DAYS, 28) == 1
    syncs.portions.gave(ADS, DAYS, 1)
    assert syncs.size() is None


def test_what_is_not_given_directly_and_how_large_a_page_may_be_are_parts_of_a_size(syncs: Collections) -> None:
    syncs.portions.learned(ADS, DIRECT, 27, 28, is_sure=True)
    syncs.portions.learned(ADS, PAGE, 62, 125, is_sure=True)
    assert syncs.size() == Size(direct_days=27, page_rows=62)
    syncs.next(days=1)
    assert syncs.size() == Size(direct_days=54, page_rows=124)
