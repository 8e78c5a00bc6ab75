"""Fixtures of the client's tests. The world never changes, so that one serves all tests."""

import pytest

from meta_insights_pipeline.simulator import World, WorldSpec


@pytest.fixture(scope="session")
def world() -> World:
    """One account whose eight ads deliver every day: ten days are eighty rows."""
    return World(WorldSpec(accounts=1, campaigns=2, adsets_per_campaign=2, ads_per_adset=2, always_on=True))


@pytest.fixture(autouse=True)
def _loopback_without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of whoever runs the tests must not stand between the client and this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
