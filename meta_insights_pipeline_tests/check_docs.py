"""Checks that README.md and docs/ say what the program does; `make check` runs it.

Prints one line a problem and ends with exit code 1 if there is any; `--write` draws the generated parts up again. Reads
files only: the commands and queries that the documents show are run by the tests in the folder `docs` beside this file.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from urllib.parse import urlsplit

import click

from meta_insights_pipeline.catalog.conversions import choices
from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.cli import cli
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.settings import Settings
from meta_insights_pipeline.warehouse.dictionary import entries
from meta_insights_pipeline.warehouse.schema import (
    ACTIONS_TABLE,
    SUPERSEDED_AT,
    VALID_TO,
    Column,
    Table,
    book_tables,
    entity_history_table,
    entity_table,
    history_table,
    tables,
)
from meta_insights_pipeline_tests.faults.cases import fault_tables

ROOT = Path(__file__).resolve().parent.parent
README = "README.md"
CONFIGURATION = "docs/configuration.md"
COMMANDS = "docs/commands.md"
DATA = "docs/data.md"
FAULTS = "docs/faults.md"
MARTS = "docs/marts.md"
DICTIONARY = "docs/data-dictionary.md"
EXAMPLE = ".env.example"

_FENCE = re.compile(r"^(`{3,})[^`]*$")
_LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
_URL = re.compile(r"https?://[^\s)\"'`>|]+")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_EXAMPLE_LINE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
_TARGET = re.compile(r"^([a-z]+):.*##", re.MULTILINE)
# Praise that a number or nothing should replace.
_PRAISE = (
    *("amazing", "awesome", "beautiful", "best-in-class", "blazing", "cutting-edge", "easily", "easy", "effortless"),
    *("effortlessly", "elegant", "elegantly", "incredible", "lightning", "lightweight", "modern", "next-generation"),
    *("obviously", "painless", "perfect", "powerful", "rich", "robust", "seamless", "seamlessly", "simple", "simply"),
    *("sophisticated", "state-of-the-art", "super", "trivial", "ultimate", "unmatched", "world-class"),
)
_PRAISE_WORD = re.compile(rf"(?<![\w-])(?:{'|'.join(_PRAISE)})(?![\w-])", re.IGNORECASE)
_MACHINE_PATH = re.compile(r"(?<![\w.~$})/-])/(?:home|root|tmp|opt|work|mnt)/\w")
# Addresses that a reader needs; whatever else is named here must be a decision.
_HOSTS = ("127.0.0.1", "localhost", "graph.facebook.com", "github.com")
_MARKER = "TODO"


def document_names(root: Path) -> list[str]:
    """The documents, relative to the root."""
    return [README, *sorted(file.relative_to(root).as_posix() for file in (root / "docs").glob("*.md"))]


def prose_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines outside fenced blocks, with their numbers."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        found = _FENCE.match(line)
        if found and not fence:
            fence = found[1]
        elif fence:
            fence = "" if line.strip() == fence else fence
        else:
            yield number, line


def anchors(text: str) -> set[str]:
    """The names by which headings can be linked to, as GitHub makes them."""
    prose = "\n".join(line for _, line in prose_lines(text))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose))
    return {heading.replace(" ", "-") for heading in kept}


def table_rows(text: str) -> dict[str, list[str]]:
    """The rows of all tables of a text by the names in their first cell: what stands there in backticks, up to a blank."""
    rows: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        rows |= dict.fromkeys(re.findall(r"`([^` ]+)[^`]*`", cells[0]), cells)
    return rows


def section(text: str, heading: str) -> str | None:
    """What stands below a heading, up to the next one of the same or a higher rank; None when it is not there."""
    rank = len(heading) - len(heading.lstrip("#"))
    start = re.search(rf"^{re.escape(heading)}$", text, re.MULTILINE)
    if start is None:
        return None
    end = re.search(rf"^#{{1,{rank}}} ", text[start.end() :], re.MULTILINE)
    return text[start.end() : start.end() + end.start()] if end else text[start.end() :]


# ---- the checks ----


def link_problems(root: Path) -> list[str]:
    """Links between documents lead somewhere, and every document can be reached from the README."""
    problems, linked = [], set()
    for name in document_names(root):
        for number, is_picture, target in _links(root, name):
            path, _, anchor = target.partition("#")
            file = (root / name).parent / path if path else root / name
            if is_picture:
                continue
            if not file.exists() or not file.resolve().is_relative_to(root.resolve()):
                problems.append(f"{name}:{number}: the link {target} leads nowhere")
            elif anchor and anchor not in anchors(file.read_text("utf-8")):
                problems.append(f"{name}:{number}: the link {target} names no heading")
            if name == README:
                linked.add(file.resolve())
    unreached = [name for name in document_names(root)[1:] if (root / name).resolve() not in linked]
    return problems + [f"{README}: {name} is not linked" for name in unreached]


def settings_problems(root: Path) -> list[str]:
    """Every setting is in docs/configuration.md and .env.example with its default, and nothing else is."""
    rows = table_rows(_read(root, CONFIGURATION))
    example = dict(_EXAMPLE_LINE.findall(_read(root, EXAMPLE)))
    problems = []
    for name, default in _settings().items():
        if name not in rows:
            problems.append(f"{CONFIGURATION}: {name} is missing")
        elif default and _plain(rows[name][1]) != default:
            problems.append(f"{CONFIGURATION}: the default of {name} is {default}, not {_plain(rows[name][1])}")
        if name not in example:
            problems.append(f"{EXAMPLE}: {name} is missing")
        elif default and _plain(example[name]) != default:
            problems.append(f"{EXAMPLE}: the default of {name} is {default}, not {example[name]}")
    problems += [f"{CONFIGURATION}: {name} of {EXAMPLE} is missing" for name in example if name not in rows]
    known = {*_settings(), *example}
    return problems + [
        f"{CONFIGURATION}: {name} is no setting" for name in rows if name.startswith("META_") and name not in known
    ]


def command_problems(root: Path) -> list[str]:
    """Every command with its options and defaults, every make target and every key of the receipt is in docs/commands.md."""
    text = _read(root, COMMANDS)
    problems = []
    for name, command in sorted(cli.commands.items()):
        part = section(text, f"## `meta-insights {name}`")
        if part is None:
            problems.append(f"{COMMANDS}: there is no section for meta-insights {name}")
        else:
            problems += [f"{COMMANDS}: meta-insights {name}: {problem}" for problem in _option_problems(command, part)]
    rows = table_rows(text)
    targets = _TARGET.findall(_read(root, "Makefile"))
    make = re.findall(r"^\| `make ([a-z]+)", text, re.MULTILINE)
    problems += [f"{COMMANDS}: make {target} is missing" for target in targets if target not in make]
    problems += [f"{COMMANDS}: there is no make {target}" for target in make if target not in targets]
    return problems + [
        f"{COMMANDS}: the receipt's key {key} is missing" for key in Receipt.model_fields if key not in rows
    ]


def generated_problems(root: Path) -> list[str]:
    """The generated parts are what the code makes of them."""
    problems = []
    for name, (document, make) in GENERATED.items():
        found = _part(name).search(_read(root, document))
        if found is None:
            problems.append(f"{document}: the markers of the generated part {name} are missing")
        elif found[2].strip() != make().strip():
            problems.append(f"{document}: the generated part {name} is out of date; run it with --write")
    return problems


def wording_problems(root: Path) -> list[str]:
    """No praise, no paths of some machine, no addresses but those that a reader needs."""
    problems = []
    for name in document_names(root):
        text = _read(root, name)
        for number, line in prose_lines(text):
            problems += [f"{name}:{number}: {word!r} says nothing" for word in _PRAISE_WORD.findall(line)]
        for number, line in enumerate(text.splitlines(), 1):
            problems += [f"{name}:{number}: a path of some machine: {path}" for path in _MACHINE_PATH.findall(line)]
            hosts = (urlsplit(url).hostname or url for url in _URL.findall(line))
            problems += [f"{name}:{number}: the host {host} is not expected" for host in hosts if host not in _HOSTS]
    return problems


def unfinished_problems(root: Path) -> list[str]:
    """No number is still to be filled in, and no picture still to be made."""
    problems = []
    for name in document_names(root):
        lines = enumerate(_read(root, name).splitlines(), 1)
        problems += [f"{name}:{number}: {_MARKER} is left" for number, line in lines if _MARKER in line]
        problems += [
            f"{name}:{number}: the picture {target} is not there"
            for number, is_picture, target in _links(root, name)
            if is_picture and not ((root / name).parent / target).is_file()
        ]
    return problems


CHECKS: tuple[Callable[[Path], list[str]], ...] = (
    link_problems,
    settings_problems,
    command_problems,
    generated_problems,
    wording_problems,
    unfinished_problems,
)


# ---- the generated parts ----


def table_columns() -> str:
    """The readers' tables: keys, and every column with type, tables and meaning."""
    every = tables()
    facts = [table for table in every if table.name != ACTIONS_TABLE]
    (actions,) = (table for table in every if table.name == ACTIONS_TABLE)
    lines = ["| table | key | one row for |", "| --- | --- | --- |"]
    lines += [f"| `{table.name}` | `{', '.join(table.key)}` | {_row_of(table)} |" for table in every]
    lines += [
        "",
        "Columns of the four fact tables:",
        "",
        "| column | type | in | meaning |",
        "| --- | --- | --- | --- |",
    ]
    places: dict[tuple[str, str, str], list[str]] = {}
    # The deepest level first: it has the columns of all others, in the order of its table.
    for table in reversed(facts):
        for column in table.columns:
            place = places.setdefault((column.name, column.sql_type, column.description), [])
            place.insert(0, table.name.removesuffix("_insights"))
    for (name, sql_type, description), present in places.items():
        where = "all" if len(present) == len(facts) else ", ".join(present)
        lines.append(f"| `{name}` | {sql_type} | {where} | {description} |")
    return "\n".join([*lines, *_column_lines(f"Columns of `{ACTIONS_TABLE}`", actions.columns)])


