"""Sums over the tables, each by a plain query of its own: what the figures of answers are held against."""

from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from meta_insights_pipeline.catalog.levels import Level


class Oracle:
    """Sums over the tables, each by a query of its own."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, level: Level, where: str, since: date, until: date
    ) -> None:
        self._connection = connection
        self._level = level
        self._days = f"f.date_start BETWEEN DATE '{since}' AND DATE '{until}'"
        self._where = where
        self.is_one_day = since == until

    @property
    def _rows(self) -> str:
        return (
            f"FROM {self._level.value}_insights AS f LEFT JOIN ad_accounts AS a USING (account_id) "
            f"WHERE {self._days} AND ({self._where})"
        )

    def value(self, expression: str) -> Any:
        return self._connection.execute(f"SELECT {expression} {self._rows}").fetchall()[0][0]

    def done(self, field: str) -> Decimal | None:
        """Purchases, or their money."""
        if self.value("count(*)") == 0 or self.value(
            f"count(*) FILTER (list_contains(split(withheld_fields, ','), '{field}'))"
        ):
            return None
        rows = self._connection.execute(
            f"SELECT sum(i.value) FROM insight_actions AS i WHERE i.level = '{self._level.value}' AND i.field = '{field}' "
            "AND i.action_type = 'omni_purchase' AND (i.account_id, i.entity_id, i.date_start) IN "
            f"(SELECT (f.account_id, f.{self._level.id_field}, f.date_start) {self._rows})"
        ).fetchall()
        return rows[0][0] or Decimal(0)

    def figures(self) -> dict[str, Any]:
        rows = self.value("count(*)")
        sums = {name: self.value(f"sum(f.{name})") for name in ("impressions", "clicks", "inline_link_clicks", "spend")}
        reach = self.value("any_value(f.reach)") if rows == 1 and self.is_one_day else None
        purchases, money = self.done("actions"), self.done("action_values")
        return {
            **sums,
            "reach": reach,
            "purchases": purchases,
            "purchase_value": money,
            "ctr": ratio(sums["clicks"], sums["impressions"], 100),
            "cpc": ratio(sums["spend"], sums["clicks"]),
            "cpm": ratio(sums["spend"], sums["impressions"], 1000),
            "cpp": ratio(sums["spend"], reach, 1000),
            "frequency": ratio(sums["impressions"], reach),
            "roas": ratio(money, sums["spend"]),
            "cpa": ratio(sums["spend"], purchases),
        }


def ratio(top: Any, bottom: Any, scale: int = 1) -> float | None:
    return None if top is None or not bottom else scale * float(top) / float(bottom)


def assert_figures(row: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        found = row[name]
        if isinstance(value, float):
            assert found == pytest.approx(value, rel=1e-12), name
        elif isinstance(found, str):
            assert Decimal(found) == value, name
            assert "E" not in found
            assert not ("." in found and found.endswith(("0", ".")))
        else:
            assert found == value, name
