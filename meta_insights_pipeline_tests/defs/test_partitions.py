"""The day partitions."""

from datetime import UTC, datetime

from meta_insights_pipeline.defs.partitions import account_days


def test_today_is_a_partition_as_soon_as_it_begins_anywhere_and_tomorrow_is_not() -> None:
    keys = account_days().get_partition_keys(datetime(2026, 11, 22, 9, 59, tzinfo=UTC))
    assert keys[-1] == "2026-11-22"
    keys = account_days().get_partition_keys(datetime(2026, 11, 22, 10, 0, tzinfo=UTC))
    assert keys[-1] == "2026-11-23"


def test_the_first_partition_is_the_start_date_of_the_settings() -> None:
    assert account_days().get_partition_keys()[0] == "2023-11-01"
