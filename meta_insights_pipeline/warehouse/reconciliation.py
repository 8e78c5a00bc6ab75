"""The ledger: per account, day, level and metric, whether the rows of the level add up to the account's total, and if not, why.

Everything is compared exactly: there is no tolerance. What explains a residual is decided from what the warehouse knows: when
each report was read, what Meta withheld, what is missing, which rows were recovered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

import duckdb

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.warehouse.database import ALIAS, joins_as_written, one_thread
from meta_insights_pipeline.warehouse.level_sums import (
    DaysTable,
    Metric,
    action_sums,
    fact_sums,
    ledger_metrics,
    metrics_table,
    report_name,
    sums_by_owner,
    unpivoted,
)
from meta_insights_pipeline.warehouse.recovered import BOOK, is_recovered, recovered_levels
from meta_insights_pipeline.warehouse.schema import (
    RECONCILIATION,
    SUM,
    SUPERSEDED_AT,
    reconciliation_history_table,
    reconciliation_table,
)
from meta_insights_pipeline.warehouse.sql import literal, parquet

COMPARED_LEVELS = (Level.CAMPAIGN, Level.ADSET, Level.AD)

# Numbers no longer change 28 days after their day ("Insights API Limits and Best Practices"); a day and a half more than
# that has passed since the beginning of the day in every time zone.
FINAL_AFTER = timedelta(days=30, hours=12)
# Meta is asked about the same residual of the same account day again after so long; as for anything else that it refused.
LOOK_AGAIN_AFTER = timedelta(hours=6)
# For so long a day is kept in sight after it: syncs go on with what was left open, and what nothing explains fails the check.
# Meta itself restates a day for 28 days.
WATCHED_FOR = timedelta(days=28)
# Account days that are compared at a time, so that the memory does not grow with their number.
_ACCOUNT_DAYS_AT_ONCE = 500
_LEDGER = f"{ALIAS}.{RECONCILIATION}"
_HISTORY = f"{ALIAS}.{reconciliation_history_table().name}"
_BOOKS = f"{ALIAS}.pipeline"
_REPORT_DAY = "account_id, date_start, report"
_TOUCHED = "ledger_touched"
# What a row of any entity that delivered has; conversions are no sign of a row that is not there.
_OF_EVERY_ROW = ("spend", "impressions", "clicks")
_IDS_SHOWN = 5
_LINES_SHOWN = 20
# Spend before clicks, and these before conversions: of what is shown, that is what a person looks for.
_NEWEST_FIRST = (
    "date_start DESC, account_id, list_position(['spend', 'impressions', 'clicks'], metric) NULLS LAST, metric"
)


class Status(StrEnum):
    """What a comparison came to."""

    EQUAL = "equal"
    EXPLAINED = "explained"
    """There is, or was, a residual, and evidence for its cause."""
    INCOMPLETE = "incomplete"
    """One of the two sides is not there, or they are not of the same moment."""
    UNEXPLAINED = "unexplained"


class Explanation(StrEnum):
    """What stands behind a residual."""

    DELETED_ADS_RECOVERED = "deleted_ads_recovered"
    """The level adds up with rows that no report listed and that were asked for by id."""
    RESTATED_BETWEEN_CALLS = "restated_between_calls"
    """Asked for again, one right after the other, both sides are equal."""
    WITHHELD_BY_META = "withheld_by_meta"
    """Meta does not give the field for some rows, and nothing else tells that rows are lacking."""
    NOT_COLLECTED = "not_collected"
    """A report of the day is missing."""
    READ_APART = "read_apart"
    """The reports were read at different moments of a day that still changed, and not together since."""
    UNEXPLAINED = "unexplained"


STATUS_OF = {
    Explanation.DELETED_ADS_RECOVERED: Status.EXPLAINED,
    Explanation.RESTATED_BETWEEN_CALLS: Status.EXPLAINED,
    Explanation.WITHHELD_BY_META: Status.EXPLAINED,
    Explanation.NOT_COLLECTED: Status.INCOMPLETE,
    Explanation.READ_APART: Status.INCOMPLETE,
    Explanation.UNEXPLAINED: Status.UNEXPLAINED,
}

AccountDays = tuple[str, date, date]
"""An account, and the first and last of some days."""


@dataclass(frozen=True)
class Residual:
    """A residual of an account day that is worth asking Meta about."""

    account_id: str
    day: date
    level: Level
    metrics: tuple[str, ...]
    share: float
    """The largest residual of any metric, as a share of the larger of its two sides: from 0 to 1, and more across zero."""
    is_final: bool
    """Whether both reports were read when the day's numbers no longer changed, so that reading them again is no use."""


