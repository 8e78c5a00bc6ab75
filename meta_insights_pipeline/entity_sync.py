"""Refreshing accounts, campaigns, ad sets, ads and creatives as part of a sync: fetch side by side, write in one transaction."""

import logging
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb

from meta_insights_pipeline.archiving import SyncArchive
from meta_insights_pipeline.catalog.entity_batches import EntityBatch, Ghost, KnownEntities
from meta_insights_pipeline.collection import Collection
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.collect import CALLS_AT_ONCE
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.entities import (
    HEAVY_PAGE_OBJECTS,
    PAGE_OBJECTS,
    Refreshed,
    fetch_entities,
    full_listing_is_due,
)
from meta_insights_pipeline.collector.plan import RowsADay
from meta_insights_pipeline.logs import log_context
from meta_insights_pipeline.progress import EntityProgress
from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse
from meta_insights_pipeline.warehouse.entities import known_entities, merge_entities, unknown_ids
from meta_insights_pipeline.warehouse.entity_checks import inspect_entities
from meta_insights_pipeline.warehouse.inspection import CheckFinding
from meta_insights_pipeline.warehouse.merge import MergeCounts
from meta_insights_pipeline.warehouse.schema import entity_tables
from meta_insights_pipeline.warehouse.writing import claim

log = logging.getLogger(__name__)

# What is known of so many accounts is held in memory at once.
ACCOUNTS_AT_ONCE = 50
# Objects on a page of each list, by the report whose rows are about as many.
_PAGES = {"campaign_insights": PAGE_OBJECTS, "adset_insights": PAGE_OBJECTS, "ad_insights": HEAVY_PAGE_OBJECTS}


_BEHIND = "The campaigns, ad sets and ads of {} are not all up to date; the next sync goes on with them."


@dataclass
class EntityOutcome:
    """What became of the entities."""

    counts: dict[str, MergeCounts] = field(default_factory=dict)
    """By table."""
    total_rows: dict[str, int] = field(default_factory=dict)
    findings: Mapping[str, Mapping[str, CheckFinding]] = field(default_factory=dict)
    """By table and check."""
    not_refreshed: dict[str, str] = field(default_factory=dict)
    """Accounts that could not be refreshed to the end, with the reason; the next sync goes on."""
    unreadable: list[str] = field(default_factory=list)
    """Single objects that Meta would not give, one sentence each."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a receipt says of it: a sentence for each account that is not up to date, one for all single objects."""
        accounts = [
            f"{_BEHIND.format(f'act_{account_id}')} {reason}" for account_id, reason in self.not_refreshed.items()
        ]
        if not self.unreadable:
            return tuple(accounts)
        objects = (
            f"{len(self.unreadable)} ad accounts, campaigns, ad sets, ads or creatives could not be read whole; "
            f"pipeline.missing_entities names them. The first: {self.unreadable[0]}"
        )
        return (*accounts, objects)


def entity_calls(
    collection: Collection, accounts: Sequence[AdAccount], rows_a_day: RowsADay, every: timedelta
) -> dict[str, int]:
    """What refreshing the entities of accounts will cost, in calls by kind.

    Args:
        collection: What to work with.
        accounts: Whose entities.
        rows_a_day: How many of each level a list shows, or, of accounts that were never listed, how many deliver; by account id
            and report.
        every: As for `refresh_entities`.
    """
    calls, now = 0, collection.clock.now()
    for account in accounts:
        refreshed_at = collection.lessons.refreshed_at(account.id)
        if refreshed_at is not None and refreshed_at + every > now:
            continue
        calls += len(_PAGES)
        if refreshed_at is None or account.today(refreshed_at) < account.today(now):
            # The account itself, and every page of every list.
            pages = (math.ceil(rows_a_day.get((account.id, table), 0) / page) for table, page in _PAGES.items())
            calls += 1 + sum(max(0, each - 1) for each in pages)
    return {"entities": calls} if calls else {}


def unlisted_accounts(collection: Collection, accounts: Sequence[AdAccount]) -> list[str]:
    """Ids of the accounts whose entities were never listed: `entity_calls` takes each of their lists to be one page."""
    return [account.id for account in accounts if collection.lessons.refreshed_at(account.id) is None]


