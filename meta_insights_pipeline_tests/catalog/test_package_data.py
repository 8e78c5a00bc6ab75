"""The data files of both rooms: found from anywhere, and part of every installation."""

import configparser
import subprocess
import sys
from importlib.resources import files
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "meta_insights_pipeline"
LOAD = """
from meta_insights_pipeline.catalog.breakdowns import breakdowns, permitted_sets
from meta_insights_pipeline.catalog.fields import insights_fields
from meta_insights_pipeline.catalog.versions import version_changes
from meta_insights_pipeline.catalog.windows import windows
from meta_insights_pipeline.graph_api.errors import known_errors
tables = breakdowns(), permitted_sets(), insights_fields(), version_changes(), windows(), known_errors()
print(*map(len, tables))
"""


def _data_files() -> list[str]:
    root = Path(str(files(PACKAGE)))
    return sorted(
        path.relative_to(root).as_posix()
        for room in ("catalog", "graph_api")
        for path in (root / room / "data").iterdir()
        if path.is_file()
    )


def test_the_data_files_load_whatever_the_current_folder_is(tmp_path: Path) -> None:
    shown = subprocess.run([sys.executable, "-I", "-c", LOAD], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert all(int(count) > 10 for count in shown.stdout.split())


def test_every_data_file_is_one_that_the_code_reads() -> None:
    assert _data_files() == [
        "catalog/data/api_versions.csv",
        "catalog/data/breakdown_rules.toml",
        "catalog/data/breakdowns.csv",
        "catalog/data/conversions.toml",
        "catalog/data/entity_fields.csv",
        "catalog/data/insights_fields.csv",
        "catalog/data/limits.toml",
        "catalog/data/version_changes.csv",
        "catalog/data/windows.csv",
        "graph_api/data/error_codes.csv",
    ]


@pytest.mark.parametrize("name", _data_files())
def test_every_data_file_is_part_of_the_installed_package(name: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    patterns = setup["options.package_data"][PACKAGE].split()
    assert any(PurePosixPath(name).match(pattern) for pattern in patterns), f"no pattern of setup.cfg covers {name}"


@pytest.mark.parametrize("name", _data_files())
def test_every_data_file_is_plain_utf_8_with_a_line_end(name: str) -> None:
    content = files(PACKAGE).joinpath(name).read_bytes()
    text = content.decode("utf-8")
    assert text.endswith("\n")
    assert "\r" not in text
    assert not text.startswith("\ufeff")