@dataclass(frozen=True)
class LedgerLine:
    """One residual that nothing explains, or whose sides were read apart."""

    account_id: str
    day: date
    metric: str
    account_value: Decimal
    level_sum: Decimal
    residual: Decimal
    currency: str | None
    """None for counts."""
    details: str
    days_ago: int
    """How long ago the day was, by the account's own clock."""
    compared_at: datetime
    """When (UTC) both sides were last compared."""


@dataclass(frozen=True)
class Open:
    """Residuals that are to be told."""

    count: int = 0
    lines: tuple[LedgerLine, ...] = ()
    """The newest days first, spend before all others; not all when there are many."""


@dataclass(frozen=True)
class LedgerFinding:
    """What a run's comparisons of one level came to, and what is open of the level whichever run compared it."""

    counts: Mapping[Status, int]
    """Of the run's own comparisons."""
    unexplained: Open
    """Of the run's days, and of the last 28 days."""
    read_apart: Open
    """Of the same days, as far as they are over in their account: both sides differ, and were never read together."""
    unexplained_before: int
    """Unexplained residuals of all other days."""

    @property
    def compared(self) -> int:
        """All comparisons of the run."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Note:
    """What was found out about a residual without explaining it, as a sentence."""

    account_id: str
    day: date
    level: Level
    metric: str
    text: str
    """Empty when there is nothing to say."""
    finished: bool
    """Whether everything was asked that there is to ask; if not, the next sync goes on."""


@dataclass(frozen=True)
class Moment:
    """When a comparison is made, and for whom."""

    run_id: str
    now: datetime
    asked_again_at: datetime | None = None
    """When (UTC) both sides of these account days began to be asked for again; None for a first comparison."""
    concludes: bool = False
    """Whether nothing more is asked after this comparison. Only then is an open residual noted as asked about: a sync that dies
    before has not asked everything."""


def reconcile(
    connection: duckdb.DuckDBPyConnection, touched: Iterable[AccountDays], moment: Moment, folder: Path
) -> None:
    """Compare every level with the account's total for the account days that were touched, and write the results down.

    Args:
        connection: With the warehouse attached; inside the caller's transaction.
        touched: Which account days; they may overlap.
        moment: The run and its time.
        folder: For the results on their way; it must exist.
    """
    parts = sorted(set(touched))
    if not parts:
        return
    metrics = ledger_metrics(connection)
    # Two threads take twice the memory, and not half the time.
    with one_thread(connection), joins_as_written(connection):
        for part, since, until in _draw_touched(connection, parts):
            file = folder / f"reconciled-{part}.parquet"
            days = DaysTable(f"(SELECT account_id, date_start FROM {_TOUCHED} WHERE part = {part})", since, until)
            _judge(connection, days, metrics, moment, file)
            _store(connection, days, moment, file)
            file.unlink()


def collected_days(connection: duckdb.DuckDBPyConnection) -> list[AccountDays]:
    """Every account, with the first and last day that any report of it was collected."""
    return connection.execute(
        f"SELECT account_id, min(date_start), max(date_start) FROM {ALIAS}.pipeline.coverage GROUP BY account_id"
    ).fetchall()


def residuals(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    since: date,
    until: date,
    now: datetime,
    asked_again_at: datetime | None = None,
) -> list[Residual]:
    """The residuals that a run has to look into, the largest first: its own, and of the last 28 days what others left.

    Others leave what was never read together, or not asked about to the end. Left out is what Meta was asked about a few hours
    ago and that is still the same.

    Args:
        connection: With the warehouse attached.
        run_id: The run.
        since: Its first day.
        until: Its last day.
        now: The moment (UTC).
        asked_again_at: What this run has asked about itself, at that moment, is not left out.
    """
    watched = (now - WATCHED_FOR).date()
    left = (
        f"d.date_start >= {literal(watched)} "
        f"AND (explanation = {literal(Explanation.READ_APART.value)} OR asked_again_at IS NULL)"
    )
    asked = f"asked_again_at IS NULL OR asked_again_at <= {literal(now - LOOK_AGAIN_AFTER)}"
    if asked_again_at is not None:
        asked += f" OR asked_again_at = {literal(asked_again_at)}"
    rows = connection.execute(
        "SELECT d.account_id, d.date_start, d.level, list(DISTINCT d.metric ORDER BY d.metric), "
        "max(abs(residual)::DOUBLE / greatest(abs(account_value), abs(level_sum))::DOUBLE) AS share, "
        f"bool_and({_is_final('c.collected_at')}) FROM {_LEDGER} AS d "
        f"JOIN {ALIAS}.pipeline.coverage AS c ON {_same_day('c')} "
        "AND c.report IN ('account_insights', d.level || '_insights') "
        f"WHERE (({_of_run(run_id, since, until)}) OR ({left})) AND residual <> 0 AND explanation IN ({_texts(_OPEN)}) "
        # A plain bound lets DuckDB skip every block of earlier days.
        f"AND d.date_start >= {literal(min(since, watched))} AND ({asked}) "
        "GROUP BY d.account_id, d.date_start, d.level ORDER BY share DESC, d.account_id, d.date_start, d.level"
    ).fetchall()
    return [
        Residual(account, day, Level(level), tuple(metrics), float(share), bool(is_final))
        for account, day, level, metrics, share, is_final in rows
    ]


def findings(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    since: date,
    until: date,
    now: datetime,
    todays: Mapping[str, date] = MappingProxyType({}),
) -> dict[str, LedgerFinding]:
    """What a run's comparisons of some days came to, by table of the level; levels that were not compared are left out.

    A residual does not go by itself when the schedule's days have passed it: those of the last 28 days are told by every run.

    Args:
        connection: With the warehouse attached.
        run_id: The run.
        since: Its first day.
        until: Its last day.
        now: The moment (UTC).
        todays: The accounts' own today; of others a day is over once it is over everywhere.
    """
    mine, told = _of_run(run_id, since, until), f"d.date_start >= {literal((now - WATCHED_FOR).date())}"
    counts: dict[str, dict[Status, int]] = {}
    for level, status, count in connection.execute(
        f"SELECT level, status, count(*) FROM {_LEDGER} AS d WHERE {mine} GROUP BY ALL"
    ).fetchall():
        counts.setdefault(level, dict.fromkeys(Status, 0))[Status(status)] = count
    unexplained = f"d.status = {literal(Status.UNEXPLAINED.value)}"
    before = dict(
        connection.execute(
            f"SELECT level, count(*) FROM {_LEDGER} AS d WHERE {unexplained} AND NOT ({mine}) AND NOT ({told}) GROUP BY level"
        ).fetchall()
    )
    apart = f"d.explanation = {literal(Explanation.READ_APART.value)} AND d.residual <> 0"
    days = f"d.date_start >= {literal(min(since, (now - WATCHED_FOR).date()))} AND (({mine}) OR {told})"
    found = {
        status: _open(connection, f"{days} AND {condition}", now, todays)
        for status, condition in ((Status.UNEXPLAINED, unexplained), (Status.INCOMPLETE, f"{apart} AND is_over"))
    }
    return {
        report_name(level): LedgerFinding(
            counts[level],
            found[Status.UNEXPLAINED].get(level, Open()),
            found[Status.INCOMPLETE].get(level, Open()),
            before.get(level, 0),
        )
        for level in COMPARED_LEVELS
        if level in counts
    }


def _open(
    connection: duckdb.DuckDBPyConnection, condition: str, now: datetime, todays: Mapping[str, date]
) -> dict[str, Open]:
    """Lines of the ledger `d` on a condition, by level; `is_over` is whether the account's day is."""
    lines = ", ".join(f"({literal(account)}, {literal(day)})" for account, day in todays.items())
    known = f"(VALUES {lines})" if lines else "(SELECT NULL::VARCHAR, NULL::DATE LIMIT 0)"
    # Nowhere on Earth does a day end later than twelve hours after it ended in UTC.
    everywhere = (now - timedelta(hours=12)).date()
    found: dict[str, tuple[int, list[LedgerLine]]] = {}
    for level, count, *values in connection.execute(
        f"WITH d AS (SELECT r.*, coalesce(t.today, {literal(everywhere)}) AS own_day, date_start < own_day AS is_over "
        f"FROM {_LEDGER} AS r LEFT JOIN {known} AS t(account_id, today) USING (account_id)) "
        "SELECT level, count(*) OVER (PARTITION BY level), account_id, date_start, metric, account_value, level_sum, residual, "
        f"account_currency, coalesce(details, ''), greatest(0, own_day - date_start), checked_at FROM d WHERE {condition} "
        f"QUALIFY row_number() OVER (PARTITION BY level ORDER BY {_NEWEST_FIRST}) <= {_LINES_SHOWN} ORDER BY {_NEWEST_FIRST}"
    ).fetchall():
        values[-1] = values[-1].replace(tzinfo=UTC)
        found.setdefault(level, (count, []))[1].append(LedgerLine(*values))
    return {level: Open(count, tuple(some)) for level, (count, some) in found.items()}


