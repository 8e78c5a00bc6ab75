"""What Meta taught about each account, from sync to sync: how much it gives at once, how long it takes, what it withholds.

Lessons heal: what was refused is tried again after a day, then after twice as long each time, at most after a week. How a bound
moves is decided in `portions`; here it is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.collector.portions import DAYS, DIRECT, PAGE, Bound, Key
from meta_insights_pipeline.state import State

FIRST_QUARANTINE = timedelta(days=1)
LONGEST_QUARANTINE = timedelta(days=7)
# Until reports have been watched: one question too early, one when the report is done.
FIRST_POLLS = 2.0
_NEWEST_WEIGHT = 0.2
_NEWEST_WAIT_WEIGHT = 0.5
_LESS = 0.95
# Other accounts' reports say little about this one's: so long at most is waited on their word.
_LONGEST_HEARSAY = 30.0

_DDL = (
    # Of an earlier form, which held what was refused and not what was accepted.
    "DROP TABLE IF EXISTS sizes",
    """CREATE TABLE IF NOT EXISTS bounds (
        subject TEXT, report TEXT, what TEXT, given INTEGER NOT NULL, refused INTEGER NOT NULL, tries INTEGER NOT NULL,
        next_try REAL NOT NULL, PRIMARY KEY (subject, report, what))""",
    """CREATE TABLE IF NOT EXISTS waits (
        subject TEXT, report TEXT, scale INTEGER, seconds REAL NOT NULL, polls REAL NOT NULL,
        PRIMARY KEY (subject, report, scale))""",
    """CREATE TABLE IF NOT EXISTS splits (
        subject TEXT, report TEXT, lists REAL NOT NULL, direct REAL NOT NULL, reports REAL NOT NULL, pages REAL NOT NULL,
        PRIMARY KEY (subject, report))""",
    "CREATE TABLE IF NOT EXISTS failures (subject TEXT, report TEXT, count INTEGER NOT NULL, PRIMARY KEY (subject, report))",
    """CREATE TABLE IF NOT EXISTS quarantine (
        account_id TEXT, report TEXT, field TEXT, reason TEXT NOT NULL, since REAL NOT NULL, next_try REAL NOT NULL,
        tries INTEGER NOT NULL, PRIMARY KEY (account_id, report, field))""",
    """CREATE TABLE IF NOT EXISTS notices (
        account_id TEXT, topic TEXT, text TEXT NOT NULL, since REAL NOT NULL, PRIMARY KEY (account_id, topic))""",
    "CREATE TABLE IF NOT EXISTS refreshes (account_id TEXT PRIMARY KEY, at REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS habits (name TEXT PRIMARY KEY, value REAL NOT NULL)",
)


class Split(NamedTuple):
    """What a day costs that Meta gives only by entities, in calls of each sort."""

    lists: float
    """Of what delivered on the day."""
    direct: float
    """Parts that were asked for directly."""
    reports: float
    """Parts that were asynchronous reports."""
    pages: float
    """Of these reports."""


@dataclass(frozen=True)
class Size:
    """How much Meta gives of one report of one account at once; None where no bound is known."""

    days: int | None = None
    """At most so many days in one request."""
    by_entity: bool = False
    """Whether even one day must be asked for in parts."""
    direct_days: int | None = None
    """More days than so many are not asked for directly; 0: none are."""
    page_rows: int | None = None
    """Rows on a page."""
    polls: float | None = None
    """How often a report's status has to be asked for."""
    split: Split | None = None
    """What a day by entities costs."""


@dataclass(frozen=True)
class Quarantined:
    """A field that spoils a report."""

    reason: str
    is_due: bool
    """Whether it is time to try it again."""


