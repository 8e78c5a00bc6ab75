"""The door without a socket: a transport adapter for `requests`.

Belongs here: turning prepared requests into `SimRequest` and answers into real `requests.Response` objects, faults of
the wire included. Does not belong here: what is answered.
"""

import http.client
import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse

from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse

_DRIPS = 10


class SimulatorAdapter(BaseAdapter):
    """Serves a session from a simulator: `session.mount("https://graph.facebook.com", SimulatorAdapter(simulator))`."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self._simulator = simulator
        # Only for its way of making a Response; it opens nothing.
        self._maker = HTTPAdapter()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002
        timeout: Any = None,
        verify: bool | str = True,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> requests.Response:
        """Answer a prepared request, or raise what a broken connection would."""
        answer = self._simulator.handle(_read(request))
        _wait(answer, _read_timeout(timeout), request)
        if answer.reset:
            msg = "Connection aborted: connection reset by peer"
            raise requests.exceptions.ConnectionError(msg, request=request)
        return self._maker.build_response(request, _raw(answer, request))

    def close(self) -> None:
        """Close nothing but the helper that makes responses."""
        self._maker.close()


def _read(request: requests.PreparedRequest) -> SimRequest:
    parts = urlsplit(request.url or "")
    body = request.body or b""
    # A host would make links of the answer plain HTTP; without one they begin with the simulator's own base address.
    headers = {name.lower(): str(text) for name, text in request.headers.items() if name.lower() != "host"}
    return SimRequest(
        method=(request.method or "GET").upper(),
        path=unquote(parts.path) or "/",
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers=headers,
        body=body.encode() if isinstance(body, str) else bytes(body),
    )


def _read_timeout(timeout: Any) -> float | None:
    limit = timeout[1] if isinstance(timeout, tuple) else timeout
    return float(limit) if isinstance(limit, int | float) else None


def _wait(answer: SimResponse, limit: float | None, request: requests.PreparedRequest) -> None:
    """Let the delay of an answer pass, but no longer than the caller is willing to wait."""
    if limit is not None and answer.delay > limit:
        time.sleep(limit)
        msg = f"Read timed out. (read timeout={limit})"
        raise requests.exceptions.ReadTimeout(msg, request=request)
    if answer.delay:
        time.sleep(answer.delay)
    if answer.hang:
        msg = "Connection aborted: the server closed the connection without an answer"
        raise requests.exceptions.ConnectionError(msg, request=request)


def _raw(answer: SimResponse, request: requests.PreparedRequest) -> HTTPResponse:
    body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
    source = _DrippingBody(body, answer.body_seconds) if answer.body_seconds else BytesIO(body)
    headers = {**answer.headers, "content-length": str(len(answer.body))}
    return HTTPResponse(
        body=source,
        headers=headers,
        status=answer.status,
        reason=http.client.responses.get(answer.status, "Unknown"),
        preload_content=False,
        request_method=request.method,
        enforce_content_length=True,
    )


class _DrippingBody(BytesIO):
    """A body that takes its time: every tenth costs a pause."""

    def __init__(self, body: bytes, seconds: float) -> None:
        super().__init__(body)
        self._portion = max(1, -(-len(body) // _DRIPS))
        self._pause = seconds / _DRIPS

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the bytes asked for, after the pauses they cost."""
        rest = len(self.getbuffer()) - self.tell()
        wanted = rest if size is None or size < 0 else min(size, rest)
        time.sleep(self._pause * wanted / self._portion)
        return super().read(wanted)

    def read1(self, size: int | None = -1, /) -> bytes:
        """Return what comes in one go: a tenth of the body at most."""
        return self.read(self._portion if size is None or size < 0 else min(size, self._portion))
