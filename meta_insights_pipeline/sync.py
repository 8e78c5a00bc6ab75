"""One sync from end to end: accounts, plan, collection, staging, merge, entities, publication, receipt.

The order of the steps and what holds when one fails is decided here; how each step works is decided in its own room. Knows
nothing of Dagster: the assets and the command line both end here.
"""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as Ids
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

from meta_insights_pipeline.archiving import SyncArchive
from meta_insights_pipeline.catalog.conversions import Choice, ConversionError, choices, unseen_choices
from meta_insights_pipeline.catalog.reports import Report, builtin_reports
from meta_insights_pipeline.catalog.versions import retirement
from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.collection import (
    Collection,
    Plan,
    Wanted,
    accounts_of,
    draw_up,
    open_collection,
    tell_refusals,
)
from meta_insights_pipeline.collector.accounts import (
    AccountRules,
    AdAccount,
    FoundAccounts,
    NoAccountError,
    gone_accounts,
)
from meta_insights_pipeline.collector.days import DayRange, newest_day
from meta_insights_pipeline.collector.plan import Request
from meta_insights_pipeline.entity_sync import EntityOutcome, entity_calls, refresh_entities, unlisted_accounts
from meta_insights_pipeline.full_disk import telling_full_disk
from meta_insights_pipeline.gaps import (
    FAILED,
    REFUSED,
    gaps_of_new_accounts,
    gaps_of_refusals,
    gaps_of_standstills,
    hole_sentences,
    standstills,
)
from meta_insights_pipeline.graph_api.errors import AuthError, GraphApiError
from meta_insights_pipeline.harvest import COMPLETE, PARTIAL, Harvest, collect_and_stage
from meta_insights_pipeline.home_files import MissingBook, MissingPart
from meta_insights_pipeline.life import sweep_dead, work_folder
from meta_insights_pipeline.logs import log_context
from meta_insights_pipeline.receipt import (
    Missing,
    NotRefreshed,
    Receipt,
    Reconciled,
    Refused,
    Sighted,
    TableReceipt,
    call_fields,
    failed_receipt,
    prune,
)
from meta_insights_pipeline.recovery import settle
from meta_insights_pipeline.settings import ENV_FILE, Settings, SettingsError
from meta_insights_pipeline.warehouse.account_book import FoundAccount
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.drift import Drift, seen_action_types
from meta_insights_pipeline.warehouse.inspection import CheckFinding, TableInspection, inspect_table
from meta_insights_pipeline.warehouse.knowledge import Knowledge, read_knowledge
from meta_insights_pipeline.warehouse.merge import Gap, MergeCounts, missing_parts
from meta_insights_pipeline.warehouse.publication import publish
from meta_insights_pipeline.warehouse.reconciliation import LedgerFinding, Status
from meta_insights_pipeline.warehouse.schema import actions_table, fact_table
from meta_insights_pipeline.warehouse.staging import Staged
from meta_insights_pipeline.warehouse.trust import Run, Trust, read_trust
from meta_insights_pipeline.warehouse.writing import Written, write

log = logging.getLogger(__name__)


class NothingToCollectError(Exception):
    """No account has begun any of the days that were asked for; the message says so."""


COMES_TO_NOTHING = (SettingsError, NoAccountError, NothingToCollectError, WarehouseError, GraphApiError)
"""What ends a sync before anything is stored, and a person can mend; each says how in one sentence."""


@dataclass(frozen=True)
class SyncRequest:
    """What to bring up to date."""

    run_id: str
    days: DayRange
    reports: tuple[Report, ...]
    account_ids: tuple[str, ...] = ()
    """Only these; empty: those of the settings, or all that the token can read."""
    only_missing: bool = False
    """Only what earlier syncs could not get."""
    entities_every: timedelta | None = None
    """Refresh campaigns, ad sets, ads and creatives, too, of the accounts where the last time is so long ago."""


