"""Accounts, structure edges and objects by id."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from facebook_business.adobjects.ad import Ad
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adcreative import AdCreative
from facebook_business.adobjects.adset import AdSet
from facebook_business.adobjects.campaign import Campaign

from meta_insights_pipeline.simulator import Account, World
from meta_insights_pipeline.simulator.object_fields import OBJECT_FIELDS
from meta_insights_pipeline.simulator.structure import ARCHIVED, DELETED
from meta_insights_pipeline_tests.simulator.support import NOW, Api, api

EDGES = {"campaigns": "campaign", "adsets": "adset", "ads": "ad"}


def _expected(world: World, account: Account, level: str, hidden: tuple[int, ...]) -> list[str]:
    graph, at = world.graph(account.id), int(NOW.timestamp())
    table = graph.table(level)
    mask = table.existing(at) & ~np.isin(graph.effective_status(level, at), hidden)
    return [table.ids[place] for place in np.flatnonzero(mask).tolist()]


def test_the_token_sees_every_account_page_by_page(world: World, graph: Api) -> None:
    rows = graph.rows("me/adaccounts", fields="account_id,name,currency,timezone_name,account_status", limit=3)
    assert [row["account_id"] for row in rows] == [account.id for account in world.accounts]
    assert rows[2] == {
        "account_id": world.accounts[2].id,
        "name": world.accounts[2].name,
        "currency": "JPY",
        "timezone_name": "Asia/Tokyo",
        "account_status": 1,
        "id": f"act_{world.accounts[2].id}",
    }
    assert graph.get("me/adaccounts", limit=1)["data"] == [{"account_id": rows[0]["account_id"], "id": rows[0]["id"]}]


def test_an_account_tells_its_own_offset_of_today(world: World) -> None:
    with api(world, datetime(2026, 7, 1, tzinfo=UTC)) as graph:
        summer = graph.get(f"act_{world.accounts[0].id}", fields="timezone_offset_hours_utc")
    with api(World(type(world.spec)(accounts=5)), NOW) as graph:
        india = graph.get(f"act_{graph.simulator.world.accounts[4].id}", fields="timezone_offset_hours_utc,currency")
    assert summer["timezone_offset_hours_utc"] == -4
    assert india["timezone_offset_hours_utc"] == 5.5
    assert india["currency"] == "INR"


def test_the_amount_spent_is_the_sum_of_all_insights(world: World, graph: Api) -> None:
    for account, unit in ((world.accounts[0], 100), (world.accounts[2], 1)):
        told = graph.get(f"act_{account.id}", fields="amount_spent")["amount_spent"]
        with api(world, datetime(2022, 3, 1, tzinfo=UTC)) as early:
            (row,) = early.rows(f"act_{account.id}/insights", date_preset="maximum", fields="spend")
            then = early.get(f"act_{account.id}", fields="amount_spent")["amount_spent"]
        assert int(then) == round(float(row["spend"]) * unit)
        assert int(told) > int(then)


@pytest.mark.parametrize("edge", EDGES)
def test_edges_hide_what_is_archived_or_deleted(world: World, graph: Api, account: Account, edge: str) -> None:
    rows = graph.rows(f"act_{account.id}/{edge}", fields="id,effective_status", limit=100)
    assert [row["id"] for row in rows] == _expected(world, account, EDGES[edge], (ARCHIVED, DELETED))
    assert not {row["effective_status"] for row in rows} & {"ARCHIVED", "DELETED"}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_show_what_is_archived_when_asked_and_never_what_is_deleted(
    world: World, graph: Api, account: Account, edge: str
) -> None:
    level = EDGES[edge]
    archived = graph.rows(
        f"act_{account.id}/{edge}", fields="effective_status", effective_status=["ARCHIVED", "DELETED"]
    )
    assert {row["effective_status"] for row in archived} == {"ARCHIVED"}
    condition = {"field": f"{level}.effective_status", "operator": "NOT_IN", "value": ["NONE"]}
    everything = graph.rows(f"act_{account.id}/{edge}", filtering=[condition], limit=500)
    assert [row["id"] for row in everything] == _expected(world, account, level, (DELETED,))
    info = {"field": f"{level}.delivery_info", "operator": "IN", "value": ["archived"]}
    assert graph.rows(f"act_{account.id}/{edge}", filtering=[info], fields="effective_status") == archived


def test_edges_list_what_was_updated_since(world: World, graph: Api, account: Account) -> None:
    since = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
    condition = {"field": "ad.updated_time", "operator": "GREATER_THAN", "value": since}
    rows = graph.rows(f"act_{account.id}/ads", filtering=[condition], fields="updated_time", limit=100)
    everything = graph.rows(f"act_{account.id}/ads", fields="updated_time", limit=100)
    assert rows == [row for row in everything if datetime.fromisoformat(row["updated_time"]).timestamp() > since]
    assert 0 < len(rows) < len(everything)


def test_edges_take_filters_on_ids_and_names(graph: Api, account: Account) -> None:
    ids = [row["id"] for row in graph.get(f"act_{account.id}/ads", limit=3)["data"]]
    condition = {"field": "id", "operator": "IN", "value": ids}
    assert [row["id"] for row in graph.rows(f"act_{account.id}/ads", filtering=[condition])] == ids
    named = {"field": "campaign.name", "operator": "CONTAIN", "value": "Always on"}
    assert len(graph.rows(f"act_{account.id}/campaigns", filtering=[named])) == 4
    assert graph.error(f"act_{account.id}/ads", filtering=[named])["code"] == 100


def test_edges_of_parents_list_their_children(world: World, graph: Api, account: Account) -> None:
    campaign = graph.get(f"act_{account.id}/campaigns", limit=1)["data"][0]["id"]
    adsets = graph.rows(f"{campaign}/adsets", fields="campaign_id,campaign{name}")
    assert adsets
    assert {row["campaign_id"] for row in adsets} == {campaign}
    by_campaign = graph.rows(f"{campaign}/ads", fields="adset_id", limit=200)
    by_adset = [row for adset in adsets for row in graph.rows(f"{adset['id']}/ads", fields="adset_id", limit=200)]
    assert by_campaign == by_adset
    assert len(graph.rows(f"{by_campaign[0]['id']}/adcreatives")) == 1


def test_edges_count_when_asked(graph: Api, account: Account) -> None:
    page = graph.get(f"act_{account.id}/ads", summary=True, limit=1)
    assert page["summary"] == {"total_count": len(graph.rows(f"act_{account.id}/ads", limit=500))}
    assert "summary" not in graph.get(f"act_{account.id}/ads", limit=1)


def test_edges_page_back_and_forth(graph: Api, account: Account) -> None:
    first = graph.get(f"act_{account.id}/ads", limit=10)
    second = graph.session.get(first["paging"]["next"]).json()
    back = graph.session.get(second["paging"]["previous"]).json()
    assert back["data"] == first["data"]
    assert not {row["id"] for row in first["data"]} & {row["id"] for row in second["data"]}
    assert graph.error(f"act_{account.id}/ads", after="!")["code"] == 2642


def test_objects_can_be_read_by_id_even_when_deleted(world: World, graph: Api, account: Account) -> None:
    tree, at = world.graph(account.id), int(NOW.timestamp())
    for level in ("campaign", "adset", "ad"):
        gone = np.flatnonzero((tree.effective_status(level, at) == DELETED) & tree.table(level).existing(at))
        ident = tree.table(level).ids[int(gone[0])]
        read = graph.get(ident, fields="id,name,effective_status,account_id,created_time,updated_time")
        assert read["effective_status"] == "DELETED"
        assert read["account_id"] == account.id
        assert read["created_time"][-5:] in {"-0400", "-0500"}
        assert read["updated_time"] >= read["created_time"]


def test_creatives_belong_to_ads(graph: Api, account: Account) -> None:
    ad = graph.get(f"act_{account.id}/ads", fields="name,creative{id,name,object_type}", limit=1)["data"][0]
    creative = graph.get(ad["creative"]["id"], fields="name,object_type,body")
    assert creative["name"] == ad["creative"]["name"]
    assert creative["object_type"] == ad["creative"]["object_type"]
    assert graph.rows(f"{ad['id']}/adcreatives", fields="name") == [{"name": creative["name"], "id": creative["id"]}]
    listed = graph.rows(f"act_{account.id}/adcreatives", fields="name", limit=500)
    assert {"name": creative["name"], "id": creative["id"]} in listed


def test_creatives_of_an_ad_set_are_those_of_its_ads(graph: Api, account: Account) -> None:
    adset = graph.get(f"act_{account.id}/adsets", limit=1)["data"][0]["id"]
    status = ["ACTIVE", "PAUSED", "ARCHIVED", "ADSET_PAUSED", "CAMPAIGN_PAUSED"]
    ads = graph.rows(f"{adset}/ads", fields="creative", effective_status=status, limit=500)
    creatives = {row["id"] for row in graph.rows(f"{adset}/adcreatives", limit=500)}
    assert creatives
    assert creatives <= {ad["creative"]["id"] for ad in ads} | {
        row["id"] for row in graph.rows(f"act_{account.id}/adcreatives", limit=500)
    }


@pytest.mark.parametrize("edge", ["campaigns", "ads", "insights"])
def test_objects_have_no_edges_to_what_does_not_belong_to_them(graph: Api, account: Account, edge: str) -> None:
    ad = graph.get(f"act_{account.id}/ads", fields="creative", limit=1)["data"][0]
    node = ad["creative"]["id"] if edge == "insights" else ad["id"]
    error = graph.error(f"{node}/{edge}")
    assert (error["code"], error["status"]) == (100, 400)
    assert f"nonexisting field ({edge})" in error["message"]


def test_fields_are_those_of_metas_sdk() -> None:
    for level, node in (("account", AdAccount), ("campaign", Campaign), ("adset", AdSet), ("ad", Ad)):
        assert OBJECT_FIELDS[level] == _names(node), level
    assert OBJECT_FIELDS["creative"] == _names(AdCreative)


def _names(node: Any) -> set[str]:
    return {value for name, value in vars(node.Field).items() if not name.startswith("_")}


@pytest.mark.parametrize(
    ("path", "node"),
    [
        ("act_{account}", "AdAccount"),
        ("act_{account}/campaigns", "Campaign"),
        ("act_{account}/ads", "Ad"),
        ("act_{account}/adcreatives", "AdCreative"),
    ],
)
def test_unknown_fields_of_objects_are_refused(graph: Api, account: Account, path: str, node: str) -> None:
    error = graph.error(path.format(account=account.id), fields="id,colour")
    assert error["code"] == 100
    assert error["message"] == f"(#100) Tried accessing nonexisting field (colour) on node type ({node})"
    # Creatives have no times at Meta.
    if node == "AdCreative":
        assert graph.error(path.format(account=account.id), fields="updated_time")["code"] == 100


@pytest.mark.parametrize(
    ("params", "code"),
    [({"effective_status": ["SLEEPING"]}, 100), ({"limit": "-1"}, 100), ({"filtering": "x"}, 100)],
)
def test_bad_parameters_of_edges_are_refused(graph: Api, account: Account, params: dict[str, Any], code: int) -> None:
    assert graph.error(f"act_{account.id}/ads", **params)["code"] == code


def test_fields_without_data_are_left_out(graph: Api, account: Account) -> None:
    (row,) = graph.get(f"act_{account.id}/campaigns", fields="id,stop_time,objective", limit=1)["data"]
    assert set(row) == {"id", "objective"}
