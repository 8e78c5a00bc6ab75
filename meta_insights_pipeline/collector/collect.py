"""Making the planned requests, many at a time: what Meta refuses is asked for in smaller parts, what is blocked waits its turn.

Each request runs on a thread of its own, most of which sleep until their report is ready; the calls of all go out a few at
a time.
"""

import contextvars
import heapq
import itertools
import logging
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from queue import Empty, Queue
from typing import NamedTuple

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.fetching import Fetcher, Part
from meta_insights_pipeline.collector.lessons import Lessons
from meta_insights_pipeline.collector.plan import PAGE_ROWS, Request
from meta_insights_pipeline.collector.report_book import Purchase, ReportBook
from meta_insights_pipeline.collector.splitting import (
    Evidence,
    evidence,
    halves_of_days,
    halves_of_entities,
    halves_of_fields,
    next_level,
    parts_of_days,
)
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    GraphApiError,
    ReportRunError,
    ThrottleError,
    TransientError,
)
from meta_insights_pipeline.graph_api.paging import list_objects
from meta_insights_pipeline.graph_api.report_runs import PollPolicy
from meta_insights_pipeline.logs import log_context

log = logging.getLogger(__name__)

IN_FLIGHT = 32
CALLS_AT_ONCE = 8
# A block that ends within this is waited for once nothing else is left to do; a longer one is left to a later sync.
PATIENCE = timedelta(seconds=60)
MOST_PATIENCE = timedelta(minutes=5)
TRY_AGAIN_AFTER = timedelta(minutes=15)
TRY_HARD_AGAIN_AFTER = timedelta(hours=6)
_PIECE_OF_SLEEP = 0.5
_LOOK_AT_BLOCKS = 1.0


@dataclass(frozen=True)
class Collected:
    """A report of an account over some days that has come whole."""

    request: Request
    """As it was asked for in the end: its days and, where a field was in quarantine, its fields."""
    parts: tuple[Part, ...]
    """One, unless Meta gave it only by entities or by fields."""

    @property
    def asked_at(self) -> datetime:
        """When (UTC) its oldest part was asked for; the numbers are at least as new."""
        return min(part.purchase.asked_at for part in self.parts)

    @property
    def withheld(self) -> tuple[str, ...]:
        """The report's fields that Meta would not give."""
        came = {name for part in self.parts for name in (part.fields or self.request.report.fields)}
        return tuple(name for name in self.request.report.fields if name not in came)

    @property
    def purchases(self) -> tuple[Purchase, ...]:
        """What it was bought with."""
        return tuple(part.purchase for part in self.parts)


@dataclass(frozen=True)
class Missed:
    """A report of an account over some days that could not be had."""

    request: Request
    error: GraphApiError
    evidence: Evidence
    retry_at: datetime | None
    """When (UTC) it is worth asking again; None when nothing but a change elsewhere will help."""


class _Blocked(NamedTuple):
    """Requests that wait for the end of a block."""

    until: datetime
    order: int
    stack: list[Request]
    error: GraphApiError


class _Done(NamedTuple):
    """A thread has come to the end of its requests."""


