"""Pages hold every row once, whatever they are sorted by, and a cursor that is not ours is refused."""

import base64
import json
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.reading.listing import Order, SortKey
from meta_insights_pipeline_tests.read_api.random_books import fill
from meta_insights_pipeline_tests.read_api.reading_api import ReadingApi
from meta_insights_pipeline_tests.warehouse.mart_building import DAY, Books

PERIOD = {"date_from": str(DAY), "date_to": str(DAY)}


@pytest.fixture
def campaign(shop: Books) -> str:
    """A campaign with ad sets many of which are equal in something."""
    random = Random(1)
    shop.account("1")
    shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id="c", name="C")
    for number in range(17):
        name = random.choice([None, "", "Same", "same", f"Set {number}", "Ünï"])
        status = random.choice([None, "ACTIVE", "PAUSED"])
        shop.entity(EntityKind.ADSETS, "1", adset_id=f"s{number}", campaign_id="c", name=name, effective_status=status)
        if number % 4:
            numbers: dict[str, Any] = {
                each: random.choice([0, 0, 3, 7, 10**15]) for each in ("impressions", "clicks", "inline_link_clicks")
            }
            spend = random.choice([Decimal(0), Decimal("0.000001"), Decimal("12.4"), Decimal("123456789012.345678")])
            withheld = random.choice([None, None, "actions"])
            shop.fact(Level.ADSET, f"s{number}", campaign_id="c", spend=spend, withheld_fields=withheld, **numbers)
            if number % 3:
                shop.action(Level.ADSET, f"s{number}", "omni_purchase", random.randint(1, 3))
                shop.action(Level.ADSET, f"s{number}", "omni_purchase", Decimal("7.5"), field="action_values")
    return "c"


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("sort", SortKey)
def test_children_are_all_there_once_and_in_order_under_every_sort(
    api: ReadingApi, campaign: str, sort: SortKey, order: Order
) -> None:
    path = f"campaign/{campaign}"
    whole = api.get(path, sort=sort, order=order, limit=1000, **PERIOD)["children"]["items"]
    assert len(whole) == 17
    for limit in (3, 17):
        assert api.pages(path, "children", sort=sort, order=order, limit=limit, **PERIOD) == whole
    values = [comparable(row[sort.value]) for row in whole]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=order is Order.DESC)


def comparable(value: Any) -> Any:
    try:
        return Decimal(value) if isinstance(value, str) else value
    except ArithmeticError:
        return value.encode()


def test_lines_of_the_ledger_are_all_there_once(shop: Books, api: ReadingApi) -> None:
    fill(shop, Random(3), with_all=True)
    whole = api.get("reconciliation", limit=1000)["items"]
    assert len(whole) > 10
    for limit in (1, 5, len(whole)):
        assert api.pages("reconciliation", limit=limit) == whole
    unexplained = api.pages("reconciliation", limit=2, status=["unexplained", "incomplete"], level="ad")
    assert unexplained == [
        row for row in whole if row["status"] in ("unexplained", "incomplete") and row["level"] == "ad"
    ]


def test_recent_rows_go_on_behind_the_last_day_when_newer_ones_have_come(shop: Books, api: ReadingApi) -> None:
    for back in range(6):
        shop.fact(Level.AD, "a", DAY - timedelta(days=back), impressions=back)
    first = api.get("recent-insights/a", limit=2)
    shop.fact(Level.AD, "a", DAY + timedelta(days=1), impressions=99)
    rest = api.get("recent-insights/a", limit=10, cursor=first["next_cursor"])
    assert [row["impressions"] for row in first["items"] + rest["items"]] == [0, 1, 2, 3, 4, 5]
    assert rest["next_cursor"] is None


def test_recent_rows_are_found_however_old_they_are(shop: Books, api: ReadingApi) -> None:
    for back in (10, 70, 500, 650, 2000):
        shop.fact(Level.AD, "a", DAY - timedelta(days=back), impressions=back)
    for limit in (1, 2, 3, 9):
        assert [row["impressions"] for row in api.pages("recent-insights/a", limit=limit)] == [10, 70, 500, 650, 2000]


def made(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%%%",
        "é",
        made(),
        made("adset spend desc"),
        made("adset spend asc", "1", "1", "s1"),
        made("adset spend desc", 1, "1", "s1"),
        made("adset spend desc", "1' OR 1=1", "1", "s1"),
        made("adset spend desc", "1e400", "1", "s1"),
        made("adset spend desc", "1", None, "s1"),
        made("adset spend desc", ["1"], "1", "s1"),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_cursor_that_is_not_of_this_listing_is_refused(api: ReadingApi, campaign: str, cursor: str) -> None:
    where, sentence = api.refusal(f"campaign/{campaign}", cursor=cursor, **PERIOD)
    assert where == "query.cursor"
    assert "next_cursor" in sentence


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-13-01", "yesterday", 5, None])
def test_a_cursor_with_a_day_that_cannot_be_is_refused(shop: Books, api: ReadingApi, day: Any) -> None:
    shop.fact(Level.AD, "a")
    assert api.refusal("recent-insights/a", cursor=made("recent", day))[0] == "query.cursor"
