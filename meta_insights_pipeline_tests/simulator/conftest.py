"""Fixtures of the simulator's tests. Worlds never change, so that one serves all tests."""

from collections.abc import Iterator

import pytest

from meta_insights_pipeline.simulator import Account, SimulatedClock, World, WorldSpec
from meta_insights_pipeline_tests.simulator.support import Api, api


@pytest.fixture(scope="session")
def world() -> World:
    return World(WorldSpec())


@pytest.fixture
def graph(world: World) -> Iterator[Api]:
    """An API over the default world, with a clock that stands still."""
    with api(world) as opened:
        yield opened


@pytest.fixture
def clock(graph: Api) -> SimulatedClock:
    assert isinstance(graph.simulator.clock, SimulatedClock)
    return graph.simulator.clock


@pytest.fixture
def account(world: World) -> Account:
    """The first account: New York, US dollars."""
    return world.accounts[0]
