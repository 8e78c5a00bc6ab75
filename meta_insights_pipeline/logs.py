"""The pipeline's own log: what every line carries beside its text, and how it looks on a terminal and elsewhere."""

import contextvars
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

LOGGER = "meta_insights_pipeline"
# What a line may carry, in the order in which it is written.
FIELDS = ("run", "account", "report", "report_run_id", "fbtrace_id", "request", "principal")

DETAIL = {"detail": True}
"""As `extra` of a line: one of many that a program wants to have and a person would not read; a terminal does not show it."""

_context: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar("log_context", default={})  # noqa: B039 - never changed


@contextmanager
def log_context(**fields: str) -> Iterator[None]:
    """Put fields on every line that is logged inside, on this thread and on those that copy its context."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def log_to_stderr(level: int) -> None:
    """Show the log on stderr: lines on a terminal, JSON objects otherwise."""
    handler = logging.StreamHandler()
    # Asked now and not for each line, since Dagster takes the output of a run through a file of its own.
    is_terminal = sys.stderr.isatty()
    handler.setFormatter(TerminalFormatter() if is_terminal else JsonFormatter())
    handler.addFilter(add_context)
    # Who turns on every call wants to see everything else, too.
    if is_terminal and level > logging.DEBUG:
        handler.addFilter(is_for_a_person)
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


def add_context(record: logging.LogRecord) -> bool:
    """A filter that lets every record pass, with the fields that hold where it was logged."""
    for name, value in _context.get().items():
        if getattr(record, name, None) is None:
            setattr(record, name, value)
    return True


def is_for_a_person(record: logging.LogRecord) -> bool:
    """A filter that keeps back single steps of which there may be thousands."""
    return not getattr(record, "detail", False)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """The fields that a record carries."""
    values = ((name, getattr(record, name, None)) for name in FIELDS)
    return {name: str(value) for name, value in values if value is not None}


class TerminalFormatter(logging.Formatter):
    """One line a message for a person: the time of day, and what was wrong before what happened."""

    def format(self, record: logging.LogRecord) -> str:
        """Lay out a record."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        mark = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"{at:%H:%M:%S} {mark}{record.getMessage()}"


class JsonFormatter(logging.Formatter):
    """One JSON object a message, for programs."""

    def format(self, record: logging.LogRecord) -> str:
        """Lay out a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"at": at, "level": record.levelname.lower(), **fields_of(record), "message": record.getMessage()}
        return json.dumps(entry, ensure_ascii=False)
