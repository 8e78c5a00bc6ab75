"""Answering the same question from memory, and with 304 whoever has the answer already.

A published file never changes, so an answer from memory is exact. What depends on more than the file, the question and whoever
asks is never kept: only answers of routes that read from a snapshot are. Who asks is known before anything is looked up.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meta_insights_pipeline.read_api.access.control import AccessControl
from meta_insights_pipeline.read_api.access.dependencies import CurrentPrincipal
from meta_insights_pipeline.read_api.access.errors import AccessFileError
from meta_insights_pipeline.read_api.access.principal import Principal
from meta_insights_pipeline.read_api.access.rate_limit import client_of
from meta_insights_pipeline.read_api.answer_cache import Answer, AnswerCache, Question, normalized
from meta_insights_pipeline.read_api.errors import ApiError
from meta_insights_pipeline.read_api.problems import problem
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshots

PREFIX = "/meta/insights/"
CACHE_CONTROL = "private, no-cache"
"""Whoever keeps an answer asks each time whether it is still right, since a new snapshot may come at any time."""
VARY = "Accept, Authorization, X-API-Key"
_SLOT_SECONDS = 900
_LONGEST_ACCEPT = 256
_OF_A_BODY = (b"content-length", b"content-type", b"content-encoding", b"content-disposition")


async def note_principal(request: Request, principal: CurrentPrincipal) -> None:
    """A dependency of every route below /meta/insights: none can be left open by mistake, and the cache learns who asks."""
    request.state.principal = principal


class CachingMiddleware:
    """Looks answers up before the app is asked, and keeps those that it gives."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: AccessControl,
        snapshots: Snapshots,
        cache: AnswerCache,
        build: str,
        now: Callable[[], datetime],
    ) -> None:
        """Take what it needs.

        Args:
            app: What is asked when the answer is not known.
            access: Tells who asks, and limits requests.
            snapshots: The published files.
            cache: The answers.
            build: What tells this program from another version of it.
            now: The time.
        """
        self._app = app
        self._access = access
        self._snapshots = snapshots
        self._cache = cache
        self._build = build
        self._now = now
        # What is being found out, each with who waits for it; touched by the event loop alone.
        self._asked: dict[tuple[Question, bool], asyncio.Event] = {}
        self._kept_kinds: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        principal = await self._principal(scope, headers)
        snapshot = self._snapshots.current
        if principal is None or snapshot is None:
            await self._app(scope, receive, _Recorder(self, scope, headers, send))
            return
        question = question_of(scope, headers, principal, snapshot.identity, self.slot())
        key = question, _is_compressed(headers)
        if key in self._asked:
            # Somebody asks the same at this moment; when the answer cannot be kept, each makes its own.
            await self._asked[key].wait()
        answer = self._cache.get(question, is_compressed=_is_compressed(headers))
        if answer is not None:
            await self._answer_from_memory(scope, headers, principal, answer, receive, send)
        elif key in self._asked or _kind(scope["path"]) not in self._kept_kinds:
            await self._app(scope, receive, _Recorder(self, scope, headers, send))
        else:
            settled = self._asked[key] = asyncio.Event()
            try:
                await self._app(scope, receive, _Recorder(self, scope, headers, send, settled))
            finally:
                settled.set()
                self._asked.pop(key)

    async def _principal(self, scope: Scope, headers: Headers) -> Principal | None:
        """Who asks; None for whom the app must find out and tell why not."""
        if not scope["path"].startswith(PREFIX):
            return None
        state = scope.setdefault("state", {})
        try:
            principal = await self._access.principal(headers)
        except (ApiError, AccessFileError) as error:
            state["checked"] = error
            return None
        state["checked"] = principal
        return principal

    async def _answer_from_memory(
        self, scope: Scope, headers: Headers, principal: Principal, answer: Answer, receive: Receive, send: Send
    ) -> None:
        client = scope.get("client")
        try:
            self._access.limiter.take(
                client_of(client[0] if client else None) if principal.kind == "open" else principal.label
            )
        except ApiError as error:
            await problem(Request(scope), error.status, error.sentence, error.headers)(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["principal"], state["route"], state["is_from_memory"] = principal, answer.route, True
        if answer.tag in _tags(headers):
            await _send_not_modified(answer.headers, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": list(answer.headers)})
            await send({"type": "http.response.body", "body": answer.body})

    def slot(self) -> int:
        """The present quarter of an hour."""
        return int(self._now().timestamp() // _SLOT_SECONDS)

    def tag(self, question: Question) -> str:
        """The ETag of the answer to a question."""
        return question.tag(self._build)

    def keep(self, question: Question, headers: Headers, answer: Answer) -> None:
        """Keep an answer."""
        self._kept_kinds.add(_kind(question.path))
        self._cache.put(question, answer, is_compressed=_is_compressed(headers))

    @property
    def longest(self) -> int:
        """Bytes of the longest body that is kept."""
        return self._cache.longest


class _Recorder:
    """Passes the app's answer on; one that was read from a snapshot gets its ETag, and is kept if it is short enough."""

    def __init__(
        self,
        owner: CachingMiddleware,
        scope: Scope,
        headers: Headers,
        send: Send,
        settled: asyncio.Event | None = None,
    ) -> None:
        """Take a request.

        Args:
            owner: Keeps what is recorded.
            scope: The request.
            headers: Its headers.
            send: Where the answer goes.
            settled: Set as soon as the answer is kept or will not be, however slowly its reader takes it.
        """
        self._owner = owner
        self._scope = scope
        self._headers = headers
        self._send = send
        self._settled = settled or asyncio.Event()
        # Before the app is asked: midnight may pass while it answers.
        self._slot = owner.slot()
        self._question: Question | None = None
        self._tag = ""
        self._kept_headers: tuple[tuple[bytes, bytes], ...] = ()
        self._body = bytearray()
        self._is_not_modified = False

    async def __call__(self, message: Message) -> None:
        """Handle a part of the answer."""
        if message["type"] == "http.response.start":
            await self._on_start(message)
        elif not self._is_not_modified:
            self._on_body(message)
            await self._send(message)

    async def _on_start(self, message: Message) -> None:
        state: dict[str, Any] = self._scope.get("state", {})
        principal, identity = state.get("principal"), state.get("snapshot_identity")
        if message["status"] != 200 or identity is None or principal is None:
            self._settled.set()
            await self._send(message)
            return
        question = question_of(self._scope, self._headers, principal, identity, self._slot)
        tag = self._owner.tag(question)
        headers = MutableHeaders(scope=message)
        headers["ETag"] = tag
        headers["Cache-Control"] = CACHE_CONTROL
        headers.add_vary_header(VARY)
        if tag in _tags(self._headers):
            self._is_not_modified = True
            self._settled.set()
            await _send_not_modified(tuple(message["headers"]), self._send)
            return
        if len(question.accept) <= _LONGEST_ACCEPT:
            # A copy: those around us add what is of this one request to the message itself.
            self._question, self._tag, self._kept_headers = question, tag, tuple(message["headers"])
        else:
            self._settled.set()
        await self._send(message)

    def _on_body(self, message: Message) -> None:
        if self._question is None:
            return
        self._body += message.get("body", b"")
        if len(self._body) > self._owner.longest:
            self._question = None
            self._body.clear()
            self._settled.set()
        elif not message.get("more_body", False):
            route = getattr(self._scope.get("route"), "path", "")
            answer = Answer(self._tag, route, self._kept_headers, bytes(self._body))
            self._owner.keep(self._question, self._headers, answer)
            self._settled.set()


def question_of(scope: Scope, headers: Headers, principal: Principal, snapshot: str, slot: int) -> Question:
    """What a request asks, of which snapshot, in which quarter of an hour."""
    return Question(
        snapshot=snapshot,
        slot=slot,
        path=scope["path"],
        query=normalized(scope["query_string"]),
        accept=headers.get("Accept", ""),
        role=principal.role.value,
        accounts=principal.accounts,
    )


def _kind(path: str) -> str:
    """The part of a path that tells routes apart: `overview`, `campaign`."""
    return path.removeprefix(PREFIX).partition("/")[0]


def _is_compressed(headers: Headers) -> bool:
    """Whether Starlette compresses the answer."""
    return "gzip" in headers.get("Accept-Encoding", "")


def _tags(headers: Headers) -> tuple[str, ...]:
    """The ETags of the answers that a client has."""
    given = headers.get("If-None-Match")
    return () if given is None else tuple(tag.strip() for tag in given.split(","))


async def _send_not_modified(headers: tuple[tuple[bytes, bytes], ...], send: Send) -> None:
    kept = [(name, value) for name, value in headers if name.lower() not in _OF_A_BODY]
    await send({"type": "http.response.start", "status": 304, "headers": kept})
    await send({"type": "http.response.body", "body": b""})
