"""Making the planned requests, several at a time, and putting their pages on disk as they come."""

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.plan import PAGE_ROWS, Task
from meta_insights_pipeline.graph_api import report_runs
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    GraphApiError,
    ReportRunError,
    TransientError,
)
from meta_insights_pipeline.graph_api.paging import follow_pages
from meta_insights_pipeline.graph_api.report_runs import PollPolicy

log = logging.getLogger(__name__)

THREADS = 8
# A cursor that Meta no longer accepts: the pages read so far are worthless.
_INVALID_CURSOR = 2642


@dataclass(frozen=True)
class Try:
    """One attempt at a task; a report that Meta gave up is asked for a second time, and its first pages are worthless."""

    task: Task
    number: int
    asked_at: datetime
    """When (UTC) it was asked; the numbers are at least as new."""


@dataclass(frozen=True)
class Arrival:
    """A page that has come in and lies on disk."""

    attempt: Try
    page: Path


@dataclass(frozen=True)
class Answer:
    """What became of a task: all pages of its last attempt have arrived, or there is a reason why not."""

    attempt: Try
    error: GraphApiError | None = None


class Collector:
    """Makes requests and keeps their pages in a folder."""

    def __init__(self, api: GraphApi, folder: Path, *, poll: PollPolicy | None = None, threads: int = THREADS) -> None:
        """Prepare; nothing is called yet.

        Args:
            api: The session.
            folder: Where pages go; it must exist, and belongs to this collector alone.
            poll: How often to ask for a report's status.
            threads: Requests at a time.
        """
        self._api = api
        self._folder = folder
        self._poll = poll or PollPolicy()
        self._threads = threads
        self._stop = threading.Event()

    def count_ads(self, accounts: Sequence[AdAccount]) -> dict[str, int]:
        """How many ads each account has running, by account id; an account that does not tell is left out."""
        counts: dict[str, int] = {}
        with ThreadPoolExecutor(self._threads, thread_name_prefix="count-ads") as pool:
            for account, count in zip(accounts, pool.map(self._count_ads, accounts), strict=True):
                if count is not None:
                    counts[account.id] = count
        return counts

    def collect(self, tasks: Sequence[Task]) -> Generator[Arrival | Answer, None, None]:
        """Make every request; give each page as it comes in, and one answer a task.

        A task that fails is an answer too. Once the token is refused, the tasks that are left fail without a call. Whoever
        stops reading before the last answer must close the generator, which ends the requests that are under way.
        """
        events: Queue[Arrival | Answer | BaseException] = Queue()
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="collect")
        # An interrupt may come at any line: whatever has begun by then must be told to stop before it is waited for.
        try:
            for number, task in enumerate(tasks):
                pool.submit(self._work, task, f"{number:05d}", events)
            answers = 0
            while answers < len(tasks):
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                answers += isinstance(event, Answer)
                yield event
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)

    def _work(self, task: Task, name: str, events: "Queue[Arrival | Answer | BaseException]") -> None:
        try:
            events.put(self._answer(task, name, events.put))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits for the answer must get it
            events.put(error)

    def _count_ads(self, account: AdAccount) -> int | None:
        parameters = {"fields": "id", "limit": "1", "summary": "true", "effective_status": '["ACTIVE"]'}
        try:
            answer = self._api.get(f"{account.node}/ads", parameters, kind="size", read=read_object)
        except GraphApiError as error:
            log.warning("%s: the number of its ads is not known. %s", account.node, error)
            return None
        total = (answer.get("summary") or {}).get("total_count")
        return int(total) if total is not None else None

    def _answer(self, task: Task, name: str, arrived: Callable[[Arrival], None]) -> Answer:
        """A report that Meta gave up, or a list whose cursor went bad, is asked for once more."""
        for number in (1, 2):
            attempt = Try(task, number, datetime.now(UTC))
            if self._stop.is_set():
                return Answer(attempt, AuthError("Not asked for, since the token was refused before."))
            try:
                self._fetch(attempt, f"{name}-{number}", arrived)
                return Answer(attempt)
            except GraphApiError as error:
                if number == 1 and _may_help_to_ask_again(error):
                    log.warning("%s: asked for once more. %s", task, error)
                    continue
                if isinstance(error, AuthError):
                    self._stop.set()
                log.error("%s: %s", task, error)
                return Answer(attempt, error)
        raise AssertionError("a second attempt always answers")

    def _pause(self, seconds: float) -> None:
        """Wait for a report, but no longer than somebody waits for this collector."""
        if self._stop.wait(seconds):
            raise ReportRunError("The wait for a report was given up, since the sync ended before.")

    def _fetch(self, attempt: Try, name: str, arrived: Callable[[Arrival], None]) -> None:
        task = attempt.task
        parameters = task.report.request_parameters(task.days.since, task.days.until)
        path, paging = f"{task.account.node}/insights", {"limit": str(PAGE_ROWS)}
        kind = "insights_page"
        if task.direct:
            paging = {**parameters, **paging}
        else:
            run_id = report_runs.submit(self._api, task.account.node, parameters)
            log.debug("%s: report run %s", task, run_id)
            report_runs.wait_until_ready(self._api, run_id, self._poll, sleep=self._pause)
            path, kind = f"{run_id}/insights", "report_page"
        number = 0
        for number, page in enumerate(follow_pages(self._api, path, paging, kind=kind), start=1):
            file = self._folder / f"{name}-{number:05d}.json"
            file.write_bytes(page.rows)
            arrived(Arrival(attempt, file))
        log.debug("%s: %d pages", task, number)


def _may_help_to_ask_again(error: GraphApiError) -> bool:
    return isinstance(error, TransientError | ReportRunError) or error.code == _INVALID_CURSOR


def expected_rows(ads: dict[str, int], reports: Sequence[Report]) -> dict[tuple[str, str], float]:
    """Rows a day to expect from the number of ads: as many at ad level; of the levels above it says nothing."""
    return {
        (account, report.name): float(count)
        for account, count in ads.items()
        for report in reports
        if report.level is Level.AD
    }
