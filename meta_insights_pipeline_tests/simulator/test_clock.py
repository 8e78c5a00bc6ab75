"""Clocks of the simulated world."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from meta_insights_pipeline.simulator import SimulatedClock, WallClock

START = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_simulated_clock_stands_still_until_it_is_moved() -> None:
    clock = SimulatedClock(START)
    assert clock.now() == clock.now() == START
    clock.advance(timedelta(hours=3))
    assert clock.now() == START + timedelta(hours=3)
    clock.set(START)
    assert clock.now() == START


def test_a_simulated_clock_with_a_speed_runs() -> None:
    clock = SimulatedClock(START, speed=1e6)
    first = clock.now()
    while clock.now() == first:
        pass
    assert clock.now() > first >= START


def test_clocks_tell_utc_whatever_zone_they_are_set_in() -> None:
    clock = SimulatedClock(datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=9))))
    assert clock.now() == datetime(2026, 11, 22, 3, tzinfo=UTC)
    assert clock.now().utcoffset() == timedelta(0)
    assert WallClock().now().utcoffset() == timedelta(0)


def test_a_clock_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        SimulatedClock(datetime(2026, 11, 22))  # noqa: DTZ001 - the point of the test
