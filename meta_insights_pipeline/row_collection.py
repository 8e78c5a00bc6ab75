"""Collecting rows and not tables: the blocking part of the library, in the form in which one thread does one call of it.

Everything is asked for through `open_collection` and its collector, as a sync does it: the same budgets, retries and splitting,
the same books below the home. What is decided here is which requests to make, and what of the answers to hand over. Knows nothing
of asyncio.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report, reports_of_levels
from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.collection import Collection, Wanted, draw_up, open_collection, within_reach
from meta_insights_pipeline.collector.accounts import AccountRules, AdAccount, NoAccountError, find_accounts
from meta_insights_pipeline.collector.collect import TRY_AGAIN_AFTER, TRY_HARD_AGAIN_AFTER, Collected
from meta_insights_pipeline.collector.days import DayRange, days_back_range
from meta_insights_pipeline.collector.plan import PAGE_ROWS, Request
from meta_insights_pipeline.collector.report_book import Purchase
from meta_insights_pipeline.collector.rows import InsightRow, UnreadableRowsError, read_rows
from meta_insights_pipeline.graph_api.client import read_object
from meta_insights_pipeline.graph_api.errors import AuthError, BadRequestError, GraphApiError, RetryableError
from meta_insights_pipeline.logs import log_context
from meta_insights_pipeline.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

_PIECE_OF_SLEEP = 0.5
# A field that objects of this level alone have, so that the id of another object is noticed by the call that is made anyway.
_OWN_FIELDS = {Level.CAMPAIGN: "objective", Level.ADSET: "optimization_goal", Level.AD: "adset_id"}
_NOUNS = {Level.CAMPAIGN: "a campaign", Level.ADSET: "an ad set", Level.AD: "an ad"}


class InsightsError(Exception):
    """Insights that could not be had; the message says why, the cause is Meta's own answer if there is one."""

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at
        """When (UTC) it is worth asking again; None when nothing but a change elsewhere will help."""


@dataclass(frozen=True)
class MissingInsights:
    """Days of a level of an ad account that could not be had."""

    level: Level
    account_id: str
    date_start: date
    date_end: date
    """The last day, inclusive."""
    reason: str
    retry_at: datetime | None = None
    """When (UTC) it is worth asking again; None when nothing but a change elsewhere will help."""


