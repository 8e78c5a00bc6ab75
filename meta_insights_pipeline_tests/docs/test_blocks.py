"""Reading blocks, and what is demanded of the documents' own."""

import json

import pytest

from meta_insights_pipeline_tests.check_docs import ROOT
from meta_insights_pipeline_tests.docs.blocks import RUN_LANGUAGES, Block, all_blocks, read_blocks, simulate_arguments

TEXT = """\
Words.

```sh
one
two
```
<!-- not run: starts a server -->
```sh
meta-insights simulate --now 2026-01-01 --seed 8
```

<!-- live -->
```sh
three
```
<!-- may be empty: nothing there -->

```sql
SELECT 1
```
````text
```sql
inside
```
````
"""


def test_blocks_come_with_line_language_and_comment() -> None:
    assert read_blocks("a.md", TEXT) == [
        Block("a.md", 3, "sh", "one\ntwo"),
        Block("a.md", 8, "sh", "meta-insights simulate --now 2026-01-01 --seed 8", "not run", "starts a server"),
        Block("a.md", 13, "sh", "three", "live"),
        # The comment does not stand on the line above.
        Block("a.md", 18, "sql", "SELECT 1"),
        Block("a.md", 21, "text", "```sql\ninside\n```"),
    ]


def test_a_block_knows_what_it_prints() -> None:
    text = "```sh\nls\n```\n\nprints\n\n```text\na\nb\n```\n\n```sh\nls\n```\nas\n```text\nc\n```"
    assert [block.prints for block in read_blocks("a.md", text)] == ["a\nb", None, None, None]


def test_a_block_without_end_is_an_error() -> None:
    with pytest.raises(AssertionError, match=r"a\.md:1: the block does not end"):
        read_blocks("a.md", "```sh\nls")


def test_the_simulator_is_started_as_the_document_says() -> None:
    assert simulate_arguments(read_blocks("a.md", TEXT)) == ["--now", "2026-01-01", "--seed", "8"]
    assert simulate_arguments([Block("a.md", 1, "sh", "meta-insights simulate --seed 8")]) == []


def test_every_block_that_is_not_run_says_why() -> None:
    reasons = {str(block): block.reason for block in all_blocks(ROOT) if block.treatment in ("not run", "may be empty")}
    assert reasons
    assert [place for place, reason in reasons.items() if len(reason.split()) < 3] == []


def test_every_json_example_is_json() -> None:
    examples = [block for block in all_blocks(ROOT) if block.language == "json"]
    assert examples
    for example in examples:
        json.loads(example.text)


def test_blocks_have_a_language_and_comments_a_block() -> None:
    blocks = all_blocks(ROOT)
    assert {block.language for block in blocks} <= {*RUN_LANGUAGES, "text", "yaml", "json"}
    treated = [block for block in blocks if block.treatment]
    assert [str(block) for block in treated if block.language not in RUN_LANGUAGES] == []
    comments = sum(
        (ROOT / name).read_text("utf-8").count(f"<!-- {mark}")
        for name in {block.document for block in blocks}
        for mark in ("not run", "live", "may be empty")
    )
    assert comments == len(treated)
