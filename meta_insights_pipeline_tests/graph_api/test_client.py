"""The session: what goes over the wire, what never shows, and what becomes of every kind of trouble there."""

import gzip
import hashlib
import hmac
import http.server
import json
import logging
import socket
import sqlite3
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from meta_insights_pipeline.graph_api.budget import Budget
from meta_insights_pipeline.graph_api.client import (
    GraphApi,
    InvalidAnswerError,
    Timeouts,
    read_json,
    read_object,
    sleeping_by,
)
from meta_insights_pipeline.graph_api.errors import (
    AuthError,
    BadRequestError,
    BlockedError,
    GraphApiError,
    ThrottleError,
    TransientError,
    TransportError,
)
from meta_insights_pipeline.graph_api.paging import read_page
from meta_insights_pipeline.graph_api.report_runs import submit
from meta_insights_pipeline.graph_api.retry import RetryPolicy
from meta_insights_pipeline.simulator import SimRequest, SimulatedClock, World
from meta_insights_pipeline.state import State
from meta_insights_pipeline_tests.clocks import SkippingClock
from meta_insights_pipeline_tests.graph_api.support import (
    APP_SECRET,
    NOW,
    ONCE,
    PROOF,
    TOKEN,
    VERSION,
    SharedClock,
    daily,
    failure,
    rows_of,
    talk,
)

CLIENT_LOG = "meta_insights_pipeline.graph_api.client"
SECRETS = (TOKEN, APP_SECRET, PROOF)


def _address(request: SimRequest) -> str:
    return request.path + "?" + "&".join(f"{name}={value}" for name, value in request.query.items())


# ---- what is sent ----


@pytest.mark.parametrize("served", [False, True])
def test_the_token_is_in_the_authorization_header_and_nowhere_else(served: bool, world: World) -> None:
    with talk(world, served=served, simulator={"access_token": TOKEN}) as session:
        assert session.me()["id"]
        submit(session.api, session.account, daily())
        for request in session.simulator.received:
            assert request.headers["authorization"] == f"Bearer {TOKEN}"
            assert TOKEN not in _address(request)
            assert TOKEN.encode() not in request.body
            assert [name for name, text in request.headers.items() if TOKEN in text] == ["authorization"]


def test_a_get_has_its_parameters_in_the_address_and_a_post_in_its_body(world: World) -> None:
    parameters = {"fields": "account_id", "filtering": '[{"field":"ad.id"}]', "other": "näme & a=b?"}
    with talk(world, served=True) as session:
        session.api.get("me/adaccounts", parameters, kind="x", read=read_object)
        failure(lambda: session.api.post("me/adaccounts", parameters, kind="x", read=read_object))
        got, posted = session.simulator.received
    assert (got.method, got.query, got.body) == ("GET", parameters, b"")
    assert (posted.method, posted.query, posted.params) == ("POST", {}, parameters)
    assert posted.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_the_version_stands_between_the_root_and_the_path(slashes: str, world: World) -> None:
    with talk(world, served=True, version="v25.0") as session:
        session.me()
        root = session.api.base_url + slashes
        with GraphApi(base_url=root, version=VERSION, access_token=TOKEN) as api:
            api.get("me/adaccounts", {}, kind="x", read=read_object)
        assert [request.path for request in session.simulator.received] == ["/v25.0/me", "/v26.0/me/adaccounts"]


def test_the_proof_is_the_documented_hmac_of_the_token() -> None:
    # Meta: the SHA-256 hash of the access token, keyed with the app secret, in hexadecimal digits.
    expected = hmac.new(APP_SECRET.encode("utf-8"), msg=TOKEN.encode("utf-8"), digestmod=hashlib.sha256).hexdigest()
    assert expected == PROOF
    # A vector of RFC 4231, so that the test does not rest on one library alone.
    vector = hmac.new(b"Jefe", b"what do ya want for nothing?", hashlib.sha256).hexdigest()
    assert vector == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_the_proof_goes_with_every_call_and_is_accepted(world: World) -> None:
    with talk(world, app_secret=APP_SECRET, simulator={"app_secret": APP_SECRET}) as session:
        session.me()
        submit(session.api, session.account, daily())
        got, posted = session.simulator.received
    assert (got.params["appsecret_proof"], posted.params["appsecret_proof"]) == (PROOF, PROOF)
    assert "appsecret_proof" not in posted.query
    assert all(APP_SECRET not in f"{_address(one)}{one.headers}{one.body!r}" for one in (got, posted))


