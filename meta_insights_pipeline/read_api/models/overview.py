"""The answer of the overview."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from meta_insights_pipeline.read_api.models.rows import (
    DecimalText,
    answer_model,
    example_of,
    list_of,
    or_null,
    row_model,
)
from meta_insights_pipeline.read_api.models.shared import AS_OF, NOTES_FIELD, PERIOD, PERIOD_EXAMPLE, PeriodModel
from meta_insights_pipeline.warehouse.reading import account_freshness, overview
from meta_insights_pipeline.warehouse.reading.conversions import CONVERSION_COLUMNS
from meta_insights_pipeline.warehouse.reading.figures import figure_columns
from meta_insights_pipeline.warehouse.reading.statement import ResultColumn

_IN_CURRENCY = ("account_currency", "is_current")


def _inside(columns: tuple[ResultColumn, ...]) -> tuple[ResultColumn, ...]:
    """Columns of rows that stand below their currency."""
    return tuple(column for column in columns if column.name not in _IN_CURRENCY)


class ChangeModel(BaseModel):
    """From the previous period to this one."""

    model_config = ConfigDict(extra="forbid", title="Change")

    absolute: DecimalText | int | float | None = Field(
        description="The figure less that of the previous period, in the form of the figure; null when either is null.",
        examples=["12.4"],
    )
    relative: float | None = Field(
        description="The difference divided by the figure of the previous period: 0.1 is 10 % more; null when that is null or 0.",
        examples=[0.1],
    )


TotalsModel = row_model(
    "OverviewTotals",
    _inside(overview.TOTAL_COLUMNS),
    "The ad accounts of one currency over a period.",
    required=("accounts", "days", "account_days", "collected_days", "is_whole"),
)
DayModel = row_model(
    "OverviewDay",
    _inside(overview.DAILY_COLUMNS),
    "The ad accounts of one currency on one day; days without delivery have no row.",
    required=("date_start", "accounts"),
)
CampaignModel = row_model(
    "TopCampaign",
    _inside(overview.CAMPAIGN_COLUMNS),
    "One of the campaigns that cost most.",
    required=("account_id", "campaign_id", "days"),
)
ConversionsModel = row_model(
    "Conversions",
    _inside(CONVERSION_COLUMNS),
    "One event over the period, in all and within each attribution window.",
    required=("event", "action_type"),
)
ChangesModel = answer_model(
    "Changes",
    "The change of every figure.",
    **{
        column.name: (ChangeModel, f"The change of {column.name}.", {"absolute": None, "relative": None})
        for column in figure_columns()
    },
)
CurrencyModel = answer_model(
    "CurrencyOverview",
    "Everything in one currency; currencies are never added up.",
    account_currency=(str | None, "Currency of all money below, ISO 4217; null when it is not known.", "EUR"),
    totals=(
        or_null(TotalsModel),
        "The period; null for a currency in which campaigns alone have rows.",
        example_of(TotalsModel),
    ),
    previous=(or_null(TotalsModel), "As many days just before; null like totals.", example_of(TotalsModel)),
    change=(
        or_null(ChangesModel),
        (
            "From the days of the previous period to those of this one, `compared_days` of each; null when not all of "
            "these were collected in both, see `notes.previous`."
        ),
        {"spend": {"absolute": "12.4", "relative": 0.1}},
    ),
    conversions=(list_of(ConversionsModel), "Each event that happened.", [example_of(ConversionsModel)]),
    daily=(list_of(DayModel), "Each day of the period with delivery, in order.", [example_of(DayModel)]),
    top_campaigns=(
        list_of(CampaignModel),
        "The campaigns that cost most, by falling spend.",
        [example_of(CampaignModel)],
    ),
)
MissingModel = row_model(
    "MissingPart",
    account_freshness.MISSING_COLUMNS[1:],
    "Days of a report that could not be had so far.",
    required=("report", "date_from", "date_to", "kind", "reason"),
    examples={"reason": "The limit of calls of this account is reached."},
)
FreshnessModel: Any = row_model(
    "AccountFreshness",
    account_freshness.FRESHNESS_COLUMNS,
    "How fresh and how whole the days of an ad account are.",
    required=("account_id", "date_from", "date_to", "collected_days", "is_final"),
    more={
        "missing": (
            list_of(MissingModel),
            Field(description="Days of the period that lack, by report.", examples=[[]]),
        )
    },
)
OverviewModel = answer_model(
    "Overview",
    "The ad accounts that may be seen, over a period.",
    period=PERIOD,
    previous_period=(
        PeriodModel,
        "As many days, just before.",
        PERIOD_EXAMPLE | {"date_from": "2026-10-19", "date_to": "2026-10-25"},
    ),
    compared_days=(
        int,
        (
            "How many days of each period `change` compares, the first: as many as are over of this one, by the clock of the "
            "ad account that is furthest ahead."
        ),
        7,
        "days",
    ),
    as_of=AS_OF,
    currencies=(list_of(CurrencyModel), "One entry for each currency.", []),
    freshness=(list_of(FreshnessModel), "One entry for each ad account.", [example_of(FreshnessModel)]),
    notes=NOTES_FIELD,
)
