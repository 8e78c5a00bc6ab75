"""Everything that one request is to bring, in parts where Meta proves that it must be: by entities of one day, then by fields.

Fewer days are the caller's business. Reads and writes no more than the book and the lessons do.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.collector.fetching import Fetcher, Part
from meta_insights_pipeline.collector.lessons import Lessons, Split
from meta_insights_pipeline.collector.plan import PAGE_ROWS, Request, direct_days
from meta_insights_pipeline.collector.portions import DAYS, Portions
from meta_insights_pipeline.collector.report_book import ReportBook
from meta_insights_pipeline.collector.splitting import (
    OF_SIZE,
    SUSPICIOUS,
    Evidence,
    evidence,
    halves_of_fields,
    is_sure_of_size,
    next_level,
    set_of_entities,
)
from meta_insights_pipeline.collector.trouble import Trouble
from meta_insights_pipeline.graph_api.client import GraphApi
from meta_insights_pipeline.graph_api.errors import GraphApiError, ReportRunError, ThrottleError
from meta_insights_pipeline.graph_api.paging import list_objects

log = logging.getLogger(__name__)


SMALL_ROWS = 25
"""Meta gives so many at once when nobody names a limit: trouble with so few is not a matter of size."""


class FieldQuarantinedError(Exception):
    """A field was found to spoil a report; it is asked for anew without it."""


@dataclass(frozen=True)
class Tools:
    """What gathering works with."""

    api: GraphApi
    book: ReportBook
    lessons: Lessons
    portions: Portions
    trouble: Trouble
    fetcher: Fetcher


def gather(tools: Tools, request: Request) -> list[Part]:
    """Every part of a request.

    Raises:
        FieldQuarantinedError: A field is left out from now on; the request must begin anew.
        BoughtError: A report is bought and could not be read for now.
        GraphApiError: It could not be had.
    """
    gathering = _Gathering(tools)
    parts = gathering.gather(request)
    if gathering.lists:
        tools.lessons.split(request.key, _cost(parts, gathering.lists))
    return parts


def _cost(parts: Sequence[Part], lists: int) -> Split:
    reports = [part.purchase for part in parts if part.purchase.asynchronous]
    pages = sum(max(1, purchase.pages) for purchase in reports)
    return Split(lists, len(parts) - len(reports), len(reports), pages)


class _Gathering:
    """One request on its way."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._portions = tools.portions
        self.lists = 0
        """Lists of entities that were asked for."""

    def gather(self, request: Request, *, again: bool = True) -> list[Part]:
        if _is_unit(request) and next_level(request) and self._portions.most(request.key, _unit(request), 1) == 0:
            return self._by_entities(request, None)
        try:
            return [self._fetch(request)]
        except GraphApiError as error:
            proof = evidence(error)
            if again and self._is_worth_repeating(request, proof):
                log.warning("%s: asked for once more. %s", request, error, extra=about(request, error))
                return self.gather(request, again=False)
            if proof is Evidence.FIELDS and request.asked_fields:
                return self._by_fields(request, error)
            if proof in (Evidence.RUN, Evidence.HUNG) and fits_directly(request):
                log.info("%s: asked for directly. %s", request, error, extra=about(request, error))
                return [self._fetch(replace(request, direct=True))]
            if not _is_unit(request) or not self._may_be_parted(request, proof):
                raise
            log.info("%s: asked for in parts. %s", request, error, extra=about(request, error))
            return self._parted(request, error)

    def _may_be_parted(self, request: Request, proof: Evidence) -> bool:
        account, trouble = request.account.id, self._tools.trouble
        if proof is Evidence.TROUBLE and request.rows <= SMALL_ROWS:
            trouble.is_down(account)
        return proof in OF_SIZE and trouble.may_go_on(request.key, account, proof)

    def _parted(self, request: Request, error: GraphApiError) -> list[Part]:
        """One day, or one entity of it, that is refused as a whole."""
        if next_level(request) is None:
            return self._by_fields(request, error)
        self._portions.refused(request.key, _unit(request), 1, is_sure=is_sure_of_size(error))
        parts = self._by_entities(request, error)
        self._portions.gave(request.key, _unit(request), 0)
        return parts

    def _fetch(self, request: Request) -> Part:
        key, trouble = request.key, self._tools.trouble
        try:
            # Only the first time, since an outage is more likely than two ways that are both too narrow.
            is_new = trouble.in_vain(key) == 0 and not trouble.is_likely(request.account.id)
            is_first = request.within is None and is_new
            part = self._tools.fetcher.fetch(request, after_trouble=is_first)
        except GraphApiError as error:
            if evidence(error) in SUSPICIOUS:
                trouble.met(key)
            raise
        trouble.came(key, request.account.id)
        return part

    def _is_worth_repeating(self, request: Request, proof: Evidence) -> bool:
        # A run that failed after another one failed is no accident.
        return proof is Evidence.AGAIN or (proof is Evidence.RUN and self._tools.trouble.in_vain(request.key) == 1)

    # ---- by entities ----

    def _by_entities(self, request: Request, error: GraphApiError | None) -> list[Part]:
        """One day, or one entity of it, by the entities of the next level that Meta gives together."""
        level = next_level(request)
        ids = self._delivering(request, level) if level else ()
        if level is None or not ids:
            return self._by_fields(request, error or ReportRunError(f"{request}: cannot be asked for in parts."))
        proof = evidence(error) if error is not None else None
        key = request.key
        if len(ids) > 1 and error is not None:
            self._portions.refused(key, level.value, len(ids), is_sure=is_sure_of_size(error))
        parts: list[Part] = []
        left = ids
        while left:
            most = max(1, self._portions.most(key, level.value, len(left)))
            within = (level, left[:most])
            # After runs have failed only another run tells whether that was a matter of size.
            smaller = set_of_entities(request, within, len(ids), may_be_direct=proof is not Evidence.RUN)
            came = self._set(smaller)
            if came is not None:
                parts += came
                left = left[most:]
        return parts

    def _set(self, request: Request) -> list[Part] | None:
        """A set of entities; None when it must be smaller."""
        assert request.within is not None
        level, ids = request.within
        try:
            parts = self.gather(request)
        except GraphApiError as error:
            proof = evidence(error)
            is_smaller_left = len(ids) > 1 and proof in OF_SIZE
            if not is_smaller_left or not self._tools.trouble.may_go_on(request.key, request.account.id, proof):
                raise
            self._portions.refused(request.key, level.value, len(ids), is_sure=is_sure_of_size(error))
            log.info("%s: asked for in smaller parts. %s", request, error, extra=about(request, error))
            return None
        if all(part.within == request.within for part in parts):
            self._portions.gave(request.key, level.value, len(ids))
        return parts

    def _delivering(self, request: Request, level: Level) -> tuple[str, ...]:
        """The entities of a level that have rows, within what a request is about: the cheapest question there is."""
        days = request.days
        questions = request.report.model_copy(update={"level": level, "fields": ("impressions",), "breakdowns": ()})
        parameters = questions.request_parameters(days.since, days.until, within=request.within)
        rows = list_objects(
            self._tools.api,
            f"{request.asked_node}/insights",
            {**parameters, "limit": str(PAGE_ROWS)},
            kind="insights_page",
            account=request.account.id,
        )
        self.lists += 1
        try:
            return tuple(sorted({str(row[level.id_field]) for row in rows}))
        except GraphApiError as error:
            if evidence(error) is Evidence.TROUBLE:
                self._tools.trouble.is_down(request.account.id)
            raise

    # ---- by fields ----

    def _by_fields(self, request: Request, error: GraphApiError) -> list[Part]:
        """All fields that Meta gives, in as many parts as it takes; the others go into quarantine.

        Raises:
            GraphApiError: It is not the fields: without any the request is refused, too.
        """
        key = request.key
        on_trial = [name for name, one in self._tools.lessons.withheld(*key).items() if one.is_due]
        if still := [name for name in on_trial if name in request.asked_fields]:
            for name in still:
                self._quarantine(request, name, error)
            raise FieldQuarantinedError
        bare = replace(request, fields=())
        try:
            self._tools.book.discard([self._fetch(bare).purchase])
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
            self._tools.book.discard(part.purchase for part in parts)
            raise FieldQuarantinedError
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
                parts.append(self._fetch(smaller))
            except GraphApiError as refusal:
                proof = evidence(refusal)
                goes_on = self._tools.trouble.may_go_on(request.key, request.account.id, proof)
                if proof is not Evidence.FIELDS and not (proof in OF_SIZE and goes_on):
                    raise
                parts += self._halved_fields(smaller, refusal, spoiled)
        return parts

    def _quarantine(self, request: Request, name: str, error: GraphApiError) -> None:
        self._tools.lessons.quarantine(*request.key, name, str(error))
        log.warning(
            "%s: the field %s is left out, since Meta does not give the report with it. %s",
            request,
            name,
            error,
            extra=about(request, error),
        )


def _is_unit(request: Request) -> bool:
    """Whether a request is about one day and one entity: nothing smaller is left but parts of these."""
    return request.days.count == 1 and (request.within is None or len(request.within[1]) == 1)


def _unit(request: Request) -> str:
    """What `portions` calls that of which there is one."""
    return request.within[0].value if request.within else DAYS


def fits_directly(request: Request) -> bool:
    """Whether an asynchronous report of whole days should fit on one page, as far as is known."""
    is_whole = request.within is None and request.fields is None
    return not request.direct and is_whole and direct_days(request.report, request.rate) >= request.days.count


def about(request: Request, error: GraphApiError) -> dict[str, str | None]:
    """What a log line says beside its text."""
    return {"account": request.account.id, "report": request.report.name, "fbtrace_id": error.fbtrace_id}
