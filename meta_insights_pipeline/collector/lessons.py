"""What Meta taught about each account, from sync to sync: how much it gives at once, and which fields it withholds.

Lessons wear off: what was refused a week ago is tried again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.state import State

SIZE_LASTS = timedelta(days=7)
FIRST_QUARANTINE = timedelta(days=1)
LONGEST_QUARANTINE = timedelta(days=7)
# Until reports have been watched: one question too early, one when the report is done.
FIRST_POLLS = 2.0
_NEWEST_WEIGHT = 0.2

_DDL = (
    """CREATE TABLE IF NOT EXISTS sizes (
        account_id TEXT, report TEXT, days INTEGER NOT NULL, by_entity INTEGER NOT NULL, learned_at REAL NOT NULL,
        PRIMARY KEY (account_id, report))""",
    """CREATE TABLE IF NOT EXISTS quarantine (
        account_id TEXT, report TEXT, field TEXT, reason TEXT NOT NULL, since REAL NOT NULL, next_try REAL NOT NULL,
        tries INTEGER NOT NULL, PRIMARY KEY (account_id, report, field))""",
    """CREATE TABLE IF NOT EXISTS notices (
        account_id TEXT, topic TEXT, text TEXT NOT NULL, since REAL NOT NULL, PRIMARY KEY (account_id, topic))""",
    "CREATE TABLE IF NOT EXISTS refreshes (account_id TEXT PRIMARY KEY, at REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS habits (name TEXT PRIMARY KEY, value REAL NOT NULL)",
)


@dataclass(frozen=True)
class Size:
    """How much Meta gives of one report of one account at once."""

    days: int
    """At most so many days in one request."""
    by_entity: bool = False
    """Whether even one day must be asked for in parts."""


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
        since = (self._clock.now() - SIZE_LASTS).timestamp()
        rows = self._state.read("SELECT account_id, report, days, by_entity FROM sizes WHERE learned_at > ?", (since,))
        return {(account, report): Size(days, bool(by_entity)) for account, report, days, by_entity in rows}

    def size(self, account_id: str, report: str) -> Size | None:
        """What is known of one report of one account."""
        return self.sizes().get((account_id, report))

    def refused_days(self, account_id: str, report: str, days: int) -> None:
        """So many days were too many; a single one that was too much must be asked for in parts."""
        self._write(
            "INSERT INTO sizes VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET days = min(days, excluded.days), "
            "by_entity = max(by_entity, excluded.by_entity), learned_at = excluded.learned_at",
            account_id,
            report,
            max(1, days // 2),
            days == 1,
            self._now(),
        )

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

    def polled(self, times: int) -> None:
        """A report was ready after so many questions."""
        value = self.polls_a_report() * (1 - _NEWEST_WEIGHT) + times * _NEWEST_WEIGHT
        self._write("INSERT INTO habits VALUES ('polls', ?) ON CONFLICT DO UPDATE SET value = excluded.value", value)

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _write(self, statement: str, *values: object) -> None:
        with self._state.transaction() as connection:
            connection.execute(statement, values)
