"""Telling how far a sync has come, at most every other second: its reports, and then its entities."""

import json
import logging
import math
import threading
import time
from contextlib import suppress
from pathlib import Path

from meta_insights_pipeline.graph_api.meter import CallMeter

log = logging.getLogger(__name__)

_EVERY = 2.0
PROGRESS_FILE = "progress.json"
"""In the working folder of a sync that is going on, for whoever wants to know how far it is."""


class Progress:
    """Counts the reports of one sync; what is split into parts counts by its share of the rows or days."""

    def __init__(self, reports: int, accounts: int, meter: CallMeter, folder: Path) -> None:
        """Begin to count.

        Args:
            reports: To ask for.
            accounts: Whose reports they are.
            meter: Of the session that makes the calls.
            folder: For `PROGRESS_FILE`; it must exist.
        """
        self._file = folder / PROGRESS_FILE
        self._reports = reports
        self._accounts = accounts
        self._meter = meter
        self._came = self._missed = self._rows = 0
        self._told = -math.inf

    def came(self, rows: int) -> None:
        """A report, or a part of one, has come."""
        self._came += 1
        self._rows += rows
        self._tell()

    def missed(self) -> None:
        """One could not be had."""
        self._missed += 1
        self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        done = self._came + self._missed
        if now - self._told < _EVERY and done < self._reports:
            return
        self._told = now
        counts = self._meter.counts()
        usage = f", fullest budget {counts.highest_usage_percent:.0f} %" if counts.highest_usage_percent else ""
        missed = f", {self._missed} missing" if self._missed else ""
        log.info(
            "%d of %d reports of %d accounts%s, %s rows, %d calls%s",
            done,
            max(done, self._reports),
            self._accounts,
            missed,
            f"{self._rows:,}",
            counts.total,
            usage,
        )
        told = {
            "reports_done": done,
            "reports_total": max(done, self._reports),
            "rows": self._rows,
            "calls": counts.total,
        }
        # Nobody's numbers depend on it.
        with suppress(OSError):
            draft = self._file.with_suffix(".draft")
            draft.write_text(json.dumps(told), "utf-8")
            draft.replace(self._file)


class EntityProgress:
    """Counts the accounts whose campaigns, ad sets and ads are refreshed; safe for threads."""

    def __init__(self, accounts: int, meter: CallMeter) -> None:
        """Begin to count, and say so: the first account may take a while.

        Args:
            accounts: To refresh.
            meter: Of the session that makes the calls.
        """
        self._accounts = accounts
        self._meter = meter
        self._done = 0
        self._lock = threading.Lock()
        self._told = time.monotonic()
        if accounts:
            log.info("campaigns, ad sets and ads of %d accounts are refreshed", accounts)

    def came(self) -> None:
        """An account is done, or could not be had."""
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if now - self._told < _EVERY and self._done < self._accounts:
                return
            self._told = now
            done = self._done
        log.info("entities of %d of %d accounts, %d calls", done, self._accounts, self._meter.counts().total)
