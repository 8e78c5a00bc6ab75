"""The small file that all processes of an installation share: what is better known than asked of Meta again.

Belongs here: opening the file, transactions, setting a damaged file aside. Does not belong here: what is kept; each room
makes its own tables with `ensure`. Whatever is kept can be lost: that costs calls, and nothing else.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock

log = logging.getLogger(__name__)

VERSION = 1
"""Of all tables together; raise it when any room changes the form of a table."""
_BUSY_SECONDS = 30.0
# SQLite writes these two beside the file.
_COMPANIONS = ("-wal", "-shm")


class _UnusableError(Exception):
    """The file is no state file of this version."""


class State:
    """One connection to the shared file, safe to use from many threads.

    Transactions are short: a process that waits for another one's longer than 30 s gets sqlite3.OperationalError.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file, and make it if need be; one that cannot be used is renamed aside with a warning.

        Args:
            path: The file, in a folder that exists; None keeps everything in memory.

        Raises:
            sqlite3.OperationalError: The file cannot be opened or made.
        """
        # Reentrant, so that a transaction inside a transaction is SQLite's error and not a thread that waits for itself.
        self._lock = threading.RLock()
        if path is None:
            self._connection = _connect(":memory:")
            return
        # Two processes that find the same damaged file must not rename each other's new one.
        with FileLock(path.with_name(path.name + ".lock")):
            try:
                self._connection = _open(path)
            except _UnusableError as error:
                aside = _set_aside(path)
                log.warning("%s %s, so it is now %s and a new one is begun.", path, error, aside.name)
                self._connection = _open(path)

    @classmethod
    def in_memory(cls) -> Self:
        """A state of this process alone, gone when it is closed."""
        return cls(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def ensure(self, ddl: Iterable[str]) -> None:
        """Make a room's tables: statements such as `CREATE TABLE IF NOT EXISTS`."""
        with self.transaction() as connection:
            for statement in ddl:
                connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, while no other thread or process writes; what was written is kept unless an exception leaves."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; never waits for a writer of another process."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def last_number(self, table: str) -> int:
        """The highest number that a table with an AUTOINCREMENT key has ever given, 0 when none."""
        rows = self.read("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        return int(rows[0][0]) if rows else 0


def _connect(target: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(target, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _open(path: Path) -> sqlite3.Connection:
    """A connection to a whole file of this version.

    Raises:
        _UnusableError: It is damaged, or of another version.
    """
    connection = _connect(path)
    try:
        is_new = _check(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        # Syncs to disk only when the log is moved into the file: quick, and a crash of the machine leaves a whole file.
        connection.execute("PRAGMA synchronous = NORMAL")
        if is_new:
            connection.execute(f"PRAGMA user_version = {VERSION}")
    except _UnusableError:
        connection.close()
        raise
    except sqlite3.DatabaseError as error:
        connection.close()
        # The lowest byte is the kind of error, the others its variety.
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise _UnusableError(f"is damaged ({error})") from None
        raise
    return connection


def _check(connection: sqlite3.Connection) -> bool:
    """Whether the file is a new one; if it is not, it is whole and of this version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version != VERSION and (version or tables):
        raise _UnusableError(f"is of version {version} and not {VERSION}")
    (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise _UnusableError(f"is damaged ({health})")
    return not version


def _set_aside(path: Path) -> Path:
    """Rename a file and what SQLite keeps beside it to the first free name; give that name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    path.rename(aside)
    for companion in _COMPANIONS:
        beside = path.with_name(path.name + companion)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + companion))
    return aside
