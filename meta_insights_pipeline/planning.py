"""`meta-insights plan`: the calls that a sync would make and what they cost, without making them."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.catalog.versions import retirement
from meta_insights_pipeline.collection import Wanted, accounts_of, draw_up, open_collection
from meta_insights_pipeline.collector.accounts import NoAccountError
from meta_insights_pipeline.entity_sync import entity_calls, unlisted_accounts
from meta_insights_pipeline.graph_api.errors import GraphApiError
from meta_insights_pipeline.manual_sync import DaysWanted, ManualSyncError
from meta_insights_pipeline.plan_report import PlanReport
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.knowledge import read_knowledge


def plan_manual_sync(
    settings: Settings, wanted: DaysWanted, levels: Sequence[str] = (), accounts: Sequence[str] = ()
) -> PlanReport:
    """Plan what `run_manual_sync` would do; makes no call but those that planning needs.

    Raises:
        SettingsError: A setting cannot be used.
        ManualSyncError: There can be no plan.
    """
    try:
        with open_collection(settings, f"plan-{uuid4()}") as collection:
            found = accounts_of(collection, accounts)
            now = collection.clock.now()
            days = wanted.resolve(now, [account.timezone_name for account in found.accounts])
            knowledge = read_knowledge(Warehouse(settings.warehouse_path, settings.home / "tmp"), settings.mode)
            reports = reports_of_levels([Level(level) for level in levels] or list(Level))
            plan = draw_up(collection, [Wanted(found.accounts, reports, days)], knowledge.rows_a_day)
            entities = {}
            if not levels:
                sizes = {**plan.rows_a_day, **knowledge.listed}
                for account in found.accounts:
                    entities[account.id] = sum(entity_calls(collection, [account], sizes, timedelta()).values())
                calls = {"entities": sum(entities.values())}
                plan = plan.with_calls(calls, unlisted_accounts(collection, found.accounts))
            return PlanReport(
                days,
                plan,
                found.accounts,
                collection.api.meter.counts().total,
                tuple(collection.budget.levels()),
                entities=entities,
                polls=collection.lessons.polls_a_report(),
                alarm=retirement(settings.graph_api_version, now.date()),
            )
    except (NoAccountError, GraphApiError, WarehouseError) as error:
        raise ManualSyncError(str(error)) from None
