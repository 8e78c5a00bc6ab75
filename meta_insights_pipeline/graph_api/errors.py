"""Everything that can go wrong with a call, as one tree, and how an answer is classified into it.

    GraphApiError
    ├── RetryableError        the same call may succeed later
    │   ├── ThrottleError         a limit of calls is reached; carries how long to wait
    │   │   └── BlockedError      so says what is known already; no call was made
    │   ├── TransientError        Meta's own trouble
    │   └── TransportError        no usable answer: connection, time-out, HTML, broken JSON
    └── TerminalError         the same call will fail again
        ├── AuthError             the token or its proof is not accepted: stop every call
        ├── PermissionDeniedError this account or call is not allowed
        ├── NotFoundError         no such object, or not for this token
        ├── TooMuchDataError      ask for less
        ├── BadRequestError       the request itself is wrong
        ├── ReportRunError        an asynchronous report failed, was skipped or never ended
        └── PagingError           the pages of a list make no sense

Classification is by code and subcode, from `data/error_codes.csv`; text only decides between cases for which Meta uses
one and the same code, and the HTTP status only when there is no code at all.
"""

import csv
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

BATCH_GIVEN_UP = 960
"""Code of a batch that took Meta too long; the same calls in smaller batches may succeed."""
BAD_SIGNATURE = 104
"""Meta: the proof is wrong ("Marketing API Error Codes"); Airbyte: the connection was reset. Only a second call tells."""
# "Graph API Rate Limits" on 613/1996, "Handling Errors" on 368: Meta finds the app's calls abusive.
_ABUSE = ((613, 1996), (368, None))


class GraphApiError(Exception):
    """A call to the Graph API that gave no usable answer.

    The message is one sentence without secrets, with the trace id by which Meta's support finds the call.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        subcode: int | None = None,
        http_status: int | None = None,
        fbtrace_id: str | None = None,
        remedy: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.subcode = subcode
        self.http_status = http_status
        self.fbtrace_id = fbtrace_id
        self.remedy = remedy
        self.retry_after = retry_after
        """Seconds that the server asks to wait, or None."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross processes: rebuild from the message and restore the rest."""
        return (type(self), (self.message,), self.__dict__)

    def __str__(self) -> str:
        """The message with code and trace id."""
        parts = []
        if self.code is not None:
            parts.append(f"code {self.code}" + (f"/{self.subcode}" if self.subcode is not None else ""))
        if self.fbtrace_id:
            parts.append(f"fbtrace_id {self.fbtrace_id}")
        text = self.message + (f" ({', '.join(parts)})" if parts else "")
        return f"{text} Remedy: {self.remedy}." if self.remedy else text


class RetryableError(GraphApiError):
    """The same call may succeed later."""


class TerminalError(GraphApiError):
    """The same call will fail again."""


class ThrottleError(RetryableError):
    """A limit of calls is reached."""


class BlockedError(ThrottleError):
    """No call was made, since it would meet a limit that is known to be reached; carries how long to wait."""


class TransientError(RetryableError):
    """Meta's own trouble."""


class TransportError(RetryableError):
    """No usable answer arrived."""


class AuthError(TerminalError):
    """The token or its proof is not accepted."""


class PermissionDeniedError(TerminalError):
    """The token may not do this."""


class NotFoundError(TerminalError):
    """No such object, or not for this token."""


class TooMuchDataError(TerminalError):
    """The request asks for more than Meta gives at once."""


class BadRequestError(TerminalError):
    """The request itself is wrong."""


class ReportRunError(TerminalError):
    """An asynchronous report failed, was skipped or did not end in time."""


class ReportHungError(ReportRunError):
    """An asynchronous report makes no progress; asking for the same again would hang again."""


class PagingError(TerminalError):
    """The pages of a list make no sense: a cursor that does not move, or too many of them."""


_CLASSES: dict[str, type[GraphApiError]] = {
    "throttle": ThrottleError,
    "transient": TransientError,
    "too_much_data": TooMuchDataError,
    "auth": AuthError,
    "permission": PermissionDeniedError,
    "bad_request": BadRequestError,
    "not_found": NotFoundError,
}


_COLUMNS = ("code", "subcode", "class", "budget", "meaning", "remedy")


@dataclass(frozen=True)
class KnownError:
    """A row of the table of error codes."""

    error_class: str
    meaning: str
    remedy: str
    budget: str = ""
    """What a throttle closes: `app`, `score` (the ad account in every use case), or one business use case of the account,
    as Meta's usage header names it; empty for every other class."""


@cache
def known_errors() -> dict[tuple[int, int | None], KnownError]:
    """Every known (code, subcode)."""
    return read_table(files("meta_insights_pipeline.graph_api").joinpath("data/error_codes.csv").read_text("utf-8"))


