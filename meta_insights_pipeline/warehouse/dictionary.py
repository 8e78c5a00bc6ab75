"""The data dictionary: every column of the tables, views and macros that readers use, from the declarations that make them."""

from collections.abc import Iterable
from dataclasses import dataclass

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.fields import Unit, insights_fields, ratios
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.warehouse.conversion_events import conversion_events_table
from meta_insights_pipeline.warehouse.mart_columns import attribute_unit, ratio_unit
from meta_insights_pipeline.warehouse.marts import Mart, marts
from meta_insights_pipeline.warehouse.schema import Column, Table, actions_table, entity_table, fact_table
from meta_insights_pipeline.warehouse.sql import literal

NAME = "data_dictionary"
_PIPELINE = "pipeline"
_NUMBERS = ("BIGINT", "DECIMAL", "DOUBLE")


@dataclass(frozen=True)
class Entry:
    """One column."""

    table_name: str
    """For a macro with its arguments."""
    column_name: str
    type: str
    description: str
    unit: str
    additive: bool | None
    """Whether it may be summed over days and over entities of one level and one currency; None: it is no number."""
    source: str
    """The columns that it is made of, or Meta's field."""


def entries() -> tuple[Entry, ...]:
    """The whole dictionary, in the order in which a person would read it."""
    return (
        *(entry for mart in marts() for entry in _of_mart(mart)),
        *_of_table(conversion_events_table(), "META_INSIGHTS_CONVERSIONS"),
        *_of_table(dictionary_table(), _PIPELINE),
        *(entry for report in builtin_reports() for entry in _of_facts(report)),
        *_of_actions(),
        *(entry for kind in EntityKind for entry in _of_entities(kind)),
    )


def create_statements(database: str) -> list[str]:
    """Make the dictionary of this program, in place of an earlier one."""
    table = f'"{database}"."{NAME}"'
    rows = ", ".join(
        f"({literal(each.table_name)}, {literal(each.column_name)}, {literal(each.type)}, {literal(each.description)}, "
        f"{literal(each.unit or None)}, {_boolean(each.additive)}, {literal(each.source)})"
        for each in entries()
    )
    return [
        f"DROP TABLE IF EXISTS {table}",
        *dictionary_table().create_statements(database),
        f"INSERT INTO {table} VALUES {rows}",
    ]


def dictionary_table() -> Table:
    """The table that holds it."""
    columns = (
        Column("table_name", "VARCHAR", "Table, view, or table macro with its arguments.", required=True),
        Column("column_name", "VARCHAR", "Column.", required=True),
        Column("type", "VARCHAR", "DuckDB's type.", required=True),
        Column("description", "VARCHAR", "What it means.", required=True),
        Column(
            "unit",
            "VARCHAR",
            "count, money (major units of the account's currency), percent, ratio, days, hours, day or UTC; NULL for texts.",
        ),
        Column(
            "additive",
            "BOOLEAN",
            "Whether it may be summed over days and over entities of one level and one currency, and for actions of one action "
            "type; NULL when it is no number.",
        ),
        Column("source", "VARCHAR", "The columns that it is made of, or Meta's field.", required=True),
    )
    description = (
        "One row for each column that readers use: meaning, unit, whether it may be summed, and where it comes from."
    )
    return Table(NAME, ("table_name", "column_name"), columns, description)


def _of_mart(mart: Mart) -> Iterable[Entry]:
    for column in mart.columns:
        yield Entry(
            mart.shown_name,
            column.name,
            column.sql_type,
            column.description,
            column.unit,
            column.additive,
            ", ".join(column.sources),
        )


def _of_facts(report: Report) -> Iterable[Entry]:
    computed = {ratio.name: ratio for ratio in ratios()}
    for column in fact_table(report).columns:
        ratio, field = computed.get(column.name), insights_fields().get(column.name)
        if column.formula is not None and ratio is not None:
            source = f"{report.name}.{ratio.numerator}, {report.name}.{ratio.denominator}"
            yield _entry(report.name, column, ratio_unit(ratio), source, additive=False)
        elif field is not None:
            unit = {Unit.DATE: "day"}.get(field.unit, field.unit.value)
            yield _entry(report.name, column, unit, f"Meta: {field.name} of the insights", additive=field.additive)
        else:
            yield _entry(report.name, column, _unit(column), _PIPELINE)


def _of_actions() -> Iterable[Entry]:
    table = actions_table()
    for column in table.columns:
        is_value = column.sql_type.startswith("DECIMAL")
        source = "Meta: lists of actions of the insights" if column.name != "changed_at" else _PIPELINE
        yield _entry(table.name, column, "count or money" if is_value else _unit(column), source, additive=is_value)


def _of_entities(kind: EntityKind) -> Iterable[Entry]:
    attributes = {each.column: each for each in kind.attributes}
    for column in entity_table(kind).columns:
        attribute = attributes.get(column.name)
        if attribute is None:
            yield _entry(kind.value, column, _unit(column), _PIPELINE)
        else:
            unit = attribute_unit(attribute)
            yield _entry(kind.value, column, unit, f"Meta: {attribute.field} of the {kind.noun}")


def _of_table(table: Table, source: str) -> Iterable[Entry]:
    return (_entry(table.name, column, _unit(column), source) for column in table.columns)


def _entry(table_name: str, column: Column, unit: str, source: str, *, additive: bool = False) -> Entry:
    is_number = column.sql_type.startswith(_NUMBERS)
    return Entry(
        table_name, column.name, column.sql_type, column.description, unit, additive if is_number else None, source
    )


def _unit(column: Column) -> str:
    return {"TIMESTAMP": "UTC", "DATE": "day"}.get(column.sql_type, "")


def _boolean(value: bool | None) -> str:
    return "NULL::BOOLEAN" if value is None else str(value).lower()
