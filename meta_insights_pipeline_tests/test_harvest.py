"""What a sync came to as a whole."""

from datetime import UTC, date, datetime

import pytest

from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.graph_api.errors import AuthError
from meta_insights_pipeline.harvest import Harvest
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