def entity_columns() -> str:
    """The tables of entities: keys, the columns that all of them have, and those of each."""
    found = [entity_table(kind) for kind in EntityKind]
    shared = [column for column in found[0].columns if all(column in table.columns for table in found)]
    lines = ["| table | key | one row for each |", "| --- | --- | --- |"]
    lines += [f"| `{kind.value}` | `{', '.join(kind.key)}` | {kind.noun} |" for kind in EntityKind]
    lines += _column_lines("Columns of all five tables", shared)
    for table in found:
        own = [column for column in table.columns if column not in shared]
        lines += _column_lines(f"Other columns of `{table.name}`", own)
    return "\n".join(lines)


def history_tables() -> str:
    """The tables of earlier versions: keys, and the column that says when a version ended."""
    lines = ["| table | key | a version ended at | |", "| --- | --- | --- | --- |"]
    for table in [*map(history_table, tables()), *map(entity_history_table, EntityKind)]:
        (ended,) = (column for column in table.columns if column.name in (SUPERSEDED_AT, VALID_TO))
        lines.append(f"| `{table.name}` | `{', '.join(table.key)}` | `{ended.name}` | {ended.description} |")
    return "\n".join(lines)


def book_columns() -> str:
    """The pipeline's own tables, in the order of their names."""
    lines = ["| table | columns | meaning |", "| --- | --- | --- |"]
    for table in sorted(book_tables(), key=lambda table: table.name):
        columns = ", ".join(f"`{column.name} {column.sql_type}`" for column in table.columns)
        lines.append(f"| `{table.full_name}` | {columns} | {table.description} |")
    return "\n".join(lines)


