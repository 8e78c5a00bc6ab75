"""What has been bought from Meta and is not yet in the warehouse: submitted reports, their ids, the page reached, the pages.

The book is on disk and shared by processes: after a crash, a kill or a block the next sync goes on where the last one
stopped, instead of buying the same again.
"""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.state import State

# Meta keeps a report for 30 days ("Insights API Limits and Best Practices"); a day in hand.
REPORT_LIVES = timedelta(days=29)
# A day that was not over when a report was asked for is not whole in it. For this long the schedule, which asks for today and
# yesterday, reads that day again; after it nobody would, so such a report is asked for anew.
UNFINISHED_REPORT = timedelta(hours=24)
# Meta recomputes insights about every quarter of an hour.
FRESH_ANSWER = timedelta(minutes=15)

_DDL = (
    """CREATE TABLE IF NOT EXISTS purchases (
        id INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL, asynchronous INTEGER NOT NULL, final INTEGER NOT NULL,
        asked_at REAL NOT NULL, run_id TEXT, pages INTEGER NOT NULL, after TEXT, complete INTEGER NOT NULL, owner TEXT)""",
    "CREATE INDEX IF NOT EXISTS purchases_identity ON purchases (identity)",
)
_COLUMNS = "id, asynchronous, final, asked_at, run_id, pages, after, complete, owner"


@dataclass
class Purchase:
    """One request and how far it has come; the book keeps it up to date."""

    id: int
    asynchronous: bool
    ended: bool
    """Whether all its days were over when it was asked. Meta may still restate them, but the numbers are those of the account's
    whole days, as if the sync that asked had stored them then; newer ones go before them."""
    asked_at: datetime
    """When (UTC) it was asked; the numbers are as of then."""
    run_id: str | None = None
    """The report run, once submitted."""
    pages: int = 0
    after: str | None = None
    """The cursor behind the last page."""
    complete: bool = False

    def is_usable(self, now: datetime) -> bool:
        """Whether it can be gone on with, and gives what a sync that was not stopped would have stored."""
        age = now - self.asked_at
        if not self.asynchronous:
            return age < FRESH_ANSWER
        return age < (REPORT_LIVES if self.ended else UNFINISHED_REPORT)


def identity(base_url: str, version: str, node: str, parameters: Mapping[str, str]) -> str:
    """A text that two requests share only if they ask for the same."""
    text = json.dumps([base_url, version, node, dict(sorted(parameters.items()))])
    return hashlib.sha256(text.encode()).hexdigest()


class ReportBook:
    """The purchases of one sync, on the shelf that all syncs of an installation share."""

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
        state.ensure(_DDL)

    def claim(self, key: str, *, asynchronous: bool, ended: bool) -> Purchase:
        """Go on with the newest usable purchase that nobody else works on, or begin a new one."""
        now = self._clock.now()
        with self._state.transaction() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM purchases WHERE identity = ? AND asynchronous = ? ORDER BY asked_at DESC",
                (key, asynchronous),
            ).fetchall()
            for row in rows:
                found = _purchase(row)
                owner = row[-1]
                free = owner is None or owner == self._owner or not self._is_alive(owner)
                if free and found.is_usable(now):
                    connection.execute("UPDATE purchases SET owner = ? WHERE id = ?", (self._owner, found.id))
                    return found
            cursor = connection.execute(
                "INSERT INTO purchases (identity, asynchronous, final, asked_at, pages, complete, owner) "
                "VALUES (?, ?, ?, ?, 0, 0, ?)",
                (key, asynchronous, ended, now.timestamp(), self._owner),
            )
            assert cursor.lastrowid is not None
            return Purchase(cursor.lastrowid, asynchronous, ended, now)

    def submitted(self, purchase: Purchase, run_id: str) -> None:
        """Note the id that Meta gave a report, before anything else can go wrong."""
        self._update(purchase, "run_id = ?", run_id)
        purchase.run_id = run_id

    def add_page(self, purchase: Purchase, rows: bytes, after: str | None) -> None:
        """Keep a page, and the cursor behind it; without a cursor the purchase is complete."""
        number = purchase.pages + 1
        file = self._page(purchase, number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(rows)
        self._update(purchase, "pages = ?, after = ?, complete = ?", number, after, after is None)
        purchase.pages, purchase.after, purchase.complete = number, after, after is None

    def finish(self, purchase: Purchase) -> None:
        """Note that every page has come: the last one may have been empty."""
        if not purchase.complete:
            self._update(purchase, "complete = 1")
            purchase.complete = True

    def files(self, purchase: Purchase) -> tuple[Path, ...]:
        """The pages, in order."""
        return tuple(self._page(purchase, number) for number in range(1, purchase.pages + 1))

    def discard(self, purchases: Iterable[Purchase]) -> None:
        """Forget purchases: they are in the warehouse, or worthless."""
        gone = list(purchases)
        if not gone:
            return
        # The lines first: files without a line are swept up, a line without files would be read as rows.
        with self._state.transaction() as connection:
            connection.executemany("DELETE FROM purchases WHERE id = ?", [(purchase.id,) for purchase in gone])
        for purchase in gone:
            shutil.rmtree(self._page(purchase, 1).parent, ignore_errors=True)

    def release(self) -> None:
        """Leave what is not finished to others."""
        with self._state.transaction() as connection:
            connection.execute("UPDATE purchases SET owner = NULL WHERE owner = ?", (self._owner,))

    def sweep(self) -> None:
        """Remove what nobody will go on with, and files without a line."""
        now = self._clock.now()
        # A purchase that another process begins from now on has a higher number.
        newest = self._state.last_number("purchases")
        rows = self._state.read(f"SELECT {_COLUMNS} FROM purchases")
        kept = set()
        for row in rows:
            purchase, owner = _purchase(row), row[-1]
            held = owner is not None and self._is_alive(owner)
            if held or purchase.is_usable(now):
                kept.add(str(purchase.id))
            else:
                self.discard([purchase])
        if not self._folder.is_dir():
            return
        for entry in self._folder.iterdir():
            if entry.name not in kept and entry.name.isdecimal() and int(entry.name) <= newest:
                shutil.rmtree(entry, ignore_errors=True)

    def _page(self, purchase: Purchase, number: int) -> Path:
        return self._folder / str(purchase.id) / f"{number:06d}.json"

    def _update(self, purchase: Purchase, assignments: str, *values: object) -> None:
        with self._state.transaction() as connection:
            connection.execute(f"UPDATE purchases SET {assignments} WHERE id = ?", (*values, purchase.id))


def _purchase(row: "sqlite3.Row | tuple[object, ...]") -> Purchase:
    number, asynchronous, ended, asked_at, run_id, pages, after, complete = tuple(row)[:8]
    return Purchase(
        id=int(str(number)),
        asynchronous=bool(asynchronous),
        ended=bool(ended),
        asked_at=datetime.fromtimestamp(float(str(asked_at)), UTC),
        run_id=None if run_id is None else str(run_id),
        pages=int(str(pages)),
        after=None if after is None else str(after),
        complete=bool(complete),
    )
