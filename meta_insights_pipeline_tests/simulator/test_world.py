"""Accounts and their structure over time."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from meta_insights_pipeline.simulator import World, WorldSpec
from meta_insights_pipeline.simulator.structure import (
    ACTIVE,
    ADSET_PAUSED,
    ARCHIVED,
    CAMPAIGN_PAUSED,
    DELETED,
    PAUSED,
    level_of,
)


def _at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


def test_the_default_accounts_live_in_four_zones_and_currencies(world: World) -> None:
    assert [(account.timezone_name, account.currency) for account in world.accounts] == [
        ("America/New_York", "USD"),
        ("Europe/Berlin", "EUR"),
        ("Asia/Tokyo", "JPY"),
        ("Australia/Sydney", "AUD"),
    ]
    assert all(account.id.isdecimal() and len(account.id) < 18 for account in world.accounts)
    assert world.account(world.accounts[2].id) is world.accounts[2]


def test_more_accounts_cycle_through_more_zones_with_ids_of_their_own() -> None:
    accounts = World(WorldSpec(accounts=20)).accounts
    assert {"Asia/Kolkata", "America/Sao_Paulo", "Pacific/Auckland"} <= {one.timezone_name for one in accounts}
    assert len({account.id for account in accounts}) == len({account.name for account in accounts}) == 20


def test_equal_specifications_give_equal_worlds_and_other_seeds_other_ones(world: World) -> None:
    again, other = World(WorldSpec()), World(WorldSpec(seed=8))
    first = world.accounts[0].id
    assert again.accounts == world.accounts
    assert again.graph(first).ads.first_names == world.graph(first).ads.first_names
    assert (again.graph(first).ads.deleted == world.graph(first).ads.deleted).all()
    assert other.accounts[0].id != first


def test_between_40_and_100_ads_deliver_in_a_month(world: World) -> None:
    for account in world.accounts:
        ads = world.graph(account.id).ads
        for year in range(2023, 2032):
            first, last = date(year, 5, 1).toordinal(), date(year, 5, 31).toordinal()
            assert 35 <= int(((ads.start_day <= last) & (ads.stop_day >= first)).sum()) <= 110


def test_ids_have_eighteen_digits_rise_and_tell_their_level(world: World) -> None:
    graph = world.graph(world.accounts[1].id)
    for level in ("campaign", "adset", "ad"):
        ids = graph.table(level).ids
        assert ids == sorted(set(ids))
        assert all(len(entity_id) == 18 and entity_id.startswith("1202") for entity_id in ids)
        assert level_of(ids[0]) == level
        assert world.owner(ids[-1]) == world.accounts[1]
    assert level_of("123") is None


def test_an_exact_structure_can_be_ordered() -> None:
    world = World(WorldSpec(accounts=1, campaigns=3, adsets_per_campaign=4, ads_per_adset=5, always_on=True))
    graph = world.graph(world.accounts[0].id)
    assert (len(graph.campaigns), len(graph.adsets), len(graph.ads)) == (3, 12, 60)
    assert (graph.effective_status("ad", _at(2030, 1, 1)) == ACTIVE).all()
    assert np.bincount(graph.ads.parent).tolist() == [5] * 12


def test_names_hold_what_is_awkward_to_parse(world: World) -> None:
    graphs = [world.graph(account.id) for account in world.accounts]
    names = "".join(
        name for one in graphs for level in ("campaign", "adset", "ad") for name in one.table(level).first_names
    )
    for awkward in ('"', "\\", ",", "'", "|", "🎁", "ü", "新", "/"):
        assert awkward in names, awkward


@pytest.mark.parametrize("moment", [(2024, 2, 1), (2026, 11, 22), (2030, 6, 15)])
def test_status_is_inherited_downwards(world: World, moment: tuple[int, int, int]) -> None:
    at = _at(*moment)
    for account in world.accounts:
        graph = world.graph(account.id)
        campaign, adset, ad = (graph.effective_status(level, at) for level in ("campaign", "adset", "ad"))
        above = campaign[graph.campaign_of_ad]
        assert (ad[above == DELETED] == DELETED).all()
        assert np.isin(ad[above == ARCHIVED], (ARCHIVED, DELETED)).all()
        assert np.isin(ad[above == PAUSED], (CAMPAIGN_PAUSED, PAUSED, ADSET_PAUSED, ARCHIVED, DELETED)).all()
        parent = adset[graph.ads.parent]
        assert (ad[(parent == PAUSED) & (graph.ads.own_status(at) == ACTIVE)] == ADSET_PAUSED).all()
        assert set(np.unique(ad)) == {ACTIVE, PAUSED, ADSET_PAUSED, CAMPAIGN_PAUSED, ARCHIVED, DELETED}


def test_every_month_some_ads_are_gone_that_delivered_in_the_last_28_days(world: World) -> None:
    gone = 0
    for account in world.accounts:
        graph = world.graph(account.id)
        for month in range(1, 13):
            status = graph.effective_status("ad", _at(2026, month, 28))
            recent = graph.ads.stop_day >= date(2026, month, 28).toordinal() - 28
            gone += int((recent & np.isin(status, (ARCHIVED, DELETED))).sum())
    assert gone >= 4 * 12 * 3


def test_names_are_edited_now_and_then(world: World) -> None:
    table = world.graph(world.accounts[0].id).ads
    place = int(np.flatnonzero(table.renamed < _at(2030, 1, 1))[0])
    when = int(table.renamed[place])
    assert table.name(place, when - 1) == table.first_names[place]
    assert table.name(place, when) == table.second_names[place] != table.first_names[place]
    assert world.edits(world.accounts[0].id).updated_of("ad", place, when) == when
