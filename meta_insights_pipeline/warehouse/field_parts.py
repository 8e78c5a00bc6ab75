"""Rows that came in parts: each request asked for some of the report's fields, and the parts are joined by the report's key.

A row that one part has and another has not lacks the other's fields: they are NULL, never 0, and the row names them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from meta_insights_pipeline.catalog.fields import Field
from meta_insights_pipeline.catalog.reports import Report
from meta_insights_pipeline.warehouse.pages import PART, SLICE, SLICES, other_fields, quoted, stored_value
from meta_insights_pipeline.warehouse.schema import CHANGED_AT, OTHER_FIELDS, WITHHELD
from meta_insights_pipeline.warehouse.sql import literal, parquet

Given = tuple[str, ...]
"""The fields of a part: names of `Report.fields` that were asked for and that Meta gives, in the report's order."""


def given_fields(report: Report, asked: Sequence[str] | None, withheld: Sequence[str]) -> Given:
    """The fields of a part.

    Args:
        report: The report.
        asked: The names in the request; None: all.
        withheld: Names that Meta would not give.
    """
    always = _always(report)
    return tuple(
        name for name in report.fields if name in always or ((asked is None or name in asked) and name not in withheld)
    )


def parts_by_field(report: Report, parts: Sequence[Given]) -> dict[str, list[int]]:
    """The numbers of the parts that have each of the report's fields."""
    return {name: [number for number, given in enumerate(parts) if name in given] for name in report.fields}


def joined_query(report: Report, files: Sequence[Path], parts: Mapping[str, Sequence[int]]) -> str:
    """The rows of a fact table from the values of the parts, with the numbers of their slices.

    Args:
        report: The report.
        files: The values as Parquet, as `pages.part_rows_query` gives them, no row twice in a part.
        parts: The parts that have each field.
    """
    always = _always(report)
    present = sorted({number for numbers in parts.values() for number in numbers})
    key = ", ".join((SLICE, *(f'"{name}"' for name in report.key)))
    merged = [
        *(
            f"any_value({quoted(each)}) AS {quoted(each)}"
            for each in report.column_fields
            if each.name not in report.key
        ),
        *(f"bool_or({PART} = {number}) AS part_{number}" for number in present),
        f"{other_fields(f'flatten(list({OTHER_FIELDS}))')} AS {OTHER_FIELDS}",
    ]
    values = [_value(each, parts, always) for each in report.column_fields]
    names = [
        f"CASE WHEN NOT ({_is_given(name, parts)}) THEN {literal(name)} END"
        for name in report.fields
        if name not in always
    ]
    return (
        f"SELECT {SLICE}, {', '.join(values)}, collected_at AS {CHANGED_AT}, "
        f"nullif(concat_ws(',', {', '.join(names)}), '') AS {WITHHELD}, {OTHER_FIELDS} "
        f"FROM (SELECT {key}, {', '.join(merged)} FROM {parquet(files)} GROUP BY {key}) "
        f"JOIN (SELECT {SLICE}, collected_at FROM {SLICES}) USING ({SLICE})"
    )


def _value(field: Field, parts: Mapping[str, Sequence[int]], always: frozenset[str]) -> str:
    name = quoted(field)
    if field.name in always:
        return name
    return f"CASE WHEN {_is_given(field.name, parts)} THEN {stored_value(field)} END AS {name}"


def _is_given(name: str, parts: Mapping[str, Sequence[int]]) -> str:
    return " OR ".join(f"part_{number}" for number in parts[name]) or "false"


@lru_cache
def _always(report: Report) -> frozenset[str]:
    """Ids, names and days, which come with every answer."""
    return frozenset((*report.level.identity_fields, "date_start", *report.key))
