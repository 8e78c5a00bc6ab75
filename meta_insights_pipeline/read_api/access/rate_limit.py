"""How many requests a minute one principal may make: a token bucket each, in the memory of this process."""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from meta_insights_pipeline.read_api.access.errors import TooManyRequestsError

# More clients than an installation has; the one not seen for longest is forgotten first.
_MOST_CLIENTS = 10_000
# A network that one client commonly has for itself (RFC 6177), and could change its address in.
_IPV6_PREFIX = 64


@dataclass
class _Bucket:
    left: float
    """Requests that may be made now."""
    at: float
    """When that was so."""


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
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Count a request.

        Args:
            client: Whose it is: the label of a principal, or an address.

        Raises:
            TooManyRequestsError: It is one too many.
        """
        with self._lock:
            now = self._monotonic()
            bucket = self._buckets.setdefault(client, _Bucket(float(self._per_minute), now))
            self._buckets.move_to_end(client)
            bucket.left = min(self._per_minute, bucket.left + (now - bucket.at) * self._per_minute / 60)
            bucket.at = now
            # What is short of a whole request by rounding is one.
            has_one = bucket.left >= 1 - 1e-9
            if has_one:
                bucket.left -= 1
            while len(self._buckets) > self._most_clients:
                self._buckets.popitem(last=False)
        if not has_one:
            raise TooManyRequestsError(self._per_minute, (1 - bucket.left) * 60 / self._per_minute)


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
