"""What a check found, as a value, and how it is shown to a person and to a program."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """Something to know or to do soon; also a check that could not be made."""
    FAIL = "fail"
    """The pipeline does not work until this is mended."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    status: Status
    message: str
    """One sentence; unless all is well, with the remedy."""


def ok(name: str, message: str) -> Finding:
    """All is well."""
    return Finding(name, Status.OK, message)


def warn(name: str, message: str) -> Finding:
    """Something to know or to do soon."""
    return Finding(name, Status.WARN, message)


def fail(name: str, message: str) -> Finding:
    """The pipeline does not work like this."""
    return Finding(name, Status.FAIL, message)


def not_checked(names: Sequence[str], reason: str) -> list[Finding]:
    """Checks that could not be made, since another one failed."""
    return [warn(name, f"Not checked: {reason}.") for name in names]


def has_failed(findings: Sequence[Finding]) -> bool:
    """Whether anything must be mended."""
    return any(finding.status is Status.FAIL for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """For a terminal: one line a check in aligned columns, and a line of totals."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = [f"{_mark(finding.status):<4}  {finding.name:<{width}}  {finding.message}" for finding in findings]
    counts = Counter(finding.status for finding in findings)
    totals = f"{len(findings)} checks: {counts[Status.OK]} ok, {counts[Status.WARN]} warn, {counts[Status.FAIL]} fail"
    return "\n".join([*lines, "", totals])


def as_json(findings: Sequence[Finding]) -> str:
    """For a program: one JSON object."""
    counts = Counter(finding.status for finding in findings)
    worst = next((status for status in reversed(Status) if counts[status]), Status.OK)
    return json.dumps({"status": worst, "findings": [asdict(finding) for finding in findings]}, ensure_ascii=False)


def _mark(status: Status) -> str:
    return "FAIL" if status is Status.FAIL else status.value
