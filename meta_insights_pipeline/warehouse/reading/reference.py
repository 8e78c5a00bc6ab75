"""What most queries must know beforehand and what holds for a whole published file: the accounts, and how events are counted."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from meta_insights_pipeline.catalog.conversions import VALUE, conversion_ratios, events
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline.warehouse import conversion_events
from meta_insights_pipeline.warehouse.mart_columns import KNOWN_ACCOUNTS
from meta_insights_pipeline.warehouse.reading.statement import Readable

_NUMBER_COLUMNS: Final = (VALUE, *(windows()[name].column for name in default_windows()))
# Old and new files are read side by side for a moment.
_MOST_FILES = 4


@dataclass(frozen=True)
class Account:
    """An ad account, as far as its days and money are concerned."""

    account_id: str
    timezone_name: str | None
    """IANA name, as Meta gives it."""
    currency: str | None


@dataclass(frozen=True)
class Counted:
    """By which numbers an event is counted."""

    event: str
    action_type: str
    value_column: str
    """The column of `insight_actions`."""
    count_field: str
    value_field: str | None


@dataclass(frozen=True)
class Reference:
    """Of one published file."""

    accounts: Mapping[str, Account]
    """By id."""
    counted: Mapping[str, Counted]
    """By event."""
    known_zones: frozenset[str]
    """Time zones of the accounts that this DuckDB knows too."""
    accounts_table: str = KNOWN_ACCOUNTS
    """From which the file tells currency and time zone of an account."""

    def zones(self, account_ids: Iterable[str] | None) -> set[str | None]:
        """The time zones of some accounts; None for all."""
        wanted = self.accounts if account_ids is None else set(account_ids) & set(self.accounts)
        return {self.accounts[each].timezone_name for each in wanted}

    @cached_property
    def in_figures(self) -> tuple[Counted, ...]:
        """The events that ratios are made of, and that every row of figures therefore has."""
        names = {part for ratio in conversion_ratios() for part in (ratio.numerator, ratio.denominator)}
        return tuple(
            each for name, each in self.counted.items() if {events()[name].counts, events()[name].values} & names
        )


class ReferenceBook:
    """Keeps the references of the newest files; safe for threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Reference] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, snapshot: Readable) -> Reference | None:
        """The reference of a published file, if it was read already; waits for nobody who reads one."""
        return self.known_of(snapshot.identity)

    def known_of(self, identity: str) -> Reference | None:
        """The same, of the published file that has this identity."""
        with self._lock:
            return self._kept.get(identity)

    def of(self, snapshot: Readable) -> Reference:
        """The reference of a published file."""
        found = self.known(snapshot)
        if found is None:
            found = read_reference(snapshot)
            with self._lock:
                self._kept[snapshot.identity] = found
                while len(self._kept) > _MOST_FILES:
                    self._kept.popitem(last=False)
        return found


def read_reference(snapshot: Readable) -> Reference:
    """Read it from a file."""
    table, accounts = EntityKind.AD_ACCOUNTS.value, _accounts(snapshot, EntityKind.AD_ACCOUNTS.value)
    (found,) = snapshot.rows(
        "SELECT count(*) FROM duckdb_views() WHERE database_name = current_database() AND schema_name = 'main' "
        f"AND view_name = '{KNOWN_ACCOUNTS}'",
        {},
    )
    # A file of an earlier program lacks the view until the next sync; where it says nothing more, it would only cost time.
    if found[0] and (more := _accounts(snapshot, KNOWN_ACCOUNTS)) != accounts:
        table, accounts = KNOWN_ACCOUNTS, more
    known = snapshot.rows(
        f"SELECT DISTINCT name FROM pg_timezone_names() WHERE name IN (SELECT timezone_name FROM {table})", {}
    )
    counted = snapshot.rows(
        f"SELECT event, action_type, value_column, count_field, value_field FROM {conversion_events.NAME} ORDER BY event",
        {},
    )
    return Reference(
        accounts,
        # A file of a later program may count by what this one does not know.
        {row[0]: Counted(*row) for row in counted if row[0] in events() and row[2] in _NUMBER_COLUMNS},
        frozenset(name for (name,) in known),
        table,
    )


def _accounts(snapshot: Readable, table: str) -> dict[str, Account]:
    rows = snapshot.rows(f"SELECT account_id, timezone_name, currency FROM {table}", {})
    return {row[0]: Account(*row) for row in rows}
