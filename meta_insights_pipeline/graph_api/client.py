"""The session with the Graph API: authentication, time-outs, pacing, retries, and turning answers into values or errors.

What is asked, and what becomes of the values, is decided by the callers.
"""

import hashlib
import hmac
import http.cookiejar
import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import AuthBase

from meta_insights_pipeline.clock import Clock, SystemClock
from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.errors import (
    BlockedError,
    GraphApiError,
    ThrottleError,
    TransportError,
    error_from_envelope,
    is_abuse_signal,
    parse_envelope,
)
from meta_insights_pipeline.graph_api.meter import CallMeter
from meta_insights_pipeline.graph_api.pacing import FIRST_HOLD
from meta_insights_pipeline.graph_api.redaction import Redactor, redact_record
from meta_insights_pipeline.graph_api.retry import RetryPolicy, retry_after_seconds
from meta_insights_pipeline.graph_api.usage import read_usage
from meta_insights_pipeline.state import State

log = logging.getLogger(__name__)
# Where it writes down every address, proof included, once somebody turns debug messages on.
logging.getLogger("urllib3.connectionpool").addFilter(redact_record)

T = TypeVar("T")
_CHUNK = 1 << 18
_ENVELOPE = re.compile(rb'\s*\{\s*"error"\s*:')


_sleeper: ContextVar[Callable[[float], None] | None] = ContextVar("sleeper", default=None)


@contextmanager
def sleeping_by(sleep: Callable[[float], None]) -> Iterator[None]:
    """Let the calls of this thread wait by `sleep` in place of their clock, so that it can let others go first meanwhile.

    What `sleep` raises ends the call that waits.
    """
    token = _sleeper.set(sleep)
    try:
        yield
    finally:
        _sleeper.reset(token)


@dataclass(frozen=True)
class Timeouts:
    """How long a call may take, in seconds."""

    connect: float = 10.0
    silence: float = 60.0
    """Between two pieces of an answer."""
    total: float = 180.0
    """From the first byte asked to the last one read; a body that drips is given up."""


@dataclass(frozen=True)
class Answer:
    """What came back for one call, whole but not yet understood."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes


class InvalidAnswerError(ValueError):
    """A reader's word that an answer is not of the form it needs; the client calls again."""


def read_json(body: bytes) -> Any:
    """An answer as Python values; numbers with a fraction become exact decimals.

    Raises:
        InvalidAnswerError: The body is no JSON.
    """
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError:
        raise InvalidAnswerError("the answer is not JSON") from None


def read_object(body: bytes) -> dict[str, Any]:
    """An answer that must be a JSON object.

    Raises:
        InvalidAnswerError: It is something else.
    """
    answer = read_json(body)
    if not isinstance(answer, dict):
        raise InvalidAnswerError("the answer is not a JSON object")
    return answer


