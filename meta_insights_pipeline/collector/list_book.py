"""Lists of campaigns, ad sets and ads that are half read: the pages that have come, and the cursor behind the last one.

A list of a large account may take more calls than its limits allow in one sync. The book is on disk and shared by processes,
so that the next sync goes on behind the last page. Reports have a book of their own (`report_book`), since they are bought as
of one moment, and a list is true page by page. Nearly every list is a single page: such a page is held in memory, and comes
into the book only when the refresh that it belongs to is interrupted.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.graph_api.client import read_object
from meta_insights_pipeline.state import State

LIST_LIVES = timedelta(hours=24)
"""A list that nobody went on with for so long begins anew: cursors do not last, and objects change."""

_DDL = (
    """CREATE TABLE IF NOT EXISTS lists (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account_id TEXT NOT NULL, identity TEXT NOT NULL, read_at REAL NOT NULL,
        pages INTEGER NOT NULL, stored INTEGER NOT NULL, after TEXT, complete INTEGER NOT NULL, owner TEXT)""",
    "CREATE INDEX IF NOT EXISTS lists_identity ON lists (identity)",
    "CREATE TABLE IF NOT EXISTS lists_seen (account_id TEXT PRIMARY KEY, at REAL NOT NULL)",
)
_COLUMNS = "id, pages, stored, after, complete, read_at, owner"


@dataclass(frozen=True)
class OldPage:
    """A page that an earlier sync read."""

    at: datetime
    """The moment (UTC) at which it was true."""
    objects: list[dict[str, Any]]
    is_stored: bool
    """Whether its objects are in the warehouse."""


@dataclass(frozen=True)
class Progress:
    """How far a list has come."""

    account_id: str
    identity: str
    id: int = 0
    """Of its line in the book; 0: it has none."""
    pages: int = 0
    stored: int = 0
    """Pages of which the objects are in the warehouse."""
    after: str | None = None
    """The cursor behind the last page."""
    complete: bool = False


class ListBook:
    """The lists that one sync reads, on the shelf that all syncs of an installation share."""

    def __init__(
        self, state: State, folder: Path, clock: Clock, *, owner: str, is_alive: Callable[[str], bool]
    ) -> None:
        """Open the book.

        Args:
            state: Where it is kept.
            folder: Where pages are kept; made when needed.
            clock: For ages.
            owner: Id of this sync.
            is_alive: Whether the sync with an id still runs; what the dead held is free.
        """
        self._state = state
        self._folder = folder
        self._clock = clock
        self._owner = owner
        self._is_alive = is_alive
        self._held: dict[str, list[tuple[Progress, bytes]]] = {}
        """Lists of one page, by account id."""
        state.ensure(_DDL)

    def claim(self, account_id: str, identity: str) -> Progress:
        """Go on with a list that nobody else reads, or begin a new one."""
        new = Progress(account_id, identity)
        find = f"SELECT {_COLUMNS} FROM lists WHERE identity = ? ORDER BY pages DESC"
        # Hardly ever is there one, and a look costs far less than a transaction.
        if not self._state.read(find, (identity,)):
            return new
        now = self._clock.now().timestamp()
        with self._state.transaction() as connection:
            for number, pages, stored, after, complete, read_at, owner in connection.execute(
                find, (identity,)
            ).fetchall():
                if self._is_free(owner) and now - read_at < LIST_LIVES.total_seconds():
                    connection.execute(
                        "UPDATE lists SET owner = ?, read_at = ? WHERE id = ?", (self._owner, now, number)
                    )
                    return replace(new, id=number, pages=pages, stored=stored, after=after, complete=bool(complete))
        return new

    def add(self, progress: Progress, at: datetime, rows: bytes, after: str | None) -> Progress:
        """Keep a page, and the cursor behind it; without a cursor the list is complete.

        Args:
            progress: Of the list.
            at: When (UTC) the page was true.
            rows: The JSON array of its objects.
            after: The cursor.
        """
        page = b'{"at":%r,"objects":' % at.timestamp() + rows + b"}"
        if not progress.id and after is None:
            self._held.setdefault(progress.account_id, []).append((progress, page))
            return replace(progress, pages=1, complete=True)
        return self._write(progress, page, after)

    def _write(self, progress: Progress, page: bytes, after: str | None) -> Progress:
        if not progress.id:
            progress = self._begin(progress)
        number = progress.pages + 1
        file = self._page(progress.id, number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(page)
        self._update(progress.id, "pages = ?, after = ?, complete = ?", number, after, after is None)
        return replace(progress, pages=number, after=after, complete=after is None)

    def _begin(self, progress: Progress) -> Progress:
        with self._state.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO lists (account_id, identity, read_at, pages, stored, complete, owner) VALUES (?, ?, ?, 0, 0, 0, ?)",
                (progress.account_id, progress.identity, self._clock.now().timestamp(), self._owner),
            )
        assert cursor.lastrowid is not None
        return replace(progress, id=cursor.lastrowid)

    def finish(self, progress: Progress) -> None:
        """Note that every page has come: the last one may have been empty."""
        if progress.id and not progress.complete:
            self._update(progress.id, "complete = 1")

    def restart(self, progress: Progress) -> Progress:
        """Begin a list anew: its cursor leads nowhere."""
        self._update(progress.id, "pages = 0, stored = 0, after = NULL, complete = 0")
        shutil.rmtree(self._page(progress.id, 1).parent, ignore_errors=True)
        return Progress(progress.account_id, progress.identity, progress.id)

    def pages(self, progress: Progress) -> Iterator[OldPage]:
        """The pages that are there, in order."""
        for number in range(1, progress.pages + 1):
            page = read_object(self._page(progress.id, number).read_bytes())
            at = datetime.fromtimestamp(float(page["at"]), UTC)
            yield OldPage(at, page["objects"], is_stored=number <= progress.stored)

    def interrupt(self, account_id: str, *, is_stored: bool) -> None:
        """Keep what this sync has read of an account for the next one, which goes on with it.

        Args:
            account_id: Without the prefix `act_`.
            is_stored: Whether all of it is in the warehouse.
        """
        for progress, page in self._held.pop(account_id, ()):
            self._write(progress, page, None)
        if is_stored:
            with self._state.transaction() as connection:
                connection.execute(
                    "UPDATE lists SET stored = pages WHERE account_id = ? AND owner = ?", (account_id, self._owner)
                )

    def close(self, account_id: str, seen: datetime) -> None:
        """Forget the lists of an account: all of them are read, and stored.

        Args:
            account_id: Without the prefix `act_`.
            seen: The moment (UTC) of the oldest page; what changed before it has been seen.
        """
        self._held.pop(account_id, None)
        with self._state.transaction() as connection:
            rows = connection.execute(
                "DELETE FROM lists WHERE account_id = ? AND (owner = ? OR owner IS NULL) RETURNING id",
                (account_id, self._owner),
            ).fetchall()
            connection.execute(
                "INSERT INTO lists_seen VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
                (account_id, seen.timestamp()),
            )
        for (number,) in rows:
            shutil.rmtree(self._page(number, 1).parent, ignore_errors=True)

    def seen_until(self, account_id: str) -> datetime | None:
        """Up to when (UTC) every change of an account's entities has been seen; None when that is not known."""
        rows = self._state.read("SELECT at FROM lists_seen WHERE account_id = ?", (account_id,))
        return datetime.fromtimestamp(float(rows[0][0]), UTC) if rows else None

    def release(self) -> None:
        """Leave what is half read to others."""
        with self._state.transaction() as connection:
            connection.execute("UPDATE lists SET owner = NULL WHERE owner = ?", (self._owner,))

    def sweep(self) -> None:
        """Remove what nobody will go on with, and files without a line."""
        oldest = (self._clock.now() - LIST_LIVES).timestamp()
        # A list that another process begins from now on has a higher number.
        newest, kept = self._state.last_number("lists"), set()
        for number, read_at, owner in self._state.read("SELECT id, read_at, owner FROM lists"):
            if read_at > oldest or not self._is_free(owner):
                kept.add(number)
            else:
                with self._state.transaction() as connection:
                    connection.execute("DELETE FROM lists WHERE id = ?", (number,))
        if not self._folder.is_dir():
            return
        for entry in self._folder.iterdir():
            if entry.name.isdecimal() and int(entry.name) not in kept and int(entry.name) <= newest:
                shutil.rmtree(entry, ignore_errors=True)

    def _is_free(self, owner: str | None) -> bool:
        return owner is None or owner == self._owner or not self._is_alive(owner)

    def _page(self, number: int, page: int) -> Path:
        return self._folder / str(number) / f"{page:06d}.json"

    def _update(self, number: int, assignments: str, *values: object) -> None:
        with self._state.transaction() as connection:
            connection.execute(f"UPDATE lists SET {assignments} WHERE id = ?", (*values, number))
