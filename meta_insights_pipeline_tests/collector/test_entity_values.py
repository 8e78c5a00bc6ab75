"""From Meta's objects to rows: units, zones, and values of a wrong form."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import EntityRow, Recovered
from meta_insights_pipeline.collector.entity_values import UnreadableValueError, entity_row


def row_of(kind: EntityKind, currency: str = "EUR", **answer: Any) -> EntityRow:
    return entity_row(kind, answer, account_id="1", currency=currency)


def campaign(**answer: Any) -> EntityRow:
    return row_of(EntityKind.CAMPAIGNS, **answer)


@pytest.mark.parametrize(
    ("currency", "amount"), [("EUR", "1234.56"), ("JPY", "123456"), ("HUF", "123456"), ("", "1234.56")]
)
def test_budgets_become_major_units_of_the_currency(currency: str, amount: str) -> None:
    row = campaign(currency=currency, daily_budget="123456", budget_remaining=123456)
    assert row["daily_budget"] == Decimal(amount)
    assert row["budget_remaining"] == Decimal(amount)


@pytest.mark.parametrize("raw", ["0", 0, "", None])
def test_a_budget_of_nothing_is_no_budget(raw: Any) -> None:
    row = campaign(daily_budget=raw, lifetime_budget=raw)
    assert (row["daily_budget"], row["lifetime_budget"]) == (None, None)


def test_other_amounts_may_be_nothing() -> None:
    row = row_of(EntityKind.AD_ACCOUNTS, balance="0", spend_cap="0", amount_spent="0")
    assert [row[name] for name in ("balance", "spend_cap", "amount_spent")] == [Decimal(0)] * 3


def test_moments_become_utc() -> None:
    row = campaign(created_time="2026-11-01T09:15:00+0100", updated_time="2026-11-01T09:15:00-0330")
    assert row["created_time"] == datetime(2026, 11, 1, 8, 15, tzinfo=UTC)
    assert row["updated_time"] == datetime(2026, 11, 1, 12, 45, tzinfo=UTC)


@pytest.mark.parametrize("unset", ["1969-12-31T15:59:59-0800", "1970-01-01T01:00:00+0100"])
def test_the_beginning_of_unix_time_is_no_moment(unset: str) -> None:
    assert campaign(start_time=unset, stop_time=None)["start_time"] is None


def test_what_is_not_there_is_unknown() -> None:
    row = campaign(id="c1")
    assert row["campaign_id"] == "c1"
    assert row["stop_time"] is None
    assert row["special_ad_categories"] is None


def test_ids_are_text_however_they_come() -> None:
    assert campaign(id=120212345678901234)["campaign_id"] == "120212345678901234"


def test_equal_objects_are_equal_texts() -> None:
    one = row_of(EntityKind.ADSETS, targeting={"b": [1, 2], "a": {"y": Decimal("52.520008"), "x": "Köln"}})
    other = row_of(EntityKind.ADSETS, targeting={"a": {"x": "Köln", "y": Decimal("52.520008")}, "b": [1, 2]})
    assert one["targeting"] == other["targeting"] == '{"a":{"x":"Köln","y":52.520008},"b":[1,2]}'


def test_an_empty_list_is_not_unknown() -> None:
    assert campaign(special_ad_categories=[])["special_ad_categories"] == "[]"


def test_values_of_inner_objects_have_columns_of_their_own() -> None:
    account = row_of(EntityKind.AD_ACCOUNTS, business={"id": "9", "name": "Shop GmbH"})
    assert (account["business_id"], account["business_name"]) == ("9", "Shop GmbH")
    assert row_of(EntityKind.ADS, creative={"id": "k1"})["creative_id"] == "k1"
    assert row_of(EntityKind.ADS)["creative_id"] is None


@pytest.mark.parametrize(("number", "word"), [(1, "ACTIVE"), ("101", "CLOSED"), (77, "77")])
def test_the_state_of_an_account_is_a_number_and_a_word(number: Any, word: str) -> None:
    row = row_of(EntityKind.AD_ACCOUNTS, account_status=number)
    assert (row["account_status"], row["status"]) == (int(number), word)


@pytest.mark.parametrize(("raw", "hours"), [(5.5, "5.5"), (-3, "-3"), (Decimal("5.75"), "5.75")])
def test_an_offset_may_be_a_part_of_an_hour(raw: Any, hours: str) -> None:
    row = row_of(EntityKind.AD_ACCOUNTS, timezone_offset_hours_utc=raw)
    assert row["timezone_offset_hours_utc"] == Decimal(hours)


@pytest.mark.parametrize(("raw", "value"), [(True, True), ("false", False), (1, True)])
def test_a_truth_value_may_be_a_word_or_a_number(raw: Any, value: bool) -> None:
    assert row_of(EntityKind.AD_ACCOUNTS, is_prepay_account=raw)["is_prepay_account"] is value


def test_a_row_is_of_the_account_that_was_asked() -> None:
    assert campaign(account_id="999")["account_id"] == "1"


def test_what_is_deleted_says_so() -> None:
    assert campaign(status="PAUSED", effective_status="DELETED")["is_deleted"] is True
    assert campaign(effective_status="ARCHIVED")["is_deleted"] is False
    assert row_of(EntityKind.CREATIVES, status="DELETED")["is_deleted"] is True


def test_a_row_says_how_it_was_had() -> None:
    row = entity_row(EntityKind.ADS, {"id": "a"}, account_id="1", currency="EUR", recovered=Recovered.BY_ID)
    assert row["recovered"] == "by_id"
    assert campaign(id="c")["recovered"] is None


@pytest.mark.parametrize(
    ("kind", "field", "raw"),
    [
        (EntityKind.CAMPAIGNS, "daily_budget", "many"),
        (EntityKind.CAMPAIGNS, "created_time", "yesterday"),
        (EntityKind.CAMPAIGNS, "created_time", "2026-11-01T09:15:00"),
        (EntityKind.CAMPAIGNS, "name", {"text": "x"}),
        (EntityKind.AD_ACCOUNTS, "is_prepay_account", "perhaps"),
        (EntityKind.AD_ACCOUNTS, "account_status", "open"),
    ],
)
def test_a_value_of_a_wrong_form_is_named(kind: EntityKind, field: str, raw: Any) -> None:
    with pytest.raises(UnreadableValueError, match=field):
        row_of(kind, **{field: raw})


def test_every_column_of_the_table_gets_a_value_or_is_unknown() -> None:
    for kind in EntityKind:
        assert set(row_of(kind)) == {each.column for each in kind.attributes} | {"is_deleted", "recovered"}
