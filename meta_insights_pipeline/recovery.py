"""What a sync does about residuals: reads both sides together, asks for rows that no report listed, and says what is left.

It begins when everything that was asked for is stored, and costs nothing when the levels add up. Each step looks for evidence:
equal after a second reading is a restatement, equal with a deleted ad's own insights is a deleted ad, and all else stays
unexplained.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path

import duckdb

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report, reports_of_levels
from meta_insights_pipeline.collection import Collection
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.node_insights import insights_of_nodes
from meta_insights_pipeline.collector.plan import Request, RowsADay, estimate, plan
from meta_insights_pipeline.warehouse.database import ALIAS, Warehouse, open_memory
from meta_insights_pipeline.warehouse.differences import (
    Difference,
    Question,
    differences,
    draw_differences,
    questions_by_id,
    questions_by_parent,
)
from meta_insights_pipeline.warehouse.merge import MergeCounts
from meta_insights_pipeline.warehouse.reconciliation import Moment, Note, Residual, add_notes, reconcile, residuals
from meta_insights_pipeline.warehouse.recovered import Asked, merge_recovered
from meta_insights_pipeline.warehouse.staging import PageFile, Slice, Staged, Staging, StagingError

log = logging.getLogger(__name__)

# Calls that a sync spends on reading both sides again: some twenty small accounts with all four levels.
ASK_AGAIN_CALLS = 100
# Campaigns, ad sets and ads that a sync asks for by themselves; four full batches.
RECOVERY_CALLS = 200
_PLACES_NAMED = 3
_NOUNS = {Level.CAMPAIGN: "campaign", Level.ADSET: "ad set", Level.AD: "ad"}


AccountDay = tuple[str, date]
Counts = dict[str, MergeCounts]
"""By table."""
ReadAgain = Callable[[Sequence[Request], datetime], Mapping[str, MergeCounts]]
"""Takes requests and the moment (UTC) at which they begin to be made; gives what merging did, by table."""


def settle(
    collection: Collection,
    warehouse: Warehouse,
    found: Sequence[Residual],
    *,
    accounts: Iterable[AdAccount],
    levels: Iterable[Level],
    rows_a_day: RowsADay,
    folder: Path,
    read_again: ReadAgain,
    run_id: str,
) -> dict[str, MergeCounts]:
    """Look for what explains residuals, and bring the ledger up to date.

    Args:
        collection: What to work with.
        warehouse: With everything that the sync collected already stored.
        found: The residuals, the largest first.
        accounts: The accounts of the sync.
        levels: Those that the sync collected; no other level is asked for, but for the accounts' totals.
        rows_a_day: Rows a day to expect, by account id and report.
        folder: For rows on their way; it must exist.
        read_again: Makes requests and merges what they bring, as the sync itself does.
        run_id: The sync.

    Returns:
        What it did to the rows, by table.

    Raises:
        WarehouseError: The warehouse cannot be written.
    """
    by_id = {account.id: account for account in accounts}
    collected = frozenset(levels)
    mine = [one for one in found if one.account_id in by_id and one.level in collected]
    context = _Context(collection, warehouse, by_id, collected, folder, run_id, collection.clock.now())
    counts: Counts = {}
    days = {(one.account_id, one.day) for one in mine if one.is_final}
    if requests := _second_readings(context, mine, rows_a_day):
        _add(counts, read_again(requests, context.asked_at))
        days |= {(request.account.id, day) for request in requests for day in request.days.days}
    # What was not read together cannot be told from a restatement.
    if left := context.still_open(days):
        _add(counts, _Recovery(context, left).run())
    return counts


def _add(counts: Counts, more: Mapping[str, MergeCounts]) -> None:
    for table, one in more.items():
        counts[table] = counts.get(table, MergeCounts()) + one


@dataclass(frozen=True)
class _Context:
    """What all steps share."""

    collection: Collection
    warehouse: Warehouse
    accounts: Mapping[str, AdAccount]
    levels: frozenset[Level]
    folder: Path
    run_id: str
    asked_at: datetime

    def still_open(self, days: Set[AccountDay]) -> list[Residual]:
        """What nothing explains yet of some account days."""
        if not days:
            return []
        with self.warehouse.connect() as connection:
            return self.open_of(connection, days)

    def open_of(self, connection: duckdb.DuckDBPyConnection, days: Set[AccountDay]) -> list[Residual]:
        """The same with a connection that is open already."""
        since, until = min(day for _, day in days), max(day for _, day in days)
        found = residuals(connection, self.run_id, since, until, self.collection.clock.now(), self.asked_at)
        return [one for one in found if (one.account_id, one.day) in days]


# ---- reading again ----


def _second_readings(context: _Context, found: Sequence[Residual], rows_a_day: RowsADay) -> list[Request]:
    """The reports to ask for again, accounts with the largest residuals first, as many as the calls allow."""
    reports = reports_of_levels({*context.levels, Level.ACCOUNT})
    sizes, polls = context.collection.lessons.sizes(), context.collection.lessons.polls_a_report()
    days: dict[str, set[date]] = {}
    for one in found:
        if not one.is_final:
            days.setdefault(one.account_id, set()).add(one.day)
    chosen: list[Request] = []
    left, count = ASK_AGAIN_CALLS, 0
    for account_id, each in days.items():
        for part in contiguous(each):
            requests = plan([context.accounts[account_id]], reports, part, context.asked_at, rows_a_day, sizes)
            cost = sum(estimate(requests, polls, sizes).values())
            if cost <= left:
                left, count = left - cost, count + part.count
                chosen += requests
    if chosen:
        log.info("%d account days do not add up; they are read once more", count)
    return chosen


def contiguous(days: Iterable[date]) -> list[DayRange]:
    """Days as ranges without holes, in order."""
    ranges: list[DayRange] = []
    for _, group in groupby(enumerate(sorted(days)), key=lambda pair: pair[1] - timedelta(days=pair[0])):
        part = [day for _, day in group]
        ranges.append(DayRange(part[0], part[-1]))
    return ranges


# ---- recovering rows ----


class _Recovery:
    """The search for rows that no report listed, from the campaigns down."""

    def __init__(self, context: _Context, left: Sequence[Residual]) -> None:
        self._context = context
        self._left = left
        self._calls = RECOVERY_CALLS
        self._counts: Counts = {}
        self._reasons: dict[str, str] = {}
        """Why something could not be asked, by account."""

    def run(self) -> Counts:
        """All levels in turn; says what was done to the rows."""
        for level in (level for level in Level if self._of(level)):
            owner = self._owner(level)
            # Where the level above is the account, its own report is what was asked already.
            if owner is not Level.ACCOUNT:
                self._round(level, owner, by_parent=True)
            self._round(level, owner, by_parent=False)
        self._conclude()
        return self._counts

    def _owner(self, level: Level) -> Level:
        """The nearest level above of which rows were collected."""
        return max(
            (each for each in {*self._context.levels, Level.ACCOUNT} if each.depth < level.depth),
            key=lambda each: each.depth,
        )

    def _of(self, level: Level) -> list[Residual]:
        return [one for one in self._left if one.level is level]

    def _round(self, level: Level, owner: Level, *, by_parent: bool) -> None:
        """Ask the entities below which rows are lacking, or whatever is known to belong to them, and store what is new."""
        context = self._context
        with context.warehouse.connect() as connection:
            draw_differences(connection, level, owner, self._of(level))
            questions = questions_by_parent(connection) if by_parent else questions_by_id(connection, level, owner)
        questions = self._affordable(questions)
        if not questions:
            return
        (report,) = reports_of_levels([level])
        log.info(
            "%s: %d %ss are asked for by themselves", report.name, len(questions), _NOUNS[owner if by_parent else level]
        )
        folder = context.folder / f"recovered-{level}-{'parents' if by_parent else 'ids'}"
        folder.mkdir()
        nodes, staged = self._ask(report, questions, folder)
        if not nodes:
            return
        days = [(one.account_id, one.day) for one in self._of(level)]
        asked = Asked(owner if by_parent else level, nodes, days)
        with context.warehouse.connect() as connection:
            connection.execute("BEGIN")
            _add(self._counts, merge_recovered(connection, staged, asked, context.run_id, folder))
            connection.execute("COMMIT")
            connection.execute(f"CHECKPOINT {ALIAS}")

    def _affordable(self, questions: Sequence[Question]) -> list[Question]:
        chosen = list(questions[: self._calls])
        self._calls -= len(chosen)
        for one in questions[len(chosen) :]:
            self._reasons[one.account_id] = (
                f"Not everything was asked, since a sync asks {RECOVERY_CALLS} times at most; sync these days again to go on."
            )
        return chosen

    def _ask(
        self, report: Report, questions: Sequence[Question], folder: Path
    ) -> tuple[dict[str, list[str]], list[Staged]]:
        """The nodes that answered, by account, and their rows."""
        nodes: dict[str, list[str]] = {}
        with open_memory(self._context.warehouse.temporary) as connection:
            staging = Staging(connection, folder)
            for account_id in dict.fromkeys(one.account_id for one in questions):
                mine = [one for one in questions if one.account_id == account_id]
                if answered := self._ask_account(report, account_id, mine, folder, staging):
                    nodes[account_id] = answered
            outcomes = staging.finish()
        staged = []
        for outcome in outcomes:
            if isinstance(outcome, StagingError):
                log.error("%s", outcome)
                nodes.pop(outcome.part.account_id, None)
                self._reasons[outcome.part.account_id] = str(outcome)
            else:
                staged.append(outcome)
        return nodes, staged

    def _ask_account(
        self, report: Report, account_id: str, questions: Sequence[Question], folder: Path, staging: Staging
    ) -> list[str]:
        """Ask one account's nodes and hand their pages on; gives those that answered."""
        collection = self._context.collection
        held = collection.lessons.withheld(account_id, report.name)
        fields = tuple(name for name in report.fields if name not in held)
        asked_at = collection.clock.now()
        answers = insights_of_nodes(
            collection.api,
            account_id,
            report,
            fields,
            [(one.node, DayRange(one.since, one.until)) for one in questions],
            folder,
        )
        if answers.refused:
            node, error = next(iter(answers.refused.items()))
            self._reasons[account_id] = f"{len(answers.refused)} nodes could not be asked, {node} for one: {error}"
        if answers.answered:
            part = Slice(
                report,
                account_id,
                min(one.since for one in questions),
                max(one.until for one in questions),
                asked_at,
                withheld=tuple(name for name in report.fields if name in held),
            )
            staging.add(part, [PageFile(page, fields) for page in answers.pages])
        return answers.answered

    # ---- what is left ----

    def _conclude(self) -> None:
        """Compare once more, and say of what is left where it lies."""
        context = self._context
        days = {(one.account_id, one.day) for one in self._left}
        with context.warehouse.connect() as connection:
            connection.execute("BEGIN")
            moment = Moment(context.run_id, context.collection.clock.now(), context.asked_at, concludes=True)
            reconcile(connection, [(account, day, day) for account, day in days], moment, context.folder)
            open_still = context.open_of(connection, days)
            notes = []
            for level in dict.fromkeys(one.level for one in open_still):
                mine, owner = [one for one in open_still if one.level is level], self._owner(level)
                draw_differences(connection, level, owner, mine)
                places = differences(connection, owner, _PLACES_NAMED)
                notes += [self._note(one, metric, places) for one in mine for metric in one.metrics]
            add_notes(connection, notes)
            connection.execute("COMMIT")
            connection.execute(f"CHECKPOINT {ALIAS}")

    def _note(self, residual: Residual, metric: str, places: Sequence[Difference]) -> Note:
        """Where a residual lies, and what could not be asked."""
        found = [
            f"{_NOUNS[one.owner]} {one.owner_id} ({one.amount})"
            for one in places
            if (one.account_id, one.day, one.metric) == (residual.account_id, residual.day, metric)
            and one.owner is not Level.ACCOUNT
        ]
        texts = [f"It lies in {', '.join(found)}."] if found else []
        if reason := self._reasons.get(residual.account_id):
            texts.append(reason)
        return Note(residual.account_id, residual.day, residual.level, metric, " ".join(texts), not reason)
