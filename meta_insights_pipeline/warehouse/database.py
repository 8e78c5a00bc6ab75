"""Opening the warehouse file: one process at a time, always closed, with a clear word when it cannot be had."""

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count, groupby
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from meta_insights_pipeline.warehouse.migrations import STEPS, back_up, migration_statements
from meta_insights_pipeline.warehouse.schema import SCHEMA_VERSION, create_schema_statements
from meta_insights_pipeline.warehouse.sql import literal
from meta_insights_pipeline.warehouse.views import view_statements, views_are_current

# DuckDB's own share of the process's memory; what does not fit goes to the temporary folder.
MEMORY_LIMIT = "128MB"
# A transaction that does not fit is begun again with more: it would not fit the next time either.
MORE_MEMORY = ("512MB", "2GB")
# Each thread holds some tens of megabytes while it writes, so more of them would not fit into the limit.
THREADS = 2
LOCK_SECONDS = 3600.0
_FOREIGN_LOCK_SECONDS = 30.0
# Each connection removes all that is in its folder.
_NUMBERS = count()
ALIAS = "warehouse"


class WarehouseError(Exception):
    """The warehouse cannot be used; the message says why and what to do."""


class Warehouse:
    """The pipeline's own DuckDB file.

    DuckDB lets one process at a time open a file for writing. Syncs therefore hold a lock of their own around the short
    time of writing, and wait for each other; collecting happens without it.
    """

    def __init__(self, path: Path, temporary: Path) -> None:
        """Name the files; nothing is touched yet.

        Args:
            path: The DuckDB file.
            temporary: A folder for what does not fit into memory.
        """
        self.path = path
        self.temporary = temporary
        self._lock = FileLock(f"{path}.lock")

    def check_writable(self) -> None:
        """Make the folders and try to write.

        Raises:
            WarehouseError: The file cannot be written; nothing was changed.
        """
        probe = self.path.with_name(f".{self.path.name}.probe")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.temporary.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            # Another process may try at the same time.
            probe.unlink(missing_ok=True)
            writable = not self.path.exists() or (self.path.is_file() and os.access(self.path, os.W_OK))
        except OSError as error:
            raise WarehouseError(
                f"The warehouse {self.path} cannot be written ({error.strerror or error}); "
                "set META_INSIGHTS_WAREHOUSE or META_INSIGHTS_HOME to a place where this user may write."
            ) from None
        if not writable:
            raise WarehouseError(
                f"The warehouse {self.path} is not a file that this user may write; "
                "set META_INSIGHTS_WAREHOUSE to another DuckDB file or mend its permissions."
            )

    @contextmanager
    def locked(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Hold the warehouse for this process; others wait.

        Raises:
            WarehouseError: Somebody else held it for too long.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._lock.acquire(timeout=seconds):
                yield
        except Timeout:
            raise WarehouseError(
                f"Another sync has held the warehouse {self.path} for {seconds:.0f} s; "
                "look at the runs in the Dagster UI and end the one that hangs."
            ) from None

    @contextmanager
    def attached(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Attach the file to a connection as `warehouse`, with its schema made; call while `locked`.

        Raises:
            WarehouseError: The file is in use by a program that is not ours, is no DuckDB file, or is of a newer version.
        """
        self._attach(connection)
        try:
            self._prepare(connection)
            yield
        finally:
            with suppress(duckdb.Error):
                connection.execute("ROLLBACK")
            connection.execute(f"DETACH DATABASE IF EXISTS {ALIAS}")

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection whose default database is the warehouse, under the lock."""
        with self.locked(), open_memory(self.temporary) as connection, self.attached(connection):
            connection.execute(f"USE {ALIAS}")
            try:
                yield connection
            finally:
                # In a transaction that has failed nothing else is possible, and its error is the one to be seen.
                with suppress(duckdb.Error):
                    connection.execute("ROLLBACK")
                connection.execute("USE memory")

    @contextmanager
    def made_meanwhile(self) -> Iterator[None]:
        """Make a new file, with its schema, beside what is done within; whoever attaches a file first makes it otherwise.

        A file that cannot be made is not told of here: the first who attaches it is told.
        """
        if self.path.exists():
            yield
            return
        with ThreadPoolExecutor(1, "schema") as pool:
            pool.submit(self._make)
            yield

    def _make(self) -> None:
        with self.connect():
            pass

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        deadline = time.monotonic() + _FOREIGN_LOCK_SECONDS
        while True:
            try:
                connection.execute(f"ATTACH {literal(self.path)} AS {ALIAS}")
                return
            except duckdb.IOException as error:
                text = str(error)
                if "lock" not in text.lower():
                    raise WarehouseError(self._unreadable(text)) from None
                if time.monotonic() > deadline:
                    raise WarehouseError(
                        f"Another program has the warehouse {self.path} open ({_holder(text)}); close it there: "
                        "readers open the published file meta_insights.duckdb instead."
                    ) from None
                time.sleep(0.2)
            except duckdb.Error as error:
                raise WarehouseError(self._unreadable(str(error))) from None

    def _unreadable(self, text: str) -> str:
        return (
            f"The warehouse {self.path} cannot be opened ({text.splitlines()[0][:200]}); "
            "set META_INSIGHTS_WAREHOUSE to a DuckDB file or to a name that does not exist yet."
        )

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the schema of a new file, or bring that of an older one up to date."""
        version = self._version(connection)
        if version is not None and version != SCHEMA_VERSION and version not in STEPS:
            raise WarehouseError(
                f"The warehouse {self.path} has schema version {version}, "
                f"this program has {SCHEMA_VERSION}; use the program's version that wrote it, or another file."
            )
        if version is None:
            _run(connection, create_schema_statements(ALIAS))
        elif version != SCHEMA_VERSION:
            self._migrate(connection, version)
        if not views_are_current(connection, ALIAS):
            _run(connection, view_statements(ALIAS))

    def _version(self, connection: duckdb.DuckDBPyConnection) -> int | None:
        """The file's schema version; None for a file without our tables."""
        row = connection.execute(
            f"SELECT count(*) FROM duckdb_tables() WHERE database_name = {literal(ALIAS)} AND schema_name = 'pipeline' "
            "AND table_name = 'schema_version'"
        ).fetchone()
        if row == (0,):
            return None
        found = connection.execute(f"SELECT max(version) FROM {ALIAS}.pipeline.schema_version").fetchone()
        return int(found[0]) if found and found[0] is not None else 0

    def _migrate(self, connection: duckdb.DuckDBPyConnection, version: int) -> None:
        # Closed while it is copied: to close a second handle on an open file would give up DuckDB's lock on it.
        connection.execute(f"CHECKPOINT {ALIAS}")
        connection.execute(f"DETACH {ALIAS}")
        try:
            copy = back_up(self.path, version)
        except OSError as error:
            raise WarehouseError(
                f"The warehouse {self.path} has schema version {version}, and before it is brought to {SCHEMA_VERSION} a "
                f"copy has to be made, which failed ({error.strerror or error}). Make room or mend the permissions, then "
                "sync again."
            ) from None
        finally:
            self._attach(connection)
        try:
            _run(connection, migration_statements(ALIAS, version))
        except duckdb.Error as error:
            raise WarehouseError(
                f"The warehouse {self.path} cannot be brought from schema version {version} to {SCHEMA_VERSION} "
                f"({str(error).splitlines()[0][:200]}). It is as it was; a copy is {copy}."
            ) from None


@contextmanager
def open_memory(temporary: Path, memory_limit: str = MEMORY_LIMIT) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that spills to a folder of its own below `temporary`, and leaves nothing there."""
    temporary.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": memory_limit,
            "threads": THREADS,
            "temp_directory": str(temporary / f"spill-{os.getpid()}-{next(_NUMBERS)}"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            # It knows files by their names, and has given old blocks of a file that was written anew under its name.
            "enable_external_file_cache": False,
            # Otherwise the newest rows of a table are found by a scan of the row numbers of the whole table.
            "late_materialization_max_rows": 0,
        },
    )
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def one_thread(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Do something with one thread instead of two: what needs much memory at once would need twice as much.

    After a failure it stays at one, since a transaction that was aborted takes no statement.
    """
    connection.execute("SET threads = 1")
    yield
    connection.execute(f"SET threads = {THREADS}")


@contextmanager
def joins_as_written(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Do something with every join as it is written: the left side streams past the right one, which is held in memory.

    DuckDB decides otherwise by what it knows of a table, and of rows that a transaction has just put in it knows nothing:
    it would hold a table of millions of new rows in memory, since it takes it for empty.
    """
    connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    yield
    connection.execute("RESET disabled_optimizers")


def _holder(text: str) -> str:
    start = text.find("held in")
    return text[start:].split(". ", maxsplit=1)[0][:160] if start >= 0 else "its lock is held"


def _run(connection: duckdb.DuckDBPyConnection, statements: Iterable[str]) -> None:
    """Run statements on the schema in one transaction, with the warehouse as the default database."""
    connection.execute(f"USE {ALIAS}")
    try:
        connection.execute("BEGIN")
        # Hundreds of comments take as long as everything else; together, and with one thread, a third less.
        with one_thread(connection):
            for is_comment, some in groupby(statements, lambda statement: statement.startswith("COMMENT")):
                for text in [";\n".join(some)] if is_comment else some:
                    connection.execute(text)
        connection.execute("COMMIT")
    except duckdb.Error:
        connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("USE memory")
