"""Which processes of this machine run, by their ids. Which syncs live is told by `life`."""

import os


def is_running(pid: int) -> bool:
    """Whether there is a process of this id, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
