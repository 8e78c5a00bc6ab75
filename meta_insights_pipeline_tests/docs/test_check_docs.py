"""The static checks: they hold for the documents as they are, and notice what is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from meta_insights_pipeline_tests import check_docs
from meta_insights_pipeline_tests.check_docs import CHECKS, ROOT, unfinished_problems

Change = tuple[str, str, str]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the checks read."""
    for name in ("README.md", ".env.example", "Makefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    return tmp_path


def change(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text("utf-8")
    assert old in text, old
    (root / name).write_text(text.replace(old, new, 1), "utf-8")


# Numbers and pictures are filled in last; `make check` demands them.
@pytest.mark.parametrize("check", [check for check in CHECKS if check is not unfinished_problems])
def test_the_documents_are_as_they_should_be(check: Callable[[Path], list[str]]) -> None:
    assert check(ROOT) == []


@pytest.mark.parametrize(
    ("check", "wrong", "problem"),
    [
        (
            "link_problems",
            ("README.md", "docs/data.md)", "docs/nowhere.md)"),
            "README.md:{line}: the link docs/nowhere.md leads nowhere",
        ),
        (
            "link_problems",
            ("README.md", "docs/data.md#bi-tools-and-notebooks", "docs/data.md#bi"),
            "README.md:{line}: the link docs/data.md#bi names no heading",
        ),
        (
            "link_problems",
            ("docs/data.md", "(configuration.md", "(../../outside.md"),
            "docs/data.md:{line}: the link ../../outside.md#the-home-folder leads nowhere",
        ),
        (
            "link_problems",
            ("README.md", "(docs/simulator.md)", "(docs/data.md)"),
            "README.md: docs/simulator.md is not linked",
        ),
        (
            "settings_problems",
            ("docs/configuration.md", "| `META_INSIGHTS_STUB_SEED`", "| `META_INSIGHTS_SEED`"),
            "docs/configuration.md: META_INSIGHTS_STUB_SEED is missing",
        ),
        (
            "settings_problems",
            ("docs/configuration.md", "| `v26.0` |", "| `v25.0` |"),
            "docs/configuration.md: the default of META_GRAPH_API_VERSION is v26.0, not v25.0",
        ),
        ("settings_problems", (".env.example", "#META_APP_SECRET=\n", ""), ".env.example: META_APP_SECRET is missing"),
        (
            "settings_problems",
            (".env.example", "#META_INSIGHTS_MODE=stub", "#META_INSIGHTS_MODE=live"),
            ".env.example: the default of META_INSIGHTS_MODE is stub, not live",
        ),
        (
            "settings_problems",
            (".env.example", "#META_APP_SECRET=", "#META_NEW=\n#META_APP_SECRET="),
            "docs/configuration.md: META_NEW of .env.example is missing",
        ),
        (
            "settings_problems",
            ("docs/configuration.md", "| `META_APP_SECRET` |", "| `META_OLD` | none | |\n| `META_APP_SECRET` |"),
            "docs/configuration.md: META_OLD is no setting",
        ),
        (
            "command_problems",
            ("docs/commands.md", "## `meta-insights sync`", "## Sync"),
            "docs/commands.md: there is no section for meta-insights sync",
        ),
        (
            "command_problems",
            ("docs/commands.md", "| `--json` |", "| `--jason` |"),
            "docs/commands.md: meta-insights sync: the option --json is missing",
        ),
        (
            "command_problems",
            ("docs/commands.md", "| `--json` |", "| `--old` | off | |\n| `--json` |"),
            "docs/commands.md: meta-insights sync: there is no option --old",
        ),
        (
            "command_problems",
            ("docs/commands.md", "| `--port PORT` | `8090` |", "| `--port PORT` | `8091` |"),
            "docs/commands.md: meta-insights simulate: the default of --port is 8090, not 8091",
        ),
        (
            "command_problems",
            ("docs/commands.md", "| `make bench` |", "| bench |"),
            "docs/commands.md: make bench is missing",
        ),
        (
            "command_problems",
            ("docs/commands.md", "| `make bench` |", "| `make old` | |\n| `make bench` |"),
            "docs/commands.md: there is no make old",
        ),
        (
            "command_problems",
            ("docs/commands.md", "| `retries` |", "| tries |"),
            "docs/commands.md: the receipt's key retries is missing",
        ),
        (
            "generated_problems",
            ("docs/data.md", "| `impressions` | BIGINT |", "| `impressions` | INTEGER |"),
            "docs/data.md: the generated part tables is out of date; run it with --write",
        ),
        (
            "generated_problems",
            ("docs/data.md", "<!-- generated: books -->", ""),
            "docs/data.md: the markers of the generated part books are missing",
        ),
        (
            "wording_problems",
            ("docs/dagster.md", "# Dagster\n", "# Dagster\nSimply a seamlessly made thing.\n"),
            "docs/dagster.md:2: 'Simply' says nothing",
        ),
        (
            "wording_problems",
            ("docs/dagster.md", "# Dagster\n", "# Dagster\n```sh\nls /home/me/data\n```\n"),
            "docs/dagster.md:3: a path of some machine: /home/m",
        ),
        (
            "wording_problems",
            ("docs/dagster.md", "# Dagster\n", "# Dagster\n<https://example.org/x>\n"),
            "docs/dagster.md:2: the host example.org is not expected",
        ),
        (
            "unfinished_problems",
            ("docs/dagster.md", "# Dagster\n", "# Dagster\nIt takes TODO-MEASURE.\n"),
            "docs/dagster.md:2: TODO is left",
        ),
        (
            "unfinished_problems",
            ("docs/dagster.md", "# Dagster\n", "# Dagster\n![x](images/none.png)\n"),
            "docs/dagster.md:2: the picture images/none.png is not there",
        ),
    ],
)
def test_what_is_wrong_is_noticed(copy: Path, check: str, wrong: Change, problem: str) -> None:
    name, _, new = wrong
    run: Callable[[Path], list[str]] = getattr(check_docs, check)
    assert problem not in run(copy)
    change(copy, *wrong)
    text = (copy / name).read_text("utf-8")
    line = text[: text.index(new)].count("\n") + 1
    assert problem.format(line=line) in run(copy)


def test_praise_inside_a_block_or_a_longer_word_is_no_problem(copy: Path) -> None:
    change(
        copy, "docs/dagster.md", "# Dagster\n", "# Dagster\n```text\nsimply\n```\nAn enriched, superseded, perfectly.\n"
    )
    assert check_docs.wording_problems(copy) == []


def test_the_generated_parts_are_drawn_up_again(copy: Path) -> None:
    before = (copy / "docs/data.md").read_text("utf-8")
    change(copy, "docs/data.md", "| `impressions` | BIGINT |", "| `impressions` | INTEGER |")
    check_docs.write_generated(copy)
    assert (copy / "docs/data.md").read_text("utf-8") == before


def test_every_history_is_said_to_end_at_the_column_that_ends_its_versions() -> None:
    rows = [line.split(" | ") for line in check_docs.history_tables().splitlines()[2:]]
    assert {row[2] for row in rows if "insight" in row[0]} == {"`superseded_at`"}
    assert {row[2] for row in rows if "insight" not in row[0]} == {"`valid_to`"}


def test_problems_are_printed_one_a_line_with_exit_code_1(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_docs, "ROOT", copy)
    monkeypatch.setattr(check_docs, "CHECKS", (check_docs.wording_problems,))
    assert check_docs.main([]) == 0
    change(copy, "docs/dagster.md", "# Dagster\n", "# Dagster\nEasy.\n")
    assert check_docs.main([]) == 1
    assert capsys.readouterr().out == "docs/dagster.md:2: 'Easy' says nothing\n"
    change(copy, "docs/dagster.md", "\nEasy.\n", "\n")
    change(copy, "docs/data.md", "| `impressions` | BIGINT |", "| `impressions` | INTEGER |")
    assert check_docs.main(["--write"]) == 0
    assert check_docs.generated_problems(copy) == []
