"""How many requests a minute one principal may make: a token bucket each, in the memory of this process.

Processes that count together have theirs in `shared_rate_limit`.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from meta_insights_pipeline.read_api.access.errors import TooManyRequestsError

# More clients than an installation has; the one not seen for longest is forgotten first.
_MOST_CLIENTS = 10_000
# A network that one client commonly has for itself (RFC 6177), and could change its address in.
_IPV6_PREFIX = 64


@dataclass
class Bucket:
    """What one client may do."""

    left: float
    """Requests that may be made now."""
    at: float
    """When that was so."""

    def take(self, per_minute: int, now: float) -> None:
        """Count a request.

        Args:
            per_minute: The limit.
            now: Seconds of a clock that never goes back.

        Raises:
            TooManyRequestsError: It is one too many.
        """
        self.left = min(per_minute, self.left + (now - self.at) * per_minute / 60)
        self.at = now
        # What is short of a whole request by rounding is one.
        if self.left < 1 - 1e-9:
            raise TooManyRequestsError(per_minute, (1 - self.left) * 60 / per_minute)
        self.left -= 1


class RequestLimit(Protocol):
    """What counts requests."""

    def take(self, client: str) -> None:
        """Count a request.

        Args:
            client: Whose it is: the label of a principal, or an address.

        Raises:
            TooManyRequestsError: It is one too many.
        """
        ...


class RateLimiter:
    """So many requests at once, and as many again over each minute; safe for threads."""

    def __init__(
        self,
        per_minute: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        most_clients: int = _MOST_CLIENTS,
    ) -> None:
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._most_clients = most_clients
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Count a request; errors are those of `Bucket.take`.

        Args:
            client: Whose it is: the label of a principal, or an address.
        """
        with self._lock:
            now = self._monotonic()
            bucket = self._buckets.setdefault(client, Bucket(float(self._per_minute), now))
            self._buckets.move_to_end(client)
            while len(self._buckets) > self._most_clients:
                self._buckets.popitem(last=False)
            bucket.take(self._per_minute, now)


def client_of(address: str | None) -> str:
    """The name under which requests without a principal are counted.

    Args:
        address: The IP address of the client; None when it has none, as through a Unix socket.
    """
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "address:unknown"
    if ip.version == 6:
        return f"address:{ipaddress.ip_network((ip, _IPV6_PREFIX), strict=False)}"
    return f"address:{ip}"
