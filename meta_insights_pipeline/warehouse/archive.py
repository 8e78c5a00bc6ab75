"""The archive: what Meta answered, kept below one folder by account, report and day of asking.

    act_<account id>/<report>/<asked for>_<first day>_<last day>_<merged>_<run>.zst
    act_<account id>/<report>.by_id/<asked for>_<first day>_<last day>_<merged>_<run>.zst
    act_<account id>/entities/<asked for>_<merged>_<run>.zst

A file comes in two steps, since no transaction spans it and the warehouse. Before the merge it is written below `.pending`;
after the merge it gets its name. A process that ends between the two leaves it there, and whoever comes next settles it: the
warehouse tells whether it was merged.

Belongs here: places and names, coming in, going out. Does not belong here: what the files hold.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from filelock import FileLock

from meta_insights_pipeline.warehouse.archive_files import flush_to_disk
from meta_insights_pipeline.warehouse.archive_names import (
    SUFFIX,
    MergedName,
    Question,
    by_id,
    is_by_id,
    moment_text,
    read_merged,
    read_question,
    superfluous,
)
from meta_insights_pipeline.warehouse.history import KEEP_ALL_DAYS, THIN_EVERY

log = logging.getLogger(__name__)

ENTITIES = "entities"
"""In place of a report's name: the refreshes of campaigns, ad sets, ads and creatives."""
_PENDING = ".pending"
_MERGED = "merged"
_NOTE = "thinned.json"


@dataclass(frozen=True)
class ArchivedFile:
    """A file of which the content was merged."""

    path: Path
    account_id: str
    report: str
    """Name of a report, the same `by_id`, or `ENTITIES`."""
    name: MergedName


@dataclass(frozen=True)
class PendingFile:
    """A file of which it is not known whether the content was merged."""

    path: Path
    account_id: str
    report: str
    question: Question


