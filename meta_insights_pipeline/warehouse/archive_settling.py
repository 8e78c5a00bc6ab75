"""Settling what a process left on its way into the archive: the warehouse tells whether it was merged."""

import logging
from collections.abc import Callable
from datetime import datetime

import duckdb

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.warehouse.archive import ENTITIES, Archive, Intake, PendingFile
from meta_insights_pipeline.warehouse.archive_names import is_by_id, report_behind
from meta_insights_pipeline.warehouse.database import ALIAS
from meta_insights_pipeline.warehouse.schema import (
    CHANGED_AT,
    RECOVERED_ROWS,
    SUPERSEDED_AT,
    Table,
    actions_table,
    entity_history_table,
    entity_table,
    fact_table,
    history_table,
)
from meta_insights_pipeline.warehouse.sql import literal

log = logging.getLogger(__name__)


def settle(
    archive: Archive,
    connection: duckdb.DuckDBPyConnection,
    reports: dict[str, Report],
    is_alive: Callable[[str], bool],
    now: datetime,
) -> int:
    """Settle what was merged, and forget what was not and will not be.

    Args:
        archive: The archive.
        connection: With the warehouse attached. While it is locked nothing can be merged, so that whatever has been is known.
        reports: By name.
        is_alive: Whether the run with an id still works; what it has not merged yet is left to it.
        now: The moment of the merge (UTC) for what a run merged just before it ended, without a word of when.

    Returns:
        How many files of runs that have ended were given their names.
    """
    settled = 0
    for intake in archive.unsettled():
        merged_at = intake.merged_at
        if merged_at is None and is_alive(intake.run_id):
            continue
        if merged_at is None:
            intake.drop(file for file in intake.files() if not _was_merged(connection, file, intake, reports))
            settled += len(intake.files())
        intake.settle(merged_at or now)
    if settled:
        log.info("%d archived files of a sync that ended before its time were settled.", settled)
    return settled


def _was_merged(
    connection: duckdb.DuckDBPyConnection, file: PendingFile, intake: Intake, reports: dict[str, Report]
) -> bool:
    """Whether the warehouse shows a trace of a file's content; what left none would change nothing in a replay either."""
    account, moment = literal(file.account_id), literal(file.question.collected_at)
    if file.report == ENTITIES:
        return any(_exists(connection, query) for query in _entity_traces(account, moment))
    days = f"date_start BETWEEN {literal(file.question.since)} AND {literal(file.question.until)}"
    mine = f"account_id = {account} AND {days}"
    report = report_behind(file.report)
    noted = f"{mine} AND report = {literal(report)} AND run_id = {literal(intake.run_id)}"
    book = f"coverage WHERE collected_at = {moment}"
    if is_by_id(file.report):
        book = f"{RECOVERED_ROWS} WHERE recovered_at = {moment}"
    traces = [f"SELECT 1 FROM {ALIAS}.pipeline.{book} AND {noted}"]
    if report in reports:
        for table in _tables(reports[report]):
            earlier = f'SELECT 1 FROM {ALIAS}."{history_table(table).name}" WHERE {mine}'
            traces += [
                f'SELECT 1 FROM {ALIAS}."{table.name}" WHERE {mine} AND {CHANGED_AT} = {moment}',
                f"{earlier} AND ({CHANGED_AT} = {moment} OR {SUPERSEDED_AT} = {moment})",
            ]
    return any(_exists(connection, query) for query in traces)


def _entity_traces(account: str, moment: str) -> list[str]:
    traces = [f"SELECT 1 FROM {ALIAS}.pipeline.entity_listings WHERE account_id = {account} AND listed_at = {moment}"]
    for kind in EntityKind:
        current, earlier = entity_table(kind).name, entity_history_table(kind).name
        mine = f"WHERE account_id = {account} AND {moment} IN"
        traces += [
            f'SELECT 1 FROM {ALIAS}."{current}" {mine} (valid_from, last_seen_at)',
            f'SELECT 1 FROM {ALIAS}."{earlier}" {mine} (valid_from, valid_to)',
        ]
    return traces


def _tables(report: Report) -> list[Table]:
    return [fact_table(report), actions_table()] if report.action_fields else [fact_table(report)]


def _exists(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    return connection.execute(f"SELECT EXISTS ({query})").fetchone() == (True,)
