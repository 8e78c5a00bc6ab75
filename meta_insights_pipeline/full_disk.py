"""A full disk, told as one sentence with its remedy, whichever library was writing and whatever it says of it.

A sync writes through Python, SQLite and DuckDB, and all three have errors of their own. Belongs here: telling such an error from
others. What stays whole when it comes is seen to by whoever writes.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from meta_insights_pipeline.warehouse.database import WarehouseError

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full, the user's share of it is, a file may not become so long."""
# SQLite says nothing more exact when it cannot make its shared memory, or when it is a share of the disk that is used up.
_SQLITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
# What DuckDB says when the folder for what does not fit into memory may take no more: nine tenths of what was free.
_DUCKDB = (*map(os.strerror, _NUMBERS), "max_temp_directory_size")


class FullDiskError(WarehouseError):
    """Something could not be written to disk; the message says what to do."""


@contextmanager
def telling_full_disk(home: Path, command: str = "sync") -> Iterator[None]:
    """Turn what is raised because a disk is full into one sentence.

    Args:
        home: Named in the sentence.
        command: What to do again once there is room.

    Raises:
        FullDiskError: The disk is full, or does not take what is written.
    """
    try:
        yield
    except FullDiskError:
        raise
    except Exception as error:
        reason = full_disk_reason(error)
        if reason is None or isinstance(error, WarehouseError):
            raise
        raise FullDiskError(
            f"The disk does not take what is written below {home} ({reason}); readers keep the last published snapshot. "
            f"Make room or mend the permissions, then {command} again."
        ) from None


def full_disk_reason(error: BaseException) -> str | None:
    """What a library said of a full disk; None when neither an error nor what led to it tells of one."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or one in seen:
            continue
        if reason := _reason(one):
            return reason
        seen.append(one)
        # SQLAlchemy, through which Dagster writes, keeps the database's own error as `orig`.
        waiting += [one.__cause__, one.__context__, getattr(one, "orig", None)]
    return None


def _reason(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, sqlite3.Error):
        # The lowest byte is the kind of error, the others its variety.
        return str(error) if getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE else None
    if isinstance(error, duckdb.Error):
        return next((text for text in _DUCKDB if text in str(error)), None)
    return None