class Lessons:
    """The lessons of one installation, shared by its processes."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        state.ensure(_DDL)

    def sizes(self) -> dict[tuple[str, str], Size]:
        """What is known of sizes, by account id and report; whatever is not there has no known bound."""
        sizes: dict[tuple[str, str], Size] = {}
        rows = self._state.read("SELECT subject, report, what, given, refused, tries, next_try FROM bounds")
        for subject, report, what, *values in rows:
            size = sizes.get((subject, report), Size())
            sizes[subject, report] = _bounded(size, what, Bound(*values).most(self._now()))
        for subject, report, polls in self._state.read("SELECT subject, report, avg(polls) FROM waits GROUP BY 1, 2"):
            sizes[subject, report] = replace(sizes.get((subject, report), Size()), polls=polls)
        for subject, report, *calls in self._state.read(
            "SELECT subject, report, lists, direct, reports, pages FROM splits"
        ):
            sizes[subject, report] = replace(sizes.get((subject, report), Size()), split=Split(*calls))
        return sizes

    def size(self, account_id: str, report: str) -> Size | None:
        """What is known of one report of one account."""
        return self.sizes().get((account_id, report))

    def bound(self, key: Key, what: str) -> Bound | None:
        """How much of something Meta gives at once; None when no bound is known."""
        rows = self._state.read(
            "SELECT given, refused, tries, next_try FROM bounds WHERE subject = ? AND report = ? AND what = ?",
            (*key, what),
        )
        return Bound(*rows[0]) if rows else None

    def set_bound(self, key: Key, what: str, bound: Bound | None) -> None:
        """Remember a bound, or that there is none."""
        if bound is None:
            self._write("DELETE FROM bounds WHERE subject = ? AND report = ? AND what = ?", *key, what)
            return
        self._write(
            "INSERT OR REPLACE INTO bounds VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(*key, what, bound.given, bound.refused, bound.tries, bound.next_try),
        )

    def split(self, key: Key, calls: Split) -> None:
        """A day by entities has cost so much."""
        self._write("INSERT OR REPLACE INTO splits VALUES (?, ?, ?, ?, ?, ?)", *key, *calls)

    def failed(self, key: Key) -> int:
        """A report could not be had because of trouble; gives how many times in a row that was."""
        with self._state.transaction() as connection:
            row = connection.execute(
                "INSERT INTO failures VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count", key
            ).fetchone()
            return int(row[0])

    def came(self, key: Key) -> None:
        """A report came: whatever trouble there was is over."""
        if self._state.read("SELECT 1 FROM failures WHERE subject = ? AND report = ?", key):
            self._write("DELETE FROM failures WHERE subject = ? AND report = ?", *key)

    def withheld(self, account_id: str, report: str) -> Mapping[str, Quarantined]:
        """The fields in quarantine."""
        rows = self._state.read(
            "SELECT field, reason, next_try FROM quarantine WHERE account_id = ? AND report = ?", (account_id, report)
        )
        return {field: Quarantined(reason, next_try <= self._now()) for field, reason, next_try in rows}

    def quarantine(self, account_id: str, report: str, field: str, reason: str) -> None:
        """Leave a field out from now on, twice as long as the last time, at most a week."""
        now = self._now()
        with self._state.transaction() as connection:
            row = connection.execute(
                "SELECT tries FROM quarantine WHERE account_id = ? AND report = ? AND field = ?",
                (account_id, report, field),
            ).fetchone()
            tries = int(row[0]) + 1 if row else 1
            lasts = min(FIRST_QUARANTINE * 2 ** (tries - 1), LONGEST_QUARANTINE)
            connection.execute(
                "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "reason = excluded.reason, next_try = excluded.next_try, tries = excluded.tries",
                (account_id, report, field, reason, now, now + lasts.total_seconds(), tries),
            )

    def gave(self, account_id: str, report: str, fields: tuple[str, ...]) -> None:
        """These fields came: whichever was in quarantine is free."""
        if not self.withheld(account_id, report):
            return
        for field in fields:
            self._write(
                "DELETE FROM quarantine WHERE account_id = ? AND report = ? AND field = ?", account_id, report, field
            )

    def is_news(self, account_id: str, topic: str, text: str) -> bool:
        """Whether this was not yet known of an account; it is from now on."""
        with self._state.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO notices VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET text = excluded.text, "
                "since = excluded.since WHERE text <> excluded.text",
                (account_id, topic, text, self._now()),
            )
            return cursor.rowcount == 1

    def is_over(self, account_id: str, topic: str) -> bool:
        """Whether something was known of an account; it is forgotten."""
        if not self._state.read("SELECT 1 FROM notices WHERE account_id = ? AND topic = ?", (account_id, topic)):
            return False
        self._write("DELETE FROM notices WHERE account_id = ? AND topic = ?", account_id, topic)
        return True

    def refreshed_at(self, account_id: str) -> datetime | None:
        """When (UTC) the entities of an account were last brought up to date; None when they never were."""
        rows = self._state.read("SELECT at FROM refreshes WHERE account_id = ?", (account_id,))
        return datetime.fromtimestamp(float(rows[0][0]), UTC) if rows else None

    def refreshed(self, account_id: str) -> None:
        """The entities of an account are up to date."""
        self._write(
            "INSERT INTO refreshes VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at", account_id, self._now()
        )

    def polls_a_report(self) -> float:
        """How often a report's status has to be asked for, on average over the last ones."""
        rows = self._state.read("SELECT value FROM habits WHERE name = 'polls'")
        return float(rows[0][0]) if rows else FIRST_POLLS

    def expected_wait(self, key: Key, days: int) -> float | None:
        """Seconds that an asynchronous report of about so many days takes; None when there was none yet."""
        own = self._state.read(
            "SELECT seconds FROM waits WHERE subject = ? AND report = ? AND scale = ?", (*key, days.bit_length())
        )
        if own:
            return float(own[0][0])
        others = self._state.read(
            "SELECT avg(seconds) FROM waits WHERE report = ? AND scale = ?", (key.report, days.bit_length())
        )
        return min(float(others[0][0]), _LONGEST_HEARSAY) if others[0][0] is not None else None

    def waited(self, key: Key, days: int, seconds: float, polls: int, *, is_told: bool = False) -> None:
        """An asynchronous report was ready after so many seconds, seen or told by Meta, and questions."""
        scale = days.bit_length()
        rows = self._state.read(
            "SELECT seconds, polls FROM waits WHERE subject = ? AND report = ? AND scale = ?", (*key, scale)
        )
        if rows and polls == 1 and not is_told:
            # It may have been ready long before. A little less next time, or the wait could never become shorter.
            seconds = min(seconds, float(rows[0][0]) * _LESS)
        # Now that it is known how long to wait first, as many questions as the first time will not be needed again.
        newest = (seconds, float(polls) if rows else min(float(polls), FIRST_POLLS))
        before = rows[0] if rows else newest
        weight = _NEWEST_WAIT_WEIGHT
        values = [float(old) * (1 - weight) + new * weight for old, new in zip(before, newest, strict=True)]
        self._write("INSERT OR REPLACE INTO waits VALUES (?, ?, ?, ?, ?)", *key, scale, *values)

    def polled(self, times: int) -> None:
        """A report was ready after so many questions."""
        value = self.polls_a_report() * (1 - _NEWEST_WEIGHT) + times * _NEWEST_WEIGHT
        self._write("INSERT INTO habits VALUES ('polls', ?) ON CONFLICT DO UPDATE SET value = excluded.value", value)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _write(self, statement: str, *values: object) -> None:
        with self._state.transaction() as connection:
            connection.execute(statement, values)


def _bounded(size: Size, what: str, most: int) -> Size:
    """What is known of a size with one more bound."""
    if what == DAYS:
        return replace(size, days=max(1, most), by_entity=most == 0)
    if what == DIRECT:
        return replace(size, direct_days=most)
    return replace(size, page_rows=most) if what == PAGE else size