def test_a_vector_of_the_proof_reaches_the_wire(world: World) -> None:
    with talk(world, token="what do ya want for nothing?", app_secret="Jefe") as session:
        session.me()
        (request,) = session.simulator.received
    assert request.query["appsecret_proof"] == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@pytest.mark.parametrize("app_secret", [None, "", "another secret"])
def test_no_proof_or_a_wrong_one_is_refused_by_an_app_that_needs_one(app_secret: str | None, world: World) -> None:
    with talk(world, app_secret=app_secret, simulator={"app_secret": APP_SECRET}) as session:
        error = session.fails()
        assert type(error) is AuthError
        assert ("appsecret_proof" in session.simulator.received[0].query) is bool(app_secret)


def test_without_an_app_secret_there_is_no_proof(world: World) -> None:
    with talk(world) as session:
        session.me()
        assert session.simulator.received[0].params == {}


def test_a_netrc_file_does_not_replace_the_token(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with talk(world, served=True) as session:
        session.me()
        assert session.simulator.received[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_cookies_are_not_kept(world: World) -> None:
    with talk(world, served=True) as session:
        session.simulator.faults.add("headers", headers={"set-cookie": "datr=abc; path=/"}, times=None)
        session.me()
        session.me()
        assert all("cookie" not in request.headers for request in session.simulator.received)


def test_a_redirection_is_not_followed(world: World) -> None:
    with talk(world, served=True) as session, talk(world, served=True) as elsewhere:
        to = {"location": f"{elsewhere.api.base_url}/v26.0/me"}
        session.simulator.faults.add("html", status=302, headers=to, times=None)
        error = session.fails()
        assert type(error) is TransportError
        assert error.http_status == 302
        # The token would have gone to whoever the answer names.
        assert elsewhere.calls == 0


# ---- what is read ----


def test_numbers_with_a_fraction_become_exact_decimals() -> None:
    assert read_json(b'{"spend":0.1000000000000000000000000001,"count":3}') == {
        "spend": Decimal("0.1000000000000000000000000001"),
        "count": 3,
    }


@pytest.mark.parametrize("body", [b"", b"{", b"text", b"\xff\xfe\xfd", b'{"a":1}x', b"<html>"])
def test_what_is_no_json_is_an_invalid_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswerError, match="the answer is not JSON"):
        read_json(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"true"])
def test_what_is_no_object_is_an_invalid_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswerError, match="the answer is not a JSON object"):
        read_object(body)


def test_an_answer_that_its_reader_refuses_is_asked_for_again(world: World) -> None:
    bodies: list[bytes] = []

    def read(body: bytes) -> str:
        bodies.append(body)
        if len(bodies) == 1:
            raise InvalidAnswerError("the answer holds nothing")
        return "something"

    with talk(world) as session:
        assert session.api.get("me", {}, kind="me", read=read) == "something"
        assert (session.calls, session.waits) == (2, [0.5])


def test_an_answer_that_its_reader_always_refuses_is_an_error_of_transport(world: World) -> None:
    def read(_: bytes) -> str:
        raise InvalidAnswerError("the answer holds nothing")

    with talk(world) as session:
        error = failure(lambda: session.api.post(f"{session.account}/insights", daily(), kind="x", read=read))
        assert type(error) is TransportError
        assert error.message == f"POST /{session.account}/insights: the answer holds nothing."
        assert error.fbtrace_id
        assert session.calls == 5


@pytest.mark.parametrize("compress", [False, True])
def test_an_answer_is_the_same_whether_it_came_compressed_or_not(compress: bool, world: World) -> None:
    with talk(world) as inside, talk(world, served=True, compress=compress) as session:
        expected = inside.pages(daily(limit="100"))
        assert [page.rows for page in session.pages(daily(limit="100"))] == [page.rows for page in expected]
        assert "gzip" in session.simulator.received[0].headers["accept-encoding"]


# ---- a server that the simulator is not: chunks, and bodies that end early ----

BODY = json.dumps({"data": [{"id": str(number)} for number in range(20_000)], "paging": {}}).encode()


