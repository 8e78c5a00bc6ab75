"""Cursors and pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_insights_pipeline.simulator.paging import decode_cursor, encode_cursor, link, offset_page


@pytest.mark.parametrize(
    ("number", "cursor"), [(0, "MAZDZD"), (1, "MQZDZD"), (24, "MjQZD"), (74, "NzQZD"), (199, "MTk5")]
)
def test_cursors_look_like_metas(number: int, cursor: str) -> None:
    assert encode_cursor(number) == cursor
    assert decode_cursor(cursor) == number


@given(st.integers(0, 10**19))
def test_cursors_can_be_read_back(number: int) -> None:
    assert decode_cursor(encode_cursor(number)) == number


@given(total=st.integers(0, 400), limit=st.integers(1, 150))
def test_following_after_visits_every_row_once(total: int, limit: int) -> None:
    seen: list[int] = []
    params = {"limit": str(limit)}
    while True:
        page = offset_page(params, total)
        seen += range(page.start, page.stop)
        if not page.more:
            break
        params["after"] = encode_cursor(page.stop - 1)
    assert seen == list(range(total))


@given(total=st.integers(1, 400), limit=st.integers(1, 150), start=st.integers(0, 399))
def test_before_leads_to_the_rows_in_front(total: int, limit: int, start: int) -> None:
    page = offset_page({"limit": str(limit), "before": encode_cursor(start)}, total)
    assert page.stop == min(start, total)
    assert page.stop - page.start <= limit


def test_links_keep_everything_but_the_old_cursor() -> None:
    params = {"access_token": "a b", "after": "x", "fields": "id,name"}
    assert (
        link("http://h/v26.0/x", params, "after", "NEW")
        == "http://h/v26.0/x?access_token=a+b&fields=id%2Cname&after=NEW"
    )
