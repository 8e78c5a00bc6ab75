"""What was bought is kept until it is in the warehouse, and gone on with by whoever comes next."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline.collector.report_book import ReportBook, identity
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
KEY = identity("http://x", "v26.0", "act_1", {"level": "ad"})


class Shelf:
    """A state that several books share, as several processes would."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder / "state.sqlite")
        self.clock = SkippingClock(NOW)
        self.pages = folder / "pages"
        self.alive = {"one", "two"}

    def book(self, owner: str) -> ReportBook:
        return ReportBook(self.state, self.pages, self.clock, owner=owner, is_alive=self.alive.__contains__)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.state.close()


def test_the_same_question_has_the_same_identity_whatever_the_order_of_its_parameters() -> None:
    one = identity("u", "v", "n", {"a": "1", "b": "2"})
    assert one == identity("u", "v", "n", {"b": "2", "a": "1"})
    assert one != identity("u", "v", "m", {"a": "1", "b": "2"})


def test_after_a_kill_the_next_sync_goes_on_behind_the_last_page(shelf: Shelf) -> None:
    book = shelf.book("one")
    bought = book.claim(KEY, asynchronous=True, ended=False)
    book.submitted(bought, "77")
    book.add_page(bought, b"[1]", "MQ")
    shelf.alive.discard("one")
    found = shelf.book("two").claim(KEY, asynchronous=True, ended=False)
    assert (found.run_id, found.pages, found.after, found.complete) == ("77", 1, "MQ", False)
    assert [file.read_bytes() for file in shelf.book("two").files(found)] == [b"[1]"]
    assert found.asked_at == NOW


def test_what_another_living_sync_works_on_is_not_taken(shelf: Shelf) -> None:
    bought = shelf.book("one").claim(KEY, asynchronous=True, ended=False)
    other = shelf.book("two").claim(KEY, asynchronous=True, ended=False)
    assert other.id != bought.id
    shelf.book("one").release()
    assert shelf.book("two").claim(KEY, asynchronous=True, ended=False).id in (bought.id, other.id)


@pytest.mark.parametrize(
    ("asynchronous", "ended", "lives"),
    [(False, False, timedelta(minutes=15)), (True, False, timedelta(hours=24)), (True, True, timedelta(days=29))],
)
def test_it_is_gone_on_with_for_as_long_as_it_is_as_good_as_new(
    shelf: Shelf, asynchronous: bool, ended: bool, lives: timedelta
) -> None:
    book = shelf.book("one")
    bought = book.claim(KEY, asynchronous=asynchronous, ended=ended)
    shelf.clock.sleep(lives.total_seconds() - 1)
    assert book.claim(KEY, asynchronous=asynchronous, ended=ended).id == bought.id
    shelf.clock.sleep(2)
    assert book.claim(KEY, asynchronous=asynchronous, ended=ended).id != bought.id


def test_a_list_whose_last_page_was_empty_is_complete_all_the_same(shelf: Shelf) -> None:
    book = shelf.book("one")
    bought = book.claim(KEY, asynchronous=True, ended=False)
    book.add_page(bought, b"[1]", "MQ")
    book.finish(bought)
    assert book.claim(KEY, asynchronous=True, ended=False).complete


def test_what_is_in_the_warehouse_is_forgotten_with_its_pages(shelf: Shelf) -> None:
    book = shelf.book("one")
    bought = book.claim(KEY, asynchronous=True, ended=False)
    book.add_page(bought, b"[1]", None)
    (page,) = book.files(bought)
    book.discard([bought])
    assert not page.exists()
    assert book.claim(KEY, asynchronous=True, ended=False).pages == 0


def test_a_sweep_removes_what_is_too_old_and_leaves_what_somebody_works_on(shelf: Shelf) -> None:
    old, held, fresh = (shelf.book(owner) for owner in ("one", "two", "three"))
    bought = old.claim(KEY, asynchronous=True, ended=False)
    old.add_page(bought, b"[1]", "MQ")
    worked_on = held.claim(KEY, asynchronous=True, ended=False)
    held.add_page(worked_on, b"[2]", "MQ")
    shelf.alive.discard("one")
    shelf.clock.sleep(timedelta(hours=25).total_seconds())
    new = fresh.claim(KEY, asynchronous=True, ended=False)
    fresh.add_page(new, b"[3]", None)
    fresh.sweep()
    assert sorted(file.read_bytes() for file in shelf.pages.rglob("*.json")) == [b"[2]", b"[3]"]


def test_pages_of_a_purchase_that_a_kill_left_without_a_line_are_swept_up(shelf: Shelf) -> None:
    book = shelf.book("one")
    bought = book.claim(KEY, asynchronous=True, ended=False)
    book.add_page(bought, b"[1]", None)
    with shelf.state.transaction() as connection:
        connection.execute("DELETE FROM purchases")
    begun_by_another = shelf.pages / str(bought.id + 1)
    begun_by_another.mkdir()
    shelf.book("two").sweep()
    assert list(shelf.pages.iterdir()) == [begun_by_another]
