"""Budgets, bids, targeting and creatives, and how they are changed over time."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from meta_insights_pipeline.simulator import Account, SimulatedClock, World, WorldSpec
from meta_insights_pipeline.simulator.structure import DELETED, NEVER
from meta_insights_pipeline_tests.simulator.support import NOW, Api, api

LEVELS = ("campaign", "adset", "ad")
FIXED = WorldSpec(accounts=1, campaigns=3, adsets_per_campaign=2, ads_per_adset=2, always_on=True)


def _at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize("level", LEVELS)
def test_every_edit_changes_something_and_lies_within_the_life_of_its_object(world: World, level: str) -> None:
    for account in world.accounts:
        edits, table = world.edits(account.id), world.graph(account.id).table(level)
        seen = 0
        for place in range(len(table)):
            values, before = dict(edits.history(level, place).first), int(table.created[place])
            end = min(int(array[place]) for array in (table.paused, table.archived, table.deleted))
            for edit in edits.history(level, place).edits:
                assert before < edit.at < end
                assert edit.at % 900 == 0
                assert any(values[name] != value for name, value in edit.changes.items())
                values |= edit.changes
                before = edit.at
                seen += 1
        assert seen > 100


def test_every_month_something_of_each_kind_changes(world: World) -> None:
    kinds = dict.fromkeys(("budget", "bid_amount", "targeting", "generation"), 0)
    for account in world.accounts:
        edits = world.edits(account.id)
        for level in LEVELS:
            for place in range(len(world.graph(account.id).table(level))):
                for edit in edits.history(level, place).edits:
                    if _at(2026, 11, 1) <= edit.at < _at(2026, 12, 1):
                        for name in edit.changes:
                            kinds[name] += 1
    assert all(count >= 4 for count in kinds.values()), kinds


def test_draws_depend_on_nothing_but_the_seed(world: World) -> None:
    again, other = World(WorldSpec()), World(WorldSpec(seed=8))
    first = world.accounts[0].id
    assert again.edits(first).history("adset", 5) == world.edits(first).history("adset", 5)
    assert again.edits(first).creatives.ids == world.edits(first).creatives.ids
    mine, others = world.edits(first), other.edits(other.accounts[0].id)
    assert [mine.history("adset", place).first for place in range(9)] != [
        others.history("adset", place).first for place in range(9)
    ]


@pytest.mark.parametrize("level", LEVELS)
def test_the_last_change_is_the_same_for_all_as_for_one(world: World, account: Account, level: str) -> None:
    edits = world.edits(account.id)
    for at in (_at(2023, 5, 1), _at(2026, 11, 22)):
        existing = np.flatnonzero(world.graph(account.id).table(level).existing(at)).tolist()
        together = edits.updated(level, at)
        assert [int(together[place]) for place in existing] == [
            edits.updated_of(level, place, at) for place in existing
        ]
        assert (together[existing] <= at).all()


def _changing_adset(world: World, account: Account, what: str) -> tuple[str, int]:
    """Return an ad set and the moment of an edit of it in November 2026."""
    table = world.graph(account.id).adsets
    for place in range(len(table)):
        for edit in world.edits(account.id).history("adset", place).edits:
            if what in edit.changes and _at(2026, 11, 1) <= edit.at < _at(2026, 11, 22):
                return table.ids[place], edit.at
    raise AssertionError(what)


@pytest.mark.parametrize("what", ["budget", "targeting"])
def test_an_edit_shows_at_its_moment_and_moves_updated_time(
    world: World, graph: Api, clock: SimulatedClock, account: Account, what: str
) -> None:
    adset, at = _changing_adset(world, account, what)
    name = "daily_budget,lifetime_budget" if what == "budget" else "targeting"

    def read(seconds: int) -> Any:
        clock.set(_moment(seconds))
        return graph.get(adset, fields=f"{name},updated_time")

    before, after = read(at - 1), read(at)
    assert before.pop("updated_time") < after.pop("updated_time")
    assert before != after
    assert datetime.fromisoformat(graph.get(adset, fields="updated_time")["updated_time"]) == _moment(at)


def test_inherited_statuses_do_not_move_updated_time(world: World, account: Account) -> None:
    tree = world.graph(account.id)
    at = _at(2026, 11, 22)
    gone = np.flatnonzero((tree.campaigns.deleted <= at) & (tree.campaigns.deleted > _at(2024, 1, 1)))
    moment = int(tree.campaigns.deleted[gone[0]])
    (adset, *_) = np.flatnonzero(tree.adsets.parent == gone[0]).tolist()
    assert tree.effective_status("adset", moment - 900)[adset] != DELETED
    assert tree.effective_status("adset", moment)[adset] == DELETED
    assert world.edits(account.id).updated_of("adset", adset, moment) < moment


def test_an_ad_swaps_its_creative_for_another_id(world: World, graph: Api, clock: SimulatedClock) -> None:
    account = world.accounts[0]
    edits, ads = world.edits(account.id), world.graph(account.id).ads
    place = next(place for place in range(len(ads)) if edits.history("ad", place).edits)
    swap = edits.history("ad", place).edits[0].at
    ids, contents = [], []
    for at in (swap - 1, swap):
        clock.set(_moment(at))
        creative = graph.get(ads.ids[place], fields="creative{id,title,object_story_spec,status}")["creative"]
        ids.append(creative.pop("id"))
        contents.append(creative)
        assert [one["id"] for one in graph.rows(f"{ads.ids[place]}/adcreatives")] == [ids[-1]]
    assert ids[0] != ids[1]
    assert contents[0] != contents[1]
    # The old one can still be read by its id, the new one not before it was made.
    assert graph.get(ids[0], fields="title")["title"] == contents[0]["title"]
    clock.set(_moment(swap - 1))
    assert graph.error(ids[1])["error_subcode"] == 33


def test_creatives_out_of_use_are_deleted_some_days_later_and_stay_readable(
    world: World, graph: Api, account: Account
) -> None:
    creatives = world.edits(account.id).creatives
    assert creatives.ids == sorted(creatives.ids)
    assert len(set(creatives.ids)) == len(creatives.ids)
    at = int(NOW.timestamp())
    gone = np.flatnonzero((creatives.begun <= at) & (creatives.deleted <= at))
    assert len(gone) > 100
    assert (creatives.deleted[gone] > creatives.begun[gone]).all()
    listed = {row["id"] for row in graph.rows(f"act_{account.id}/adcreatives", limit=500)}
    ident = creatives.ids[int(gone[0])]
    assert ident not in listed
    assert graph.get(ident, fields="status,title,object_story_spec,account_id")["status"] == "DELETED"
    in_use = {row["creative"]["id"] for row in graph.rows(f"act_{account.id}/ads", fields="creative", limit=500)}
    assert in_use <= listed


def test_budgets_are_minor_units_and_stand_at_one_level(world: World) -> None:
    for account in (world.accounts[0], world.accounts[2]):
        with api(world) as graph:
            campaigns = {
                row["id"]: row
                for row in graph.rows(
                    f"act_{account.id}/campaigns",
                    fields="daily_budget,lifetime_budget,budget_remaining,bid_strategy,stop_time",
                    limit=200,
                )
            }
            adsets = graph.rows(
                f"act_{account.id}/adsets",
                fields="campaign_id,daily_budget,lifetime_budget,budget_remaining,bid_strategy,bid_amount,end_time",
                limit=200,
            )
        kinds = set()
        for adset in adsets:
            above = campaigns.get(adset["campaign_id"], {})
            own = [int(adset[name]) for name in ("daily_budget", "lifetime_budget") if name in adset]
            whole = [int(above[name]) for name in ("daily_budget", "lifetime_budget") if name in above]
            assert (len(own), len(whole)) in {(2, 0), (0, 1)}
            assert 0 in own or not own
            assert all(amount > 0 for amount in whole)
            assert ("bid_strategy" in adset) is bool(own)
            assert ("stop_time" in above) is ("lifetime_budget" in above)
            assert 0 <= int(adset["budget_remaining"]) <= max(own, default=0)
            assert isinstance(adset.get("bid_amount", 0), int)
            if "lifetime_budget" in above or (own and own[1]):
                assert adset["end_time"] > adset.get("start_time", "")
            kinds.add((bool(own), "bid_amount" in adset))
        assert len(kinds) == 4


def test_what_is_left_of_a_budget_follows_the_spend_of_the_day(world: World, graph: Api, account: Account) -> None:
    rows = graph.rows(f"act_{account.id}/adsets", fields="daily_budget,budget_remaining,name", limit=200)
    today = date(2026, 11, 22).isoformat()
    spent = {
        row["adset_id"]: round(float(row["spend"]) * 100)
        for row in graph.rows(
            f"act_{account.id}/insights",
            level="adset",
            fields="adset_id,spend",
            time_range={"since": today, "until": today},
            limit=200,
        )
    }
    daily = [row for row in rows if int(row.get("daily_budget", 0))]
    assert sum(row["id"] in spent for row in daily) > 2
    for row in daily:
        assert int(row["budget_remaining"]) == max(0, int(row["daily_budget"]) - spent.get(row["id"], 0))


def test_a_fixed_structure_changes_only_when_it_is_edited() -> None:
    still, edited = World(FIXED), World(WorldSpec(**{**vars(FIXED), "edited": True}))
    account = still.accounts[0].id
    assert all(not still.edits(account).history("adset", place).edits for place in range(6))
    assert all(edited.edits(account).history("adset", place).edits for place in range(6))
    assert any(edited.edits(account).history("ad", place).edits for place in range(12))
    assert (still.edits(account).creatives.deleted == NEVER).all()
    # What is delivered is the same.
    told = []
    for world in (still, edited):
        with api(world) as graph:
            told.append(graph.rows(f"act_{account}/insights", level="ad", fields="ad_id,spend,actions"))
    assert told[0] == told[1] != []
