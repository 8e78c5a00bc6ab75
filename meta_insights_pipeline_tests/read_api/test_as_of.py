"""With as_of every answer is the one that was given then."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import EntityBatch, EntityRow
from meta_insights_pipeline.catalog.reports import builtin_reports
from meta_insights_pipeline.warehouse.entities import merge_entities
from meta_insights_pipeline.warehouse.publication import publish
from meta_insights_pipeline.warehouse.reading.deadlines import Deadlines
from meta_insights_pipeline.warehouse.reading.side_by_side import SideBySide
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshot
from meta_insights_pipeline_tests.read_api.reading_api import ReadingApi
from meta_insights_pipeline_tests.warehouse.building import DAY, EARLY, LATE, Desk, row

ACCOUNTS, CAMPAIGNS = builtin_reports()[:2]
PERIOD = {"date_from": str(DAY - timedelta(days=1)), "date_to": str(DAY)}
BETWEEN = EARLY + timedelta(minutes=30)
# What is known of collection is known as it is now.
NOT_KEPT = ("as_of", "notes", "is_final", "collected_at", "collected_days", "newest_day", "last_seen_at")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def without(content: Any) -> Any:
    """An answer without what is not kept."""
    if isinstance(content, dict):
        return {name: without(value) for name, value in content.items() if name not in NOT_KEPT}
    return [without(value) for value in content] if isinstance(content, list) else content


def account_row(spend: str, **values: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in row(spend=spend, **values).items()
        if not name.startswith("campaign") and name != "objective"
    }


def purchases(count: str) -> list[dict[str, Any]]:
    return [{"action_type": "omni_purchase", "value": count, "7d_click": count}]


def sync(desk: Desk, at: datetime, spends: dict[str, str], budget: str, name: str) -> None:
    """A day with these campaigns, entities and insights."""
    rows = [row(campaign, spend=spend, actions=purchases(spend[0])) for campaign, spend in spends.items()]
    total = str(sum(map(float, spends.values())))
    desk.write(
        *desk.stage_good(
            desk.answer(rows, at=at, report=CAMPAIGNS),
            desk.answer([account_row(total, actions=purchases("9"))], at=at, report=ACCOUNTS),
        )
    )
    account: EntityRow = {
        "account_id": "1",
        "name": "Shop",
        "currency": "EUR",
        "timezone_name": "UTC",
        "is_deleted": False,
    }
    campaigns: list[EntityRow] = [
        {"account_id": "1", "campaign_id": each, "name": name, "daily_budget": budget, "is_deleted": False}
        for each in spends
    ]
    batch = EntityBatch(
        account_id="1",
        collected_at=at,
        rows={EntityKind.AD_ACCOUNTS: [account], EntityKind.CAMPAIGNS: campaigns},
        full=True,
        missing=(),
    )
    with desk.warehouse.connect() as connection:
        connection.execute("BEGIN")
        merge_entities(connection, [batch], "run", desk.folder)
        connection.execute("COMMIT")
    publish(desk.warehouse.path, desk.snapshot)


def answers(desk: Desk, asked: list[str], **parameters: Any) -> list[Any]:
    deadlines = Deadlines(30.0)
    snapshot = Snapshot(desk.snapshot, deadlines=deadlines, helpers=SideBySide(0), memory_limit="512MB", threads=1)
    try:
        api = ReadingApi(snapshot)
        found = [api.ask(path, **PERIOD, **parameters, **({"q": "s"} if path == "search" else {})) for path in asked]
        return [without(each.json()) if each.status_code == 200 else each.status_code for each in found]
    finally:
        snapshot.close()
        deadlines.close()


def test_every_answer_of_a_moment_is_the_one_that_was_given_then(desk: Desk) -> None:
    asked = ["overview", "account/1", "campaign/c1", "campaign/c2", "campaign/c3", "recent-insights/c1", "accounts"]
    asked += ["recent-insights/1", "recent-insights/c3", "search"]
    sync(desk, EARLY, {"c1": "12.4", "c2": "3.5"}, "10", "Sale")
    then = answers(desk, asked)
    sync(desk, LATE, {"c1": "20.25", "c3": "1"}, "12", "Sale again")
    now = answers(desk, asked)
    past = answers(desk, asked, as_of=BETWEEN.isoformat())
    assert past == then
    assert all(one != other for one, other in zip(now, then, strict=True))
    assert isinstance(past[-1], dict)
    assert past[-1]["items"]
    campaign = past[2]
    assert campaign["summary"]["spend"] == "12.4"
    assert campaign["name"] == "Sale"
    assert campaign["attributes"]["daily_budget"] == "10"
    assert now[2]["attributes"]["daily_budget"] == "12"
    # Nobody knew of it yet, and the other one had not gone.
    assert past[4] == past[8] == 404
    assert past[3]["summary"]["spend"] == "3.5"
    assert now[3]["summary"]["spend"] is None


def test_before_the_first_sync_there_is_nothing(desk: Desk) -> None:
    sync(desk, EARLY, {"c1": "12.4"}, "10", "Sale")
    overview, campaign = answers(desk, ["overview", "campaign/c1"], as_of=datetime(2026, 11, 1, tzinfo=UTC).isoformat())
    assert overview["currencies"] == overview["freshness"] == []
    assert campaign == 404
