"""The read API as a user starts it, a client on one connection, and publications below it."""

import http.client
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.measuring import COMMAND, environment
from meta_insights_pipeline.warehouse.publication import publish

THREADS = 2
MEMORY = "512MB"
PUBLISH_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Served:
    """A server that answers, and a key of a viewer."""

    url: str
    key: str

    def client(self) -> "Client":
        """A new connection."""
        return Client(self)


class Client:
    """Asks one thing after the other on a connection that stays open."""

    def __init__(self, server: Served) -> None:
        address = urlsplit(server.url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        self._headers = {"X-API-Key": server.key}
        self.failed = 0
        self.last = ""
        """What was last answered other than 200."""

    def get(self, address: str) -> None:
        """Ask, and read the answer to its end."""
        try:
            self._connection.request("GET", f"/meta/insights/{address}", headers=self._headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.failed, self.last = self.failed + 1, repr(error)
            self._connection.close()
            return
        if response.status != 200:
            self.failed, self.last = self.failed + 1, body[:500].decode()


@contextmanager
def serving(home: Path, core: int | None = None) -> Iterator[Served]:
    """`meta-insights serve`, with one worker and a key; on one core if one is named."""
    variables = environment(
        home,
        META_INSIGHTS_API_REQUESTS_PER_MINUTE="100000000",
        META_INSIGHTS_API_THREADS=str(THREADS),
        META_INSIGHTS_API_MEMORY_LIMIT=MEMORY,
    )
    create = [COMMAND, "keys", "create", "--name", "benchmark", "--role", "viewer"]
    key = subprocess.run(create, env=variables, check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [*([] if core is None else on_core(core)), COMMAND, "serve", "--port", "0"],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            urls = [word for word in line.split() if word.startswith("http")]
            if not urls:
                process.wait()
                said.seek(0)
                raise RuntimeError(f"The server did not start: {said.read()[-2000:]}")
            server = Served(urls[0], key)
            _wait_until_ready(server)
            yield server
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def _wait_until_ready(server: Served) -> None:
    address, end = urlsplit(server.url), time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > end:
            raise RuntimeError("The server was not ready within 30 s.")
        time.sleep(0.05)


def on_core(number: int) -> list[str]:
    """What a command begins with to run on one core; nothing where programs cannot choose."""
    taskset = shutil.which("taskset")
    if taskset is None:
        return []
    cores = sorted(os.sched_getaffinity(0))
    return [taskset, "--cpu-list", str(cores[number % len(cores)])]


@dataclass
class Published:
    """How often something was published so far."""

    count: int = 0


@contextmanager
def publishing(warehouse: Path, snapshot: Path) -> Iterator[Published]:
    """Publish again and again while the block runs, as a sync does."""
    published, stop = Published(), threading.Event()

    def go_on() -> None:
        while not stop.wait(PUBLISH_EVERY_SECONDS):
            publish(warehouse, snapshot)
            published.count += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield published
    finally:
        stop.set()
        thread.join()


@contextmanager
def nothing_published() -> Iterator[Published]:
    """Publish nothing while the block runs."""
    yield Published()
