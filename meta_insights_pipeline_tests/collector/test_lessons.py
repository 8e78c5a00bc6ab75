"""What Meta taught: kept on disk, and not for ever."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.collector.lessons import Lessons, Size
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock(NOW)


@pytest.fixture
def lessons(tmp_path: Path, clock: SkippingClock) -> Iterator[Lessons]:
    with State(tmp_path / "state.sqlite") as state:
        yield Lessons(state, clock)


def test_a_refused_size_is_remembered_by_the_next_process_as_half_of_it(tmp_path: Path, clock: SkippingClock) -> None:
    with State(tmp_path / "state.sqlite") as state:
        Lessons(state, clock).refused_days("1", "ad_insights", 28)
    with State(tmp_path / "state.sqlite") as state:
        assert Lessons(state, clock).sizes() == {("1", "ad_insights"): Size(14)}


def test_a_size_only_shrinks_and_a_single_refused_day_is_asked_for_in_parts(lessons: Lessons) -> None:
    lessons.refused_days("1", "ad_insights", 8)
    lessons.refused_days("1", "ad_insights", 28)
    assert lessons.size("1", "ad_insights") == Size(4)
    lessons.refused_days("1", "ad_insights", 1)
    assert lessons.size("1", "ad_insights") == Size(1, by_entity=True)


def test_a_size_wears_off_after_a_week(lessons: Lessons, clock: SkippingClock) -> None:
    lessons.refused_days("1", "ad_insights", 28)
    clock.sleep(timedelta(days=8).total_seconds())
    assert lessons.size("1", "ad_insights") is None


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
