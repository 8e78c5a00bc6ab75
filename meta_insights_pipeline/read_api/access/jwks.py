"""The keys that an issuer of tokens publishes (JWKS, RFC 7517): fetched, kept, and fetched again when that may help.

- A key id that is not known leads to a new fetch, but to one a minute at most, whatever the flood of made-up ids.
- Keys are fetched again every ten minutes, so that one that the issuer took back ends here too.
- While the issuer cannot be reached, the keys that are known go on for a day.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests
from jwt import PyJWK, PyJWTError

from meta_insights_pipeline.read_api.errors import UnavailableError

log = logging.getLogger(__name__)

FETCH_PAUSE_SECONDS: Final = 60.0
"""Between the begin of two fetches, at least."""
REFRESH_SECONDS: Final = 600.0
"""Keys older than this are fetched again."""
LONGEST_OUTAGE_SECONDS: Final = 86_400.0
"""Keys older than this are no longer believed."""
_CONNECT_SECONDS, _READ_SECONDS, _FETCH_SECONDS = 3.0, 5.0, 10.0
_MOST_BYTES = 256 * 1024
_LONGEST_KEY_ID = 256

_UNAVAILABLE = (
    "Tokens cannot be checked right now, since the keys of their issuer cannot be fetched; ask again in a minute."
)

Fetch = Callable[[str], Mapping[str, Any]]
_Keys = Mapping[tuple[str, str], PyJWK]
"""By key id and algorithm."""


class JwksError(Exception):
    """The keys cannot be fetched; the message says why and repeats nothing of what was received."""


@dataclass(frozen=True)
class _Fetched:
    keys: _Keys
    at: float


class JwksKeys:
    """The published keys of one issuer; safe for threads."""

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        *,
        fetch: Fetch | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is fetched yet.

        Args:
            url: Where the keys are published.
            algorithms: The only ones for which keys are used; of public keys, not of shared secrets.
            fetch: How the document is had; by HTTP when left out.
            monotonic: Seconds of a clock that never goes back.
        """
        self._url = url
        self._algorithms = tuple(algorithms)
        self._fetch = fetch or fetch_jwks
        self._monotonic = monotonic
        self._fetching = threading.Lock()
        self._fetched: _Fetched | None = None
        self._tried_at: float | None = None
        self._has_failed = False

    def find(self, key_id: object, algorithm: str) -> PyJWK | None:
        """The key of an id and algorithm; None when the issuer publishes none.

        Raises:
            UnavailableError: It is not known, and the issuer could not be asked.
        """
        if not isinstance(key_id, str) or len(key_id) > _LONGEST_KEY_ID:
            return None
        known = self._known(REFRESH_SECONDS)
        if known is None or not _has_id(known, key_id):
            self._refresh()
            known = self._known(LONGEST_OUTAGE_SECONDS)
        if known is None or (self._has_failed and not _has_id(known, key_id)):
            raise UnavailableError(_UNAVAILABLE, {"Retry-After": "60"})
        return known.get((key_id, algorithm))

    def _known(self, age: float) -> _Keys | None:
        """The keys, unless they are older than so many seconds."""
        fetched = self._fetched
        return fetched.keys if fetched is not None and self._monotonic() - fetched.at < age else None

    def _refresh(self) -> None:
        """Fetch the keys, unless that was tried a moment ago or another thread is at it."""
        # While no key is known there is nothing to answer from, so everybody waits for whoever fetches.
        if not self._fetching.acquire(blocking=self._fetched is None):
            return
        try:
            now = self._monotonic()
            if self._tried_at is not None and now - self._tried_at < FETCH_PAUSE_SECONDS:
                return
            self._tried_at = now
            keys = usable_keys(self._fetch(self._url), self._algorithms)
            self._fetched, self._has_failed = _Fetched(keys, now), False
        except JwksError as error:
            self._has_failed = True
            log.warning("The keys of META_INSIGHTS_JWT_JWKS_URL could not be fetched: %s.", error)
        finally:
            self._fetching.release()


def _has_id(keys: _Keys, key_id: str) -> bool:
    return any(known == key_id for known, _ in keys)


def usable_keys(document: Mapping[str, Any], algorithms: Sequence[str]) -> _Keys:
    """The keys of a JWKS document that may check signatures with these algorithms.

    Keys for encryption, shared secrets, private keys and keys without an id are passed over.

    Raises:
        JwksError: There is none.
    """
    entries = document.get("keys")
    keys: dict[tuple[str, str], PyJWK] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry or entry.get("kty") == "oct":
            continue
        key_id = entry.get("kid")
        for algorithm in algorithms:
            if isinstance(key_id, str) and entry.get("alg", algorithm) == algorithm and (key := _key(entry, algorithm)):
                keys[key_id, algorithm] = key
    if not keys:
        raise JwksError(f"it holds no key for {', '.join(algorithms)}")
    return keys


def _key(entry: dict[str, Any], algorithm: str) -> PyJWK | None:
    """The key for an algorithm; None when it is for others."""
    try:
        key = PyJWK(entry, algorithm)
        key.Algorithm.prepare_key(key.key)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    return None if key.Algorithm.check_key_length(key.key) else key


def fetch_jwks(url: str) -> Mapping[str, Any]:
    """Fetch a JWKS document: 10 s and 256 KiB at most, no redirects.

    Raises:
        JwksError: It cannot be had, or is no JSON object.
    """
    deadline = time.monotonic() + _FETCH_SECONDS
    try:
        with requests.get(
            url,
            headers={"Accept": "application/jwk-set+json, application/json"},
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            if response.status_code != 200:
                raise JwksError(f"the answer has status {response.status_code}")
            received = bytearray()
            for piece in response.iter_content(16 * 1024):
                received += piece
                if len(received) > _MOST_BYTES:
                    raise JwksError(f"the answer has more than {_MOST_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise JwksError(f"it took more than {_FETCH_SECONDS:.0f} s")
    except requests.RequestException as error:
        raise JwksError(type(error).__name__) from None
    try:
        document = json.loads(received)
    except (ValueError, RecursionError):
        raise JwksError("the answer is no JSON") from None
    if not isinstance(document, dict):
        raise JwksError("the answer is no JSON object")
    return document
