"""Doing the parts of one answer at the same time: planning a query keeps one core busy, whatever the others do."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class SideBySide:
    """Some threads that help whoever has several things to do; safe for threads."""

    def __init__(self, helpers: int) -> None:
        """Start no thread yet.

        Args:
            helpers: How many threads beside that of whoever asks; 0 does one thing after the other.
        """
        self._helpers = helpers
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def results(self, *parts: Callable[[], Any]) -> list[Any]:
        """What the parts return, in their order; when it comes back, none of them is at work any more.

        Raises:
            Exception: What a part has raised; of several the first in order.
        """
        futures = [self._submit(part) for part in parts[1:]]
        done: list[Future[Any]] = [_done(parts[0]), *futures]
        # Parts that no helper has begun are done here, so that many who ask at once never wait for helpers.
        for number, future in reversed(list(enumerate(done))):
            if future.cancel():
                done[number] = _done(parts[number])
        for future in done:
            future.exception()
        return [future.result() for future in done]

    def close(self) -> None:
        """End the threads; what is asked for later is done without help."""
        with self._lock:
            self._helpers = 0
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _submit(self, part: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            if self._helpers == 0:
                # Never begun, and so left to whoever asks.
                return Future()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._helpers, "side-by-side")
            return self._pool.submit(part)


def _done(part: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()
    try:
        future.set_result(part())
    except BaseException as error:  # noqa: BLE001 - raised again by whoever reads the result
        future.set_exception(error)
    return future
