"""The table of the choice by which action type each event is counted; the views join it, so that stored rows never change."""

from collections.abc import Sequence

import duckdb

from meta_insights_pipeline.catalog.conversions import Choice, choices
from meta_insights_pipeline.warehouse.schema import Column, Table
from meta_insights_pipeline.warehouse.sql import literal

NAME = "conversion_events"


def conversion_events_table() -> Table:
    """The table: one row an event."""
    columns = (
        Column("event", "VARCHAR", "What people did, for example purchase or lead.", required=True),
        Column("action_type", "VARCHAR", "The one action type by which it is counted.", required=True),
        Column(
            "value_column",
            "VARCHAR",
            "The column of insight_actions that is counted: value (the ad set's own attribution setting), or that of a window.",
            required=True,
        ),
        Column("count_field", "VARCHAR", "The insights field with how often it happened.", required=True),
        Column("value_field", "VARCHAR", "The insights field with the money that it brought; NULL when it has none."),
        Column(
            "overlapping_types",
            "VARCHAR",
            "Known action types that count the same events, separated by commas: never add one of them to the chosen type.",
            required=True,
        ),
        Column("description", "VARCHAR", "What is counted.", required=True),
    )
    return Table(NAME, ("event",), columns, "Which action type counts each event; META_INSIGHTS_CONVERSIONS chooses.")


def create_statements(database: str) -> list[str]:
    """Make the table; a new one gets the defaults."""
    table = f'"{database}"."{NAME}"'
    return [
        *conversion_events_table().create_statements(database),
        f"INSERT INTO {table} SELECT * FROM ({_values(choices())}) WHERE NOT EXISTS (FROM {table})",
    ]


def store_choices(connection: duckdb.DuckDBPyConnection, database: str, chosen: Sequence[Choice]) -> bool:
    """Make an attached warehouse count by these action types, inside the caller's transaction.

    Returns:
        Whether anything is counted differently from now on.
    """
    table, wanted = f'"{database}"."{NAME}"', f"({_values(chosen)})"
    row = connection.execute(
        f"SELECT count(*) FROM ((FROM {table} EXCEPT FROM {wanted}) UNION ALL (FROM {wanted} EXCEPT FROM {table}))"
    ).fetchone()
    if row == (0,):
        return False
    connection.execute(f"DELETE FROM {table}")
    connection.execute(f"INSERT INTO {table} FROM {wanted}")
    return True


def _values(chosen: Sequence[Choice]) -> str:
    rows = (
        (
            choice.event.name,
            choice.action_type,
            choice.value_column,
            choice.event.count_field,
            choice.event.value_field,
            ",".join(choice.overlaps),
            choice.event.description,
        )
        for choice in chosen
    )
    return "VALUES " + ", ".join(f"({', '.join(literal(value) for value in row)})" for row in rows)
