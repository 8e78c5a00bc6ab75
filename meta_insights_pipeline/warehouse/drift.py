"""The book of what Meta sends beside what was asked for, and of its action types: since when each is there.

What no column takes is told by the staging; action types are rows like others, so that they are looked for here. Those that come
with the first rows of a report are not new: an account has dozens of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.pages import SLICE
from meta_insights_pipeline.warehouse.schema import ACTIONS_TABLE, DRIFT
from meta_insights_pipeline.warehouse.sql import literal, parquet
from meta_insights_pipeline.warehouse.staging import Staged
from meta_insights_pipeline.warehouse.unknown_parts import DriftKind

# A week, so that nobody misses it over a weekend, and that it is no longer said when everybody knows.
NEW_FOR = timedelta(days=7)
_BOOK = f"{ALIAS}.pipeline.{DRIFT}"
_SEEN = "seen_drift"
_COLUMNS = "kind, report, name, account_id, seen_at, example"
_OF_ACTIONS = (DriftKind.ACTION_TYPE, DriftKind.WINDOW, DriftKind.ACTION_KEY, DriftKind.ACTION)


@dataclass(frozen=True)
class Drift:
    """Something that Meta sends since a moment."""

    kind: DriftKind
    report: str
    name: str
    account_id: str
    """Of the account with which it came first."""
    first_seen_at: datetime
    last_seen_at: datetime
    run_id: str
    """The run that saw it first."""
    example: str | None

    @property
    def table(self) -> str:
        """The table in which it is kept, or of which it is a part."""
        return ACTIONS_TABLE if self.kind in _OF_ACTIONS else self.report

    @property
    def sentence(self) -> str:
        """For a person."""
        return f"{_TEXTS[self.kind].format(name=self.name)} ({self.report}, first in act_{self.account_id})."


_TEXTS = {
    DriftKind.FIELD: "Field {name} was not asked for; it is kept in other_fields",
    DriftKind.WINDOW: "Attribution window {name} has no column; it is kept in other_windows",
    DriftKind.ACTION_TYPE: "Action type {name} is new; it has rows like any other",
    DriftKind.ACTION_KEY: "Actions come with {name}; they are kept whole in other_fields",
    DriftKind.ACTION: "Entries cannot be rows of insight_actions: {name}; they are kept in other_fields",
    DriftKind.VALUE: "{name} is not a whole number; its column is NULL and the value is kept in other_fields",
    DriftKind.LEFT_OUT: "Too much to be kept: {name}; the archive has it",
}


def note_drift(connection: duckdb.DuckDBPyConnection, staged: Sequence[Staged], run_id: str) -> None:
    """Write down what staged slices have brought that was not there before, and that the rest is there still.

    Args:
        connection: With the warehouse attached; inside the transaction that merges the slices.
        staged: What was merged.
        run_id: Written beside what is new.
    """
    sources = [_sightings(staged), *_action_types(staged)]
    sources = [source for source in sources if source]
    if not sources:
        return
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_SEEN} AS SELECT kind, report, name, min(seen_at) AS first_seen_at, "
        f"max(seen_at) AS last_seen_at, arg_min(account_id, seen_at) AS account_id, arg_min(example, seen_at) AS example "
        f"FROM ({' UNION ALL '.join(sources)}) GROUP BY kind, report, name"
    )
    # Before anything is added: a report of which no action type is known has had no rows yet.
    first = f"(SELECT DISTINCT report FROM {_BOOK} WHERE kind = {literal(DriftKind.ACTION_TYPE)})"
    connection.execute(
        f"UPDATE {_BOOK} AS b SET last_seen_at = s.last_seen_at FROM {_SEEN} AS s "
        "WHERE b.kind = s.kind AND b.report = s.report AND b.name = s.name AND b.last_seen_at < s.last_seen_at"
    )
    connection.execute(
        f"INSERT INTO {_BOOK} (kind, report, name, first_seen_at, last_seen_at, run_id, account_id, example, is_new) "
        f"SELECT kind, report, name, first_seen_at, last_seen_at, {literal(run_id)}, account_id, example, "
        f"kind <> {literal(DriftKind.ACTION_TYPE)} OR report IN {first} "
        f"FROM {_SEEN} ANTI JOIN {_BOOK} USING (kind, report, name)"
    )


def read_drift(connection: duckdb.DuckDBPyConnection, since: datetime, run_id: str) -> tuple[Drift, ...]:
    """What is new since a moment (UTC), or was seen first by a run; the newest first.

    What a report has asked for since then is no drift any more.
    """
    rows = connection.execute(
        "SELECT kind, report, name, account_id, first_seen_at, last_seen_at, run_id, example "
        f"FROM {_BOOK} WHERE is_new AND (first_seen_at >= {literal(since)} OR run_id = {literal(run_id)}) "
        "ORDER BY first_seen_at DESC, kind, name, report"
    ).fetchall()
    asked = {report.name: {*report.fields} for report in builtin_reports()}
    return tuple(
        Drift(DriftKind(kind), report, name, account, first.replace(tzinfo=UTC), last.replace(tzinfo=UTC), run, example)
        for kind, report, name, account, first, last, run, example in rows
        if kind != DriftKind.FIELD or name not in asked.get(report, ())
    )


def seen_action_types(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Every action type that ever came."""
    rows = connection.execute(
        f"SELECT DISTINCT name FROM {_BOOK} WHERE kind = {literal(DriftKind.ACTION_TYPE)}"
    ).fetchall()
    return frozenset(name for (name,) in rows)


def _sightings(staged: Sequence[Staged]) -> str:
    """What no column took, as a query; empty when there is nothing."""
    lines = [
        f"({literal(each.kind)}, {literal(of.part.report.name)}, {literal(each.name)}, {literal(of.part.account_id)}, "
        f"{literal(of.part.collected_at)}, {literal(each.example)})"
        for of in staged
        for each in of.sightings
    ]
    return f"FROM (VALUES {', '.join(lines)}) AS v({_COLUMNS})" if lines else ""


def _action_types(staged: Sequence[Staged]) -> Iterable[str]:
    """The action types of staged rows, as a query a report."""
    files: dict[Report, dict[Path, None]] = {}
    for each in staged:
        files.setdefault(each.part.report, {}).update(dict.fromkeys(each.files.actions))
    for report, some in files.items():
        if some:
            numbers = ", ".join(str(each.number) for each in staged if each.part.report == report)
            yield (
                f"SELECT {literal(DriftKind.ACTION_TYPE)} AS kind, {literal(report.name)} AS report, action_type AS name, "
                f"min(account_id) AS account_id, min(changed_at) AS seen_at, NULL AS example "
                f"FROM {parquet(list(some))} WHERE {SLICE} IN ({numbers}) GROUP BY action_type"
            )
