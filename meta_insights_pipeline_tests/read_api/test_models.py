"""What the API says of its answers: every field has a description and an example, and units where it is measured."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from meta_insights_pipeline_tests.read_api.reading_api import ReadingApi
from meta_insights_pipeline_tests.read_api.served import opened

# Formats that tell what unit a number or a moment has.
WORDS_OF_UNITS = {"seconds": "seconds", "bytes": "bytes", "percent": "percent", "days": "days"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the whole app says of itself."""
    with opened(tmp_path_factory.mktemp("home"), API_METRICS=True) as api:
        return api.app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def fields(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of everything that is sent or answered, wherever it is described."""
    for name, model in document["components"]["schemas"].items():
        yield from fields_in(name, model)
    for name, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            for form, content in body.get("content", {}).items():
                yield from fields_in(f"{name} {form}", content.get("schema", {}))


def fields_in(name: str, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        for part in schema:
            yield from fields_in(name, part)
    elif isinstance(schema, dict):
        for field, inner in schema.get("properties", {}).items():
            yield f"{name}.{field}", inner
            yield from fields_in(f"{name}.{field}", inner)
        for key in ("items", "anyOf", "allOf", "oneOf", "additionalProperties"):
            yield from fields_in(name, schema.get(key))


def test_every_field_is_described_with_an_example(document: dict[str, Any]) -> None:
    found = list(fields(document))
    assert len(found) > 400
    for name, schema in found:
        assert schema.get("description", "").endswith((".", ":")), name
        assert schema.get("examples") or "example" in schema or "const" in schema, name


def test_every_parameter_and_header_is_described_and_every_parameter_has_an_example(document: dict[str, Any]) -> None:
    found = 0
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation.get("description"), name
        for parameter in operation.get("parameters", []):
            found += 1
            assert parameter.get("description", "").endswith("."), (name, parameter["name"])
            schema = parameter["schema"]
            assert parameter.get("examples") or "example" in parameter or schema.get("examples"), (
                name,
                parameter["name"],
            )
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            for header, described in answer.get("headers", {}).items():
                assert described.get("description", "").endswith("."), (name, header)
    assert found > 60


def test_what_is_measured_has_its_unit(document: dict[str, Any]) -> None:
    for name, schema in fields(document):
        last = name.rpartition(".")[2]
        for word, unit in WORDS_OF_UNITS.items():
            is_number = {"integer", "number"} & {part.get("type") for part in schema.get("anyOf", [schema])}
            if last.rpartition("_")[2] == word and (is_number or last == "seconds"):
                assert schema.get("x-unit") == unit, name
        formats = {part.get("format") for part in schema.get("anyOf", [schema])}
        if "date-time" in formats:
            assert schema.get("x-unit") == "UTC", name


def test_amounts_are_strings_and_counts_integers_and_each_has_its_unit(document: dict[str, Any]) -> None:
    days = document["components"]["schemas"]["EntityDay"]["properties"]
    types = {name: {part.get("type") for part in schema.get("anyOf", [schema])} for name, schema in days.items()}
    assert types["spend"] == types["purchase_value"] == types["purchases"] == {"string", "null"}
    assert types["impressions"] == types["reach"] == {"integer", "null"}
    assert types["cpc"] == {"number", "null"}
    assert types["date_start"] == {"string"}
    units = {name: schema.get("x-unit") for name, schema in days.items()}
    assert units["spend"] == units["cpc"] == "money"
    assert units["ctr"] == "percent"
    assert units["impressions"] == "count"
    assert units["collected_at"] == "UTC"
    assert "major units" in days["spend"]["description"]


def test_every_example_of_a_value_is_of_its_type(api: ReadingApi) -> None:
    for path in ("overview", "campaign/1", "recent-insights/1", "accounts", "search", "reconciliation", "syncs"):
        for model in models_in(api.model_of(path)):
            for name, field in model.model_fields.items():
                (example,) = field.examples
                if isinstance(example, str | int | float | bool):
                    TypeAdapter(field.annotation).validate_python(example)
                    assert TypeAdapter(field.annotation).json_schema(), name


def models_in(model: Any) -> Iterator[Any]:
    """A model and those inside it."""
    yield model
    for field in model.model_fields.values():
        for part in parts_of(field.annotation):
            if hasattr(part, "model_fields"):
                yield from models_in(part)


def parts_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from parts_of(part)


def test_tables_and_problems_are_described_beside_json(api: ReadingApi) -> None:
    for path, item in api.app.openapi()["paths"].items():
        answers = item["get"]["responses"]
        forms = set(answers["200"]["content"])
        assert "application/json" in forms
        assert {"text/csv", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"} <= forms, path
        assert {"401", "403", "422", "429", "503"} <= set(answers)
        assert ("404" in answers) == ("{" in path), path
