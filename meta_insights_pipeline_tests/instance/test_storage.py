"""The batched event log holds exactly what Dagster's own would."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from meta_insights_pipeline.instance.home import prepare_dagster_home
from meta_insights_pipeline.instance.storage import BatchedSqliteEventLogStorage
from meta_insights_pipeline.settings import Settings, SettingsError
from meta_insights_pipeline_tests.processes import wait_for

DAYS = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_date="2026-03-01")
RANGE = {
    "dagster/asset_partition_range_start": "2026-01-05",
    "dagster/asset_partition_range_end": "2026-01-16",
}


@dg.multi_asset(
    specs=[dg.AssetSpec(name, partitions_def=DAYS) for name in ("first", "second")],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("good", asset="first")],
)
def both(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]
    for key in context.partition_keys:
        context.add_asset_metadata({"day": key}, asset_key="first", partition_key=key)
    yield dg.MaterializeResult(asset_key="first", tags={"a": "b"})
    yield dg.MaterializeResult(asset_key="second")
    yield dg.AssetCheckResult(asset_key="first", check_name="good", passed=True)


@contextmanager
def our_instance(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=folder)
    environment: dict[str, str] = {}
    home = prepare_dagster_home(settings, environment)
    for name in ("DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_HOME"):
        monkeypatch.setenv(name, environment[name])
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        yield instance


def recorded(instance: dg.DagsterInstance) -> dict[str, object]:
    """What a person or a sensor could read of the run."""
    result = dg.materialize([both], instance=instance, tags=RANGE)
    assert result.success
    first = dg.AssetKey("first")
    records = instance.fetch_materializations(first, limit=100).records
    last = instance.get_latest_materialization_event(first)
    assert last is not None
    assert last.asset_materialization is not None
    kinds = [entry.dagster_event_type for entry in instance.all_logs(result.run_id) if entry.is_dagster_event]
    return {
        "kinds": sorted(str(kind) for kind in kinds),
        "materialized": {name: instance.get_materialized_partitions(dg.AssetKey(name)) for name in ("first", "second")},
        "days": [
            (r.partition_key, r.asset_materialization.metadata["day"].value) for r in records if r.asset_materialization
        ],
        "tags": [(r.asset_materialization.tags or {})["a"] for r in records if r.asset_materialization],
        "last": (last.asset_materialization.partition, (last.asset_materialization.tags or {})["a"]),
        "assets": sorted(key.to_user_string() for key in instance.all_asset_keys()),
        "last_run": instance.get_asset_records([first])[0].asset_entry.last_run_id == result.run_id,
        "checks": [
            (record.status.value, record.run_id == result.run_id, record.event is not None)
            for record in instance.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(first, "good"), limit=10
            )
        ],
        "status_count": dict(instance.get_status_by_partition(first, list(RANGE.values()), DAYS) or {}),
    }


def test_a_batch_leaves_what_single_events_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.DagsterInstance.local_temp(str(_made(tmp_path / "plain"))) as plain:
        expected = recorded(plain)
    with our_instance(tmp_path / "ours", monkeypatch) as ours:
        assert isinstance(ours.event_log_storage, BatchedSqliteEventLogStorage)
        found = recorded(ours)
    # Of what Dagster's own plans for each day of the run nothing is ever ended.
    planned = [check for check in expected["checks"] if check[0] != "PLANNED"]  # type: ignore[attr-defined]
    assert found == {**expected, "checks": planned}
    assert planned == [("SUCCEEDED", True, True)]
    assert len(expected["days"]) == 12  # type: ignore[arg-type]


def test_whoever_watches_a_run_is_told_of_what_happens_while_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @dg.asset
    def slow(context: dg.AssetExecutionContext) -> None:
        context.instance.watch_event_logs(
            context.run.run_id, None, lambda event, _: told.append(str(event.dagster_event_type))
        )
        context.log_event(dg.AssetObservation("slow"))
        wait_for(lambda: "DagsterEventType.ASSET_OBSERVATION" in told, 10, "the observation")

    with our_instance(tmp_path, monkeypatch) as instance:
        assert dg.materialize([slow], instance=instance).success
        wait_for(lambda: "DagsterEventType.RUN_SUCCESS" in told, 10, "the end of the run")


def test_a_home_that_was_moved_is_used_where_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with our_instance(tmp_path / "old", monkeypatch):
        pass
    (tmp_path / "old").rename(tmp_path / "new")
    with our_instance(tmp_path / "new", monkeypatch) as moved:
        assert dg.materialize([both], instance=moved, tags=RANGE).success
    assert not (tmp_path / "old").exists()


def test_the_users_own_dagster_home_is_used_as_it_is(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path / "home")
    theirs = _made(tmp_path / "theirs")
    assert prepare_dagster_home(settings, {"DAGSTER_HOME": str(theirs)}) == theirs
    assert list(theirs.iterdir()) == []
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("own", ["relative/folder", "/nowhere/at/all"])
def test_a_dagster_home_that_is_no_folder_is_named(tmp_path: Path, own: str) -> None:
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path)
    with pytest.raises(SettingsError, match=f"DAGSTER_HOME is '{own}'"):
        prepare_dagster_home(settings, {"DAGSTER_HOME": own})


def test_a_changed_dagster_yaml_is_not_written_over(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, META_INSIGHTS_HOME=tmp_path)
    home = prepare_dagster_home(settings, {})
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    prepare_dagster_home(settings, {})
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
