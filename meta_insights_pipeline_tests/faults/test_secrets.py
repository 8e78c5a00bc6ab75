"""The token, the app secret and the proof made of both are nowhere: in no file, output, log, exception or event of a run.

The other side does its worst: it writes them, and whole addresses with them, into errors, pages of HTML, redirects, links to next
pages, warnings and failed reports, and in the end refuses the token.
"""

import hashlib
import hmac
import logging
import pickle
import sqlite3
import traceback
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import duckdb
import pytest
import zstandard

from meta_insights_pipeline.graph_api.client import GraphApi, read_object
from meta_insights_pipeline.graph_api.errors import AuthError, GraphApiError
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.sync import run_sync
from meta_insights_pipeline_tests.faults.case import Rule, error
from meta_insights_pipeline_tests.faults.stage import (
    BYSTANDER,
    DIRECT,
    REPORT,
    Alteration,
    Stage,
    stage,
)
from meta_insights_pipeline_tests.live import TOKEN
from meta_insights_pipeline_tests.processes import environment, run_command

SECRET = "5ec2e7ab0f5ec2e7ab0f5ec2e7ab0f77"
PROOF = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
ADDRESS = f"https://graph.facebook.com/v26.0/act_1/insights?access_token={TOKEN}&appsecret_proof={PROOF}&limit=5"
ECHO = f"Bad call GET {ADDRESS} with the header Authorization: Bearer {TOKEN}, proof {PROOF}, secret {SECRET}."
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


