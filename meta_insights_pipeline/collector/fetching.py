"""One request from beginning to end, or from where it was left: submit, wait, read every page, write all of it down."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.collector.lessons import Lessons
from meta_insights_pipeline.collector.plan import PAGE_ROWS, Request
from meta_insights_pipeline.collector.report_book import Purchase, ReportBook, identity
from meta_insights_pipeline.graph_api import report_runs
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.errors import (
    GraphApiError,
    NotFoundError,
    ReportRunError,
    RetryableError,
    TooMuchDataError,
)
from meta_insights_pipeline.graph_api.paging import follow_pages
from meta_insights_pipeline.graph_api.report_runs import PollPolicy
from meta_insights_pipeline.logs import log_context

log = logging.getLogger(__name__)

_ROW = b'"date_start"'


@dataclass(frozen=True)
class Part:
    """What one request brought."""

    purchase: Purchase
    pages: tuple[Path, ...]
    """JSON arrays of rows, as Meta wrote them."""
    fields: tuple[str, ...] | None
    """The report's fields that were asked for; None: all."""
    rows: int = 0


class Fetcher:
    """Makes single requests, and keeps what they bring in the book."""

    def __init__(
        self,
        api: GraphApi,
        book: ReportBook,
        lessons: Lessons,
        clock: Clock,
        *,
        poll: PollPolicy,
        pause: Callable[[float], None],
    ) -> None:
        """Prepare; nothing is called yet.

        Args:
            api: The session.
            book: Where purchases are kept.
            lessons: Learns how often reports have to be polled.
            clock: The time.
            poll: How often to ask for a report's status.
            pause: Waits for a report; may raise to give it up.
        """
        self._api = api
        self._book = book
        self._lessons = lessons
        self._clock = clock
        self._poll = poll
        self._pause = pause

    def fetch(self, request: Request) -> Part:
        """All pages of a request; a direct one that turns out to be large becomes an asynchronous report.

        Raises:
            GraphApiError: It could not be had. What can still be read later stays in the book.
        """
        if request.direct:
            try:
                part = self._fetch(request)
            except TooMuchDataError as error:
                log.info("%s: asked for as an asynchronous report. %s", request, error, extra=_about(request))
            else:
                if part is not None:
                    return part
            request = replace(request, direct=False)
        part = self._fetch(request)
        assert part is not None
        return part

    def _fetch(self, request: Request) -> Part | None:
        """One way of asking; None when a direct answer has more than one page's worth of rows."""
        key = identity(self._api.base_url, self._api.version, request.asked_node, request.parameters)
        while True:
            ended = request.days.until < request.account.today(self._clock.now())
            purchase = self._book.claim(key, asynchronous=not request.direct, ended=ended)
            resumed = purchase.run_id is not None
            if purchase.pages or resumed:
                log.info("%s: gone on with after page %d", request, purchase.pages, extra=_about(request, purchase))
            try:
                if not purchase.complete and not self._complete(request, purchase):
                    self._book.discard([purchase])
                    return None
                pages = self._book.files(purchase)
                return Part(purchase, pages, request.fields, sum(page.read_bytes().count(_ROW) for page in pages))
            except NotFoundError as error:
                self._book.discard([purchase])
                if purchase.run_id is None:
                    raise
                if not resumed:
                    # What Meta does not know is the report it was given just now, and not the account.
                    raise ReportRunError(
                        error.message, code=error.code, subcode=error.subcode, fbtrace_id=error.fbtrace_id
                    ) from None
                log.info("%s: the report is gone, so it is asked for anew. %s", request, error, extra=_about(request))
            except GraphApiError as error:
                bought = purchase.run_id is not None or purchase.pages
                if not (isinstance(error, RetryableError) and bought):
                    self._book.discard([purchase])
                raise

    def _complete(self, request: Request, purchase: Purchase) -> bool:
        if request.direct:
            return self._read_directly(request, purchase)
        self._read_report(request, purchase)
        return True

    def _read_directly(self, request: Request, purchase: Purchase) -> bool:
        """Read a list that Meta draws up anew for each page: only what fits on one is sure to hold together."""
        rows = 0
        pages = []
        parameters = {**request.parameters, "limit": str(PAGE_ROWS)}
        path = f"{request.asked_node}/insights"
        for page in follow_pages(self._api, path, parameters, kind="insights_page", account=request.account.id):
            rows += page.rows.count(_ROW)
            if rows > PAGE_ROWS or (page.after is not None and rows == PAGE_ROWS):
                return False
            pages.append(page)
        for page in pages:
            self._book.add_page(purchase, page.rows, page.after)
        self._book.finish(purchase)
        return True

    def _read_report(self, request: Request, purchase: Purchase) -> None:
        account = request.account.id
        young = purchase.run_id is None
        if purchase.run_id is None:
            run_id = report_runs.submit(self._api, request.asked_node, request.parameters, account=account)
            self._book.submitted(purchase, run_id)
            log.debug("%s: submitted", request, extra=_about(request, purchase))
        with log_context(report_run_id=str(purchase.run_id)):
            self._read_submitted(request, purchase, young=young)

    def _read_submitted(self, request: Request, purchase: Purchase, *, young: bool) -> None:
        """Wait for a report and read its pages; a young one was submitted just now."""
        account = request.account.id
        run_id = str(purchase.run_id)
        if not purchase.pages:
            asked = report_runs.wait_until_ready(
                self._api,
                run_id,
                self._poll,
                account=account,
                young=young,
                sleep=self._pause,
                clock=lambda: self._clock.now().timestamp(),
            )
            if young:
                self._lessons.polled(asked)
        paging = {"limit": str(PAGE_ROWS)}
        path = f"{run_id}/insights"
        for page in follow_pages(self._api, path, paging, kind="report_page", account=account, after=purchase.after):
            self._book.add_page(purchase, page.rows, page.after)
        self._book.finish(purchase)


def _about(request: Request, purchase: Purchase | None = None) -> dict[str, str | None]:
    """What a log line says beside its text."""
    return {
        "account": request.account.id,
        "report": request.report.name,
        "report_run_id": purchase.run_id if purchase else None,
    }
