"""What is in a page and in no column: found by counting its keys, and set aside as text, so that nothing Meta sends is dropped.

A page of which the reader has read as many keys as are written in it holds nothing else. Any other page is read here once more,
in Python and some times slower: what no column takes goes into one text a row and one text an action, under keys of our own that
the reader knows. Text and not values: what Meta wrote is kept to the last digit, and the same parts give the same text whatever
their order, so that only a change of them is a change of the row.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from meta_insights_pipeline.catalog.fields import Kind, Unit
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.catalog.windows import default_windows

OTHER_KEY = "/other"
"""What is set aside, in a row (a list of `"key":value`) and in an action (an object); Meta's own names have no slash."""
KEPT_NOWHERE = ("date_stop",)
"""Keys of rows that need no column: with one row a day, the last day is the first one."""
ENTRY_KEYS = ("action_type", "value", *default_windows())
"""Keys of actions that have a column."""
_ENTRY_KEYS = frozenset(ENTRY_KEYS)

# A part that is longer is left out: a row has to fit into memory some thousand times, and readers want to see it.
MOST_CHARACTERS = 20_000
# Together they stay far below what a page's row may have.
MOST_CHARACTERS_A_ROW = 200_000
MOST_LEVELS = 50
# What is reported of one slice: keys may be ids, of which there is no end.
MOST_SIGHTINGS = 100
_SHOWN = 200
_SHORT = 64
_KEY = b'":'
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")


class DriftKind(StrEnum):
    """What it is that no column takes, or that was not there before."""

    FIELD = "field"
    WINDOW = "window"
    ACTION_TYPE = "action_type"
    ACTION_KEY = "action_key"
    ACTION = "action"
    VALUE = "value"
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Sighting:
    """Something in a page that no column takes."""

    kind: DriftKind
    name: str
    example: str
    """As Meta wrote it, cut after some characters."""


class _Number(str):
    """A number as it was written, which no conversion has touched."""

    __slots__ = ()


def count_keys(page: Path) -> int:
    """How many keys are written in a page; a text that holds a quote before a colon counts as one, too."""
    return page.read_bytes().count(_KEY)


def _type_of(entry: Mapping[str, Any]) -> str | None:
    found = entry.get("action_type")
    return None if found is None else str(found)


