"""What a sync came to as a whole, and what an account that has joined lacks."""

from datetime import UTC, date, datetime, timedelta

import pytest

from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.graph_api.errors import AuthError
from meta_insights_pipeline.harvest import Harvest, gaps_of_new_accounts
from meta_insights_pipeline.warehouse.merge import Gap

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
DAYS = DayRange(date(2026, 11, 21), date(2026, 11, 22))


def gap(account_id: str, kind: str) -> Gap:
    return Gap("ad_insights", account_id, DAYS.since, DAYS.until, "reason", retry_at=NOW, kind=kind)


@pytest.mark.parametrize(
    ("gaps", "named", "state"),
    [
        ([], (), "complete"),
        # What Meta blocks is picked up by itself, even when it is everything.
        ([gap("1", "deferred"), gap("2", "deferred")], (), "partial"),
        # One account's trouble never stops the others.
        ([gap("1", "failed")], (), "partial"),
        ([gap("1", "failed"), gap("2", "failed")], (), "failed"),
        ([gap("1", "failed"), gap("2", "deferred")], (), "failed"),
        # An account that was only found was not asked for; one that somebody named was.
        ([gap("1", "refused")], (), "complete"),
        ([gap("1", "refused")], ("1", "2"), "partial"),
    ],
)
def test_a_sync_fails_only_when_no_account_is_whole(gaps: list[Gap], named: tuple[str, ...], state: str) -> None:
    assert Harvest(gaps=gaps).state(("1", "2"), named) == state


def test_a_refused_token_is_a_failure_whatever_came_before() -> None:
    assert Harvest(token_error=AuthError("expired")).state(("1",), ()) == "failed"


def test_an_account_that_nobody_could_ask_is_a_gap_in_every_report() -> None:
    harvest = Harvest()
    harvest.refuse("9", "no such account", builtin_reports(), DAYS)
    assert [one.report for one in harvest.gaps] == [report.name for report in builtin_reports()]
    assert harvest.refused == {"9": "no such account"}


def test_an_account_that_joined_lacks_what_the_others_have_and_it_is_due_at_once() -> None:
    (report, *_) = builtin_reports()
    earliest = DAYS.since - timedelta(days=30)
    (found,) = gaps_of_new_accounts(["3"], [report], earliest, DAYS, NOW)
    assert (found.account_id, found.since, found.until) == ("3", earliest, DAYS.since - timedelta(days=1))
    assert (found.kind, found.retry_at) == ("deferred", NOW)
    assert gaps_of_new_accounts(["3"], [report], DAYS.since, DAYS, NOW) == []
    assert gaps_of_new_accounts(["3"], [report], None, DAYS, NOW) == []
