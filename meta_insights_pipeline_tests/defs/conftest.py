"""Fixtures of Dagster's definitions: a home of their own and an instance that forgets."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for META_INSIGHTS_HOME, with no other setting and no `.env`."""
    for name in [name for name in os.environ if name.startswith(("META_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("META_INSIGHTS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def kept_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on disk, for what another process could open too (schedules)."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as kept:
        yield kept