def read_table(text: str) -> dict[tuple[int, int | None], KnownError]:
    """The table of error codes from its CSV.

    Raises:
        ValueError: A row is not of the form that is expected, or stands there twice.
    """
    table: dict[tuple[int, int | None], KnownError] = {}
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise ValueError(f"The table of error codes has the columns {reader.fieldnames} and not {_COLUMNS}.")
    for row in reader:
        is_whole = None not in row and None not in row.values()
        closes_right = bool(row["budget"]) is (row["class"] == "throttle")
        key = (int(row["code"]), int(row["subcode"]) if row["subcode"] else None)
        if not is_whole or not closes_right or row["class"] not in _CLASSES or key in table:
            raise ValueError(f"The table of error codes has a row that cannot be used: {row}.")
        table[key] = KnownError(row["class"], row["meaning"], row["remedy"], row["budget"])
    return table


def is_abuse_signal(error: GraphApiError) -> bool:
    """Whether Meta finds the app's calls abusive: whoever goes on calling may lose the app."""
    return any(error.code == code and subcode in (None, error.subcode) for code, subcode in _ABUSE)


def closed_budget(code: int | None, subcode: int | None) -> str | None:
    """The budget that a throttle with this code closes, named as in the table; None when the code is not there."""
    if code is None:
        return None
    known = known_errors().get((code, subcode)) or known_errors().get((code, None))
    return (known.budget or None) if known is not None else None


@dataclass(frozen=True)
class _ByText:
    """A case for which Meta uses a code that means something else too; only the text tells them apart."""

    codes: tuple[int, ...]
    text: str
    known: KnownError
    any_subcode: bool = False
    """Whether the text goes before a subcode; otherwise a subcode tells more."""


_BY_TEXT = (
    _ByText(
        (1, 2, 100, -2, -3),
        "reduce the amount of data",
        KnownError("too_much_data", "the answer would hold too much data", "ask for fewer days or entities or fields"),
        any_subcode=True,
    ),
    _ByText((100,), "cannot include", KnownError("transient", "Meta mixed up a report's summary", "try again")),
    _ByText(
        (100,),
        "missing permissions",
        KnownError(
            "permission", "the token lacks a permission", "assign the ad account to the token's user with ads_read"
        ),
    ),
    _ByText(
        (100,),
        "invalid appsecret_proof",
        KnownError(
            "auth", "the appsecret_proof is wrong or missing", "set META_APP_SECRET to the secret of the token's app"
        ),
    ),
    _ByText(
        (100,),
        "require an appsecret_proof",
        KnownError(
            "auth", "the appsecret_proof is wrong or missing", "set META_APP_SECRET to the secret of the token's app"
        ),
    ),
    _ByText(
        (2500,), "active access token", KnownError("auth", "the access token is missing", "check META_ACCESS_TOKEN")
    ),
)


def _by_text(code: int, subcode: int | None, message: str) -> KnownError | None:
    lowered = message.lower()
    for case in _BY_TEXT:
        if code in case.codes and (case.any_subcode or subcode is None) and case.text in lowered:
            return case.known
    return None


def _known(code: int | None, subcode: int | None, message: str, *, is_transient: bool) -> KnownError | None:
    """What is known of an error, or None when nothing is that fits."""
    if code is None:
        return None
    table = known_errors()
    exact = _by_text(code, subcode, message) or (table.get((code, subcode)) if subcode is not None else None)
    if exact is not None:
        return exact
    known = table.get((code, None))
    # No subcode or an unknown one, and Meta itself calls the refusal passing.
    passing = known is not None and is_transient and known.error_class in ("bad_request", "not_found")
    return None if passing else known


def error_class(code: int | None, subcode: int | None, message: str, *, is_transient: bool, http_status: int) -> str:
    """The class of an error, as named in the table of error codes."""
    known = _known(code, subcode, message, is_transient=is_transient)
    if known is not None:
        return known.error_class
    if code is not None and 200 <= code <= 299:
        return "permission"
    if code is not None and 80000 <= code <= 80099:
        return "throttle"
    return "transient" if is_transient or http_status >= 500 else "bad_request"


def error_from_envelope(
    envelope: dict[str, Any], *, http_status: int, call: str, retry_after: float | None = None
) -> GraphApiError:
    """The exception for Meta's error envelope.

    Args:
        envelope: The object below the key `error` of Meta's answer (or a report run's error fields under the same names).
        http_status: Status of the answer; 200 for an error inside a batch or a report run.
        call: What was called, for the message: method and path, with no parameters.
        retry_after: Seconds to wait by the answer's headers.
    """
    # A report run that failed without a subcode says 0.
    code, subcode = _int(envelope.get("code")), _int(envelope.get("error_subcode")) or None
    text = str(envelope.get("message") or "no message")
    passing = bool(envelope.get("is_transient"))
    known = _known(code, subcode, text, is_transient=passing)
    name = error_class(code, subcode, text, is_transient=passing, http_status=http_status)
    meaning = f": {known.meaning}" if known is not None else ""
    return _CLASSES[name](
        f"{call} was refused{meaning}. Meta says: {text}",
        code=code,
        subcode=subcode,
        http_status=http_status,
        fbtrace_id=envelope.get("fbtrace_id"),
        remedy=known.remedy if known is not None else None,
        retry_after=retry_after,
    )


def parse_envelope(body: bytes) -> dict[str, Any] | None:
    """The error object of an answer, or None when the answer is no error of Meta's form."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    error = answer.get("error") if isinstance(answer, dict) else None
    return error if isinstance(error, dict) else None


def _int(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return None
