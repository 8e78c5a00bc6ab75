"""Ending queries that take too long. One thread for all of them, since a timer each would cost more than most queries."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


class QueryTimeoutError(Exception):
    """The queries of an answer took longer than allowed and were ended; the message is one sentence."""


class Budget:
    """The time that all queries of one answer may take together, those at the same time counted once; safe for threads.

    What passes between them does not count: whoever takes a long table slowly is sent all of it.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._running = 0
        self._since = 0.0
        self._lock = threading.Lock()

    def begin(self, now: float) -> float:
        """Note that a query begins; gives the moment at which it must have ended."""
        with self._lock:
            if self._running == 0:
                self._since = now
            self._running += 1
            return self._since + self._left

    def end(self, now: float) -> None:
        """Note that a query has ended."""
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._left -= now - self._since


class Deadlines:
    """Interrupts queries whose answer has taken so many seconds; safe for threads."""

    def __init__(self, seconds: float) -> None:
        """Nothing is watched, and no thread runs, before the first query.

        Args:
            seconds: How long the queries of an answer may take.
        """
        self.seconds = seconds
        self._changed = threading.Condition()
        self._running: dict[object, tuple[float, duckdb.DuckDBPyConnection]] = {}
        self._interrupted: set[object] = set()
        self._thread: threading.Thread | None = None
        # When the thread looks again, whatever happens.
        self._looks_at = 0.0
        self._is_closed = False
        self._is_over = False

    def budget(self) -> Budget:
        """That of a new answer."""
        return Budget(self.seconds)

    @contextmanager
    def limited(self, cursor: duckdb.DuckDBPyConnection, budget: Budget) -> Iterator[None]:
        """Run a query of a cursor inside the block.

        Args:
            cursor: What it runs on.
            budget: Of the answer that it is for.

        Raises:
            QueryTimeoutError: It was ended, or there was no time left for it.
        """
        ticket, now = object(), time.monotonic()
        deadline = budget.begin(now)
        try:
            if deadline <= now or not self._watch(ticket, deadline, cursor):
                raise self._too_late()
            yield
        except duckdb.InterruptException:
            with self._changed:
                is_late = ticket in self._interrupted
            if not is_late:
                raise
            raise self._too_late() from None
        finally:
            budget.end(time.monotonic())
            with self._changed:
                self._running.pop(ticket, None)
                self._interrupted.discard(ticket)

    def interrupt(self) -> None:
        """End all queries that run, and those that begin later."""
        with self._changed:
            self._is_over = True
            for ticket, (_, cursor) in self._running.items():
                self._interrupted.add(ticket)
                cursor.interrupt()

    def close(self) -> None:
        """End the thread; queries that run go on without a limit."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _watch(self, ticket: object, deadline: float, cursor: duckdb.DuckDBPyConnection) -> bool:
        """Watch a query; not when none may run any more."""
        with self._changed:
            if self._is_over:
                return False
            if self._thread is None and not self._is_closed:
                self._looks_at = deadline
                self._thread = threading.Thread(target=self._interrupt_late_ones, name="query-deadlines", daemon=True)
                self._thread.start()
            self._running[ticket] = (deadline, cursor)
            # Waking it costs more than the rest. It looks at least as often as an answer may take, which is soon enough for
            # the first query of each and for most of the others.
            if deadline < self._looks_at:
                self._looks_at = deadline
                self._changed.notify()
            return True

    def _interrupt_late_ones(self) -> None:
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                late = [ticket for ticket, (deadline, _) in self._running.items() if deadline <= now]
                for ticket in late:
                    _, cursor = self._running.pop(ticket)
                    self._interrupted.add(ticket)
                    cursor.interrupt()
                deadlines = (deadline for deadline, _ in self._running.values())
                self._looks_at = min(deadlines, default=now + self.seconds)
                self._changed.wait(max(0.0, self._looks_at - now))

    def _too_late(self) -> QueryTimeoutError:
        return QueryTimeoutError(
            f"The answer would have taken longer than {self.seconds:g} s; ask for fewer days or rows."
        )
