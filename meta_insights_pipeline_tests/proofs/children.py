"""Syncs in processes of their own, forked from one that has loaded everything and done nothing: cheap enough to be killed."""

import multiprocessing
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import requests

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.sync import SyncRequest, run_sync
from meta_insights_pipeline_tests.proofs.fault_points import Death, FaultPoints, Point

_SECONDS = 120
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Job:
    """A sync, and where its process dies."""

    variables: Mapping[str, Any]
    """The settings."""
    run_id: str
    days: DayRange
    now: datetime
    """The simulator's time; what the sync waits passes there, too."""
    levels: tuple[Level, ...] = tuple(Level)
    entities: bool = True
    """Whether campaigns, ad sets and ads are refreshed."""
    death: Death | None = None
    tick: timedelta = timedelta(0)
    """How long it takes to look at the clock; with none, time stands still even when the sync waits."""


@dataclass(frozen=True)
class Ending:
    """How a process ended."""

    exit_code: int | None
    """Negative: the signal that ended it."""
    receipt: Receipt | None = None
    """None when the sync did not come to its end."""
    error: str = ""
    points: tuple[Point, ...] = ()
    """The fault points that it came to."""

    @property
    def killed(self) -> bool:
        """Whether it was ended from outside."""
        return self.exit_code is not None and self.exit_code < 0


class Child:
    """A process with a sync."""

    def __init__(self, job: Job) -> None:
        """Start it."""
        self._ours, theirs = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_work, args=(job, theirs))
        self._process.start()
        theirs.close()

    def end(self) -> Ending:
        """Wait for its end."""
        receipt, error, points = "", "", ()
        with suppress(EOFError), closing(self._ours):
            if not self._ours.poll(_SECONDS):
                self._process.kill()
                raise AssertionError(f"the process has not ended in {_SECONDS} s")
            receipt, error, points = self._ours.recv()
        self._process.join()
        code = self._process.exitcode
        self._process.close()
        return Ending(code, Receipt.model_validate_json(receipt) if receipt else None, error, points)


def run_child(job: Job) -> Ending:
    """A sync in a process of its own, from its beginning to its end."""
    return Child(job).end()


class _DistantClock:
    """The time of a simulator in another process; with a tick it passes at every look, and there when somebody waits."""

    def __init__(self, url: str, now: datetime, tick: timedelta) -> None:
        self._url = url
        self._now = now
        self._tick = tick

    def now(self) -> datetime:
        """The present."""
        self._now += self._tick
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let the time pass, here and there."""
        if self._tick and seconds > 0:
            self._now += timedelta(seconds=seconds)
            answer = requests.post(f"{self._url}/_simulator/clock", json={"advance_seconds": seconds}, timeout=10)
            answer.raise_for_status()


def _work(job: Job, pipe: Connection) -> None:
    settings = Settings(_env_file=None, **job.variables)
    request = SyncRequest(
        job.run_id,
        job.days,
        reports_of_levels(job.levels),
        entities_every=timedelta(0) if job.entities else None,
    )
    points = FaultPoints(job.death)
    points.install()
    receipt, error = "", ""
    try:
        outcome = run_sync(settings, request, clock=_DistantClock(settings.graph_api_url, job.now, job.tick))
        receipt = Path(outcome.receipt_file).read_text("utf-8")
    except Exception as problem:  # noqa: BLE001 - whatever it is, the test must hear of it
        error = f"{type(problem).__name__}: {problem}"
    pipe.send((receipt, error, tuple(points.points)))
    pipe.close()
