"""The data dictionary: every column that readers use, once, as the warehouse has it."""

from collections.abc import Iterator

import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.warehouse.dictionary import dictionary_table, entries
from meta_insights_pipeline.warehouse.marts import marts
from meta_insights_pipeline.warehouse.schema import tables
from meta_insights_pipeline_tests.warehouse.mart_building import DAY, Books, books


@pytest.fixture(scope="module")
def shop() -> Iterator[Books]:
    with books() as found:
        yield found


def test_it_has_every_column_of_the_tables_views_and_macros_with_its_type(shop: Books) -> None:
    names = [
        *(table.name for table in tables()),
        *(kind.value for kind in EntityKind),
        *(mart.shown_name for mart in marts()),
        "conversion_events",
        dictionary_table().name,
    ]
    described = {(entry.table_name, entry.column_name): entry.type for entry in entries()}
    assert len(described) == len(entries())
    assert {table for table, _ in described} == set(names)
    for name in names:
        source = name.replace("(since, until)", f"(DATE '{DAY}', DATE '{DAY}')")
        columns = {row["column_name"]: row["column_type"] for row in shop.ask(f"DESCRIBE FROM {source}")}
        assert {
            column: sql_type.replace(", ", ",") for (table, column), sql_type in described.items() if table == name
        } == (columns), name


def test_the_table_of_the_warehouse_is_the_dictionary(shop: Books) -> None:
    stored = shop.ask("FROM data_dictionary")
    assert [
        (row["table_name"], row["column_name"], row["description"], row["unit"] or "", row["additive"], row["source"])
        for row in stored
    ] == [
        (each.table_name, each.column_name, each.description, each.unit, each.additive, each.source)
        for each in entries()
    ]


def test_every_column_is_described_and_every_number_says_its_unit_and_whether_it_may_be_summed() -> None:
    for entry in entries():
        assert entry.description, entry
        assert entry.source, entry
        is_number = entry.type.startswith(("BIGINT", "DECIMAL", "DOUBLE"))
        assert (entry.additive is not None) == is_number, entry


def test_what_meta_counts_in_people_may_be_summed_nowhere() -> None:
    additive = {entry.column_name for entry in entries() if entry.additive}
    assert {"spend", "impressions", "purchases", "purchase_value", "value_7d_click"} <= additive
    assert not additive & {
        "reach",
        "frequency",
        "ctr",
        "cpc",
        "cpm",
        "cpp",
        "roas",
        "cpa",
        "daily_budget",
        "days_since",
    }


def test_it_can_be_asked_what_may_be_summed(shop: Books) -> None:
    rows = shop.ask(
        "SELECT column_name FROM data_dictionary WHERE table_name = 'campaign_report' AND unit = 'money' AND additive"
    )
    assert [row["column_name"] for row in rows][:3] == ["spend", "purchase_value", "lead_value"]
