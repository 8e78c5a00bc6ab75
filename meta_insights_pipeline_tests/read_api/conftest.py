"""What tests of the routes that read share."""

from collections.abc import Iterator

import pytest

from meta_insights_pipeline_tests.read_api.random_books import clear
from meta_insights_pipeline_tests.read_api.reading_api import OpenBooks, ReadingApi
from meta_insights_pipeline_tests.warehouse.mart_building import Books, books


@pytest.fixture(scope="session")
def shared_books() -> Iterator[Books]:
    with books() as found:
        yield found


@pytest.fixture
def shop(shared_books: Books) -> Books:
    """An empty warehouse."""
    clear(shared_books)
    return shared_books


@pytest.fixture
def api(shop: Books) -> ReadingApi:
    return ReadingApi(OpenBooks(shop))
