"""What a sync tells the schedule and the sensors by files."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from meta_insights_pipeline.collector.accounts import AdAccount
from meta_insights_pipeline.home_files import AccountBook, MissingBook, MissingPart

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)


def test_the_account_book_tells_zones_and_survives_being_broken(tmp_path: Path) -> None:
    book = AccountBook(tmp_path)
    assert book.zones() == ()
    book.save([AdAccount("1", "A", "EUR", "Europe/Berlin"), AdAccount("2", "B", "EUR", "Europe/Berlin")])
    assert book.zones() == ("Europe/Berlin",)
    (tmp_path / "accounts.json").write_text(json.dumps(["not", "accounts"])[:5])
    assert book.zones() == ()


def test_the_account_book_gives_back_what_was_saved(tmp_path: Path) -> None:
    accounts = (AdAccount("1", "A", "EUR", "Europe/Berlin", 101),)
    AccountBook(tmp_path).save(accounts)
    assert AccountBook(tmp_path).accounts() == accounts


def test_syncs_that_end_at_once_write_one_after_the_other(tmp_path: Path) -> None:
    book = AccountBook(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(book.save, [AdAccount(str(n), "A", "EUR", "Europe/Berlin")]) for n in range(200)]
        assert [each.result() for each in written] == [None] * 200
    assert len(book.accounts()) == 1


def test_what_is_missing_is_due_at_its_time_and_what_has_none_never(tmp_path: Path) -> None:
    book = MissingBook(tmp_path)
    assert book.parts() == ()
    days = (date(2026, 11, 1), date(2026, 11, 3))
    due = MissingPart("ad_insights", "1", *days, "blocked", "deferred", NOW)
    later = MissingPart("ad_insights", "2", *days, "blocked", "deferred", NOW + timedelta(minutes=5))
    never = MissingPart("ad_insights", "3", *days, "no permission", "refused", None)
    book.save([due, later, never])
    assert MissingBook(tmp_path).parts() == (due, later, never)
    assert book.due(NOW) == (due,)
    assert book.due(NOW + timedelta(minutes=5)) == (due, later)
    book.save([])
    assert book.parts() == ()


def test_a_home_in_which_nothing_was_ever_missing_has_no_file_of_it(tmp_path: Path) -> None:
    MissingBook(tmp_path).save([])
    assert list(tmp_path.iterdir()) == []
