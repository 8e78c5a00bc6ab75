"""Making the planned requests, several at a time, and putting their pages on disk as they come."""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.collector.plan import PAGE_ROWS, Task
from meta_insights_pipeline.graph_api import report_runs
from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    BadRequestError,
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
class Answer:
    """What became of a task: its pages, or the reason why there are none."""

    task: Task
    collected_at: datetime
    """When (UTC) it was asked; the numbers are at least as new."""
    pages: tuple[Path, ...] = ()
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

    def collect(self, tasks: Sequence[Task]) -> Iterator[Answer]:
        """Make every request and give each one's answer as it comes in.

        A task that fails is an answer too. Once the token is refused, the tasks that are left fail without a call.
        """
        with ThreadPoolExecutor(self._threads, thread_name_prefix="collect") as pool:
            futures: list[Future[Answer]] = [
                pool.submit(self._answer, task, f"{number:05d}") for number, task in enumerate(tasks)
            ]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                self._stop.set()
                for future in futures:
                    future.cancel()

    def _count_ads(self, account: AdAccount) -> int | None:
        parameters = {"fields": "id", "limit": "1", "summary": "true", "effective_status": '["ACTIVE"]'}
        try:
            answer = self._api.get(f"{account.node}/ads", parameters, kind="size", read=read_object)
        except GraphApiError as error:
            log.warning("%s: the number of its ads is not known. %s", account.node, error)
            return None
        total = (answer.get("summary") or {}).get("total_count")
        return int(total) if total is not None else None

    def _answer(self, task: Task, name: str) -> Answer:
        asked_at = datetime.now(UTC)
        if self._stop.is_set():
            return Answer(task, asked_at, error=AuthError("Not asked for, since the token was refused before."))
        try:
            return Answer(task, asked_at, pages=tuple(self._fetch(task, name)))
        except GraphApiError as error:
            if isinstance(error, AuthError):
                self._stop.set()
            log.error("%s: %s", task, error)
            return Answer(task, asked_at, error=error)

    def _fetch(self, task: Task, name: str) -> list[Path]:
        """The pages of a task; a report that Meta gave up, or a list whose cursor went bad, is asked for once more."""
        try:
            return self._fetch_once(task, name)
        except (TransientError, ReportRunError) as error:
            log.warning("%s: asked for once more. %s", task, error)
        except BadRequestError as error:
            if error.code != _INVALID_CURSOR:
                raise
            log.warning("%s: read once more from the first page. %s", task, error)
        return self._fetch_once(task, name)

    def _fetch_once(self, task: Task, name: str) -> list[Path]:
        parameters = task.report.request_parameters(task.days.since, task.days.until)
        path, paging = f"{task.account.node}/insights", {"limit": str(PAGE_ROWS)}
        kind = "insights_page"
        if task.direct:
            paging = {**parameters, **paging}
        else:
            run_id = report_runs.submit(self._api, task.account.node, parameters)
            log.info("%s: report run %s", task, run_id)
            report_runs.wait_until_ready(self._api, run_id, self._poll)
            path, kind = f"{run_id}/insights", "report_page"
        pages = []
        for number, page in enumerate(follow_pages(self._api, path, paging, kind=kind)):
            file = self._folder / f"{name}-{number:05d}.json"
            file.write_bytes(page.rows)
            pages.append(file)
        log.info("%s: %d pages", task, len(pages))
        return pages


def expected_rows(ads: dict[str, int], reports: Sequence[Report]) -> dict[tuple[str, str], float]:
    """Rows a day to expect from the number of ads: as many at ad level, and no more than that above."""
    return {
        (account, report.name): float(count)
        for account, count in ads.items()
        for report in reports
        if report.level is not Level.ACCOUNT
    }
