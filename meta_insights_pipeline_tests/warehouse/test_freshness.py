"""Freshness by the account's own clock."""

from datetime import UTC, date, datetime, timedelta

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.warehouse.freshness import STALE_AFTER, Freshness, freshness
from meta_insights_pipeline_tests.warehouse.building import CAMPAIGNS, Desk

REPORT = CAMPAIGNS.name
TODAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BERLIN = {"1": "Europe/Berlin"}


def look(
    desk: Desk, now: datetime, zones: dict[str, str] | None = None, since: date = TODAY, until: date = TODAY
) -> dict[str, Freshness]:
    with desk.warehouse.connect() as connection:
        return freshness(connection, zones or BERLIN, [REPORT], since, until, now)


def read(desk: Desk, day: date, at: datetime, account: str = "1") -> None:
    desk.sync("[]", since=day, until=day, at=at, account=account)


def test_a_day_that_was_read_lately_is_fresh_also_when_it_has_no_rows(desk: Desk) -> None:
    read(desk, TODAY - timedelta(days=1), NOON)
    read(desk, TODAY, NOON - timedelta(minutes=30))
    assert look(desk, NOON) == {REPORT: Freshness(1, ())}


def test_a_day_that_was_read_too_long_ago_is_stale(desk: Desk) -> None:
    read(desk, TODAY, NOON - STALE_AFTER - timedelta(minutes=6))
    assert look(desk, NOON)[REPORT].stale == ("2026-11-20 of act_1 was last read 3.1 hours ago.",)


def test_a_day_that_was_never_read_is_stale(desk: Desk) -> None:
    assert look(desk, NOON)[REPORT].stale == ("2026-11-20 of act_1 has not been read.",)


def test_yesterday_must_have_been_read_since_it_ended(desk: Desk) -> None:
    read(desk, TODAY, NOON)
    # An hour before midnight in Berlin.
    read(desk, TODAY - timedelta(days=1), datetime(2026, 11, 19, 22, tzinfo=UTC))
    assert look(desk, NOON)[REPORT].stale == ("2026-11-19 of act_1 has not been read since it ended.",)


def test_just_after_midnight_of_the_account_its_yesterday_is_the_newest_day(desk: Desk) -> None:
    one_o_clock = datetime(2026, 11, 20, 0, tzinfo=UTC)
    read(desk, TODAY - timedelta(days=1), one_o_clock - timedelta(minutes=10))
    yesterday = TODAY - timedelta(days=1)
    assert look(desk, one_o_clock, since=yesterday, until=TODAY) == {REPORT: Freshness(1, ())}


def test_each_account_is_judged_by_its_own_day(desk: Desk) -> None:
    zones = {"1": "Pacific/Auckland", "2": "America/Los_Angeles"}
    # One in the morning in Auckland, four in the morning of the day before in Los Angeles.
    read(desk, TODAY, NOON, "1")
    read(desk, TODAY, NOON, "2")
    read(desk, TODAY - timedelta(days=1), NOON, "2")
    found = look(desk, NOON, zones, TODAY - timedelta(days=1), TODAY + timedelta(days=1))
    assert found == {REPORT: Freshness(2, ())}
    later = look(desk, NOON + timedelta(hours=3), zones, TODAY - timedelta(days=1), TODAY + timedelta(days=1))
    assert later[REPORT].stale == ("2026-11-21 of act_1 has not been read.",)


def test_an_account_that_is_no_longer_found_is_told_for_a_week(desk: Desk) -> None:
    read(desk, TODAY, NOON)
    read(desk, TODAY - timedelta(days=2), NOON - timedelta(days=1), "9")
    read(desk, TODAY - timedelta(days=1), NOON - timedelta(days=1), "9")
    found = look(desk, NOON)[REPORT]
    assert found.checked == 2
    assert found.stale == (
        "act_9 is not among the accounts of this sync, and 2026-11-19, the newest day of it, was last read 24.0 hours ago.",
    )
    later = NOON + timedelta(days=6, hours=1)
    read(desk, later.date(), later)
    assert look(desk, later, since=later.date(), until=later.date())[REPORT] == Freshness(1, ())


def test_an_account_that_another_sync_has_just_read_is_fresh(desk: Desk) -> None:
    read(desk, TODAY, NOON)
    read(desk, TODAY, NOON - timedelta(minutes=30), "9")
    assert look(desk, NOON) == {REPORT: Freshness(2, ())}


def test_a_run_of_past_days_says_nothing(desk: Desk) -> None:
    assert look(desk, NOON, since=date(2026, 1, 1), until=date(2026, 1, 31)) == {}


def test_every_report_is_judged_by_itself(desk: Desk) -> None:
    read(desk, TODAY, NOON)
    with desk.warehouse.connect() as connection:
        names = [report.name for report in builtin_reports()]
        found = freshness(connection, BERLIN, names, TODAY, TODAY, NOON)
    assert [name for name, one in found.items() if not one.stale] == [REPORT]
