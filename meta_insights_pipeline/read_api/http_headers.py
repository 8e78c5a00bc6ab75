"""Headers that every answer carries: what a browser may do with it, and that nobody keeps it unless it says so."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Answers are data: a browser that is led to one shows it and runs nothing.
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of the page /docs: what it loads comes from this server alone."""
# As ASGI has them: bytes, names in lower case.
_DEFAULTS = (
    (b"content-security-policy", _DATA_POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class HeadersMiddleware:
    """Adds what an answer does not say itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                there = {name for name, _ in headers}
                headers.extend(default for default in _DEFAULTS if default[0] not in there)
            await send(message)

        await self._app(scope, receive, send_with_headers)
