"""Pages of insights in the archive: what is written down of them, and reading them as the reports of today have it.

A page is kept as Meta wrote it. What it is read into is decided when it is read: a field that the catalogue did not know when the
page came is in it all the same, if Meta sent it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.warehouse.archive import ArchivedFile
from meta_insights_pipeline.warehouse.archive_files import DamagedFileError, open_file, write_file
from meta_insights_pipeline.warehouse.archive_names import Question
from meta_insights_pipeline.warehouse.recovered import Asked
from meta_insights_pipeline.warehouse.staging import PageFile, Slice


class OtherReportError(Exception):
    """The pages answer another question than the report of this name asks today; the message says which."""


@dataclass(frozen=True)
class Pages:
    """Pages that answer a slice, read from the archive."""

    part: Slice
    files: tuple[PageFile, ...]
    asked: Asked | None = None
    """Which nodes answered, and of which days; None when it was the account itself."""


class _AskedReport(BaseModel):
    """A report as it was when it was asked for. Nothing is checked: what was possible then may not be today."""

    model_config = ConfigDict(frozen=True)

    name: str
    level: str
    fields: tuple[str, ...]
    breakdowns: tuple[str, ...]
    windows: tuple[str, ...]
    description: str = ""


class _Group(BaseModel):
    """Pages of which each has the same fields."""

    model_config = ConfigDict(frozen=True)

    fields: tuple[str, ...] | None
    """Those of the report's fields that were asked for; None: all."""
    pages: int


class _Nodes(BaseModel):
    """Who was asked in place of the account."""

    model_config = ConfigDict(frozen=True)

    level: Level
    ids: tuple[str, ...]
    days: tuple[date, ...]
    """Those of the slice's days that were in question."""


class _Header(BaseModel):
    """What is told of pages, beside what the file's name tells."""

    model_config = ConfigDict(frozen=True)

    api_version: str
    mode: str
    report: _AskedReport
    account_id: str
    withheld: tuple[str, ...]
    """Names of the report's fields that Meta would not give."""
    groups: tuple[_Group, ...]
    nodes: _Nodes | None = None


def question_of(part: Slice) -> Question:
    """What a slice answers, as names have it."""
    return Question(part.collected_at, part.since, part.until)


def write_pages(
    file: Path, part: Slice, pages: Sequence[PageFile], *, mode: str, api_version: str, asked: Asked | None = None
) -> None:
    """Write the pages of a slice to an archived file.

    Args:
        file: Where; its folder exists.
        part: What they answer.
        pages: In the order in which they came.
        mode: `live` or `stub`.
        api_version: Version of the Graph API that answered, like `v26.0`.
        asked: Which nodes of the account answered, when it was not the account itself.

    Raises:
        OSError: It cannot be written.
    """
    groups = dict.fromkeys(page.fields for page in pages)
    ordered = [page for fields in groups for page in pages if page.fields == fields]
    header = _Header(
        api_version=api_version,
        mode=mode,
        report=_AskedReport.model_validate(part.report.model_dump(mode="json")),
        account_id=part.account_id,
        withheld=part.withheld,
        groups=tuple(
            _Group(fields=fields, pages=sum(page.fields == fields for page in pages))
            for fields in groups or {None: None}
        ),
        nodes=asked and _nodes_of(asked, part.account_id),
    )
    sizes = [page.path.stat().st_size for page in ordered]
    shown = header.model_dump(mode="json", exclude=None if asked else {"nodes"})
    write_file(file, shown, (page.path.read_bytes() for page in ordered), sizes)


def _nodes_of(asked: Asked, account_id: str) -> _Nodes:
    return _Nodes(
        level=asked.owner,
        ids=tuple(asked.nodes[account_id]),
        days=tuple(sorted({day for account, day in asked.days if account == account_id})),
    )


def _asked_of(nodes: _Nodes, account_id: str) -> Asked:
    return Asked(nodes.level, {account_id: nodes.ids}, [(account_id, day) for day in nodes.days])


def read_pages(file: ArchivedFile, report: Report, folder: Path) -> Pages:
    """Write the pages of an archived file to a folder, and say what they answer in terms of the report of today.

    Args:
        file: The archived file.
        report: The report of its name.
        folder: For the pages; it must exist, and be empty.

    Raises:
        DamagedFileError: The file cannot be read.
        OtherReportError: The report has another level or other breakdowns than then, so that its rows are others.
        FileNotFoundError: The file is not there.
    """
    question = file.name.question
    assert question.since is not None
    assert question.until is not None
    with open_file(file.path) as (line, blobs):
        header = _read_header(line)
        asked = header.report
        if (asked.level, asked.breakdowns) != (report.level.value, report.breakdowns):
            raise OtherReportError(
                f"it holds {asked.name} at {asked.level} level by {', '.join(asked.breakdowns) or 'nothing'}, "
                f"and the report of this name is another one today"
            )
        news = [name for name in report.fields if name not in asked.fields]
        pages, seen = _unpack(header, blobs, folder, news)
    part = Slice(
        report,
        file.account_id,
        question.since,
        question.until,
        question.collected_at,
        withheld=tuple(
            name
            for name in report.fields
            if name in header.withheld or (name in news and not any(name in each for each in seen))
        ),
    )
    files = [
        PageFile(path, _fields_today(report, asked, group.fields, found))
        for (path, group), found in zip(pages, seen, strict=True)
    ]
    return Pages(part, tuple(files), None if header.nodes is None else _asked_of(header.nodes, part.account_id))


def _read_header(line: dict[str, Any]) -> _Header:
    try:
        header = _Header.model_validate(line)
    except ValidationError:
        raise DamagedFileError("its first line does not tell what was asked for") from None
    if sum(group.pages for group in header.groups) != len(line["sizes"]):
        raise DamagedFileError("its first line names another number of pages than there are")
    return header


def _unpack(
    header: _Header, blobs: Iterator[bytes], folder: Path, news: Sequence[str]
) -> tuple[list[tuple[Path, _Group]], list[frozenset[str]]]:
    """Write the pages to a folder; with the group of each, and which of the new fields the group's pages have."""
    groups = [group for group in header.groups for _ in range(group.pages)]
    pages: list[tuple[Path, _Group]] = []
    found: dict[_Group, set[str]] = {group: set() for group in header.groups}
    keys = {name: re.compile(rb'"%s"\s*:' % re.escape(name).encode()) for name in news}
    # The generator ends only when the file has proved to be whole.
    for number, blob in enumerate(blobs):
        path = folder / f"{number + 1:06d}.json"
        path.write_bytes(blob)
        pages.append((path, groups[number]))
        found[groups[number]] |= {name for name, key in keys.items() if key.search(blob)}
    return pages, [frozenset(found[group]) for _, group in pages]


def _fields_today(
    report: Report, asked: _AskedReport, fields: tuple[str, ...] | None, found: frozenset[str]
) -> tuple[str, ...] | None:
    """The report's fields that a page has: those that were asked for, and those that Meta sent beside them."""
    then = asked.fields if fields is None else fields
    today = tuple(name for name in report.fields if name in then or name in found)
    return None if today == report.fields else today