def add_notes(connection: duckdb.DuckDBPyConnection, notes: Sequence[Note]) -> None:
    """Add to the details of what nothing explains yet what they do not say already."""
    if not notes:
        return
    lines = ", ".join(
        f"({literal(one.account_id)}, {literal(one.day)}, {literal(one.level.value)}, {literal(one.metric)}, "
        f"{literal(one.text)}, {str(one.finished).lower()})"
        for one in notes
    )
    since, until = min(one.day for one in notes), max(one.day for one in notes)
    connection.execute(
        f"UPDATE {_LEDGER} AS d SET details = CASE WHEN contains(d.details, n.text) THEN d.details "
        "ELSE concat_ws(' ', d.details, nullif(n.text, '')) END, "
        "asked_again_at = CASE WHEN n.finished THEN d.asked_again_at END "
        f"FROM (VALUES {lines}) AS n(account_id, date_start, level, metric, text, finished) "
        f"WHERE {_same_day('n')} AND d.level = n.level AND d.metric = n.metric "
        f"AND d.explanation IN ({_texts(_OPEN)}) "
        f"AND d.date_start BETWEEN {literal(since)} AND {literal(until)}"
    )


def _of_run(run_id: str, since: date, until: date) -> str:
    return f"d.run_id = {literal(run_id)} AND d.date_start BETWEEN {literal(since)} AND {literal(until)}"


