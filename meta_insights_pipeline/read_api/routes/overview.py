"""`GET /meta/insights/overview`."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Query, Response

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.read_api.exports import table_answer
from meta_insights_pipeline.read_api.json_answers import about, json_answer
from meta_insights_pipeline.read_api.models.overview import OverviewModel
from meta_insights_pipeline.read_api.parameters import Accounts, AnswerFormat, Days, Format
from meta_insights_pipeline.read_api.reader import CurrentReader, Reader
from meta_insights_pipeline.read_api.routes.common import AS_TABLE, new_router
from meta_insights_pipeline.read_api.routes.notes import about_change, about_figures
from meta_insights_pipeline.warehouse.reading import account_freshness, conversions, overview
from meta_insights_pipeline.warehouse.reading.as_of import View
from meta_insights_pipeline.warehouse.reading.figures import Chosen, figure_columns
from meta_insights_pipeline.warehouse.reading.period import Period
from meta_insights_pipeline.warehouse.reading.statement import Query as Statement
from meta_insights_pipeline.warehouse.reading.statement import Shape

router = new_router()

_TOP = 10
_MOST_TOP = 100
Row = dict[str, Any]


class OverviewPart(StrEnum):
    """One table of the overview."""

    DAILY = "daily"
    TOTALS = "totals"
    CONVERSIONS = "conversions"
    TOP_CAMPAIGNS = "top_campaigns"
    FRESHNESS = "freshness"
    MISSING = "missing"


@router.get("/overview", response_model=OverviewModel, responses=AS_TABLE, summary="Totals by currency")
def get_overview(
    reader: CurrentReader,
    days: Days,
    accounts: Accounts,
    form: AnswerFormat,
    top: Annotated[
        int, Query(ge=1, le=_MOST_TOP, description="How many campaigns of each currency, by spend.", examples=[10])
    ] = _TOP,
    part: Annotated[
        OverviewPart,
        Query(description="Which table a format other than JSON holds; JSON holds all.", examples=["totals"]),
    ] = OverviewPart.DAILY,
) -> Response:
    """Totals of the ad accounts by currency, beside the period before; days, conversions, top campaigns, freshness."""
    view = reader.view(accounts)
    today = reader.today(view)
    period = days.resolve(today)
    if form is not Format.JSON:
        query = _table(reader, view, period, part, top)
        return table_answer(query, reader.snapshot, form, f"overview-{part.value}")
    snapshot, reference = reader.snapshot, reader.reference
    found, happened, best, freshness = snapshot.together(
        lambda: overview.read_sums(snapshot, view, reference, period, today),
        lambda: conversions.conversions(view, reference, Chosen(Level.ACCOUNT, period)).records(snapshot),
        lambda: overview.top_campaigns(view, reference, period, top).records(snapshot),
        lambda: account_freshness.read_freshness(snapshot, view, reference, period),
    )
    compared_days = period.days_before(today)
    whole = [row for row in found.totals if period.is_one_day and (row["is_current"] or row["accounts"])]
    singles = [row for row in [*found.daily, *whole] if row["accounts"] <= 1]
    told = about_figures(
        period,
        rows=[*found.totals, *best],
        single=[*singles, *(best if period.is_one_day else ())],
        as_of=reader.as_of,
        is_summed=not period.is_one_day or any(row["accounts"] > 1 for row in found.totals),
    )
    changes = changes_by_currency(found.compared)
    parts = {"conversions": happened, "daily": found.daily, "top_campaigns": best}
    currencies = _by_currency(found.totals, parts, changes)
    told |= about_change(period, compared_days, [each for each, change in changes.items() if change is None])
    return json_answer(
        {
            **about(period, reader.as_of),
            "previous_period": about(period.previous, None)["period"],
            "compared_days": compared_days,
            "currencies": currencies,
            "freshness": freshness,
            "notes": told,
        }
    )


def _table(reader: Reader, view: View, period: Period, part: OverviewPart, top: int) -> Statement:
    match part:
        case OverviewPart.DAILY:
            return overview.daily(view, reader.reference, period)
        case OverviewPart.TOTALS:
            return overview.totals(view, reader.reference, period)
        case OverviewPart.CONVERSIONS:
            return conversions.conversions(view, reader.reference, Chosen(Level.ACCOUNT, period))
        case OverviewPart.TOP_CAMPAIGNS:
            return overview.top_campaigns(view, reader.reference, period, top)
        case OverviewPart.FRESHNESS:
            return account_freshness.freshness(view, reader.reference, period)
        case OverviewPart.MISSING:
            return account_freshness.missing(view, period)


def changes_by_currency(compared: list[Row]) -> dict[str | None, Row | None]:
    """The changes of each currency; None where the days that are compared were not all collected."""
    found: dict[str | None, dict[bool, Row]] = {}
    for row in compared:
        found.setdefault(row["account_currency"], {})[row["is_current"]] = row
    return {
        currency: changes(rows[True], rows[False])
        if len(rows) == 2 and all(row["is_comparable"] for row in rows.values())
        else None
        for currency, rows in found.items()
    }


def _by_currency(
    totals: list[Row], parts: dict[str, list[Row]], changes_of: Mapping[str | None, Row | None]
) -> list[Row]:
    """Rows of every currency below it; the rows lose the columns that say so."""
    found: dict[str | None, Row] = {}

    def entry_of(row: Row) -> Row:
        currency = row.pop("account_currency")
        if currency not in found:
            empty = {"account_currency": currency, "totals": None, "previous": None, "change": None}
            found[currency] = {**empty, **{name: [] for name in parts}}
        return found[currency]

    for row in totals:
        entry = entry_of(row)
        entry["totals" if row.pop("is_current") else "previous"] = row
    for name, rows in parts.items():
        for row in rows:
            # Of a currency in which campaigns delivered and no account did, the accounts' report lacks.
            entry_of(row)[name].append(row)
    for currency, entry in found.items():
        entry["change"] = changes_of.get(currency)
    return list(found.values())


def changes(totals: Row, previous: Row) -> Row:
    """The change of every figure from the previous period to this one."""
    return {
        column.name: change(totals[column.name], previous[column.name], column.shape) for column in figure_columns()
    }


def change(now: Any, before: Any, shape: Shape) -> Row:
    """The change of a figure.

    Args:
        now: As JSON shows it; None when it is not known.
        before: The same of the previous period.
        shape: What the figure is.
    """
    if now is None or before is None:
        return {"absolute": None, "relative": None}
    exact = shape is Shape.DECIMAL
    one, other = (Decimal(now), Decimal(before)) if exact else (now, before)
    difference = one - other
    relative = float(difference / other) if other else None
    return {"absolute": _text(difference) if exact else difference, "relative": relative}


def _text(number: Decimal) -> str:
    """In as few digits as it takes, like the figures themselves."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
