"""Whether each account's newest days were read lately, by the account's own clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.sql import literal

# The schedule reads the newest days every half hour: six times in a row without success are no accident, and Meta's own
# limits of calls end within an hour.
STALE_AFTER = timedelta(hours=3)
# An account that a sync no longer finds is told for so long after it was last read; then it is taken for given up.
VANISHED_FOR = timedelta(days=7)


@dataclass(frozen=True)
class Freshness:
    """How fresh a report is."""

    checked: int
    """Accounts that were looked at: those of the run, and those that were read in the last days."""
    stale: tuple[str, ...]
    """A sentence for each account that is behind."""


@dataclass(frozen=True)
class _Due:
    """What should have been read of an account."""

    newest: date
    """The newest day that should be there: today, or yesterday as long as today is young."""
    read_since: datetime
    """When it should have been read, at the earliest."""
    closed: date | None
    """The last day that is over for long enough to have been read after its end."""
    closed_at: datetime
    """When that day ended."""


def freshness(
    connection: duckdb.DuckDBPyConnection,
    zones: Mapping[str, str],
    reports: Sequence[str],
    since: date,
    until: date,
    now: datetime,
) -> dict[str, Freshness]:
    """How fresh the reports are; empty when a run did not ask for the newest day of any account.

    Accounts that were read in the last seven days and are not among the run's are looked at, too: the token may have lost them.

    Args:
        connection: With the warehouse attached.
        zones: IANA name of the time zone of each of the run's accounts, by id.
        reports: Names of the reports to look at.
        since: First day that the run asked for; a run of past days alone tells nothing.
        until: Its last day.
        now: The moment (UTC).
    """
    due = {account: _due(zone, now) for account, zone in zones.items()}
    due = {account: one for account, one in due.items() if since <= one.newest <= until}
    if not due:
        return {}
    first = min(one.newest for one in due.values()) - timedelta(days=1)
    rows = connection.execute(
        f"SELECT report, account_id, date_start, collected_at FROM {ALIAS}.pipeline.coverage "
        f"WHERE date_start >= {literal(first)}"
    ).fetchall()
    read = {(report, account, day): moment.replace(tzinfo=UTC) for report, account, day, moment in rows}
    others = _others(connection, zones, now)
    found = {}
    for report in reports:
        mine = [one for one in others if one.report == report]
        # Whole accounts that are gone come first.
        texts = [_gone(one, now) for one in mine]
        texts += [_problem(account, one, report, read, now) for account, one in sorted(due.items())]
        found[report] = Freshness(len(due) + len(mine), tuple(text for text in texts if text))
    return found


@dataclass(frozen=True)
class _Other:
    """An account that is not among the run's."""

    report: str
    account: str
    newest: date
    """The newest day that was read."""
    read_at: datetime
    """When that was."""


def _others(connection: duckdb.DuckDBPyConnection, zones: Mapping[str, str], now: datetime) -> list[_Other]:
    oldest = now - VANISHED_FOR
    rows = connection.execute(
        "SELECT report, account_id, max(date_start), arg_max(collected_at, date_start) "
        # A day in hand: what was read then was at least of the day before, somewhere on Earth.
        f"FROM {ALIAS}.pipeline.coverage WHERE date_start >= {literal(oldest.date() - timedelta(days=1))} "
        f"GROUP BY report, account_id HAVING max(collected_at) >= {literal(oldest)} ORDER BY account_id"
    ).fetchall()
    return [
        _Other(report, account, day, moment.replace(tzinfo=UTC))
        for report, account, day, moment in rows
        if account not in zones
    ]


def _gone(one: _Other, now: datetime) -> str | None:
    """What is wrong with a report of an account that is not among the run's; its own clock is not known."""
    if now - one.read_at < STALE_AFTER:
        return None
    return (
        f"act_{one.account} is not among the accounts of this sync, and {one.newest}, the newest day of it, was last read "
        f"{(now - one.read_at) / timedelta(hours=1):.1f} hours ago."
    )


def _due(zone: str, now: datetime) -> _Due:
    today = now.astimezone(ZoneInfo(zone)).date()
    midnight = datetime.combine(today, time(), ZoneInfo(zone)).astimezone(UTC)
    yesterday = today - timedelta(days=1)
    is_young = now - midnight < STALE_AFTER
    return _Due(
        newest=yesterday if is_young else today,
        read_since=now - STALE_AFTER,
        closed=None if is_young else yesterday,
        closed_at=midnight,
    )


def _problem(
    account: str, due: _Due, report: str, read: Mapping[tuple[str, str, date], datetime], now: datetime
) -> str | None:
    """What is wrong with a report of an account, as one sentence."""
    newest = read.get((report, account, due.newest))
    if newest is None:
        return f"{due.newest} of act_{account} has not been read."
    if newest < due.read_since:
        return f"{due.newest} of act_{account} was last read {(now - newest) / timedelta(hours=1):.1f} hours ago."
    closed = read.get((report, account, due.closed)) if due.closed else None
    if closed is not None and closed < due.closed_at:
        return f"{due.closed} of act_{account} has not been read since it ended."
    return None