_OPEN = (Explanation.READ_APART, Explanation.UNEXPLAINED)


def _texts(values: Iterable[str]) -> str:
    return ", ".join(literal(str(value)) for value in values)


# ---- the sums ----


def _draw_touched(connection: duckdb.DuckDBPyConnection, parts: Sequence[AccountDays]) -> list[tuple[int, date, date]]:
    """Write down the account days of which anything was ever collected, in parts to compare at a time.

    Returns:
        The number of each part, and its first and last day.
    """
    lines = ", ".join(f"({literal(account)}, {literal(first)}, {literal(last)})" for account, first, last in parts)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_TOUCHED} AS SELECT *, (row_number() OVER (ORDER BY date_start, account_id) - 1) "
        f"// {_ACCOUNT_DAYS_AT_ONCE} AS part FROM (SELECT DISTINCT account_id, date_start FROM (SELECT account_id, "
        "unnest(generate_series(first, last, INTERVAL 1 DAY))::DATE AS date_start "
        f"FROM (VALUES {lines}) AS v(account_id, first, last)) "
        f"SEMI JOIN {ALIAS}.pipeline.coverage USING (account_id, date_start))"
    )
    return connection.execute(
        f"SELECT part, min(date_start), max(date_start) FROM {_TOUCHED} GROUP BY part ORDER BY part"
    ).fetchall()


