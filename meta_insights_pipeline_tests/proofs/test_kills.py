"""`kill -9` at every step of a sync: the warehouse opens, readers have the last copy or the new one, nothing is lost or doubled.

The steps are the fault points of `fault_points.py`: a first run, which nobody kills, tells which there are. Two syncs are killed.
The plain one reads restated days, refreshes the entities, and thins histories and archive. The whole one has an asynchronous
report and rows of a deleted ad that no report lists besides, and so reads again, recovers and concludes.

Of the kinds of steps (function, and what it is about to do) all are taken that make something lasting, and a sample of others.
With META_INSIGHTS_PROOF=long all kinds are, in each way of dying that they allow (20 minutes), with META_INSIGHTS_PROOF=every all
steps (2 hours).
"""

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from meta_insights_pipeline.collector.days import DayRange
from meta_insights_pipeline.life import forget_dead
from meta_insights_pipeline.receipt import Receipt
from meta_insights_pipeline.simulator.clock import SimulatedClock
from meta_insights_pipeline.simulator.world import WorldSpec
from meta_insights_pipeline_tests.comparison import assert_equals_truth
from meta_insights_pipeline_tests.live import TOKEN
from meta_insights_pipeline_tests.proofs.children import Ending, Job, run_child
from meta_insights_pipeline_tests.proofs.fault_points import Death, Manner, Point
from meta_insights_pipeline_tests.reconciling import NOW, Bench, bench

PROOF = os.environ.get("META_INSIGHTS_PROOF", "")
PLAIN, WHOLE = "plain", "whole"
SPEC = WorldSpec(seed=3, accounts=1, campaigns=1, adsets_per_campaign=2, ads_per_adset=2, always_on=True)
LATER = timedelta(days=9)
"""Until the sync that is killed: by then everything is due to be thinned."""
# How long DuckDB's files may become once it begins to commit or to write everything down: not at all, so that its first write is
# its last one; until the log of a transaction is half written; until the blocks of a checkpoint are.
SIZES = (0, 20_000, 1_000_000)
# What tells one run from another, the machine's own time, and what a second sync counts or asks otherwise than a first one: rows
# that were recovered before are counted, and need not be asked for.
_OF_THE_RUN = ("run_id", "noticed_at", "thinned_at", "row_count", "asked_again_at")
Tables = dict[str, list[str]]


@dataclass
class Ground:
    """A home before the sync that is killed, and what an undisturbed one makes of it."""

    home: Bench
    folder: Path
    whole: bool
    copies: int = 0
    points: tuple[Point, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    before: Tables = field(default_factory=dict)
    after: Tables = field(default_factory=dict)
    files: frozenset[str] = frozenset()

    def copy(self) -> Path:
        """The home before, once more."""
        self.copies += 1
        target = self.folder.with_name(f"copy-{self.copies}")
        shutil.copytree(self.folder, target)
        return target

    def sync(self, folder: Path, run_id: str, death: Death | None = None) -> Ending:
        """The sync in a home, in a process of its own; simulated time stands still."""
        now = NOW + LATER
        variables = {
            "META_INSIGHTS_MODE": "live",
            "META_ACCESS_TOKEN": TOKEN,
            "META_GRAPH_API_URL": self.home.settings.graph_api_url,
            "META_INSIGHTS_HOME": str(folder),
        }
        # What no longer changes takes no second reading to explain.
        days = DayRange(NOW.date() - timedelta(days=1), now.date() if self.whole else NOW.date())
        return run_child(Job(variables, run_id, days, now, death=death))


@pytest.fixture(scope="module")
def ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_warehouse: Path
) -> Iterator[Ground]:
    base, whole = tmp_path_factory.mktemp("ground"), request.param == WHOLE
    folder = base / "home"
    folder.mkdir()
    with bench(folder, empty_warehouse, SPEC) as home:
        if whole:
            home.delete("ad", 3, NOW + timedelta(hours=1))
            # The ads are too many for a direct answer, as Meta would have it.
            ads = {"path": r"act_\d+/insights", "kind": "insights", "query": "level=ad", "without_query": "level=adset"}
            home.simulator.faults.add("graph_error", **ads, code=100, subcode=1487534, times=None)
        days = home.days(0, 2)
        home.sync(days, entities_every=timedelta(0))
        home.pass_time(timedelta(hours=3))
        home.sync(days)
        home.pass_time(LATER - timedelta(hours=3))
        clock = home.simulator.clock
        assert isinstance(clock, SimulatedClock)
        clock.set(NOW + LATER)
        home.simulator.set_deleted_rows("by_id" if whole else "filtered")
        found = Ground(home, folder, whole)
        found.before = contents(home.settings.snapshot_path)
        undisturbed = found.copy()
        ending = found.sync(undisturbed, "undisturbed")
        assert ending.receipt is not None, ending.error
        assert ending.receipt.state == "complete"
        snapshot = undisturbed / "meta_insights.duckdb"
        assert_equals_truth(snapshot, home.world, days.since, days.until, NOW + LATER)
        found.points, found.calls = ending.points, ending.receipt.calls
        found.after, found.files = contents(snapshot), files_of(undisturbed)
        yield found


