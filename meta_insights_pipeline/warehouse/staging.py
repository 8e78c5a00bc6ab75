"""Reading the pages of slices into typed Parquet files; nothing of the warehouse is touched.

Small slices of a report are read together, since a statement costs more than their rows; a large one is read by itself, some
pages at a time. Files, and not tables, since DuckDB keeps a table that was dropped inside a transaction in memory until its
end.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import count
from pathlib import Path

import duckdb

from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.warehouse.field_parts import Given, given_fields, joined_query, parts_by_field
from meta_insights_pipeline.warehouse.pages import (
    PART,
    SLICE,
    SLICES,
    Page,
    UnreadablePageError,
    actions_query,
    count_keys_read,
    facts_query,
    forget_pages,
    part_rows_query,
    read_pages,
    telling_unreadable,
    wrong_rows,
)
from meta_insights_pipeline.warehouse.schema import ACTIONS_KEY
from meta_insights_pipeline.warehouse.sql import literal, parquet
from meta_insights_pipeline.warehouse.unknown_parts import PartSorter, Sighting, count_keys

# Bytes of pages that are read together: enough to keep both readers busy, few enough for a small memory.
BYTES_AT_ONCE = 8_000_000
# Pages that are read together, since each is a file to open.
PAGES_AT_ONCE = 2_000
# Numbers are never given twice in a process, so that what several stagings have made can be merged together.
_NUMBERS = count(1)


@dataclass(frozen=True)
class PageFile:
    """A page on disk."""

    path: Path
    """A JSON array of rows, as Meta wrote them."""
    fields: tuple[str, ...] | None = None
    """The report's fields that were asked for in this request, named as in `Report.fields`; None: all."""


@dataclass(frozen=True)
class Slice:
    """What a set of pages answers: one report of one account over a range of days."""

    report: Report
    account_id: str
    since: date
    until: date
    collected_at: datetime
    """When (UTC) the answer was true: the moment before it was asked for."""
    withheld: tuple[str, ...] = ()
    """Names of the report's fields that Meta would not give for these rows; stored as NULL, never as 0."""

    def __str__(self) -> str:
        """For messages."""
        return f"{self.report.name} of account {self.account_id}, {self.since} to {self.until}"


def slices_table(slices: Iterable[tuple[int, Slice]]) -> str:
    """Slices and their numbers as a table expression `(slice, account_id, since, until, collected_at)`."""
    rows = ", ".join(
        f"({number}, {literal(part.account_id)}, {literal(part.since)}, {literal(part.until)}, {literal(part.collected_at)})"
        for number, part in slices
    )
    return f"(VALUES {rows}) AS v({SLICE}, account_id, since, until, collected_at)"


class StagingError(Exception):
    """Pages of a slice hold something that cannot be a row of its report; the message says what."""

    def __init__(self, part: Slice, reason: str) -> None:
        super().__init__(f"{part}: {reason}")
        self.part = part


@dataclass(frozen=True)
class RowFiles:
    """Typed rows of some slices of one report, in Parquet files, each row with the number of its slice.

    Rows of slices that failed may be among them, and are never to be stored.
    """

    facts: tuple[Path, ...] = ()
    actions: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Staged:
    """A slice as typed rows."""

    part: Slice
    number: int
    """Marks its rows in the files."""
    files: RowFiles
    """Shared with the slices that were read together with it."""
    rows: int
    repeats: int = 0
    """Rows that came on two pages; one of each was kept."""
    sightings: tuple[Sighting, ...] = ()
    """What no column takes: it is in the rows all the same."""


@dataclass(frozen=True)
class _Draft:
    """A slice that is not read yet."""

    number: int
    part: Slice
    pages: tuple[PageFile, ...]
    size: int

    @property
    def givens(self) -> set[Given]:
        """The groups of fields in which it came."""
        report, withheld = self.part.report, self.part.withheld
        return {given_fields(report, asked, withheld) for asked in {page.fields for page in self.pages}}

    @property
    def is_whole(self) -> bool:
        """Whether every page has all fields."""
        return self.givens <= {self.part.report.fields}


@dataclass
class _Pool:
    """Slices of one report that wait to be read together."""

    drafts: list[_Draft] = field(default_factory=list)
    size: int = 0
    pages: int = 0

    def add(self, draft: _Draft) -> None:
        self.drafts.append(draft)
        self.size += draft.size
        self.pages += len(draft.pages)

    def has_room_for(self, draft: _Draft) -> bool:
        return self.size + draft.size <= BYTES_AT_ONCE and self.pages + len(draft.pages) <= PAGES_AT_ONCE

    @property
    def is_full(self) -> bool:
        return self.size >= BYTES_AT_ONCE or self.pages >= PAGES_AT_ONCE


