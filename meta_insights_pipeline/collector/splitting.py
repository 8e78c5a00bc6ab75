"""How to ask for less when Meta refuses: pure decisions, from what the refusal proves.

Days are halved first, then the entities of one day, then the fields. Every row is whole in one part, or joined by its key
from parts of its fields: reach and other counts of people are never added up from parts. So a report is only split by
entities at its own level or above, and never by anything when that would cut a row in two.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.plan import Request, Within
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
)

# A cursor that Meta no longer accepts: the pages read so far are worthless.
INVALID_CURSOR = 2642
_NOT_FOR_THESE_FIELDS = ((2, 1504041), (2, 1504042), (105, None), (100, None))


class Evidence(Enum):
    """What a refusal proves about a request."""

    TOO_LARGE = auto()
    """Ask for less."""
    FIELDS = auto()
    """Some field, or their combination, is refused."""
    RUN = auto()
    """The report run failed for no reason that is known; the next may not, and a third will."""
    AGAIN = auto()
    """The answer made no sense; asked from the beginning it may."""
    LATER = auto()
    """Meta, or the way to it, is in trouble, or a limit is reached."""
    ACCOUNT = auto()
    """The account is not ours to read."""
    TOKEN = auto()
    """No account is, until there is another token."""
    FINAL = auto()
    """Nothing will help."""


# In this order, since some classes are kinds of others.
_PROOFS: tuple[tuple[tuple[type[GraphApiError], ...], Evidence], ...] = (
    ((AuthError,), Evidence.TOKEN),
    ((TooMuchDataError, ReportHungError), Evidence.TOO_LARGE),
    ((ReportRunError,), Evidence.RUN),
    ((PagingError,), Evidence.AGAIN),
    ((ThrottleError, TransientError, TransportError), Evidence.LATER),
    ((PermissionDeniedError, NotFoundError), Evidence.ACCOUNT),
)


def evidence(error: GraphApiError) -> Evidence:
    """What an error proves."""
    if error.code == INVALID_CURSOR:
        return Evidence.AGAIN
    for classes, proof in _PROOFS:
        if isinstance(error, classes):
            return proof
    if isinstance(error, BadRequestError) and (error.code, error.subcode) in _NOT_FOR_THESE_FIELDS:
        return Evidence.FIELDS
    return Evidence.FINAL


def halves_of_days(days: DayRange) -> tuple[DayRange, DayRange] | None:
    """Two ranges in place of one, or None for a single day."""
    if days.count == 1:
        return None
    first, *rest = days.parts((days.count + 1) // 2)
    return first, rest[0]


def next_level(request: Request) -> Level | None:
    """The level by whose entities a request can be split next, once its `within` is down to one entity; or None."""
    depth = request.within[0].depth if request.within is not None else _node_depth(request)
    return list(Level)[depth + 1] if depth < request.report.level.depth else None


def halves_of_entities(within: Within) -> tuple[Within, Within] | None:
    """Two sets of entities in place of one, or None for a single entity."""
    level, ids = within
    if len(ids) < 2:
        return None
    middle = (len(ids) + 1) // 2
    return (level, ids[:middle]), (level, ids[middle:])


def halves_of_fields(fields: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Two sets of fields in place of one, or None for a single field."""
    if len(fields) < 2:
        return None
    middle = (len(fields) + 1) // 2
    return tuple(fields[:middle]), tuple(fields[middle:])


def parts_of_days(request: Request, most: int) -> list[Request]:
    """A request in parts of at most so many days."""
    return [
        replace(request, days=days, rows=request.rows * days.count / request.days.count)
        for days in request.days.parts(most)
    ]


def _node_depth(request: Request) -> int:
    # A node below the account is one entity, and so cannot be split at its own level or above.
    return request.report.level.depth if request.node else Level.ACCOUNT.depth
