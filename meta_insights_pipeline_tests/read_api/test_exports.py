"""Tables hold the rows of the JSON answer, in every form, and no cell that a spreadsheet would run."""

import csv
import io
from decimal import Decimal
from random import Random
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline_tests.read_api.random_books import fill
from meta_insights_pipeline_tests.read_api.reading_api import ReadingApi
from meta_insights_pipeline_tests.warehouse.mart_building import Books

FORMS = ("csv", "parquet", "arrow")


def rows_of(response: httpx.Response) -> list[dict[str, Any]]:
    """Rows as JSON shows them."""
    assert response.status_code == 200, response.text
    kind = response.headers["Content-Type"]
    if kind.startswith("text/csv"):
        return [
            {name: value if value != "" else None for name, value in row.items()}
            for row in csv.DictReader(io.StringIO(response.text, newline=""))
        ]
    if kind == "application/vnd.apache.parquet":
        table = pq.read_table(io.BytesIO(response.content))
    else:
        assert kind == "application/vnd.apache.arrow.stream"
        table = pa.ipc.open_stream(response.content).read_all()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def same(found: Any, shown: Any) -> bool:
    """Whether a cell is the value that JSON shows."""
    if found is None or shown is None:
        return found is shown
    if isinstance(shown, bool):
        return str(found).lower() == str(shown).lower()
    if isinstance(found, Decimal) or (isinstance(found, str) and isinstance(shown, int | float)):
        return Decimal(found) == Decimal(str(shown))
    if isinstance(shown, str) and not isinstance(found, str):
        return str(found.isoformat()) == shown.removesuffix("Z")
    return found in (shown, f"'{shown}")


def assert_same_rows(found: list[dict[str, Any]], shown: list[dict[str, Any]]) -> None:
    assert len(found) == len(shown)
    for one, other in zip(found, shown, strict=True):
        for name, value in other.items():
            assert same(one[name], value), (name, one[name], value)


@pytest.mark.parametrize("form", FORMS)
def test_every_table_holds_the_rows_of_the_json_answer(shop: Books, api: ReadingApi, form: str) -> None:
    fill(shop, Random(8))
    (campaign,) = shop.connection.execute("SELECT max(campaign_id) FROM adsets").fetchall()[0]
    overview = api.get("overview", days=10)
    for part in ("daily", "top_campaigns", "conversions"):
        shown = [row for entry in overview["currencies"] for row in entry[part]]
        assert_same_rows(rows_of(api.ask("overview", days=10, format=form, part=part)), shown)
    lines = rows_of(api.ask("overview", days=10, format=form, part="freshness"))
    assert_same_rows(lines, [{k: v for k, v in row.items() if k != "missing"} for row in overview["freshness"]])
    content = api.get(f"campaign/{campaign}", days=10)
    for part, shown in (
        ("daily", content["daily"]),
        ("summary", [content["summary"]]),
        ("conversions", content["conversions"]),
        ("children", content["children"]["items"]),
    ):
        assert_same_rows(rows_of(api.ask(f"campaign/{campaign}", days=10, format=form, part=part)), shown)
    for path, parameters in (
        (f"recent-insights/{campaign}", {}),
        ("accounts", {"days": 10}),
        ("search", {"q": "s"}),
        ("reconciliation", {}),
    ):
        shown = api.get(path, **parameters)["items"]
        assert shown
        assert_same_rows(rows_of(api.ask(path, format=form, **parameters)), shown)


@pytest.mark.parametrize("form", FORMS)
def test_a_table_has_all_rows_unless_a_limit_is_named(shop: Books, api: ReadingApi, form: str) -> None:
    for number in range(130):
        shop.account(str(number))
    assert len(api.get("accounts")["items"]) == 100
    assert len(rows_of(api.ask("accounts", format=form))) == 130
    assert len(rows_of(api.ask("accounts", format=form, limit=7))) == 7


@pytest.mark.parametrize("form", FORMS)
def test_a_table_without_rows_still_has_its_columns(api: ReadingApi, form: str) -> None:
    response = api.ask("accounts", format=form)
    assert rows_of(response) == []
    assert b"account_currency" in response.content
    assert response.headers["Content-Disposition"] == f'attachment; filename="accounts.{form}"'


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_name_that_a_spreadsheet_would_run_is_made_text_in_csv_alone(shop: Books, api: ReadingApi, name: str) -> None:
    shop.account("1")
    shop.entity(EntityKind.CAMPAIGNS, "1", campaign_id="c", name=name)
    shop.fact(Level.CAMPAIGN, "c", spend=Decimal("-1.5"))
    (row,) = rows_of(api.ask("account/1", format="csv", part="children", days=10))
    assert row["name"] == f"'{name}"
    assert row["spend"] == "-1.5"
    (row,) = rows_of(api.ask("account/1", format="parquet", part="children", days=10))
    assert row["name"] == name


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("TEXT/CSV ; q=0.5, application/json;q=0.4", "text/csv; charset=utf-8"),
        ("text/csv;q=0.1, application/json", "application/json"),
        ("text/csv;q=0", "application/json"),
        ("text/csv;q=nan?", "application/json"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
    ],
)
def test_accept_chooses_the_form_when_no_format_is_named(api: ReadingApi, accept: str | None, kind: str) -> None:
    headers = {"Accept": accept} if accept else {}
    client = api._client
    assert client.get("/meta/insights/accounts", headers=headers).headers["Content-Type"] == kind
    named = client.get("/meta/insights/accounts?format=json", headers=headers)
    assert named.headers["Content-Type"] == "application/json"


def test_an_ad_has_no_children_to_be_written(shop: Books, api: ReadingApi) -> None:
    shop.fact(Level.AD, "a")
    assert api.refusal("ad/a", format="csv", part="children") == ("query.part", "An ad has no children.")
