"""The door over HTTP: a small server for one simulator.

Belongs here: sockets, keep-alive, compression, and faults of the wire. Does not belong here: what is answered.
"""

import contextlib
import gzip
import http.server
import socket
import struct
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from meta_insights_pipeline.simulator.handler import Simulator
from meta_insights_pipeline.simulator.messages import SimRequest, SimResponse

_DRIPS = 10


class SimulatorServer:
    """Serves a simulator on a port of its own; use it as a context manager, or `start` and `stop`, or `serve_forever`.

    Args:
        simulator: What answers.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        compress: Whether answers are compressed for clients that accept gzip.
    """

    def __init__(self, simulator: Simulator, host: str = "127.0.0.1", port: int = 0, *, compress: bool = False) -> None:
        self._http = _Server((host, port), simulator, compress=compress)
        self._thread: threading.Thread | None = None
        self._serving = threading.Event()

    @property
    def url(self) -> str:
        """The address to which versions and paths are appended."""
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}"

    def start(self) -> Self:
        """Serve in a thread of its own."""
        self._serving.set()
        self._thread = threading.Thread(target=self.serve_forever, name="simulator", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection, and wait for the threads."""
        # Shutting down waits for the loop that serves, and for ever if there is none.
        if self._serving.is_set():
            self._http.shutdown()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._http.hang_up()
        self._http.server_close()

    def serve_forever(self) -> None:
        """Serve in this thread until `stop` is called from another, or the process is interrupted."""
        self._serving.set()
        try:
            self._http.serve_forever(poll_interval=0.05)
        finally:
            self._serving.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(http.server.ThreadingHTTPServer):
    """The listening socket and its connections."""

    daemon_threads = False
    block_on_close = True
    # A port in use is an error, also where the system would let two servers share it.
    allow_reuse_port = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], simulator: Simulator, *, compress: bool) -> None:
        self.simulator = simulator
        self.compress = compress
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Connection)

    def server_bind(self) -> None:
        """Bind without looking up the name of the host, which may take seconds."""
        socket_server_bind = super(http.server.HTTPServer, self).server_bind
        socket_server_bind()
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    @contextlib.contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        """Remember a connection as long as it is served."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def hang_up(self) -> None:
        """Wake everything that waits, and end every connection."""
        self.stopping.set()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about clients that go away."""


class _Connection(http.server.BaseHTTPRequestHandler):
    """One connection with its requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        """Serve the requests of this connection."""
        with self.server.connected(self.connection), contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def do_GET(self) -> None:
        """Answer a request of any method."""
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = SimRequest(
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): text for name, text in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
        )
        self._answer(self.server.simulator.handle(request))

    do_POST = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def _answer(self, answer: SimResponse) -> None:
        if answer.delay:
            self.server.stopping.wait(answer.delay)
        if answer.reset:
            self._reset()
            return
        if answer.hang or self.server.stopping.is_set():
            self.close_connection = True
            return
        body, headers = self._encoded(answer)
        head = self._head(answer.status, headers, len(body))
        if answer.cut:
            self.wfile.write(head + body[: len(body) // 2])
            self.close_connection = True
        elif answer.body_seconds:
            self._drip(head, body, answer.body_seconds)
        else:
            # One write an answer: head and body in one go cost one packet less and no wait.
            self.wfile.write(head + body)

    def _encoded(self, answer: SimResponse) -> tuple[bytes, dict[str, str]]:
        accepted = self.headers.get("Accept-Encoding", "")
        if not self.server.compress or "gzip" not in accepted or not answer.body:
            return answer.body, answer.headers
        return gzip.compress(answer.body, compresslevel=1), {**answer.headers, "content-encoding": "gzip"}

    def _head(self, status: int, headers: dict[str, str], length: int) -> bytes:
        phrase = self.responses.get(http.HTTPStatus(status), ("", ""))[0] if status in self.responses else ""
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {text}" for name, text in headers.items())]
        lines += [f"content-length: {length}", "", ""]
        return "\r\n".join(lines).encode("latin-1", "replace")

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the time of the simulated clock, also where the base class answers what is no HTTP."""
        now = self.server.simulator.clock.now().timestamp()
        return super().date_time_string(now if timestamp is None else timestamp)

    def _drip(self, head: bytes, body: bytes, seconds: float) -> None:
        self.wfile.write(head)
        size = max(1, -(-len(body) // _DRIPS))
        for start in range(0, len(body), size):
            self.server.stopping.wait(seconds / _DRIPS)
            self.wfile.write(body[start : start + size])

    def _reset(self) -> None:
        """Break the connection so that the other side sees a reset and not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is given by http.server
        """Write nothing."""
