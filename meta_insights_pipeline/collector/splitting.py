"""How to ask for less when Meta refuses: pure decisions, from what the refusal proves.

Days are halved first, then the entities of one day, then the fields. Every row is whole in one part, or joined by its key
from parts of its fields: reach and other counts of people are never added up from parts. So a report is only split by
entities at its own level or above, and never by anything when that would cut a row in two.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.plan import Request, Within, is_direct
from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    BadRequestError,
    GraphApiError,
    NotFoundError,
    PagingError,
    PermissionDeniedError,
    ReportHungError,
    ReportRunError,
    ThrottleError,
    TooMuchDataError,
    TransientError,
    TransportError,
    known_errors,
)

# A cursor that Meta no longer accepts: the pages read so far are worthless.
INVALID_CURSOR = 2642
_NOT_FOR_THESE_FIELDS = ((2, 1504041), (2, 1504042), (105, None), (100, None))
# With a subcode that nobody knows, this code is about a parameter, and the fields are the one that varies.
_PARAMETER = 100


class Evidence(Enum):
    """What a refusal proves about a request."""

    TOO_LARGE = auto()
    """Ask for less."""
    FIELDS = auto()
    """Some field, or their combination, is refused."""
    HUNG = auto()
    """The report run made no progress: too large, or Meta is in trouble."""
    RUN = auto()
    """The report run failed for no reason that is known; the next may not, a third will. It may be too large."""
    TROUBLE = auto()
    """Meta, or the way to it, was in trouble at every attempt. That may be its way to say too large."""
    AGAIN = auto()
    """The answer made no sense; asked from the beginning it may."""
    LATER = auto()
    """A limit is reached, or Meta is in trouble and says for how long."""
    ACCOUNT = auto()
    """The account is not ours to read."""
    TOKEN = auto()
    """No account is, until there is another token."""
    FINAL = auto()
    """Nothing will help."""


# In this order, since some classes are kinds of others.
_PROOFS: tuple[tuple[tuple[type[GraphApiError], ...], Evidence], ...] = (
    ((AuthError,), Evidence.TOKEN),
    ((TooMuchDataError,), Evidence.TOO_LARGE),
    ((ReportHungError,), Evidence.HUNG),
    ((ReportRunError,), Evidence.RUN),
    ((PagingError,), Evidence.AGAIN),
    ((ThrottleError,), Evidence.LATER),
    ((TransientError, TransportError), Evidence.TROUBLE),
    ((PermissionDeniedError, NotFoundError), Evidence.ACCOUNT),
)


SUSPICIOUS = (Evidence.HUNG, Evidence.RUN, Evidence.TROUBLE)
"""May be a matter of size: only something smaller that comes can tell."""
OF_SIZE = (Evidence.TOO_LARGE, *SUSPICIOUS)
"""Less may come."""


def evidence(error: GraphApiError) -> Evidence:
    """What an error proves."""
    if error.code == INVALID_CURSOR:
        return Evidence.AGAIN
    for classes, proof in _PROOFS:
        if isinstance(error, classes):
            has_end = proof is Evidence.TROUBLE and error.retry_after is not None
            return Evidence.LATER if has_end else proof
    if isinstance(error, BadRequestError) and _is_about_fields(error):
        return Evidence.FIELDS
    return Evidence.FINAL


def is_sure_of_size(error: GraphApiError) -> bool:
    """Whether half of it is worth a try at once; otherwise the smallest part tells whether it is the size at all."""
    return evidence(error) in (Evidence.TOO_LARGE, Evidence.HUNG)


def _is_about_fields(error: BadRequestError) -> bool:
    pair = (error.code or 0, error.subcode)
    return pair in _NOT_FOR_THESE_FIELDS or (error.code == _PARAMETER and pair not in known_errors())


def first_and_rest(request: Request, most: int) -> tuple[Request, Request]:
    """A request for more than so many days in two: as many as may be asked for, and the others."""
    first, *rest = request.days.parts(most)
    others = DayRange(rest[0].since, rest[-1].until)
    return _of_days(request, first), _of_days(request, others)


def _of_days(request: Request, days: DayRange) -> Request:
    rate = request.rate
    # What is not known to fit on a page stays what it was.
    direct = request.direct or (not math.isnan(rate) and is_direct(request.report, rate, days))
    return replace(request, days=days, rows=rate * days.count, direct=direct)


def set_of_entities(request: Request, within: Within, count: int, *, may_be_direct: bool) -> Request:
    """The part of a request that is about some entities of so many."""
    rows = request.rows * len(within[1]) / count
    direct = request.direct or (may_be_direct and is_direct(request.report, rows, request.days))
    return replace(request, within=within, rows=rows, direct=direct)


def next_level(request: Request) -> Level | None:
    """The level by whose entities a request can be split next, once its `within` is down to one entity; or None."""
    depth = request.within[0].depth if request.within is not None else _node_depth(request)
    return list(Level)[depth + 1] if depth < request.report.level.depth else None


def halves_of_fields(fields: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Two sets of fields in place of one, or None for a single field."""
    if len(fields) < 2:
        return None
    middle = (len(fields) + 1) // 2
    return tuple(fields[:middle]), tuple(fields[middle:])


def _node_depth(request: Request) -> int:
    # A node below the account is one entity, and so cannot be split at its own level or above.
    return request.report.level.depth if request.node else Level.ACCOUNT.depth