def needles() -> list[bytes]:
    """What must be found nowhere: either half of each secret, in the forms in which a program may write it."""
    halves = [half for one in (TOKEN, SECRET, PROOF) for half in (one[: len(one) // 2], one[len(one) // 2 :])]
    forms = [form for half in halves for form in (half, quote(half, safe=""), half[::-1])]
    return sorted({*(form.encode() for form in forms), *(b64encode(one.encode()) for one in (TOKEN, SECRET, PROOF))})


def found(content: bytes) -> list[bytes]:
    """The needles in some bytes."""
    return [needle for needle in needles() if needle in content]


def leaks(folder: Path) -> list[str]:
    """Files below a folder that hold a secret, read as bytes and as what they mean."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [f"{file}: {what!r}" for file in files for content in contents(file) for what in found(content)]


def contents(file: Path) -> Iterator[bytes]:
    """The bytes of a file, and the values in it where these are packed."""
    raw = file.read_bytes()
    yield raw
    if raw.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                yield repr(database.execute(f'SELECT * FROM "{table}"').fetchall()).encode()
    elif raw[8:12] == b"DUCK":
        with duckdb.connect(str(file), read_only=True) as connection:
            names = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
            for schema, table in names:
                yield repr(connection.execute(f'FROM "{schema}"."{table}"').fetchall()).encode()
    elif raw.startswith(_ZSTANDARD):
        with zstandard.ZstdDecompressor().stream_reader(raw) as stream:
            yield stream.read()


def with_links(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer with the token in its links, as Meta writes them."""
    paging = answer.get("paging")
    if not paging:
        return answer
    links = {name: f"{link}&access_token={TOKEN}" for name, link in paging.items() if name != "cursors"}
    return {**answer, "paging": {**paging, **links}}


def do_the_worst(on: Stage) -> None:
    """Every sort of fault that can carry text; some pass, some last."""
    echo: dict[str, Any] = {"message": ECHO}
    account_ids = tuple(account.id for account in on.world.accounts)
    for rule in (
        Rule("html", "accounts", None, {"body": f"<html><body>{ECHO}</body></html>"}),
        Rule("text", "insights", DIRECT, {"status": 302, "headers": {"location": ADDRESS}, "body": ECHO}),
        Rule("graph_error", "", DIRECT, error(105, query="reach", path="insights$", times=None, **echo)),
        Rule("text", "create_run", REPORT, {"body": ECHO}),
        Rule("job_failed", "create_run", REPORT, error(-2, 2490547, **echo)),
        Rule("graph_error", "run_status", REPORT, error(4, headers={"retry-after": "1"}, **echo)),
        Rule("headers", "run_status", REPORT, {"skip": 1, "headers": {"x-ad-api-version-warning": ECHO}}),
        Rule("short_page", "run_insights", REPORT, {"times": None, "without_query": "after="}),
        Rule("truncate", "run_insights", REPORT, {"query": "after="}),
        Rule("block", "run_insights", REPORT, error(80000, 2446079, seconds=1200.0, query="after=", skip=1, **echo)),
        Rule("graph_error", "", BYSTANDER, error(200, path="insights$", times=None, **echo)),
        Rule("graph_error", "structure", DIRECT, error(2500, times=None, without_query="summary", **echo)),
        Rule("graph_error", "structure", REPORT, error(2500, times=None, query="summary", **echo)),
    ):
        on.simulator.faults.add(rule.fault(account_ids))


def test_a_faulty_sync_leaves_no_secret_on_disk_while_it_goes_on_or_afterwards_nor_in_its_log(
    tmp_path: Path, empty_warehouse: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []
    caplog.set_level(logging.DEBUG)
    with stage(tmp_path, empty_warehouse, app_secret=SECRET) as on:

        def watched(answer: dict[str, Any]) -> dict[str, Any]:
            if list(on.settings.pages_path.rglob("*.json")):
                seen.append(leaks(tmp_path))
            return with_links(answer)

        on.simulator.alteration = Alteration(watched, ("insights", "run_insights", "structure"))
        do_the_worst(on)
        first = on.sync(on.request("first", entities_every=timedelta(0)))
        assert first.outcome is not None
        receipt = first.outcome.receipt
        assert receipt.state == "partial", first.text
        assert receipt.missing
        assert receipt.refused
        assert receipt.withheld
        assert len(receipt.warnings) >= 2
        assert found(repr(first).encode()) == []
        assert leaks(tmp_path) == []
        on.simulator.faults.clear()
        on.simulator.faults.add("graph_error", kind="accounts", **error(190, 463, message=ECHO), times=None)
        on.wait_until(on.clock.now() + timedelta(hours=7))
        with pytest.raises(AuthError) as caught:
            run_sync(on.settings, on.request("second"), clock=on.clock)
        assert forms(caught.value) == []
    assert seen, "no page was on disk while another was asked for"
    assert seen == [[]] * len(seen)
    assert leaks(tmp_path) == []
    assert [record for record in caplog.records if found(repr(vars(record)).encode())] == []
    assert "[redacted]" in caplog.text, "nothing was echoed"
    assert found(caplog.text.encode()) == []
    assert found("".join(capfd.readouterr()).encode()) == []


def forms(caught: BaseException) -> list[bytes]:
    """The needles in whatever a program may make of an exception."""
    texts = [str(caught), repr(caught), repr(vars(caught)), "".join(traceback.format_exception(caught))]
    return found(" ".join(texts).encode() + pickle.dumps(caught))


@pytest.mark.parametrize(
    "rule",
    [
        {"action": "graph_error", "code": 190, "subcode": 463, "message": ECHO},
        {"action": "graph_error", "code": 80000, "message": ECHO},
        {"action": "graph_error", "code": 1, "message": ECHO},
        {"action": "graph_error", "code": 99_999, "message": ECHO},
        {"action": "html", "body": ECHO},
        {"action": "text", "body": ECHO},
        {"action": "text", "status": 302, "body": ECHO, "headers": {"location": ADDRESS}},
        {"action": "text", "status": 401, "body": ECHO, "headers": {"www-authenticate": f"OAuth {ECHO}"}},
        {"action": "truncate"},
        {"action": "cut"},
        {"action": "reset"},
        {"action": "hang"},
    ],
    ids=lambda rule: f"{rule['action']}-{rule.get('code', rule.get('status', ''))}".strip("-"),
)
def test_no_exception_of_a_call_holds_a_secret_in_any_form(
    rule: dict[str, Any], tmp_path: Path, empty_warehouse: Path
) -> None:
    with stage(tmp_path, empty_warehouse, app_secret=SECRET) as on, client(on, on.settings.graph_api_url) as api:
        on.simulator.faults.add(**rule)
        with pytest.raises(GraphApiError) as caught:
            api.get("me", {"fields": "id"}, kind="probe", read=read_object)
        assert forms(caught.value) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://host.invalid", "https://127.0.0.1:1"])
def test_nor_does_one_of_a_call_that_reaches_nobody(url: str, tmp_path: Path, empty_warehouse: Path) -> None:
    with stage(tmp_path, empty_warehouse, app_secret=SECRET) as on, client(on, url) as api:
        with pytest.raises(GraphApiError) as caught:
            api.post("act_1/insights", {"fields": "spend"}, kind="report_submit", read=read_object)
        assert forms(caught.value) == []


def client(on: Stage, url: str) -> GraphApi:
    """A client with the secrets that calls once."""
    version, once = on.settings.graph_api_version, RetryPolicy(attempts=1)
    return GraphApi(base_url=url, version=version, access_token=TOKEN, app_secret=SECRET, retry=once, clock=on.clock)


@pytest.mark.slow
def test_a_recorded_run_leaves_no_secret_in_its_home_its_output_or_dagsters_events(
    tmp_path: Path, empty_warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # The simulator's clock stands still while a process waits.
    with stage(home, empty_warehouse, app_secret=SECRET, report_seconds=0.0) as on:
        variables = environment(
            home,
            META_INSIGHTS_MODE="live",
            META_ACCESS_TOKEN=TOKEN,
            META_APP_SECRET=SECRET,
            META_GRAPH_API_URL=on.settings.graph_api_url,
        )
        days = ["--start", on.days.since.isoformat(), "--end", on.days.until.isoformat()]
        on.simulator.alteration = Alteration(with_links, ("insights", "run_insights", "structure"))
        do_the_worst(on)
        partial = run_command(["sync", "--json", *days], variables, tmp_path)
        on.simulator.faults.clear()
        on.simulator.faults.add("graph_error", kind="insights", **error(190, 463, message=ECHO), times=None)
        refused = run_command(["sync", *days], variables, tmp_path)
    assert (partial.returncode, refused.returncode) == (1, 1), partial.stderr + refused.stderr
    assert "META_ACCESS_TOKEN" in refused.stderr
    output = partial.stdout + partial.stderr + refused.stdout + refused.stderr
    assert "[redacted]" in output, "nothing was echoed"
    assert found(output.encode()) == []
    assert leaks(tmp_path) == []
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
        assert len(runs) == 2
        for run in runs:
            assert found(repr(run).encode()) == []
            events = instance.all_logs(run.run_id)
            assert len(events) > 10
            texts = [dg.serialize_value(event) + repr(event) for event in events]
            assert [text for text in texts if found(text.encode())] == []


def test_the_search_finds_a_secret_wherever_it_is_put(tmp_path: Path) -> None:
    """Without this the tests above would prove nothing."""
    (tmp_path / "text").write_text(f"x{TOKEN}x", "utf-8")
    (tmp_path / "packed").write_bytes(zstandard.compress(PROOF.encode() * 100))
    with closing(sqlite3.connect(tmp_path / "lite")) as database:
        database.execute("CREATE TABLE t AS SELECT ? AS a", (SECRET,))
        database.commit()
    with duckdb.connect(str(tmp_path / "duck")) as connection:
        connection.execute("CREATE TABLE t AS SELECT ? || i AS a FROM range(10000) r(i)", [TOKEN[:20]])
    assert {Path(leak.split(": ")[0]).name for leak in leaks(tmp_path)} == {"text", "packed", "lite", "duck"}
    assert found(quote(f"?access_token={TOKEN}").encode())
