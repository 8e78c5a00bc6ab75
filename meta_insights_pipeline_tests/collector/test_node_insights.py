"""Insights of single nodes, many in a request: every page, each node's own refusal, and an end when all are refused."""

import json
from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from meta_insights_pipeline.catalog.levels import Level
from meta_insights_pipeline.catalog.reports import reports_of_levels
from meta_insights_pipeline.collector import node_insights
from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.collector.node_insights import NodeAnswers, insights_of_nodes
from meta_insights_pipeline.graph_api.errors import BadRequestError, ThrottleError
from meta_insights_pipeline.simulator import World, WorldSpec
from meta_insights_pipeline_tests.graph_api.support import Talk, talk

DAYS = DayRange(date(2026, 11, 10), date(2026, 11, 12))
(ADS,) = reports_of_levels([Level.AD])


@cache
def world() -> World:
    return World(WorldSpec(accounts=1, campaigns=1, adsets_per_campaign=3, ads_per_adset=2, always_on=True))


def adsets() -> list[str]:
    return world().graph(world().accounts[0].id).adsets.ids


def ask(one: Talk, nodes: Sequence[str], folder: Path) -> NodeAnswers:
    return insights_of_nodes(one.api, one.account_id, ADS, ("impressions",), [(node, DAYS) for node in nodes], folder)


def rows(answers: NodeAnswers) -> list[dict[str, Any]]:
    return [row for page in answers.pages for row in json.loads(page.read_bytes())]


def test_many_nodes_are_one_request_and_each_gives_the_rows_below_it(tmp_path: Path) -> None:
    with talk(world()) as one:
        answers = ask(one, adsets(), tmp_path)
        assert one.calls == 1
    assert answers.answered == adsets()
    assert len(rows(answers)) == 3 * 2 * DAYS.count
    assert {row["adset_id"] for row in rows(answers)} == set(adsets())
    assert all("spend" not in row for row in rows(answers))


def test_an_entity_gives_its_own_rows_and_one_that_meta_does_not_know_gives_none(tmp_path: Path) -> None:
    ad = world().graph(world().accounts[0].id).ads.ids[0]
    unknown = ad[:-1] + ("1" if ad[-1] != "1" else "2")
    with talk(world()) as one:
        answers = ask(one, [unknown, ad], tmp_path)
    assert answers.answered == [unknown, ad]
    assert {row["ad_id"] for row in rows(answers)} == {ad}
    assert len(rows(answers)) == DAYS.count


def test_every_page_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_insights, "PAGE_ROWS", 4)
    with talk(world()) as one:
        answers = ask(one, adsets()[:1], tmp_path)
        assert one.calls == 2
    assert len(rows(answers)) == 2 * DAYS.count
    assert len(answers.pages) == 2


def test_the_refusal_of_one_node_is_its_own(tmp_path: Path) -> None:
    first, *others = adsets()
    with talk(world()) as one:
        one.simulator.faults.add("graph_error", path=first, code=3018, times=None)
        answers = ask(one, adsets(), tmp_path)
    assert answers.answered == others
    assert answers.refused.keys() == {first}
    assert isinstance(answers.refused[first], BadRequestError)


def test_once_a_limit_is_reached_no_further_page_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_insights, "PAGE_ROWS", 4)
    with talk(world()) as one:
        one.simulator.faults.add("block", path=adsets()[0], code=80000, seconds=1200)
        answers = ask(one, adsets(), tmp_path)
        assert one.calls == 1
    assert answers.answered == []
    assert all(isinstance(error, ThrottleError) for error in answers.refused.values())
    assert answers.pages == []
