"""Rows as Meta writes them: strings of JSON made from the arrays of a frame.

Belongs here: notation, such as six decimals, money without padding, absent keys, escapes. Does not belong here: which
rows are asked for. Rows are made column by column, because one Python statement a row and field would be too slow.
"""

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from meta_insights_pipeline.simulator.conversions import WINDOWS, Windowed
from meta_insights_pipeline.simulator.days import local_text
from meta_insights_pipeline.simulator.edits import AccountEdits
from meta_insights_pipeline.simulator.frames import Amount, Frame
from meta_insights_pipeline.simulator.metrics import (
    ACTION_SPECS,
    IDENTITY_FIELDS,
    LIST_FIELDS,
    LIST_RATIO_TYPES,
    LIST_RATIOS,
    OWN_FIELDS,
    RATIO_FIELDS,
    SCALARS,
    ActionSpec,
)
from meta_insights_pipeline.simulator.randomness import Ints
from meta_insights_pipeline.simulator.structure import ATTRIBUTIONS, AccountGraph
from meta_insights_pipeline.simulator.world import Account

_MILLION = 1_000_000
_OBJECTS_KEPT = 20_000
_GOALS = {
    "OUTCOME_SALES": "OFFSITE_CONVERSIONS",
    "OUTCOME_LEADS": "LEAD_GENERATION",
    "OUTCOME_TRAFFIC": "LINK_CLICKS",
    "OUTCOME_ENGAGEMENT": "POST_ENGAGEMENT",
    "OUTCOME_AWARENESS": "REACH",
}

Column = Sequence[str]


def optimization_goal(objective: str) -> str:
    """Return what ad sets of an objective are optimised for."""
    return _GOALS[objective]


@functools.lru_cache(maxsize=65_536)
def quoted(text: str) -> str:
    """Return text as a JSON string in ASCII, slashes escaped as Graph does."""
    return json.dumps(text).replace("/", "\\/")


def money_text(amount: int, decimals: int) -> str:
    """Return minor units in major units, without padding: 1240 as 12.4."""
    if not decimals:
        return str(amount)
    whole, rest = divmod(amount, 100)
    return f"{whole}.{rest:02d}".rstrip("0") if rest else str(whole)


def ratio_text(numerator: int, denominator: int) -> str:
    """Return a quotient with six decimals, rounded half up."""
    scaled = (2 * numerator * _MILLION + denominator) // (2 * denominator)
    return f"{scaled // _MILLION}.{scaled % _MILLION:06d}"


@dataclass(frozen=True)
class RowStyle:
    """What rows of a request look like."""

    account: Account
    graph: AccountGraph
    edits: AccountEdits
    level: str
    fields: tuple[str, ...]
    windows: tuple[str, ...]
    at: int
    attributes: dict[tuple[tuple[str, ...], int], str] = field(default_factory=dict)
    """Attributes already written, by their names and the place of the entity; chunks of an answer share them."""


