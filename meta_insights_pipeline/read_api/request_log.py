"""One line of the log for each request, and its counts: by route, method and status, never by what was asked for."""

import logging
import time
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meta_insights_pipeline.logs import log_context
from meta_insights_pipeline.read_api.metrics import Metrics

log = logging.getLogger(__name__)

UNKNOWN_ROUTE = "none"
# A client may send any word as a method.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestLogMiddleware:
    """Logs and counts; within it every line of the log carries the request's id."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics | None) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        state: dict[str, Any] = scope.setdefault("state", {})
        with log_context(request=str(state.get("request_id", ""))):
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                self._note(scope, state, status, time.perf_counter() - began)

    def _note(self, scope: Scope, state: dict[str, Any], status: int, seconds: float) -> None:
        route = str(state.get("route") or getattr(scope.get("route"), "path", UNKNOWN_ROUTE))
        method = scope["method"] if scope["method"] in _METHODS else "other"
        is_from_memory = bool(state.get("is_from_memory"))
        if self._metrics is not None:
            self._metrics.count(method, route, status, seconds, is_from_memory=is_from_memory)
        principal = state.get("principal")
        if log.isEnabledFor(logging.INFO):
            # The pattern and not the path, which holds ids, nor the query, in which somebody may have put a key.
            log.info(
                "%s %s %d in %.1f ms%s",
                *(method, route, status, seconds * 1000, " from memory" if is_from_memory else ""),
                extra={"principal": None if principal is None else principal.label},
            )


def install_request_log(app: FastAPI, metrics: Metrics | None) -> None:
    """Have an app's requests logged, and counted if there is something to count with."""
    app.add_middleware(RequestLogMiddleware, metrics=metrics)
