"""Ending queries that take too long. One thread for all of them, since a timer each would cost more than most queries."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


class QueryTimeoutError(Exception):
    """A query took longer than allowed and was ended; the message is one sentence."""


class Deadlines:
    """Interrupts queries that run for longer than so many seconds; safe for threads."""

    def __init__(self, seconds: float) -> None:
        """Nothing is watched, and no thread runs, before the first query.

        Args:
            seconds: How long a query may take.
        """
        self.seconds = seconds
        self._changed = threading.Condition()
        # In the order in which they end, since all may take as long.
        self._running: dict[object, tuple[float, duckdb.DuckDBPyConnection]] = {}
        self._interrupted: set[object] = set()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_over = False

    @contextmanager
    def limited(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Run a query of a cursor inside the block.

        Raises:
            QueryTimeoutError: It was ended.
        """
        ticket = object()
        if self._is_over:
            raise QueryTimeoutError("The server is being stopped.")
        self._watch(ticket, cursor)
        try:
            yield
        except duckdb.InterruptException:
            with self._changed:
                is_late = ticket in self._interrupted
            if not is_late:
                raise
            raise QueryTimeoutError(
                f"The answer would have taken longer than {self.seconds:g} s; ask for fewer days or rows."
            ) from None
        finally:
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

    def _watch(self, ticket: object, cursor: duckdb.DuckDBPyConnection) -> None:
        with self._changed:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._interrupt_late_ones, name="query-deadlines", daemon=True)
                self._thread.start()
            # Nobody is woken, which would cost more than the rest: the thread looks at least as often as queries may take.
            self._running[ticket] = (time.monotonic() + self.seconds, cursor)

    def _interrupt_late_ones(self) -> None:
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                late = [ticket for ticket, (deadline, _) in self._running.items() if deadline <= now]
                for ticket in late:
                    _, cursor = self._running.pop(ticket)
                    self._interrupted.add(ticket)
                    cursor.interrupt()
                first = next(iter(self._running.values()), None)
                self._changed.wait(self.seconds if first is None else max(0.0, first[0] - now))
