"""One request from beginning to end, or from where it was left: submit, wait, read every page, write all of it down."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.collector.lessons import Lessons
from meta_insights_pipeline.collector.plan import PAGE_ROWS, Request, Within
from meta_insights_pipeline.collector.portions import DIRECT, PAGE, Portions
from meta_insights_pipeline.collector.report_book import Purchase, ReportBook, identity
from meta_insights_pipeline.collector.splitting import Evidence, evidence
from meta_insights_pipeline.graph_api import report_runs
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.errors import (
    GraphApiError,
    NotFoundError,
    ReportRunError,
    RetryableError,
)
from meta_insights_pipeline.graph_api.paging import Page, PageSize, follow_pages
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
    within: Within | None = None
    """The entities that were asked for; None: all."""


class BoughtError(Exception):
    """Trouble with a report that is bought: it stays in the book, and asking for less would buy it again."""

    def __init__(self, error: GraphApiError) -> None:
        super().__init__(str(error))
        self.error = error


class Fetcher:
    """Makes single requests, and keeps what they bring in the book."""

    def __init__(
        self,
        api: GraphApi,
        book: ReportBook,
        lessons: Lessons,
        portions: Portions,
        clock: Clock,
        *,
        poll: PollPolicy,
        pause: Callable[[float], None],
    ) -> None:
        """Prepare; nothing is called yet.

        Args:
            api: The session.
            book: Where purchases are kept.
            lessons: Learns how long reports take and how often they have to be polled.
            portions: How large a page may be, and what can be asked for directly.
            clock: The time.
            poll: How often to ask for a report's status.
            pause: Waits for a report; may raise to give it up.
        """
        self._api = api
        self._book = book
        self._lessons = lessons
        self._portions = portions
        self._clock = clock
        self._poll = poll
        self._pause = pause

    def fetch(self, request: Request, *, after_trouble: bool = False) -> Part:
        """All pages of a request; a direct one that turns out to be large becomes an asynchronous report.

        Args:
            request: What to ask for.
            after_trouble: Whether a report is tried, too, when the direct request meets nothing but trouble.

        Raises:
            GraphApiError: It could not be had.
            BoughtError: It could not be had for now, and is gone on with when it is asked for again.
        """
        key, days = request.key, request.days.count
        refusal: GraphApiError | None = None
        if request.direct and self._portions.most(key, DIRECT, days) >= days:
            try:
                part = self._fetch(request)
            except GraphApiError as error:
                what = evidence(error)
                if what is not Evidence.TOO_LARGE and not (what is Evidence.TROUBLE and after_trouble):
                    raise
                log.info("%s: asked for as an asynchronous report. %s", request, error, extra=_about(request))
                refusal = error
            else:
                if part is not None:
                    self._portions.gave(key, DIRECT, days)
                    return part
        part = self._fetch(replace(request, direct=False))
        assert part is not None
        if refusal is not None:
            is_sure = evidence(refusal) is Evidence.TOO_LARGE
            self._portions.learned(key, DIRECT, days - 1, days, is_sure=is_sure)
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
                rows = sum(page.read_bytes().count(_ROW) for page in pages)
                return Part(purchase, pages, request.fields, rows, request.within)
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
                elif evidence(error) is Evidence.TROUBLE:
                    raise BoughtError(error) from None
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
        path = f"{request.asked_node}/insights"
        size = self._page_size(request)
        parameters = {**request.parameters, "limit": str(PAGE_ROWS)}
        listed = follow_pages(self._api, path, parameters, kind="insights_page", account=request.account.id, size=size)
        for page in self._learning(request, size, listed):
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
            ready = report_runs.wait_until_ready(
                self._api,
                run_id,
                self._poll,
                account=account,
                began=purchase.asked_at.timestamp(),
                expected=self._lessons.expected_wait(request.key, request.days.count),
                sleep=self._pause,
                clock=lambda: self._clock.now().timestamp(),
            )
            if young:
                self._lessons.polled(ready.asked)
                self._lessons.waited(request.key, request.days.count, ready.seconds, ready.asked, is_told=ready.is_told)
        paging = {"limit": str(PAGE_ROWS)}
        path = f"{run_id}/insights"
        size = self._page_size(request, after_trouble=True)
        pages = follow_pages(
            self._api, path, paging, kind="report_page", account=account, after=purchase.after, size=size
        )
        for page in self._learning(request, size, pages):
            self._book.add_page(purchase, page.rows, page.after)
        self._book.finish(purchase)

    def _page_size(self, request: Request, *, after_trouble: bool = False) -> PageSize:
        most = max(1, self._portions.most(request.key, PAGE, PAGE_ROWS))
        return PageSize(PAGE_ROWS, most, grows=False, after_trouble=after_trouble)

    def _learning(self, request: Request, size: PageSize, pages: Iterator[Page]) -> Iterator[Page]:
        """Pages; once they end, however that is, what they taught about their size is kept for the next list."""
        try:
            yield from pages
        finally:
            if size.given and size.refused is not None:
                self._portions.learned(request.key, PAGE, size.given, size.refused, is_sure=size.is_sure)
            elif size.given:
                self._portions.gave(request.key, PAGE, size.given)


def _about(request: Request, purchase: Purchase | None = None) -> dict[str, str | None]:
    """What a log line says beside its text."""
    return {
        "account": request.account.id,
        "report": request.report.name,
        "report_run_id": purchase.run_id if purchase else None,
    }
