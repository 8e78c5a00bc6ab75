"""Everything that collecting needs, opened from the settings: session, budget, book, lessons; and the plan of a collection.

Used alike by syncs, by `meta-insights plan` and by the library, so that all of them collect in the same way.
"""

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import lru_cache, partial

from meta_insights_pipeline.budgets import open_budget
from meta_insights_pipeline.catalog.limits import Severity, earliest_day, request_problems
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.collector.accounts import (
    ACTIVE,
    AccountRules,
    AdAccount,
    FoundAccounts,
    find_accounts,
)
from meta_insights_pipeline.collector.collect import Collector
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.lessons import Lessons
from meta_insights_pipeline.collector.list_book import ListBook
from meta_insights_pipeline.collector.plan import (
    Request,
    RowsADay,
    estimate,
    expected_rows,
    largest_first,
    plan,
    unseen_accounts,
)
from meta_insights_pipeline.collector.report_book import ReportBook
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.errors import ThrottleError
from meta_insights_pipeline.home_files import AccountBook
from meta_insights_pipeline.life import alive, is_alive
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.sources import open_graph_api
from meta_insights_pipeline.state import State

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Handed:
    """Accounts that were found for a sync which begins in a moment in this process, and what finding them took."""

    wanted: tuple[str, ...]
    found: FoundAccounts
    calls: Mapping[str, int]
    """By kind."""


_handed: ContextVar[Handed | None] = ContextVar("handed", default=None)

_STATUS = "status"
_REFUSAL = "refusal"


@dataclass(frozen=True)
class Collection:
    """What a collection works with."""

    settings: Settings
    api: GraphApi
    budget: Budget
    book: ReportBook
    lists: ListBook
    lessons: Lessons
    collector: Collector
    clock: Clock


@contextmanager
def open_collection(settings: Settings, run_id: str, clock: Clock | None = None) -> Iterator[Collection]:
    """Open session and books for one run; nothing is called yet.

    Args:
        settings: Where, with which token.
        run_id: The run, which must be unique; while it is open, others know that it lives.
        clock: The time; the machine's own when left out.

    Raises:
        SettingsError: Live mode without a token, or a shared book of budgets that cannot be opened.
    """
    clock = clock or SystemClock()
    settings.home.mkdir(parents=True, exist_ok=True)
    state = State(settings.state_path)
    try:
        with (
            open_budget(settings, state, clock) as budget,
            open_graph_api(settings, budget=budget, clock=clock) as api,
            alive(settings.home, run_id),
        ):
            lives = partial(is_alive, settings.home)
            book = ReportBook(state, settings.pages_path, clock, owner=run_id, is_alive=lives)
            lists = ListBook(state, settings.pages_path / "lists", clock, owner=run_id, is_alive=lives)
            lessons = Lessons(state, clock)
            collector = Collector(api, book, lessons, clock)
            try:
                yield Collection(settings, api, budget, book, lists, lessons, collector, clock)
            finally:
                book.release()
                lists.release()
    finally:
        state.close()


def accounts_of(collection: Collection, wanted: Sequence[str]) -> FoundAccounts:
    """The accounts to collect: the named ones, those of the settings, or all that are found and admitted.

    While Meta accepts no call at all, they are those of the last sync: what is due is then noted as such.

    Raises:
        NoAccountError, GraphApiError: See `find_accounts`.
    """
    settings = collection.settings
    if (handed := _take_handed(wanted)) is not None:
        for kind, calls in handed.calls.items():
            for _ in range(calls):
                collection.api.meter.called(kind)
        return handed.found
    named = tuple(wanted) or settings.ad_account_ids
    rules = AccountRules(settings.allow_accounts, settings.deny_accounts)
    try:
        found = find_accounts(collection.api, named, rules)
    except ThrottleError as error:
        known = AccountBook(settings.home).accounts()
        known = tuple(account for account in known if not named or account.id in named)
        if not known:
            raise
        log.warning("The accounts are those of the last sync. %s", error)
        return FoundAccounts(known)
    _tell_news(collection.lessons, found)
    if not wanted:
        # A sync of some accounts must not make the schedule forget the zones of the others.
        AccountBook(settings.home).save(found.accounts)
    return found


@contextmanager
def handing_on(handed: Handed) -> Iterator[None]:
    """Let the sync that begins inside, on this thread, go on with accounts that were found already, and count their calls."""
    token = _handed.set(handed)
    try:
        yield
    finally:
        _handed.reset(token)


def _take_handed(wanted: Sequence[str]) -> Handed | None:
    handed = _handed.get()
    if handed is None or handed.wanted != tuple(wanted):
        return None
    # What was found serves one sync; a later one must see what has changed.
    _handed.set(None)
    return handed


def tell_refusals(lessons: Lessons, refused: Mapping[str, str], answered: Iterable[str]) -> None:
    """Tell which accounts are not ours to read, once and not at every sync, and which are again.

    Args:
        lessons: Remember what was told.
        refused: Reasons by account id.
        answered: Ids of accounts that were read.
    """
    for account_id, reason in refused.items():
        news = lessons.is_news(account_id, _REFUSAL, "refused")
        log.log(
            logging.ERROR if news else logging.DEBUG,
            "act_%s is left out: %s",
            account_id,
            reason,
            extra={"account": account_id},
        )
    for account_id in answered:
        if lessons.is_over(account_id, _REFUSAL):
            log.info("act_%s can be read again", account_id, extra={"account": account_id})