def contents(file: Path) -> Tables:
    """Every row of every table, without what tells one run from another."""
    with closing(duckdb.connect(str(file), read_only=True)) as connection:
        columns: dict[str, list[str]] = {}
        for schema, table, column in connection.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE NOT internal AND (schema_name, table_name) "
            "IN (SELECT (schema_name, table_name) FROM duckdb_tables()) ORDER BY column_index"
        ).fetchall():
            if column not in _OF_THE_RUN:
                columns.setdefault(f'"{schema}"."{table}"', []).append(f'"{column}"')
        return {
            table: sorted(map(repr, connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()))
            for table, names in columns.items()
        }


def files_of(home: Path) -> frozenset[str]:
    """The files and folders of a home, by what they are; of the archive only what is not in its place."""
    found = set()
    for path in home.rglob("*"):
        name = str(path.relative_to(home))
        if not re.fullmatch(r"archive(/live(/(act_\d+(/[\w.]+(/[^/]+_[^/]+\.zst)?)?|\.lock|thinned.json))?)?", name):
            found.add(re.sub(r"receipts/.+\.json", "receipts/RUN.json", name))
    return frozenset(found)


def differences(found: Tables, expected: Tables) -> str:
    """In which tables two warehouses differ, with the first rows that do."""
    texts = []
    for table in sorted(found.keys() | expected.keys()):
        mine, theirs = set(found.get(table, ())), set(expected.get(table, ()))
        if found.get(table) != expected.get(table):
            texts.append(f"{table}: {sorted(mine - theirs)[:2]} instead of {sorted(theirs - mine)[:2]}")
    return "\n".join(texts)


# ---- the deaths ----

WRITING = Point("warehouse/writing.py:write.<locals>.merge", "warehouse begin", 1)
"""From here on everything is bought."""
LASTING = ("rename", "link", "warehouse commit", "warehouse checkpoint")
"""What makes or moves something that stays."""
READ_LATER = (
    "collector/report_book.py:ReportBook.add_page",
    "warehouse/archive_files.py:write_file",
    "warehouse/publication.py:publish",
    "home_files.py:_write",
    "receipt.py:Receipt.save",
)
"""What writes files that somebody else reads."""
SAMPLE = {PLAIN: 3, WHOLE: 1}
"""How many of the other kinds are taken."""


