"""Many calls in one request: writing a batch, and reading every entry of its answer as if it had been a call of its own.

Each entry counts as a call for Meta's limits; what a batch saves is the way there and back.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from requests.structures import CaseInsensitiveDict

from meta_insights_pipeline.graph_api.budget import CallAnswer
from meta_insights_pipeline.graph_api.client import Answer, GraphApi, InvalidAnswerError, read_json
from meta_insights_pipeline.graph_api.errors import BATCH_GIVEN_UP, GraphApiError, TooMuchDataError, TransportError

T = TypeVar("T")

MAX_ENTRIES = 50
"""Meta, "Batch Requests"."""
_ASKED_AT_MOST = 3


@dataclass(frozen=True)
class BatchCall:
    """One GET of a batch."""

    path: str
    """Below the version, for example `act_1/campaigns`."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Query parameters, without token."""


def get_many(
    api: GraphApi, calls: Sequence[BatchCall], *, kind: str, account: str | None, read: Callable[[bytes], T]
) -> list[T | GraphApiError]:
    """The values of many calls in the order of the calls, each with its own error where it has none.

    Up to 50 calls go into a request, fewer when the budgets have no room for more. Entries that Meta left out are asked for
    again, up to three times in all, and a batch that is too much for it is halved. When a request fails as a whole, its
    calls and those behind it have that error, and what came before is kept. An entry's own error is not tried again here.

    Args:
        api: The session.
        calls: What to ask.
        kind: What the calls are for, as of `GraphApi.get`.
        account: The ad account that all of them are about, as of `GraphApi.get`.
        read: Turns the body of one call into a value; raises InvalidAnswerError when it cannot.
    """
    outcomes: dict[int, T | GraphApiError] = {}
    asked: Counter[int] = Counter()
    waiting = list(range(len(calls)))
    size = MAX_ENTRIES
    while waiting:
        places = waiting[:size]
        try:
            answers = _ask(api, [calls[place] for place in places], kind, account, read)
        except GraphApiError as error:
            is_too_large = error.code == BATCH_GIVEN_UP or isinstance(error, TooMuchDataError)
            if is_too_large and len(places) > 1:
                size = len(places) // 2
                continue
            failed = places if is_too_large else waiting
            outcomes.update(dict.fromkeys(failed, error))
            waiting = waiting[len(failed) :]
            continue
        waiting = waiting[len(answers) :]
        for place, answer in zip(places, answers, strict=False):
            asked[place] += 1
            is_given_up = isinstance(answer, GraphApiError) and answer.code == BATCH_GIVEN_UP
            if is_given_up:
                size = max(1, len(answers) // 2)
            if (answer is None or is_given_up) and asked[place] < _ASKED_AT_MOST:
                waiting.append(place)
            outcomes[place] = _left_out(calls[place]) if answer is None else answer
    return [outcomes[place] for place in range(len(calls))]


def _left_out(call: BatchCall) -> TransportError:
    return TransportError(f"GET /{call.path}: the answers to {_ASKED_AT_MOST} batches leave it out.")


def _ask(
    api: GraphApi, calls: Sequence[BatchCall], kind: str, account: str | None, read: Callable[[bytes], T]
) -> list[T | GraphApiError | None]:
    """One outcome a call, None for an entry that is left out; fewer than calls when there was no room for all.

    Raises:
        GraphApiError: The request failed as a whole.
    """
    return api.persist(
        lambda granted: _ask_once(api, calls[:granted], kind, account, read), kind, account, calls=len(calls)
    )


def _ask_once(
    api: GraphApi, calls: Sequence[BatchCall], kind: str, account: str | None, read: Callable[[bytes], T]
) -> list[T | GraphApiError | None]:
    entries = [{"method": "GET", "relative_url": _relative_url(api.version, call)} for call in calls]
    parameters = {"batch": json.dumps(entries), "include_headers": "true"}
    headers: Mapping[str, str] | None = None
    told: list[CallAnswer] = []
    api.meter.called(kind, len(calls))
    try:
        whole = api.exchange("POST", "", parameters)
        headers = whole.headers
        elements = api.value("POST /", whole, lambda body: _elements(body, whole.headers, len(calls)), account)
        outcomes = [_outcome(api, call, element, account, read) for call, element in zip(calls, elements, strict=True)]
        told = [_told(element, outcome) for element, outcome in zip(elements, outcomes, strict=True)]
    except GraphApiError as error:
        told = [CallAnswer(headers, error)]
        raise
    finally:
        api.budget.answered_all(account, kind, told)
    for outcome in outcomes:
        if isinstance(outcome, GraphApiError):
            api.set_wait(outcome, kind, account)
            api.log_refusal(outcome, account)
    return outcomes


def _relative_url(version: str, call: BatchCall) -> str:
    query = urlencode(call.parameters)
    return f"{version}/{call.path}" + (f"?{query}" if query else "")


def _elements(body: bytes, headers: Mapping[str, str], count: int) -> list[Answer | None]:
    """The answer to each entry, None where there is none.

    Raises:
        InvalidAnswerError: The body is no answer to a batch of so many entries.
    """
    elements = read_json(body)
    if not isinstance(elements, list) or len(elements) != count:
        raise InvalidAnswerError(f"the answer holds no list of {count} answers")
    return [_element(element, headers) for element in elements]


def _element(element: Any, headers_of_all: Mapping[str, str]) -> Answer | None:
    if element is None:
        return None
    try:
        # Usage stands with the entries; what only the whole has, the trace id for one, holds for each.
        headers = CaseInsensitiveDict(headers_of_all)
        headers.update({str(header["name"]): str(header["value"]) for header in element.get("headers") or ()})
        return Answer(int(element["code"]), headers, str(element.get("body") or "").encode())
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InvalidAnswerError("an entry of the answer is not of a batch's form") from None


def _outcome(
    api: GraphApi, call: BatchCall, element: Answer | None, account: str | None, read: Callable[[bytes], T]
) -> T | GraphApiError | None:
    if element is None:
        return None
    try:
        return api.value(f"GET /{call.path}", element, read, account)
    except GraphApiError as error:
        return error


def _told(element: Answer | None, outcome: object) -> CallAnswer:
    """What the budget is told of an entry."""
    return CallAnswer(
        headers=element.headers if element is not None else None,
        error=outcome if isinstance(outcome, GraphApiError) else None,
    )