def _recovered_sums(connection: duckdb.DuckDBPyConnection, days: DaysTable, metrics: Sequence[Metric]) -> str:
    """A query `(level, account_id, date_start, metric, value)` of the recovered rows alone."""
    nothing = "SELECT NULL::VARCHAR AS level, NULL::VARCHAR AS account_id, NULL::DATE AS date_start, "
    nothing += f"NULL::VARCHAR AS metric, NULL::{SUM} AS value LIMIT 0"
    return (
        " UNION ALL ".join(
            f"SELECT {literal(level.value)} AS level, account_id, date_start, metric, value FROM "
            f"({sums_by_owner(level, Level.ACCOUNT, days, metrics, only=is_recovered(level))})"
            for level in recovered_levels(connection, days)
        )
        or nothing
    )


# ---- the verdict ----


def _judge(
    connection: duckdb.DuckDBPyConnection, days: DaysTable, metrics: Sequence[Metric], moment: Moment, file: Path
) -> None:
    """Compare both sides of each metric, beside what was said of it before, and write the results to a file."""
    asked, now = literal(moment.asked_again_at), literal(moment.now)
    recovered = _recovered_sums(connection, days, metrics)
    # A file, since DuckDB keeps a table in memory until the transaction ends.
    connection.execute(
        f"COPY (WITH facts AS MATERIALIZED ({fact_sums(days, metrics)}), compared AS ({_compared(days, metrics, recovered)}), "
        f"judged AS (SELECT *, {_verdict(moment)} AS verdict FROM compared) "
        "SELECT account_id, date_start, level, metric, CASE WHEN is_money THEN currency END AS account_currency, "
        "account_value, level_sum, residual, "
        f"CASE {_cases('verdict', STATUS_OF)} ELSE {literal(Status.EQUAL.value)} END AS status, verdict AS explanation, "
        f"CASE verdict WHEN {literal(Explanation.DELETED_ADS_RECOVERED.value)} THEN recovered "
        f"WHEN {literal(Explanation.RESTATED_BETWEEN_CALLS.value)} THEN coalesce(old_before, old_residual) END "
        f"AS residual_before, {_details(moment)} AS details, "
        f"CASE WHEN {asked} IS NULL THEN CASE WHEN verdict IN ({_texts(_KEPT)}) AND same_as_before THEN old_asked_at END "
        f"WHEN verdict IN ({_texts(_ASKED_ABOUT if moment.concludes else _PROVEN)}) THEN {asked} END::TIMESTAMP "
        "AS asked_again_at, "
        f"{now} AS checked_at, {literal(moment.run_id)} AS run_id FROM judged ORDER BY level, metric, account_id) "
        f"TO {literal(file)} (FORMAT parquet, COMPRESSION lz4_raw)"
    )


_KEPT = (Explanation.UNEXPLAINED, Explanation.DELETED_ADS_RECOVERED)
_PROVEN = (Explanation.RESTATED_BETWEEN_CALLS, Explanation.DELETED_ADS_RECOVERED)
_ASKED_ABOUT = (*_OPEN, *_PROVEN)


