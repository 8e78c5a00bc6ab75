"""Dagster's SQLite storage, with one transaction a batch of events and connections that are kept.

A run over a range of days writes two events a table and day, and two a check. Dagster's own SQLite storage opens up to four
connections for each, every one with an engine of its own that knows no statement yet: 11 to 25 ms here, 16 s for a year of one
table, 1.8 s for the checks of any sync. A batch (DAGSTER_EVENT_BATCH_SIZE) is written here with one statement a database, as
Dagster's hosted storage does, and engines stay.

Dagster's own also plans an execution of each check for each day of a run. None of them is ever ended, since a check here is
about the whole sync; in a year of half-hourly syncs they would take some gigabytes. Here a check is planned once a run.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, DagsterEventType
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData, serialize_value
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool, Pool, QueuePool


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """As SqliteEventLogStorage, but a batch of events of one run costs little more than one."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events, those of assets and checks at once and the others one by one."""
        batch = [event for event in events if _is_of_assets(event) and event.run_id == events[0].run_id]
        if batch:
            self._store_together(batch)
        for event in events:
            if not (_is_of_assets(event) and event.run_id == events[0].run_id):
                self.store_event(event)

    @cached_property
    def supports_asset_checks(self) -> bool:
        """Whether there is a table for them; asked for with every check, and looked up once."""
        return bool(super().supports_asset_checks)

    def dispose(self) -> None:
        """Close everything."""
        super().dispose()
        with self._db_lock:
            for shard in list(self._engines):
                self._engines.pop(shard).dispose()

    def _store_together(self, events: Sequence[dg.EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_transaction() as connection:
            insert = SqlEventLogStorageTable.insert().returning(
                SqlEventLogStorageTable.c.id, sort_by_parameter_order=True
            )
            ids = [int(row[0]) for row in connection.execute(insert, rows)]
            of_assets = [place for place, event in enumerate(events) if event.dagster_event_type in ASSET_EVENTS]
            if of_assets:
                self._store_asset_event_tags(
                    connection, [events[place] for place in of_assets], [ids[place] for place in of_assets]
                )
            # The table of assets holds the last event of each kind; earlier ones of the batch would be overwritten at once.
            last = {(rows[place]["asset_key"], rows[place]["dagster_event_type"]): place for place in of_assets}
            for place in sorted(last.values()):
                self._store_asset_event(connection, events[place], ids[place])
            planned = [
                self._execution(event, number)
                for event, number in zip(events, ids, strict=True)
                if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
            ]
            if planned:
                connection.execute(AssetCheckExecutionsTable.insert(), planned)
        for event, number in zip(events, ids, strict=True):
            if event.dagster_event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                self.store_asset_check_event(event, number)

    def _store_asset_check_evaluation_planned(self, event: dg.EventLogEntry, event_id: int | None) -> None:
        with self.index_transaction() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), [self._execution(event, event_id)])

    def _execution(self, event: dg.EventLogEntry, event_id: int | None) -> dict[str, object]:
        """A row of a check that is planned, for the whole run."""
        planned = event.get_dagster_event().asset_check_planned_data
        return {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "partition": None,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event),
            "evaluation_event_timestamp": datetime.fromtimestamp(event.timestamp, UTC).replace(tzinfo=None),
            "evaluation_event_storage_id": event_id,
        }

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        """The engine of the index, or of the run that was asked for last.

        The index stays open. A run's file is closed each time: whoever watches it sees a change only then.
        """
        if shard not in self._engines:
            for other in [each for each in self._engines if INDEX_SHARD_NAME not in (each, shard)]:
                self._engines.pop(other).dispose()
            pool: type[Pool] = QueuePool if shard == INDEX_SHARD_NAME else NullPool
            self._engines[shard] = create_engine(
                self.conn_string_for_shard(shard), poolclass=pool, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            )
        return self._engines[shard]


def _is_of_assets(event: dg.EventLogEntry) -> bool:
    return event.is_dagster_event and event.dagster_event_type in (ASSET_EVENTS | ASSET_CHECK_EVENTS)


class BatchedSqliteStorage(DagsterSqliteStorage):
    """As DagsterSqliteStorage, in the same files, with the event log above."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data=inst_data)
        self._event_log_storage = BatchedSqliteEventLogStorage(str(Path(base_dir) / "history" / "runs"))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> "BatchedSqliteStorage":
        """Make it from dagster.yaml."""
        return cls.from_local(inst_data=inst_data, **config_value)
