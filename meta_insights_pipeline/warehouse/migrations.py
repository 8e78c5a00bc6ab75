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


STEPS: Mapping[int, Callable[[str], list[str]]] = MappingProxyType({1: _to_2})
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
