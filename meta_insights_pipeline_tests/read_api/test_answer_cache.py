"""Answers kept in memory: the same question, and no other, gets the same answer."""

import dataclasses
from datetime import date

import pytest

from meta_insights_pipeline.read_api.answer_cache import Answer, AnswerCache, Question, normalized

QUESTION = Question(
    "file",
    (date(2026, 3, 1), date(2026, 3, 2)),
    "/overview",
    "days=7",
    "application/json",
    "viewer",
    frozenset({"1", "2"}),
)
OTHERS = [
    {"snapshot": "other"},
    {"days": (date(2026, 3, 2), date(2026, 3, 1))},
    {"days": ()},
    {"path": "/recent"},
    {"query": "days=8"},
    {"accept": "text/csv"},
    {"role": "operator"},
    {"accounts": frozenset({"1"})},
    {"accounts": frozenset()},
    {"accounts": None},
]


def answer(size: int = 10) -> Answer:
    return Answer('W/"tag"', "/overview", ((b"content-type", b"application/json"),), b"x" * size)


def test_the_same_question_gets_its_answer_in_its_compression_alone() -> None:
    cache = AnswerCache(1_000_000)
    kept = answer()
    cache.put(QUESTION, kept, is_compressed=False)
    same = dataclasses.replace(QUESTION, accounts=frozenset({"2", "1"}))
    assert cache.get(same, is_compressed=False) is kept
    assert cache.get(same, is_compressed=True) is None


@pytest.mark.parametrize("change", OTHERS, ids=str)
def test_whatever_an_answer_depends_on_makes_another_question_with_another_tag(change: dict[str, object]) -> None:
    cache = AnswerCache(1_000_000)
    cache.put(QUESTION, answer(), is_compressed=False)
    other = dataclasses.replace(QUESTION, **change)  # type: ignore[arg-type]
    assert cache.get(other, is_compressed=False) is None
    assert other.tag("build") != QUESTION.tag("build")


def test_a_tag_is_the_same_in_every_process_and_another_one_for_another_program() -> None:
    assert QUESTION.tag("a") == dataclasses.replace(QUESTION, accounts=frozenset({"2", "1"})).tag("a")
    assert QUESTION.tag("a") != QUESTION.tag("b")


def test_what_was_not_asked_for_longest_is_forgotten_first_and_the_rest_fits() -> None:
    cache = AnswerCache(10 * (1000 + 2048))
    questions = [dataclasses.replace(QUESTION, query=f"days={number}") for number in range(12)]
    for question in questions[:10]:
        cache.put(question, answer(1000), is_compressed=False)
    assert cache.get(questions[0], is_compressed=False) is not None
    for question in questions[10:]:
        cache.put(question, answer(1000), is_compressed=False)
    kept = [cache.get(question, is_compressed=False) is not None for question in questions]
    assert kept == [True, False, False, *[True] * 9]


def test_an_answer_that_is_put_again_is_counted_once_and_too_long_a_one_is_not_kept() -> None:
    cache = AnswerCache(100_000)
    for _ in range(1000):
        cache.put(QUESTION, answer(1000), is_compressed=False)
    assert cache.get(QUESTION, is_compressed=False) is not None
    other = dataclasses.replace(QUESTION, query="long")
    cache.put(other, answer(cache.longest + 1), is_compressed=False)
    assert cache.get(other, is_compressed=False) is None
    cache.clear()
    assert cache.get(QUESTION, is_compressed=False) is None


def test_a_query_is_the_same_in_any_order_of_its_names_but_not_of_the_values_of_one() -> None:
    assert normalized(b"b=2&a=1&a=0") == normalized(b"a=1&b=2&a=0") == "a=1&a=0&b=2"
    assert normalized(b"a=1&a=0") != normalized(b"a=0&a=1")
    assert normalized(b"a=%201") == normalized(b"a=+1") != normalized(b"a=1")
    assert normalized(b"a") == normalized(b"a=") != normalized(b"")
