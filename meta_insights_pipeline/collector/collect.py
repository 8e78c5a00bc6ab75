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
from meta_insights_pipeline.collector.fetching import BoughtError, Fetcher, Part
from meta_insights_pipeline.collector.gathering import FieldQuarantinedError, Tools, about, fits_directly, gather
from meta_insights_pipeline.collector.lessons import Lessons
from meta_insights_pipeline.collector.plan import Request, direct_days
from meta_insights_pipeline.collector.portions import DAYS, Key, Portions
from meta_insights_pipeline.collector.report_book import Purchase, ReportBook
from meta_insights_pipeline.collector.splitting import (
    OF_SIZE,
    SUSPICIOUS,
    Evidence,
    evidence,
    first_and_rest,
    is_sure_of_size,
)
from meta_insights_pipeline.collector.trouble import Trouble
from meta_insights_pipeline.collector.turns import Turns
from meta_insights_pipeline.graph_api.client import GraphApi, read_object, sleeping_by
from meta_insights_pipeline.graph_api.errors import AuthError, GraphApiError, ThrottleError, TransientError
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
        self._stop = threading.Event()
        self._turns = Turns(self._sleep, CALLS_AT_ONCE)
        self._portions = Portions(lessons, clock)
        self._trouble = Trouble()
        fetcher = Fetcher(
            api, book, lessons, self._portions, clock, poll=poll or PollPolicy(), pause=self._turns.wait_for_report
        )
        self._tools = Tools(api, book, lessons, self._portions, self._trouble, fetcher)
        # Reports that nothing but trouble came of, in any size.
        self._given_up: dict[Key, GraphApiError] = {}
        # Reports whose runs fail, and which are asked for directly instead.
        self._without_runs: set[Key] = set()
        self._failing = threading.Lock()
        self._failures: dict[Key, int] = {}
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
            with self._turns.turn(), sleeping_by(self._turns.wait_inside_call):
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
        if error := self._known_refusal(asked):
            return self._missed(asked, error)
        most = self._most_days(asked)
        if asked.days.count > most:
            return list(first_and_rest(asked, most))
        if asked.key in self._without_runs and fits_directly(asked):
            asked = replace(asked, direct=True)
        request = self._without_quarantined(asked)
        try:
            collected = Collected(request, tuple(gather(self._tools, request)))
        except FieldQuarantinedError:
            return [asked]
        except ThrottleError:
            raise
        except BoughtError as bought:
            return self._missed(request, bought.error, Evidence.LATER)
        except GraphApiError as error:
            return self._smaller(request, error) or self._missed(request, error)
        self._learn(collected)
        return collected

    def _known_refusal(self, request: Request) -> GraphApiError | None:
        """Why a request would be made in vain."""
        if self._stop.is_set():
            return AuthError("Not asked for, since the token was refused before.")
        return self._refused.get(request.account.id) or self._given_up.get(request.key)

    def _most_days(self, request: Request) -> int:
        """How many days to ask for at once, at least one."""
        most = self._portions.most(request.key, DAYS, request.days.count)
        if request.key in self._without_runs and not request.direct:
            most = min(most, _direct_days(request) or most)
        return max(1, most)

    def _learn(self, collected: Collected) -> None:
        request = collected.request
        whole = [part for part in collected.parts if part.within is None]
        if whole and not (request.key in self._without_runs and request.direct):
            self._portions.gave(request.key, DAYS, request.days.count)
        came = tuple(name for name in request.report.fields if name not in collected.withheld)
        self._lessons.gave(*request.key, came)
        self._lessons.came(request.key)

    def _smaller(self, request: Request, error: GraphApiError) -> list[Request]:
        """The same request once more when it may come in smaller parts, of which the next step takes the first; or nothing."""
        what, key, days = evidence(error), request.key, request.days.count
        if self._stop.is_set():
            # Given up and not refused, so it teaches nothing.
            return []
        if what is Evidence.RUN and key not in self._without_runs and not request.direct and _direct_days(request):
            # Reports fail, and pages may come all the same.
            self._without_runs.add(key)
        elif days == 1 or what not in OF_SIZE or not self._trouble.may_go_on(key, request.account.id, what):
            return []
        else:
            self._portions.refused(key, DAYS, days, is_sure=is_sure_of_size(error))
        log.info("%s: asked for in smaller parts. %s", request, error, extra=about(request, error))
        return [request]

    def _missed(self, request: Request, error: GraphApiError, what: Evidence | None = None) -> Missed:
        what, now, key = what or evidence(error), self._clock.now(), request.key
        retry_at: datetime | None = None
        if what in SUSPICIOUS and not self._stop.is_set():
            # What is left of the report would fail alike.
            self._given_up.setdefault(key, error)
        what = Evidence.LATER if what in SUSPICIOUS else what
        if what is Evidence.TOKEN:
            self._stop.set()
        elif what is Evidence.ACCOUNT:
            self._refused.setdefault(request.account.id, error)
        elif what is Evidence.LATER:
            wait = timedelta(seconds=error.retry_after) if error.retry_after else self._growing_wait(key)
            retry_at = now + wait
        else:
            retry_at = now + TRY_HARD_AGAIN_AFTER
        return Missed(request, error, what, retry_at)

    def _growing_wait(self, key: Key) -> timedelta:
        """How long to leave a report alone: longer with each collection that could not get it."""
        if self._stop.is_set():
            return TRY_AGAIN_AFTER
        with self._failing:
            if key not in self._failures:
                self._failures[key] = self._lessons.failed(key)
            return min(TRY_AGAIN_AFTER * int(2 ** min(self._failures[key] - 1, 10)), TRY_HARD_AGAIN_AFTER)

    def _without_quarantined(self, request: Request) -> Request:
        # What the account withholds, a campaign of it withholds, too; the other way round nothing is known.
        held = [self._lessons.withheld(*key) for key in (Key(request.account.id, request.report.name), request.key)]
        left_out = {name for each in held for name, one in each.items() if not one.is_due}
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


def _direct_days(request: Request) -> int:
    """How many days of a report fit on one page, as far as is known; 0 when not even one does."""
    return direct_days(request.report, request.rate)