class Staging:
    """Reads slices with an in-memory database of its own, as soon as there are enough of them to be worth it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Name the folder into which the typed rows go; it must exist."""
        # A second thread takes 40 MB more, and is no quicker: it waits for the first one, or for the processor.
        connection.execute("SET threads = 1")
        self._connection = connection
        self._folder = folder
        self._files = 0
        self._drafts: list[_Draft] = []
        self._pools: dict[tuple[str, bool], _Pool] = {}
        self._outcomes: dict[int, Staged | StagingError] = {}
        self._odd: set[str] = set()
        """Reports of which the last pages held what no column takes, and so will the next ones."""

    def add(self, part: Slice, pages: Sequence[PageFile]) -> None:
        """Take a slice of which all pages have come; they must stay in place until everything is finished."""
        draft = _Draft(next(_NUMBERS), part, tuple(pages), sum(page.path.stat().st_size for page in pages))
        self._drafts.append(draft)
        name = (part.report.name, draft.is_whole)
        if name in self._pools and not self._pools[name].has_room_for(draft):
            self._read_pool(name)
        pool = self._pools.setdefault(name, _Pool())
        pool.add(draft)
        if pool.is_full:
            self._read_pool(name)

    def finish(self) -> list[Staged | StagingError]:
        """Read what is left; call once.

        Returns:
            What became of each slice, in the order in which they were added. Pages that cannot be read, and rows that were
            not asked for, are the failure of their own slice alone.
        """
        for name in list(self._pools):
            self._read_pool(name)
        return [self._outcomes[draft.number] for draft in self._drafts]

    def _read_pool(self, name: tuple[str, bool]) -> None:
        drafts, report = self._pools.pop(name).drafts, name[0]
        self._stage(drafts, sort=report in self._odd)
        outcomes = (self._outcomes[draft.number] for draft in drafts)
        if any(isinstance(outcome, Staged) and outcome.sightings for outcome in outcomes):
            self._odd.add(report)
        else:
            self._odd.discard(report)

    def _stage(self, drafts: Sequence[_Draft], *, sort: bool) -> None:
        """Read slices of one report together; where that fails, in halves, until those that are to blame are alone.

        Whatever no column takes may be too much for the reader: so a slice that is to blame is read once more without it.
        """
        try:
            self._outcomes |= _Batch(self._connection, drafts, self._next_file, sort=sort).read()
        except UnsortedPagesError:
            self._stage(drafts, sort=True)
        except UnreadablePageError as error:
            if len(drafts) > 1:
                middle = len(drafts) // 2
                self._stage(drafts[:middle], sort=sort)
                self._stage(drafts[middle:], sort=sort)
            elif not sort:
                self._stage(drafts, sort=True)
            else:
                (draft,) = drafts
                reason = f"a page cannot be read ({error})."
                self._outcomes[draft.number] = StagingError(draft.part, reason)

    def _next_file(self) -> Path:
        self._files += 1
        return self._folder / f"rows-{self._files:06d}.parquet"


class UnsortedPagesError(Exception):
    """Pages hold what no column takes, or what cannot be told from it, and it has not been set aside."""