def _tell_news(lessons: Lessons, found: FoundAccounts) -> None:
    for account in found.accounts:
        if account.status == ACTIVE:
            if lessons.is_over(account.id, _STATUS):
                log.info("%s (%s) is active again", account.node, account.name, extra={"account": account.id})
        elif lessons.is_news(account.id, _STATUS, str(account.status)):
            log.warning(
                "%s (%s) is %s; what Meta still gives of it is collected.",
                account.node,
                account.name,
                account.status_text,
                extra={"account": account.id},
            )


@dataclass(frozen=True)
class Unavailable:
    """What Meta would refuse, and is therefore not asked for."""

    report: str
    account_id: str
    days: DayRange
    reason: str


@dataclass(frozen=True)
class Plan:
    """The requests of a collection and what they are expected to cost."""

    requests: tuple[Request, ...]
    calls: Mapping[str, int]
    """By kind, those that planning itself made included."""
    rows_a_day: RowsADay = field(default_factory=dict)
    """What was expected, by account id and report."""
    unavailable: tuple[Unavailable, ...] = ()
    notes: tuple[str, ...] = ()
    """What the catalogue says that Meta will leave empty without an error, a sentence for each report and cause."""
    unlisted: tuple[str, ...] = ()
    """Accounts whose entities are listed for the first time: how many pages that takes is known only afterwards."""

    @property
    def calls_total(self) -> int:
        """All calls together."""
        return sum(self.calls.values())

    @property
    def calls_text(self) -> str:
        """How many calls, and how sure that is."""
        if not self.unlisted:
            return f"about {self.calls_total:,} calls"
        return f"at least {self.calls_total:,} calls, since {len(self.unlisted)} accounts are listed for the first time"

    def with_calls(self, more: Mapping[str, int], unlisted: Sequence[str] = ()) -> "Plan":
        """The same plan with calls that are not for reports, and the accounts of which their number is not known."""
        return replace(self, calls={**self.calls, **more}, unlisted=tuple(unlisted))


@dataclass(frozen=True)
class Wanted:
    """A report of some accounts over some days."""

    accounts: tuple[AdAccount, ...]
    reports: tuple[Report, ...]
    days: DayRange


def draw_up(collection: Collection, wanted: Sequence[Wanted], known_rows: RowsADay) -> Plan:
    """Plan a collection; asks for the size of accounts that are not known, and for nothing else.

    What the catalogue says that Meta would refuse is left out before a call is spent on it.

    Args:
        collection: What to work with.
        wanted: What to ask for.
        known_rows: Rows a day that earlier syncs brought.
    """
    now, version = collection.clock.now(), collection.settings.graph_api_version
    possible, unavailable = [], []
    notes: dict[str, None] = {}
    for one in wanted:
        for account, report in itertools.product(one.accounts, one.reports):
            days, refused, empty = within_reach(account, report, one.days, now, version)
            unavailable += refused
            if days is not None:
                possible.append((account, report, days))
                notes |= {f"{report.name}: {sentence}": None for sentence in empty}
    expected = dict(known_rows)
    questions = [question for one in possible for question in unseen_accounts([one[0]], [one[1]], one[2], expected)]
    if questions:
        counts = collection.collector.count_entities(list(dict.fromkeys(questions)))
        expected = {**expected_rows(counts, dict.fromkeys(one[1] for one in possible)), **expected}
    sizes = collection.lessons.sizes()
    requests = [
        request
        for account, report, days in possible
        for request in plan([account], [report], days, now, expected, sizes)
    ]
    requests = largest_first(requests)
    return Plan(tuple(requests), _cost(collection, requests), expected, tuple(unavailable), tuple(notes))


def within_reach(
    account: AdAccount, report: Report, days: DayRange, now: datetime, version: str
) -> tuple[DayRange | None, list[Unavailable], tuple[str, ...]]:
    """The days of a report that Meta gives, the others with the reason, and what it leaves empty without an error."""
    today = account.today(now)
    first, refused, clamped, empty = _reach(report, days, today, version)
    empty = empty if days.since <= today else ()
    if days.since >= first:
        return (None, [Unavailable(report.name, account.id, days, refused)], ()) if refused else (days, [], empty)
    reason = refused or clamped
    last = min(days.until, first - timedelta(days=1))
    lost = [Unavailable(report.name, account.id, DayRange(days.since, last), reason)]
    return (DayRange(first, days.until) if first <= days.until else None), lost, empty


@lru_cache
def _reach(report: Report, days: DayRange, today: date, version: str) -> tuple[date, str, str, tuple[str, ...]]:
    """For all accounts of a zone: the first day that Meta gives, why it refuses a report or shortens it, what it leaves empty."""
    until = min(days.until, max(today, days.since))
    problems = request_problems(report, days.since, until, today=today, version=version)
    refused, clamped = (
        " ".join(problem.sentence for problem in problems if problem.severity is severity)
        for severity in (Severity.REFUSED, Severity.CLAMPED)
    )
    empty = tuple(problem.sentence for problem in problems if problem.severity is Severity.EMPTY)
    return earliest_day(report, today), refused, clamped, empty


def _cost(collection: Collection, requests: Sequence[Request]) -> dict[str, int]:
    """The calls that have been made so far and those that requests will need, by kind."""
    calls = dict(collection.api.meter.counts().calls)
    lessons = collection.lessons
    for kind, count in estimate(requests, lessons.polls_a_report(), lessons.sizes()).items():
        calls[kind] = calls.get(kind, 0) + count
    return calls
