"""The repository itself: what `make check` looks at, and what must never be committed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BINARIES = Path(sys.executable).parent
CHECKS = [
    [str(BINARIES / "ruff"), "format", "--check", "."],
    [str(BINARIES / "ruff"), "check", "."],
    [str(BINARIES / "mypy")],
    [str(BINARIES / "dagster"), "definitions", "validate", "--log-level", "warning"],
    [str(BINARIES / "dg"), "check", "toml"],
    [sys.executable, "-m", "meta_insights_pipeline_tests.check_docs"],
]


@pytest.mark.slow
@pytest.mark.parametrize("command", CHECKS, ids=lambda command: " ".join([Path(command[0]).name, *command[1:3]]))
def test_every_check_of_make_check_passes(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_make_check_runs_these_checks() -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").split("\ncheck:")[1].split("\n\n")[0]
    for command in CHECKS:
        assert " ".join([Path(command[0]).name, *command[1:]]) in recipe.replace("$(BIN)/", "")


def committed_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_the_lock_has_hashes_and_no_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in lock
    requirements = re.findall(r"^[a-z0-9][^ ]*==", lock, re.MULTILINE)
    assert len(requirements) > 50
    assert len(re.findall(r"^[a-z0-9].*\\\n    --hash=sha256:", lock, re.MULTILINE)) == len(requirements)


def test_the_data_files_that_the_package_reads_are_committed_and_packaged() -> None:
    committed = {file.relative_to(ROOT).as_posix() for file in committed_files()}
    data = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "meta_insights_pipeline").rglob("*")
        if file.suffix in (".csv", ".toml")
    }
    assert data
    assert data <= committed
    packaged = (ROOT / "setup.cfg").read_text("utf-8")
    for name in data:
        room, suffix = name.split("/")[1], Path(name).suffix
        assert f"{room}/data/*{suffix}" in packaged
