"""The order of the tests: slow ones first, so that no worker is left with a long one when all others have ended."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first; apart from that the order stays."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
