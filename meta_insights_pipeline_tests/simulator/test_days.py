"""Days of accounts: borders, growth, arrival."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_insights_pipeline.simulator.days import (
    STEP_SECONDS,
    floor_step,
    local_text,
    midnight,
    months_before,
    progress,
)
from meta_insights_pipeline.simulator.randomness import ONE

ZONES = ("America/New_York", "Europe/Berlin", "Asia/Tokyo", "Australia/Sydney", "Asia/Kolkata", "Pacific/Auckland")


def _growth(zone: str, day: date, at: int) -> int:
    return int(progress(zone, np.array([day.toordinal()]), at).growth[0])


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Australia/Sydney", date(2026, 4, 5), 25),
        ("Asia/Tokyo", date(2026, 3, 29), 24),
    ],
)
def test_a_day_is_as_long_as_the_account_lives_it(zone: str, day: date, hours: int) -> None:
    begin, end = midnight(zone, day.toordinal()), midnight(zone, day.toordinal() + 1)
    assert end - begin == hours * 3600
    assert _growth(zone, day, begin) == 0
    assert _growth(zone, day, end - STEP_SECONDS) < ONE
    assert _growth(zone, day, end) == ONE


@given(zone=st.sampled_from(ZONES), day=st.dates(date(2022, 1, 2), date(2031, 12, 30)), steps=st.integers(0, 130))
def test_progress_never_goes_back_and_ends_before_the_day_is_28_days_old(zone: str, day: date, steps: int) -> None:
    ordinal = day.toordinal()
    at = midnight(zone, ordinal) + steps * 6 * 3600
    before, after = (progress(zone, np.array([ordinal]), moment) for moment in (at, at + STEP_SECONDS))
    assert before.growth[0] <= after.growth[0]
    for name, share in before.arrived.items():
        assert 0 <= share[0] <= after.arrived[name][0] <= ONE
    last = progress(zone, np.array([ordinal]), midnight(zone, ordinal + 28) - STEP_SECONDS)
    assert all(share[0] == ONE for share in last.arrived.values())


def test_nothing_moves_inside_a_step_of_fifteen_minutes() -> None:
    at = datetime(2026, 11, 22, 15, 7, tzinfo=UTC)
    assert floor_step(at) == int(datetime(2026, 11, 22, 15, 0, tzinfo=UTC).timestamp())
    assert floor_step(datetime(2026, 11, 22, 15, 14, 59, tzinfo=UTC)) == floor_step(at)


def test_times_are_written_with_the_offset_of_the_account_without_colon() -> None:
    at = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp())
    assert local_text("Asia/Kolkata", at) == "2026-07-01T17:30:00+0530"
    assert local_text("America/New_York", at) == "2026-07-01T08:00:00-0400"


def test_months_before_ends_at_the_last_day_of_a_shorter_month() -> None:
    assert months_before(date(2026, 3, 31), 1) == date(2026, 2, 28)
    assert months_before(date(2026, 11, 22), 37) == date(2023, 10, 22)
