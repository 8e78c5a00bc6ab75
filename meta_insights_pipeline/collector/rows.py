"""Pages as typed rows, for whoever wants rows and not tables; the values are those of the warehouse's tables.

Belongs here: the form of a row, and reading what was collected into rows. Does not belong here: asking for it.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import orjson

from meta_insights_pipeline.catalog.fields import Field, Kind, Ratio, Unit, insights_field, ratios
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.windows import windows
from meta_insights_pipeline.collector.collect import Collected
from meta_insights_pipeline.collector.plan import Request


class UnreadableRowsError(Exception):
    """Pages hold something that cannot be a row of what was asked for; the message says what."""


@dataclass(frozen=True, slots=True)
class ActionRow:
    """What people did of one kind, on one day, because of one entity."""

    field: str
    """The insights field, for example `actions` or `action_values`."""
    action_type: str
    """Types overlap: never sum over them."""
    value: Decimal | None
    """Number or money under the ad set's own attribution setting."""
    windows: Mapping[str, Decimal]
    """Number or money by attribution window, for example `7d_click`; a window that is not there was not given by Meta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightRow:
    """One day of an ad account, a campaign, an ad set or an ad.

    A number is None when Meta would not give it (see `withheld_fields`), or gave none where none does not mean 0 (reach).
    """

    level: Level
    account_id: str
    """Without the prefix `act_`."""
    account_name: str | None = None
    account_currency: str | None = None
    campaign_id: str | None = None
    """This id and name, and those below, are None where the level has none."""
    campaign_name: str | None = None
    adset_id: str | None = None
    adset_name: str | None = None
    ad_id: str | None = None
    ad_name: str | None = None
    date_start: date
    """The day, in the ad account's time zone."""
    objective: str | None = None
    attribution_setting: str | None = None
    impressions: int | None = None
    clicks: int | None = None
    spend: Decimal | None = None
    """In major units of `account_currency`."""
    reach: int | None = None
    """People; never to be summed over entities or days."""
    inline_link_clicks: int | None = None
    actions: tuple[ActionRow, ...] = ()
    withheld_fields: tuple[str, ...] = ()
    """Names of fields that Meta would not give for this row."""
    collected_at: datetime
    """When (UTC) it was asked for; the numbers are at least as new."""

    @property
    def entity_id(self) -> str:
        """The id of the account, campaign, ad set or ad that the row is about."""
        return str(getattr(self, self.level.id_field))

    @property
    def ctr(self) -> float | None:
        """Clicks (all) for a hundred impressions."""
        return self._ratio("ctr")

    @property
    def cpc(self) -> float | None:
        """Spend for a click (all)."""
        return self._ratio("cpc")

    @property
    def cpm(self) -> float | None:
        """Spend for a thousand impressions."""
        return self._ratio("cpm")

    @property
    def cpp(self) -> float | None:
        """Spend for a thousand people reached."""
        return self._ratio("cpp")

    @property
    def frequency(self) -> float | None:
        """Impressions for a person reached."""
        return self._ratio("frequency")

    def _ratio(self, name: str) -> float | None:
        ratio = _ratios()[name]
        numerator, denominator = getattr(self, ratio.numerator), getattr(self, ratio.denominator)
        if numerator is None or not denominator:
            return None
        return ratio.scale * float(numerator) / float(denominator)


def read_rows(collected: Collected) -> list[InsightRow]:
    """The rows of a built-in report, by day and entity; those that came in parts of their fields are joined.

    A count that Meta left out is 0 when it may be summed, since Meta leaves out zeros; anything else that is left out is None,
    and so is what Meta would not give.

    Raises:
        UnreadableRowsError: A page is no array of rows, a value is not of its field's type, or a row was not asked for.
    """
    rows: dict[tuple[date, str], InsightRow] = {}
    for part in collected.parts:
        reader = _Reader(collected.request, part.fields, part.purchase.asked_at)
        for page in part.pages:
            for row in reader.read(page):
                key = row.date_start, row.entity_id
                rows[key] = _joined(rows[key], row) if key in rows else row
    return [rows[key] for key in sorted(rows)]


