"""What an archived file's name tells: when its content was asked for, of which days, when and by which run it was merged.

What differs between two equal answers is in the name alone, so that their files can share their bytes on disk. Names sort by
the moment at which they were asked for, and begin with its day.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

SUFFIX = ".zst"
_BY_ID = ".by_id"
_MOMENT = r"\d{4}-\d\d-\d\dT\d{6}\.\d{6}Z"
_DAY = r"\d{4}-\d\d-\d\d"
_NAME = re.compile(
    rf"(?P<asked>{_MOMENT})(?:_(?P<since>{_DAY})_(?P<until>{_DAY}))?(?:_(?P<merged>{_MOMENT})_(?P<run>.+))?\{SUFFIX}"
)
_FORM = "%Y-%m-%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class Question:
    """What was asked and when; the name of a file whose content is not merged yet."""

    collected_at: datetime
    """The moment (UTC) as of which the answer is true."""
    since: date | None = None
    """First day, an account day; None for entities."""
    until: date | None = None
    """Last day."""

    @property
    def file_name(self) -> str:
        """As it stands on disk."""
        return f"{self._text}{SUFFIX}"

    def merged_name(self, merged_at: datetime, run_id: str) -> str:
        """The name of the file once its content is in the warehouse."""
        return f"{self._text}_{moment_text(merged_at)}_{run_id}{SUFFIX}"

    @property
    def days_text(self) -> str:
        """The part of the name that two answers to the same question share."""
        return "" if self.since is None or self.until is None else f"_{self.since}_{self.until}"

    @property
    def days(self) -> frozenset[date]:
        """The account days; none for entities."""
        if self.since is None or self.until is None:
            return frozenset()
        return frozenset(self.since + timedelta(days=n) for n in range((self.until - self.since).days + 1))

    @property
    def _text(self) -> str:
        return f"{moment_text(self.collected_at)}{self.days_text}"


@dataclass(frozen=True)
class MergedName:
    """The name of a file whose content was merged."""

    question: Question
    merged_at: datetime
    """When (UTC) the warehouse took it in: the order of all merges."""
    run_id: str


def by_id(report: str) -> str:
    """In place of a report's name: rows of the report that single campaigns, ad sets and ads were asked for by themselves."""
    return f"{report}{_BY_ID}"


def is_by_id(name: str) -> bool:
    """Whether a name stands for what nodes were asked for, and not for a report's own answers."""
    return name.endswith(_BY_ID)


def report_behind(name: str) -> str:
    """The report of whose rows it is."""
    return name.removesuffix(_BY_ID)


def moment_text(moment: datetime) -> str:
    """A moment as names have it, in UTC."""
    return moment.astimezone(UTC).strftime(_FORM)


def read_question(name: str) -> Question | None:
    """What the name of a file tells that is not merged yet; None when it is no such name."""
    found = _NAME.fullmatch(name)
    return _question(found) if found and found["run"] is None else None


def read_merged(name: str) -> MergedName | None:
    """What the name of a merged file tells; None when it is no such name."""
    found = _NAME.fullmatch(name)
    if not found or found["run"] is None or (question := _question(found)) is None:
        return None
    merged_at = _moment(found["merged"])
    return MergedName(question, merged_at, found["run"]) if merged_at else None


def superfluous(names: Iterable[MergedName], by_id: Iterable[MergedName] = ()) -> list[MergedName]:
    """Of answers about one report of one account, those that no day's end (UTC) shows.

    An answer is needed if it is the last one that was asked for on its day (UTC) about any of its account days, or the last one
    before nodes were asked about any of them: which of their rows no report had listed is told by what it lists.

    Args:
        names: The answers.
        by_id: What nodes were asked for of the same report and account; it is needed itself, and makes nothing superfluous.
    """
    by_day: dict[date, list[tuple[MergedName, bool]]] = {}
    for of_nodes, some in ((False, names), (True, by_id)):
        for name in some:
            by_day.setdefault(name.question.collected_at.date(), []).append((name, of_nodes))
    return [name for some in by_day.values() for name in _covered_later(some)]


def _covered_later(names: Sequence[tuple[MergedName, bool]]) -> list[MergedName]:
    # Nodes are asked after the report that they add to, also within the same moment.
    newest_first = sorted(names, key=lambda one: (one[0].question.collected_at, one[1], one[0].merged_at), reverse=True)
    covered: set[date] = set()
    awaited: set[date] = set()
    needless = []
    for name, of_nodes in newest_first:
        days = name.question.days
        if of_nodes:
            awaited |= days
            continue
        if days and days <= covered and not days & awaited:
            needless.append(name)
        covered |= days
        awaited -= days
    return needless


def _question(found: re.Match[str]) -> Question | None:
    collected_at = _moment(found["asked"])
    if collected_at is None:
        return None
    if found["since"] is None:
        return Question(collected_at)
    try:
        since, until = date.fromisoformat(found["since"]), date.fromisoformat(found["until"])
    except ValueError:
        return None
    return Question(collected_at, since, until) if since <= until else None


def _moment(text: str) -> datetime | None:
    try:
        # Names are read by the thousand, and `strptime` takes ten times as long.
        return datetime.fromisoformat(text)
    except ValueError:
        return None