class _Batch:
    """Slices of one report that are read together: all of them came whole, or all in parts of their fields."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        drafts: Sequence[_Draft],
        next_file: Callable[[], Path],
        *,
        sort: bool,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            connection: A database of the staging's own.
            drafts: Of one report.
            next_file: Gives a new name for typed rows.
            sort: Whether what no column takes is looked for and set aside before anything is read. Pages are taken to be
                without it otherwise, which is found out when they have been read.
        """
        self._connection = connection
        self._drafts = drafts
        self._next_file = next_file
        self._report = drafts[0].part.report
        self._is_whole = drafts[0].is_whole
        self._givens = sorted({given for draft in drafts for given in draft.givens})
        self._parts = parts_by_field(self._report, self._givens)
        self._sorters = {draft.number: PartSorter(self._report) for draft in drafts} if sort else {}

    def read(self) -> dict[int, Staged | StagingError]:
        """Read all pages; what became of each slice, by its number.

        Raises:
            UnreadablePageError: A page cannot be read; it is not known of which slice.
            UnsortedPagesError: A page holds what no column takes, and was to be read without looking for it.
        """
        self._name_slices()
        facts, actions, problems = self._read_pages()
        key = (SLICE, *self._report.key)
        if self._is_whole:
            facts, repeats = self._distinct(facts, key)
        else:
            facts, repeats = self._distinct(facts, (*key, PART))
            facts = [self._copy(joined_query(self._report, facts, self._parts))] if facts else []
        actions, repeated = self._distinct(actions, (SLICE, *ACTIONS_KEY))
        if repeated.keys() - repeats.keys() and not self._sorters:
            # No row came twice, so it is a list that has a type of action twice.
            raise UnsortedPagesError
        rows = self._by_slice(f"SELECT {SLICE}, count(*) FROM {parquet(facts)} GROUP BY {SLICE}") if facts else {}
        files = RowFiles(tuple(facts), tuple(actions))
        outcomes: dict[int, Staged | StagingError] = {
            each.number: Staged(
                each.part,
                each.number,
                files,
                rows.get(each.number, 0),
                repeats.get(each.number, 0),
                self._sorters[each.number].sightings if self._sorters else (),
            )
            for each in self._drafts
        }
        return outcomes | {
            each.number: StagingError(each.part, problems[each.number])
            for each in self._drafts
            if each.number in problems
        }

    def _name_slices(self) -> None:
        slices = slices_table([(draft.number, draft.part) for draft in self._drafts])
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {SLICES} AS FROM {slices}")

    def _read_pages(self) -> tuple[list[Path], list[Path], dict[int, str]]:
        """Facts, or the values of their parts; actions; and what is wrong with slices, by number."""
        facts: list[Path] = []
        actions: list[Path] = []
        problems: dict[int, str] = {}
        for chunk in self._chunks():
            pages = self._sorted(chunk) if self._sorters else chunk
            with telling_unreadable():
                read_pages(self._connection, self._report, pages)
                problems |= wrong_rows(self._connection, self._report)
                if self._report.action_fields:
                    actions.append(self._copy(actions_query(self._report, None if self._is_whole else self._parts)))
                if not self._sorters:
                    self._check_all_is_read(pages, actions[-1] if self._report.action_fields else None)
                facts.append(self._copy((facts_query if self._is_whole else part_rows_query)(self._report)))
        forget_pages(self._connection)
        return facts, actions, problems

    def _check_all_is_read(self, pages: Sequence[Page], actions: Path | None) -> None:
        if sum(count_keys(page.path) for page in pages) != count_keys_read(self._connection, self._report, actions):
            raise UnsortedPagesError

    def _sorted(self, pages: Sequence[Page]) -> list[Page]:
        """The pages with what no column takes set aside."""
        return [
            replace(page, path=self._sorters[page.slice].sort(page.path, self._next_file().with_suffix(".json")))
            for page in pages
        ]

    def _chunks(self) -> Iterator[list[Page]]:
        """The pages, as many at a time as are read together."""
        chunk: list[Page] = []
        size = 0
        for draft in self._drafts:
            for page in draft.pages:
                given = given_fields(self._report, page.fields, draft.part.withheld)
                chunk.append(Page(page.path, draft.number, self._givens.index(given)))
                size += page.path.stat().st_size
                if size >= BYTES_AT_ONCE or len(chunk) >= PAGES_AT_ONCE:
                    yield chunk
                    chunk, size = [], 0
        if chunk:
            yield chunk

    def _distinct(self, files: list[Path], key: Sequence[str]) -> tuple[list[Path], dict[int, int]]:
        """One row a key, and how many more there were, by number of the slice."""
        if not files:
            return files, {}
        rows, names = parquet(files), ", ".join(key)
        # Hashes are several times quicker to count than keys of text; equal hashes are only a reason to look closer.
        hashes = self._connection.execute(f"SELECT count(*) - count(DISTINCT hash({names})) FROM {rows}").fetchone()
        if hashes == (0,):
            return files, {}
        repeats = self._by_slice(
            f"SELECT {SLICE}, sum(n - 1)::BIGINT FROM (SELECT {names}, count(*) AS n FROM {rows} GROUP BY {names} HAVING n > 1) "
            f"GROUP BY {SLICE}"
        )
        return [self._copy(f"SELECT * FROM {rows} QUALIFY row_number() OVER (PARTITION BY {names}) = 1")], repeats

    def _by_slice(self, statement: str) -> dict[int, int]:
        return dict(self._connection.execute(statement).fetchall())

    def _copy(self, query: str) -> Path:
        file = self._next_file()
        self._connection.execute(f"COPY ({query}) TO {literal(file)} (FORMAT parquet, COMPRESSION lz4_raw)")
        return file