@dataclass(frozen=True)
class SyncOutcome:
    """What a sync leaves behind."""

    receipt: Receipt
    receipt_file: Path
    tables: Mapping[str, TableInspection]
    """By table name."""
    missing: tuple[MissingPart, ...]
    """What the warehouse lacks of the days and reports that were asked for, whichever sync noticed it."""
    named: frozenset[str]
    """Accounts that somebody named: any other one, when it refuses, keeps no day from being whole."""
    touched: Mapping[str, frozenset[date]]
    """Days that this sync has collected something of, by report."""
    entity_rows: Mapping[str, int]
    """Rows by table of entities; empty when none were refreshed."""
    entity_checks: Mapping[str, Mapping[str, CheckFinding]]
    trust: Trust
    """Whether the reports add up, are fresh, and are as long as usual."""

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is in the warehouse and published."""
        return self.receipt.state == "complete"

    def whole_days(self, report: str) -> set[date]:
        """Days of a report that this sync has collected and of which no account lacks anything.

        An account that refuses and was not named is told, but its trouble does not stop what is built on the others.
        """
        parts = (
            part
            for part in self.missing
            if part.report == report and (part.kind != REFUSED or part.account_id in self.named)
        )
        lacking = {day for part in parts for day in DayRange(part.since, part.until).days}
        return set(self.touched.get(report, ())) - lacking


@dataclass
class _Stopwatch:
    """Time by stage, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 3)


def run_sync(settings: Settings, request: SyncRequest, *, clock: Clock | None = None) -> SyncOutcome:
    """Bring the warehouse up to date for a range of days.

    What could not be collected is recorded in the warehouse as missing and named in the receipt, with the time at which it is
    worth asking again; everything else is stored. One account's trouble never stops the others: readers get a new snapshot
    unless the sync failed, that is unless no account could be collected whole or the token was refused.

    Raises:
        SettingsError, NoAccountError, NothingToCollectError, WarehouseError, GraphApiError: Nothing could be collected or
            stored at all; the warehouse is as before, and the receipt says why.
    """
    clock = clock or SystemClock()
    began, opened = clock.now(), list[Collection]()
    try:
        return _sync(settings, request, clock, opened)
    except COMES_TO_NOTHING as error:
        # Whoever looks at the syncs later sees that this one was, and why it came to nothing.
        with suppress(OSError):
            _failed(settings, request, str(error), began, clock.now(), opened).save(settings.receipts_path)
        raise
    finally:
        prune(settings.receipts_path, clock.now() - timedelta(days=settings.receipt_days))


def _sync(settings: Settings, request: SyncRequest, clock: Clock, opened: list[Collection]) -> SyncOutcome:
    watch = _Stopwatch()
    counted_by = counted_conversions(settings)
    Warehouse(settings.warehouse_path, settings.home / "tmp").check_writable()
    folder = work_folder(settings.home, request.run_id)
    # Whatever the warehouse needs room for is in the sync's own folder, so that nothing is left when its process dies.
    warehouse = Warehouse(settings.warehouse_path, folder)
    with (
        log_context(run=request.run_id),
        telling_full_disk(settings.home),
        open_collection(settings, request.run_id, clock) as collection,
        _work_folder(folder),
    ):
        opened.append(collection)
        return _Sync(settings, request, collection, warehouse, folder, counted_by, watch).run()


def _failed(
    settings: Settings,
    request: SyncRequest,
    error: str,
    began: datetime,
    ended: datetime,
    opened: Sequence[Collection],
) -> Receipt:
    return failed_receipt(
        run_id=request.run_id,
        mode=settings.mode,
        error=error,
        started_at=began,
        finished_at=ended,
        since=request.days.since,
        until=request.days.until,
        levels=[report.level.value for report in request.reports],
        accounts=request.account_ids or settings.ad_account_ids,
        counts=opened[0].api.meter.counts() if opened else None,
    )


def counted_conversions(settings: Settings) -> tuple[Choice, ...]:
    """By which action type each event is counted.

    Raises:
        SettingsError: A choice that cannot be used.
    """
    try:
        return choices(settings.conversions)
    except ConversionError as error:
        raise SettingsError(
            f"META_INSIGHTS_CONVERSIONS cannot be used: {error} Change it in the environment or in {ENV_FILE}."
        ) from None