def _compared(days: DaysTable, metrics: Sequence[Metric], recovered: str) -> str:
    """Both sides of every metric of every level that was collected or asked for, beside what the ledger has.

    What belongs to one comparison is stacked and grouped, not joined: DuckDB holds 8 MB for each join of a statement, however
    small its tables are.
    """
    values = (
        "SELECT d.* EXCLUDE (level_sum), m.field, m.is_money, s.* EXCLUDE (account_id, date_start, level), "
        f"{_rows_lacking('account_fields')} > 0 AS account_withheld, {_rows_lacking('level_fields')} AS rows_lacking, "
        "rows_lacking = level_rows AS level_withheld, "
        f"{_side('account')} AS account_value, {_side('level')} AS level_sum "
        f"FROM ({_stacked_values(days, metrics, recovered)}) AS d JOIN ({_stacked_sides(days)}) AS s "
        f"ON {_same_day('s')} AND s.level = d.level JOIN {metrics_table(metrics)} AS m ON m.metric = d.metric"
    )
    return (
        "SELECT d.*, d.account_value - d.level_sum AS residual, old.explanation AS old_explanation, "
        "old.residual AS old_residual, old.residual_before AS old_before, old.details AS old_details, "
        "old.asked_again_at AS old_asked_at, "
        "coalesce(old.residual = d.account_value - d.level_sum, false) AS same_as_before, "
        "bool_and(old.account_value IS NOT DISTINCT FROM d.account_value AND old.level_sum IS NOT DISTINCT FROM d.level_sum) "
        "OVER (PARTITION BY d.account_id, d.date_start, d.level) AS stands_still, "
        # Of a row that is not there every count is lacking, also those that Meta gives.
        f"coalesce(bool_or(d.metric IN ({_texts(_OF_EVERY_ROW)}) AND rows_lacking = 0 AND d.account_value > d.level_sum) "
        "OVER (PARTITION BY d.account_id, d.date_start, d.level), false) AS lacks_rows, "
        f"{_is_final('account_at')} AND {_is_final('level_at')} AS final FROM ({values}) AS d"
    )


def _stacked_sides(days: DaysTable) -> str:
    """What is known of both reports of each comparison; those of which neither rows nor a gap of the level are known are out."""
    account = literal(report_name(Level.ACCOUNT))
    names = ("collected_at", "reason", "entity_id", "currency", "row_count", "withheld")
    books = " UNION ALL ".join(
        f"SELECT r.account_id, r.date_start, r.report, {', '.join(f'r.{name}' if name == own else 'NULL' for name in names)} "
        f"FROM {book} AS r WHERE {days.bounds}"
        for book, own in ((f"{_BOOKS}.coverage", "collected_at"), (f"{_BOOKS}.missing", "reason"), (BOOK, "entity_id"))
    )
    facts = "SELECT account_id, date_start, level || '_insights', NULL, NULL, NULL, currency, row_count, withheld FROM facts"
    known = (
        f"SELECT r.* FROM ({books}) AS r({_REPORT_DAY}, {', '.join(names)}) JOIN {days.name} AS b ON {days.same} "
        f"UNION ALL {facts}"
    )
    levels = " ".join(f"WHEN {literal(report_name(level))} THEN [{literal(level.value)}]" for level in COMPARED_LEVELS)
    return (
        "SELECT account_id, date_start, level, level || '_insights' AS report, "
        "max(collected_at) FILTER (of_account) AS account_at, max(collected_at) FILTER (NOT of_account) AS level_at, "
        "any_value(reason) FILTER (of_account) AS account_gap, any_value(reason) FILTER (NOT of_account) AS level_gap, "
        "any_value(withheld) FILTER (of_account) AS account_fields, any_value(withheld) FILTER (NOT of_account) AS level_fields, "
        "any_value(row_count) FILTER (NOT of_account) AS level_rows, "
        "coalesce(any_value(currency) FILTER (of_account), any_value(currency)) AS currency, "
        "list_sort(list(entity_id) FILTER (entity_id IS NOT NULL AND NOT of_account)) AS ids "
        f"FROM (SELECT *, report = {account} AS of_account, "
        f"unnest(CASE report WHEN {account} THEN [{_texts(COMPARED_LEVELS)}] {levels} END) AS level FROM ({known})) "
        "GROUP BY account_id, date_start, level HAVING level_at IS NOT NULL OR level_gap IS NOT NULL"
    )


