"""The sync history: receipts, the newest first, each as far as whoever asks sees its accounts."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline.read_api.receipts import ReceiptFiles
from meta_insights_pipeline.receipt import Missing, Receipt, Refused, TableReceipt, failed_receipt
from meta_insights_pipeline_tests.read_api.reading_api import NOW, OpenBooks, ReadingApi
from meta_insights_pipeline_tests.read_api.test_exports import FORMS, assert_same_rows, rows_of
from meta_insights_pipeline_tests.warehouse.mart_building import Books


def receipt(run_id: str, accounts: tuple[str, ...], finished_at: datetime = NOW, **values: Any) -> Receipt:
    fields: dict[str, Any] = {
        "run_id": run_id,
        "mode": "stub",
        "state": "complete",
        "started_at": finished_at - timedelta(seconds=40),
        "finished_at": finished_at,
        "since": date(2026, 11, 1),
        "until": date(2026, 11, 3),
        "levels": ("account", "ad"),
        "accounts": accounts,
        "planned_calls": {},
        "planned_calls_total": 4,
        "calls": {},
        "calls_total": 5,
        "requests": 5,
        "retries": 0,
        "waited_seconds": 0.0,
        "received_bytes": 100,
        "highest_usage_percent": None,
        "repeated_rows": 0,
        "tables": {"ad_insights": TableReceipt(read=4, inserted=1, updated=2, unchanged=1, removed=0)},
        "missing": (),
        "refused": (),
        "withheld": (),
        "version_warnings": (),
        "warnings": ("Account 22 is odd.",),
        "published": True,
        "snapshot": "/srv/data/meta_insights.duckdb",
        "seconds": {},
    }
    return Receipt(**(fields | values))


def gap(account_id: str) -> Missing:
    return Missing(
        report="ad_insights",
        account_id=account_id,
        since=date(2026, 11, 1),
        until=date(2026, 11, 2),
        reason=f"About {account_id}.",
        kind="deferred",
        retry_at=NOW,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "receipts"


@pytest.fixture
def api(shop: Books, tmp_path: Path) -> ReadingApi:
    return ReadingApi(OpenBooks(shop), tmp_path)


def test_there_is_no_sync_before_the_first(api: ReadingApi) -> None:
    assert api.get("syncs") == {"as_of": None, "items": [], "next_cursor": None}


def test_syncs_come_newest_first_and_each_once_over_all_pages(api: ReadingApi, folder: Path) -> None:
    for number in range(7):
        # Two of them ended at the same moment.
        receipt(f"run-{number}", ("11",), NOW - timedelta(minutes=number // 2)).save(folder)
    (folder / "half.json").write_text("{", "utf-8")
    expected = ["run-1", "run-0", "run-3", "run-2", "run-5", "run-4", "run-6"]
    for limit in (1, 2, 3, 7):
        assert [sync["run_id"] for sync in api.pages("syncs", limit=limit)] == expected
    receipt("run-9", ("11",), NOW + timedelta(minutes=1)).save(folder)
    assert api.get("syncs", limit=1)["items"][0]["run_id"] == "run-9"


def test_a_sync_tells_what_it_did_and_nothing_of_the_machine(api: ReadingApi, folder: Path) -> None:
    receipt("run", ("11", "22"), state="partial", missing=(gap("22"),)).save(folder)
    response = api.ask("syncs")
    (sync,) = api.get("syncs")["items"]
    assert sync["calls_total"] == 5
    assert sync["rows_read"] == 4
    assert sync["rows_written"] == 3
    assert sync["missing"][0]["reason"] == "About 22."
    assert "/srv" not in response.text


@pytest.mark.parametrize(
    ("accounts", "expected"), [(("11",), "complete"), (("22",), "partial"), (("33",), None), ((), None)]
)
def test_whoever_is_confined_sees_the_part_of_the_own_accounts(
    api: ReadingApi, folder: Path, accounts: tuple[str, ...], expected: str | None
) -> None:
    receipt("run", ("11", "22"), state="partial", missing=(gap("22"),)).save(folder)
    with api.seen_by(*accounts):
        items, text = api.get("syncs")["items"], api.ask("syncs").text
    assert [sync["state"] for sync in items] == ([expected] if expected else [])
    for other in {"11", "22"} - set(accounts):
        assert f'"{other}"' not in text
        assert f"{other} is odd" not in text
    for sync in items:
        assert sync["accounts"] == list(accounts)
        assert sync["calls_total"] is sync["tables"] is sync["warnings"] is sync["rows_read"] is None


def test_whoever_sees_all_accounts_of_a_sync_sees_all_of_it(api: ReadingApi, folder: Path) -> None:
    receipt("run", ("11", "22")).save(folder)
    receipt("other", ("11",), refused=(Refused(account_id="33", reason="Closed."),)).save(folder)
    with api.seen_by("11", "22"):
        syncs = {sync["run_id"]: sync for sync in api.get("syncs")["items"]}
    assert syncs["run"]["calls_total"] == 5
    assert syncs["other"]["calls_total"] is None


def test_only_syncs_of_an_account_or_until_a_moment_are_shown_when_asked_for(api: ReadingApi, folder: Path) -> None:
    receipt("old", ("11",), NOW - timedelta(days=1)).save(folder)
    receipt("new", ("22",), NOW).save(folder)
    assert [sync["run_id"] for sync in api.get("syncs", account="act_11")["items"]] == ["old"]
    assert [sync["run_id"] for sync in api.get("syncs", as_of=(NOW - timedelta(hours=1)).isoformat())["items"]] == [
        "old"
    ]
    assert api.get("syncs", account="33")["items"] == []


def test_only_syncs_about_one_of_the_days_are_shown_when_days_are_named(api: ReadingApi, folder: Path) -> None:
    spans = {"old": (1, 5), "middle": (4, 8), "new": (20, 23)}
    for name, (since, until) in spans.items():
        receipt(name, ("11",), since=date(2026, 10, since), until=date(2026, 10, until)).save(folder)

    def shown(**days: Any) -> list[str]:
        return sorted(sync["run_id"] for sync in api.get("syncs", **days)["items"])

    assert shown() == ["middle", "new", "old"]
    assert shown(date_from="2026-10-05", date_to="2026-10-05") == ["middle", "old"]
    assert shown(date_from="2026-10-08", date_to="2026-10-20") == ["middle", "new"]
    # It is the third of November.
    assert shown(days=12) == ["new"]
    assert shown(days=11) == []
    assert api.refusal("syncs", days=0)[0] == "query.days"


@pytest.mark.parametrize("form", FORMS)
def test_a_table_has_the_rows_of_the_json_answer_with_lists_as_json(api: ReadingApi, folder: Path, form: str) -> None:
    receipt("run", ("11", "22"), state="partial", missing=(gap("22"),)).save(folder)
    receipt("other", ("11",), NOW - timedelta(hours=1), warnings=()).save(folder)
    with api.seen_by("11"):
        shown, response = api.get("syncs")["items"], api.ask("syncs", format=form)
        assert "22" not in str(rows_of(response))
        rows = rows_of(response)
    for row in shown:
        row.update(
            {name: json.dumps(row[name], separators=(",", ":")) for name in row if isinstance(row[name], list | dict)}
        )
    assert_same_rows(rows, shown)
    assert len(rows_of(api.ask("syncs", format=form, limit=1))) == 1


def test_a_page_opens_the_files_that_are_on_it_and_no_others(
    api: ReadingApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        receipt(f"run-{number:02}", ("11",), NOW - timedelta(minutes=number)).save(folder)
    opened: list[str] = []
    read = ReceiptFiles.read

    def noting(files: ReceiptFiles, name: str) -> Receipt | None:
        opened.append(name)
        return read(files, name)

    monkeypatch.setattr(ReceiptFiles, "read", noting)
    first = api.get("syncs", limit=2)
    assert [sync["run_id"] for sync in first["items"]] == ["run-00", "run-01"]
    assert len(opened) == 3
    api.get("syncs", limit=2)
    assert len(opened) == 3
    api.get("syncs", limit=2, cursor=first["next_cursor"])
    assert len(opened) == 5


def test_a_sync_that_came_to_nothing_is_shown_with_its_sentence(api: ReadingApi, folder: Path) -> None:
    failed_receipt(
        run_id="run",
        mode="live",
        error="The token was refused.",
        started_at=NOW,
        finished_at=NOW,
        since=NOW.date(),
        until=NOW.date(),
        levels=["ad"],
        accounts=[],
    ).save(folder)
    (sync,) = api.get("syncs")["items"]
    assert (sync["state"], sync["error"]) == ("failed", "The token was refused.")
    # It was to be about every account, and tells nothing but that.
    with api.seen_by("11"):
        (sync,) = api.get("syncs", account="11")["items"]
    assert (sync["state"], sync["error"], sync["tables"]) == ("failed", None, None)
    with api.seen_by():
        assert api.get("syncs")["items"] == []
