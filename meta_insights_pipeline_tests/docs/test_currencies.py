"""No query of the documents adds up money of different currencies, or the same money twice."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from meta_insights_pipeline_tests.check_docs import ROOT
from meta_insights_pipeline_tests.docs.blocks import Block, all_blocks
from meta_insights_pipeline_tests.warehouse.mart_building import DAY, NOON, Books, books
from meta_insights_pipeline_tests.warehouse.worlds_of_money import CURRENCIES, is_of_one_currency, worlds_of_money

QUERIES = [block for block in all_blocks(ROOT) if block.language == "sql"]


@pytest.fixture(scope="module")
def world() -> Iterator[Books]:
    with books() as found:
        worlds_of_money(found)
        found.write()
        yield found


def answer(world: Books, block: Block) -> list[tuple[Any, ...]]:
    """The rows of a query a few days after those of the world."""
    text = block.text.replace("current_date", f"DATE '{DAY + timedelta(days=4)}'")
    return world.connection.execute(text).fetchall()


def test_the_query_of_what_there_is_would_be_noticed(world: Books) -> None:
    careless = Block(
        "a.md", 1, "sql", "SELECT field, sum(value) FROM insight_actions WHERE level = 'account' GROUP BY ALL"
    )
    assert not all(is_of_one_currency(total) for _, total in answer(world, careless))


@pytest.mark.parametrize("block", QUERIES, ids=str)
def test_without_entities_no_query_adds_up_currencies(world: Books, block: Block) -> None:
    for row in answer(world, block):
        for value in row:
            assert not isinstance(value, Decimal) or is_of_one_currency(value), row


def test_the_query_on_fivetrans_tables_counts_spend_once_however_often_an_account_has_changed() -> None:
    (block,) = (block for block in QUERIES if "fivetran_compat.account_history" in block.text)
    with books() as world:
        worlds_of_money(world)
        for account, (currency, _) in CURRENCIES.items():
            world.account(account, currency)
        world.write()
        before = f"TIMESTAMP '{NOON - timedelta(days=1):%Y-%m-%d %H:%M:%S}'"
        world.connection.execute(
            f"INSERT INTO ad_accounts_history SELECT * REPLACE ('Old name' AS name, {before} AS last_seen_at), last_seen_at "
            "FROM ad_accounts"
        )
        shown = [(row[1], row[3]) for row in answer(world, block) if row[0] == DAY]
    assert sorted(shown) == sorted((f"Shop {account}", unit) for account, (_, unit) in CURRENCIES.items())
