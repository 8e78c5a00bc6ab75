"""The attribution windows."""

from datetime import date

import pytest

from meta_insights_pipeline.catalog.windows import default_windows, windows
from meta_insights_pipeline_tests.catalog import sdk


def test_every_window_is_one_of_meta() -> None:
    assert set(windows()) <= sdk.WINDOWS
    assert all(window.name == name for name, window in windows().items())


def test_the_windows_that_are_asked_for_by_default_are_those_with_data() -> None:
    assert default_windows() == ("1d_click", "7d_click", "28d_click", "1d_view", "1d_ev")
    assert all(windows()[name].empty_since is None for name in default_windows())


@pytest.mark.parametrize("name", ["7d_view", "28d_view"])
def test_the_long_windows_after_a_view_are_empty_and_not_asked_for(name: str) -> None:
    window = windows()[name]
    assert window.empty_since == date(2026, 1, 12)
    assert window.successor == "1d_view"
    assert not window.daily_default
    assert name not in default_windows()


def test_no_other_window_is_empty() -> None:
    assert {name for name, window in windows().items() if window.empty_since} == {"7d_view", "28d_view"}


@pytest.mark.parametrize(
    ("name", "touch", "days"),
    [
        ("1d_click", "click", 1),
        ("28d_click", "click", 28),
        ("1d_view", "view", 1),
        ("7d_view", "view", 7),
        ("1d_ev", "engaged_view", 1),
        ("incrementality", "model", None),
        ("skan_click", "skan", None),
    ],
)
def test_a_window_knows_its_touch_and_its_days(name: str, touch: str, days: int | None) -> None:
    assert (windows()[name].touch, windows()[name].days) == (touch, days)


def test_every_window_has_a_column_of_its_own() -> None:
    columns = [window.column for window in windows().values()]
    assert len(set(columns)) == len(columns)
    assert windows()["1d_click"].column == "value_1d_click"
    assert all(column.isidentifier() for column in columns)


def test_every_window_is_described() -> None:
    assert all(window.description for window in windows().values())
