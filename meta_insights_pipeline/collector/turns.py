"""Who may call: so many at once, and whoever waits lets others go first.

A call that waits (for room in a budget, or after trouble) gives its turn away, and goes on in one of a few turns that are kept
for such calls: an account that is slow, or hangs, does not take the turns of the others.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LATE_CALLS_AT_ONCE = 4


class Turns:
    """The turns of one collection."""

    def __init__(self, sleep: Callable[[float], None], at_once: int) -> None:
        """Prepare.

        Args:
            sleep: Waits; may raise to end the waiting.
            at_once: How many call at once, beside those that had to wait inside a call.
        """
        self._sleep = sleep
        self._fresh = threading.Semaphore(at_once)
        self._late = threading.Semaphore(LATE_CALLS_AT_ONCE)
        self._mine = threading.local()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn of this thread."""
        self._take(self._fresh)
        try:
            yield
        finally:
            self._mine.turn.release()

    def wait_for_report(self, seconds: float) -> None:
        """Wait while a report is drawn up; the thread then waits its turn like the others."""
        self._wait(seconds, self._fresh)

    def wait_inside_call(self, seconds: float) -> None:
        """Wait until a call may be made, or made again."""
        self._wait(seconds, self._late)

    def _wait(self, seconds: float, then: threading.Semaphore) -> None:
        self._mine.turn.release()
        try:
            self._sleep(seconds)
        finally:
            self._take(then)

    def _take(self, turns: threading.Semaphore) -> None:
        turns.acquire()
        self._mine.turn = turns
