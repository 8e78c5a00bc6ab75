"""The folder and environment of the pipeline's own Dagster instance."""

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from meta_insights_pipeline.settings import Settings, SettingsError

if TYPE_CHECKING:
    import dagster as dg

_DAGSTER_YAML = """\
# Written by the pipeline when this file is missing; yours to change afterwards.
telemetry:
  enabled: false
nux:
  enabled: false
# As Dagster's default, but a run over many days writes its events in batches.
storage:
  custom:
    module: meta_insights_pipeline.instance.storage
    class: BatchedSqliteStorage
    config:
      base_dir: {env: DAGSTER_HOME}
retention:
  schedule:
    purge_after_days: {skipped: 7, failure: 30, success: 30}
"""


def prepare_dagster_home(settings: Settings, environment: MutableMapping[str, str] = os.environ) -> Path:
    """Make the instance's folder and point this process and its children to it.

    Returns:
        DAGSTER_HOME, which is the user's own when it is set.

    Raises:
        SettingsError: The user's own is no folder.
    """
    environment.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    # Beta notices of Dagster's own features are not for those who run the pipeline.
    environment.setdefault("PYTHONWARNINGS", "ignore::UserWarning:dagster,ignore::DeprecationWarning:dagster")
    if own := environment.get("DAGSTER_HOME"):
        if not (Path(own).is_absolute() and Path(own).is_dir()):
            raise SettingsError(
                f"DAGSTER_HOME is {own!r}, which is not the whole path of a folder that exists; make or unset it."
            )
        return Path(own)
    home = (settings.home / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    if not file.exists():
        file.write_text(_DAGSTER_YAML, "utf-8")
    environment["DAGSTER_HOME"] = str(home)
    return home


def make_databases(home: Path) -> None:
    """Make the instance's databases if this is its first use.

    Dagster's processes each try to, and fail when two of them do at the same time.
    """
    ready = home / ".ready"
    if ready.exists():
        return
    import dagster as dg

    with FileLock(home / ".ready.lock"):
        if not ready.exists():
            with dg.DagsterInstance.get():
                ready.touch()


@contextmanager
def open_instance(home: Path) -> "Iterator[dg.DagsterInstance]":
    """The instance, with its databases made."""
    import dagster as dg

    make_databases(home)
    with dg.DagsterInstance.get() as instance:
        yield instance
