"""The parameters that routes share, each as a FastAPI dependency: the days, the moment, the accounts, the form of the answer.

What is wrong with one is told as a 422 whose sentence says what would be right, and never repeats the value. They are coroutines
that wait for nothing, since getting a thread for each would take longer than all of them.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.exceptions import RequestValidationError

from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.settings import account_id
from meta_insights_pipeline.warehouse.reading.period import (
    DEFAULT_DAYS,
    MAX_DAYS,
    Period,
    Today,
    last_days,
)

FIRST_DAY = date(2000, 1, 1)
"""Before Meta had ads; days before it are refused."""
LAST_DAY = date(2100, 1, 1)
DEFAULT_LIMIT = 100
MAX_LIMIT = 1_000
MAX_ACCOUNTS = 1_000


def unusable(where: str, sentence: str) -> RequestValidationError:
    """A 422 about one parameter of the query."""
    return RequestValidationError([{"type": "value_error", "loc": ("query", where), "msg": sentence}])


# ---- days ----


@dataclass(frozen=True)
class AskedPeriod:
    """The days as they were asked for."""

    days: int | None = None
    date_from: date | None = None
    date_to: date | None = None

    @property
    def is_open(self) -> bool:
        """Whether no days were named."""
        return self.days is None and self.date_from is None

    def resolve(self, today: Today) -> Period:
        """The account days that are meant.

        Args:
            today: By the clocks of the accounts; a number of days ends with each account's own.
        """
        if self.date_from is not None and self.date_to is not None:
            return Period(self.date_from, self.date_to)
        return last_days(self.days or DEFAULT_DAYS, today)

    def resolve_open(self, today: Today) -> Period:
        """The same, but all days until the newest when none were named."""
        return Period(FIRST_DAY, today.newest) if self.is_open else self.resolve(today)


async def asked_period(
    days: Annotated[
        int | None,
        Query(
            ge=1,
            le=MAX_DAYS,
            description="So many days, today the last, by the clock of each ad account: where it is another day elsewhere, their "
            f"days differ. {DEFAULT_DAYS} when no days are named.",
            examples=[7],
        ),
    ] = None,
    date_from: Annotated[
        date | None,
        Query(
            description="First account day, inclusive; with `date_to`, and not with `days`.", examples=["2026-10-01"]
        ),
    ] = None,
    date_to: Annotated[
        date | None, Query(description="Last account day, inclusive; with `date_from`.", examples=["2026-10-31"])
    ] = None,
) -> AskedPeriod:
    """The days that a request names."""
    if days is not None and (date_from is not None or date_to is not None):
        raise unusable("days", "Name days, or date_from and date_to, and not both.")
    if (date_from is None) != (date_to is None):
        absent = "date_to" if date_to is None else "date_from"
        raise unusable(absent, "date_from and date_to go together; name both, or days.")
    if date_from is not None and date_to is not None:
        _check_range(date_from, date_to)
    return AskedPeriod(days, date_from, date_to)


def _check_range(date_from: date, date_to: date) -> None:
    for name, day in (("date_from", date_from), ("date_to", date_to)):
        if not FIRST_DAY <= day <= LAST_DAY:
            raise unusable(name, f"It must lie between {FIRST_DAY} and {LAST_DAY}.")
    if date_to < date_from:
        raise unusable("date_to", "It must not be before date_from.")
    if Period(date_from, date_to).days > MAX_DAYS:
        raise unusable("date_to", f"A range has {MAX_DAYS} days at most; ask for it in parts.")


Days = Annotated[AskedPeriod, Depends(asked_period)]


# ---- moment ----


def clock_of(request: Request) -> Clock:
    """The clock of the app, that of this machine when it has none of its own."""
    clock: Clock | None = getattr(request.app.state, "clock", None)
    return clock or SystemClock()


async def asked_moment(
    request: Request,
    as_of: Annotated[
        datetime | None,
        Query(
            description="The answer as the pipeline knew it at this moment, ISO 8601; UTC when it names no offset (write the + "
            "of an offset as %2B). `days` counts back from the day that it was then. Not in the future.",
            examples=["2026-11-01T06:00:00Z"],
        ),
    ] = None,
) -> datetime | None:
    """The moment that a request names, aware and in UTC."""
    if as_of is None:
        return None
    try:
        moment = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of.astimezone(UTC)
    except OverflowError:
        moment = datetime.min.replace(tzinfo=UTC)
    if moment.date() < FIRST_DAY:
        raise unusable("as_of", f"It must not be before {FIRST_DAY}.")
    if moment > clock_of(request).now():
        raise unusable(
            "as_of", "It lies in the future; name a moment that has passed, or leave it out for the present."
        )
    return moment


Moment = Annotated[datetime | None, Depends(asked_moment)]


# ---- accounts ----


async def asked_accounts(
    account: Annotated[
        list[str] | None,
        Query(
            description="Id of an ad account, with or without `act_`; repeatable. Only these; all that may be seen when none is "
            "named. An account that may not be seen counts for nothing, like one that does not exist.",
            examples=[["1010101010"]],
        ),
    ] = None,
) -> frozenset[str] | None:
    """The ad accounts that a request names."""
    if account is None:
        return None
    if len(account) > MAX_ACCOUNTS:
        raise unusable("account", f"It can be named {MAX_ACCOUNTS} times at most.")
    try:
        return frozenset(account_id(text) for text in account)
    except ValueError:
        raise unusable("account", "An id looks like act_1010101010 or 1010101010.") from None


Accounts = Annotated[frozenset[str] | None, Depends(asked_accounts)]


# ---- pages ----

Limit = Annotated[
    int | None,
    Query(
        ge=1,
        le=MAX_LIMIT,
        description=f"The most rows of a page: {DEFAULT_LIMIT} in JSON when it is not named, and all rows in other formats.",
        examples=[20],
    ),
]
Cursor = Annotated[
    str | None,
    Query(
        max_length=2_000,
        description="Where the page before ended: its `next_cursor`, with the other parameters as they were.",
        examples=["WyJzeW5jcyIsIjEwIl0"],
    ),
]


# ---- form ----


class Format(StrEnum):
    """The form of an answer."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}


async def answer_format(
    asked: Annotated[
        Format | None,
        Query(
            alias="format",
            description="The form of the answer. When it is not named, `Accept` decides, and JSON is the default. All but JSON "
            "hold one table of the answer.",
            examples=["csv"],
        ),
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Format:
    """The form that a request asks for."""
    if asked is not None:
        return asked
    found = {each: quality for each in Format if (quality := _quality(accept or "", MEDIA_TYPES[each])) > 0}
    return max(found, key=lambda each: found[each], default=Format.JSON)


def _quality(accept: str, media_type: str) -> float:
    """How much a media type is wanted, from 0 to 1, as RFC 9110 has it; wildcards are no wish for a table."""
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if name == media_type:
            weights = [part.removeprefix("q=") for part in parameters if part.startswith("q=")]
            try:
                return min(1.0, max(0.0, float(weights[0]))) if weights else 1.0
            except ValueError:
                return 0.0
    return 0.0


AnswerFormat = Annotated[Format, Depends(answer_format)]