def refresh_entities(
    collection: Collection,
    warehouse: Warehouse,
    accounts: Sequence[AdAccount],
    days: DayRange,
    folder: Path,
    archive: SyncArchive,
    *,
    run_id: str,
    every: timedelta,
) -> EntityOutcome:
    """Bring the entities of accounts up to date, and find those that only insights know.

    Args:
        collection: What to work with.
        warehouse: Where they are stored, with the insights of the days already in.
        accounts: Whose entities.
        days: The days whose insights may name entities that no list shows.
        folder: For rows on their way.
        archive: Keeps what is merged.
        run_id: Written beside the listings.
        every: Accounts that were refreshed more recently are left for a later sync.

    Raises:
        WarehouseError: The warehouse cannot be written; it is as before.
        AuthError: The token is refused; what was refreshed before is stored.
    """
    outcome = EntityOutcome()
    due = [account for account in accounts if _is_due(collection, account, every)]
    progress = EntityProgress(len(due), collection.api.meter)
    for start in range(0, len(due), ACCOUNTS_AT_ONCE):
        some = due[start : start + ACCOUNTS_AT_ONCE]
        ids = [account.id for account in some]
        with warehouse.connect() as connection:
            claim(connection, warehouse, collection.settings.mode)
            known = known_entities(connection, ids)
            ghosts = unknown_ids(connection, ids, days.since, days.until)
        refreshed = _fetch(collection, some, known, ghosts, outcome, progress)
        batches = [batch for one in refreshed.values() for batch in one.batches]
        archived = archive.entities(batches)
        with warehouse.connect() as connection:
            _merge(connection, batches, run_id, folder, outcome)
            archived.mark_merged()
        archived.settle()
        for account_id, one in refreshed.items():
            if one.seen is None:
                collection.lists.interrupt(account_id, is_stored=one.has_rows)
            else:
                collection.lists.close(account_id, one.seen)
                collection.lessons.refreshed(account_id)
    with warehouse.connect() as connection:
        outcome.findings = inspect_entities(connection)
        outcome.total_rows = {table.name: _total(connection, table.name) for table in entity_tables()}
    return outcome


def _is_due(collection: Collection, account: AdAccount, every: timedelta) -> bool:
    refreshed_at = collection.lessons.refreshed_at(account.id)
    return refreshed_at is None or refreshed_at + every <= collection.clock.now()


def _fetch(
    collection: Collection,
    accounts: Sequence[AdAccount],
    known: Mapping[str, KnownEntities],
    ghosts: Mapping[str, Sequence[Ghost]],
    outcome: EntityOutcome,
    progress: EntityProgress,
) -> dict[str, Refreshed]:
    """What came of each account, by account id."""
    now = collection.clock.now()

    def fetch(account: AdAccount) -> Refreshed:
        mine = known[account.id]
        full = full_listing_is_due(mine, account, now)
        try:
            with log_context(account=account.id):
                unknown = ghosts.get(account.id, ())
                return fetch_entities(
                    collection.api, account, mine, full=full, ghosts=unknown, now=now, book=collection.lists
                )
        finally:
            progress.came()

    refreshed = {}
    with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="entities") as pool:
        answers = [pool.submit(copy_context().run, fetch, account) for account in accounts]
        for account, answer in zip(accounts, answers, strict=True):
            one = refreshed[account.id] = answer.result()
            missing = [each for batch in one.batches for each in batch.missing]
            outcome.unreadable += [each.reason for each in missing if each.id is not None or one.interrupted is None]
            if one.interrupted is not None:
                outcome.not_refreshed[account.id] = str(one.interrupted)
                log.warning(
                    "%s %s",
                    _BEHIND.format(account.node),
                    one.interrupted,
                    extra={"account": account.id, "fbtrace_id": one.interrupted.fbtrace_id},
                )
    return refreshed


def _merge(
    connection: duckdb.DuckDBPyConnection,
    batches: Sequence[EntityBatch],
    run_id: str,
    folder: Path,
    outcome: EntityOutcome,
) -> None:
    connection.execute("BEGIN")
    counts = merge_entities(connection, batches, run_id, folder)
    connection.execute("COMMIT")
    connection.execute(f"CHECKPOINT {ALIAS}")
    for table, count in counts.items():
        outcome.counts[table] = outcome.counts.get(table, MergeCounts()) + count


def _total(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f'SELECT count(*) FROM {ALIAS}."{table}"').fetchone()
    return int(row[0]) if row else 0
