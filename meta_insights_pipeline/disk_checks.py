"""The doctor's checks of what lies on disk: warehouse, published copy, room, Dagster's folder. Nothing here calls Meta."""

import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from meta_insights_pipeline.catalog.conversions import ConversionError, choices, unseen_choices
from meta_insights_pipeline.findings import Finding, fail, not_checked, ok, warn
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.database import Warehouse, WarehouseError
from meta_insights_pipeline.warehouse.schema import SCHEMA_VERSION
from meta_insights_pipeline.warehouse.state import WarehouseInUseError, WarehouseState, read_state

OLD_SYNC = timedelta(days=1)
LEAST_FREE = 200_000_000
"""Bytes."""
FREE_SHARE = 5
"""So many times the size of the warehouse should be free: a sync copies it, and it grows."""
_INSIDE = ("rows", "last sync", "missing", "conversions", "published copy")


def check_disk(settings: Settings, now: datetime, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Every finding about files; nothing is raised.

    Args:
        settings: Where they lie.
        now: For ages.
        environment: Where DAGSTER_HOME may be set.
    """
    return [
        *_warehouse(settings, now),
        _room(settings),
        _dagster_home(settings, environment),
    ]


def _warehouse(settings: Settings, now: datetime) -> list[Finding]:
    path = settings.warehouse_path
    try:
        _check_writable(settings)
        state = read_state(path) if path.exists() else None
    except WarehouseInUseError as error:
        return [warn("warehouse", str(error)), *not_checked(_INSIDE, "the warehouse is in use")]
    except WarehouseError as error:
        return [fail("warehouse", str(error)), *not_checked(_INSIDE, "the warehouse cannot be used")]
    if state is None:
        missing = warn("warehouse", f"{path} is not there yet; load it with meta-insights sync.")
        return [missing, _conversions(settings, frozenset())]
    if state.schema_version != SCHEMA_VERSION:
        return [_other_schema(path, state), *not_checked(_INSIDE, "the warehouse has another schema")]
    shown = f"{path}, {_bytes(path.stat().st_size)}, schema version {SCHEMA_VERSION}; can be read and written."
    return [
        ok("warehouse", shown),
        _mode(settings, state),
        _last_sync(state, now),
        _missing(state),
        _conversions(settings, state.action_types),
        _snapshot(settings, state, now),
    ]


def _check_writable(settings: Settings) -> None:
    """Try to write where the warehouse is, or where it will be made: looking makes no folder."""
    path = settings.warehouse_path
    if path.parent.is_dir():
        Warehouse(path, settings.home / "tmp").check_writable()
        return
    try:
        _probe(_existing(path.parent))
    except OSError as error:
        raise WarehouseError(
            f"{path} cannot be made ({error.strerror or error}); set META_INSIGHTS_WAREHOUSE or META_INSIGHTS_HOME."
        ) from None


def _other_schema(path: Path, state: WarehouseState) -> Finding:
    version = state.schema_version
    if version is None:
        return fail(
            "warehouse", f"{path} is a DuckDB file of something else; set META_INSIGHTS_WAREHOUSE to another name."
        )
    shown = f"{path} has schema version {version} and this program {SCHEMA_VERSION}"
    if version > SCHEMA_VERSION:
        return fail("warehouse", f"{shown}; use the newer program that wrote it.")
    return warn("warehouse", f"{shown}; the next sync makes a copy and brings it up to date.")


def _mode(settings: Settings, state: WarehouseState) -> Finding:
    if state.mode is None:
        return warn("rows", "There are none yet; load some with meta-insights sync.")
    if state.mode == settings.mode:
        return ok("rows", "They come from Meta." if state.mode == "live" else "They come from the simulated world.")
    if state.mode == "stub":
        return warn("rows", "They come from the simulated world; the first live sync removes them.")
    return fail("rows", "They come from Meta, and a stub sync is refused; set META_INSIGHTS_HOME to another folder.")


def _last_sync(state: WarehouseState, now: datetime) -> Finding:
    if state.collected_at is None:
        return warn("last sync", "Nothing was collected yet; run meta-insights sync.")
    age = now - state.collected_at
    shown = f"Collected {_age(age)} ago, on {state.collected_at:%Y-%m-%d %H:%M} UTC"
    if age > OLD_SYNC:
        return warn("last sync", f"{shown}; start the schedule with meta-insights up, or run meta-insights sync.")
    return ok("last sync", f"{shown}.")


def _missing(state: WarehouseState) -> Finding:
    if not state.missing_days:
        return ok("missing", "Nothing that was asked for is missing.")
    days = "1 day" if state.missing_days == 1 else f"{state.missing_days} days"
    remedy = "mend the cause and sync these days again"
    if state.deferred_days == state.missing_days:
        remedy = "the schedule asks for them again by itself"
    elif state.deferred_days:
        remedy = f"the schedule asks for {state.deferred_days} of them again by itself; mend the cause of the others"
    return warn("missing", f"{days} of reports could not be had; {remedy}: {state.missing_example}")


def _conversions(settings: Settings, seen: Collection[str]) -> Finding:
    try:
        chosen = choices(settings.conversions)
    except ConversionError as error:
        return fail("conversions", f"META_INSIGHTS_CONVERSIONS cannot be used: {error}")
    unseen = unseen_choices(chosen, seen)
    if unseen:
        return warn("conversions", " ".join(unseen))
    return ok("conversions", f"{len(chosen)} events, each counted by an action type that is known or has come.")


def _snapshot(settings: Settings, state: WarehouseState, now: datetime) -> Finding:
    path = settings.snapshot_path
    try:
        published = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return warn("published copy", f"{path} is not there; a sync with nothing missing makes it.")
    shown = f"{path}, published {_age(now - published)} ago"
    if state.collected_at is not None and published < state.collected_at:
        return warn("published copy", f"{shown}, before the last sync; sync again, what is missing keeps it back.")
    return ok("published copy", f"{shown}.")


def _room(settings: Settings) -> Finding:
    folder = _existing(settings.home)
    try:
        free = shutil.disk_usage(folder).free
        path = settings.warehouse_path
        size = path.stat().st_size if path.exists() else 0
    except OSError as error:
        return fail("disk", f"The room in {folder} cannot be read ({error.strerror or error}); mend the file system.")
    shown = f"{_bytes(free)} free in {folder}"
    if free < LEAST_FREE:
        return fail("disk", f"{shown}, less than the {_bytes(LEAST_FREE)} that a sync needs; make room.")
    if free < FREE_SHARE * size:
        return warn("disk", f"{shown}, less than {FREE_SHARE} times the warehouse's {_bytes(size)}; make room.")
    return ok("disk", f"{shown}.")


def _dagster_home(settings: Settings, environment: Mapping[str, str]) -> Finding:
    own = environment.get("DAGSTER_HOME")
    if own and not (Path(own).is_absolute() and Path(own).is_dir()):
        return fail(
            "Dagster home",
            f"DAGSTER_HOME is {own!r}, which is no whole path of a folder that exists; make or unset it.",
        )
    home = Path(own) if own else settings.home / "dagster"
    folder = _existing(home)
    try:
        _probe(folder)
    except OSError as error:
        return fail("Dagster home", f"{folder} cannot be written ({error.strerror or error}); mend its permissions.")
    return ok("Dagster home", f"{home} can be written." if folder == home else f"{home} is made at the first start.")


def _probe(folder: Path) -> None:
    """Write something into a folder, and leave nothing there; raises OSError when that cannot be."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _age(age: timedelta) -> str:
    minutes = max(0, round(age.total_seconds() / 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 60 / 24:.0f} days"