class RowWriter:
    """Writes the rows of a frame; `rows` and `columns` are the places of the rows in its arrays."""

    def __init__(self, style: RowStyle, frame: Frame, rows: Ints, columns: Ints) -> None:
        self._style = style
        self._frame = frame
        self._rows = rows
        self._columns = columns
        self._whole = len(rows) == len(frame.periods) * len(frame.entities)
        self._known: dict[Amount, tuple[tuple[str, ...], list[Any]] | None] = {}
        self._windows = tuple(window for window in style.windows if window in WINDOWS)
        self._money = 10**style.account.decimals

    def write(self) -> list[str]:
        """Return the JSON of each row."""
        if not len(self._rows):
            return []
        columns: list[Column] = [["{"] * len(self._rows)]
        for is_identity, names in _runs(self._style.fields):
            if is_identity:
                columns.append(self._identity(names))
            else:
                columns += [self._column(name) for name in names]
        columns.append(self._dates())
        return list(map("".join, zip(*columns, strict=True)))

    # ---- attributes ----

    def _identity(self, names: list[str]) -> Column:
        places = self._frame.entities
        known, run = self._style.attributes, tuple(names)
        texts = []
        for place in places.tolist():
            text = known.get((run, place))
            if text is None:
                text = known[run, place] = "".join(self._attribute(name, place) for name in names)
            texts.append(text)
        return [texts[column] for column in self._columns.tolist()]

    def _attribute(self, name: str, place: int) -> str:
        value = self._attribute_value(name, place)
        return "" if value is None else f'"{name}":{quoted(value)},'

    def _attribute_value(self, name: str, place: int) -> str | None:
        style = self._style
        owner = next((level for level, fields in IDENTITY_FIELDS.items() if name in fields), style.level)
        if owner == "account":
            account = style.account
            texts = {"account_id": account.id, "account_name": account.name, "account_currency": account.currency}
            return texts.get(name)
        at_owner = place_above(style.graph, style.level, place, owner)
        return None if at_owner is None else _entity_text(style, owner, at_owner, name)

    def _dates(self) -> Column:
        texts = []
        for first, last in self._frame.periods:
            since, until = date.fromordinal(first).isoformat(), date.fromordinal(last).isoformat()
            texts.append(f'"date_start":"{since}","date_stop":"{until}"}}')
        return [texts[row] for row in self._rows.tolist()]

    # ---- numbers ----

    def _take(self, array: Ints) -> Ints:
        taken: Ints = array.ravel() if self._whole else array[self._rows, self._columns]
        return taken

    def scalar(self, name: str) -> list[int]:
        """Return a number of each row."""
        numbers: list[int] = self._take(self._frame.scalars[name]).tolist()
        return numbers

    def _column(self, name: str) -> Column:
        if name == "spend":
            decimals = self._style.account.decimals
            return [f'"spend":"{money_text(amount, decimals)}",' for amount in self.scalar(name)]
        if name in SCALARS:
            return [f'"{name}":"{number}",' for number in self.scalar(name)]
        if name in RATIO_FIELDS:
            return self._ratio(name)
        if name in LIST_FIELDS:
            return self._list(name, [self._objects(spec) for spec in ACTION_SPECS if spec.field == name])
        if name in LIST_RATIOS:
            return self._derived(name)
        return [""] * len(self._rows)

    def _ratio(self, name: str) -> Column:
        numerator, denominator, factor, money = RATIO_FIELDS[name]
        unit = self._money if money else 1
        pairs = zip(self.scalar(numerator), self.scalar(denominator), strict=True)
        return [f'"{name}":"{ratio_text(top * factor, bottom * unit)}",' if bottom else "" for top, bottom in pairs]

    # ---- lists ----

    def _list(self, name: str, objects: list[Column | None]) -> Column:
        present = [column for column in objects if column is not None]
        if not present:
            return [""] * len(self._rows)
        joined = present[0] if len(present) == 1 else map("".join, zip(*present, strict=True))
        # Every object ends in a comma, since joining without a separator is what is quick.
        return [f'"{name}":[{text[:-1]}],' if text else "" for text in joined]

    def _objects(self, spec: ActionSpec) -> Column | None:
        """Return the object of an action type in each row, or None if no row has one."""
        amount = (spec.kind, spec.source)
        if amount not in self._known:
            # Several action types count the same.
            self._known[amount] = self._numbers(amount)
        found = self._known[amount]
        if found is None:
            return None
        keys, numbers = found
        decimals = self._style.account.decimals if spec.kind == "money" else 0
        known = _objects(spec.action_type, keys, decimals, same=spec.kind == "delivery")
        return [known[number] for number in numbers]

    def _numbers(self, amount: Amount) -> tuple[tuple[str, ...], list[Any]] | None:
        """Return the windows of an amount and its numbers in each row; None if they are all zero."""
        found = self._frame.actions.get(amount)
        if found is None:
            return None
        keys = tuple(window for window in self._windows if window in found.windows)
        if amount[0] == "delivery":
            # Every window holds the whole value, so that the value alone decides the text.
            values: list[int] = self._take(found.value).tolist()
            return (keys, values) if any(values) else None
        columns = [self._take(array).tolist() for array in _arrays(found, keys)]
        return (keys, list(zip(*columns, strict=True))) if any(map(any, columns)) else None

    def _derived(self, name: str) -> Column:
        field, use = LIST_RATIOS[name]
        types = LIST_RATIO_TYPES.get(name)
        specs = [spec for spec in ACTION_SPECS if spec.field == field and (types is None or spec.action_type in types)]
        return self._list(name, [self._quotients(spec, use) for spec in specs])

    def _quotients(self, spec: ActionSpec, use: str) -> Column | None:
        amount = self._frame.actions.get((spec.kind, spec.source))
        if amount is None:
            return None
        keys = [window for window in self._windows if window in amount.windows]
        arrays = [self._take(array).tolist() for array in _arrays(amount, keys)]
        base = self.scalar("impressions" if use == "rate" else "spend")
        quotient = {"cost": self._cost, "rate": _rate, "roas": _roas}[use]
        column = []
        for whole, numbers in zip(base, zip(*arrays, strict=True), strict=True):
            texts = [quotient(whole, number) for number in numbers]
            pairs = zip(("value", *keys), texts, strict=True)
            inner = "".join(f',"{key}":"{text}"' for key, text in pairs if text is not None)
            column.append(f'{{"action_type":"{spec.action_type}"{inner}}},' if inner else "")
        return column

    def _cost(self, spend: int, number: int) -> str | None:
        return ratio_text(spend, number * self._money) if number else None


