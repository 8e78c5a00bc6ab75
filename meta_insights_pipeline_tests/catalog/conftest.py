"""Fixtures of the catalogue's tests: a small world in which entities come and go, and a simulator of it."""

from datetime import UTC, datetime

import pytest

from meta_insights_pipeline.simulator import SimulatedClock, Simulator, World, WorldSpec

NOW = datetime(2026, 11, 22, 15, 7, tzinfo=UTC)


@pytest.fixture(scope="session")
def world() -> World:
    return World(WorldSpec(accounts=1))


@pytest.fixture
def simulator(world: World) -> Simulator:
    return Simulator(world, SimulatedClock(NOW))
