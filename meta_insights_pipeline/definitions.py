"""The code location: everything below `defs`, for `workspace.yaml`, `[tool.dagster]` and `[tool.dg]` alike."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """All definitions of the pipeline."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
