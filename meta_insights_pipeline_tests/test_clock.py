"""The clock of this machine."""

import time
from datetime import UTC, datetime

from meta_insights_pipeline.clock import Clock, SystemClock


def test_now_is_the_present_in_utc() -> None:
    clock: Clock = SystemClock()
    before = datetime.now(UTC)
    now = clock.now()
    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == datetime.now(UTC).utcoffset()


def test_sleeping_takes_as_long_as_asked() -> None:
    begun = time.monotonic()
    SystemClock().sleep(0.02)
    assert time.monotonic() - begun >= 0.02


def test_nothing_and_less_than_nothing_take_no_time() -> None:
    begun = time.monotonic()
    for seconds in (0.0, -100.0):
        SystemClock().sleep(seconds)
    assert time.monotonic() - begun < 5.0
