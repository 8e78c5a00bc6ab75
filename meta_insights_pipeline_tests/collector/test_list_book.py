"""Half-read lists are kept, and gone on with by whoever comes next."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from meta_insights_pipeline.collector.list_book import LIST_LIVES, ListBook, OldPage, Progress
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock

NOW = datetime(2026, 11, 22, 14, tzinfo=UTC)
ONE, TWO = b'[{"id":"1","rate":0.1}]', b'[{"id":"2"}]'


class Shelf:
    """A state that several books share, as several processes would."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder / "state.sqlite")
        self.clock = SkippingClock(NOW)
        self.pages = folder / "lists"
        self.alive = {"one", "two"}

    def book(self, owner: str) -> ListBook:
        return ListBook(self.state, self.pages, self.clock, owner=owner, is_alive=self.alive.__contains__)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.state.close()


def begun(shelf: Shelf, owner: str = "one") -> Progress:
    book = shelf.book(owner)
    return book.add(book.claim("1", "ads"), NOW, ONE, "MQ")


def test_the_next_sync_goes_on_behind_the_last_page_and_finds_what_is_there(shelf: Shelf) -> None:
    begun(shelf)
    shelf.book("one").release()
    book = shelf.book("two")
    found = book.claim("1", "ads")
    assert (found.pages, found.after, found.complete) == (1, "MQ", False)
    found = book.add(found, NOW + timedelta(hours=1), TWO, None)
    assert found.complete
    assert list(book.pages(found)) == [
        OldPage(NOW, [{"id": "1", "rate": Decimal("0.1")}], is_stored=False),
        OldPage(NOW + timedelta(hours=1), [{"id": "2"}], is_stored=False),
    ]


def test_after_a_kill_it_is_free_and_while_its_sync_lives_it_is_not(shelf: Shelf) -> None:
    first = begun(shelf)
    assert shelf.book("two").claim("1", "ads") == Progress("1", "ads")
    shelf.alive.discard("one")
    assert shelf.book("two").claim("1", "ads") == first


def test_another_question_is_another_list(shelf: Shelf) -> None:
    begun(shelf)
    assert shelf.book("one").claim("1", "campaigns") == Progress("1", "campaigns")


def test_a_list_of_one_page_costs_nothing_unless_its_refresh_is_interrupted(shelf: Shelf) -> None:
    book = shelf.book("one")
    found = book.add(book.claim("1", "ads"), NOW, ONE, None)
    assert (found.pages, found.complete) == (1, True)
    assert not shelf.pages.exists()
    book.interrupt("1", is_stored=False)
    (page,) = book.pages(book.claim("1", "ads"))
    assert not page.is_stored
    assert book.claim("1", "ads").complete


def test_a_page_tells_whether_the_warehouse_has_it(shelf: Shelf) -> None:
    begun(shelf)
    book = shelf.book("one")
    book.interrupt("1", is_stored=True)
    found = book.add(book.claim("1", "ads"), NOW, TWO, "Mg")
    assert [page.is_stored for page in book.pages(book.claim("1", "ads"))] == [True, False]
    assert book.restart(found) == Progress("1", "ads", found.id)
    assert list(book.pages(book.claim("1", "ads"))) == []


def test_a_list_lives_as_long_as_somebody_goes_on_with_it_within_a_day(shelf: Shelf) -> None:
    first = begun(shelf)
    for _ in range(3):
        shelf.clock.sleep(LIST_LIVES.total_seconds() - 1)
        assert shelf.book("one").claim("1", "ads") == first
    shelf.book("one").release()
    shelf.clock.sleep(LIST_LIVES.total_seconds())
    shelf.book("two").sweep()
    assert shelf.book("two").claim("1", "ads").pages == 0


def test_once_an_account_is_refreshed_nothing_is_left_but_up_to_when_its_changes_were_seen(shelf: Shelf) -> None:
    begun(shelf)
    book = shelf.book("one")
    assert book.seen_until("1") is None
    book.close("1", NOW)
    assert book.seen_until("1") == NOW
    assert book.claim("1", "ads").pages == 0
    assert list(shelf.pages.iterdir()) == []


def test_what_a_kill_left_without_a_line_is_swept_up(shelf: Shelf) -> None:
    found = begun(shelf)
    begun_by_another = shelf.pages / "9"
    begun_by_another.mkdir()
    shelf.book("one").sweep()
    assert sorted(entry.name for entry in shelf.pages.iterdir()) == [str(found.id), "9"]
    with shelf.state.transaction() as connection:
        connection.execute("DELETE FROM lists")
    shelf.book("one").sweep()
    assert list(shelf.pages.iterdir()) == [begun_by_another]