class Intake:
    """The files of one transaction on their way in."""

    def __init__(self, archive: Path, run_id: str, number: int) -> None:
        """Name the place; nothing is made yet.

        Args:
            archive: The archive's folder.
            run_id: The run that merges.
            number: Tells the transactions of a run apart.
        """
        self.run_id = run_id
        self._archive = archive
        self._folder = archive / _PENDING / run_id / str(number)

    def add(self, account_id: str, report: str, question: Question, write: Callable[[Path], None]) -> None:
        """Write a file; one with the same bytes as the last answer to the same question takes no space of its own.

        Args:
            account_id: Without the prefix act_.
            report: Name of a report, the same `by_id`, or `ENTITIES`.
            question: What was asked and when.
            write: Writes the content to a path.

        Raises:
            OSError: It cannot be written; nothing is left of it.
        """
        file = self._place(self._folder, account_id, report) / question.file_name
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(file)
            if not self._share(file, self._last(account_id, report, question)):
                flush_to_disk(file)
        except OSError:
            file.unlink(missing_ok=True)
            raise

    def files(self) -> list[PendingFile]:
        """What was written and has not got its name yet."""
        found = []
        for path in self._folder.glob(f"act_*/*/*{SUFFIX}"):
            question = read_question(path.name)
            if question is not None:
                account_id = path.parent.parent.name.removeprefix("act_")
                found.append(PendingFile(path, account_id, path.parent.name, question))
        return found

    def drop(self, files: Iterable[PendingFile]) -> None:
        """Forget files that are not merged."""
        for file in files:
            file.path.unlink(missing_ok=True)

    def mark_merged(self, moment: datetime) -> None:
        """Note that everything that is there was merged; call while the warehouse is locked, after the transaction's end.

        Raises:
            OSError: It cannot be written; the warehouse tells the same.
        """
        if not self._folder.is_dir():
            return
        draft = self._folder / f"{_MERGED}.draft"
        draft.write_text(moment_text(moment), "utf-8")
        draft.replace(self._folder / _MERGED)

    @property
    def merged_at(self) -> datetime | None:
        """The moment that was noted; None when it is not known whether anything was merged."""
        try:
            text = (self._folder / _MERGED).read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        name = read_question(f"{text}{SUFFIX}")
        return name.collected_at if name else None

    def settle(self, merged_at: datetime) -> None:
        """Give every file its name. Whatever is interrupted can be done again, also by two processes at once.

        Raises:
            OSError: A file cannot be renamed; it stays for the next time.
        """
        for file in self.files():
            folder = self._place(self._archive, file.account_id, file.report)
            folder.mkdir(parents=True, exist_ok=True)
            # Another process may have settled it this moment.
            with suppress(FileNotFoundError):
                file.path.rename(folder / file.question.merged_name(merged_at, self.run_id))
        self.forget()

    def forget(self) -> None:
        """Remove what is left of the place, files that were not merged too."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            self._folder.parent.rmdir()

    def _last(self, account_id: str, report: str, question: Question) -> Path | None:
        """The last answer to the same question."""
        folder = self._place(self._archive, account_id, report)
        middle = f"{question.days_text}_"
        start = len(moment_text(question.collected_at))
        with suppress(FileNotFoundError):
            names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(middle, start)]
            return folder / max(names) if names else None
        return None

    def _share(self, file: Path, last: Path | None) -> bool:
        """Make a file a second name of another one if their bytes are the same; whether they are."""
        try:
            if last is None or last.stat().st_size != file.stat().st_size or last.read_bytes() != file.read_bytes():
                return False
            twin = file.with_suffix(".twin")
            twin.hardlink_to(last)
        except OSError:
            # It was removed this moment, or the file system has no second names.
            return False
        twin.replace(file)
        return True

    @staticmethod
    def _place(folder: Path, account_id: str, report: str) -> Path:
        return folder / f"act_{account_id}" / report


class Archive:
    """The archive of one mode."""

    def __init__(self, folder: Path, history_days: int = KEEP_ALL_DAYS) -> None:
        """Name the folder; nothing is made yet.

        Args:
            folder: Where it lies.
            history_days: Of how many days the warehouse keeps every version.
        """
        self._folder = folder
        # The warehouse thins what is older when next a day has passed; not before then may its page go.
        self._thin_after = timedelta(days=history_days) + THIN_EVERY

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._folder

    def lock(self) -> FileLock:
        """Held by whoever must find everything in its place, or puts things out of it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self._folder / ".lock")

    def intake(self, run_id: str, number: int = 0) -> Intake:
        """The place for the files of a transaction."""
        return Intake(self._folder, run_id, number)

    def unsettled(self) -> list[Intake]:
        """The places of all transactions that have begun, ended or not, and of which files have no names yet."""
        return [
            Intake(self._folder, entry.parent.name, int(entry.name))
            for entry in sorted((self._folder / _PENDING).glob("*/*"))
            if entry.name.isdecimal()
        ]

    def sweep(self, is_alive: Callable[[str], bool]) -> None:
        """Remove the empty folders of runs that ended just before they would have done so themselves."""
        for folder in (self._folder / _PENDING).glob("*"):
            if not is_alive(folder.name):
                # One that is not empty is left to whoever settles it.
                with suppress(OSError):
                    folder.rmdir()

    def files(self) -> Iterator[ArchivedFile | Path]:
        """Every file whose content was merged, in no order; a path is a file of which the name tells nothing."""
        for folder in self._report_folders():
            account_id, report = folder.parent.name.removeprefix("act_"), folder.name
            for name in _names(folder):
                merged = read_merged(name)
                yield folder / name if merged is None else ArchivedFile(folder / name, account_id, report, merged)

    @property
    def thinned_before(self) -> date | None:
        """Of what was asked for before this day (UTC), only the last answers of each day are there; None when all are."""
        try:
            return date.fromisoformat(json.loads((self._folder / _NOTE).read_text("utf-8"))["before"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_thinning_due(self, now: datetime) -> bool:
        """Whether a day (UTC) has become old enough since the last time."""
        last = self.thinned_before
        return self._folder.is_dir() and (last is None or last < (now - self._thin_after).date())

    def thin(self, now: datetime, keep_days: int) -> int:
        """Remove what is too old, and of older days what no day's end shows; call while the archive is locked.

        Args:
            now: The moment (UTC) from which days are counted back.
            keep_days: What was asked for earlier is removed.

        Returns:
            How many files were removed.
        """
        oldest, done = (now - timedelta(days=keep_days)).date(), self.thinned_before
        # What was thinned when fewer days were kept whole stays so.
        before = (now - self._thin_after).date()
        before = max(before, done) if done else before
        removed = 0
        for folder in self._report_folders():
            names = sorted(_names(folder))
            needless = [name for name in names if name[:10] < oldest.isoformat() and read_merged(name)]
            if folder.name != ENTITIES and not is_by_id(folder.name):
                nodes = _names(folder.with_name(by_id(folder.name)))
                needless += _needless(names, nodes, max(done or oldest, oldest), before)
            for name in needless:
                (folder / name).unlink(missing_ok=True)
            removed += len(needless)
        self._note(before)
        return removed

    def _note(self, before: date) -> None:
        draft = self._folder / f"{_NOTE}.draft"
        draft.write_text(json.dumps({"before": before.isoformat()}) + "\n", "utf-8")
        draft.replace(self._folder / _NOTE)

    def _report_folders(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("act_*/*") if path.is_dir())


def _names(folder: Path) -> list[str]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.name.endswith(SUFFIX)]
    return []


def _needless(names: Iterable[str], nodes: Iterable[str], since: date, before: date) -> list[str]:
    """Of the files of a report, those that were asked for from one day until before another and that no day's end shows."""

    def within(some: Iterable[str]) -> dict[MergedName, str]:
        inside = (name for name in some if since.isoformat() <= name[:10] < before.isoformat())
        return {each: name for name in inside if (each := read_merged(name))}

    merged = within(names)
    return [merged[each] for each in superfluous(merged, within(nodes))]
