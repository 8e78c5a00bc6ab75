"""What a sync came to as a whole, and what an account that has joined lacks."""

from datetime import UTC, date, datetime, timedelta

import pytest

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.graph_api.errors import AuthError
from meta_insights_pipeline.harvest import Harvest, gaps_of_new_accounts, gaps_of_refusals
from meta_insights_pipeline.warehouse.merge import Gap

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
DAYS = DayRange(date(2026, 11, 21), date(2026, 11, 22))


def gap(account_id: str, kind: str) -> Gap:
    return Gap("ad_insights", account_id, DAYS.since, DAYS.until, "reason", retry_at=NOW, kind=kind)


@pytest.mark.parametrize(
    ("gaps", "expected", "state"),
    [
        ([], (), "complete"),
        # What Meta blocks is picked up by itself, even when it is everything.
        ([gap("1", "deferred"), gap("2", "deferred")], (), "partial"),
        # One account's trouble never stops the others.
        ([gap("1", "failed")], (), "partial"),
        ([gap("1", "failed"), gap("2", "failed")], (), "failed"),
        ([gap("1", "failed"), gap("2", "deferred")], (), "failed"),
        # An account that was only found is not missed; one that somebody named, or that was read before, is.
        ([gap("1", "refused")], (), "complete"),
        ([gap("1", "refused")], ("1", "2"), "partial"),
        # Where nobody is whole, nothing was collected, whoever was named.
        ([gap("1", "refused"), gap("2", "refused")], (), "failed"),
        ([gap("1", "refused"), gap("2", "failed")], (), "failed"),
        ([gap("1", "refused"), gap("2", "deferred")], (), "partial"),
        ([gap("1", "refused"), gap("2", "deferred")], ("1",), "failed"),
    ],
)
def test_a_sync_fails_only_when_no_account_is_whole(gaps: list[Gap], expected: tuple[str, ...], state: str) -> None:
    assert Harvest(gaps=gaps).state(("1", "2"), expected) == state


def test_a_refused_token_is_a_failure_whatever_came_before() -> None:
    assert Harvest(token_error=AuthError("expired")).state(("1",), ()) == "failed"


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
