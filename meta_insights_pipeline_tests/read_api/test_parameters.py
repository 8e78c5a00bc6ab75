"""The parameters that routes share: what they mean, and what is said of those that cannot be used."""

from datetime import timedelta
from typing import Any

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.read_api.reading_api import NOW, ReadingApi
from meta_insights_pipeline_tests.warehouse.mart_building import Books

PATHS = ("overview", "account/1", "campaign/c", "adset/s", "ad/a", "recent-insights/a", "accounts", "reconciliation")
ATTACKS = (
    "' OR 1=1 --",
    "1; DROP TABLE ads",
    "$p0",
    "?",
    "%' OR '1'='1",
    "\"; ATTACH 'x' AS y; --",
    "read_csv('/etc/passwd')",
    "\x00",
    "\\",
    "{0}",
    "ﬀ𝕏😀",
    "${jndi}",
    "a" * 3000,
)


@pytest.fixture
def shop_with_rows(shop: Books) -> Books:
    shop.account("1", zone="UTC")
    shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id="c", name="Sale")
    shop.entity(EntityKind.ADSETS, "1", adset_id="s", campaign_id="c", name="Set")
    shop.entity(EntityKind.ADS, "1", ad_id="a", adset_id="s", campaign_id="c", name="Ad")
    shop.fact(Level.ACCOUNT, "1", spend=1)
    return shop


@pytest.mark.parametrize("path", [*PATHS, "search?q=x"])
@pytest.mark.parametrize(
    ("parameters", "where", "part"),
    [
        ({"as_of": "2026-11-03T15:30:01Z"}, "as_of", "future"),
        ({"as_of": "1999-12-31"}, "as_of", "before 2000-01-01"),
        ({"as_of": "0001-01-01T00:00:00+14:00"}, "as_of", "before 2000-01-01"),
        ({"as_of": "tomorrow"}, "as_of", "datetime"),
        ({"format": "xml"}, "format", "'csv'"),
    ],
)
def test_a_moment_or_a_form_that_cannot_be_used_is_told_by_name(
    api: ReadingApi, shop_with_rows: Books, path: str, parameters: dict[str, str], where: str, part: str
) -> None:
    name, _, text = path.partition("?q=")
    found = api.refusal(name, **parameters, **({"q": text} if text else {}))
    assert found[0] == f"query.{where}"
    assert part in found[1]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("parameters", "where", "part"),
    [
        ({"days": 0}, "days", "greater than or equal to 1"),
        ({"days": 1131}, "days", "less than or equal to 1130"),
        ({"days": "x"}, "days", "integer"),
        ({"days": 7, "date_to": "2026-11-01"}, "days", "not both"),
        ({"date_from": "2026-11-01"}, "date_to", "go together"),
        ({"date_to": "2026-11-01"}, "date_from", "go together"),
        ({"date_from": "2026-11-02", "date_to": "2026-11-01"}, "date_to", "before date_from"),
        ({"date_from": "2020-11-02", "date_to": "2026-11-01"}, "date_to", "1130 days at most"),
        ({"date_from": "0001-01-01", "date_to": "0001-01-02"}, "date_from", "between 2000-01-01"),
        ({"date_from": "2026-01-01", "date_to": "9999-12-31"}, "date_to", "between 2000-01-01"),
    ],
)
def test_days_that_cannot_be_used_are_told_by_name(
    api: ReadingApi, shop_with_rows: Books, path: str, parameters: dict[str, Any], where: str, part: str
) -> None:
    found = api.refusal(path, **parameters)
    assert found[0] == f"query.{where}"
    assert part in found[1]


def test_the_days_are_thirty_when_none_are_named_and_end_today(api: ReadingApi, shop_with_rows: Books) -> None:
    expected = {"date_from": "2026-10-05", "date_to": "2026-11-03", "days": 30}
    assert api.get("overview")["period"] == api.get("campaign/c")["period"] == expected
    assert api.get("overview", days=1)["period"] == {"date_from": "2026-11-03", "date_to": "2026-11-03", "days": 1}


def test_the_days_of_an_entity_end_with_the_day_of_its_own_account(api: ReadingApi, shop: Books) -> None:
    shop.account("1", zone="Pacific/Kiritimati")
    shop.account("2", zone="Pacific/Pago_Pago")
    shop.account("3", zone="Nowhere/Land")
    shop.entity(EntityKind.CAMPAIGNS, "2", campaign_id="c")
    assert api.get("account/1", days=1)["period"]["date_to"] == "2026-11-04"
    assert api.get("campaign/c", days=1)["period"]["date_to"] == "2026-11-03"
    assert api.get("account/3", days=1)["period"]["date_to"] == "2026-11-03"
    assert api.get("overview", days=1)["period"]["date_to"] == "2026-11-04"
    assert api.get("overview", days=1, account=["act_2", "3"])["period"]["date_to"] == "2026-11-03"


