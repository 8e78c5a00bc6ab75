"""Serving the app: the port, one process or several workers, an orderly end."""

import functools
import gc
import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from meta_insights_pipeline.logs import log_to_stderr
from meta_insights_pipeline.read_api.access.control import access_control
from meta_insights_pipeline.read_api.access.startup import token_warning
from meta_insights_pipeline.read_api.app import create_app
from meta_insights_pipeline.read_api.metrics import SHARED_FOLDER_VARIABLE
from meta_insights_pipeline.read_api.routes import routers
from meta_insights_pipeline.settings import Settings

# Of the 10 s that are promised: what is cancelled then is told so, files are closed, workers are waited for.
_STOP_SECONDS = 8
_KEEP_ALIVE_SECONDS = 30
# A worker says nothing while it loads the program; taken for dead then, on a machine that is busy none would ever start.
_WORKER_SILENT_SECONDS = 30
_BACKLOG = 2048

log = logging.getLogger(__name__)


class ServeError(Exception):
    """The server cannot start as it was asked to; one sentence with the remedy."""


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    announce: Callable[[str], None],
    workers: int = 1,
    is_open: bool = False,
) -> None:
    """Answer until Ctrl-C or SIGTERM; what is being answered then is finished, for 10 s at most.

    Args:
        settings: The settings.
        host: Address or name to listen on.
        port: Port; 0 takes a free one.
        announce: Told where the server listens and whom it answers, before it does.
        workers: Processes that share the port.
        is_open: Whether requests without credentials are answered; in stub mode on loopback alone.

    Raises:
        ServeError: It would be open to whom it should not, or the port cannot be had.
        AccessFileError: The file of the keys cannot be used.
        SettingsError: The settings META_INSIGHTS_JWT_* cannot be used.
    """
    verdict = access_control(settings, host=host, is_open_asked=is_open).verdict
    if not verdict.is_allowed:
        raise ServeError(verdict.sentence)
    with (
        _listening(host, port) as listener,
        _ends_quietly(),
        _counted_together(settings.home, workers) as counted_in,
    ):
        announce(f"Read API on {_url(listener)} (Ctrl-C ends it). {verdict.sentence}")
        if warning := token_warning(settings):
            log.warning("%s", warning)
        make_app = functools.partial(app_of_process, settings, host, is_open=is_open, counted_in=counted_in)
        config = uvicorn.Config(
            make_app,
            factory=True,
            workers=workers,
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            timeout_worker_healthcheck=_WORKER_SILENT_SECONDS,
            lifespan="on",
        )
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            Multiprocess(config, sockets=[listener]).run()


def app_of_process(settings: Settings, host: str, *, is_open: bool, counted_in: Path | None = None) -> FastAPI:
    """The app of one process, with the log set up that the process writes."""
    log_to_stderr(logging.INFO)
    # Its lines are told by the app's own log; what it says of errors holds the traceback.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    access = access_control(settings, host=host, is_open_asked=is_open, counted_in=counted_in)
    app = create_app(settings, access, routers())
    # What is there now stays: looking through it again and again for garbage takes 0.1 s at a time.
    gc.collect()
    gc.freeze()
    return app


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(
            f"--host {host} cannot be used ({error.strerror or error}); use an address of this machine."
        ) from None
    with listener:
        # A port whose last user has just gone is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            # At once, so that a second server on the port is told so too.
            listener.listen(_BACKLOG)
        except OSError as error:
            raise ServeError(
                f"Port {port} of {host} cannot be used ({error.strerror or error}); end the program that has it, or choose "
                "another with --port."
            ) from None
        listener.set_inheritable(True)
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _ends_quietly() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block: uvicorn stops in order, and then hands the signal on as it came."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _counted_together(home: Path, workers: int) -> Iterator[Path | None]:
    """Where workers add up their metrics, whichever of them is asked for these, and a file for what they count of requests."""
    if workers == 1:
        yield None
        return
    folder = (home / "tmp" / f"api-metrics-{os.getpid()}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[SHARED_FOLDER_VARIABLE] = str(folder)
    try:
        yield folder / "requests"
    finally:
        del os.environ[SHARED_FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)
