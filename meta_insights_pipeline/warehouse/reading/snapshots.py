"""The published file, open for reading: the newest one for whoever begins to read, and each one for as long as it is read.

DuckDB knows files by their names, and a new publication has the name of the old one. So each file is opened under a name of its
own, a hard link beside it that is gone as soon as the file is open; nothing is copied.
"""

import copy
import hashlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from meta_insights_pipeline.process_ids import is_running
from meta_insights_pipeline.warehouse.reading.deadlines import Budget, Deadlines
from meta_insights_pipeline.warehouse.reading.side_by_side import SideBySide

log = logging.getLogger(__name__)

Parameters = Sequence[object] | Mapping[str, object]

_LOOK_EVERY_SECONDS = 0.1
_TRY_AGAIN_SECONDS = 1.0
# DuckDB's main header and its two database headers, which count the checkpoints of the file.
_HEADER_BYTES = 3 * 4096
_BATCH_ROWS = 8192
_EPOCH = datetime.fromtimestamp(0, UTC)


class NoSnapshotError(Exception):
    """Nothing was published yet, or what was cannot be read; the message is one sentence."""


class QueryTooLargeError(Exception):
    """A query needs more memory than it may have; the message is one sentence."""


class Snapshot:
    """One published file. Use it inside a lease only; safe for threads."""

    def __init__(
        self, path: Path, *, deadlines: Deadlines, helpers: SideBySide, memory_limit: str, threads: int
    ) -> None:
        """Open the file that has this name now.

        Args:
            path: The published file.
            deadlines: How long a query may take.
            helpers: Who does several parts of an answer at the same time.
            memory_limit: What all queries together may use, like `512MB`.
            threads: How many threads work on a query.

        Raises:
            OSError: There is no such file, or it may not be read.
            duckdb.Error: It is no whole DuckDB file.
        """
        self._deadlines = deadlines
        self._budget: Budget | None = None
        self._helpers = helpers
        self._memory_limit = memory_limit
        self._readers = 0
        link = path.with_name(f"{_link_prefix(path)}{os.getpid()}-{secrets.token_hex(8)}")
        link.hardlink_to(path)
        try:
            self.signature = _signature(link.stat())
            self.identity = _identity(link)
            """32 hexadecimal digits; the same in every process, and never the same for two publications."""
            self.published_at = _EPOCH + timedelta(microseconds=self.signature[1] // 1000)
            """When the file was written; aware, in UTC, to the microsecond."""
            self._connection = _open(link, memory_limit, threads)
        finally:
            link.unlink(missing_ok=True)

    def for_one_answer(self) -> "Snapshot":
        """The same, for queries that may take together what each may take here; use it inside the same lease."""
        same = copy.copy(self)
        same._budget = self._deadlines.budget()
        return same

    def rows(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; unqualified names are those of the published file.

        Args:
            sql: One statement.
            parameters: Values for `?`, or by name for `$name`.

        Raises:
            QueryTimeoutError: It took too long.
            QueryTooLargeError: It needs more memory than it may have.
            duckdb.Error: The statement cannot be run.
        """
        with self._cursor() as cursor:
            return cursor.execute(sql, parameters or None).fetchall()

    def columns_and_rows(self, sql: str, parameters: Parameters = ()) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The names of the columns, and the rows of a query; errors as those of `rows`."""
        with self._cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()

    def arrow(self, sql: str, parameters: Parameters = (), *, batch_rows: int = _BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows of a query in batches, made as they are read; read them inside the lease.

        All batches together may take as long as a query; what passes between them does not count. Errors are those of `rows`,
        also while batches are read.
        """
        cursor, budget = self._connection.cursor(), self._budget or self._deadlines.budget()
        try:
            with self._translated(), self._deadlines.limited(cursor, budget):
                reader = cursor.execute(sql, parameters or None).to_arrow_reader(batch_rows)
        except BaseException:
            cursor.close()
            raise

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                while True:
                    with self._translated(), self._deadlines.limited(cursor, budget):
                        batch = next(reader, None)
                    if batch is None:
                        return
                    yield batch
            finally:
                cursor.close()

        return pa.RecordBatchReader.from_batches(reader.schema, batches())

    def together(self, *parts: Callable[[], Any]) -> list[Any]:
        """What the parts of an answer return, in their order, done at the same time; errors are those of the parts."""
        return self._helpers.results(*parts)

    def enter(self) -> None:
        """Count a reader; call while the snapshot is the current one."""
        self._readers += 1

    def leave(self) -> bool:
        """Count a reader less; whether that was the last one."""
        self._readers -= 1
        return self._readers == 0

    @property
    def is_read(self) -> bool:
        """Whether anybody holds a lease."""
        return self._readers > 0

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        budget = self._budget or self._deadlines.budget()
        with self._translated(), self._connection.cursor() as cursor, self._deadlines.limited(cursor, budget):
            yield cursor

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.OutOfMemoryException:
            raise QueryTooLargeError(
                f"The answer needs more than the {self._memory_limit} that queries may use; ask for fewer days or rows."
            ) from None


class Snapshots:
    """The newest published file, and older ones for as long as somebody reads them; safe for threads."""

    def __init__(
        self,
        path: Path,
        *,
        query_seconds: float = 10.0,
        memory_limit: str = "512MB",
        threads: int = 2,
        on_change: Callable[[Snapshot], None] | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            path: The published file, whether it is there or not.
            query_seconds: How long a query may take, and all queries of one answer.
            memory_limit: What all queries on one file together may use, like `512MB`.
            threads: How many threads work on a query, and how many queries of one answer run at the same time.
            on_change: Told of each new file, before the first request reads it.
        """
        self._path = path
        self._memory_limit = memory_limit
        self._threads = threads
        self._on_change = on_change
        self._deadlines = Deadlines(query_seconds)
        self._helpers = SideBySide(threads - 1)
        # Held for moments only; never while a file is opened.
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._current: Snapshot | None = None
        self._refused: tuple[int, int, int] | None = None
        self._again_at = 0.0
        self._stop = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def current(self) -> Snapshot | None:
        """The newest one, to look at its identity and age; for reading take a lease. None when there is none."""
        return self._current

    @contextmanager
    def lease(self) -> Iterator[Snapshot]:
        """The newest snapshot, open until the block ends, whatever is published meanwhile.

        Raises:
            NoSnapshotError: There is none.
        """
        if self._watcher is None:
            self.refresh()
        with self._lock:
            snapshot = self._current
            if snapshot is None:
                raise NoSnapshotError(
                    "Nothing was published yet, so there is nothing to answer from; run meta-insights sync first."
                )
            snapshot.enter()
        try:
            yield snapshot
        finally:
            with self._lock:
                is_over = snapshot.leave() and snapshot is not self._current
            if is_over:
                snapshot.close()

    def refresh(self) -> None:
        """Open what was published since the last look, if anything was. What cannot be read is told in the log, once."""
        with self._refreshing:
            if self._stop.is_set():
                return
            try:
                signature = _signature(self._path.stat())
            except OSError:
                # The old one is still right; the name may come back.
                return
            known = self._current
            if known is not None and known.signature == signature:
                return
            if signature == self._refused and time.monotonic() < self._again_at:
                return
            try:
                new = Snapshot(
                    self._path,
                    deadlines=self._deadlines,
                    helpers=self._helpers,
                    memory_limit=self._memory_limit,
                    threads=self._threads,
                )
            except (OSError, duckdb.Error) as error:
                if signature != self._refused:
                    log.error("%s cannot be read (%s); what was read before goes on.", self._path, _first_line(error))
                self._refused, self._again_at = signature, time.monotonic() + _TRY_AGAIN_SECONDS
                return
            self._refused = None
            self._replace(new)

    def watch(self) -> None:
        """Look for new publications from now on, ten times a second, in a thread; until `close`."""
        _remove_links(self._path)
        self.refresh()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._look, name="snapshot-watcher", daemon=True)
            self._watcher.start()

    def interrupt(self) -> None:
        """End all queries that run, and those that begin later, as if they had taken too long."""
        self._deadlines.interrupt()

    def close(self) -> None:
        """Open nothing more, and close what nobody reads; what is being read is closed when that ends."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
        with self._refreshing:
            self._replace(None)
        self._helpers.close()
        self._deadlines.close()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_SECONDS):
            self.refresh()

    def _replace(self, new: Snapshot | None) -> None:
        if new is not None and self._on_change is not None:
            self._on_change(new)
        with self._lock:
            old, self._current = self._current, new
            is_over = old is not None and not old.is_read
        if old is not None and is_over:
            old.close()


def _signature(status: os.stat_result) -> tuple[int, int, int]:
    """What tells a file of this name from the one before without opening it; not the time of change, which links alter."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def _identity(file: Path) -> str:
    """A name for the content: from the file's headers, which every checkpoint changes, its time and its size."""
    with file.open("rb") as opened:
        header, status = opened.read(_HEADER_BYTES), os.fstat(opened.fileno())
    return hashlib.sha256(header + f"{status.st_mtime_ns},{status.st_size}".encode()).hexdigest()[:32]


def _open(file: Path, memory_limit: str, threads: int) -> duckdb.DuckDBPyConnection:
    """A connection by which no statement can reach another file, the network or these limits."""
    connection = duckdb.connect(
        str(file),
        read_only=True,
        config={
            "memory_limit": memory_limit,
            "threads": threads,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            # It knows files by their names, and has given old blocks of a file that was written anew under its name.
            "enable_external_file_cache": False,
        },
    )
    try:
        # Not among the others, which it would forbid in an order that is not ours to choose.
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        _warm_up(connection)
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _link_prefix(path: Path) -> str:
    return f".{path.name}.reader-"


def _remove_links(path: Path) -> None:
    """Remove the links of processes that were killed while they opened the file."""
    for link in path.parent.glob(f"{_link_prefix(path)}*"):
        pid = link.name.removeprefix(_link_prefix(path)).partition("-")[0]
        if not (pid.isdigit() and is_running(int(pid))):
            link.unlink(missing_ok=True)


def _warm_up(connection: duckdb.DuckDBPyConnection) -> None:
    """Have the catalogue read, and the libraries loaded that the first bound value of a process takes 0.5 s to load."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE schema_name = ?", ["main"]).fetchall()


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    with suppress(IndexError):
        return lines[0][:200]
    return type(error).__name__
