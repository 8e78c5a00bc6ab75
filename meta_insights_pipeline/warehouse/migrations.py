"""Bringing a warehouse of an earlier schema version up to this one, in place and in one transaction, after a copy was made.

A step says how what was there becomes what is there one version later, in the names of its own time. What is wholly new in a
version is made by the schema's own statements, which run after the last step.
"""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from meta_insights_pipeline.warehouse.schema import SCHEMA_VERSION, create_schema_statements

log = logging.getLogger(__name__)


def _to_2(database: str) -> list[str]:
    """Rows say which fields Meta withheld; what is missing says of which kind it is and when it is asked for again."""
    facts = ("account_insights", "campaign_insights", "adset_insights", "ad_insights")
    missing = f'"{database}".pipeline.missing'
    return [
        *(f'ALTER TABLE "{database}"."{table}" ADD COLUMN withheld_fields VARCHAR' for table in facts),
        f"ALTER TABLE {missing} ADD COLUMN retry_at TIMESTAMP",
        f"ALTER TABLE {missing} ADD COLUMN kind VARCHAR DEFAULT 'failed'",
        f"ALTER TABLE {missing} ALTER COLUMN kind SET NOT NULL",
        f"ALTER TABLE {missing} ALTER COLUMN kind DROP DEFAULT",
    ]


def _to_3(_database: str) -> list[str]:
    """The ledger and the book of recovered rows come, both wholly new."""
    return []


def _to_4(database: str) -> list[str]:
    """Rows keep what no column takes, and it is written down when it came first; the action types that are there are not new."""
    tables = ("account_insights", "campaign_insights", "adset_insights", "ad_insights")
    added = [(f"{table}{suffix}", "other_fields") for table in tables for suffix in ("", "_history")]
    added += [(f"insight_actions{suffix}", "other_windows") for suffix in ("", "_history")]
    drift = f'"{database}".pipeline.drift'
    return [
        # The histories came with version 2, whose own step leaves what is wholly new to the schema's statements.
        *(f'ALTER TABLE IF EXISTS "{database}"."{table}" ADD COLUMN {column} VARCHAR' for table, column in added),
        (
            f"CREATE TABLE {drift} (kind VARCHAR NOT NULL, report VARCHAR NOT NULL, name VARCHAR NOT NULL, "
            "first_seen_at TIMESTAMP NOT NULL, last_seen_at TIMESTAMP NOT NULL, run_id VARCHAR NOT NULL, "
            "account_id VARCHAR NOT NULL, example VARCHAR, is_new BOOLEAN NOT NULL)"
        ),
        (
            f"INSERT INTO {drift} SELECT 'action_type', level || '_insights', action_type, min(changed_at), max(changed_at), "
            f"'migration', min_by(account_id, changed_at), NULL, false FROM \"{database}\".insight_actions "
            "GROUP BY level, action_type"
        ),
    ]


def _to_5(database: str) -> list[str]:
    """It is noted which days the histories were thinned for; the book of accounts is wholly new.

    Until then versions were thinned up to the very moment a week ago, so the day of that moment counts as thinned too.
    """
    book = f'"{database}".pipeline.history_thinning'
    exists = f"CREATE TABLE IF NOT EXISTS {book} (thinned_at TIMESTAMP NOT NULL)"
    return [
        # The book came with version 2, whose own step leaves what is wholly new to the schema's statements.
        exists,
        f"ALTER TABLE {book} ADD COLUMN thinned_before TIMESTAMP",
        f"UPDATE {book} SET thinned_before = date_trunc('day', thinned_at - INTERVAL 7 DAYS) + INTERVAL 1 DAY",
        f"ALTER TABLE {book} ALTER COLUMN thinned_before SET NOT NULL",
    ]


STEPS: Mapping[int, Callable[[str], list[str]]] = MappingProxyType({1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5})
"""The statements that lead from each version to the next one."""


def migration_statements(database: str, version: int) -> list[str]:
    """Everything that leads from a version to this one, to be run in one transaction while `database` is the default one."""
    steps = [statement for step in range(version, SCHEMA_VERSION) for statement in STEPS[step](database)]
    return [
        *steps,
        *create_schema_statements(database),
        f'UPDATE "{database}".pipeline.schema_version SET version = {SCHEMA_VERSION}',
    ]


def back_up(path: Path, version: int) -> Path:
    """Copy a closed warehouse file to a name that says its version, in place of an earlier copy.

    Raises:
        OSError: The copy cannot be made; an earlier one is untouched.
    """
    copy = path.with_name(f"{path.name}.v{version}.bak")
    draft = copy.with_name(f".{copy.name}.draft-{os.getpid()}")
    try:
        shutil.copyfile(path, draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(copy)
    finally:
        draft.unlink(missing_ok=True)
    log.info("The warehouse %s has schema version %d; a copy of it is %s.", path, version, copy)
    return copy
