"""The independent statement of what is true equals what the API says, for every account and level."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meta_insights_pipeline.simulator import World, WorldSpec, truth
from meta_insights_pipeline_tests.simulator.support import LISTS, NOW, NUMBERS, WINDOWS, api

LEVELS = ("account", "campaign", "adset", "ad")
ACCOUNT = "account_id,account_name,account_currency"
CAMPAIGN = f"{ACCOUNT},campaign_id,campaign_name,objective"
ADSET = f"{CAMPAIGN},adset_id,adset_name"
IDENTITY = {"account": ACCOUNT, "campaign": CAMPAIGN, "adset": ADSET, "ad": f"{ADSET},ad_id,ad_name"}
SINCE, UNTIL = date(2026, 10, 23), date(2026, 11, 24)


def _as_told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of the API in the form of `Truth.rows`."""
    told = []
    for row in rows:
        assert row["date_start"] == row["date_stop"]
        kept = {key: value for key, value in row.items() if key not in {*LISTS, "date_stop"}}
        kept["date_start"] = date.fromisoformat(row["date_start"])
        kept["spend"] = Decimal(row["spend"])
        for name in NUMBERS.split(","):
            if name != "spend":
                kept[name] = int(row[name])
        told.append(kept)
    return told


def _actions_told(rows: list[dict[str, Any]], level: str) -> dict[tuple[Any, ...], Any]:
    told: dict[tuple[Any, ...], Any] = {}
    for row in rows:
        for name in LISTS:
            assert row.get(name) != []
            for item in row.get(name, []):
                windows = {window: Decimal(item[window]) for window in WINDOWS if window in item}
                assert all(windows.values())
                key = (row["date_start"], row[f"{level}_id"], name, item["action_type"])
                assert key not in told
                told[key] = (Decimal(item["value"]), windows)
    return told


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("place", range(4))
def test_the_truth_is_what_paging_through_insights_tells(world: World, place: int, level: str) -> None:
    account = world.accounts[place]
    fields = ",".join((IDENTITY[level], NUMBERS, *LISTS))
    with api(world) as graph:
        rows = graph.daily(
            account.id, level, SINCE, UNTIL, fields=fields, action_attribution_windows=list(WINDOWS), limit=333
        )
    stated = truth(world, level, account.id, SINCE, UNTIL, NOW)
    assert _as_told(rows) == stated.rows
    actions = {
        (one["date_start"].isoformat(), one["entity_id"], one["field"], one["action_type"]): (
            one["value"],
            one["windows"],
        )
        for one in stated.actions
    }
    assert len(actions) == len(stated.actions) > 50
    assert _actions_told(rows, level) == actions
    assert {one["account_id"] for one in stated.actions} == {account.id}
    assert {one["level"] for one in stated.actions} == {level}


@pytest.mark.parametrize("place", range(4))
def test_sums_agree_exactly_across_levels_and_reach_counts_people_once(world: World, place: int) -> None:
    account = world.accounts[place]
    stated = {level: truth(world, level, account.id, SINCE, UNTIL, NOW).rows for level in LEVELS}
    for name in ("impressions", "clicks", "inline_link_clicks", "spend"):
        by_day = {level: _per_day(rows, name) for level, rows in stated.items()}
        assert by_day["account"] == by_day["campaign"] == by_day["adset"] == by_day["ad"], name
    parents = {(row["date_start"], row["adset_id"]): row["reach"] for row in stated["adset"]}
    children: dict[Any, list[int]] = {}
    for row in stated["ad"]:
        assert 1 <= row["reach"] <= row["impressions"]
        children.setdefault((row["date_start"], row["adset_id"]), []).append(row["reach"])
    assert children.keys() == parents.keys()
    assert all(max(reaches) <= parents[key] <= sum(reaches) for key, reaches in children.items())
    assert any(parents[key] < sum(reaches) for key, reaches in children.items())


def _per_day(rows: list[dict[str, Any]], name: str) -> dict[date, Any]:
    sums: dict[date, Any] = {}
    for row in rows:
        sums[row["date_start"]] = sums.get(row["date_start"], 0) + row[name]
    return sums


def test_a_later_reading_differs_only_where_the_model_allows(world: World) -> None:
    account = world.accounts[1]
    since, until = date(2026, 10, 1), date(2026, 11, 22)
    later = NOW + timedelta(days=2)
    before, after = (truth(world, "ad", account.id, since, until, at) for at in (NOW, later))
    rows = [{(row["ad_id"], row["date_start"]): row for row in stated.rows} for stated in (before, after)]
    settled = NOW.date() - timedelta(days=4)
    for key in rows[0].keys() | rows[1].keys():
        if key[1] <= settled:
            assert rows[0][key]["impressions"] == rows[1][key]["impressions"]
            assert rows[0][key]["spend"] == rows[1][key]["spend"]
    assert any(rows[0][key]["impressions"] != rows[1].get(key, {}).get("impressions") for key in rows[0])
    actions = [
        {(one["entity_id"], one["date_start"], one["field"], one["action_type"]): one for one in stated.actions}
        for stated in (before, after)
    ]
    final = NOW.date() - timedelta(days=28)
    changed = {key[1] for key in actions[0].keys() | actions[1].keys() if actions[0].get(key) != actions[1].get(key)}
    assert changed
    assert min(changed) > final
    assert any(day < settled for day in changed)


def test_a_daily_sync_of_28_days_back_ends_with_the_truth(world: World) -> None:
    """Whatever hour the sync runs, its last reading of a day holds the final numbers."""
    account = world.accounts[2]
    day = date(2026, 9, 14)
    final = truth(world, "ad", account.id, day, day, datetime(2027, 6, 1, tzinfo=UTC))
    # Midnight that begins D+28 in Tokyo, one step later: the earliest sync whose window still covers D.
    last = truth(world, "ad", account.id, day, day, datetime(2026, 10, 11, 15, 0, tzinfo=UTC))
    strip = [[{key: row[key] for key in row if "name" not in key} for row in one.rows] for one in (last, final)]
    assert strip[0] == strip[1]
    assert last.actions == final.actions


def test_yen_are_whole_and_cents_are_not(world: World) -> None:
    yen = truth(world, "account", world.accounts[2].id, SINCE, UNTIL, NOW).rows
    assert all(row["spend"] == row["spend"].to_integral_value() for row in yen)
    cents = truth(world, "account", world.accounts[0].id, SINCE, UNTIL, NOW).rows
    assert any(row["spend"] != row["spend"].to_integral_value() for row in cents)


def test_a_world_that_is_always_on_has_a_row_for_every_ad_and_day() -> None:
    world = World(WorldSpec(accounts=1, campaigns=4, adsets_per_campaign=3, ads_per_adset=2, always_on=True))
    since, until = date(2026, 10, 25), date(2026, 11, 21)
    for level, count in (("ad", 24), ("adset", 12), ("campaign", 4), ("account", 1)):
        assert len(truth(world, level, world.accounts[0].id, since, until, NOW).rows) == 28 * count
