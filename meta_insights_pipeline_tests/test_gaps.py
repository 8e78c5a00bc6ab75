"""What the warehouse lacks of accounts that joined, are back, or stood still."""

from datetime import UTC, date, datetime, timedelta

import pytest

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.gaps import (
    LONGEST_STANDSTILL_DAYS,
    gaps_of_new_accounts,
    gaps_of_refusals,
    gaps_of_standstills,
    hole_sentences,
    standstills,
)
from meta_insights_pipeline.warehouse.merge import Gap

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
DAYS = DayRange(date(2026, 11, 21), date(2026, 11, 22))
BEFORE = DAYS.since - timedelta(days=1)
REPORTS = builtin_reports()[:1]
NAME = REPORTS[0].name


def test_earlier_gaps_of_an_account_that_refuses_are_due_at_no_time_and_those_of_one_that_is_back_at_once() -> None:
    before = DayRange(DAYS.since - timedelta(days=5), DAYS.until)

    def earlier(account_id: str, kind: str, retry_at: datetime | None) -> Gap:
        return Gap("ad_insights", account_id, before.since, before.until, "reason", retry_at, kind)

    missing = [
        earlier("1", "deferred", NOW),
        earlier("2", "refused", None),
        # Neither asked nor changed.
        earlier("3", "refused", None),
        earlier("4", "deferred", NOW),
    ]
    changed = gaps_of_refusals(missing, {"1": "forbidden"}, {"2", "4"}, ["ad_insights"], DAYS, NOW)
    last = DAYS.since - timedelta(days=1)
    told = [(one.account_id, one.since, one.until, one.kind, one.retry_at) for one in changed]
    # Of the days that the sync asked for, it has said itself what is missing.
    assert told == [("1", before.since, last, "refused", None), ("2", before.since, last, "deferred", NOW)]
    # Of a report that it did not ask for, all days.
    (whole,) = gaps_of_refusals(missing, {}, {"2"}, ["campaign_insights"], DAYS, NOW)
    assert (whole.since, whole.until) == (before.since, before.until)


def test_an_account_that_joined_lacks_what_the_others_have_and_it_is_due_at_once() -> None:
    (report, *_) = builtin_reports()
    earliest = DAYS.since - timedelta(days=30)
    (found,) = gaps_of_new_accounts(["3"], [report], earliest, DAYS, NOW)
    assert (found.account_id, found.since, found.until) == ("3", earliest, DAYS.since - timedelta(days=1))
    assert (found.kind, found.retry_at) == ("deferred", NOW)
    assert gaps_of_new_accounts(["3"], [report], DAYS.since, DAYS, NOW) == []
    assert gaps_of_new_accounts(["3"], [report], None, DAYS, NOW) == []


def test_days_in_which_no_sync_ran_are_due_at_once_but_for_those_that_are_known_as_missing() -> None:
    first = DAYS.since - timedelta(days=6)
    known = [
        Gap(NAME, "1", first + timedelta(days=2), first + timedelta(days=3), "known"),
        Gap(NAME, "2", first, BEFORE, "another account"),
    ]
    found = standstills({("1", NAME): first}, known, {"1"}, {"1": DAYS.until}, REPORTS, DAYS)
    gaps = gaps_of_standstills(found, NOW)
    assert [(gap.account_id, gap.report, gap.since, gap.until) for gap in gaps] == [
        ("1", NAME, first, first + timedelta(days=1)),
        ("1", NAME, first + timedelta(days=4), BEFORE),
    ]
    assert {(gap.kind, gap.retry_at) for gap in gaps} == {("deferred", NOW)}
    assert hole_sentences(found) == ()


@pytest.mark.parametrize(
    ("lacking_from", "answered", "today"),
    [
        # Nothing lies between, or nothing was ever collected.
        ({("1", NAME): DAYS.since}, {"1"}, DAYS.until),
        ({("1", NAME): DAYS.until + timedelta(days=1)}, {"1"}, DAYS.until),
        ({}, {"1"}, DAYS.until),
        # Who refuses is told elsewhere, and a sync of past days is a choice.
        ({("1", NAME): BEFORE}, set(), DAYS.until),
        ({("1", NAME): BEFORE}, {"1"}, DAYS.until + timedelta(days=1)),
    ],
)
def test_elsewhere_nothing_stood_still(
    lacking_from: dict[tuple[str, str], date], answered: set[str], today: date
) -> None:
    assert standstills(lacking_from, (), answered, {"1": today}, REPORTS, DAYS) == []


def test_a_hole_of_more_than_four_weeks_is_told_and_left_to_a_person() -> None:
    todays = {"1": DAYS.until, "2": DAYS.until}
    longest = DAYS.since - timedelta(days=LONGEST_STANDSTILL_DAYS)
    longer = longest - timedelta(days=1)
    found = standstills({("1", NAME): longest, ("2", NAME): longer}, (), {"1", "2"}, todays, REPORTS, DAYS)
    assert [gap.account_id for gap in gaps_of_standstills(found, NOW)] == ["1"]
    (text,) = hole_sentences(found)
    assert "(act_2)" in text
    assert f"meta-insights sync --start {longer} --end {BEFORE}" in text


def test_an_account_that_is_back_after_months_has_no_hole_since_each_sync_noted_its_days() -> None:
    first = DAYS.since - timedelta(days=90)
    known = [Gap(NAME, "1", first + timedelta(days=1), BEFORE, "forbidden", kind="refused")]
    found = standstills({("1", NAME): first}, known, {"1"}, {"1": DAYS.until}, REPORTS, DAYS)
    assert hole_sentences(found) == ()
    assert [(gap.since, gap.until) for gap in gaps_of_standstills(found, NOW)] == [(first, first)]
