"""The form of an API key, `mik_<id>_<secret>`, and what of it is stored. No I/O.

A secret is 256 random bits. Its SHA-256 alone is stored: nobody can try out 2^256 secrets, so the slow hashes that guessable
passwords need would only make each request slow and let a flood of wrong keys keep the machine busy.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

PREFIX = "mik_"
_ID_BYTES = 6
_SECRET_BYTES = 32
# Hexadecimal alone: one way to write a key, and a double click selects it whole.
_KEY = re.compile(r"mik_([0-9a-f]{12})_([0-9a-f]{64})")
_ID = re.compile(r"(?:mik_)?([0-9a-f]{12})(?:_[0-9a-f]{64})?")


@dataclass(frozen=True)
class ApiKey:
    """A key as its holder has it."""

    id: str
    """12 hexadecimal digits; no secret, it stands in lists and logs."""
    secret: str = field(repr=False)
    """64 hexadecimal digits."""

    def reveal(self) -> str:
        """The whole key, for its holder and nobody else."""
        return f"{PREFIX}{self.id}_{self.secret}"

    def hash(self) -> bytes:
        """What is stored of the secret: 32 bytes."""
        return hashlib.sha256(self.secret.encode()).digest()


def new_api_key() -> ApiKey:
    """A key that nobody has."""
    return ApiKey(secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES))


def parse_api_key(text: str) -> ApiKey | None:
    """The key in a text that holds nothing else; None when it has not the form of one."""
    found = _KEY.fullmatch(text)
    return ApiKey(found[1], found[2]) if found else None


def key_id_in(text: str) -> str | None:
    """The id of a key that somebody names by its id, or by the whole key, which may have been found where it should not be."""
    found = _ID.fullmatch(text.strip())
    return found[1] if found else None
