"""Every error is a problem of RFC 9457 with the id of its request, and tells nothing that it must not."""

import logging
from typing import Annotated

import pytest
from fastapi import FastAPI, HTTPException, Path, Query
from httpx import Response

from meta_insights_pipeline.read_api.errors import NotFoundError, UnavailableError
from meta_insights_pipeline.read_api.problems import install_problems, problem_responses
from meta_insights_pipeline_tests.read_api.asgi import AsgiClient


def app() -> FastAPI:
    app = FastAPI()
    install_problems(app)

    @app.get("/fine", responses=problem_responses(401, 429))
    def fine(days: Annotated[int, Query(ge=1)] = 7) -> int:
        return days

    @app.get("/campaign/{campaign_id}")
    def campaign(campaign_id: Annotated[str, Path(pattern=r"^\d+$")]) -> None:
        raise NotFoundError("campaign", campaign_id)

    @app.post("/body")
    def body(value: dict[str, int]) -> None:
        del value

    @app.get("/teapot")
    def teapot() -> None:
        raise HTTPException(418, "Short and stout", {"X-Pot": "tea"})

    @app.get("/away")
    def away() -> None:
        raise UnavailableError("It is being exchanged.", {"Retry-After": "3"})

    @app.get("/bug")
    def bug() -> None:
        raise RuntimeError("secret of the inside")

    @app.get("/gateway")
    def gateway() -> None:
        raise HTTPException(502, "secret of the inside")

    return app


@pytest.fixture
def client() -> AsgiClient:
    return AsgiClient(app())


def detail(response: Response, status: int, title: str) -> str:
    """The sentence of an error, after all that every error must be."""
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    content = response.json()
    assert content["type"] == "about:blank"
    assert (content["title"], content["status"]) == (title, status)
    assert content["request_id"] == response.headers["X-Request-ID"]
    sentence = str(content["detail"])
    assert sentence.endswith(".")
    assert set(content) <= {"type", "title", "status", "detail", "request_id", "errors"}
    assert ("errors" in content) is (status == 422)
    return sentence


def test_what_is_fine_is_answered_with_a_request_id(client: AsgiClient) -> None:
    first, second = client.get("/fine"), client.get("/fine")
    assert first.json() == 7
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


def test_refusals_of_routes(client: AsgiClient) -> None:
    assert "There is no campaign 12 " in detail(client.get("/campaign/12"), 404, "Not Found")
    away = client.get("/away")
    assert detail(away, 503, "Service Unavailable") == "It is being exchanged."
    assert away.headers["Retry-After"] == "3"


def test_refusals_of_fastapi(client: AsgiClient) -> None:
    assert "/docs" in detail(client.get("/nowhere"), 404, "Not Found")
    wrong_method = client.post("/fine")
    detail(wrong_method, 405, "Method Not Allowed")
    assert wrong_method.headers["Allow"] == "GET"
    teapot = client.get("/teapot")
    assert detail(teapot, 418, "I'm a Teapot") == "Short and stout."
    assert teapot.headers["X-Pot"] == "tea"


@pytest.mark.parametrize(
    ("method", "address", "content", "where"),
    [
        ("GET", "/fine?days=secret", b"", "query.days"),
        ("GET", "/fine?days=0", b"", "query.days"),
        ("GET", "/campaign/secret", b"", "path.campaign_id"),
        ("POST", "/body", b'{"a": "secret"}', "body.a"),
        ("POST", "/body", b"{secret", "body.1"),
        ("POST", "/body", b"", "body"),
    ],
)
def test_what_cannot_be_understood_is_named_and_its_value_not_repeated(
    client: AsgiClient, method: str, address: str, content: bytes, where: str
) -> None:
    response = client.request(method, address, content=content, headers={"Content-Type": "application/json"})
    detail(response, 422, "Unprocessable Entity")
    (error,) = response.json()["errors"]
    assert error["where"] == where
    assert error["detail"]
    assert "secret" not in response.text


@pytest.mark.parametrize(("address", "status"), [("/bug", 500), ("/gateway", 502)])
def test_an_error_of_ours_tells_nothing_of_the_inside(
    client: AsgiClient, address: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.get(address)
    detail(response, status, {500: "Internal Server Error", 502: "Bad Gateway"}[status])
    assert "secret" not in response.text
    if status == 500:
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.getMessage() == f"Request {response.headers['X-Request-ID']} ended with RuntimeError."


def test_a_client_may_give_the_id_of_its_request_in_a_form_that_no_log_can_misread(client: AsgiClient) -> None:
    assert client.get("/nowhere", headers={"X-Request-ID": "run-7.a_B"}).json()["request_id"] == "run-7.a_B"
    for wrong in ("", "a b", "a\tb", "x" * 65, "é".encode("latin-1").decode("latin-1"), "a;b"):
        response = client.get("/fine", headers=[(b"X-Request-ID", wrong.encode("latin-1"))])
        assert response.headers["X-Request-ID"] != wrong
        assert len(response.headers["X-Request-ID"]) == 32


def test_openapi_shows_problems_as_they_are(client: AsgiClient) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/fine"]["get"]["responses"]
    for status in ("401", "429"):
        (media_type,) = responses[status]["content"]
        assert media_type == "application/problem+json"
        schema = responses[status]["content"][media_type]["schema"]
        assert set(client.get("/nowhere").json()) == set(schema["required"])
