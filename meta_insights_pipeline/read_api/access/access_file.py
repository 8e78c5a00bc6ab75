"""The file below the home that holds the keys and the audit log.

Unlike `state.py`'s, nothing of it can be lost: a file that cannot be used is refused with a sentence and stays as it is.
Every call opens the file anew (0.15 ms), so nothing is remembered between requests: what another process has written counts
from the next request on, also when the whole file was exchanged.
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from meta_insights_pipeline.read_api.access.errors import AccessFileError

log = logging.getLogger(__name__)

VERSION = 1
# Tells our file from any other database; written in its head.
_APPLICATION = int.from_bytes(b"mik1")
_BUSY_SECONDS = 10.0
_OWNER_ONLY = 0o600

_SCHEMA = (
    """
    CREATE TABLE keys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, accounts TEXT, hash BLOB NOT NULL,
        created_at TEXT NOT NULL, created_by TEXT NOT NULL, expires_at TEXT, revoked_at TEXT, last_used_at TEXT
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, request_id TEXT, principal TEXT NOT NULL,
        action TEXT NOT NULL, details TEXT NOT NULL, outcome TEXT NOT NULL
    ) STRICT
    """,
    "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END",
    "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)


class AccessFile:
    """The file, safe to use from many threads and processes."""

    def __init__(self, path: Path) -> None:
        """Check the file, and make it if there is none.

        Args:
            path: The file; folders above it are made if need be.

        Raises:
            AccessFileError: It is damaged, no file of ours, of another version, or cannot be opened or made.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever comes second finds the whole file of the first.
            if not path.exists():
                with FileLock(path.with_name(path.name + ".lock")):
                    if not path.exists():
                        _make(path)
            _close_to_others(path)
        except OSError as error:
            raise AccessFileError(
                f"{path} cannot be made ({error.strerror or error}); set META_INSIGHTS_HOME to a folder that can be written."
            ) from None
        except sqlite3.Error as error:
            raise AccessFileError(_sentence(path, error)) from None
        with self._connection() as connection:
            _check(path, connection)

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            AccessFileError: The file cannot be read.
        """
        with self._connection() as connection:
            return connection.execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self, patience: float = _BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        """A connection, while nobody else writes; on disk when the block ends, undone when an exception leaves it.

        Args:
            patience: Seconds to wait for whoever is writing.

        Raises:
            AccessFileError: The file cannot be written, or another process was writing for longer than that.
        """
        with self._connection(patience) as connection:
            # A revocation must still be one after the machine has lost its power.
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _connection(self, patience: float = _BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        try:
            with closing(_connect(self.path, patience)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise AccessFileError(_sentence(self.path, error)) from None


def _connect(path: Path, patience: float = _BUSY_SECONDS) -> sqlite3.Connection:
    # Without `mode=rw` a file that is gone would be made again, empty.
    address = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)


def _make(path: Path) -> None:
    """Make the file under another name first, so that nobody ever sees half of it."""
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    draft.touch(_OWNER_ONLY, exist_ok=False)
    with closing(_connect(draft)) as connection:
        for statement in _SCHEMA:
            connection.execute(statement)
    draft.rename(path)


def _close_to_others(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        log.warning("%s could be read by other users of this machine; now it cannot.", path)
        path.chmod(_OWNER_ONLY)


def _check(path: Path, connection: sqlite3.Connection) -> None:
    """Raise unless the file is whole and of this version."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise AccessFileError(f"{path} is not the file of the API's keys, or it was emptied; {_REMEDY}.")
    if version != VERSION:
        raise AccessFileError(
            f"{path} is of version {version} and this program knows version {VERSION}; use the program that wrote it."
        )
    (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise AccessFileError(f"{path} is damaged ({' '.join(health.split())}); {_REMEDY}.")


_REMEDY = (
    "restore it from a backup, or remove it, which ends every key, and make new ones with meta-insights keys create"
)


def _sentence(path: Path, error: sqlite3.Error) -> str:
    # The lowest byte is the kind of error, the others its variety; errors of the module itself have none.
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if kind in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{path} is damaged ({error}); {_REMEDY}."
    if kind == sqlite3.SQLITE_CANTOPEN:
        return f"{path} cannot be opened; see that it is there and that this user may read and write it."
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path} is being written by another process; try again."
    return f"{path} cannot be used ({error}); see that the disk has room and that this user may write there."
