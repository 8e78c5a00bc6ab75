"""A simulator behind the HTTP door and a live configuration against it, inside the test's own process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.server import SimulatorServer
from meta_insights_pipeline.simulator.world import World, WorldSpec

TOKEN = "EAAB-live-test-token-9876543210"
SMALL = WorldSpec(accounts=2, campaigns=2, adsets_per_campaign=2, ads_per_adset=2, always_on=True)


@dataclass(frozen=True)
class Live:
    """A running simulator and the settings that lead to it."""

    simulator: Simulator
    url: str
    settings: Settings
    at: datetime

    @property
    def world(self) -> World:
        """The simulated world, for its truth."""
        return self.simulator.world


def yesterday_noon() -> datetime:
    """A moment at which no account's today lies in the real future."""
    today = datetime.now(UTC).date() - timedelta(days=1)
    return datetime(today.year, today.month, today.day, 12, 7, tzinfo=UTC)


@contextmanager
def live(
    home: Path,
    spec: WorldSpec = SMALL,
    *,
    budgets: Mapping[str, int] | None = None,
    at: datetime | None = None,
    **variables: Any,
) -> Iterator[Live]:
    """Serve a world over HTTP as of a moment, yesterday's noon when none is named, and point settings at it."""
    at = at or yesterday_noon()
    simulator = Simulator(World(spec), SimulatedClock(at), access_token=TOKEN, budgets=budgets)
    with SimulatorServer(simulator) as server:
        values = {
            "META_INSIGHTS_MODE": "live",
            "META_ACCESS_TOKEN": TOKEN,
            "META_GRAPH_API_URL": server.url,
            "META_INSIGHTS_HOME": home,
            **variables,
        }
        yield Live(simulator, server.url, Settings(_env_file=None, **values), at)