def _stacked_values(days: DaysTable, metrics: Sequence[Metric], recovered: str) -> str:
    """Both sides' sums of each comparison, that of the recovered rows, and its line of the ledger as `old`.

    Every day has the metrics of every report, and those conversions that any of its levels knows.
    """
    of_every_report = ", ".join(literal(one.name) for one in metrics if not one.action_type)
    every_level = f"unnest([{_texts(COMPARED_LEVELS)}])"
    empty = f"NULL::{SUM} AS account_sum, NULL::{SUM} AS level_sum, NULL::{SUM} AS recovered"
    sums = (
        f"SELECT level, account_id, date_start, {unpivoted(metrics)} FROM facts UNION ALL {action_sums(days, metrics)}"
    )
    stacked = (
        f"SELECT account_id, date_start, level, unnest([{of_every_report}]) AS metric, true AS present, {empty}, NULL AS old "
        f"FROM (SELECT *, {every_level} AS level FROM {days.name}) "
        "UNION ALL SELECT account_id, date_start, compared, metric, value <> 0, CASE WHEN level = 'account' THEN value END, "
        f"CASE WHEN level = compared THEN value END, NULL, NULL FROM (SELECT *, {every_level} AS compared FROM ({sums})) "
        f"UNION ALL SELECT account_id, date_start, level, metric, false, NULL, NULL, value, NULL FROM ({recovered}) "
        "UNION ALL SELECT r.account_id, r.date_start, r.level, r.metric, false, NULL, NULL, NULL, r "
        f"FROM {_LEDGER} AS r JOIN {days.name} AS b ON {days.same} WHERE {days.bounds}"
    )
    return (
        "SELECT account_id, date_start, level, metric, any_value(account_sum) AS account_sum, "
        "any_value(level_sum) AS level_sum, any_value(recovered) AS recovered, any_value(old) AS old "
        f"FROM ({stacked}) GROUP BY ALL HAVING bool_or(present)"
    )


def _same_day(table: str) -> str:
    return f"{table}.account_id = d.account_id AND {table}.date_start = d.date_start"


def _rows_lacking(fields: str) -> str:
    """How many rows of a side lack the field of the metric."""
    lack = "list_contains(string_split(e.key, ','), m.field)"
    entries = f"map_entries({fields})"
    return f"coalesce(list_sum(list_transform({entries}, lambda e: CASE WHEN {lack} THEN e.value ELSE 0 END)), 0)"


def _side(side: str) -> str:
    """A sum: NULL when the side was not collected or all of its rows lack the field; no row at all is no delivery, and 0."""
    value = f"d.{side}_sum"
    return (
        f"CASE WHEN s.{side}_at IS NULL OR coalesce({side}_withheld, false) THEN {value} ELSE coalesce({value}, 0) END"
    )


def _is_final(collected_at: str) -> str:
    seconds = int(FINAL_AFTER.total_seconds())
    return f"{collected_at} >= d.date_start::TIMESTAMP + INTERVAL {seconds} SECONDS"


def _verdict(moment: Moment) -> str:
    """What explains a comparison; NULL when there is nothing to explain. Only what is proven counts."""
    asked = literal(moment.asked_again_at)
    read_again = f"(account_at >= {asked} AND level_at >= {asked})"
    was_different = f"(old_residual <> 0 OR old_explanation = {literal(Explanation.RESTATED_BETWEEN_CALLS.value)})"
    rules = (
        ("account_at IS NULL OR level_at IS NULL", Explanation.NOT_COLLECTED),
        ("(account_withheld OR rows_lacking > 0) AND residual IS NULL", Explanation.WITHHELD_BY_META),
        # A value that is not given makes no sum too large, and does not hide rows that other counts tell of.
        ("rows_lacking > 0 AND residual > 0 AND NOT lacks_rows", Explanation.WITHHELD_BY_META),
        ("residual = 0 AND recovered <> 0", Explanation.DELETED_ADS_RECOVERED),
        (f"residual = 0 AND {read_again} AND {was_different}", Explanation.RESTATED_BETWEEN_CALLS),
        ("residual = 0", None),
        ("account_gap IS NOT NULL OR level_gap IS NOT NULL", Explanation.NOT_COLLECTED),
        ("final", Explanation.UNEXPLAINED),
        (f"same_as_before AND old_explanation = {literal(Explanation.UNEXPLAINED.value)}", Explanation.UNEXPLAINED),
        # No number of the day has moved since the reading before, whichever run made it, so that no restatement can lie between
        # the two sides.
        (f"stands_still AND {read_again} AND {str(not moment.concludes).lower()}", Explanation.UNEXPLAINED),
    )
    cases = " ".join(f"WHEN {condition} THEN {literal(found and found.value)}" for condition, found in rules)
    return f"CASE {cases} ELSE {literal(Explanation.READ_APART.value)} END"


