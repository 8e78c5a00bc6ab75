"""What was collected is told apart from what was not: periods are compared like with like, and 0 is only what is known to be."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.read_api.reading_api import NOW, ReadingApi
from meta_insights_pipeline_tests.warehouse.mart_building import Books

TODAY = NOW.date()
EVENING = datetime(2026, 11, 3, 20, tzinfo=UTC)
Row = dict[str, Any]


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def collect(
    shop: Books, backs: range, *, account_id: str = "1", level: Level = Level.ACCOUNT, at: datetime = NOW
) -> None:
    for back in backs:
        shop.collected(level, ago(back), at, account_id=account_id)


def spend(
    shop: Books, amounts: dict[int, str], *, account_id: str = "1", level: Level = Level.ACCOUNT, **ids: str
) -> None:
    """So much on the day so many days ago; the day is collected."""
    entity_id = ids.pop(level.id_field, account_id)
    for back, amount in amounts.items():
        shop.fact(level, entity_id, ago(back), account_id=account_id, spend=Decimal(amount), **ids)


def only_currency(content: Row) -> Row:
    (entry,) = content["currencies"]
    assert isinstance(entry, dict)
    return entry


# ---- comparing periods ----


def test_a_period_is_not_compared_with_days_that_were_never_collected(shop: Books, api: ReadingApi) -> None:
    # As after `sync --days-back 7`: eight days, of which the last two of the previous period.
    shop.account("1")
    collect(shop, range(8))
    spend(shop, dict.fromkeys(range(8), "10"))
    content = api.get("overview", days=6)
    entry = only_currency(content)
    assert (entry["totals"]["collected_days"], entry["totals"]["account_days"], entry["totals"]["is_whole"]) == (
        6,
        6,
        True,
    )
    assert (entry["previous"]["collected_days"], entry["previous"]["is_whole"]) == (2, False)
    assert entry["previous"]["spend"] == "20"
    assert entry["change"] is None
    assert "EUR" in content["notes"]["previous"]


def test_days_that_are_over_are_compared_with_those_that_stand_in_their_place(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    collect(shop, range(6))
    # Today has the crumbs of a morning.
    spend(shop, {0: "1", 1: "20", 2: "20", 3: "500", 4: "10", 5: "10"})
    content = api.get("overview", days=3)
    entry = only_currency(content)
    assert content["compared_days"] == 2
    assert (entry["totals"]["spend"], entry["previous"]["spend"]) == ("41", "520")
    assert entry["change"]["spend"] == {"absolute": "20", "relative": 1.0}
    assert "(2)" in content["notes"]["change"]
    assert "previous" not in content["notes"]


def test_a_period_that_is_over_is_compared_whole(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    collect(shop, range(1, 5))
    spend(shop, {1: "20", 2: "20", 3: "10", 4: "30"})
    content = api.get("overview", date_from=str(ago(2)), date_to=str(ago(1)))
    assert content["compared_days"] == 2
    assert only_currency(content)["change"]["spend"] == {"absolute": "0", "relative": 0.0}
    assert "change" not in content["notes"]


def test_today_alone_is_compared_with_nothing(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    collect(shop, range(3))
    spend(shop, {0: "1", 1: "20"})
    content = api.get("overview", days=1)
    assert content["compared_days"] == 0
    assert only_currency(content)["change"] is None
    assert "over" in content["notes"]["previous"]


def test_an_account_that_lacks_in_both_periods_does_not_hinder_the_others(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    shop.account("2")
    collect(shop, range(4))
    spend(shop, {1: "20", 3: "10"})
    assert only_currency(api.get("overview", days=2))["change"]["spend"]["absolute"] == "10"
    # It was not asked for, so its days are not among those that could have been collected.
    assert only_currency(api.get("overview", days=2))["totals"]["account_days"] == 2
    for back in range(2):
        shop._insert(
            "pipeline.missing",
            {
                "report": "account_insights",
                "account_id": "2",
                "date_start": ago(back),
                "noticed_at": NOW,
                "run_id": "run",
                "reason": "Closed.",
                "kind": "refused",
            },
        )
    content = api.get("overview", days=2)
    assert (only_currency(content)["totals"]["account_days"], only_currency(content)["totals"]["is_whole"]) == (
        4,
        False,
    )
    assert only_currency(content)["change"]["spend"]["absolute"] == "10"


def test_an_account_that_was_collected_in_one_period_alone_makes_both_unlike(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    shop.account("2")
    shop.account("3", "JPY")
    collect(shop, range(4))
    collect(shop, range(2), account_id="2")
    collect(shop, range(4), account_id="3")
    spend(shop, {1: "20", 3: "10"})
    content = api.get("overview", days=2)
    change = {entry["account_currency"]: entry["change"] for entry in content["currencies"]}
    assert change["EUR"] is None
    assert change["JPY"]["spend"] == {"absolute": "0", "relative": None}
    assert "EUR" in content["notes"]["previous"]
    assert "JPY" not in content["notes"]["previous"]


def test_with_as_of_a_day_that_had_rows_had_been_collected(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    # All were collected again since.
    collect(shop, range(1, 5), at=NOW)
    for back in range(1, 5):
        shop.fact(Level.ACCOUNT, "1", ago(back), spend=back, changed_at=datetime(2026, 11, 3, 1, tzinfo=UTC))
    period = {"date_from": str(ago(2)), "date_to": str(ago(1)), "as_of": "2026-11-03T12:00:00Z"}
    assert only_currency(api.get("overview", **period))["totals"]["collected_days"] == 2
    assert only_currency(api.get("overview", **period))["change"]["spend"]["absolute"] == "-4"


# ---- nothing delivered ----


def test_who_delivered_nothing_on_days_that_were_all_collected_has_zeros(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id="c", status="PAUSED")
    shop.entity(EntityKind.ADSETS, "1", adset_id="s", campaign_id="c", status="PAUSED")
    for level in (Level.ACCOUNT, Level.CAMPAIGN, Level.ADSET):
        collect(shop, range(7), level=level)
    for path in ("account/1", "campaign/c", "adset/s"):
        summary = api.get(path, days=7)["summary"]
        assert summary["spend"] == summary["purchases"] == summary["purchase_value"] == "0"
        assert summary["impressions"] == summary["clicks"] == summary["inline_link_clicks"] == 0
        assert (summary["days"], summary["collected_days"]) == (0, 7)
        assert summary["ctr"] is summary["roas"] is summary["reach"] is summary["is_final"] is None
    (child,) = api.get("account/1", days=7)["children"]["items"]
    assert (child["spend"], child["collected_days"]) == ("0", 7)
    (account,) = api.get("accounts", days=7)["items"]
    assert (account["spend"], account["collected_days"]) == ("0", 7)
    totals = only_currency(api.get("overview", days=7))["totals"]
    assert (totals["spend"], totals["accounts"], totals["collected_days"]) == ("0", 0, 7)


def test_a_single_day_that_was_not_collected_leaves_it_unknown(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id="c")
    for level in (Level.ACCOUNT, Level.CAMPAIGN):
        collect(shop, range(6), level=level)
    for path in ("account/1", "campaign/c"):
        summary = api.get(path, days=7)["summary"]
        assert (summary["spend"], summary["impressions"], summary["collected_days"]) == (None, None, 6)
    assert api.get("accounts", days=7)["items"][0]["spend"] is None
    totals = only_currency(api.get("overview", days=7))["totals"]
    assert (totals["spend"], totals["collected_days"], totals["is_whole"]) == (None, 6, False)
    assert api.get("campaign/c", days=6)["summary"]["spend"] == "0"


def test_the_days_of_another_level_do_not_count(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id="c")
    collect(shop, range(2), level=Level.ACCOUNT)
    content = api.get("account/1", days=2)
    assert content["summary"]["spend"] == "0"
    assert content["children"]["items"][0]["spend"] is None
    assert api.get("campaign/c", days=2)["summary"]["collected_days"] == 0


def test_zeros_are_sorted_as_numbers_and_pages_go_through_them(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    for number in range(5):
        shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id=f"c{number}")
    collect(shop, range(2), level=Level.CAMPAIGN)
    spend(shop, {0: "5"}, level=Level.CAMPAIGN, campaign_id="c3")
    for order, expected in (("asc", ["c0", "c1", "c2", "c4", "c3"]), ("desc", ["c3", "c0", "c1", "c2", "c4"])):
        rows = api.pages("account/1", "children", days=2, sort="spend", order=order, limit=2)
        assert [row["id"] for row in rows] == expected


# ---- where it is another day ----


@pytest.fixture
def two_zones(shop: Books) -> Books:
    """It is Tuesday evening in UTC and in Los Angeles, and Wednesday already in Sydney."""
    shop.account("1", "USD", "America/Los_Angeles")
    shop.account("2", "AUD", "Australia/Sydney")
    collect(shop, range(4), account_id="1")
    collect(shop, range(-1, 3), account_id="2")
    spend(shop, {0: "1", 1: "10", 2: "100", 3: "1000"}, account_id="1", account_currency="USD")
    spend(shop, {-1: "2", 0: "20", 1: "200", 2: "2000"}, account_id="2", account_currency="AUD")
    return shop


def test_each_account_has_as_many_days_by_its_own_clock(two_zones: Books, api: ReadingApi) -> None:
    api.clock.sleep((EVENING - NOW).total_seconds())
    content = api.get("overview", days=1)
    totals = {entry["account_currency"]: entry["totals"] for entry in content["currencies"]}
    assert {name: row["spend"] for name, row in totals.items()} == {"USD": "1", "AUD": "2"}
    assert {name: (row["date_from"], row["date_to"]) for name, row in totals.items()} == {
        "USD": ("2026-11-03", "2026-11-03"),
        "AUD": ("2026-11-04", "2026-11-04"),
    }
    assert content["period"] == {"date_from": "2026-11-03", "date_to": "2026-11-04", "days": 1}
    assert "2026-11-04" in content["notes"]["period"]
    assert {row["account_id"]: row["date_to"] for row in content["freshness"]} == {"1": "2026-11-03", "2": "2026-11-04"}
    assert all(row["collected_days"] == 1 for row in content["freshness"])
    # Together with another account, one has the days that it has alone.
    for account_id, currency in (("1", "USD"), ("2", "AUD")):
        alone = only_currency(api.get("overview", days=2, account=account_id))
        beside = next(
            entry for entry in api.get("overview", days=2)["currencies"] if entry["account_currency"] == currency
        )
        assert alone == beside
        assert api.get(f"account/{account_id}", days=2)["summary"]["spend"] == beside["totals"]["spend"]


def test_the_change_is_by_each_accounts_own_clock(two_zones: Books, api: ReadingApi) -> None:
    api.clock.sleep((EVENING - NOW).total_seconds())
    content = api.get("overview", days=2)
    change = {entry["account_currency"]: entry["change"]["spend"]["absolute"] for entry in content["currencies"]}
    assert content["compared_days"] == 1
    assert change == {"USD": "-990", "AUD": "-1980"}
    previous = {entry["account_currency"]: entry["previous"]["spend"] for entry in content["currencies"]}
    assert previous == {"USD": "1100", "AUD": "2200"}


def test_named_days_are_the_same_everywhere_and_today_is_left_out_where_it_is_not_over(
    two_zones: Books, api: ReadingApi
) -> None:
    api.clock.sleep((EVENING - NOW).total_seconds())
    content = api.get("overview", date_from="2026-11-02", date_to="2026-11-03")
    assert content["period"] == {"date_from": "2026-11-02", "date_to": "2026-11-03", "days": 2}
    assert "period" not in content["notes"]
    change = {entry["account_currency"]: entry["change"] for entry in content["currencies"]}
    # In Sydney both days are over, and one of those before was not collected.
    assert change["USD"]["spend"]["absolute"] == "-990"
    assert change["AUD"] is None


def test_lists_and_tables_go_by_each_accounts_own_clock(two_zones: Books, api: ReadingApi) -> None:
    api.clock.sleep((EVENING - NOW).total_seconds())
    rows = {row["id"]: row for row in api.get("accounts", days=1)["items"]}
    assert {
        name: (row["spend"], row["date_from"], row["date_to"], row["collected_days"]) for name, row in rows.items()
    } == {
        "1": ("1", "2026-11-03", "2026-11-03", 1),
        "2": ("2", "2026-11-04", "2026-11-04", 1),
    }
    lines = api.ask("overview", days=1, format="csv", part="daily").text.splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["AUD", "2026-11-04"], ["USD", "2026-11-03"]]
    for account_id in ("1", "2"):
        for day in (date(2026, 11, 3), date(2026, 11, 4)):
            two_zones._insert(
                "reconciliation",
                {
                    "account_id": account_id,
                    "date_start": day,
                    "level": "ad",
                    "metric": "spend",
                    "status": "equal",
                    "checked_at": NOW,
                    "run_id": "run",
                },
            )
    content = api.get("reconciliation", days=1)
    assert [(row["account_id"], row["date_start"]) for row in content["items"]] == [
        ("2", "2026-11-04"),
        ("1", "2026-11-03"),
    ]
    assert "2026-11-04" in content["notes"]["period"]


def test_where_the_zone_is_not_known_it_is_the_day_in_utc(shop: Books, api: ReadingApi) -> None:
    api.clock.sleep((EVENING - NOW).total_seconds())
    shop.account("2", "AUD", "Australia/Sydney")
    shop.account("3", "EUR", "Nowhere/Land")
    spend(shop, {0: "3"}, account_id="3")
    spend(shop, {-1: "2"}, account_id="2", account_currency="AUD")
    content = api.get("overview", days=1)
    assert [entry["totals"]["spend"] for entry in content["currencies"]] == ["2", "3"]
    assert content["period"] == {"date_from": "2026-11-03", "date_to": "2026-11-04", "days": 1}


# ---- notes ----


def test_a_reach_that_meta_left_out_is_explained(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    shop.fact(Level.ACCOUNT, "1", ago(1), reach=7)
    day = {"date_from": str(ago(1)), "date_to": str(ago(1))}
    paths = ("overview", "account/1", "accounts", "recent-insights/1")
    for path in paths:
        assert "reach" not in api.get(path, **day)["notes"], path
    shop.fact(Level.ACCOUNT, "1", ago(2), reach=None)
    day = {"date_from": str(ago(2)), "date_to": str(ago(2))}
    for path in paths:
        assert "Meta left it out" in api.get(path, **day)["notes"]["reach"], path
        assert "several days" not in api.get(path, **day)["notes"]["reach"], path
    for path in ("overview", "account/1", "accounts"):
        assert "several days" in api.get(path, days=3)["notes"]["reach"], path


def test_what_as_of_cannot_show_is_said_of_every_answer_that_has_it(shop: Books, api: ReadingApi) -> None:
    shop.account("1")
    shop.fact(Level.ACCOUNT, "1", ago(1))
    for path in ("overview", "account/1", "accounts", "recent-insights/1", "reconciliation"):
        assert "as_of" not in api.get(path)["notes"]
        assert "again since" in api.get(path, as_of=NOW.isoformat())["notes"]["as_of"], path
