"""What the API says of its answers: every field has a description and an example, and units where it is measured."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from meta_insights_pipeline_tests.read_api.reading_api import ReadingApi


@pytest.fixture
def document(api: ReadingApi) -> dict[str, Any]:
    return api.app.openapi()


def fields(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, model in document["components"]["schemas"].items():
        for field, schema in model.get("properties", {}).items():
            yield f"{name}.{field}", schema


def test_every_field_is_described_with_an_example(document: dict[str, Any]) -> None:
    found = [each for each in fields(document) if "ValidationError" not in each[0]]
    assert len(found) > 200
    for name, schema in found:
        assert schema.get("description", "").endswith((".", ":")), name
        assert "examples" in schema, name


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


def test_tables_and_problems_are_described_beside_json(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        answers = item["get"]["responses"]
        forms = set(answers["200"]["content"])
        assert "application/json" in forms
        assert ("text/csv" in forms) == (path != "/meta/insights/syncs"), path
        assert {"401", "403", "422", "429", "503"} <= set(answers)
        assert ("404" in answers) == ("{" in path), path
        for parameter in item["get"]["parameters"]:
            assert parameter.get("description"), (path, parameter["name"])
