"""What tests of access control share."""

import os
from pathlib import Path

import pytest

from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline_tests.clocks import SkippingClock


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("META_"):
            monkeypatch.delenv(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.sqlite"


@pytest.fixture
def file(path: Path) -> AccessFile:
    return AccessFile(path)


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


@pytest.fixture
def book(file: AccessFile, clock: SkippingClock) -> KeyBook:
    return KeyBook(file, clock)
