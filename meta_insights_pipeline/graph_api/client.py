"""The session with the Graph API: authentication, time-outs, retries, and turning answers into values or errors.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self, TypeVar

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import AuthBase

from meta_insights_pipeline.graph_api.errors import (
    GraphApiError,
    ThrottleError,
    TransportError,
    error_from_envelope,
    parse_envelope,
)
from meta_insights_pipeline.graph_api.meter import CallMeter
from meta_insights_pipeline.graph_api.redaction import Redactor, redact_record
from meta_insights_pipeline.graph_api.retry import RetryPolicy, retry_after_seconds
from meta_insights_pipeline.graph_api.usage import Usage, read_usage

log = logging.getLogger(__name__)
# Where it writes down every address, proof included, once somebody turns debug messages on.
logging.getLogger("urllib3.connectionpool").addFilter(redact_record)

T = TypeVar("T")
_CHUNK = 1 << 18
_ENVELOPE = re.compile(rb'\s*\{\s*"error"\s*:')


@dataclass(frozen=True)
class Timeouts:
    """How long a call may take, in seconds."""

    connect: float = 10.0
    silence: float = 60.0
    """Between two pieces of an answer."""
    total: float = 180.0
    """From the first byte asked to the last one read; a body that drips is given up."""


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
        sleep: Callable[[float], None] = time.sleep,
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
            sleep: Waits between calls; replaceable in tests.
            jitter: Random numbers from 0 to 1.
        """
        self.base_url = base_url.rstrip("/")
        self.version = version
        self.meter = CallMeter()
        self._retry = retry or RetryPolicy()
        self._timeouts = timeouts or Timeouts()
        self._sleep = sleep
        self._jitter = jitter
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
        self._warned: set[str] = set()
        self._warned_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def get(self, path: str, parameters: Mapping[str, str], *, kind: str, read: Callable[[bytes], T]) -> T:
        """One GET, tried again while that can help.

        Args:
            path: Below the version, for example `act_1/insights`.
            parameters: Query parameters, without token.
            kind: What the call is for, in the counts.
            read: Turns the body into a value; raises InvalidAnswerError when it cannot.

        Raises:
            GraphApiError: No usable answer; the subclass tells why.
        """
        return self._call("GET", path, parameters, kind, read)

    def post(self, path: str, parameters: Mapping[str, str], *, kind: str, read: Callable[[bytes], T]) -> T:
        """One POST with form parameters; as `get`."""
        return self._call("POST", path, parameters, kind, read)

    def _call(self, method: str, path: str, parameters: Mapping[str, str], kind: str, read: Callable[[bytes], T]) -> T:
        attempt = 1
        while True:
            self.meter.called(kind)
            try:
                return self._call_once(method, path, parameters, read)
            except GraphApiError as error:
                if not self._retry.should_retry(error, attempt):
                    raise
                wait = self._retry.wait_seconds(error, attempt, self._jitter())
                log.warning("attempt %d: %s Calling again in %.1f s.", attempt, error, wait)
                self.meter.waits(wait, throttled=isinstance(error, ThrottleError))
            self._sleep(wait)
            attempt += 1

    def _call_once(self, method: str, path: str, parameters: Mapping[str, str], read: Callable[[bytes], T]) -> T:
        call = f"{method} /{path}"
        status, headers, body = self._exchange(method, path, {**parameters, **self._common}, call)
        usage = read_usage(headers)
        self.meter.answered(len(body), usage.percent)
        self._check_version(headers)
        if status != 200 or _ENVELOPE.match(body):
            raise self._refusal(call, status, headers, body, usage)
        try:
            return read(body)
        except InvalidAnswerError as error:
            envelope = parse_envelope(body)
            if envelope is not None:
                raise self._refusal(call, status, headers, body, usage) from None
            raise TransportError(
                f"{call}: {error}.", http_status=status, fbtrace_id=headers.get("x-fb-trace-id")
            ) from None

    def _exchange(
        self, method: str, path: str, parameters: Mapping[str, str], call: str
    ) -> tuple[int, Mapping[str, str], bytes]:
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
                return response.status_code, response.headers, b"".join(pieces)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # The original error holds the whole address; only its kind and redacted text go on.
            raise TransportError(f"{call}: no answer, {type(error).__name__}: {self._cause(error)}.") from None

    def _cause(self, error: Exception) -> str:
        inner = getattr(error.args[0], "reason", error.args[0]) if error.args else error
        text = str(inner).rsplit(": ", maxsplit=1)[-1]
        return self.redact(text)[:200].rstrip(".")

    def _refusal(self, call: str, status: int, headers: Mapping[str, str], body: bytes, usage: Usage) -> GraphApiError:
        retry_after = retry_after_seconds(headers.get("retry-after"))
        envelope = parse_envelope(body)
        if envelope is None:
            return TransportError(
                f"{call}: HTTP {status} without an error of Meta's form.",
                http_status=status,
                fbtrace_id=headers.get("x-fb-trace-id"),
                retry_after=retry_after,
            )
        envelope = {**envelope, "message": self.redact(str(envelope.get("message") or ""))}
        error = error_from_envelope(envelope, http_status=status, call=call, retry_after=retry_after)
        if isinstance(error, ThrottleError) and error.retry_after is None:
            error.retry_after = usage.wait_seconds
        return error

    def _check_version(self, headers: Mapping[str, str]) -> None:
        """Meta may serve another version than the one asked for; numbers can change with it, so say so once."""
        served = headers.get("facebook-api-version", self.version)
        warning = headers.get("x-ad-api-version-warning", "")
        if served == self.version and not warning:
            return
        note = f"Version {self.version} of the Graph API was asked for and {served} answered. {warning}".strip()
        with self._warned_lock:
            if note in self._warned:
                return
            self._warned.add(note)
        log.warning("%s", self.redact(note))

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


def _proof(access_token: str, app_secret: str) -> str:
    """Meta's `appsecret_proof`: HMAC-SHA256 of the token under the app secret, in lower-case hex."""
    return hmac.new(app_secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()
