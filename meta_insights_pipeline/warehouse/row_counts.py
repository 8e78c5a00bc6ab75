"""Whether the days that are over have about as many rows as the account usually has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.sql import literal

# Usual is the median of the two weeks before: every weekday counts twice, and no single day moves it.
USUAL_DAYS = 14
# With less than a week of them nothing is usual yet.
LEAST_DAYS = 7
# Weekends, launches and the end of a campaign stay within a third and three times of that; a report that came half does not.
FACTOR = 3
# A small account may well go from twenty rows to five.
LEAST_DIFFERENCE = 20
_SHOWN = 20


@dataclass(frozen=True)
class RowCounts:
    """How the row counts of a report compare with the usual ones."""

    checked: int
    """Account days that could be judged."""
    unusual: int
    examples: tuple[str, ...]
    """Sentences on some of them, the newest first."""


def row_counts(
    connection: duckdb.DuckDBPyConnection,
    last_closed: Mapping[str, date],
    reports: Sequence[str],
    since: date,
    until: date,
) -> dict[str, RowCounts]:
    """Compare the rows of each day that is over with the account's median of the days before.

    An account that had rows on each of these days and has none is told whatever its size.

    Args:
        connection: With the warehouse attached.
        last_closed: The newest day that is over, by account id.
        reports: Names of the reports to look at.
        since: First day to judge.
        until: Last day.
    """
    if not last_closed:
        return {}
    accounts = ", ".join(f"({literal(account)}, {literal(day)})" for account, day in last_closed.items())
    names = ", ".join(literal(report) for report in reports)
    before = f"RANGE BETWEEN INTERVAL {USUAL_DAYS} DAYS PRECEDING AND INTERVAL 1 DAY PRECEDING"
    judged = (
        "SELECT report, account_id, date_start, row_count, median(row_count) OVER earlier AS usual, "
        "min(row_count) OVER earlier AS least, count(*) OVER earlier AS days "
        f"FROM {ALIAS}.pipeline.coverage JOIN (FROM (VALUES {accounts}) AS v(account_id, last_closed)) USING (account_id) "
        f"WHERE report IN ({names}) AND date_start <= last_closed "
        f"AND date_start BETWEEN {literal(since - timedelta(days=USUAL_DAYS))} AND {literal(until)} "
        f"WINDOW earlier AS (PARTITION BY report, account_id ORDER BY date_start {before})"
    )
    unusual = (
        f"((row_count > usual * {FACTOR} OR row_count * {FACTOR} < usual) AND abs(row_count - usual) > {LEAST_DIFFERENCE} "
        "OR row_count = 0 AND least > 0)"
    )
    text = "format('{} of act_{} has {} rows; {:.0f} are usual.', date_start, account_id, row_count, usual)"
    rows = connection.execute(
        f"SELECT report, count(*), count(*) FILTER ({unusual}), "
        f"list({text} ORDER BY date_start DESC, account_id) FILTER ({unusual}) FROM ({judged}) "
        f"WHERE date_start >= {literal(since)} AND days >= {LEAST_DAYS} GROUP BY report"
    ).fetchall()
    found = {report: RowCounts(checked, bad, tuple((texts or ())[:_SHOWN])) for report, checked, bad, texts in rows}
    return {report: found.get(report, RowCounts(0, 0, ())) for report in reports}
