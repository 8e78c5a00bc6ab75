"""What Meta taught: kept on disk, and not for ever."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meta_insights_pipeline.collector.lessons import Lessons, Size, Split
from meta_insights_pipeline.collector.portions import DAYS, Bound, Key
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
ADS = Key("1", "ad_insights")


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock(NOW)


@pytest.fixture
def lessons(tmp_path: Path, clock: SkippingClock) -> Iterator[Lessons]:
    with State(tmp_path / "state.sqlite") as state:
        yield Lessons(state, clock)


def test_bounds_are_remembered_by_the_next_process(tmp_path: Path, clock: SkippingClock) -> None:
    bound = Bound(14, 28, 1, clock.now().timestamp() + 60)
    with State(tmp_path / "state.sqlite") as state:
        Lessons(state, clock).set_bound(ADS, DAYS, bound)
        Lessons(state, clock).set_bound(ADS, "campaign", bound)
    with State(tmp_path / "state.sqlite") as state:
        lessons = Lessons(state, clock)
        assert lessons.sizes() == {("1", "ad_insights"): Size(14)}
        assert lessons.bound(ADS, "campaign") == bound
        lessons.set_bound(ADS, DAYS, None)
        assert lessons.bound(ADS, DAYS) is None


def test_what_a_day_by_entities_costs_is_part_of_a_size(lessons: Lessons, clock: SkippingClock) -> None:
    lessons.set_bound(ADS, DAYS, Bound(0, 1, 1, clock.now().timestamp() + 60))
    lessons.split(ADS, Split(1, 4, 0, 0))
    assert lessons.size("1", "ad_insights") == Size(1, by_entity=True, split=Split(1, 4, 0, 0))


def test_failures_in_a_row_are_counted_until_something_comes(lessons: Lessons) -> None:
    assert [lessons.failed(ADS) for _ in range(3)] == [1, 2, 3]
    lessons.came(Key("2", "ad_insights"))
    assert lessons.failed(ADS) == 4
    lessons.came(ADS)
    assert lessons.failed(ADS) == 1


def test_how_long_a_report_takes_follows_what_was_seen_of_reports_of_about_as_many_days(lessons: Lessons) -> None:
    assert lessons.expected_wait(ADS, 28) is None
    lessons.waited(ADS, 28, 100.0, 4)
    lessons.waited(ADS, 29, 120.0, 2)
    assert lessons.expected_wait(ADS, 28) == 110.0
    assert lessons.expected_wait(ADS, 3) is None
    size = lessons.size("1", "ad_insights")
    assert size is not None
    # The first time nobody knew how long to wait, so that it took more questions.
    assert size.polls == 2.0


def test_a_report_that_was_ready_at_the_first_question_is_waited_for_a_little_less_the_next_time(
    lessons: Lessons,
) -> None:
    lessons.waited(ADS, 28, 100.0, 4)
    lessons.waited(ADS, 28, 100.0, 1)
    assert lessons.expected_wait(ADS, 28) == 97.5


def test_what_meta_tells_of_the_time_of_a_report_is_not_made_less(lessons: Lessons) -> None:
    lessons.waited(ADS, 28, 100.0, 2, is_told=True)
    lessons.waited(ADS, 28, 100.0, 1, is_told=True)
    assert lessons.expected_wait(ADS, 28) == 100.0


def test_an_account_without_reports_is_waited_for_as_long_as_others_but_not_very_long(lessons: Lessons) -> None:
    lessons.waited(Key("2", "ad_insights"), 28, 10.0, 2)
    assert lessons.expected_wait(ADS, 28) == 10.0
    lessons.waited(Key("3", "ad_insights"), 28, 500.0, 2)
    assert lessons.expected_wait(ADS, 28) == 30.0


def test_a_field_in_quarantine_is_due_after_a_day_and_then_after_twice_as_long(
    lessons: Lessons, clock: SkippingClock
) -> None:
    lessons.quarantine("1", "ad_insights", "reach", "refused")
    assert not lessons.withheld("1", "ad_insights")["reach"].is_due
    clock.sleep(86_401)
    assert lessons.withheld("1", "ad_insights")["reach"].is_due
    lessons.quarantine("1", "ad_insights", "reach", "refused again")
    clock.sleep(86_401)
    held = lessons.withheld("1", "ad_insights")["reach"]
    assert (held.is_due, held.reason) == (False, "refused again")
    clock.sleep(86_401)
    assert lessons.withheld("1", "ad_insights")["reach"].is_due


def test_a_field_that_came_is_free(lessons: Lessons) -> None:
    lessons.quarantine("1", "ad_insights", "reach", "refused")
    lessons.quarantine("2", "ad_insights", "reach", "refused")
    lessons.gave("1", "ad_insights", ("spend", "reach"))
    assert lessons.withheld("1", "ad_insights") == {}
    assert lessons.withheld("2", "ad_insights").keys() == {"reach"}


def test_news_of_an_account_are_news_once(lessons: Lessons) -> None:
    assert lessons.is_news("1", "refusal", "no permission")
    assert not lessons.is_news("1", "refusal", "no permission")
    assert lessons.is_news("1", "refusal", "closed")
    assert lessons.is_over("1", "refusal")
    assert not lessons.is_over("1", "refusal")


def test_how_often_reports_are_polled_follows_what_was_seen(lessons: Lessons) -> None:
    before = lessons.polls_a_report()
    for _ in range(30):
        lessons.polled(5)
    assert before < 4.9 < lessons.polls_a_report() <= 5


def test_when_entities_were_refreshed_is_remembered(lessons: Lessons, clock: SkippingClock) -> None:
    assert lessons.refreshed_at("1") is None
    lessons.refreshed("1")
    clock.sleep(60)
    assert lessons.refreshed_at("1") == NOW
