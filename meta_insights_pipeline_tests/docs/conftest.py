"""A workspace as the documents assume it: `.venv`, and `data` loaded once with ten days in stub mode."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meta_insights_pipeline_tests.docs.blocks import Block
from meta_insights_pipeline_tests.processes import environment, run_command, simulator_process

SIMULATOR_URL = "http://127.0.0.1:8090"
DAYS = 10


@dataclass
class Workspace:
    """A folder in which blocks run, with the variables of a user who followed the documents."""

    folder: Path
    simulators: "Simulators"
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, block: Block, simulate: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a block of sh or Python to its end, both outputs in one; the simulator's address is that of a running one."""
        text = block.text
        variables = environment(self.folder / "data", **self.variables)
        variables["PATH"] = f"{self.folder / '.venv' / 'bin'}{os.pathsep}{variables['PATH']}"
        if SIMULATOR_URL in text:
            text = text.replace(SIMULATOR_URL, self.simulators.url(simulate))
        if block.treatment == "live":
            variables["META_GRAPH_API_URL"] = self.simulators.url([])
        command = ["bash", "-euo", "pipefail", "-c", text] if block.language == "sh" else ["python", "-c", text]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )


class Simulators:
    """Simulator processes by their options, started when first asked for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._urls: dict[tuple[str, ...], str] = {}

    def url(self, arguments: list[str]) -> str:
        """The address of a simulator with these options."""
        key = tuple(arguments)
        if key not in self._urls:
            self._urls[key] = self._stack.enter_context(simulator_process(arguments, self._folder))
        return self._urls[key]


@pytest.fixture(scope="session")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    """Every simulator that a document needs, ended after the last test."""
    with ExitStack() as stack:
        yield Simulators(tmp_path_factory.mktemp("simulators"), stack)


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, simulators: Simulators) -> Workspace:
    """The folder with loaded data, shared by all blocks that do not load their own."""
    made = Workspace(make_folder(tmp_path_factory), simulators)
    arguments = ["up", "--no-ui", "--days", str(DAYS)]
    done = run_command(arguments, environment(made.folder / "data"), made.folder)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def empty_workspace(tmp_path_factory: pytest.TempPathFactory, simulators: Simulators) -> Workspace:
    """A folder without data, for blocks that load their own."""
    return Workspace(make_folder(tmp_path_factory), simulators)


def make_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder with the environment of the tests as `.venv`."""
    folder = factory.mktemp("documents")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder
