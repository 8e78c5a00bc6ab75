"""Which days are asked for, at moments and in zones where that is easily wrong."""

from datetime import UTC, date, datetime

import pytest

from meta_insights_pipeline.collector.days import DayRange, days_back_range, newest_day, refresh_range


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "zones", "expected"),
    [
        ("2026-11-22T12:00", ["UTC"], ("2026-11-21", "2026-11-22")),
        # In Sydney it is the 23rd already; in Los Angeles it is still the 22nd.
        ("2026-11-22T14:00", ["Australia/Sydney"], ("2026-11-22", "2026-11-23")),
        ("2026-11-22T14:00", ["Australia/Sydney", "America/Los_Angeles"], ("2026-11-21", "2026-11-23")),
        ("2026-11-22T03:00", ["America/Los_Angeles"], ("2026-11-20", "2026-11-21")),
        # Nothing is known of the accounts: every zone on Earth.
        ("2026-11-22T11:00", [], ("2026-11-20", "2026-11-23")),
        # New York at the end of daylight saving time: 03:30 UTC is 23:30 of the day before until it is 22:30.
        ("2026-11-01T03:30", ["America/New_York"], ("2026-10-30", "2026-10-31")),
        ("2026-11-02T04:30", ["America/New_York"], ("2026-10-31", "2026-11-01")),
        # And at its beginning: the day of 23 hours ends at 04:00 UTC.
        ("2026-03-09T03:59", ["America/New_York"], ("2026-03-07", "2026-03-08")),
        ("2026-03-09T04:00", ["America/New_York"], ("2026-03-08", "2026-03-09")),
    ],
)
def test_a_refresh_covers_today_and_yesterday_of_every_account(
    now: str, zones: list[str], expected: tuple[str, str]
) -> None:
    days = refresh_range(at(now), zones)
    assert (days.since.isoformat(), days.until.isoformat()) == expected


def test_days_back_reaches_from_so_many_days_ago_through_today() -> None:
    assert days_back_range(at("2026-11-22T12:00"), 28, ["UTC"]) == DayRange(date(2026, 10, 25), date(2026, 11, 22))
    assert days_back_range(at("2026-11-22T12:00"), 0, ["UTC"]).count == 1


def test_the_newest_day_is_that_of_the_first_zone() -> None:
    assert newest_day(at("2026-11-22T09:59")) == date(2026, 11, 22)
    assert newest_day(at("2026-11-22T10:00")) == date(2026, 11, 23)


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="after its end"):
        DayRange(date(2026, 1, 2), date(2026, 1, 1))


def test_parts_cover_a_range_without_gap_or_overlap() -> None:
    days = DayRange(date(2026, 1, 1), date(2026, 1, 10))
    parts = days.parts(4)
    assert [day for part in parts for day in part.days] == days.days
    assert [part.count for part in parts] == [4, 4, 2]


def test_a_range_is_cut_at_an_accounts_today_and_is_nothing_before_it_begins() -> None:
    days = DayRange(date(2026, 1, 1), date(2026, 1, 3))
    assert days.until_at_most(date(2026, 1, 2)) == DayRange(date(2026, 1, 1), date(2026, 1, 2))
    assert days.until_at_most(date(2025, 12, 31)) is None
