"""The independent statement of what objects are equals what the API says of them, for every kind and account."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meta_insights_pipeline.simulator import World, entity_truth
from meta_insights_pipeline_tests.simulator.support import EVERY_STATUS, NOW, Api, api

EDGES = {"campaigns": "campaigns", "adsets": "adsets", "ads": "ads", "creatives": "adcreatives"}
MOMENTS = (NOW, datetime(2024, 3, 31, 1, 1, tzinfo=UTC))


def _read(graph: Api, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects of these rows with every field that any of them has, by batches."""
    fields = ",".join(sorted({name for row in rows for name in row} - {"listed"}))
    answers: list[dict[str, Any]] = []
    for start in range(0, len(rows), 50):
        entries = [
            {"method": "GET", "relative_url": f"{row['id']}?fields={fields}"} for row in rows[start : start + 50]
        ]
        answers += graph.call("POST", "", batch=entries, include_headers="false").json()
    assert {answer["code"] for answer in answers} == {200}
    return [json.loads(answer["body"]) for answer in answers]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("kind", ["ad_accounts", *EDGES])
def test_the_truth_is_what_objects_tell_by_id(world: World, kind: str, place: int) -> None:
    at = MOMENTS[place % 2]
    stated = entity_truth(world, kind, world.accounts[place].id, at)
    with api(world, at) as graph:
        read = _read(graph, stated)
    assert read == [{name: value for name, value in row.items() if name != "listed"} for row in stated]
    assert kind == "ad_accounts" or len(stated) > 15


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("kind", EDGES)
def test_edges_list_what_the_truth_calls_listed(world: World, kind: str, place: int) -> None:
    at = MOMENTS[place % 2]
    account = world.accounts[place].id
    stated = entity_truth(world, kind, account, at)
    with api(world, at) as graph:
        rows = graph.rows(f"act_{account}/{EDGES[kind]}", effective_status=list(EVERY_STATUS), limit=500)
        usual = graph.rows(f"act_{account}/{EDGES[kind]}", limit=500)
    assert [row["id"] for row in rows] == [row["id"] for row in stated if row["listed"]]
    assert any(not row["listed"] for row in stated)
    shown = [row["id"] for row in stated if row["listed"] and row.get("effective_status") != "ARCHIVED"]
    assert [row["id"] for row in usual] == shown


@pytest.mark.parametrize("kind", ["campaigns", "adsets", "ads"])
def test_what_was_updated_since_is_what_differs_in_the_truth(world: World, kind: str) -> None:
    """What a reader must fetch to keep a history: everything with a change of its own, and nothing else."""
    account = world.accounts[1].id
    later = NOW + timedelta(days=20)
    before, after = ({row["id"]: row for row in entity_truth(world, kind, account, at)} for at in (NOW, later))
    # Inherited statuses and what is left of a budget change without an edit.
    moving = ("updated_time", "effective_status", "listed", "budget_remaining")
    changed = {
        ident
        for ident, row in after.items()
        if ident not in before or any(row.get(name) != before[ident].get(name) for name in row if name not in moving)
    }
    condition = {"field": f"{kind[:-1]}.updated_time", "operator": "GREATER_THAN", "value": int(NOW.timestamp())}
    with api(world, later) as graph:
        rows = graph.rows(
            f"act_{account}/{kind}", filtering=[condition], effective_status=list(EVERY_STATUS), limit=500
        )
    assert {row["id"] for row in rows} == {ident for ident in changed if after[ident]["listed"]}
    assert changed


def test_deleted_objects_keep_their_attributes(world: World) -> None:
    for kind in ("campaigns", "adsets", "ads"):
        deleted = [row for row in entity_truth(world, kind, world.accounts[0].id, NOW) if row["status"] == "DELETED"]
        assert deleted
        for row in deleted:
            assert row["effective_status"] == "DELETED"
            assert not row["listed"]
            assert row["name"]
            assert row["updated_time"] >= row["created_time"]


def test_accounts_may_be_asked_for_together(world: World) -> None:
    rows = entity_truth(world, "ad_accounts", "", NOW)
    assert [row["account_id"] for row in rows] == [account.id for account in world.accounts]
    for kind, account in (("pages", world.accounts[0].id), ("ads", "1")):
        with pytest.raises(KeyError):
            entity_truth(world, kind, account, NOW)
