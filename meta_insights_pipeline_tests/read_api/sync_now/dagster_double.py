"""Dagster's GraphQL as far as the read API uses it, over HTTP: takes launches, and tells of runs what a test puts down."""

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class DagsterDouble:
    """Keeps runs in memory."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.launches: list[dict[str, Any]] = []
        self.url = ""
        self.seconds = 0.0
        """That each launch takes."""
        self.refusal: dict[str, Any] | None = None
        """What a launch is answered instead."""
        self.queue_served_at: float | None = time.time()
        """When the daemon that starts queued runs last gave a sign of life."""

    def add_run(self, status: str = "STARTED", accounts: list[str] | None = None, **values: Any) -> str:
        """A run that somebody else has launched."""
        run_id = str(uuid.uuid4())
        self.runs[run_id] = {
            "__typename": "Run",
            "runId": run_id,
            "status": status,
            "jobName": "sync_insights",
            "creationTime": time.time(),
            "startTime": None if status in ("QUEUED", "NOT_STARTED") else time.time(),
            "endTime": None,
            "runConfig": {"ops": {"insights": {"config": {"accounts": accounts or []}}}},
            "tags": [],
            "assetSelection": None,
            "stats": {"stepsSucceeded": int(status == "SUCCESS"), "stepsFailed": int(status == "FAILURE")},
            "events": [],
            **values,
        }
        return run_id

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """What a query is answered."""
        if "launchRun" in query:
            return {"launchRun": self._launch(variables["params"])}
        if "runsOrError" in query:
            wanted = {(tag["key"], tag["value"]) for tag in variables["filter"]["tags"]}
            found = [
                run
                for run in self.runs.values()
                if run["status"] in variables["filter"]["statuses"]
                and wanted <= {(tag["key"], tag["value"]) for tag in run["tags"]}
            ]
            return {"runsOrError": {"__typename": "Runs", "results": found}}
        if "daemonHealth" in query:
            return {"instance": {"daemonHealth": {"daemonStatus": {"lastHeartbeatTime": self.queue_served_at}}}}
        run = self.runs.get(variables["id"])
        if run is None:
            return {"runOrError": {"__typename": "RunNotFoundError"}}
        return {"runOrError": {**run, "eventConnection": {"events": run["events"]}}}

    def _launch(self, params: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self.seconds)
        if self.refusal is not None:
            return self.refusal
        self.launches.append(params)
        config = params["runConfigData"]["ops"]["insights"]["config"]
        run_id = self.add_run("QUEUED", config["accounts"], tags=params["executionMetadata"]["tags"])
        return {"__typename": "LaunchRunSuccess", "run": {"runId": run_id}}


@contextmanager
def dagster_that_hangs() -> Iterator[str]:
    """The address of one that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            # Closing alone does not wake who waits for the next one.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


@contextmanager
def dagster_double() -> Iterator[DagsterDouble]:
    """One on a free port."""
    double = DagsterDouble()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"data": double.answer(asked["query"], asked["variables"])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        double.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
