"""The command line as a user meets it: one sentence for each mistake, exit codes, output for machines."""

import json
import signal
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meta_insights_pipeline_tests.processes import COMMAND, environment, run_command, simulator_process, wait_for

TODAY = datetime.now(UTC).date()
FUTURE = (TODAY + timedelta(days=3)).isoformat()

BAD = [
    pytest.param(["sync"], {"META_INSIGHTS_MODE": "live"}, "META_ACCESS_TOKEN", 2, id="live without a token"),
    pytest.param(["up"], {"META_INSIGHTS_MODE": "live"}, "META_ACCESS_TOKEN", 2, id="up live without a token"),
    pytest.param(["sync", "--level", "keyword"], {}, "--level", 2, id="unknown level"),
    pytest.param(
        ["sync", "--start", "2026-02-02", "--end", "2026-02-01"], {}, "before --start", 2, id="end before start"
    ),
    pytest.param(["sync", "--start", FUTURE], {}, "in the future", 2, id="a day in the future"),
    pytest.param(["sync", "--start", "2026-01-01", "--end", FUTURE], {}, "in the future", 2, id="an end in the future"),
    pytest.param(["sync", "--start", "01.02.2026"], {}, "--start", 2, id="a day of another form"),
    pytest.param(["sync", "--end", "2026-02-01"], {}, "--end needs --start", 2, id="end alone"),
    pytest.param(["sync", "--days-back", "3", "--start", "2026-02-01"], {}, "--days-back", 2, id="two ways at once"),
    pytest.param(["sync", "--days-back", "many"], {}, "--days-back", 2, id="no number"),
    pytest.param(["sync", "--days-back", "5000"], {}, "META_INSIGHTS_START_DATE", 2, id="before the first partition"),
    pytest.param(["sync", "--account", "shop"], {}, "--account", 2, id="no account id"),
    pytest.param(["sync"], {"META_INSIGHTS_MODE": "prod"}, "META_INSIGHTS_MODE", 2, id="unknown mode"),
    pytest.param(["sync", "--nonsense"], {}, "--nonsense", 2, id="unknown option"),
    pytest.param(["simulate", "--now", "soon"], {}, "--now", 2, id="no moment"),
    pytest.param(
        ["sync"],
        {"META_INSIGHTS_WAREHOUSE": "/proc/nowhere/w.duckdb"},
        "META_INSIGHTS_WAREHOUSE",
        1,
        id="unwritable warehouse",
    ),
    pytest.param(
        ["up", "--no-ui"],
        {"META_INSIGHTS_WAREHOUSE": "/proc/nowhere/w.duckdb"},
        "META_INSIGHTS_WAREHOUSE",
        1,
        id="up unwritable",
    ),
]


@pytest.mark.parametrize(("arguments", "variables", "names", "code"), BAD)
def test_bad_input_is_one_sentence_that_names_what_to_change_and_nothing_is_left_behind(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], names: str, code: int
) -> None:
    home = tmp_path / "home"
    done = run_command(arguments, environment(home, **variables), tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("meta-insights: ")
    assert names in lines[0]
    assert not list(home.rglob("*.duckdb")), "nothing half-written"


def test_an_unreadable_env_file_in_the_working_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('META_INSIGHTS_MODE="live\n')
    done = run_command(["sync"], environment(tmp_path / "home"), tmp_path)
    assert done.returncode == 2
    assert "Line 1 of the file .env" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(["up", "--dagster-port"], "--dagster-port"), (["simulate", "--port"], "--port")],
)
def test_a_port_that_is_taken_is_named_with_the_option(tmp_path: Path, arguments: list[str], option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_command([*arguments, port], environment(tmp_path / "home"), tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert port in done.stderr
    assert option in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_ctrl_c_ends_a_sync_with_one_sentence_and_nothing_left_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with simulator_process(["--latency", "2"], tmp_path) as url:
        variables = environment(home, META_INSIGHTS_MODE="live", META_ACCESS_TOKEN="any", META_GRAPH_API_URL=url)
        process = subprocess.Popen(
            [COMMAND, "sync", "--days-back", "2", "--level", "ad"],
            env=variables,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever runs the tests in the background of a shell has made them deaf to it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        wait_for(lambda: list(home.glob("tmp/alive-*.lock")), 60, "the sync to begin")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1].startswith("meta-insights: Stopped")
    assert list((home / "tmp").iterdir()) == []


def test_what_is_missing_is_asked_for_alone_and_nothing_missing_is_no_failure(tmp_path: Path) -> None:
    done = run_command(["sync", "--missing"], environment(tmp_path / "home"), tmp_path)
    assert (done.returncode, done.stdout) == (0, "Nothing that is missing can be had now.\n"), done.stderr
    wrong = run_command(["sync", "--missing", "--level", "ad"], environment(tmp_path / "home"), tmp_path)
    assert wrong.returncode == 2
    assert "leave the other options out" in wrong.stderr


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    done = run_command([], environment(tmp_path / "home"), tmp_path)
    assert done.returncode == 0
    assert "sync" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_a_sync_for_machines_prints_one_json_receipt_and_nothing_else(tmp_path: Path) -> None:
    done = run_command(["sync", "--days-back", "2", "--level", "campaign", "--json"], environment(tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert receipt["levels"] == ["campaign"]
    assert receipt["published"] is True
    assert (tmp_path / "receipts" / f"{receipt['run_id']}.json").exists()


@pytest.mark.slow
def test_live_mistakes_end_with_their_sentence_and_exit_code_one(tmp_path: Path) -> None:
    with simulator_process(["--token", "right"], tmp_path) as url:
        wrong = environment(
            tmp_path / "a", META_INSIGHTS_MODE="live", META_ACCESS_TOKEN="wrong", META_GRAPH_API_URL=url
        )
        done = run_command(["sync"], wrong, tmp_path)
        assert done.returncode == 1
        assert "META_ACCESS_TOKEN" in done.stderr
        right = {**wrong, "META_ACCESS_TOKEN": "right", "META_AD_ACCOUNT_IDS": "999"}
        done = run_command(["sync"], right, tmp_path)
        assert done.returncode == 1
        assert "act_999" in done.stderr
    gone = {**wrong, "META_GRAPH_API_URL": "http://127.0.0.1:9"}
    del gone["META_ACCESS_TOKEN"]
    assert run_command(["sync"], gone, tmp_path).returncode == 2
