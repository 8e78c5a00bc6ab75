"""A warehouse in memory with its views, and rows for it that say no more than a test is about."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from meta_insights_pipeline.catalog.conversions import choices
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.conversion_events import store_choices
from meta_insights_pipeline.warehouse.schema import create_schema_statements
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.views import view_statements

DATABASE = "memory"
DAY = date(2026, 11, 1)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
Row = dict[str, Any]


@dataclass
class Books:
    """The warehouse."""

    connection: duckdb.DuckDBPyConnection
    pending: dict[str, list[str]] = field(default_factory=dict)
    """Rows that are written before the next question, by table and columns: a statement costs more than its rows."""

    def account(self, account_id: str = "1", currency: str = "EUR", zone: str = "UTC", **values: Any) -> None:
        """An ad account."""
        self.entity(
            EntityKind.AD_ACCOUNTS,
            account_id,
            name=f"Shop {account_id}",
            currency=currency,
            timezone_name=zone,
            **values,
        )

    def found(self, account_id: str = "1", currency: str | None = "EUR", zone: str | None = "UTC") -> None:
        """An ad account that a sync has found, and of which no entity is stored."""
        row = {"account_id": account_id, "name": f"Shop {account_id}", "currency": currency, "timezone_name": zone}
        self._insert("pipeline.accounts", {**row, "seen_at": NOON, "run_id": "run"})

    def entity(self, kind: EntityKind, account_id: str, **values: Any) -> None:
        """An entity; its id is among the values, unless it is an account."""
        seen = {"is_deleted": False, "valid_from": NOON, "last_seen_at": NOON}
        self._insert(kind.value, {"account_id": account_id, **seen, **values})

    def fact(self, level: Level, entity_id: str, day: date = DAY, *, account_id: str = "1", **values: Any) -> None:
        """A row of insights; parents are called after the entity unless they are given."""
        ids = {part.id_field: f"{part.value} of {entity_id}" for part in list(Level)[1 : level.depth]}
        row = {
            **ids,
            "account_id": account_id,
            level.id_field: entity_id,
            "account_currency": "EUR",
            "date_start": day,
            "impressions": 0,
            "clicks": 0,
            "inline_link_clicks": 0,
            "spend": 0,
            "changed_at": NOON,
            **values,
        }
        self._insert(f"{level.value}_insights", row)

    def action(
        self,
        level: Level,
        entity_id: str,
        action_type: str,
        value: Decimal | str | int | None,
        day: date = DAY,
        *,
        account_id: str = "1",
        field: str = "actions",
        **windows: Any,
    ) -> None:
        """An item of a list of actions."""
        row = {
            "level": level.value,
            "account_id": account_id,
            "entity_id": entity_id,
            "date_start": day,
            "field": field,
            "action_type": action_type,
            "value": value,
            "changed_at": NOON,
            **windows,
        }
        self._insert("insight_actions", row)

    def collected(self, level: Level, day: date, at: datetime, *, account_id: str = "1") -> None:
        """A day that was collected whole."""
        row = {
            "report": f"{level.value}_insights",
            "account_id": account_id,
            "date_start": day,
            "collected_at": at,
            "run_id": "run",
            "row_count": 1,
        }
        self._insert("pipeline.coverage", row)

    def count_by(self, *parts: str) -> bool:
        """Choose action types; says whether anything changed."""
        return store_choices(self.connection, DATABASE, choices(parts))

    def ask(self, statement: str) -> list[Row]:
        """The rows of a query."""
        self.write()
        cursor = self.connection.execute(statement)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def one(self, statement: str) -> Row:
        """The only row of a query."""
        (row,) = self.ask(statement)
        return row

    def scans(self, query: str) -> dict[str, list[str]]:
        """The filters of every scan that a query makes, by table."""
        found: dict[str, list[str]] = {}
        waiting: list[dict[str, Any]] = json.loads(self.one(f"EXPLAIN (FORMAT json) {query}")["explain_value"])
        while waiting:
            node = waiting.pop()
            info = node.get("extra_info", {})
            if "Table" in info:
                found.setdefault(info["Table"].rpartition(".")[2], []).append(str(info.get("Filters", "")))
            waiting += node.get("children", [])
        return found

    def empty(self) -> None:
        """Remove all rows of insights, entities, accounts and coverage."""
        self.pending.clear()
        tables = [
            "insight_actions",
            "pipeline.coverage",
            "pipeline.accounts",
            *(f"{level.value}_insights" for level in Level),
        ]
        for table in [*tables, *(kind.value for kind in EntityKind)]:
            self.connection.execute(f"DELETE FROM {table}")

    def _insert(self, table: str, row: Mapping[str, Any]) -> None:
        columns = ", ".join(f'"{name}"' for name in row)
        values = ", ".join(_literal(value) for value in row.values())
        self.pending.setdefault(f"{table} ({columns})", []).append(f"({values})")

    def write(self) -> None:
        """Write the rows that wait."""
        for target, rows in self.pending.items():
            self.connection.execute(f"INSERT INTO {target} VALUES {', '.join(rows)}")
        self.pending.clear()


@contextmanager
def books() -> Iterator[Books]:
    """A new warehouse."""
    with duckdb.connect(f":{DATABASE}:", config={"autoinstall_known_extensions": False}) as connection:
        create(connection, DATABASE)
        yield Books(connection)


def create(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Make the schema and the views."""
    statements = ["BEGIN", *create_schema_statements(database), *view_statements(database), "COMMIT"]
    connection.execute(";\n".join(statements))


def _literal(value: Any) -> str:
    return literal(value if value is None or isinstance(value, str | date | datetime) else str(value))
