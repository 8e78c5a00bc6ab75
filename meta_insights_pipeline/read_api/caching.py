"""Answering the same question from memory, and with 304 whoever has the answer already.

A published file never changes, so an answer from memory is exact. An ETag is made of the question alone, so that whoever has the
answer is told so before anything is read. What depends on more than the file, the question and whoever
asks is never kept: only answers of routes that read from a snapshot are. Who asks is known before anything is looked up.
"""

import asyncio
import re
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
from meta_insights_pipeline.read_api.compression import takes_gzip
from meta_insights_pipeline.read_api.errors import ApiError
from meta_insights_pipeline.read_api.local_days import LocalDays
from meta_insights_pipeline.read_api.problems import problem
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshots

PREFIX = "/meta/insights/"
CACHE_CONTROL = "private, no-cache"
"""Whoever keeps an answer asks each time whether it is still right, since a new snapshot may come at any time."""
VARY = "Accept, Authorization, X-API-Key"
_VARY_WHOLLY = f"Accept-Encoding, {VARY}"
_TAG = re.compile(r'(?:W/)?("[^"]*")')
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
        days: LocalDays,
    ) -> None:
        """Take what it needs.

        Args:
            app: What is asked when the answer is not known.
            access: Tells who asks, and limits requests.
            snapshots: The published files.
            cache: The answers.
            build: What tells this program from another version of it.
            now: The time.
            days: Which day it is for whom.
        """
        self._app = app
        self._access = access
        self._snapshots = snapshots
        self._cache = cache
        self._build = build
        self._days = days
        self.now = now
        # What is being found out, each with who waits for it; touched by the event loop alone.
        self._asked: dict[tuple[Question, bool], asyncio.Event] = {}
        self._kept_kinds: set[str] = set()
        # Patterns of the routes that give tags, by kind.
        self._routes: dict[str, str] = {}

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
        question = self.question(scope, headers, principal, snapshot.identity, self.now())
        if question is None:
            await self._app(scope, receive, _Recorder(self, scope, headers, send))
            return
        tags, route = _tags(headers), self._routes.get(_kind(question.path))
        if tags and route is not None and (tag := self.tag(question)) in tags:
            # Nobody has a tag but from the answer to the same question, so that nothing needs to be found out.
            known = Answer(tag, route, _headers_of(tag), b"")
            await self._answer_from_memory(scope, headers, principal, known, receive, send)
            return
        key = question, takes_gzip(headers)
        if key in self._asked:
            # Somebody asks the same at this moment; when the answer cannot be kept, each makes its own.
            await self._asked[key].wait()
        answer = self._cache.get(question, is_compressed=takes_gzip(headers))
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
        if _is_known(answer.tag, headers):
            await _send_not_modified(answer.headers, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": list(answer.headers)})
            await send({"type": "http.response.body", "body": answer.body})

    def question(
        self, scope: Scope, headers: Headers, principal: Principal, snapshot: str, now: datetime
    ) -> Question | None:
        """What a request asks, of which snapshot, on which days; None when that cannot be told yet."""
        query = normalized(scope["query_string"])
        days = self._days.of(snapshot, principal.accounts, query, now)
        if days is None:
            return None
        return Question(
            snapshot=snapshot,
            days=days,
            path=scope["path"],
            query=query,
            accept=headers.get("Accept", ""),
            role=principal.role.value,
            accounts=principal.accounts,
        )

    def tag(self, question: Question) -> str:
        """The ETag of the answer to a question."""
        return question.tag(self._build)

    def note_route(self, scope: Scope) -> None:
        """Note that the route of a request gives tags."""
        self._routes[_kind(scope["path"])] = getattr(scope.get("route"), "path", "")

    def keep(self, question: Question, headers: Headers, answer: Answer) -> None:
        """Keep an answer."""
        self._kept_kinds.add(_kind(question.path))
        self._cache.put(question, answer, is_compressed=takes_gzip(headers))

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
        self._now = owner.now()
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
        question = None
        if message["status"] == 200 and identity is not None and principal is not None:
            question = self._owner.question(self._scope, self._headers, principal, identity, self._now)
        if question is None:
            self._settled.set()
            await self._send(message)
            return
        self._owner.note_route(self._scope)
        tag = self._owner.tag(question)
        headers = MutableHeaders(scope=message)
        headers["ETag"] = tag
        headers["Cache-Control"] = CACHE_CONTROL
        headers.add_vary_header(VARY)
        if _is_known(tag, self._headers):
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


def _kind(path: str) -> str:
    """The part of a path that tells routes apart: `overview`, `campaign`."""
    return path.removeprefix(PREFIX).partition("/")[0]


def _tags(headers: Headers) -> frozenset[str]:
    """The ETags of the answers that a client has, each as a weak one: those are compared weakly (RFC 9110, 13.1.2)."""
    given = headers.getlist("If-None-Match")
    return frozenset(f"W/{tag}" for each in given for tag in _TAG.findall(each))


def _is_known(tag: str, headers: Headers) -> bool:
    """Whether a client has an answer that can be given: that of its tag, or with `*` any."""
    return tag in _tags(headers) or headers.get("If-None-Match", "").strip() == "*"


def _headers_of(tag: str) -> tuple[tuple[bytes, bytes], ...]:
    named = {"etag": tag, "cache-control": CACHE_CONTROL, "vary": _VARY_WHOLLY}
    return tuple((name.encode(), value.encode()) for name, value in named.items())


async def _send_not_modified(headers: tuple[tuple[bytes, bytes], ...], send: Send) -> None:
    kept = [(name, value) for name, value in headers if name.lower() not in _OF_A_BODY]
    await send({"type": "http.response.start", "status": 304, "headers": kept})
    await send({"type": "http.response.body", "body": b""})
