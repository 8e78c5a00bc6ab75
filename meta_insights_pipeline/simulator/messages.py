"""Requests and answers as both doors hand them over.

Belongs here: plain data about one exchange, and how its parameters are read. Does not belong here: sockets or routing.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class SimRequest:
    """One HTTP request; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @functools.cached_property
    def params(self) -> dict[str, str]:
        """Query and form parameters together; the form wins."""
        params = dict(self.query)
        if self.body and self.headers.get("content-type", "application/x-www-form-urlencoded").startswith(
            "application/x-www-form-urlencoded"
        ):
            params |= dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        return params


@dataclass(frozen=True)
class SimResponse:
    """One HTTP answer, with what should go wrong on its way.

    `delay` passes before the first byte. `hang` means that nothing follows after the delay. With `reset` the connection
    breaks before any byte; with `cut` it breaks in the middle of the body. `body_seconds` is how long the body drips.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    delay: float = 0.0
    hang: bool = False
    reset: bool = False
    cut: bool = False
    body_seconds: float = 0.0
