"""What a sync does about residuals: reads both sides together, asks for rows that no report listed, and says what is left.

It begins when everything that was asked for is stored, and costs nothing when the levels add up. Each step looks for evidence:
equal after a second reading is a restatement, equal with a deleted ad's own insights is a deleted ad, and all else stays
unexplained.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from meta_insights_pipeline.archiving import SyncArchive
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report, reports_of_levels
from meta_insights_pipeline.collection import Collection
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.node_insights import insights_of_nodes
from meta_insights_pipeline.collector.plan import Request, RowsADay, estimate, plan
from meta_insights_pipeline.reading_again import AccountDay, choose
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

# Calls that a sync spends on reading both sides again: some twenty small accounts with all four levels. One account day is
# always read, also where it alone takes more.
ASK_AGAIN_CALLS = 100
# Campaigns, ad sets and ads that a sync asks for by themselves; four full batches.
RECOVERY_CALLS = 200
_PLACES_NAMED = 3
_NOUNS = {Level.CAMPAIGN: "campaign", Level.ADSET: "ad set", Level.AD: "ad"}


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
    archive: SyncArchive,
    run_id: str,
) -> dict[str, MergeCounts]:
    """Look for what explains residuals, and bring the ledger up to date.

    Args:
        collection: What to work with.
        warehouse: With everything that the sync collected already stored.
        found: The residuals, the largest first: the sync's own, and what earlier ones left.
        accounts: The accounts of the sync.
        levels: Those that the sync collected; no other level is asked for, but for the accounts' totals.
        rows_a_day: Rows a day to expect, by account id and report.
        folder: For rows on their way; it must exist.
        read_again: Makes requests and merges what they bring, as the sync itself does.
        archive: Takes what single campaigns, ad sets and ads answer.
        run_id: The sync.

    Returns:
        What it did to the rows, by table.

    Raises:
        WarehouseError: The warehouse cannot be written.
    """
    by_id = {account.id: account for account in accounts}
    collected = frozenset(levels)
    mine = [one for one in found if one.account_id in by_id and one.level in collected]
    context = _Context(collection, warehouse, by_id, collected, folder, archive, run_id, collection.clock.now())
    counts: Counts = {}
    days = {(one.account_id, one.day) for one in mine if one.is_final}
    requests, left_out = _second_readings(context, mine, rows_a_day)
    if requests:
        _add(counts, read_again(requests, context.asked_at))
        days |= {(request.account.id, day) for request in requests for day in request.days.days}
    if left_out:
        _note_left_out(context, mine, left_out)
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
    archive: SyncArchive
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


def _second_readings(
    context: _Context, found: Sequence[Residual], rows_a_day: RowsADay
) -> tuple[list[Request], set[AccountDay]]:
    """The reports to ask for again, and the account days that the calls do not suffice for.

    Days that are over come first, since every sync reads today again anyway; then the largest residuals and the newest days.
    """
    reports = reports_of_levels({*context.levels, Level.ACCOUNT})
    sizes, polls = context.collection.lessons.sizes(), context.collection.lessons.polls_a_report()
    shares: dict[AccountDay, float] = {}
    for one in found:
        if not one.is_final:
            shares[one.account_id, one.day] = max(one.share, shares.get((one.account_id, one.day), 0.0))

    def order(account_day: AccountDay) -> tuple[bool, float, int]:
        account_id, day = account_day
        is_over = day < context.accounts[account_id].today(context.asked_at)
        return not is_over, -shares[account_day], -day.toordinal()

    def requests_of(account_id: str, days: DayRange) -> list[Request]:
        return plan([context.accounts[account_id]], reports, days, context.asked_at, rows_a_day, sizes)

    def cost(account_id: str, days: DayRange) -> int:
        return sum(estimate(requests_of(account_id, days), polls, sizes).values())

    chosen = choose(sorted(shares, key=order), cost, ASK_AGAIN_CALLS, least=len(reports))
    if chosen.parts:
        count = sum(days.count for _, days in chosen.parts)
        log.info("%d account days do not add up; %d are read once more", len(shares), count)
    return [request for part in chosen.parts for request in requests_of(*part)], chosen.left_out


def _note_left_out(context: _Context, found: Sequence[Residual], left_out: Set[AccountDay]) -> None:
    """Say in the ledger which lines wait for the next sync."""
    text = f"Not read again yet, since a sync spends {ASK_AGAIN_CALLS} calls on that at most; the next sync goes on."
    notes = [
        Note(one.account_id, one.day, one.level, metric, text, finished=False)
        for one in found
        if (one.account_id, one.day) in left_out
        for metric in one.metrics
    ]
    with context.warehouse.connect() as connection:
        add_notes(connection, notes)
        connection.execute(f"CHECKPOINT {ALIAS}")


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
        nodes, staged, pages = self._ask(report, questions, folder)
        if not nodes:
            return
        days = [(one.account_id, one.day) for one in self._of(level)]
        asked = Asked(owner if by_parent else level, nodes, days)
        archived = context.archive.nodes([(each.part, pages[each.part.account_id]) for each in staged], asked)
        with context.warehouse.connect() as connection:
            connection.execute("BEGIN")
            counts = merge_recovered(connection, staged, asked, context.run_id, folder)
            connection.execute("COMMIT")
            # Most answers have nothing that was lacking; a replay needs only those that have.
            if changed := any(one.read or one.written for one in counts.values()):
                archived.mark_merged()
            connection.execute(f"CHECKPOINT {ALIAS}")
        if changed:
            archived.settle()
        else:
            archived.forget()
        _add(self._counts, counts)

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
    ) -> tuple[dict[str, list[str]], list[Staged], dict[str, list[PageFile]]]:
        """The nodes that answered, by account, their rows, and the pages, by account, from which these are."""
        nodes: dict[str, list[str]] = {}
        pages: dict[str, list[PageFile]] = {}
        with open_memory(self._context.warehouse.temporary) as connection:
            staging = Staging(connection, folder)
            for account_id in dict.fromkeys(one.account_id for one in questions):
                mine = [one for one in questions if one.account_id == account_id]
                answered, came = self._ask_account(report, account_id, mine, folder, staging)
                if answered:
                    nodes[account_id], pages[account_id] = answered, came
            outcomes = staging.finish()
        staged = []
        for outcome in outcomes:
            if isinstance(outcome, StagingError):
                log.error("%s", outcome)
                nodes.pop(outcome.part.account_id, None)
                self._reasons[outcome.part.account_id] = str(outcome)
            else:
                staged.append(outcome)
        return nodes, staged, pages

    def _ask_account(
        self, report: Report, account_id: str, questions: Sequence[Question], folder: Path, staging: Staging
    ) -> tuple[list[str], list[PageFile]]:
        """Ask one account's nodes and hand their pages on; gives those that answered, and the pages."""
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
        pages = [PageFile(page, fields) for page in answers.pages]
        if answers.answered:
            part = Slice(
                report,
                account_id,
                min(one.since for one in questions),
                max(one.until for one in questions),
                asked_at,
                withheld=tuple(name for name in report.fields if name in held),
            )
            staging.add(part, pages)
        return answers.answered, pages

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
