"""The audit log."""

from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.audit import DONE, FAILED, REFUSED, SYNC, AuditLog
from meta_insights_pipeline_tests.clocks import SkippingClock


def test_entries_come_back_as_they_were_recorded_the_newest_last(file: AccessFile, clock: SkippingClock) -> None:
    log = AuditLog(file, clock)
    assert log.newest(5) == []
    for number, outcome in enumerate((DONE, REFUSED, FAILED)):
        log.record(f"key:{number}", SYNC, outcome, {"accounts": ["1"], "run_id": "ü"}, f"request-{number}")
        clock.sleep(1)
    entries = log.newest(2)
    assert [(one.principal, one.outcome, one.request_id) for one in entries] == [
        ("key:1", "refused", "request-1"),
        ("key:2", "failed", "request-2"),
    ]
    assert entries[0].details == {"accounts": ["1"], "run_id": "ü"}
    assert (entries[1].at - entries[0].at).total_seconds() == 1
    assert entries[0].at.utcoffset() is not None


def test_an_entry_is_on_disk_for_others_as_soon_as_it_is_recorded(file: AccessFile, clock: SkippingClock) -> None:
    AuditLog(file, clock).record("open:local", SYNC, DONE, {})
    (entry,) = AuditLog(AccessFile(file.path), clock).newest(1)
    assert (entry.principal, entry.action, entry.request_id) == ("open:local", "sync", None)
