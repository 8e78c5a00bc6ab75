"""Fault points: every moment at which a process is about to change something outside its own memory, and death at one of them.

The product knows nothing of them. Python announces files that are opened, renamed, linked or removed, and requests that are
sent, to audit hooks; SQLite announces its statements to a trace callback; DuckDB's statements are counted on their way in. A
process that is killed just before each of these in turn has been killed at every step that a successor can tell from another.

Belongs here: finding and counting the points, and dying. Does not belong here: what is run, and what must hold afterwards.
"""

import os
import re
import resource
import signal
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import duckdb

import meta_insights_pipeline

_PRODUCT = str(Path(meta_insights_pipeline.__file__).parent) + os.sep
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FILE_EVENTS = {
    "os.rename": "rename",
    "os.remove": "remove",
    "os.mkdir": "make folder",
    "os.rmdir": "remove folder",
    "os.link": "link",
    "os.truncate": "truncate",
    "http.client.send": "send",
}
_CHANGING = re.compile(
    r"\s*(BEGIN|COMMIT|CHECKPOINT|ATTACH|DETACH|INSERT|DELETE|UPDATE|MERGE|CREATE|COPY|DROP|ALTER|COMMENT)\b"
)


class Manner(StrEnum):
    """How a process dies at a point."""

    BEFORE = "before it"
    HALF_A_FILE = "with half of the file written"
    SHORT = "when DuckDB's file would grow too long"


class Point(NamedTuple):
    """A moment: the function of the product that is at work, what is about to happen, and for which time."""

    where: str
    what: str
    number: int

    @property
    def kind(self) -> tuple[str, str]:
        """What it has in common with other times."""
        return self.where, self.what


@dataclass(frozen=True)
class Death:
    """At which point to die, and how."""

    point: Point | None = None
    ordinal: int = 0
    """In place of a point: the how manieth point of all."""
    manner: Manner = Manner.BEFORE
    bytes: int = 0
    """With `SHORT`: how long a file may become."""


class FaultPoints:
    """The points that this process has come to; safe for threads."""

    def __init__(self, death: Death | None = None) -> None:
        """Prepare; nothing is heard before `install`."""
        self._death = death or Death()
        # Reentrant, since to halve a file is heard, too.
        self._lock = threading.RLock()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._half: tuple[int, str] | None = None
        """The thread that dies at its next point, and the file that it has then written half."""
        self.points: list[Point] = []
        """All of them, in order."""

    def install(self) -> None:
        """Listen from now on; there is no way back, so this is for a process that has nothing else to do."""
        _wrap(sqlite3, "connect", self._traced)
        _wrap(duckdb.DuckDBPyConnection, "execute", self._counted)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if what := _FILE_EVENTS.get(event):
            self._reach(what)
        elif event == "open" and isinstance(arguments[0], str) and _writes(*arguments[1:]):
            self._reach("write", arguments[0])

    def _traced(self, connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(lambda statement: self._reach_statement("state", statement))
            return connection

        return traced

    def _counted(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def counted(connection: duckdb.DuckDBPyConnection, statement: Any, *rest: Any, **options: Any) -> Any:
            self._reach_statement("warehouse", str(statement))
            return execute(connection, statement, *rest, **options)

        return counted

    def _reach_statement(self, database: str, statement: str) -> None:
        if found := _CHANGING.match(statement):
            self._reach(f"{database} {found[1].lower()}")

    def _reach(self, what: str, file: str = "") -> None:
        """Come to a point, and die there if it is the one."""
        where = _where(sys._getframe(1))
        if not where:
            return
        with self._lock:
            if self._half is not None and self._half[0] == threading.get_ident():
                file, self._half = self._half[1], None
                _halve(file)
                _die()
            self._seen[where, what] += 1
            point = Point(where, what, self._seen[where, what])
            self.points.append(point)
            if self._death.point == point or self._death.ordinal == len(self.points):
                self._end(file)

    def _end(self, file: str) -> None:
        death = self._death
        if death.manner is Manner.SHORT:
            # The kernel's own signal, which Python ignores unless told otherwise.
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (death.bytes, death.bytes))
        elif death.manner is Manner.HALF_A_FILE:
            self._half = (threading.get_ident(), file)
        else:
            _die()


def _wrap(owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
    setattr(owner, name, wrapper(getattr(owner, name)))


def _writes(mode: str | None, flags: int) -> bool:
    return bool(flags & _WRITING) if mode is None else any(letter in mode for letter in "wax+")


def _where(frame: FrameType | None) -> str:
    """The innermost function of the product; an empty text when none is at work."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_PRODUCT):
            return f"{code.co_filename.removeprefix(_PRODUCT)}:{code.co_qualname}"
        frame = frame.f_back
    return ""


def _halve(file: str) -> None:
    path = Path(file)
    if path.is_file():
        os.truncate(path, path.stat().st_size // 2)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