def _details(moment: Moment) -> str:
    """A sentence on each verdict."""
    asked = literal(moment.asked_again_at)
    lacking = "concat(report, ' (', rows_lacking, ' of ', level_rows, ' rows lack it)')"
    # Said beside what it does not explain.
    also = f"CASE WHEN rows_lacking > 0 THEN concat(' Meta does not give ', field, ' in ', {lacking}, '.') END"
    kept = f"same_as_before AND old_explanation = verdict AND ({asked} IS NULL OR old_asked_at = {asked})"
    texts = {
        Explanation.NOT_COLLECTED: (
            "concat('Not collected for this day: ', concat_ws(' and ', "
            "CASE WHEN account_at IS NULL OR account_gap IS NOT NULL THEN 'account_insights' END, "
            "CASE WHEN level_at IS NULL OR level_gap IS NOT NULL THEN report END), "
            "CASE WHEN account_at IS NOT NULL AND level_at IS NOT NULL THEN ' when it was last asked for' END, '. ', "
            "coalesce(account_gap, level_gap))"
        ),
        Explanation.WITHHELD_BY_META: (
            "concat('Meta does not give ', field, ' in ', concat_ws(' and ', "
            f"CASE WHEN account_withheld THEN 'account_insights' END, CASE WHEN rows_lacking > 0 THEN {lacking} END), '.')"
        ),
        Explanation.DELETED_ADS_RECOVERED: (
            "concat('No report listed them, so they were asked for by themselves: ', "
            f"list_aggregate(ids[1:{_IDS_SHOWN}], 'string_agg', ', '), "
            f"CASE WHEN len(ids) > {_IDS_SHOWN} THEN concat(' and ', len(ids) - {_IDS_SHOWN}, ' more.') ELSE '.' END)"
        ),
        Explanation.RESTATED_BETWEEN_CALLS: (f"concat('Asked for again at ', {_time(asked)}, ', both are equal.')"),
        Explanation.READ_APART: (
            f"concat('account_insights was read at ', {_time('account_at')}, ' and ', report, ' at ', {_time('level_at')}, "
            f"', when the day still changed.', {also})"
        ),
        Explanation.UNEXPLAINED: (
            f"CASE WHEN {kept} THEN old_details "
            f"WHEN final THEN concat('Both were read when Meta no longer changed the day.', {also}) "
            f"ELSE concat('Asked for again at ', {_time('account_at')}, ', both were the same.', {also}) END"
        ),
    }
    return f"CASE {_cases('verdict', texts, quoted=False)} END"


def _cases(value: str, results: Mapping[Explanation, str], *, quoted: bool = True) -> str:
    return " ".join(
        f"WHEN {value} = {literal(explanation.value)} THEN {literal(str(result)) if quoted else result}"
        for explanation, result in results.items()
    )


def _time(moment: str) -> str:
    return f"strftime({moment}, '%Y-%m-%d %H:%M:%S UTC')"


def _store(connection: duckdb.DuckDBPyConnection, days: DaysTable, moment: Moment, file: Path) -> None:
    """Put the results in place of the lines that are there; of those, keep what said something else."""
    columns = ", ".join(reconciliation_table().stored)
    key = " AND ".join(f"n.{name} = r.{name}" for name in reconciliation_table().key)
    differs = " OR ".join(f"n.{name} IS DISTINCT FROM r.{name}" for name in ("status", "explanation", "residual"))
    connection.execute(
        f"INSERT INTO {_HISTORY} ({columns}, {SUPERSEDED_AT}) "
        f"SELECT {', '.join(f'r.{name}' for name in reconciliation_table().stored)}, {literal(moment.now)} "
        f"FROM {_LEDGER} AS r JOIN {days.name} AS b ON {days.same} LEFT JOIN {parquet([file])} AS n ON {key} "
        f"WHERE {days.bounds} AND ({differs})"
    )
    connection.execute(f"DELETE FROM {_LEDGER} AS r USING {days.name} AS b WHERE {days.same} AND {days.bounds}")
    connection.execute(f"INSERT INTO {_LEDGER} ({columns}) SELECT {columns} FROM {parquet([file])}")
