"""Views follow the program: they are made where they are missing or out of date, and stored rows stay as they are."""

from collections.abc import Iterator

import duckdb
import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.schema import create_schema_statements
from meta_insights_pipeline.warehouse.views import view_statements, views_are_current
from meta_insights_pipeline_tests.warehouse.mart_building import DATABASE, Books


@pytest.fixture
def shop() -> Iterator[Books]:
    """A warehouse that an earlier program made, which had no views."""
    with duckdb.connect(f":{DATABASE}:") as connection:
        run(connection, create_schema_statements(DATABASE))
        yield Books(connection)


def run(connection: duckdb.DuckDBPyConnection, statements: list[str]) -> None:
    connection.execute("BEGIN")
    for statement in statements:
        connection.execute(statement)
    connection.execute("COMMIT")


def test_a_warehouse_without_views_gets_them_and_keeps_its_rows(shop: Books) -> None:
    shop.fact(Level.CAMPAIGN, "c", spend=3)
    shop.write()
    assert not views_are_current(shop.connection, DATABASE)
    run(shop.connection, view_statements(DATABASE))
    assert views_are_current(shop.connection, DATABASE)
    assert shop.one("SELECT spend FROM campaign_report") == {"spend": 3}


def test_views_of_another_program_are_made_again_and_the_choice_of_conversions_stays(shop: Books) -> None:
    run(shop.connection, view_statements(DATABASE))
    shop.count_by("purchase=purchase")
    shop.connection.execute("UPDATE pipeline.views SET fingerprint = 'another'")
    shop.connection.execute("CREATE OR REPLACE VIEW campaign_report AS SELECT 1 AS old")
    shop.connection.execute("UPDATE data_dictionary SET description = 'old'")
    assert not views_are_current(shop.connection, DATABASE)
    run(shop.connection, view_statements(DATABASE))
    assert views_are_current(shop.connection, DATABASE)
    assert shop.ask("SELECT spend FROM campaign_report") == []
    assert shop.ask("FROM data_dictionary WHERE description = 'old'") == []
    assert shop.one("SELECT action_type FROM conversion_events WHERE event = 'purchase'") == {"action_type": "purchase"}


def test_a_warehouse_whose_rows_were_all_removed_is_not_taken_for_current(shop: Books) -> None:
    run(shop.connection, view_statements(DATABASE))
    for table in ("pipeline.views", "conversion_events", "data_dictionary"):
        shop.connection.execute(f"DELETE FROM {table}")
    assert not views_are_current(shop.connection, DATABASE)
    run(shop.connection, view_statements(DATABASE))
    assert shop.one("SELECT count(*) > 10 AS filled FROM conversion_events") == {"filled": True}
