"""A client on a simulator, and everything that a test wants to know about their talk."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.graph_api.paging import Page, follow_pages
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.simulator import (
    SimRequest,
    SimResponse,
    SimulatedClock,
    Simulator,
    SimulatorAdapter,
    SimulatorServer,
    World,
)

NOW = datetime(2026, 11, 22, 15, 7, tzinfo=UTC)
VERSION = "v26.0"
TOKEN = "EAABsimulatedToken0123456789ZCxyzABCDEF"
APP_SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
PROOF = hmac.new(APP_SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
ONCE = RetryPolicy(attempts=1)


class Tapped(Simulator):
    """A simulator that keeps every request as it came over the wire, secrets included."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.received: list[SimRequest] = []

    def handle(self, request: SimRequest) -> SimResponse:
        self.received.append(request)
        return super().handle(request)


class SharedClock:
    """The simulator's own time: when the client waits, it passes there at once; every wait is written down."""

    def __init__(self, simulated: SimulatedClock) -> None:
        self.waits: list[float] = []
        self._simulated = simulated
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._simulated.now()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.waits.append(seconds)
        self._simulated.advance(timedelta(seconds=seconds))
        # Whoever waits for another thread lets it work.
        time.sleep(0.0005)


@dataclass
class Talk:
    """A client, the simulator behind it, and how long the client wanted to wait before each further call."""

    api: GraphApi
    simulator: Tapped
    clock: SharedClock

    @property
    def waits(self) -> list[float]:
        """Seconds of every wait."""
        return self.clock.waits

    @property
    def account(self) -> str:
        """The node of the first ad account."""
        return f"act_{self.account_id}"

    @property
    def account_id(self) -> str:
        """The bare id of the first ad account."""
        return self.simulator.world.accounts[0].id

    @property
    def calls(self) -> int:
        """How many requests reached the simulator."""
        return len(self.simulator.received)

    def me(self, kind: str = "me") -> Any:
        """Ask for the token's user: the smallest call there is."""
        return self.api.get("me", {}, kind=kind, read=read_object)

    def fails(self) -> GraphApiError:
        """Ask for the token's user and give the error."""
        return failure(self.me)

    def pages(self, parameters: Mapping[str, str]) -> list[Page]:
        """Every page of an insights call on the first account."""
        path = f"{self.account}/insights"
        return list(follow_pages(self.api, path, parameters, kind="insights_page", account=self.account_id))


@contextmanager
def talk(
    world: World,
    *,
    served: bool = False,
    compress: bool = False,
    token: str = TOKEN,
    app_secret: str | None = None,
    version: str = VERSION,
    simulator: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[Talk]:
    """Open a client on a simulator whose clock moves only when the client waits, in this process or over HTTP.

    No test waits: the client's waits are written down instead, and its jitter is 0 unless given.
    """
    simulated = SimulatedClock(NOW)
    clock = SharedClock(simulated)
    options = {"clock": clock, "jitter": lambda: 0.0, **options}
    common = {"version": version, "access_token": token, "app_secret": app_secret, **options}
    tapped = Tapped(world, simulated, **(simulator or {}))
    if served:
        with SimulatorServer(tapped, compress=compress) as server, GraphApi(base_url=server.url, **common) as api:
            yield Talk(api, tapped, clock)
    else:
        adapter = SimulatorAdapter(tapped)
        with GraphApi(base_url=tapped.base_url, adapter=adapter, **common) as api:
            yield Talk(api, tapped, clock)


def failure(call: Callable[[], object]) -> GraphApiError:
    """Give the error of a call that must fail."""
    try:
        value = call()
    except GraphApiError as error:
        return error
    raise AssertionError(f"the call gave {value!r}")


def daily(level: str = "ad", **parameters: str) -> dict[str, str]:
    """The parameters of a daily report over ten days."""
    time_range = json.dumps({"since": "2026-11-01", "until": "2026-11-10"})
    fields = "account_id,ad_id,impressions,spend,actions" if level == "ad" else "account_id,impressions,spend"
    return {"level": level, "fields": fields, "time_range": time_range, "time_increment": "1", **parameters}


def rows_of(pages: list[Page]) -> list[Any]:
    """The rows of pages, parsed."""
    return [row for page in pages for row in json.loads(page.rows)]
