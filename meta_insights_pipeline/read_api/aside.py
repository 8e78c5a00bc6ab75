"""Calls that may hang, a few at a time in threads of their own: nobody who asks for anything else waits for them.

The threads are daemons: a server that ends leaves behind what hangs then, and does not wait for it.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import anyio
from anyio.lowlevel import RunVar

from meta_insights_pipeline.read_api.errors import UnavailableError

Result = TypeVar("Result")


class Places:
    """So many places in each event loop, since a limiter belongs to one: a server has one loop, tests have several."""

    def __init__(self, name: str, count: int) -> None:
        self._count = count
        self._limiter: RunVar[anyio.CapacityLimiter] = RunVar(name)

    @property
    def limiter(self) -> anyio.CapacityLimiter:
        """That of the running loop."""
        try:
            return self._limiter.get()
        except LookupError:
            limiter = anyio.CapacityLimiter(self._count)
            self._limiter.set(limiter)
            return limiter


class Aside:
    """So many calls of one kind at a time."""

    def __init__(self, name: str, *, places: int, wait_seconds: float, sentence: str) -> None:
        """Start no thread yet.

        Args:
            name: Of its threads.
            places: How many calls at a time.
            wait_seconds: How long somebody waits for a place.
            sentence: What is told to whoever got none.
        """
        self._name = name
        self._places = Places(name, places)
        self._wait_seconds = wait_seconds
        self._sentence = sentence

    async def run(self, work: Callable[[], Result]) -> Result:
        """What the work returns or raises.

        Raises:
            UnavailableError: 503, there was no place for too long.
        """
        limiter, ticket = self._places.limiter, object()
        with anyio.move_on_after(self._wait_seconds) as waiting:
            await limiter.acquire_on_behalf_of(ticket)
        if waiting.cancelled_caught:
            raise UnavailableError(self._sentence, {"Retry-After": str(max(1, round(self._wait_seconds)))})
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        done: asyncio.Future[Result] = loop.create_future()

        def deliver(settle: Callable[[], object]) -> None:
            # Not before: a call that hangs keeps its place, also when nobody waits for it any more.
            limiter.release_on_behalf_of(ticket)
            if not done.done():
                settle()

        def body() -> None:
            try:
                settle = partial(done.set_result, context.run(work))
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for it
                settle = partial(done.set_exception, error)
            # The loop may be closed by now, and then nobody waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(deliver, settle)

        threading.Thread(target=body, name=self._name, daemon=True).start()
        return await done
