"""The day partitions: one definition for all insights, from the configured start through today."""

from functools import cache

import dagster as dg

from meta_insights_pipeline.collector.days import FIRST_ZONE
from meta_insights_pipeline.settings import load_settings


@cache
def account_days() -> dg.DailyPartitionsDefinition:
    """Days of the ad accounts, each in its own time zone, today included.

    A day becomes a partition when it begins in the first zone on Earth, so that accounts ahead of UTC have theirs in time;
    for an account in which it has not begun yet, it holds no rows.
    """
    return dg.DailyPartitionsDefinition(
        start_date=load_settings().start_date.isoformat(), timezone=FIRST_ZONE, end_offset=1
    )
