"""Giving readers a file of their own: a copy of the warehouse that replaces the last one whole.

A reader that holds the old copy open goes on with it undisturbed, since it is another file under the same name.
"""

import os
import shutil
from pathlib import Path

from meta_insights_pipeline.warehouse.database import WarehouseError


def publish(warehouse: Path, snapshot: Path) -> None:
    """Copy the closed warehouse file and put the copy in place of the last one; call while the warehouse is locked.

    The copy is on disk before it takes the name, so that after a crash the name leads to the old copy or to the whole new one.

    Raises:
        WarehouseError: The copy cannot be made (a full disk for example); the last one is untouched.
    """
    if warehouse.with_name(warehouse.name + ".wal").exists():
        raise WarehouseError(f"The warehouse {warehouse} was not closed cleanly, so nothing was published; sync again.")
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    draft = snapshot.with_name(f".{snapshot.name}.draft-{os.getpid()}")
    try:
        shutil.copyfile(warehouse, draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(snapshot)
    except OSError as error:
        raise WarehouseError(
            f"The snapshot {snapshot} cannot be written ({error.strerror or error}); "
            "the last one stays in place. Make room or mend the permissions, then sync again."
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def remove_drafts(snapshot: Path) -> None:
    """Remove copies that a killed process left half-made; call while the warehouse is locked."""
    for draft in snapshot.parent.glob(f".{snapshot.name}.draft-*"):
        draft.unlink(missing_ok=True)
