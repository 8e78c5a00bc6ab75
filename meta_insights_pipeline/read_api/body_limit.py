"""No body of a request is longer than any that is of use, also one whose sender is not known yet."""

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meta_insights_pipeline.read_api.problems import problem

MOST_BYTES = 64 * 1024
_SENTENCE = f"The body has more than {MOST_BYTES} bytes; nothing that can be asked for needs so many."


class BodyLimitMiddleware:
    """Refuses longer bodies: unread when their length is told, and otherwise when it is passed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("Content-Length", "0")
        if length.isdecimal() and int(length) > MOST_BYTES:
            await problem(Request(scope), 413, _SENTENCE)(scope, receive, send)
            return
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_BYTES:
                raise HTTPException(413, _SENTENCE)
            return message

        await self._app(scope, receive_some, send)