class _Sync:
    """The steps of one sync and what they share."""

    def __init__(
        self,
        settings: Settings,
        request: SyncRequest,
        collection: Collection,
        warehouse: Warehouse,
        folder: Path,
        counted_by: Sequence[Choice],
        watch: _Stopwatch,
    ) -> None:
        self._settings = settings
        self._request = request
        self._collection = collection
        self._warehouse = warehouse
        self._folder = folder
        self._counted_by = counted_by
        self._watch = watch
        self._archive = SyncArchive(settings, request.run_id)
        self._started = collection.clock.now()
        self._accounts: tuple[FoundAccount, ...] = ()
        self._holes: tuple[str, ...] = ()
        self._retirement = retirement(settings.graph_api_version, self._started.date())

    def run(self) -> SyncOutcome:
        """All steps, in order."""
        request, watch = self._request, self._watch
        if self._retirement is not None:
            log.error("%s", self._retirement)
        self._archive.settle_earlier(self._warehouse)
        self._collection.book.sweep()
        self._collection.lists.sweep()
        sweep_dead(self._settings.home)
        with watch.stage("accounts"):
            found = accounts_of(self._collection, request.account_ids)
        self._accounts = tuple(
            FoundAccount(one.id, one.name, one.currency, one.timezone_name) for one in found.accounts
        )
        plan, harvest, stored, expected = Plan((), {}), Harvest(), _Stored(), set(self._named)
        if request.reports:
            with watch.stage("plan"):
                knowledge = read_knowledge(self._warehouse, self._settings.mode)
                found = self._with_gone(found, knowledge)
                plan = self._plan(found.accounts, knowledge)
            with watch.stage("collect_and_stage"):
                harvest = self._collect(plan.requests, self._folder)
            harvest.leave_out(plan.unavailable)
            answered = self._refuse(harvest, found, knowledge)
            if harvest.token_error is not None and not harvest.staged:
                raise harvest.token_error
            earlier = self._earlier_gaps(harvest, answered, knowledge)
            later = [*self._joined(answered, knowledge), *self._stood_still(found.accounts, answered, knowledge)]
            stored = self._write(harvest, found, earlier, later)
            expected = {*self._named, *knowledge.collected}
        state = harvest.state([account.id for account in found.accounts], expected)
        if stored.trust.residuals and state != FAILED:
            with watch.stage("reconcile"):
                self._settle(found, plan, stored)
        entities = EntityOutcome()
        if request.entities_every is not None and state != FAILED:
            with watch.stage("entities"):
                entities = self._refresh_entities([one for one in found.accounts if one.id not in harvest.refused])
            if entities.not_refreshed and state == COMPLETE:
                state = PARTIAL
        if state != FAILED:
            with watch.stage("publish"), self._warehouse.locked():
                publish(self._warehouse.path, self._settings.snapshot_path)
        receipt = self._receipt(found, plan, harvest, stored, entities, state)
        file = receipt.save(self._settings.receipts_path)
        self._tell_end(receipt)
        return SyncOutcome(
            receipt,
            file,
            stored.inspections,
            tuple(part for part in stored.missing if self._is_asked_for(part, expected)),
            frozenset(self._named),
            self._touched(harvest.staged),
            {} if entities.not_refreshed else entities.total_rows,
            entities.findings,
            stored.trust,
        )

    def _collect(self, requests: Sequence[Request], folder: Path) -> Harvest:
        with self._archive.listening() as hear, self._warehouse.made_meanwhile():
            return collect_and_stage(self._collection, requests, folder, self._warehouse.temporary, hear)

    def _with_gone(self, found: FoundAccounts, knowledge: Knowledge) -> FoundAccounts:
        """With the accounts that were collected before and are no longer in Meta's list, as accounts that refuse."""
        rules = AccountRules(self._settings.allow_accounts, self._settings.deny_accounts)
        return replace(found, refused=(*found.refused, *gone_accounts(found, knowledge.collected, rules)))

    def _refuse(self, harvest: Harvest, found: FoundAccounts, knowledge: Knowledge) -> set[str]:
        """Note and tell which accounts refused; gives those that answered."""
        for account in found.refused:
            harvest.refused[account.id] = account.reason
            harvest.gaps += [
                Gap(report, account.id, days.since, days.until, account.reason, kind=REFUSED)
                for report, days in self._asked_of(account.id, knowledge)
            ]
        answered = {item.part.account_id for item in harvest.staged} - harvest.refused.keys()
        tell_refusals(self._collection.lessons, harvest.refused, answered)
        return answered

    def _asked_of(self, account_id: str, knowledge: Knowledge) -> list[tuple[str, DayRange]]:
        """The reports and days that this sync should bring of an account."""
        names = [report.name for report in self._request.reports]
        if not self._request.only_missing:
            # What has not begun in an account is not missing there, and no later sync would strike it out before it begins.
            zone = knowledge.zones.get(account_id)
            today = self._started.astimezone(ZoneInfo(zone)).date() if zone else newest_day(self._started)
            begun = self._request.days.until_at_most(today)
            return [(name, begun) for name in names] if begun is not None else []
        return [
            (gap.report, days)
            for gap in knowledge.missing
            if gap.account_id == account_id
            and gap.report in names
            and (days := self._request.days.common(DayRange(gap.since, gap.until)))
        ]

    def _earlier_gaps(self, harvest: Harvest, answered: Ids[str], knowledge: Knowledge) -> list[Gap]:
        names = [report.name for report in self._request.reports]
        return gaps_of_refusals(knowledge.missing, harvest.refused, answered, names, self._request.days, self._started)

    def _refresh_entities(self, accounts: Sequence[AdAccount]) -> EntityOutcome:
        every = self._request.entities_every
        assert every is not None
        try:
            return refresh_entities(
                self._collection,
                self._warehouse,
                accounts,
                self._request.days,
                self._folder,
                self._archive,
                run_id=self._request.run_id,
                every=every,
            )
        except AuthError as error:
            # The insights are stored by now, and are worth publishing all the same.
            return EntityOutcome(not_refreshed={account.id: str(error) for account in accounts})

    @property
    def _named(self) -> tuple[str, ...]:
        return self._request.account_ids or self._settings.ad_account_ids

    def _plan(self, accounts: Sequence[AdAccount], knowledge: Knowledge) -> Plan:
        request = self._request
        wanted = [Wanted(tuple(accounts), request.reports, request.days)]
        if request.only_missing:
            wanted = self._missing(accounts, knowledge)
        plan = draw_up(self._collection, wanted, knowledge.rows_a_day)
        # What Meta no longer gives must be written down as such, or it would be due for ever.
        if not plan.requests and not (request.only_missing and plan.unavailable):
            raise NothingToCollectError(self._nothing(plan, len(accounts)))
        if request.entities_every is not None:
            sizes = {**plan.rows_a_day, **knowledge.listed}
            calls = entity_calls(self._collection, accounts, sizes, request.entities_every)
            plan = plan.with_calls(calls, unlisted_accounts(self._collection, accounts))
        log.info(
            "%d accounts, %s: %d reports to ask for, %s",
            len(accounts),
            request.days,
            len(plan.requests),
            plan.calls_text,
        )
        for note in plan.notes:
            log.warning("%s", note)
        return plan

    def _nothing(self, plan: Plan, accounts: int) -> str:
        days = self._request.days
        if plan.unavailable:
            return plan.unavailable[0].reason
        if self._request.only_missing:
            return f"Nothing is missing of the days {days}."
        return f"The days {days} have not begun in any of the {accounts} ad accounts; ask for earlier ones."

    def _missing(self, accounts: Sequence[AdAccount], knowledge: Knowledge) -> list[Wanted]:
        """What earlier syncs could not get of the days, reports and accounts."""
        reports = {report.name: report for report in self._request.reports}
        return [
            Wanted((account,), (reports[name],), days)
            for account in accounts
            for name, days in self._asked_of(account.id, knowledge)
        ]

    def _joined(self, answered: Ids[str], knowledge: Knowledge) -> list[Gap]:
        """What accounts that have joined lack."""
        if self._request.account_ids:
            return []
        new = [account_id for account_id in sorted(answered) if knowledge.is_new(account_id)]
        for account_id in new:
            log.info(
                "act_%s has joined; its earlier days are collected next", account_id, extra={"account": account_id}
            )
        return gaps_of_new_accounts(new, builtin_reports(), knowledge.earliest_day, self._request.days, self._started)

    def _stood_still(self, accounts: Sequence[AdAccount], answered: Ids[str], knowledge: Knowledge) -> Sequence[Gap]:
        """What is lacking because no sync ran, or each one failed; tells of it."""
        if self._request.only_missing:
            return []
        todays = {account.id: account.today(self._started) for account in accounts}
        found = standstills(
            knowledge.lacking_from, knowledge.missing, answered, todays, self._request.reports, self._request.days
        )
        self._holes = hole_sentences(found)
        for text in self._holes:
            log.warning("%s", text)
        gaps = gaps_of_standstills(found, self._started)
        if gaps:
            first, last = min(gap.since for gap in gaps), max(gap.until for gap in gaps)
            accounts_behind = len({gap.account_id for gap in gaps})
            log.info("%d accounts were not collected from %s to %s; that comes next", accounts_behind, first, last)
        return gaps

    def _write(self, harvest: Harvest, found: FoundAccounts, earlier: Sequence[Gap], later: Sequence[Gap]) -> "_Stored":
        stored = _Stored()
        read_back = partial(self._read_back, stored, found.accounts)
        with self._watch.stage("merge"):
            stored.written = self._merge(harvest, [*earlier, *harvest.gaps, *later], read_back)
        for text in stored.unseen:
            log.warning("%s", text)
        self._archive.thin(self._started)
        MissingBook(self._settings.home).save(stored.missing)
        return stored

    def _merge(
        self,
        harvest: Harvest,
        gaps: Sequence[Gap],
        read_back: Callable[[duckdb.DuckDBPyConnection], object],
        asked_again_at: datetime | None = None,
    ) -> Written:
        archived = self._archive.insights
        archived.confine(harvest.staged)

        def merged(connection: duckdb.DuckDBPyConnection) -> None:
            archived.mark_merged()
            read_back(connection)

        written = write(
            self._warehouse,
            self._settings.snapshot_path,
            harvest.staged,
            gaps,
            run_id=self._request.run_id,
            source=self._settings.mode,
            counted_by=self._counted_by,
            history_days=self._settings.history_days,
            accounts=self._accounts,
            publish_result=False,
            now=self._collection.clock.now(),
            asked_again_at=asked_again_at,
            read_back=merged,
        )
        # Only now is what was bought safe.
        archived.settle()
        self._collection.book.discard(harvest.purchases)
        return written

    def _read_back(
        self, stored: "_Stored", accounts: Sequence[AdAccount], connection: duckdb.DuckDBPyConnection
    ) -> None:
        request, now = self._request, self._collection.clock.now()
        stored.inspections = self._inspect(connection)
        stored.unseen = unseen_choices(self._counted_by, seen_action_types(connection))
        stored.missing = tuple(MissingPart(**asdict(gap)) for gap in missing_parts(connection))
        run = Run(
            request.run_id,
            [report.name for report in request.reports],
            request.days.since,
            request.days.until,
            {account.id: account.timezone_name for account in accounts},
        )
        stored.trust = read_trust(connection, run, now)

    def _settle(self, found: FoundAccounts, plan: Plan, stored: "_Stored") -> None:
        """Look for what explains residuals; what is stored may be another thing afterwards."""
        request = self._request
        counts = settle(
            self._collection,
            self._warehouse,
            stored.trust.residuals,
            accounts=found.accounts,
            levels=[report.level for report in request.reports],
            rows_a_day=plan.rows_a_day,
            folder=self._folder,
            read_again=self._read_again,
            archive=self._archive,
            run_id=request.run_id,
        )
        for table, more in counts.items():
            stored.written.counts[table] = stored.written.counts.get(table, MergeCounts()) + more
        with self._warehouse.connect() as connection:
            self._read_back(stored, found.accounts, connection)

    def _read_again(self, requests: Sequence[Request], asked_at: datetime) -> Mapping[str, MergeCounts]:
        folder = self._folder / "again"
        folder.mkdir()
        harvest = self._collect(requests, folder)
        # What could not be read a second time is not missing: the first reading is stored.
        return self._merge(harvest, [], lambda _connection: None, asked_at).counts

    def _is_asked_for(self, part: MissingPart, expected: Ids[str]) -> bool:
        """Whether a missing part is of what this sync should bring; accounts that were never read, and refuse, are not."""
        request = self._request
        if request.account_ids and part.account_id not in request.account_ids:
            return False
        if part.kind == REFUSED and part.account_id not in expected:
            return False
        return (
            part.report in {report.name for report in request.reports}
            and request.days.common(DayRange(part.since, part.until)) is not None
        )

    def _touched(self, staged: Sequence[Staged]) -> dict[str, frozenset[date]]:
        """The days that were asked for, by report of which anything came; a day that has begun nowhere lacks nothing."""
        days: dict[str, set[date]] = {}
        for item in staged:
            mine = DayRange(item.part.since, item.part.until) if self._request.only_missing else self._request.days
            days.setdefault(item.part.report.name, set()).update(mine.days)
        return {report: frozenset(some) for report, some in days.items()}

    def _inspect(self, connection: duckdb.DuckDBPyConnection) -> dict[str, TableInspection]:
        request, newest = self._request, newest_day(self._started)
        tables = [*(fact_table(report) for report in request.reports), actions_table()]
        days = request.days
        return {
            table.name: inspect_table(connection, table, days.since, days.until, newest, request.run_id)
            for table in tables
        }

    def _receipt(
        self,
        found: FoundAccounts,
        plan: Plan,
        harvest: Harvest,
        stored: "_Stored",
        entities: EntityOutcome,
        state: str,
    ) -> Receipt:
        request, api = self._request, self._collection.api
        version_warnings = (*([self._retirement] if self._retirement else []), *api.version_warnings)
        counts = {**stored.written.counts, **entities.counts}
        names = [report.name for report in request.reports]
        if names:
            names.append(actions_table().name)
        names += [name for name in counts if name not in names]
        return Receipt.model_validate(
            {
                "run_id": request.run_id,
                "mode": self._settings.mode,
                "state": state,
                "started_at": self._started,
                "finished_at": self._collection.clock.now(),
                "since": request.days.since,
                "until": request.days.until,
                "levels": [report.level.value for report in request.reports],
                "accounts": [account.id for account in found.accounts],
                "planned_calls": plan.calls,
                "planned_calls_total": plan.calls_total,
                **call_fields(api.meter.counts()),
                "repeated_rows": sum(item.repeats for item in harvest.staged),
                "tables": {
                    name: TableReceipt.model_validate(asdict(counts.get(name, MergeCounts()))) for name in names
                },
                "missing": [Missing.model_validate(asdict(gap)) for gap in harvest.gaps],
                "refused": [
                    Refused(account_id=account_id, reason=reason) for account_id, reason in harvest.refused.items()
                ],
                "withheld": harvest.withheld,
                "not_refreshed": [
                    NotRefreshed(account_id=account_id, reason=reason)
                    for account_id, reason in entities.not_refreshed.items()
                ],
                "reconciliation": _reconciled(stored.trust.ledger.values()),
                "drift": _sighted(stored.trust.drift, request.run_id),
                "version_warnings": version_warnings,
                "warnings": (
                    *version_warnings,
                    *stored.unseen,
                    *plan.notes,
                    *self._holes,
                    *entities.warnings,
                    *self._archive.warnings,
                ),
                "published": state != FAILED,
                "snapshot": str(self._settings.snapshot_path),
                "seconds": self._watch.seconds,
            }
        )

    def _tell_end(self, receipt: Receipt) -> None:
        for one in receipt.drift:
            log.warning("Meta has begun to send something: %s", one.text)
        log.info(
            "%s rows read, %s written, %d calls (%d planned); %s",
            f"{receipt.rows_read:,}",
            f"{receipt.rows_written:,}",
            receipt.calls_total,
            receipt.planned_calls_total,
            f"published {receipt.snapshot}" if receipt.published else "nothing published",
        )


@dataclass
class _Stored:
    """What writing came to."""

    written: Written = field(default_factory=Written)
    inspections: Mapping[str, TableInspection] = field(default_factory=dict)
    missing: tuple[MissingPart, ...] = ()
    unseen: tuple[str, ...] = ()
    """Sentences on action types that were chosen and never came."""
    trust: Trust = field(default_factory=Trust)


def _reconciled(found: Iterable[LedgerFinding]) -> Reconciled:
    counts: Counter[str] = Counter()
    for one in found:
        counts.update({status.value: count for status, count in one.counts.items()})
    return Reconciled(compared=counts.total(), **{status.value: counts[status.value] for status in Status})


def _sighted(drift: Iterable[Drift], run_id: str) -> list[Sighted]:
    """What a run saw first."""
    return [
        Sighted(
            kind=one.kind.value,
            report=one.report,
            account_id=one.account_id,
            name=one.name,
            example=one.example,
            text=one.sentence,
        )
        for one in drift
        if one.run_id == run_id
    ]


@contextmanager
def _work_folder(folder: Path) -> Iterator[None]:
    try:
        # An interrupt may come right behind it.
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
