"""The data dictionary: every column of every table, view and macro of a published file, from the declarations that make them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from types import MappingProxyType

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.fields import Unit, insights_fields, ratios
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.warehouse.compat import CompatView, compat_views
from meta_insights_pipeline.warehouse.conversion_events import conversion_events_table
from meta_insights_pipeline.warehouse.mart_columns import attribute_unit, ratio_unit
from meta_insights_pipeline.warehouse.marts import Mart, marts
from meta_insights_pipeline.warehouse.schema import (
    PIPELINE,
    Column,
    Table,
    actions_table,
    as_of_name,
    book_tables,
    entity_history_table,
    entity_table,
    fact_table,
    history_table,
    reconciliation_history_table,
    reconciliation_table,
    tables,
)
from meta_insights_pipeline.warehouse.sql import literal

NAME = "data_dictionary"
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


@cache
def entries() -> tuple[Entry, ...]:
    """The whole dictionary, in the order in which a person would read it."""
    return (
        *(entry for mart in marts() for entry in _of_mart(mart)),
        *_of_table(conversion_events_table(), "META_INSIGHTS_CONVERSIONS"),
        *_of_table(dictionary_table(), PIPELINE),
        *(entry for report in builtin_reports() for entry in _of_facts(report)),
        *_of_actions(),
        *(entry for kind in EntityKind for entry in _of_entities(kind)),
        *_of_ledger(),
        *(entry for table in tables() for entry in _of_moment(table)),
        *(entry for table in _tables_with_versions() for entry in _of_versions(table)),
        *(entry for table in book_tables() for entry in _of_table(table, PIPELINE)),
        *(entry for view in compat_views() for entry in _of_compat(view)),
    )


@cache
def _current() -> Mapping[tuple[str, str], Entry]:
    """The columns of the tables that hold the present, by table and column."""
    found = (
        *(entry for report in builtin_reports() for entry in _of_facts(report)),
        *_of_actions(),
        *(entry for kind in EntityKind for entry in _of_entities(kind)),
    )
    return MappingProxyType({(entry.table_name, entry.column_name): entry for entry in found})


def create_statements(database: str) -> list[str]:
    """Make the dictionary of this program, in place of an earlier one."""
    table = f'"{database}"."{NAME}"'
    # As one text: of thousands of literals DuckDB makes a row each, which takes four times as long.
    rows = json.dumps([asdict(each) | {"unit": each.unit or None} for each in entries()], ensure_ascii=False)
    shape = json.dumps([{column.name: column.sql_type for column in dictionary_table().columns}])
    return [
        f"DROP TABLE IF EXISTS {table}",
        *dictionary_table().create_statements(database),
        f"INSERT INTO {table} SELECT unnest(from_json({literal(rows)}, {literal(shape)}), recursive := true)",
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
            "count, money (major units of the account's currency), Meta's units (of money), percent, ratio, days, hours, day or "
            "UTC; NULL for texts.",
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
        "One row for each column of each table, view and macro: meaning, unit, whether it may be summed, and where it comes "
        "from."
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
            yield _entry(report.name, column, _unit(column), PIPELINE)


def _of_actions() -> Iterable[Entry]:
    table = actions_table()
    for column in table.columns:
        is_value = column.sql_type.startswith("DECIMAL")
        source = "Meta: lists of actions of the insights" if column.name != "changed_at" else PIPELINE
        yield _entry(table.name, column, "count or money" if is_value else _unit(column), source, additive=is_value)


def _of_entities(kind: EntityKind) -> Iterable[Entry]:
    attributes = {each.column: each for each in kind.attributes}
    for column in entity_table(kind).columns:
        attribute = attributes.get(column.name)
        if attribute is None:
            yield _entry(kind.value, column, _unit(column), PIPELINE)
        else:
            unit = attribute_unit(attribute)
            yield _entry(kind.value, column, unit, f"Meta: {attribute.field} of the {kind.noun}")


def _of_table(table: Table, source: str) -> Iterable[Entry]:
    return (_entry(table.full_name, column, _unit(column), source) for column in table.columns)


def _of_ledger() -> Iterable[Entry]:
    for table in (reconciliation_table(), reconciliation_history_table()):
        for column in table.columns:
            unit = "count or money" if column.sql_type.startswith("DECIMAL") else _unit(column)
            yield _entry(table.name, column, unit, PIPELINE)


def _of_moment(table: Table) -> Iterable[Entry]:
    """The macro that shows a table as it was known at a moment."""
    for column in table.columns:
        entry = _current()[table.name, column.name]
        source = f"{table.name}.{column.name}, {history_table(table).name}.{column.name}"
        yield replace(entry, table_name=f"{as_of_name(table)}(ts)", source=source)


def _tables_with_versions() -> tuple[tuple[Table, Table], ...]:
    """The tables that hold the present, each with that of its earlier versions."""
    return (
        *((table, history_table(table)) for table in tables()),
        *((entity_table(kind), entity_history_table(kind)) for kind in EntityKind),
    )


def _of_versions(both: tuple[Table, Table]) -> Iterable[Entry]:
    table, history = both
    for column in history.columns:
        entry = _current().get((table.name, column.name))
        if entry is None:
            yield _entry(history.name, column, _unit(column), PIPELINE)
        else:
            # A row has several versions, of which one held at a moment.
            additive = None if entry.additive is None else False
            source = f"{table.name}.{column.name}"
            yield replace(entry, table_name=history.name, additive=additive, source=source)


def _of_compat(view: CompatView) -> Iterable[Entry]:
    for name, column in view.columns.items():
        source = tuple(column.sources[0].rsplit(".", 1)) if column.is_copy else ()
        found = _current().get((source[0], source[1])) if source else None
        declared = Column(name, column.sql_type, column.description)
        made_of = ", ".join(column.sources) or PIPELINE
        if found is None:
            yield _entry(view.full_name, declared, column.unit or _unit(declared), made_of)
        else:
            yield replace(found, table_name=view.full_name, column_name=name, source=made_of)


def _entry(table_name: str, column: Column, unit: str, source: str, *, additive: bool = False) -> Entry:
    is_number = column.sql_type.startswith(_NUMBERS)
    return Entry(
        table_name, column.name, column.sql_type, column.description, unit, additive if is_number else None, source
    )


def _unit(column: Column) -> str:
    return {"TIMESTAMP": "UTC", "DATE": "day", "BIGINT": "count"}.get(column.sql_type, "")
