"""Requests made from the OpenAPI document against a running server: no 5xx, and every answer as the document says."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline_tests.read_api.served import Headers, World, copy_world, make_world, on_a_port, opened
from meta_insights_pipeline_tests.read_api.sync_now.dagster_double import dagster_double
from meta_insights_pipeline_tests.read_api.test_matrix import OPEN, RULES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("read api document")]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Whoever asks for health has nothing to say that could be wrong.
WRONG_IN_NO_WAY = {(*name, GenerationMode.NEGATIVE) for name in OPEN}
OPERATIONS = [name for name in [*RULES, *sorted(OPEN)] if name[1] != "/metrics"]
# What is sent where a name, an id or a day belongs.
INJECTIONS = [
    "' OR '1'='1",
    "1; DROP TABLE ad_insights; --",
    "x') UNION SELECT * FROM duckdb_settings() --",
    "{{7*7}}",
    "../../access.sqlite",
    "%00",
    "\\x00",
    "$accounts",
    "?",
    "read_text('/etc/passwd')",
    "\u202e\ufeff\U0001f600",
    "9" * 400,
    "-1",
    "NaN",
    "null",
    "",
]


ODD_VALUES: list[Any] = [10**400, -1, 1.5, True, None, [], {}, [[]], "2026-02-30"]
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Site:
    """A running server, its document, and somebody who may do everything."""

    url: str
    document: BaseSchema
    world: World
    run_id: str
    key: Headers
    session: requests.Session


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("document")
    world = copy_world(make_world(folder / "made"), folder / "home")
    with (
        dagster_double() as dagster,
        opened(world.home, DAGSTER_URL=dagster.url) as api,
        on_a_port(api.app) as url,
        requests.Session() as session,
    ):
        run_id = dagster.add_run("SUCCESS", [world.accounts[0]])
        document = schemathesis.openapi.from_dict(api.app.openapi())
        yield Site(url, document, world, run_id, api.key(Role.ADMIN), session)


def known_ids(site: Site, path: str) -> list[dict[str, str]]:
    """Path parameters that lead somewhere."""
    ids = {f"{level}_id": values[0] for level, values in site.world.ids.items()}
    ids |= {"run_id": site.run_id, "entity_id": site.world.ids["adset"][0]}
    return [{name: value} for name, value in ids.items() if f"{{{name}}}" in path]


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [(*name, mode) for name in OPERATIONS for mode in GenerationMode if (*name, mode) not in WRONG_IN_NO_WAY],
    ids=str,
)
def test_every_answer_is_as_the_document_says(site: Site, method: str, path: str, mode: GenerationMode) -> None:
    operation = site.document[path][method.upper()]
    made = [operation.as_strategy(generation_mode=mode)]
    if mode is GenerationMode.POSITIVE:
        made += [operation.as_strategy(mode, path_parameters=ids) for ids in known_ids(site, path)]

    @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(made))
    def ask(case: "schemathesis.Case[Any]") -> None:
        case.call_and_validate(base_url=site.url, session=site.session, headers=site.key, checks=CHECKS, timeout=30)

    ask()


def bodies_of(site: Site, described: Any) -> Iterator[bytes]:
    """Bodies with each text where a field belongs, alone and in a list, and in place of the whole; none where none is read."""
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    schema = next(part for part in content["schema"].get("anyOf", [content["schema"]]) if "$ref" in part)
    model = site.document.raw_schema["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for text in [*INJECTIONS, *ODD_VALUES]:
        yield json.dumps(text).encode()
        for name in [*model["properties"], *([text] if isinstance(text, str) else [])]:
            for value in (text, [text], {"a": text}):
                yield json.dumps({name: value}).encode()
    yield from (b"{", b"[" * 5_000, b"\xff\xfe", b'{"days_back": 1, "days_back": "x"}', b"NaN", b"1" * 5_000)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda value: value)
def test_no_parameter_lets_anything_in(site: Site, method: str, path: str) -> None:
    described = site.document.raw_schema["paths"][path][method]
    for parameter in described.get("parameters", []):
        for text in INJECTIONS:
            query, address, headers = {}, path, dict(site.key)
            if parameter["in"] == "path":
                address = path.replace(f"{{{parameter['name']}}}", quote(text, safe=""))
            elif parameter["in"] == "header":
                headers[parameter["name"]] = text.encode("utf-8").replace(b"\n", b"")  # type: ignore[assignment]
            else:
                query[parameter["name"]] = text
            answer = site.session.request(method, site.url + address, params=query, headers=headers, timeout=30)
            assert answer.status_code < 500, (parameter["name"], text, answer.text)
            assert answer.ok or answer.headers["Content-Type"] == "application/problem+json"
            for word in ("root:", "Parser Error", "Binder Error", "Catalog Error", "memory_limit", "Traceback"):
                assert word not in answer.text, (parameter["name"], text)
    for body in bodies_of(site, described):
        answer = site.session.request(method, site.url + path, data=body, headers=JSON | site.key, timeout=30)
        assert answer.status_code < 500, (body, answer.text)
        assert answer.ok or answer.headers["Content-Type"] == "application/problem+json"
        for word in ("root:", "Parser Error", "Binder Error", "Catalog Error", "memory_limit", "Traceback"):
            assert word not in answer.text, body
    # What was there before is there still.
    assert site.session.get(f"{site.url}/meta/insights/overview", headers=site.key, timeout=30).status_code == 200