class _Chunks(http.server.BaseHTTPRequestHandler):
    """Answers in chunks; the path says how."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        how = self.path.rsplit("/", 1)[-1]
        body = gzip.compress(BODY, 1) if "gzip" in how else BODY
        body = body if "broken" not in how else b"\x1f\x8b" + bytes(100)
        self.send_response(200)
        if "gzip" in how:
            self.send_header("content-encoding", "gzip")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 7001):
            piece = body[start : start + 7001]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if "early" in how and start:
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is given by http.server
        """Write nothing."""


@contextmanager
def _chunking() -> Iterator[GraphApi]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Chunks) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            with GraphApi(base_url=url, version=VERSION, access_token=TOKEN, retry=ONCE) as api:
                yield api
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("how", ["plain", "gzip"])
def test_an_answer_in_chunks_is_read_whole_every_time(how: str) -> None:
    with _chunking() as api:
        for _ in range(3):
            assert api.get(how, {}, kind="x", read=bytes) == BODY


@pytest.mark.parametrize("how", ["early", "early-gzip", "broken-gzip"])
def test_an_answer_in_chunks_that_is_not_whole_is_an_error_of_transport(how: str) -> None:
    with _chunking() as api:
        error = failure(lambda: api.get(how, {}, kind="x", read=bytes))
    assert type(error) is TransportError
    assert error.message.startswith(f"GET /{how}: no answer, ")


# ---- trouble on the wire ----


@pytest.mark.parametrize("served", [False, True])
@pytest.mark.parametrize("fault", ["reset", "hang", "cut"])
def test_a_broken_connection_is_an_error_of_transport(fault: str, served: bool, world: World) -> None:
    with talk(world, served=served, retry=ONCE) as session:
        session.simulator.faults.add(fault)
        error = session.fails()
        assert type(error) is TransportError
        assert error.message.startswith("GET /me: no answer, ")
        assert (error.code, error.http_status) == (None, None)
        # The session is as good as before.
        assert session.me()["id"]


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_refused_connection_is_an_error_of_transport(world: World) -> None:
    url = f"http://127.0.0.1:{_closed_port()}"
    with GraphApi(base_url=url, version=VERSION, access_token=TOKEN, retry=ONCE) as api:
        error = failure(lambda: api.get("me", {}, kind="me", read=read_object))
    assert type(error) is TransportError
    assert error.message.startswith("GET /me: no answer, ConnectionError: [Errno ")
    assert error.message.endswith("Connection refused.")


def test_a_server_that_speaks_no_tls_is_an_error_of_transport(world: World) -> None:
    with talk(world, served=True) as session:
        url = session.api.base_url.replace("http:", "https:")
        with GraphApi(base_url=url, version=VERSION, access_token=TOKEN, retry=ONCE) as api:
            error = failure(lambda: api.get("me", {}, kind="me", read=read_object))
    assert type(error) is TransportError
    assert "SSLError" in error.message


class _Listening(BaseAdapter):
    """A transport that answers nothing, and keeps by which proxies and certificates it was to go."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Any, Any]] = []

    def send(self, *_args: Any, **options: Any) -> requests.Response:
        self.told.append((options["proxies"].get("https"), options["verify"]))
        raise requests.ConnectionError("nobody is there")

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("exempt", "proxy"), [("elsewhere.test", "http://proxy.test:3128"), ("meta.test", None)])
def test_proxies_and_certificates_are_those_of_the_environment_when_the_session_begins(
    exempt: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"https_proxy": "http://proxy.test:3128", "no_proxy": exempt, "NO_PROXY": exempt}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/certificates.pem")
    adapter = _Listening()
    with GraphApi(
        base_url="https://meta.test", version=VERSION, access_token=TOKEN, adapter=adapter, retry=ONCE
    ) as api:
        for name in ("https_proxy", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        assert type(failure(lambda: api.get("me", {}, kind="me", read=read_object))) is TransportError
    assert adapter.told == [(proxy, "/certificates.pem")]


@pytest.mark.parametrize("url", ["http://", "http://[", "no-scheme"])
def test_an_address_that_is_none_is_an_error_of_transport(url: str) -> None:
    with GraphApi(base_url=url, version=VERSION, access_token=TOKEN, retry=ONCE) as api:
        assert type(failure(lambda: api.get("me", {}, kind="me", read=read_object))) is TransportError


@pytest.mark.parametrize("served", [False, True])
def test_a_silent_server_is_given_up(served: bool, world: World) -> None:
    with talk(world, served=served, retry=ONCE, timeouts=Timeouts(silence=0.05)) as session:
        session.simulator.faults.add("slow", seconds=30.0)
        error = session.fails()
    assert type(error) is TransportError
    assert error.message == "GET /me: no answer, ReadTimeout: Read timed out. (read timeout=0.05)."


def test_a_body_that_drips_is_given_up_after_the_total_and_not_at_its_end(world: World) -> None:
    timeouts = Timeouts(silence=20.0, total=0.2)
    with talk(world, served=True, retry=ONCE, timeouts=timeouts) as session:
        # A tenth of the body comes every half second, so that the server is never silent for long.
        session.simulator.faults.add("slow_body", seconds=6.0)
        begun = time.monotonic()
        error = session.fails()
        assert time.monotonic() - begun < 5.0
    assert type(error) is TransportError
    assert error.message == "GET /me: the answer took longer than 0 s."


def test_a_body_that_is_slow_but_in_time_is_read(world: World) -> None:
    with talk(world, served=True) as session:
        session.simulator.faults.add("slow_body", seconds=0.1)
        assert session.me()["id"]


# ---- secrets ----


def _everything(error: BaseException) -> str:
    """All that Python shows of an error by itself."""
    parts = [str(error), repr(error), repr(error.args), repr(vars(error)), *traceback.format_exception(error)]
    return "\n".join(parts)


def _shows_nothing(error: GraphApiError, caplog: pytest.LogCaptureFixture) -> None:
    shown = _everything(error) + caplog.text + "\n".join(record.getMessage() for record in caplog.records)
    assert [secret for secret in SECRETS if secret in shown] == []


ECHOES = (
    f"Error validating access token {TOKEN}",
    f"Unsupported request: /v26.0/me?access_token={TOKEN}&appsecret_proof={PROOF}",
    f'{{"access_token":"{TOKEN}","client_secret":"{APP_SECRET}"}}',
    f"Authorization: Bearer {TOKEN}",
)


@pytest.mark.parametrize("code", [190, 100, 17, 1])
@pytest.mark.parametrize("text", ECHOES)
def test_a_message_that_echoes_secrets_is_masked(
    text: str, code: int, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with talk(world, app_secret=APP_SECRET) as session:
        session.simulator.faults.add("graph_error", code=code, message=text, times=None)
        error = session.fails()
    assert "[redacted]" in str(error)
    _shows_nothing(error, caplog)


@pytest.mark.parametrize("served", [False, True])
@pytest.mark.parametrize(
    ("fault", "more"),
    [
        ("reset", {}),
        ("hang", {}),
        ("cut", {}),
        ("truncate", {}),
        ("slow", {"seconds": 30.0}),
        ("html", {"body": f"<a href='/me?access_token={TOKEN}&appsecret_proof={PROOF}'>again</a>"}),
        ("text", {"body": f"Service Unavailable for {TOKEN}"}),
        ("text", {"body": f'{{"error":"access_token={TOKEN}"}}', "status": 400}),
        ("graph_error", {"code": 2, "message": ECHOES[1]}),
        ("graph_error", {"code": 190, "subcode": 463, "message": ECHOES[0]}),
    ],
)
def test_no_trouble_brings_secrets_to_light(
    fault: str, more: dict[str, Any], served: bool, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {"retry": RetryPolicy(attempts=2), "timeouts": Timeouts(silence=0.05)}
    with talk(world, served=served, app_secret=APP_SECRET, **options) as session:
        session.simulator.faults.add(fault, times=None, **more)
        error = session.fails()
        _shows_nothing(error, caplog)
        session.simulator.faults.clear()
        session.simulator.faults.add(fault, times=None, **more)
        _shows_nothing(failure(lambda: submit(session.api, session.account, daily())), caplog)


def test_a_refused_connection_brings_no_secrets_to_light(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"http://127.0.0.1:{_closed_port()}"
    clock = SharedClock(SimulatedClock(NOW))
    with GraphApi(
        base_url=url,
        version=VERSION,
        access_token=TOKEN,
        app_secret=APP_SECRET,
        clock=clock,
        jitter=lambda: 1.0,
    ) as api:
        error = failure(lambda: api.get("me", {"fields": "id"}, kind="me", read=read_object))
    assert clock.waits == [1.0, 2.0, 4.0, 8.0]
    levels = [record.levelname for record in caplog.records if record.name == CLIENT_LOG]
    # The last one is for whoever asked to tell.
    assert levels == 4 * ["WARNING"] + ["DEBUG"]
    _shows_nothing(error, caplog)


def test_calls_that_succeed_bring_no_secrets_to_light_either(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with talk(world, served=True, version="v1.0", app_secret=APP_SECRET) as session:
        assert len(rows_of(session.pages(daily(limit="40")))) == 80
    # The HTTP library writes down every address; the proof stands in it, since Meta reads it as a parameter.
    addresses = [record for record in caplog.records if record.name == "urllib3.connectionpool"]
    assert any("appsecret_proof=[redacted]" in record.getMessage() for record in addresses)
    assert [secret for secret in SECRETS if secret in caplog.text] == []


def test_no_representation_of_a_client_shows_its_secrets(world: World) -> None:
    with talk(world, app_secret=APP_SECRET) as session:
        shown = f"{session.api!r} {session.api} {session.api.redact!r} {session.api.meter!r} {vars(session.api)}"
    assert [secret for secret in (TOKEN, APP_SECRET) if secret in shown] == []


def test_a_warning_about_the_version_that_echoes_the_token_is_masked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with talk(world) as session:
        session.simulator.faults.add("headers", headers={"x-ad-api-version-warning": f"Old call of {TOKEN}"})
        session.me()
    assert "Old call of [redacted]" in caplog.text
    assert TOKEN not in caplog.text


# ---- retries and their log ----


def test_a_call_that_is_made_again_is_told_with_its_reason_and_wait(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=4, headers={"retry-after": "4"})
        session.me()
    (record,) = caplog.records
    assert (record.name, record.levelname) == (CLIENT_LOG, "WARNING")
    text = record.getMessage()
    assert text.startswith("attempt 1: GET /me was refused: the app's limit of calls is reached. Meta says: ")
    assert text.endswith("Remedy: wait; fewer calls at a time. Calling again in 4.0 s.")


def test_log_records_carry_the_trace_id_and_the_account(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, CLIENT_LOG)
    with talk(world, version="v19.0") as session:
        session.simulator.faults.add("graph_error", code=2, path="/act_")
        session.simulator.faults.add("graph_error", code=200, path="/act_", skip=1)
        path, account = session.account, session.account_id
        error = failure(lambda: session.api.get(path, {}, kind="account", account=account, read=read_object))
        session.simulator.faults.add("reset", path="/me$")
        session.me()
    calls: list[dict[str, object]] = []
    told: list[dict[str, Any]] = []
    for record in caplog.records:
        (calls if ": HTTP " in record.getMessage() else told).append(vars(record))
    version, retry, refusal, broken = told
    assert version["msg"] == "%s"
    assert [call["account"] for call in calls] == [account, account, None]
    assert all(call["fbtrace_id"] for call in calls)
    for about in (version, retry, refusal):
        assert about["account"] == account
        assert about["fbtrace_id"].startswith("A")
    assert refusal["fbtrace_id"] == error.fbtrace_id
    assert (broken["account"], broken["fbtrace_id"]) == (None, None)


def test_a_post_is_tried_again_as_a_get_is(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=2, times=2)
        assert submit(session.api, session.account, daily())
        assert session.waits == [0.5, 1.0]
        assert [request.body for request in session.simulator.received] == 3 * [session.simulator.received[0].body]


# ---- versions ----


def test_a_version_that_meta_replaced_is_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with talk(world, version="v19.0") as session:
        for _ in range(3):
            session.me()
        expected = (
            "Version v19.0 of the Graph API was asked for and v26.0 answered. "
            "The call has been auto-upgraded to v26.0 as v19.0 has been deprecated."
        )
        assert session.api.version_warnings == (expected,)
    assert [record.getMessage() for record in caplog.records] == [expected]


def test_a_version_that_meta_replaced_is_told_once_by_all_threads_together(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with talk(world, version="v19.0") as session, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: session.me(), range(40)))
        assert len(session.api.version_warnings) == 1
    assert len(caplog.records) == 1


def test_different_notes_about_the_version_are_all_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with talk(world) as session:
        for number in (1, 2, 1, 2):
            session.simulator.faults.clear()
            session.simulator.faults.add("headers", headers={"x-ad-api-version-warning": f"Note {number}."})
            session.me()
        assert len(session.api.version_warnings) == 2
    assert len(caplog.records) == 2


def test_the_version_that_was_asked_for_is_no_matter_for_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for version in ("v25.0", "v26.0"):
        with talk(world, version=version) as session:
            session.me()
            assert session.api.version_warnings == ()
    assert caplog.records == []


def test_a_version_that_is_retired_is_a_bad_request_with_its_remedy(world: World) -> None:
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=2635, message="(#2635) You are calling a deprecated version")
        error = session.fails()
    assert type(error) is BadRequestError
    assert error.remedy == "set META_GRAPH_API_VERSION to a live one"


# ---- threads and closing ----


@pytest.mark.parametrize("served", [False, True])
def test_many_threads_share_one_client(served: bool, world: World) -> None:
    days = [f"2026-11-{day:02d}" for day in range(1, 21)]

    def rows(day: str) -> list[Any]:
        parameters = {**daily(limit="3"), "time_range": json.dumps({"since": day, "until": day})}
        return rows_of(session.pages(parameters))

    patient = RetryPolicy(attempts=10)
    with talk(world, served=served, retry=patient) as session, ThreadPoolExecutor(16) as pool:
        session.simulator.faults.add("graph_error", code=2, skip=7, times=5)
        found = list(pool.map(rows, days))
        counts = session.api.meter.counts()
        assert session.calls == counts.total == 3 * len(days) + 5
    # Every thread got its own answers.
    assert [{row["date_start"] for row in each} for each in found] == [{day} for day in days]
    assert [len({row["ad_id"] for row in each}) for each in found] == [8] * len(days)
    assert (counts.calls, counts.retries) == ({"insights_page": 65}, 5)


def test_a_throttle_in_one_thread_is_that_threads_alone(world: World) -> None:
    def ask(_: int) -> str:
        try:
            return str(session.me()["id"])
        except ThrottleError:
            return "throttled"

    with talk(world, retry=ONCE) as session, ThreadPoolExecutor(8) as pool:
        session.simulator.faults.add("graph_error", code=17, skip=10, times=3)
        assert sorted(pool.map(ask, range(40))).count("throttled") == 3


def test_connections_are_kept_between_calls_and_closed_with_the_client() -> None:
    seen: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for _ in range(2):
                seen.append(connection.recv(65536).split(b"\r\n", 1)[0])
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n" + b'{"id":"1"}')
            # Nothing more comes than the end of the connection.
            seen.append(connection.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with GraphApi(base_url=url, version=VERSION, access_token=TOKEN) as api:
            for _ in range(2):
                assert api.get("me", {}, kind="me", read=read_object) == {"id": "1"}
        thread.join(10)
    assert seen == [b"GET /v26.0/me HTTP/1.1", b"GET /v26.0/me HTTP/1.1", b""]


def test_a_client_that_never_called_can_be_closed() -> None:
    GraphApi(base_url="https://graph.facebook.com", version=VERSION, access_token=TOKEN).close()


def test_the_book_of_budgets_that_a_client_made_itself_is_closed_with_it(world: World) -> None:
    with talk(world) as session:
        session.me()
        assert session.api.budget.levels()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        session.api.budget.levels()


def test_what_an_answer_becomes_is_its_readers_matter(world: World) -> None:
    with talk(world) as session:
        call = f"{session.account}/insights"
        page = session.api.get(call, daily(limit="5"), kind="x", read=read_page)
        raw = session.api.get(call, daily(limit="5"), kind="x", read=bytes)
        assert json.loads(raw)["data"] == json.loads(page.rows)


# ---- what others see of a call's waits ----


@pytest.mark.parametrize(("code", "subcode"), [(613, 1996), (368, None)])
def test_a_sign_of_abuse_is_an_error_in_the_log_and_stops_every_call(
    code: int, subcode: int | None, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with talk(world) as session, caplog.at_level(logging.INFO):
        session.simulator.faults.add("graph_error", code=code, subcode=subcode)
        assert type(session.fails()) is ThrottleError
        assert type(session.fails()) is BlockedError
        assert session.calls == 1
    assert caplog.records[0].levelname == "ERROR"


def test_a_call_waits_by_what_its_caller_gives_it(world: World) -> None:
    slept: list[float] = []
    with talk(world) as session:
        session.simulator.faults.add("graph_error", code=2, times=2)
        with sleeping_by(slept.append):
            session.me()
        assert (slept, session.waits) == ([0.5, 1.0], [])
        session.simulator.faults.add("graph_error", code=2)
        session.me()
        assert session.waits == [0.5]


def test_a_call_whose_wait_for_room_is_given_up_is_not_under_way_any_more(world: World) -> None:
    def give_up(_seconds: float) -> None:
        raise TransientError("given up")

    with State.in_memory() as state, talk(world, budget=Budget(state, SkippingClock(NOW), namespace="x")) as session:
        headers = {"x-app-usage": '{"call_count":90,"total_time":1,"total_cputime":1}'}
        session.simulator.faults.add("headers", headers=headers)
        session.me()
        with sleeping_by(give_up), pytest.raises(TransientError, match="given up"):
            session.me()
        assert session.calls == 1
        assert state.read("SELECT count(*) FROM calls_under_way") == [(0,)]