def _rate(impressions: int, number: int) -> str | None:
    return ratio_text(number * 100, impressions) if number and impressions else None


def _roas(spend: int, value: int) -> str | None:
    return ratio_text(value, spend) if value and spend else None


def _arrays(amount: Windowed, keys: Sequence[str]) -> list[Ints]:
    return [amount.value, *(amount.windows[key] for key in keys)]


def _runs(fields: Iterable[str]) -> list[tuple[bool, list[str]]]:
    """Split fields into runs of neighbours that are, or are not, attributes of the entity."""
    identities = {name for names in IDENTITY_FIELDS.values() for name in names} | set(OWN_FIELDS)
    result: list[tuple[bool, list[str]]] = []
    for name in fields:
        kind = name in identities
        if not result or result[-1][0] is not kind:
            result.append((kind, []))
        result[-1][1].append(name)
    return result


def place_above(graph: AccountGraph, level: str, place: int, owner: str) -> int | None:
    """Return the place at level `owner` of the entity at `place` of `level`; None if the owner is not above."""
    steps = {"ad": ("ad", "adset", "campaign"), "adset": ("adset", "campaign"), "campaign": ("campaign",)}
    for step in steps.get(level, ()):
        if step == owner:
            return place
        place = int(graph.table(step).parent[place])
    return None


def _entity_text(style: RowStyle, level: str, place: int, name: str) -> str | None:
    graph, table = style.graph, style.graph.table(level)
    if name.endswith("_id"):
        return table.ids[place]
    if name.endswith("_name"):
        return table.name(place, style.at)
    if name == "objective":
        return graph.objectives[place]
    if name == "optimization_goal":
        return optimization_goal(graph.objectives[int(graph.adsets.parent[place])])
    zone = style.account.timezone_name
    texts: dict[str, Callable[[], str]] = {
        "buying_type": lambda: "AUCTION",
        "attribution_setting": lambda: ATTRIBUTIONS[int(graph.attribution[place])],
        "created_time": lambda: local_text(zone, int(table.created[place])),
        "updated_time": lambda: local_text(zone, style.edits.updated_of(level, place, style.at)),
    }
    return texts[name]() if name in texts else None


class _Objects(dict[Any, str]):
    """Texts of action objects by their numbers, each written once; most rows repeat a few small numbers."""

    def __init__(self, write: Callable[[Any], str]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, numbers: Any) -> str:
        if len(self) >= _OBJECTS_KEPT:
            self.clear()
        text = self._write(numbers)
        self[numbers] = text
        return text


@functools.lru_cache(maxsize=512)
def _objects(action_type: str, keys: tuple[str, ...], decimals: int, *, same: bool) -> _Objects:
    """Return the texts of an action type; with `same` one number stands for the value and every window."""
    if same:
        return _Objects(lambda value: _object_text(action_type, keys, [value] * (len(keys) + 1), decimals))
    return _Objects(lambda numbers: _object_text(action_type, keys, numbers, decimals))


def _object_text(action_type: str, keys: Sequence[str], numbers: Sequence[int], decimals: int) -> str:
    """Return an action object and a comma, or nothing if all its numbers are zero; zero windows are left out."""
    if not any(numbers):
        return ""
    inner = "".join(
        f',"{key}":"{money_text(number, decimals)}"' for key, number in zip(keys, numbers[1:], strict=True) if number
    )
    return f'{{"action_type":"{action_type}","value":"{money_text(numbers[0], decimals)}"{inner}}},'
