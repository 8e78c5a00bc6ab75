"""Parts of an answer at the same time: in order, with their errors, and over when they come back."""

import threading
from collections.abc import Iterator

import pytest

from meta_insights_pipeline.warehouse.reading.side_by_side import SideBySide


@pytest.fixture
def helpers() -> Iterator[SideBySide]:
    found = SideBySide(2)
    yield found
    found.close()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_come_in_the_order_of_the_parts_however_many_help(count: int) -> None:
    helpers = SideBySide(count)
    assert helpers.results(*(lambda number=number: number for number in range(8))) == list(range(8))
    helpers.close()


def test_parts_run_at_the_same_time(helpers: SideBySide) -> None:
    meeting = threading.Barrier(3, timeout=10)
    # None of them could end if they ran one after the other.
    assert len(helpers.results(meeting.wait, meeting.wait, meeting.wait)) == 3


def test_the_first_error_is_told_once_no_part_is_at_work_any_more(helpers: SideBySide) -> None:
    go_on, ended = threading.Event(), threading.Event()

    def fail() -> None:
        threading.Timer(0.05, go_on.set).start()
        raise ValueError("first")

    def end_later() -> None:
        go_on.wait(10)
        ended.set()
        raise ValueError("second")

    with pytest.raises(ValueError, match="first"):
        helpers.results(fail, end_later)
    assert ended.is_set()


def test_many_who_ask_at_once_are_answered_though_helpers_are_few(helpers: SideBySide) -> None:
    answers: list[list[int]] = []

    def ask(number: int) -> None:
        answers.append(helpers.results(*(lambda part=part: number * 10 + part for part in range(4))))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(answers) == [[number * 10 + part for part in range(4)] for number in range(20)]


def test_after_the_end_parts_are_done_without_help(helpers: SideBySide) -> None:
    helpers.close()
    names = helpers.results(*[lambda: threading.current_thread().name] * 3)
    assert names == [threading.current_thread().name] * 3