def test_with_as_of_the_days_end_with_the_day_that_it_was_then(api: ReadingApi, shop_with_rows: Books) -> None:
    content = api.get("overview", days=2, as_of="2026-11-02T23:00:00-05:00")
    assert content["as_of"] == "2026-11-03T04:00:00Z"
    assert content["period"] == {"date_from": "2026-11-02", "date_to": "2026-11-03", "days": 2}
    assert api.get("overview", days=1, as_of="2026-10-01T10:00:00")["as_of"] == "2026-10-01T10:00:00Z"
    assert api.get("overview", as_of=NOW.isoformat())["period"]["date_to"] == "2026-11-03"


def test_an_account_may_be_named_with_or_without_its_prefix(api: ReadingApi, shop_with_rows: Books) -> None:
    assert api.get("account/act_1")["id"] == api.get("account/1")["id"] == "1"
    assert api.get("overview", account="act_1") == api.get("overview", account="1")
    assert api.refusal("overview", account="x")[0] == "query.account"
    assert api.refusal("overview", account=["1"] * 1001)[0] == "query.account"


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_parameter_becomes_a_part_of_a_query(api: ReadingApi, shop_with_rows: Books, attack: str) -> None:
    names = (
        "days",
        "date_from",
        "date_to",
        "as_of",
        "account",
        "format",
        "part",
        "sort",
        "order",
        "limit",
        "cursor",
        "top",
    )
    for path in ("overview", "campaign/c", "recent-insights/a", "accounts", "reconciliation", "syncs"):
        for name in (*names, "status", "level"):
            response = api.ask(path, **{name: attack})
            assert response.status_code in (200, 422), (path, name, response.text)
            assert response.status_code == 200 or "' OR" not in response.text
    found = api.ask("search", q=attack)
    assert found.status_code == (422 if len(attack) > 200 else 200)
    assert found.status_code == 422 or found.json()["items"] == []
    for path in ("account", "campaign", "adset", "ad", "recent-insights"):
        assert api.ask(f"{path}/{quoted(attack)}").status_code in (404, 422)
    assert api.get("account/1")["summary"]["spend"] == "1"


def quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def test_a_search_takes_no_character_for_a_wildcard(api: ReadingApi, shop: Books) -> None:
    shop.account("1")
    for number, name in enumerate(["100% off", "100 off", "a_b", "aXb"]):
        shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id=f"c{number}", name=name)
    assert [row["name"] for row in api.get("search", q="0%")["items"]] == ["100% off"]
    assert [row["name"] for row in api.get("search", q="A_B")["items"]] == ["a_b"]


def test_a_search_finds_ids_and_names_of_every_level_the_best_first(api: ReadingApi, shop_with_rows: Books) -> None:
    shop = shop_with_rows
    shop.entity(EntityKind.ADS, "1", ad_id="123", adset_id="s", campaign_id="c", name="Other")
    shop.entity(EntityKind.ADS, "1", ad_id="1234", adset_id="s", campaign_id="c", name="123")
    shop.entity(EntityKind.ADS, "1", ad_id="5", adset_id="s", campaign_id="c", name="About 123")
    assert [row["id"] for row in api.get("search", q="123")["items"]] == ["123", "1234", "5"]
    (found,) = api.get("search", q="sET")["items"]
    assert found == {
        "level": "adset",
        "id": "s",
        "name": "Set",
        "account_id": "1",
        "campaign_id": "c",
        "adset_id": "s",
        "effective_status": None,
        "is_deleted": False,
    }
    assert next(row["level"] for row in api.get("search", q="act_1")["items"]) == "account"
    assert len(api.get("search", q="a", limit=1)["items"]) == 1


def test_days_that_lack_are_told_of_their_account(api: ReadingApi, shop_with_rows: Books) -> None:
    shop = shop_with_rows
    for back in (1, 2, 4):
        row = {
            "report": "ad_insights",
            "account_id": "1",
            "date_start": NOW.date() - timedelta(days=back),
            "noticed_at": NOW,
            "run_id": "run",
            "reason": "The limit is reached.",
            "retry_at": None,
            "kind": "deferred",
        }
        shop._insert("pipeline.missing", row)
    (freshness,) = api.get("overview")["freshness"]
    assert [(part["date_from"], part["date_to"]) for part in freshness["missing"]] == [
        ("2026-10-30", "2026-10-30"),
        ("2026-11-01", "2026-11-02"),
    ]
    assert freshness["newest_day"] is None
    assert freshness["is_final"] is False
