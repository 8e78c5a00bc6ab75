"""Where rows of deleted entities are, and reports that are behind the others."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from meta_insights_pipeline.simulator import Account, Truth, World, truth
from meta_insights_pipeline.simulator.days import floor_step
from meta_insights_pipeline.simulator.structure import DELETED
from meta_insights_pipeline_tests.simulator.support import EVERY_STATUS, NOW, Api, span

SINCE, UNTIL = date(2026, 10, 18), date(2026, 10, 28)


def _truth(world: World, level: str, account: Account) -> Truth:
    return truth(world, level, account.id, SINCE, UNTIL, NOW)


def _deleted(world: World, level: str, account: Account) -> set[str]:
    graph = world.graph(account.id)
    status = graph.effective_status(level, floor_step(NOW)).tolist()
    return {each for each, one in zip(graph.table(level).ids, status, strict=True) if one == DELETED}


def _rows_of(graph: Api, node: str, level: str) -> list[dict[str, Any]]:
    status = {"field": f"{level}.effective_status", "operator": "IN", "value": list(EVERY_STATUS)}
    return graph.rows(
        f"{node}/insights",
        level=level,
        time_increment=1,
        time_range=span(SINCE, UNTIL),
        fields=f"adset_id,{level}_id,impressions" if level == "ad" else f"{level}_id,impressions",
        filtering=[status],
        limit=500,
    )


def _impressions(rows: list[dict[str, Any]], id_field: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        found[row[id_field]] += int(row["impressions"])
    return found


def test_rows_of_deleted_ads_may_be_had_from_their_ad_set_alone_while_totals_hold_them(
    world: World, graph: Api, account: Account
) -> None:
    graph.simulator.set_deleted_rows("by_parent")
    expected = _impressions(_truth(world, "ad", account).rows, "ad_id")
    deleted = _deleted(world, "ad", account) & expected.keys()
    assert deleted
    shown = _impressions(_rows_of(graph, f"act_{account.id}", "ad"), "ad_id")
    assert shown == {ad: count for ad, count in expected.items() if ad not in deleted}
    total = graph.get(f"act_{account.id}/insights", time_range=span(SINCE, UNTIL), fields="impressions")["data"]
    assert int(total[0]["impressions"]) == sum(expected.values())
    adsets = {row["adset_id"] for row in _truth(world, "ad", account).rows if row["ad_id"] in deleted}
    for adset in adsets:
        mine = _impressions(_rows_of(graph, adset, "ad"), "ad_id")
        assert mine == {ad: expected[ad] for ad in mine}
        assert deleted & mine.keys()


def test_rows_of_deleted_entities_may_be_had_by_their_own_id_alone(world: World, graph: Api) -> None:
    account = world.accounts[1]
    graph.simulator.set_deleted_rows("by_id")
    for level in ("adset", "ad"):
        expected = _impressions(_truth(world, level, account).rows, f"{level}_id")
        deleted = _deleted(world, level, account) & expected.keys()
        assert deleted
        shown = _impressions(_rows_of(graph, f"act_{account.id}", level), f"{level}_id")
        assert shown == {each: count for each, count in expected.items() if each not in deleted}
        for each in deleted:
            assert _impressions(_rows_of(graph, each, level), f"{level}_id") == {each: expected[each]}
    with pytest.raises(ValueError, match="nowhere"):
        graph.simulator.set_deleted_rows("nowhere")


def test_a_stale_report_holds_the_numbers_of_some_time_ago(world: World, graph: Api, account: Account) -> None:
    today = NOW.date()
    asked = {"level": "account", "fields": "spend", "time_range": span(today, today), "time_increment": 1}
    graph.simulator.faults.add("stale", kind="insights", seconds=3600)
    behind, now = (graph.get(f"act_{account.id}/insights", **asked)["data"][0]["spend"] for _ in range(2))
    for spend, at in ((behind, NOW - timedelta(hours=1)), (now, NOW)):
        (row,) = truth(world, "account", account.id, today, today, at).rows
        assert float(spend) == float(row["spend"])
    assert behind != now
    graph.simulator.faults.add("stale", kind="create_run", seconds=3600)
    run = graph.call("POST", f"act_{account.id}/insights", **asked).json()["report_run_id"]
    assert graph.get(f"{run}/insights")["data"][0]["spend"] == behind