class PartSorter:
    """Sets aside what the pages of a slice have and no column of their report takes."""

    def __init__(self, report: Report) -> None:
        """Name the report."""
        self._columns = {*(each.name for each in report.column_fields), *KEPT_NOWHERE}
        self._counts = {
            each.name for each in report.column_fields if each.kind is Kind.NUMBER and each.unit is Unit.COUNT
        }
        self._lists = {each.name for each in report.action_fields}
        self._seen: dict[tuple[DriftKind, str], Sighting] = {}

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """What was set aside, each part once."""
        return tuple(self._seen.values())

    def sort(self, page: Path, anew: Path) -> Path:
        """Write a page anew, with what no column takes set aside; where it is to be read.

        The page itself stays as it is: it is what Meta wrote, and may be read again. A page without such parts is read where
        it is, and so is one that is no array of objects: whoever reads it will say so.

        Args:
            page: The page.
            anew: Where to write it.
        """
        try:
            # Numbers as they stand: neither rounded nor too long to be read.
            rows = json.loads(page.read_bytes(), parse_float=_Number, parse_int=_Number, parse_constant=str)
        except ValueError:
            return page
        except RecursionError:
            self._see(DriftKind.LEFT_OUT, "a page", "nested too deeply to be read")
            return page
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return page
        kept = [self._row(row) for row in rows]
        if kept == rows:
            return page
        anew.write_text(json.dumps(kept, separators=(",", ":")), "ascii")
        return anew

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        other: dict[str, Any] = {}
        for key, value in row.items():
            if key in self._lists and _is_list_of_objects(value):
                kept[key], odd = self._actions(key, value)
                if odd:
                    other[key] = odd
            elif key in self._counts and _is_fraction(value):
                self._see(DriftKind.VALUE, key, value)
                other[key] = value
            elif key in self._columns or key in self._lists:
                kept[key] = value
            else:
                self._see(DriftKind.FIELD, key, value)
                other[key] = value
        return {**kept, OTHER_KEY: self._pieces(other)} if other else kept

    def _actions(self, field: str, entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The entries of a list that have a row of their own, and those that cannot be had in rows."""
        kept: list[dict[str, Any]] = []
        odd: list[dict[str, Any]] = []
        times = Counter(map(_type_of, entries))
        if len(times) < len(entries):
            entries = list({canonical(entry): entry for entry in entries}.values())
            times = Counter(map(_type_of, entries))
        for entry in entries:
            action_type = _type_of(entry)
            is_one = action_type is not None and times[action_type] == 1
            # Most entries have nothing unknown, and pages have hundreds of thousands of them.
            if is_one and entry.keys() <= _ENTRY_KEYS:
                kept.append(entry)
                continue
            values, keys = self._entry(entry)
            if is_one:
                kept.append(values)
            elif action_type is None:
                self._see(DriftKind.ACTION, f"{field} without a type", entry)
            else:
                # Which of them is the whole, or whether they add up to it, nobody knows.
                self._see(DriftKind.ACTION, f"{field} of {action_type} more than once", entry)
            if keys or not is_one:
                odd.append(entry)
        return kept, odd

    def _entry(self, entry: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """What a row of the entry is made of, and the keys that are in none."""
        values: dict[str, Any] = {}
        windows: dict[str, str | None] = {}
        keys: list[str] = []
        for key, value in entry.items():
            if key in _ENTRY_KEYS:
                values[key] = value
            elif _is_window(key, value):
                self._see(DriftKind.WINDOW, key, value)
                # Numbers as text, as Meta usually writes them: 3 and "3" are no change.
                windows[key] = value if value is None else str(value)
            else:
                self._see(DriftKind.ACTION_KEY, key, value)
                keys.append(key)
        if windows:
            values[OTHER_KEY] = "{" + ",".join(self._pieces(windows)) + "}"
        return values, keys

    def _pieces(self, parts: Mapping[str, Any]) -> list[str]:
        """Each part as `"key":value`, in the order of their keys."""
        pieces = []
        room = MOST_CHARACTERS_A_ROW
        for key in sorted(parts):
            text = canonical(parts[key])
            if text is None:
                text = self._left_out(key, f"(left out: nested more than {MOST_LEVELS} levels)")
            elif len(text) > min(MOST_CHARACTERS, room):
                digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
                text = self._left_out(key, f"(left out: {len(text)} characters, SHA-256 {digest})")
            room -= len(text) + len(key)
            if room < 0:
                self._see(DriftKind.LEFT_OUT, "the other parts of a row", f"beyond {MOST_CHARACTERS_A_ROW} characters")
                break
            pieces.append(f"{_quoted(key)}:{text}")
        return pieces

    def _left_out(self, key: str, reason: str) -> str:
        self._see(DriftKind.LEFT_OUT, key, reason)
        return _quoted(reason)

    def _see(self, kind: DriftKind, name: str, value: Any) -> None:
        key = kind, name if len(name) <= _SHOWN else _shown(name)
        if key in self._seen:
            return
        key = kind, _shown(name)
        if len(self._seen) >= MOST_SIGHTINGS:
            key, value = (DriftKind.LEFT_OUT, "further names"), f"more than {MOST_SIGHTINGS} in one answer"
        text = value if isinstance(value, str) else canonical(value) or "nested too deeply to be shown"
        self._seen.setdefault(key, Sighting(*key, _shown(text)))


def canonical(value: Any) -> str | None:
    """A value as JSON text with sorted keys, numbers as they were written; None when it is nested too deeply."""
    try:
        return _text(value, 0)
    except _TooDeepError:
        return None


class _TooDeepError(Exception):
    pass


def _text(value: Any, level: int) -> str:
    if level > MOST_LEVELS:
        raise _TooDeepError
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{_text(value[key], level + 1)}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_text(each, level + 1) for each in value) + "]"
    return _quoted(value)


def _quoted(value: str | bool | None) -> str:
    return _short_quoted(value) if isinstance(value, str) and len(value) <= _SHORT else _json(value)


# The same names and small numbers come again and again.
@lru_cache(maxsize=16_384)
def _short_quoted(value: str) -> str:
    return _json(value)


def _json(value: str | bool | None) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # Half a character cannot be stored, but it can be named.
    return json.dumps(value) if any("\ud800" <= letter <= "\udfff" for letter in text) else text


def _shown(text: str) -> str:
    """A text for a person, without what no text may hold."""
    return text[:_SHOWN].replace("\x00", "\\u0000").encode("utf-8", "replace").decode()


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _is_window(key: str, value: Any) -> bool:
    """Whether a key of an action is that of a window: its value is a number or none, and it names no part of a breakdown."""
    if key.startswith("action_") or key.endswith("_id"):
        return False
    return value is None or (isinstance(value, str) and (not value or _is_decimal(value)))


def _is_decimal(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _is_fraction(value: Any) -> bool:
    """Whether a count is a number and not a whole one."""
    if not isinstance(value, str) or value.isdecimal() or not _is_decimal(value):
        return False
    return not _is_whole(value)


def _is_whole(number: str) -> bool:
    """Whether a decimal text has nothing behind its point, once its exponent is taken away."""
    mantissa, _, exponent = number.lower().partition("e")
    _, _, fraction = mantissa.partition(".")
    digits, places = mantissa.replace(".", "").lstrip("-"), len(fraction) - int(exponent or "0")
    return places <= 0 or not digits[max(0, len(digits) - places) :].strip("0")
