"""Which syncs live: a lock on disk for each, which the operating system releases however its process ends."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_WORK = "sync-"


@contextmanager
def alive(home: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a sync, so that others can tell whether it lives."""
    lock = _life_lock(home, run_id)
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    with lock:
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)


def is_alive(home: Path, run_id: str) -> bool:
    """Whether some process, this one or another, holds the lock of this sync."""
    lock = _life_lock(home, run_id)
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def is_dead(home: Path, run_id: str) -> bool:
    """Whether a sync began with this id and its process is gone without having finished."""
    return Path(_life_lock(home, run_id).lock_file).exists() and not is_alive(home, run_id)


def forget_dead(home: Path, run_id: str) -> None:
    """Remove what a dead sync left on disk; what it bought from Meta stays, for the next one to go on with."""
    _clear_away(home, run_id)
    Path(_life_lock(home, run_id).lock_file).unlink(missing_ok=True)


def work_folder(home: Path, run_id: str) -> Path:
    """Where a sync puts what it needs only while it lives."""
    return home / "tmp" / f"{_WORK}{run_id}"


def sweep_dead(home: Path) -> None:
    """Remove what dead syncs left on disk. That they are dead can still be told, for whoever records the ends of runs."""
    for folder in (home / "tmp").glob(f"{_WORK}*"):
        run_id = folder.name.removeprefix(_WORK)
        if not is_alive(home, run_id):
            _clear_away(home, run_id)


def _clear_away(home: Path, run_id: str) -> None:
    # The folder last: it tells that there is something to clear away.
    (home / "receipts" / f"{run_id}.draft").unlink(missing_ok=True)
    shutil.rmtree(work_folder(home, run_id), ignore_errors=True)


def _life_lock(home: Path, run_id: str) -> FileLock:
    return FileLock(home / "tmp" / f"alive-{run_id}.lock")
