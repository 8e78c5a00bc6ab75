"""The data dictionary: every column that readers use, once, as the warehouse has it."""

from collections.abc import Iterator

import pytest

from meta_insights_pipeline.warehouse.dictionary import entries
from meta_insights_pipeline_tests.warehouse.mart_building import DAY, Books, books


@pytest.fixture(scope="module")
def shop() -> Iterator[Books]:
    with books() as found:
        yield found


def shown_objects(shop: Books) -> list[str]:
    """Every table, view and table macro as a reader writes it, a macro with its arguments."""
    named = "CASE schema_name WHEN 'main' THEN '' ELSE schema_name || '.' END ||"
    rows = shop.ask(
        f"SELECT {named} table_name AS name FROM duckdb_tables() WHERE NOT internal "
        f"UNION ALL SELECT {named} view_name FROM duckdb_views() WHERE NOT internal "
        f"UNION ALL SELECT {named} function_name || '(' || array_to_string(parameters, ', ') || ')' FROM duckdb_functions() "
        "WHERE NOT internal AND function_type = 'table_macro'"
    )
    return [row["name"] for row in rows]


def test_it_has_every_column_of_every_table_view_and_macro_of_a_published_file_with_its_type(shop: Books) -> None:
    described: dict[str, dict[str, str]] = {}
    for entry in entries():
        columns = described.setdefault(entry.table_name, {})
        assert entry.column_name not in columns
        columns[entry.column_name] = entry.type.replace(", ", ",")
    names = shown_objects(shop)
    assert len(names) == len(set(names)) > 60
    assert set(described) == set(names)
    for name in names:
        source = name.replace("(since, until)", f"(DATE '{DAY}', DATE '{DAY}')").replace("(ts)", f"(TIMESTAMP '{DAY}')")
        assert described[name] == {
            row["column_name"]: row["column_type"] for row in shop.ask(f"DESCRIBE FROM {source}")
        }, name


def test_every_column_of_every_table_and_view_has_its_description_as_a_comment_in_duckdb(shop: Books) -> None:
    rows = shop.ask(
        "SELECT CASE schema_name WHEN 'main' THEN '' ELSE schema_name || '.' END || table_name AS name, column_name, comment "
        "FROM duckdb_columns() WHERE NOT internal"
    )
    commented = {(row["name"], row["column_name"]): row["comment"] for row in rows}
    described = {
        (each.table_name, each.column_name): each.description for each in entries() if not each.table_name.endswith(")")
    }
    assert commented == described


def test_versions_may_not_be_summed_and_what_held_at_a_moment_may() -> None:
    additive = {(entry.table_name, entry.column_name): entry.additive for entry in entries()}
    assert additive["ad_insights_history", "spend"] is False
    assert additive["ad_insights_as_of(ts)", "spend"] is True
    assert additive["fivetran_compat.basic_ad", "spend"] is True
    assert additive["fivetran_compat.basic_ad", "reach"] is False


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
