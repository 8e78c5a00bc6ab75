"""`meta-insights up`: the first load, Dagster's processes, the read API, and an orderly end.

The processes are those of a Dagster deployment (code server, webserver, daemon) and the read API, started side by side while
the data loads.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Self

import requests

from meta_insights_pipeline.instance.home import make_databases, prepare_dagster_home
from meta_insights_pipeline.manual_sync import DaysWanted, ManualSyncError, run_manual_sync
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings, SettingsError
from meta_insights_pipeline.sources import open_graph_api
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError

_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_STOP_SECONDS = 15.0
LOCATION = "meta_insights_pipeline"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class UpError(Exception):
    """Something that `up` needs cannot be had; the message says what to do."""


class PortTakenError(UpError):
    """A port cannot be used."""


@dataclass(frozen=True)
class Ports:
    """Where `up` serves, on this machine alone."""

    dagster: int
    """Of the UI."""
    api: int
    """Of the read API."""


@dataclass(frozen=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        """The last line that it wrote, for an error message."""
        lines = self.log.read_text("utf-8", errors="replace").strip().splitlines()
        return _COLOURS.sub("", lines[-1]).strip() if lines else "no output"


def run_up(settings: Settings, *, days: int, ports: Ports | None) -> int:
    """Load the last days and keep the UI and the read API running until Ctrl-C.

    Args:
        settings: Stub or live.
        days: Days to load, today included.
        ports: Where to serve; None loads the data and ends.

    Returns:
        The exit code: 0 after Ctrl-C, 1 when there is no UI and the load failed.

    Raises:
        UpError: A port is taken, the folder cannot be written, a process ended by itself.
        SettingsError: Live mode without a token.
    """
    if settings.mode == "live":
        open_graph_api(settings).close()
    if ports is not None:
        _check_ports(ports)
    try:
        Warehouse(settings.warehouse_path, settings.home / "tmp").check_writable()
    except WarehouseError as error:
        raise UpError(str(error)) from None
    home = prepare_dagster_home(settings)
    if ports is None:
        return 0 if _load(settings, days) else 1
    make_databases(home)
    with _stopped_by_signal() as stop, _Children(settings.home / "logs") as children:
        code_port = _free_port()
        workspace = home / "workspace.yaml"
        workspace.write_text(
            f"load_from:\n  - grpc_server: {{host: {_HOST}, port: {code_port}, location_name: {LOCATION}}}\n", "utf-8"
        )
        children.start("code-server", _code_server(code_port))
        children.start("webserver", _webserver(ports.dagster, workspace))
        # While nothing is published it answers that it is not ready.
        children.start("read-api", _read_api(settings, ports.api), _read_api_variables(settings, ports))
        loaded = _load(settings, days)
        _wait_for(children, stop, "Dagster's UI", lambda: _location_is_loaded(ports.dagster))
        _wait_for(children, stop, "The read API", lambda: _is_served(ports.api))
        if not stop.is_set():
            # Not before: a daemon that finds no code server looks again only after a minute, and a tick would be lost.
            children.start("daemon", [_binary("dagster-daemon"), "run", "--workspace", str(workspace)])
            _announce(settings, ports, loaded)
        while not stop.wait(0.5):
            children.check()
    print("Stopped.")
    return 0


def _binary(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _code_server(port: int) -> list[str]:
    module = ("--module-name", "meta_insights_pipeline.definitions", "--location-name", LOCATION)
    return [_binary("dagster"), "api", "grpc", "--host", _HOST, "--port", str(port), *module]


def _webserver(port: int, workspace: Path) -> list[str]:
    where = ("--host", _HOST, "--port", str(port), "--workspace", str(workspace))
    return [_binary("dagster-webserver"), *where, "--code-server-log-level", "warning"]


def _read_api(settings: Settings, port: int) -> list[str]:
    # Simulated rows need no key, and whoever tries the pipeline has none yet.
    is_open = ("--open",) if settings.mode == "stub" else ()
    return [_binary("meta-insights"), "serve", "--host", _HOST, "--port", str(port), *is_open]


def _read_api_variables(settings: Settings, ports: Ports) -> dict[str, str]:
    variables = {"META_INSIGHTS_DAGSTER_URL": f"http://{_HOST}:{ports.dagster}"}
    # Somebody who has put a proxy before it has said so.
    if "api_url" not in settings.model_fields_set:
        variables["META_INSIGHTS_API_URL"] = f"http://{_HOST}:{ports.api}"
    return variables


def _load(settings: Settings, days: int) -> Receipt | None:
    where = "a simulated world (stub mode)" if settings.mode == "stub" else settings.graph_api_url
    print(f"Loading the last {days} days from {where} ...", flush=True)
    try:
        receipt = run_manual_sync(settings, DaysWanted(days_back=days - 1))
    except (ManualSyncError, SettingsError) as error:
        partial = error.receipt if isinstance(error, ManualSyncError) else None
        if partial is None or not partial.published:
            print(f"meta-insights: the load failed: {error}", file=sys.stderr, flush=True)
            return None
        print(f"meta-insights: {error}", file=sys.stderr, flush=True)
        receipt = partial
    seconds = (datetime.now(UTC) - receipt.started_at).total_seconds()
    rows = ", ".join(f"{receipt.tables[f'{level}_insights'].read:,} {level}" for level in receipt.levels)
    print(f"Loaded {rows} rows of {len(receipt.accounts)} ad accounts in {seconds:.1f} s.", flush=True)
    return receipt


def _announce(settings: Settings, ports: Ports, loaded: Receipt | None) -> None:
    snapshot = settings.snapshot_path.resolve()
    key = "no key needed" if settings.mode == "stub" else "needs a key: meta-insights keys create"
    print()
    print(f"  Dagster UI   http://{_HOST}:{ports.dagster}/asset-groups")
    print(f"  Read API     http://{_HOST}:{ports.api}/docs ({key})")
    if loaded is not None or snapshot.exists():
        print(f"  Data         {snapshot}")
        query = f"duckdb.connect('{_shown(snapshot)}', read_only=True).sql('FROM campaign_insights').show()"
        print(f'  Look at it   {_shown(Path(sys.executable))} -c "import duckdb; {query}"')
    print("  Refresh      today and yesterday, every 30 minutes")
    print(f"  Logs         {(settings.home / 'logs').resolve()}")
    print()
    print("Ctrl-C stops everything.", flush=True)


def _shown(path: Path) -> str:
    """A path as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