def event_table() -> str:
    """The events and by which action type each is counted."""
    lines = ["| event | columns | action type | never to be added to it |", "| --- | --- | --- | --- |"]
    for choice in choices():
        event = choice.event
        columns = ", ".join(f"`{name}`" for name in (event.counts, event.values) if name)
        overlaps = ", ".join(f"`{name}`" for name in choice.overlaps)
        where = "" if event.count_field == "actions" else f" of `{event.count_field}`"
        lines.append(f"| `{event.name}` | {columns} | `{choice.action_type}`{where} | {overlaps} |")
    return "\n".join(lines)


def dictionary_tables() -> str:
    """Every column of every table, view and macro, each of these under a heading of its own."""
    lines: list[str] = []
    for name, found in groupby(entries(), lambda entry: entry.table_name):
        lines += ["", f"## {name}", "", "| column | type | unit | may be summed | meaning | made of |"]
        lines.append("| --- | --- | --- | --- | --- | --- |")
        for entry in found:
            additive = {None: "", True: "yes", False: "no"}[entry.additive]
            made_of = (
                entry.source if ": " in entry.source else ", ".join(f"`{part}`" for part in entry.source.split(", "))
            )
            lines.append(
                f"| `{entry.column_name}` | {entry.type} | {entry.unit} | {additive} | {entry.description} | {made_of} |"
            )
    return "\n".join(lines[1:])


