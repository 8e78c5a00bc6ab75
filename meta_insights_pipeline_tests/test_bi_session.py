"""A BI session as a person has it: dashboards, notebook and shell read the published file while the pipeline syncs ten times."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from meta_insights_pipeline.warehouse.database import Warehouse
from meta_insights_pipeline_tests.bi_client import QUESTIONS
from meta_insights_pipeline_tests.comparison import assert_equals_truth
from meta_insights_pipeline_tests.reconciling import NOW, Bench, bench

# One session for all tests.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("bi session")]

SYNCS = 10
SHELL = Path(sys.executable).parent / "duckdb"
Seen = dict[str, str]


class Client:
    """A dashboard in a process of its own."""

    def __init__(self, file: Path, manner: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "meta_insights_pipeline_tests.bi_client", str(file), manner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.shown = self._answer()

    def ask(self) -> dict[str, Any]:
        """What it has seen since the last question."""
        return self._tell("ask")

    def release(self) -> None:
        """Let it close its connections."""
        self._tell("release")

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        assert self._process.returncode == 0

    def _tell(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def client(file: Path, manner: str) -> Iterator[Client]:
    running = Client(file, manner)
    try:
        yield running
    finally:
        running.close()


def shell(file: Path, statement: str) -> list[dict[str, Any]]:
    """The answer of DuckDB's shell."""
    done = subprocess.run(
        [SHELL, "-readonly", "-json", str(file), statement], capture_output=True, text=True, check=True
    )
    rows: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return rows


def look(file: Path) -> Seen:
    """The newest, in a process that has not looked before."""
    columns = ", ".join(f"({statement})::VARCHAR AS {name}" for name, statement in QUESTIONS.items())
    (row,) = shell(file, f"SELECT {columns}")
    return row


@dataclass
class Session:
    """Ten syncs, and what everybody saw."""

    home: Bench
    shown: dict[str, Any] = field(default_factory=dict)
    """What the dashboard lists."""
    opened: Seen = field(default_factory=dict)
    """What the published file held when the dashboard opened it."""
    held: list[dict[str, Any]] = field(default_factory=list)
    """What the dashboard that holds its connections saw, after each sync."""
    anew: list[list[Seen]] = field(default_factory=list)
    """What the one that connects anew saw, after each sync."""
    newest: list[Seen] = field(default_factory=list)
    """What was published, after each sync."""
    at: list[datetime] = field(default_factory=list)
    """When."""
    released: list[Seen] = field(default_factory=list)
    """What the first dashboard saw once it had let go."""
    frames: list[Any] = field(default_factory=list)
    """What a notebook in this process showed, after each sync."""

    @property
    def file(self) -> Path:
        """The published file."""
        return self.home.settings.snapshot_path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("bi")
    warehouse = Warehouse(folder / "empty.duckdb", folder / "tmp")
    with warehouse.connect():
        pass
    (folder / "home").mkdir()
    with bench(folder / "home", warehouse.path) as home:
        days = home.days(0, 2)
        home.sync(days, entities_every=timedelta(0))
        told = Session(home)
        told.opened = look(told.file)
        with client(told.file, "hold") as holding, client(told.file, "each") as connecting:
            told.shown = holding.shown
            holding.ask()
            for _ in range(SYNCS):
                home.pass_time(timedelta(hours=1))
                outcome = home.sync(days)
                assert outcome.complete
                assert outcome.receipt.published
                told.held.append(holding.ask())
                told.anew.append(connecting.ask()["seen"])
                told.newest.append(look(told.file))
                told.at.append(home.now())
                told.frames.append(notebook(told.file))
            holding.release()
            holding.ask()
            told.released = holding.ask()["seen"]
        yield told


def notebook(file: Path) -> Any:
    """A cell of a notebook."""
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.sql("FROM campaign_report ORDER BY campaign_id, date_start").df()


def test_a_dashboard_that_holds_the_file_sees_one_snapshot_as_long_as_it_holds_it(session: Session) -> None:
    for answer in session.held:
        assert answer["seen"] == [session.opened]
        assert answer["drawn"] >= 1
        # It never waits for a sync; one of these takes a second, and the machine may be busy.
        assert answer["slowest"] < 10
    assert session.released == [session.newest[-1]]


def test_every_snapshot_agrees_with_itself(session: Session) -> None:
    for seen in (session.opened, *session.newest):
        assert Decimal(seen["spend"]) == Decimal(seen["mart"]) == Decimal(seen["ledger"])


def test_whoever_connects_anew_sees_every_sync(session: Session) -> None:
    assert len({json.dumps(seen) for seen in session.newest}) == SYNCS, "every hour brings other numbers"
    assert session.anew == [[seen] for seen in session.newest]
    days = session.home.days(0, 2)
    assert_equals_truth(session.file, session.home.world, days.since, days.until, session.home.now())


def test_the_shell_shows_what_each_of_the_syncs_showed(session: Session) -> None:
    for at, seen in zip([NOW, *session.at], [session.opened, *session.newest], strict=True):
        moment = f"TIMESTAMP '{at.replace(tzinfo=None)}'"
        (row,) = shell(
            session.file,
            f"SELECT (SELECT sum(spend) FROM ad_insights_as_of({moment}))::VARCHAR AS spend, "
            f"(SELECT sum(value) FROM insight_actions_as_of({moment}))::VARCHAR AS actions",
        )
        assert row == {"spend": seen["spend"], "actions": seen["actions"]}


def test_tables_and_views_are_listed_and_every_column_of_a_mart_is_described(session: Session) -> None:
    assert {"ad_insights", "campaigns", "insight_actions", "reconciliation"} <= set(session.shown["tables"])
    assert {"account_report", "campaign_report", "adset_report", "ad_report"} <= set(session.shown["views"])
    columns = shell(
        session.file,
        "SELECT table_name, comment FROM duckdb_columns() WHERE table_name IN ('ad_report', 'ad_insights')",
    )
    assert {column["table_name"] for column in columns} == {"ad_report", "ad_insights"}
    assert all(column["comment"] for column in columns)
    (macro,) = shell(session.file, "SELECT comment FROM duckdb_functions() WHERE function_name = 'ad_insights_as_of'")
    assert "knew" in macro["comment"]


def test_a_reader_cannot_write(session: Session) -> None:
    statement = [str(SHELL), "-readonly", str(session.file), "DELETE FROM ad_insights"]
    done = subprocess.run(statement, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "read-only" in done.stderr


def test_a_notebook_gets_frames_with_ids_as_text_days_as_dates_and_money_as_numbers(session: Session) -> None:
    for frame, seen in zip(session.frames, session.newest, strict=True):
        assert frame["spend"].sum() == pytest.approx(float(seen["mart"]))
    frame = session.frames[-1]
    assert all(isinstance(value, str) for value in frame["campaign_id"])
    assert str(frame["date_start"].dtype).startswith("datetime64")
    assert frame["spend"].dtype == "float64"
    by_currency = frame.groupby("account_currency")["spend"].sum()
    assert len(by_currency) == 2
