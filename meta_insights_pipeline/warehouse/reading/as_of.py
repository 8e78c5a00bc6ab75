"""What a query may read: of which accounts, and as it was known at which moment.

Every query takes its rows from here, so that none can leave out the accounts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.mart_columns import COVERAGE, facts_of
from meta_insights_pipeline.warehouse.reading.statement import Binder
from meta_insights_pipeline.warehouse.schema import (
    ACTIONS_TABLE,
    RECONCILIATION,
    entity_history_table,
    entity_table,
)


@dataclass(frozen=True)
class View:
    """Some accounts at some moment."""

    accounts: frozenset[str] | None
    """Ids without `act_`; None for all, empty for none."""
    as_of: datetime | None = None
    """Aware; None for the present."""

    def seen(self, bind: Binder, rows: str) -> str:
        """The condition that rows, by their alias, are of accounts that may be seen."""
        if self.accounts is None:
            return "true"
        return bind.is_in(f"{rows}.account_id", sorted(self.accounts))

    def facts(self, bind: Binder, level: Level) -> str:
        """The insights of a level, as a table expression."""
        return self._table(bind, facts_of(level))

    def actions(self, bind: Binder) -> str:
        """The actions, as a table expression."""
        return self._table(bind, ACTIONS_TABLE)

    def entities(self, bind: Binder, kind: EntityKind) -> str:
        """The attributes of a kind of entity, as a table expression: the version that held at the moment."""
        table, history, columns = _names_of(kind)
        if self.as_of is None:
            return table
        moment = self._moment(bind)
        return (
            f"(SELECT {columns} FROM {table} WHERE valid_from <= {moment} UNION ALL SELECT {columns} FROM {history} "
            f"WHERE valid_from <= {moment} AND valid_to > {moment})"
        )

    def coverage(self, bind: Binder) -> str:
        """When each day of a report was collected; a day that was collected again since is not known to have been before."""
        return self._until(bind, COVERAGE, "collected_at")

    def missing(self, bind: Binder) -> str:
        """What was asked for and could not be had, as far as it still lacks."""
        return self._until(bind, "pipeline.missing", "noticed_at")

    def ledger(self, bind: Binder) -> str:
        """The lines of the ledger; one that was compared again since is not known to have been there before."""
        return self._until(bind, RECONCILIATION, "checked_at")

    def _table(self, bind: Binder, name: str) -> str:
        return f'"{name}"' if self.as_of is None else f'"{name}_as_of"({self._moment(bind)})'

    def _until(self, bind: Binder, table: str, moment: str) -> str:
        return table if self.as_of is None else f"(SELECT * FROM {table} WHERE {moment} <= {self._moment(bind)})"

    def _moment(self, bind: Binder) -> str:
        assert self.as_of is not None
        # The warehouse stores UTC without a zone.
        return f"{bind(self.as_of.astimezone(UTC).replace(tzinfo=None))}::TIMESTAMP"


@cache
def _names_of(kind: EntityKind) -> tuple[str, str, str]:
    """Of a kind of entity the table, that of its earlier versions, and the columns of the former; each as SQL."""
    table = entity_table(kind)
    return f'"{table.name}"', f'"{entity_history_table(kind).name}"', ", ".join(f'"{name}"' for name in table.stored)
