"""Answers about accounts of which no entities are stored: currency and time zone are those that a sync has found."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.reading.account_freshness import freshness
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.conversions import conversions
from meta_insights_pipeline.warehouse.reading.figures import Chosen
from meta_insights_pipeline.warehouse.reading.listing import Sorting, accounts, listing
from meta_insights_pipeline.warehouse.reading.overview import totals
from meta_insights_pipeline.warehouse.reading.period import Period
from meta_insights_pipeline.warehouse.reading.reference import Account, read_reference
from meta_insights_pipeline.warehouse.reading.statement import Query
from meta_insights_pipeline_tests.warehouse.mart_building import DAY, Books, books

EVERYTHING = View(None)
PERIOD = Period(DAY, DAY)
# The accounts' day is 29 days old by one of their clocks, and 28 by the other.
COLLECTED = datetime(2026, 11, 29, 20, tzinfo=UTC)


@dataclass
class Reading:
    """A warehouse in memory as what answers are read from."""

    shop: Books
    identity: str = "file"

    def rows(self, sql: str, parameters: Mapping[str, Any], /) -> list[tuple[Any, ...]]:
        return self.shop.connection.execute(sql, dict(parameters) or None).fetchall()

    def arrow(self, sql: str, parameters: Mapping[str, Any], /) -> pa.RecordBatchReader:
        raise NotImplementedError

    def ask(self, query: Query, *names: str) -> list[tuple[Any, ...]]:
        """Some columns of an answer."""
        return [tuple(record[name] for name in names) for record in query.records(self)]


@pytest.fixture
def reading() -> Iterator[Reading]:
    """Two accounts with rows that do not say their currency."""
    with books() as shop:
        for account, currency, zone in (("1", "EUR", "Asia/Tokyo"), ("2", "JPY", "America/New_York")):
            shop.found(account, currency, zone)
            shop.fact(Level.ACCOUNT, account, account_id=account, account_currency=None, spend=10)
            shop.action(Level.ACCOUNT, account, "omni_purchase", 7, account_id=account, field="action_values")
            shop.collected(Level.ACCOUNT, DAY, COLLECTED, account_id=account)
        shop.write()
        yield Reading(shop)


def test_currencies_are_not_added_up(reading: Reading) -> None:
    reference = read_reference(reading)
    shown = reading.ask(totals(EVERYTHING, reference, PERIOD), "account_currency", "spend", "purchase_value")
    assert shown == [("EUR", "10", "7"), ("JPY", "10", "7")]
    values = conversions(EVERYTHING, reference, Chosen(Level.ACCOUNT, PERIOD))
    assert reading.ask(values, "account_currency", "value") == [("EUR", "7"), ("JPY", "7")]


def test_accounts_are_listed_with_currency_and_zone_and_their_days_are_final_by_their_own_clock(
    reading: Reading,
) -> None:
    reference = read_reference(reading)
    assert reference.accounts == {
        "1": Account("1", "Asia/Tokyo", "EUR"),
        "2": Account("2", "America/New_York", "JPY"),
    }
    listed = listing(EVERYTHING, reference, accounts(PERIOD), Sorting())
    assert sorted(reading.ask(listed, "id", "account_currency", "timezone_name", "is_final")) == [
        ("1", "EUR", "Asia/Tokyo", True),
        ("2", "JPY", "America/New_York", False),
    ]
    fresh = freshness(EVERYTHING, reference, PERIOD)
    assert reading.ask(fresh, "account_id", "account_name", "timezone_name", "is_final") == [
        ("1", "Shop 1", "Asia/Tokyo", True),
        ("2", "Shop 2", "America/New_York", False),
    ]


def test_a_file_of_a_program_without_the_book_is_read_by_its_entities(reading: Reading) -> None:
    shop = reading.shop
    shop.account("1", "EUR", "Asia/Tokyo")
    shop.write()
    # What reads the view goes with it in such a file.
    shop.connection.execute("DROP VIEW known_accounts")
    reference = read_reference(reading)
    assert reference.accounts == {"1": Account("1", "Asia/Tokyo", "EUR")}
    shown = reading.ask(totals(EVERYTHING, reference, PERIOD), "account_currency", "spend")
    assert shown == [("EUR", "10"), (None, "10")]


def test_the_view_is_joined_only_where_entities_lack_something(reading: Reading) -> None:
    assert read_reference(reading).accounts_table == "known_accounts"
    for account, currency, zone in (("1", "EUR", "Asia/Tokyo"), ("2", "JPY", "America/New_York")):
        reading.shop.account(account, currency, zone)
    reading.shop.write()
    assert read_reference(reading).accounts_table == "ad_accounts"