class Collector:
    """Makes requests and keeps their pages in the book."""

    def __init__(
        self,
        api: GraphApi,
        book: ReportBook,
        lessons: Lessons,
        clock: Clock,
        *,
        poll: PollPolicy | None = None,
        patience: timedelta = PATIENCE,
    ) -> None:
        """Prepare; nothing is called yet.

        Args:
            api: The session.
            book: Where purchases are kept.
            lessons: What Meta taught before.
            clock: The time.
            poll: How often to ask for a report's status.
            patience: How long a block may last to be waited for.
        """
        self._api = api
        self._book = book
        self._lessons = lessons
        self._clock = clock
        self._patience = patience
        self._fetcher = Fetcher(api, book, lessons, clock, poll=poll or PollPolicy(), pause=self._pause)
        self._stop = threading.Event()
        self._permits = threading.Semaphore(CALLS_AT_ONCE)
        # Accounts that are not ours to read, found on the way; one refusal is enough.
        self._refused: dict[str, GraphApiError] = {}
        self._order = itertools.count()
        self._waited = timedelta()

    def count_entities(self, questions: Sequence[tuple[AdAccount, Level]]) -> Mapping[tuple[str, Level], int]:
        """How many campaigns, ad sets or ads run; one that is not told is left out."""
        counts: dict[tuple[str, Level], int] = {}
        with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="count") as pool:
            answers = [pool.submit(contextvars.copy_context().run, self._count, one) for one in questions]
            for (account, level), answer in zip(questions, answers, strict=True):
                if (count := answer.result()) is not None:
                    counts[account.id, level] = count
        return counts

    def collect(self, requests: Sequence[Request]) -> Generator[Collected | Missed, None, None]:
        """Make every request; give what comes and what cannot be had, in pieces that together make up the requests.

        Once the token is refused, what is left is missed without a call; so is an account that refuses. Whoever stops
        reading before the end must close the generator, which ends the requests that are under way.
        """
        events: Queue[Collected | Missed | _Blocked | _Done | BaseException] = Queue()
        self._stop.clear()
        pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="collect")
        blocked: list[_Blocked] = []
        active = 0

        def start(stack: list[Request]) -> None:
            nonlocal active
            active += 1
            pool.submit(contextvars.copy_context().run, self._work, stack, events)

        # An interrupt may come at any line: whatever has begun by then must be told to stop before it is waited for.
        try:
            for request in requests:
                start([request])
            while active or blocked:
                if not active:
                    yield from self._wait_or_give_up(blocked)
                while blocked and blocked[0].until <= self._clock.now():
                    start(heapq.heappop(blocked).stack)
                if not active:
                    continue
                event = _next(events, blocked)
                active -= isinstance(event, _Done | _Blocked)
                if isinstance(event, _Blocked):
                    heapq.heappush(blocked, event)
                elif isinstance(event, Collected | Missed):
                    yield event
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)

    def _wait_or_give_up(self, blocked: list[_Blocked]) -> Generator[Missed, None, None]:
        """Nothing is left but what is blocked: wait for the first, or leave what takes longer to a later sync."""
        now = self._clock.now()
        wait = blocked[0].until - now
        # Without a token there is nothing to wait for.
        if not self._stop.is_set() and wait <= self._patience and self._waited + wait <= MOST_PATIENCE:
            self._waited += max(wait, timedelta())
            log.info("every account that is left is blocked; waiting %.0f s", max(0.0, wait.total_seconds()))
            self._sleep(wait.total_seconds())
            return
        for _, _, stack, error in blocked:
            for request in reversed(stack):
                yield self._missed(request, error)
        blocked.clear()

    def _work(
        self, stack: list[Request], events: "Queue[Collected | Missed | _Blocked | _Done | BaseException]"
    ) -> None:
        try:
            with self._permits:
                while stack:
                    with log_context(account=stack[-1].account.id, report=stack[-1].report.name):
                        result = self._step(stack[-1])
                    stack.pop()
                    if isinstance(result, list):
                        stack.extend(reversed(result))
                    else:
                        events.put(result)
            events.put(_Done())
        except ThrottleError as error:
            until = self._clock.now() + timedelta(seconds=error.retry_after or self._patience.total_seconds())
            events.put(_Blocked(until, next(self._order), stack, error))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits for the answer must get it
            events.put(error)

    def _step(self, asked: Request) -> Collected | Missed | list[Request]:
        """Bring a request to its end, or give the smaller ones that take its place.

        Raises:
            ThrottleError: A limit is reached; the request can go on later.
        """
        if self._stop.is_set():
            return self._missed(asked, AuthError("Not asked for, since the token was refused before."))
        if refusal := self._refused.get(asked.account.id):
            return self._missed(asked, refusal)
        size = self._lessons.size(asked.account.id, asked.report.name)
        if size is not None and asked.days.count > size.days:
            return parts_of_days(asked, size.days)
        request = self._without_quarantined(asked)
        try:
            parts = self._gather(request, in_parts=size is not None and size.by_entity)
        except _FieldQuarantinedError:
            return [asked]
        except ThrottleError:
            raise
        except GraphApiError as error:
            return self._smaller(request, error) or self._missed(request, error)
        collected = Collected(request, tuple(parts))
        self._lessons.gave(
            request.account.id,
            request.report.name,
            tuple(name for name in request.report.fields if name not in collected.withheld),
        )
        return collected

    def _smaller(self, request: Request, error: GraphApiError) -> list[Request]:
        """Fewer days at once, when that may help."""
        if evidence(error) not in (Evidence.TOO_LARGE, Evidence.RUN):
            return []
        halves = halves_of_days(request.days)
        if halves is None:
            return []
        self._lessons.refused_days(request.account.id, request.report.name, request.days.count)
        log.info("%s: asked for in fewer days. %s", request, error, extra=_about(request, error))
        share = request.rows / request.days.count
        return [replace(request, days=half, rows=share * half.count) for half in halves]

    def _missed(self, request: Request, error: GraphApiError) -> Missed:
        what, now = evidence(error), self._clock.now()
        retry_at: datetime | None = None
        if what is Evidence.TOKEN:
            self._stop.set()
        elif what is Evidence.ACCOUNT:
            self._refused.setdefault(request.account.id, error)
        elif what is Evidence.LATER:
            seconds = error.retry_after
            retry_at = now + (timedelta(seconds=seconds) if seconds else TRY_AGAIN_AFTER)
        else:
            retry_at = now + TRY_HARD_AGAIN_AFTER
        return Missed(request, error, what, retry_at)

    def _gather(self, request: Request, *, in_parts: bool = False, again: bool = True) -> list[Part]:
        """Every part of a request, split by entities or fields where Meta proves that it must be."""
        if in_parts and request.days.count == 1 and next_level(request) is not None:
            return self._by_entities(request, None)
        try:
            return [self._fetcher.fetch(request)]
        except GraphApiError as error:
            what = evidence(error)
            if what in (Evidence.AGAIN, Evidence.RUN) and again:
                log.warning("%s: asked for once more. %s", request, error, extra=_about(request, error))
                return self._gather(request, again=False)
            if what is Evidence.FIELDS:
                return self._by_fields(request, error)
            if what in (Evidence.TOO_LARGE, Evidence.RUN) and request.days.count == 1:
                return self._by_entities(request, error)
            raise

    def _by_entities(self, request: Request, error: GraphApiError | None) -> list[Part]:
        """One day, in two sets of campaigns, ad sets or ads; by fields when it is down to one entity."""
        if error is not None:
            self._lessons.refused_days(request.account.id, request.report.name, 1)
            log.info("%s: asked for in parts. %s", request, error, extra=_about(request, error))
        halves = halves_of_entities(request.within) if request.within else None
        if halves is None:
            level = next_level(request)
            ids = self._delivering(request, level) if level else ()
            if level is None or not ids:
                return self._by_fields(request, error or ReportRunError(f"{request}: cannot be asked for in parts."))
            halves = halves_of_entities((level, ids))
            if halves is None:
                return self._gather(replace(request, within=(level, ids)))
        return [part for half in halves for part in self._gather(replace(request, within=half))]

    def _delivering(self, request: Request, level: Level) -> tuple[str, ...]:
        """The entities of a level that have rows, within what a request is about: the cheapest question there is."""
        days = request.days
        questions = request.report.model_copy(update={"level": level, "fields": ("impressions",), "breakdowns": ()})
        parameters = questions.request_parameters(days.since, days.until, within=request.within)
        rows = list_objects(
            self._api,
            f"{request.asked_node}/insights",
            {**parameters, "limit": str(PAGE_ROWS)},
            kind="insights_page",
            account=request.account.id,
        )
        return tuple(sorted({str(row[level.id_field]) for row in rows}))

    def _by_fields(self, request: Request, error: GraphApiError) -> list[Part]:
        """All fields that Meta gives, in as many parts as it takes; the others go into quarantine.

        Raises:
            GraphApiError: It is not the fields: without any the request is refused, too.
        """
        account, report = request.account.id, request.report.name
        on_trial = [name for name, one in self._lessons.withheld(account, report).items() if one.is_due]
        if still := [name for name in on_trial if name in request.asked_fields]:
            for name in still:
                self._quarantine(request, name, error)
            raise _FieldQuarantinedError
        bare = replace(request, fields=())
        try:
            self._book.discard([self._fetcher.fetch(bare).purchase])
        except ThrottleError:
            raise
        except GraphApiError:
            raise error from None
        spoiled: dict[str, GraphApiError] = {}
        parts = self._halved_fields(request, error, spoiled)
        if len(spoiled) == len(request.asked_fields):
            raise error
        for name, why in spoiled.items():
            self._quarantine(request, name, why)
        if spoiled and request.within is not None:
            # The other entities' parts must hold the same fields, so the day begins anew without the ones that spoil it.
            self._book.discard(part.purchase for part in parts)
            raise _FieldQuarantinedError
        return parts

    def _halved_fields(self, request: Request, error: GraphApiError, spoiled: dict[str, GraphApiError]) -> list[Part]:
        halves = halves_of_fields(request.asked_fields)
        if halves is None:
            spoiled[request.asked_fields[0]] = error
            return []
        parts: list[Part] = []
        for half in halves:
            smaller = replace(request, fields=half)
            try:
                parts.append(self._fetcher.fetch(smaller))
            except GraphApiError as refusal:
                if evidence(refusal) not in (Evidence.FIELDS, Evidence.TOO_LARGE, Evidence.RUN):
                    raise
                parts += self._halved_fields(smaller, refusal, spoiled)
        return parts

    def _quarantine(self, request: Request, name: str, error: GraphApiError) -> None:
        self._lessons.quarantine(request.account.id, request.report.name, name, str(error))
        log.warning(
            "%s: the field %s is left out, since Meta does not give the report with it. %s",
            request,
            name,
            error,
            extra=_about(request, error),
        )

    def _without_quarantined(self, request: Request) -> Request:
        held = self._lessons.withheld(request.account.id, request.report.name)
        left_out = {name for name, one in held.items() if not one.is_due}
        if not left_out:
            return request
        return replace(request, fields=tuple(name for name in request.asked_fields if name not in left_out))

    def _count(self, question: tuple[AdAccount, Level]) -> int | None:
        account, level = question
        parameters = {"fields": "id", "limit": "1", "summary": "true", "effective_status": '["ACTIVE"]'}
        try:
            with log_context(account=account.id):
                answer = self._api.get(
                    f"{account.node}/{level.value}s", parameters, kind="size", read=read_object, account=account.id
                )
        except GraphApiError as error:
            about = {"account": account.id, "fbtrace_id": error.fbtrace_id}
            log.info("%s: the number of its %ss is not known. %s", account.node, level.value, error, extra=about)
            return None
        total = (answer.get("summary") or {}).get("total_count")
        return int(total) if total is not None else None

    def _pause(self, seconds: float) -> None:
        """Wait for a report, but no longer than somebody waits for this collector; others call meanwhile."""
        self._permits.release()
        try:
            self._sleep(seconds)
        finally:
            self._permits.acquire()

    def _sleep(self, seconds: float) -> None:
        while seconds > 0:
            if self._stop.is_set():
                # Nothing is wrong with the report: it stays bought, and nothing is learned from it.
                raise TransientError("The wait for a report was given up, since the sync ended before.")
            piece = min(seconds, _PIECE_OF_SLEEP)
            self._clock.sleep(piece)
            seconds -= piece


def _next(
    events: "Queue[Collected | Missed | _Blocked | _Done | BaseException]", blocked: Sequence[_Blocked]
) -> Collected | Missed | _Blocked | _Done | None:
    """What a thread has to say; None after a while, since what is blocked may come free while reports are waited for."""
    try:
        event = events.get(timeout=_LOOK_AT_BLOCKS if blocked else None)
    except Empty:
        return None
    if isinstance(event, BaseException):
        raise event
    return event


class _FieldQuarantinedError(Exception):
    """A field was found to spoil a report; it is asked for anew without it."""


def _about(request: Request, error: GraphApiError) -> dict[str, str | None]:
    """What a log line says beside its text."""
    return {"account": request.account.id, "report": request.report.name, "fbtrace_id": error.fbtrace_id}
