"""Requests counted together by the workers of one server: token buckets in a file that each of them maps into its memory.

A key gets the same limit however its requests fall on the workers, and a worker that is replaced finds the counts of the old one.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from meta_insights_pipeline.read_api.access.rate_limit import Bucket

# Digest of the client, requests left, when that was so.
_SLOT: Final = struct.Struct("<16sdd")
_NOBODY: Final = bytes(16)
# A client has its place among eight, so that all are found at once; of these the one not seen for longest is forgotten first.
_WAYS, _SETS = 8, 2048
_SET_BYTES: Final = _WAYS * _SLOT.size
_BYTES: Final = _SETS * _SET_BYTES
_TRIES, _PAUSE_SECONDS = 100, 0.0001


class SharedRateLimiter:
    """So many requests at once, and as many again over each minute, in all processes over one file; safe for threads."""

    def __init__(self, per_minute: int, file: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Open the file, and make it if need be.

        Args:
            per_minute: The limit.
            file: Of the processes that count together and no others.
            monotonic: Seconds of a clock that never goes back and is the same in all of them.
        """
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._descriptor, _BYTES)
        self._table = mmap.mmap(self._descriptor, _BYTES)

    def take(self, client: str) -> None:
        """Count a request; errors are those of `Bucket.take`.

        Args:
            client: Whose it is: the label of a principal, or an address.
        """
        digest = hashlib.blake2b(client.encode("utf-8", "surrogateescape"), digest_size=16).digest()
        first = int.from_bytes(digest[:4]) % _SETS * _SET_BYTES
        with self._lock, self._alone():
            now = self._monotonic()
            place, bucket = self._find(digest, first, now)
            try:
                bucket.take(self._per_minute, now)
            finally:
                _SLOT.pack_into(self._table, place, digest, bucket.left, bucket.at)

    def close(self) -> None:
        """Close the file."""
        self._table.close()
        os.close(self._descriptor)

    def _find(self, digest: bytes, first: int, now: float) -> tuple[int, Bucket]:
        """The place of a client and its bucket, a full one for who has none."""
        oldest, since = first, now
        for place in range(first, first + _SET_BYTES, _SLOT.size):
            known, left, at = _SLOT.unpack_from(self._table, place)
            if known == digest:
                return place, Bucket(left, at)
            if known == _NOBODY:
                return place, Bucket(float(self._per_minute), now)
            if at < since:
                oldest, since = place, at
        return oldest, Bucket(float(self._per_minute), now)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
        # Whoever has it for so long was stopped meanwhile: a count that is one off is better than no answer.
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