class _Reader:
    """Reads the pages of one part."""

    def __init__(self, request: Request, asked: tuple[str, ...] | None, asked_at: datetime) -> None:
        report = request.report
        always = (*report.level.identity_fields, "date_start")
        own = [name for name in report.fields if name not in always]
        given = {*always, *(name for name in own if asked is None or name in asked)}
        self._request = request
        self._asked_at = asked_at
        self._columns = [each for each in report.column_fields if each.name in given]
        self._lists = [each.name for each in report.action_fields if each.name in given]
        self._withheld = tuple(name for name in own if name not in given)

    def read(self, page: Path) -> Iterator[InsightRow]:
        try:
            for raw in orjson.loads(page.read_bytes()):
                row = self._row(raw)
                self._check(row)
                yield row
        except (ValueError, TypeError, AttributeError) as error:
            raise UnreadableRowsError(f"{self._request}: a page cannot be read ({error}).") from None

    def _row(self, raw: Mapping[str, Any]) -> InsightRow:
        values: dict[str, Any] = {each.name: _value(each, raw.get(each.name)) for each in self._columns}
        return InsightRow(
            level=self._request.report.level,
            actions=tuple(action for name in self._lists for action in _actions(name, raw.get(name))),
            withheld_fields=self._withheld,
            collected_at=self._asked_at,
            **values,
        )

    def _check(self, row: InsightRow) -> None:
        """Rows that were not asked for are a sign of a wrong request or a wrong answer."""
        request = self._request
        entity = getattr(row, row.level.id_field)
        if (
            row.account_id != request.account.id
            or not entity
            or (request.node and entity != request.node)
            or not request.days.since <= row.date_start <= request.days.until
        ):
            raise UnreadableRowsError(
                f"{request}: Meta answered a row that was not asked for ({row.level} {entity} of account {row.account_id}, "
                f"{row.date_start})."
            )


def _joined(row: InsightRow, other: InsightRow) -> InsightRow:
    """A row with what another part has of it; what both have stays as it is, so that a row that came twice counts once."""
    came = [name for name in row.withheld_fields if name not in other.withheld_fields]
    if not came:
        return row
    values: dict[str, Any] = {
        name: getattr(other, name) for name in came if insights_field(name).kind is not Kind.ACTIONS
    }
    return replace(
        row,
        actions=(*row.actions, *(action for action in other.actions if action.field in came)),
        withheld_fields=tuple(name for name in row.withheld_fields if name not in came),
        collected_at=min(row.collected_at, other.collected_at),
        **values,
    )


def _value(of: Field, raw: Any) -> str | int | Decimal | date | None:
    if of.unit is Unit.DATE:
        return date.fromisoformat(raw)
    if of.kind is Kind.TEXT:
        return None if raw is None else sys.intern(str(raw))
    number = _number(raw)
    if number is None:
        number = Decimal(0) if of.additive else None
    if number is None or of.unit is not Unit.COUNT:
        return number
    if number != int(number):
        raise ValueError(f"{of.name} is {raw!r}, which is no count")
    return int(number)


def _actions(name: str, entries: Any) -> Iterator[ActionRow]:
    """The entries of a list, one for each action type."""
    seen = set()
    for entry in entries or ():
        action_type = entry.get("action_type")
        if action_type is not None and action_type not in seen:
            seen.add(action_type)
            yield ActionRow(name, sys.intern(action_type), _number(entry.get("value")), _windows(entry))


def _windows(entry: Mapping[str, Any]) -> dict[str, Decimal]:
    """The numbers of an entry by window, those of windows that are not known included; other keys hold no numbers."""
    found = {}
    for name, raw in entry.items():
        if name in ("action_type", "value"):
            continue
        try:
            number = _number(raw)
        except (ValueError, TypeError):
            if name in windows():
                raise
            continue
        if number is not None:
            found[sys.intern(name)] = number
    return found


# The same small numbers come again and again, and each is kept once.
@lru_cache(maxsize=65_536)
def _number(raw: Any) -> Decimal | None:
    """A decimal text as it stands.

    Raises:
        ValueError: It is no number.
    """
    if raw is None or raw == "":
        return None
    try:
        number = Decimal(str(raw))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{raw!r} is no number")
    return number


@cache
def _ratios() -> Mapping[str, Ratio]:
    return {ratio.name: ratio for ratio in ratios()}