class _Children:
    """Dagster's processes and the read API, ended in order when the block ends."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_error: object) -> None:
        for child in reversed(self._children):
            with suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for child in reversed(self._children):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def start(self, name: str, command: list[str], variables: Mapping[str, str] | None = None) -> None:
        """Start a process whose output goes to a log of its own; it has this one's environment, and these variables."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            # A session of its own: Ctrl-C comes to this process alone, which then ends the others in order.
            process = subprocess.Popen(
                command,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(_Child(name, process, log))

    def check(self) -> None:
        """See that all are alive.

        Raises:
            UpError: One has ended by itself.
        """
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise UpError(f"The {child.name} ended with code {code}: {child.tail()} See {child.log}.")


def _wait_for(children: _Children, stop: threading.Event, what: str, is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not stop.is_set():
        children.check()
        with suppress(requests.RequestException):
            if is_there():
                return
        if time.monotonic() > deadline:
            raise UpError(f"{what} did not come up within {_START_SECONDS:.0f} s; see the logs beside the data.")
        stop.wait(0.1)


def _is_served(port: int) -> bool:
    return requests.get(f"http://{_HOST}:{port}/healthz", timeout=5).ok


def _location_is_loaded(port: int) -> bool:
    query = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError { __typename } } } } }"
    answer = requests.post(f"http://{_HOST}:{port}/graphql", json={"query": query}, timeout=5).json()
    entries = answer["data"]["workspaceOrError"].get("locationEntries", [])
    return bool(entries) and all(
        entry["loadStatus"] == "LOADED"
        and (entry["locationOrLoadError"] or {}).get("__typename") == "RepositoryLocation"
        for entry in entries
    )


def _check_ports(ports: Ports) -> None:
    if ports.dagster == ports.api:
        raise PortTakenError(f"--dagster-port and --api-port are both {ports.api}; choose two different ones.")
    _check_port(ports.dagster, "--dagster-port")
    _check_port(ports.api, "--api-port")


def _check_port(port: int, option: str) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        # As the webserver does: a port whose last user has just gone is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise PortTakenError(
                f"Port {port} cannot be used ({error.strerror}); end the program that has it, or choose another with {option}."
            ) from None


def _free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _stopped_by_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C interrupts at once."""
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