def deaths(ground: Ground) -> list[Death]:
    """How the sync is killed."""
    kinds: dict[tuple[str, str], list[Point]] = {}
    for point in ground.points:
        kinds.setdefault(point.kind, []).append(point)
    chosen = [same[len(same) // 2] for same in kinds.values()]
    if PROOF == "every":
        chosen = list(ground.points)
    elif not PROOF:
        others = [point for point in chosen if point.what not in LASTING]
        count = SAMPLE[WHOLE if ground.whole else PLAIN]
        # The plain sync dies at what both have.
        mine = [point for point in chosen if not ground.whole or "recovery.py" in point.where]
        chosen = [point for point in mine if point.what in LASTING]
        chosen += [others[number * len(others) // count] for number in range(count)]
    found = [Death(point) for point in chosen]
    halves = [same[len(same) // 2] for (where, what), same in kinds.items() if what == "write" and where in READ_LATER]
    halves = [point for point in chosen if point.what == "write"] if PROOF else halves * (not ground.whole)
    found += [Death(point, manner=Manner.HALF_A_FILE) for point in halves]
    short = [same[0] for (_, what), same in kinds.items() if what in ("warehouse commit", "warehouse checkpoint")]
    short = [point for point in short if PROOF or (not ground.whole and point.where == WRITING.where)]
    found += [Death(point, manner=Manner.SHORT, bytes=size) for point in short for size in SIZES]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ground", [PLAIN, WHOLE], indirect=True)
def test_a_sync_killed_at_any_step_loses_and_doubles_nothing(ground: Ground) -> None:
    problems = []
    for death in deaths(ground):
        folder = ground.copy()
        try:
            killed_at(ground, folder, death)
        except AssertionError as problem:
            problems.append(f"{death}: {problem}")
        shutil.rmtree(folder)
    assert not problems, "\n\n".join(problems)


def killed_at(ground: Ground, folder: Path, death: Death) -> None:
    """A sync is killed, and another one comes after it."""
    snapshot, calls = folder / "meta_insights.duckdb", ground.calls
    ending = ground.sync(folder, "killed", death)
    assert ending.killed, f"it has come to its end {ending.error}"
    seen = contents(snapshot)
    assert seen in (ground.before, ground.after), f"a copy for readers is torn: {differences(seen, ground.after)}"
    bought = purchases(folder)
    if not ground.whole and death.point in ground.points[ground.points.index(WRITING) :] and not is_merged(folder):
        assert bought["insights_page"] == calls["insights_page"], "what was bought is neither stored nor kept"

    again = ground.sync(folder, "again")
    assert again.receipt is not None, f"the next sync fails: {again.error}"
    assert again.receipt.state == "complete", again.receipt.missing_text()
    seen = contents(snapshot)
    assert seen == ground.after, differences(seen, ground.after)
    # As whoever looks for runs that have ended without a word does.
    forget_dead(folder, "killed")
    left = files_of(folder) - ground.files
    assert not left, f"left behind: {sorted(left)}"
    for file in (folder / "receipts").iterdir():
        Receipt.model_validate_json(file.read_text("utf-8"))
    made = again.receipt.calls
    twice = {kind for kind, count in bought.items() if made.get(kind, 0) > calls.get(kind, 0) - count}
    assert not twice, f"bought twice: {twice}, {made} after {bought}, where {calls} are made undisturbed"


def is_merged(folder: Path) -> bool:
    """Whether a dead sync's rows are in the warehouse; looked up in a copy, since to open it is to mend it."""
    copy = folder.with_name(f"{folder.name}-warehouse")
    copy.mkdir()
    for file in folder.glob("warehouse.duckdb*"):
        shutil.copyfile(file, copy / file.name)
    with closing(duckdb.connect(str(copy / "warehouse.duckdb"))) as connection:
        found = connection.execute("SELECT count(*) FROM pipeline.coverage WHERE run_id = 'killed'").fetchone()
    shutil.rmtree(copy)
    return found != (0,)


def purchases(folder: Path) -> dict[str, int]:
    """What a dead process has bought and not stored, by the kind of call that it need not make again."""
    file = folder / "collector-live.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT count(*) FROM purchases WHERE "
        return {
            kind: connection.execute(query + condition).fetchone()[0]
            for kind, condition in (
                ("insights_page", "NOT asynchronous AND complete"),
                ("report_submit", "asynchronous AND run_id IS NOT NULL"),
                ("report_page", "asynchronous AND complete"),
            )
        }
