"""A route whose refusals are in the audit log too, also those that come before it is reached: a role, a body, a parameter."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from meta_insights_pipeline.read_api.access.audit import FAILED, REFUSED, SYNC
from meta_insights_pipeline.read_api.access.dependencies import access_of, principal_of
from meta_insights_pipeline.read_api.errors import ApiError, UnavailableError
from meta_insights_pipeline.read_api.problems import request_id


class RecordedRoute(APIRoute):
    """Records refusals of requests that would start a sync, by whoever was let in; what cannot be recorded is answered 503."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with the recording around it."""
        answer = super().get_route_handler()
        if "POST" not in (self.methods or ()):
            return answer

        async def answer_and_record(request: Request) -> Response:
            # Before anything of the body is looked at, and so that every refusal has a name.
            principal = await principal_of(request)
            try:
                return await answer(request)
            except (ApiError, RequestValidationError, HTTPException) as error:
                if not is_recorded(request):
                    outcome = FAILED if isinstance(error, UnavailableError) else REFUSED
                    details = {"reason": _reason(error)}
                    record = partial(access_of(request).audit.record, principal.label, SYNC, outcome, details)
                    await anyio.to_thread.run_sync(partial(record, request_id=request_id(request)))
                raise

        return answer_and_record


def note_recorded(request: Request) -> None:
    """Note that whoever handles a request records what becomes of it."""
    request.state.is_recorded = True


def is_recorded(request: Request) -> bool:
    """Whether that was noted."""
    return bool(getattr(request.state, "is_recorded", False))


def _reason(error: ApiError | RequestValidationError | HTTPException) -> str:
    """Why, without anything that was sent: it may be a secret in the wrong place."""
    if isinstance(error, ApiError):
        return error.sentence
    if isinstance(error, HTTPException):
        return f"{error.detail.rstrip('.')}."
    parts = sorted({".".join(str(part) for part in one["loc"][:2])[:64] for one in error.errors()})
    return f"Cannot be understood: {', '.join(parts[:10])}."