class GraphApi:
    """A pooled session with one token, safe to use from many threads.

    The token travels in the `Authorization` header, never in an address, so that no log or exception can show it.
    """

    def __init__(
        self,
        *,
        base_url: str,
        version: str,
        access_token: str,
        app_secret: str | None = None,
        adapter: BaseAdapter | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        connections: int = 16,
        budget: Budget | None = None,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare a session; nothing is called yet.

        Args:
            base_url: Root of the API, without version.
            version: For example `v26.0`.
            access_token: The token of a user or system user.
            app_secret: When given, every call carries the proof that Meta derives from it.
            adapter: A transport for `base_url` in place of the network.
            retry: How patient to be.
            timeouts: How long a call may take.
            connections: Connections kept open.
            budget: Who may call when, shared with others; None keeps a book of its own in memory.
            clock: The time, and waiting between calls.
            jitter: Random numbers from 0 to 1.
        """
        self.base_url = base_url.rstrip("/")
        self.version = version
        self.meter = CallMeter()
        self._retry = retry or RetryPolicy()
        self._timeouts = timeouts or Timeouts()
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._own_state: State | None = None
        if budget is None:
            self._own_state = State.in_memory()
            budget = Budget(self._own_state, self._clock, namespace=self.base_url)
        self.budget = budget
        proof = _proof(access_token, app_secret) if app_secret else None
        self._common = {"appsecret_proof": proof} if proof else {}
        self.redact = Redactor([access_token, app_secret or "", proof or ""])
        self._session = requests.Session()
        # As `auth` and not as a header, since a ~/.netrc would replace a header.
        self._session.auth = _BearerAuth(access_token)
        # A session shared by threads must not carry state from answer to answer.
        self._session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount(
            self.base_url, adapter or HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        )
        self._heed_environment()
        self._warned: set[str] = set()
        self._warned_lock = threading.Lock()
        self._skew: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _heed_environment(self) -> None:
        """Take proxies and certificates from the environment once: left to itself, a session does so for every call.

        That takes as long as everything else that a call costs in this process.
        """
        try:
            known = self._session.merge_environment_settings(self.base_url, {}, None, None, None)
        except ValueError:
            # The address is none, and the first call will say so.
            return
        self._session.proxies.update(known["proxies"])
        self._session.verify, self._session.cert = known["verify"], known["cert"]
        self._session.trust_env = False

    def close(self) -> None:
        """Close every connection."""
        self._session.close()
        if self._own_state is not None:
            self._own_state.close()

    def get(
        self,
        path: str,
        parameters: Mapping[str, str],
        *,
        kind: str,
        read: Callable[[bytes], T],
        account: str | None = None,
    ) -> T:
        """One GET, tried again while that can help.

        Args:
            path: Below the version, for example `act_1/insights`.
            parameters: Query parameters, without token.
            kind: What the call is for, in the counts; decides which budget of the account it is charged to.
            read: Turns the body into a value; raises InvalidAnswerError when it cannot.
            account: Id, without `act_`, of the ad account that the call is about; None if of none or not known.

        Raises:
            BlockedError: The call was not made, since a budget is spent; carries how long to wait.
            GraphApiError: No usable answer; the subclass tells why.
        """
        return self.persist(lambda _: self._call("GET", path, parameters, kind, read, account), kind, account)

    def post(
        self,
        path: str,
        parameters: Mapping[str, str],
        *,
        kind: str,
        read: Callable[[bytes], T],
        account: str | None = None,
    ) -> T:
        """One POST with form parameters; as `get`."""
        return self.persist(lambda _: self._call("POST", path, parameters, kind, read, account), kind, account)

    def _call(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        kind: str,
        read: Callable[[bytes], T],
        account: str | None,
    ) -> T:
        headers: Mapping[str, str] | None = None
        refusal: GraphApiError | None = None
        self.meter.called(kind)
        try:
            answer = self.exchange(method, path, parameters)
            headers = answer.headers
            return self.value(f"{method} /{path}", answer, read, account)
        except GraphApiError as error:
            refusal = error
            raise
        finally:
            # Whatever happened, an interrupt too, the call is no longer under way.
            self.budget.answered(account, kind, headers, refusal)

    # ---- what every way of calling is made of; `batch` uses it, too ----

    def persist(self, once: Callable[[int], T], kind: str, account: str | None, calls: int = 1) -> T:
        """Attempt something when the budgets have room for it, and again while that can help.

        Args:
            once: One attempt: makes so many calls, and tells the budget and the meter of them.
            kind: What the calls are for.
            account: Whose budgets they are charged to.
            calls: How many calls are wanted at once; an attempt may be granted fewer.

        Raises:
            GraphApiError: What the last attempt raised, or BlockedError.
        """
        attempt = 1
        while True:
            granted = self._enter(kind, account, calls)
            try:
                return once(granted)
            except GraphApiError as error:
                self.set_wait(error, kind, account)
                if not self._retry.should_retry(error, attempt):
                    self.log_refusal(error, account)
                    raise
                wait = self._retry.wait_seconds(error, attempt, self._jitter())
                log.warning(
                    "attempt %d: %s Calling again in %.1f s.", attempt, error, wait, extra=_about(error, account)
                )
                self.meter.waits(wait, throttled=isinstance(error, ThrottleError))
            self._sleep(wait)
            attempt += 1

    def _enter(self, kind: str, account: str | None, calls: int) -> int:
        """Wait until calls may begin; give how many."""
        waited = 0.0
        while True:
            try:
                admitted = self.budget.admit_some(account, kind, calls)
            except BlockedError as block:
                if not self._retry.should_queue(block, waited):
                    raise
                wait = block.retry_after or 0.0
                waited += wait
                self._pause(wait)
                continue
            if not admitted.wait:
                return admitted.calls
            try:
                self._pause(admitted.wait)
            except BaseException:
                # It was let begin and never will.
                self.budget.answered(account, kind, None, None)
                raise
            if self.budget.blocked_until(account, kind) is None:
                return admitted.calls
            # A block came up in the meantime, and the next question will be told of it.
            self.budget.answered(account, kind, None, None)

    def _pause(self, seconds: float) -> None:
        self.meter.paused(seconds)
        self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        (_sleeper.get() or self._clock.sleep)(seconds)

    def set_wait(self, error: GraphApiError, kind: str, account: str | None) -> None:
        """Write into a throttle when it is worth calling again, once the budget was told of it."""
        if isinstance(error, ThrottleError):
            until = self.budget.blocked_until(account, kind)
            known = (until - self._clock.now()).total_seconds() if until else 0.0
            # A limit that is not known to be one of these budgets' is left alone as long as one of them would be.
            error.retry_after = max(known, error.retry_after or 0.0) or FIRST_HOLD

    def log_refusal(self, error: GraphApiError, account: str | None) -> None:
        """Leave a trace of a call that is not made again; whoever asked tells what follows from it."""
        level = logging.ERROR if is_abuse_signal(error) else logging.DEBUG
        log.log(level, "%s", error, extra=_about(error, account))

    def value(self, call: str, answer: Answer, read: Callable[[bytes], T], account: str | None) -> T:
        """What an answer means: its reader's value, or the error that it is.

        Args:
            call: Method and path, for messages.
            answer: What came back.
            read: As of `get`.
            account: The ad account that was called, for messages.

        Raises:
            GraphApiError: It is no usable answer.
        """
        about = {"fbtrace_id": answer.headers.get("x-fb-trace-id"), "account": account}
        log.debug("%s: HTTP %d", call, answer.status, extra=about)
        usage = [reading.percent for reading in read_usage(answer.headers) if reading.percent is not None]
        self.meter.used(max(usage, default=None))
        self._check_version(answer.headers, account)
        if answer.status != 200 or _ENVELOPE.match(answer.body):
            raise self._refusal(call, answer)
        try:
            return read(answer.body)
        except InvalidAnswerError as error:
            if parse_envelope(answer.body) is not None:
                raise self._refusal(call, answer) from None
            raise TransportError(
                f"{call}: {error}.", http_status=answer.status, fbtrace_id=answer.headers.get("x-fb-trace-id")
            ) from None

    def exchange(self, method: str, path: str, parameters: Mapping[str, str]) -> Answer:
        """One HTTP request and its whole answer, whatever it is.

        Raises:
            TransportError: No whole answer came.
        """
        call = f"{method} /{path}"
        parameters = {**parameters, **self._common}
        deadline = time.monotonic() + self._timeouts.total
        try:
            with self._session.request(
                method,
                f"{self.base_url}/{self.version}/{path}",
                params=parameters if method == "GET" else None,
                data=parameters if method == "POST" else None,
                timeout=(self._timeouts.connect, self._timeouts.silence),
                allow_redirects=False,
                stream=True,
            ) as response:
                pieces = []
                # What has arrived, as `iter_content` would wait for a full chunk however long that takes.
                while piece := response.raw.read1(_CHUNK, decode_content=True):
                    pieces.append(piece)
                    if time.monotonic() > deadline:
                        raise TransportError(f"{call}: the answer took longer than {self._timeouts.total:.0f} s.")
                body = b"".join(pieces)
                self.meter.received(len(body))
                self._note_time(response.headers.get("date"))
                return Answer(response.status_code, response.headers, body)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # The original error holds the whole address; only its kind and redacted text go on.
            raise TransportError(f"{call}: no answer, {type(error).__name__}: {self._cause(error)}.") from None

    def _cause(self, error: Exception) -> str:
        inner = getattr(error.args[0], "reason", error.args[0]) if error.args else error
        text = str(inner).rsplit(": ", maxsplit=1)[-1]
        return self.redact(text)[:200].rstrip(".")

    def _refusal(self, call: str, answer: Answer) -> GraphApiError:
        retry_after = retry_after_seconds(answer.headers.get("retry-after"), self._clock.now())
        envelope = parse_envelope(answer.body)
        if envelope is None:
            return TransportError(
                f"{call}: HTTP {answer.status} without an error of Meta's form.",
                http_status=answer.status,
                fbtrace_id=answer.headers.get("x-fb-trace-id"),
                retry_after=retry_after,
            )
        envelope = {**envelope, "message": self.redact(str(envelope.get("message") or ""))}
        return error_from_envelope(envelope, http_status=answer.status, call=call, retry_after=retry_after)

    def _check_version(self, headers: Mapping[str, str], account: str | None) -> None:
        """Meta may serve another version than the one asked for; numbers can change with it, so say so once."""
        served = headers.get("facebook-api-version", self.version)
        warning = headers.get("x-ad-api-version-warning", "")
        if served == self.version and not warning:
            return
        note = self.redact(
            f"Version {self.version} of the Graph API was asked for and {served} answered. {warning}"
        ).strip()
        with self._warned_lock:
            if note in self._warned:
                return
            self._warned.add(note)
        about = {"fbtrace_id": headers.get("x-fb-trace-id"), "account": account}
        # An alarm and no warning: another version may count otherwise, and nobody would look for that in the numbers.
        log.error("%s", note, extra=about)

    def _note_time(self, told: str | None) -> None:
        try:
            at = parsedate_to_datetime(told or "")
        except (ValueError, OverflowError):
            return
        self._skew = (self._clock.now() - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()

    @property
    def server_time_skew(self) -> float | None:
        """Seconds by which our clock was ahead of the server's when the last answer came; None if none told the time."""
        return self._skew

    @property
    def version_warnings(self) -> tuple[str, ...]:
        """What answers said about their version, each once."""
        with self._warned_lock:
            return tuple(sorted(self._warned))


class _BearerAuth(AuthBase):
    """Puts the token into the header of each request."""

    def __init__(self, access_token: str) -> None:
        self._header = f"Bearer {access_token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


def _about(error: GraphApiError, account: str | None) -> dict[str, str | None]:
    """What a log record says beside its text."""
    return {"fbtrace_id": error.fbtrace_id, "account": account}


def _proof(access_token: str, app_secret: str) -> str:
    """Meta's `appsecret_proof`: HMAC-SHA256 of the token under the app secret, in lower-case hex."""
    return hmac.new(app_secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()
