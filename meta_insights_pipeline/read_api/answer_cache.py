"""Answers that were given, as bytes, to be given again for the same question; the least used are forgotten first. No I/O."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode

# What an entry costs beside its body: key, headers, the dictionaries' own.
_OVERHEAD_BYTES = 2048


@dataclass(frozen=True)
class Question:
    """Everything that an answer depends on; two questions that are equal have the same answer to the byte."""

    snapshot: str
    """Identity of the published file."""
    days: tuple[date, ...]
    """Which day it is for whoever asks, as far as the answer depends on it: `days=7` means other days after midnight."""
    path: str
    query: str
    """As `normalized` writes it."""
    accept: str
    """The header Accept."""
    role: str
    accounts: frozenset[str] | None
    """What whoever asks may see; None for all."""

    def tag(self, build: str) -> str:
        """The ETag of the answer: weak, since it is the same for a body that is compressed and one that is not.

        Args:
            build: What tells this program from another version of it.
        """
        accounts = None if self.accounts is None else sorted(self.accounts)
        parts = (
            build,
            self.snapshot,
            [str(day) for day in self.days],
            self.path,
            self.query,
            self.accept,
            self.role,
            accounts,
        )
        return f'W/"{hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()}"'


@dataclass(frozen=True)
class Answer:
    """One that was given, with status 200."""

    tag: str
    route: str
    """The path's pattern, for logs and metrics."""
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes, roughly."""
        return len(self.body) + _OVERHEAD_BYTES


class AnswerCache:
    """The answers of one process, up to so many bytes; safe for threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._answers: OrderedDict[tuple[Question, bool], Answer] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def longest(self) -> int:
        """Bytes of the longest body that is kept: one must not drive out all others."""
        return self._most_bytes // 16

    def get(self, question: Question, *, is_compressed: bool) -> Answer | None:
        """The answer that was given to a question; None when it is not known."""
        with self._lock:
            found = self._answers.get((question, is_compressed))
            if found is not None:
                self._answers.move_to_end((question, is_compressed))
        return found

    def put(self, question: Question, answer: Answer, *, is_compressed: bool) -> None:
        """Keep an answer, and forget what has not been asked for longest."""
        if len(answer.body) > self.longest:
            return
        with self._lock:
            old = self._answers.pop((question, is_compressed), None)
            self._bytes += answer.size - (old.size if old else 0)
            self._answers[question, is_compressed] = answer
            while self._bytes > self._most_bytes:
                _, forgotten = self._answers.popitem(last=False)
                self._bytes -= forgotten.size

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._answers.clear()
            self._bytes = 0


@lru_cache(maxsize=4096)
def normalized(query: bytes) -> str:
    """A query in one way of writing it: sorted by name. Values of the same name stay in their order, which may matter."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return urlencode(sorted(pairs, key=lambda pair: pair[0]))
