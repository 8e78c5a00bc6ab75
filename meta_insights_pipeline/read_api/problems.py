"""Errors as `application/problem+json` (RFC 9457), each with the id of its request.

Belongs here: the form of every error answer and the id of a request. Does not belong here: why something is refused.
"""

import asyncio
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meta_insights_pipeline.read_api.errors import ApiError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"
# Whatever else a client sends as an id could forge lines of a log.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NOTHING_THERE = "There is nothing at this address; the API is described at /docs."
_OUT_OF_ORDER = "The server could not answer; its log tells more under the request id."
_STOPPING = "The server is being stopped and could not answer in the time that was left; ask again."
_STOPPING_RETRY_SECONDS = "5"
_NOT_UNDERSTOOD = "The request cannot be understood; `errors` names what to change."

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {
            "type": "string",
            "const": "about:blank",
            "description": "That `status` and `title` say what kind of problem it is.",
        },
        "title": {
            "type": "string",
            "description": "The name of the HTTP status.",
            "examples": ["Unprocessable Content"],
        },
        "status": {"type": "integer", "description": "The HTTP status.", "examples": [422]},
        "detail": {
            "type": "string",
            "description": "One sentence on what is wrong and what would help.",
            "examples": [_NOT_UNDERSTOOD],
        },
        "request_id": {
            "type": "string",
            "description": "Also in the header X-Request-ID.",
            "examples": ["0f3a5c7e9b1d4f6a8c0e2a4c6e8a0c2e"],
        },
        "errors": {
            "type": "array",
            "description": "Of a 422: every part of the request that cannot be used.",
            "items": {
                "type": "object",
                "properties": {
                    "where": {"type": "string", "description": "Which part.", "examples": ["query.days"]},
                    "detail": {
                        "type": "string",
                        "description": "What is wrong with it.",
                        "examples": ["Name days, or date_from and date_to, and not both."],
                    },
                },
            },
            "examples": [[{"where": "query.days", "detail": "Name days, or date_from and date_to, and not both."}]],
        },
    },
}


def install_problems(app: FastAPI) -> None:
    """Give every request an id, and every error of an app the form of a problem."""
    app.add_middleware(RequestIdMiddleware)
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(Exception, _out_of_order)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer beside its result, for the argument `responses` of a route or router."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": dict(SCHEMA)}}}
        for status in statuses
    }


def problem(
    request: Request,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> JSONResponse:
    """An error answer.

    Args:
        request: The request that is answered.
        status: The HTTP status.
        detail: One sentence for whoever asked.
        headers: More headers of the answer.
        errors: Of a 422: `where` and `detail` of each part that cannot be used.
    """
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id(request),
        **({"errors": list(errors)} if errors else {}),
    }
    # No cache between may answer with somebody else's refusal.
    own = {"Cache-Control": "no-store", REQUEST_ID_HEADER: request_id(request)}
    return JSONResponse(content, status, {**(headers or {}), **own}, media_type=MEDIA_TYPE)


def request_id(request: Request) -> str:
    """The id of a request: the client's own in `X-Request-ID`, or a new one."""
    # An error of a middleware around ours has none yet.
    return str(request.scope.setdefault("state", {}).setdefault("request_id", uuid.uuid4().hex))


class RequestIdMiddleware:
    """Gives each request its id and writes it on the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        identifier = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = identifier

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = identifier
            await send(message)

        await self._app(scope, receive, send_with_id)


class AnswerAnywayMiddleware:
    """Answers what ends without an answer, inside of whatever gives answers their headers: an error of ours, or the server's end.

    An error goes on, so that it is logged with its traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            # The server cancels nothing but what is left when its time to stop is over. An answer that has begun is cut off.
            if not is_started:
                answer = problem(Request(scope), 503, _STOPPING, {"Retry-After": _STOPPING_RETRY_SECONDS})
                await answer(scope, receive, send)
        except Exception:
            if not is_started:
                await problem(Request(scope), 500, _OUT_OF_ORDER)(scope, receive, send)
            raise


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return problem(request, error.status, error.sentence, error.headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI itself refuses: an address or a method that is not there, a body that cannot be read."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase:
        detail = _NOTHING_THERE
    elif error.status_code >= 500:
        detail = _OUT_OF_ORDER
    else:
        detail = f"{error.detail.rstrip('.')}."
    return problem(request, error.status_code, detail, error.headers)


async def _not_understood(request: Request, error: Exception) -> JSONResponse:
    """A 422 that names each parameter and never repeats its value, which may be a secret in the wrong place."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": ".".join(str(part) for part in one["loc"]), "detail": str(one["msg"])} for one in error.errors()
    ]
    return problem(request, 422, _NOT_UNDERSTOOD, errors=errors)


async def _out_of_order(request: Request, error: Exception) -> JSONResponse:
    """An error of ours; the server logs its traceback, the client is told nothing of it."""
    log.error("Request %s ended with %s.", request_id(request), type(error).__name__)
    return problem(request, 500, _OUT_OF_ORDER)