GENERATED: dict[str, tuple[str, Callable[[], str]]] = {
    "events": (MARTS, event_table),
    "dictionary": (DICTIONARY, dictionary_tables),
    "tables": (DATA, table_columns),
    "entities": (DATA, entity_columns),
    "histories": (DATA, history_tables),
    "books": (DATA, book_columns),
    "faults": (FAULTS, fault_tables),
}


def write_generated(root: Path) -> None:
    """Draw the generated parts of the documents up again."""
    for name, (document, make) in GENERATED.items():
        part = f"\n\n{make()}\n\n"
        text = _part(name).sub(lambda found, part=part: found[1] + part + found[3], _read(root, document))  # type: ignore[misc]
        (root / document).write_text(text, "utf-8")


# ---- helpers ----


def _read(root: Path, name: str) -> str:
    file = root / name
    return file.read_text("utf-8") if file.is_file() else ""


def _links(root: Path, name: str) -> Iterator[tuple[int, bool, str]]:
    """The links of a document to files: line, whether it is a picture, target."""
    for number, line in prose_lines(_read(root, name)):
        for mark, target in _LINK.findall(line):
            if not urlsplit(target).scheme:
                yield number, mark == "!", target


def _part(name: str) -> re.Pattern[str]:
    begin, end = re.escape(f"<!-- generated: {name} -->"), re.escape(f"<!-- end of generated: {name} -->")
    return re.compile(rf"({begin})(.*?)({end})", re.DOTALL)


def _settings() -> dict[str, str]:
    """The variables of the settings with their defaults; empty where there is none or the default is a rule."""
    return {
        str(field.validation_alias): "" if field.default in (None, ()) else _plain(str(field.default))
        for field in Settings.model_fields.values()
    }


def _plain(text: str) -> str:
    """A value without backticks, and a path without the dot in front of it."""
    return text.strip("`").removeprefix("./")


def _option_problems(command: click.Command, text: str) -> Iterator[str]:
    rows = {name: cells for name, cells in table_rows(text).items() if name.startswith("--")}
    known = {name: option for option in _options(command) for name in option.opts if name.startswith("--")}
    yield from (f"there is no option {name}" for name in rows if name not in known)
    for name, option in known.items():
        if name not in rows:
            yield f"the option {name} is missing"
            continue
        default = "" if option.is_flag or not isinstance(option.default, str | int | float) else _shown(option.default)
        if default and _plain(rows[name][1]) != default:
            yield f"the default of {name} is {default}, not {_plain(rows[name][1])}"


def _options(command: click.Command) -> Iterable[click.Option]:
    return (option for option in command.params if isinstance(option, click.Option))


def _shown(default: str | float) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


def _column_lines(heading: str, columns: Iterable[Column]) -> list[str]:
    lines = ["", f"{heading}:", "", "| column | type | meaning |", "| --- | --- | --- |"]
    return lines + [f"| `{column.name}` | {column.sql_type} | {column.description} |" for column in columns]


def _row_of(table: Table) -> str:
    *entity, _ = table.name.split("_insights")
    if table.name == ACTIONS_TABLE:
        return "an entity of any level, a day, a field and an action type"
    return {"account": "an ad account", "campaign": "a campaign", "adset": "an ad set", "ad": "an ad"}[
        entity[0]
    ] + " and a day"


def main(arguments: Sequence[str]) -> int:
    """Check the documents of this repository, after writing their generated parts if asked to.

    Returns:
        0, or 1 when there is a problem.
    """
    if "--write" in arguments:
        write_generated(ROOT)
    problems = [problem for check in CHECKS for problem in check(ROOT)]
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