@dataclass(frozen=True)
class InsightsResult:
    """What a collection of several accounts and levels has brought."""

    rows: Mapping[Level, Sequence[InsightRow]]
    """By level, which is text such as `campaign`; by day, account and entity within each."""
    missing: tuple[MissingInsights, ...]
    """What could not be had; nothing of it is among the rows."""
    calls: Mapping[str, int]
    """Calls of Meta's API by kind, each attempt counted."""

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is there."""
        return not self.missing


class StoppedError(RuntimeError):
    """Nobody waits for the call any more."""

    def __init__(self) -> None:
        super().__init__("The collector was closed before the call had ended.")


class StoppableClock:
    """A clock by which nobody waits any longer once an event is set: reports, retries and budgets end their waits."""

    def __init__(self, clock: Clock, stops: Sequence[threading.Event]) -> None:
        self._clock = clock
        self._stops = stops

    def now(self) -> datetime:
        """The present, aware and in UTC."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds.

        Raises:
            StoppedError: An event is set.
        """
        self._check()
        while seconds > 0:
            piece = min(seconds, _PIECE_OF_SLEEP)
            self._clock.sleep(piece)
            self._check()
            seconds -= piece

    def _check(self) -> None:
        if any(stop.is_set() for stop in self._stops):
            raise StoppedError


def with_collection(settings: Settings, clock: Clock, work: Callable[[Collection], T]) -> T:
    """Do some work as a run of its own, so that several at a time are as safe as several processes.

    Raises:
        InsightsError: Meta refused, or there is no account.
        SettingsError: Live mode without a token.
    """
    run_id = f"library-{uuid4()}"
    with log_context(run=run_id), open_collection(settings, run_id, clock) as collection:
        _go_on(collection)
        collection.book.sweep()
        try:
            return work(collection)
        except NoAccountError as error:
            raise InsightsError(str(error)) from error
        except GraphApiError as error:
            raise InsightsError(str(error), _retry_at(error, clock.now())) from error


def find_owner(collection: Collection, level: Level, entity_id: str) -> str:
    """The id of the ad account that a campaign, ad set or ad belongs to; one call.

    Raises:
        ValueError: The object is of another kind.
        GraphApiError: It could not be read.
    """
    fields = f"account_id,{_OWN_FIELDS[level]}"
    try:
        answer = collection.api.get(entity_id, {"fields": fields}, kind="entity_by_id", read=read_object)
    except BadRequestError as error:
        raise ValueError(f"{level.id_field} is {entity_id!r}, which is not the id of {_NOUNS[level]}.") from error
    return str(answer["account_id"])


def find_account(collection: Collection, account_id: str) -> AdAccount:
    """An ad account with its time zone; one call.

    Raises:
        NoAccountError, GraphApiError: It cannot be read.
    """
    return find_accounts(collection.api, [account_id]).accounts[0]


def check_reach(account: AdAccount, level: Level, days: DayRange, now: datetime, version: str) -> None:
    """Look at whether Meta gives the days at all, before a call is spent on them.

    Raises:
        InsightsError: It does not give all of them; says which it gives.
    """
    (report,) = reports_of_levels([level])
    _, unavailable, _ = within_reach(account, report, days, now, version)
    if unavailable:
        raise InsightsError(unavailable[0].reason)


def rows_of_entity(
    collection: Collection, account: AdAccount, level: Level, entity_id: str, days: DayRange
) -> list[InsightRow]:
    """The rows of one account, campaign, ad set or ad, by day; empty when it delivered on none of the days.

    Raises:
        InsightsError: Not all of the days could be had; what came stays in the book, for the next call to go on with.
    """
    begun = days.until_at_most(account.today(collection.clock.now()))
    if begun is None:
        return []
    check_reach(account, level, begun, collection.clock.now(), collection.settings.graph_api_version)
    (report,) = reports_of_levels([level])
    # A row a day, so that how many there will be is known.
    node = "" if level is Level.ACCOUNT else entity_id
    request = Request(account, report, begun, begun.count <= PAGE_ROWS, float(begun.count), node=node)
    harvest = _harvest(collection, [request])
    if harvest.missing:
        raise InsightsError(harvest.missing[0].reason, harvest.missing[0].retry_at) from harvest.errors[0]
    collection.book.discard(harvest.purchases)
    return sorted(harvest.rows, key=lambda row: row.date_start)


def rows_of_accounts(
    collection: Collection, account_ids: Sequence[str], reports: Sequence[Report], days_back: int
) -> InsightsResult:
    """The rows of some accounts from `days_back` days ago through today, each in its own days.

    Args:
        collection: What to work with.
        account_ids: Without `act_`; empty: all that the token can read and the settings admit.
        reports: One a level.
        days_back: 0 for today alone.

    Raises:
        NoAccountError, GraphApiError, InsightsError: Nothing at all could be had.
    """
    settings = collection.settings
    # Not `accounts_of`, which writes down what it finds for the schedule: a program may well have another token.
    found = find_accounts(collection.api, account_ids, AccountRules(settings.allow_accounts, settings.deny_accounts))
    now = collection.clock.now()
    todays = {account: account.today(now) for account in found.accounts}
    wanted = [
        Wanted(
            tuple(account for account in found.accounts if todays[account] == today),
            tuple(reports),
            DayRange(today - timedelta(days=days_back), today),
        )
        for today in sorted(set(todays.values()))
    ]
    plan = draw_up(collection, wanted, {})
    for note in plan.notes:
        log.warning("%s", note)
    harvest = _harvest(collection, plan.requests)
    if not harvest.rows and (refusals := [error for error in harvest.errors if isinstance(error, AuthError)]):
        # Meta's own answer, if it is among those that were not asked for because of it.
        raise next((error for error in refusals if error.code is not None), refusals[0])
    rows: dict[Level, list[InsightRow]] = {report.level: [] for report in reports}
    for row in sorted(harvest.rows, key=lambda row: (row.date_start, row.account_id, row.entity_id)):
        rows[row.level].append(row)
    # The time zone of an account that refuses is not known.
    days = days_back_range(now, days_back, [account.timezone_name for account in found.accounts])
    refused = [
        MissingInsights(report.level, account.id, days.since, days.until, account.reason)
        for account in found.refused
        for report in reports
    ]
    levels = {report.name: report.level for report in reports}
    unavailable = [
        MissingInsights(levels[one.report], one.account_id, one.days.since, one.days.until, one.reason)
        for one in plan.unavailable
    ]
    collection.book.discard(harvest.purchases)
    return InsightsResult(rows, (*refused, *unavailable, *harvest.missing), collection.api.meter.counts().calls)


@dataclass
class _Harvest:
    """What came and what did not."""

    rows: list[InsightRow] = field(default_factory=list)
    missing: list[MissingInsights] = field(default_factory=list)
    errors: list[GraphApiError | UnreadableRowsError] = field(default_factory=list)
    """Of what is missing, in the same order."""
    purchases: list[Purchase] = field(default_factory=list)
    """What the rows were bought with."""

    def miss(self, request: Request, error: GraphApiError | UnreadableRowsError, retry_at: datetime | None) -> None:
        """Note what could not be had."""
        days = request.days
        self.missing.append(
            MissingInsights(request.report.level, request.account.id, days.since, days.until, str(error), retry_at)
        )
        self.errors.append(error)


def _harvest(collection: Collection, requests: Sequence[Request]) -> _Harvest:
    """Make requests, and read the rows of each while others are under way."""
    harvest = _Harvest()
    with closing(collection.collector.collect(requests)) as events:
        for event in events:
            _go_on(collection)
            if not isinstance(event, Collected):
                harvest.miss(event.request, event.error, event.retry_at)
                continue
            try:
                harvest.rows += read_rows(event)
                harvest.purchases += event.purchases
            except UnreadableRowsError as error:
                # What cannot be read is bought anew the next time.
                collection.book.discard(event.purchases)
                harvest.miss(event.request, error, collection.clock.now() + TRY_HARD_AGAIN_AFTER)
    return harvest


def _go_on(collection: Collection) -> None:
    """Raise StoppedError when nobody waits any more."""
    collection.clock.sleep(0)


def _retry_at(error: GraphApiError, now: datetime) -> datetime | None:
    if not isinstance(error, RetryableError):
        return None
    return now + (timedelta(seconds=error.retry_after) if error.retry_after else TRY_AGAIN_AFTER)
