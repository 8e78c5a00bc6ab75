"""Which algorithms are accepted with which key, and the key of META_INSIGHTS_JWT_KEY. No I/O.

The family of an algorithm follows from the key and never from a token: a public key with HS256 would let anybody sign, since
everybody has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt

from meta_insights_pipeline.settings import JWT_ALGORITHMS, SettingsError

JWKS_DEFAULTS: Final = ("RS256", "ES256")
# The first that fits the key is its default.
_PUBLIC: Final = tuple(name for name in JWT_ALGORITHMS if not name.startswith("HS"))
_SHARED: Final = tuple(name for name in JWT_ALGORITHMS if name.startswith("HS"))
_KEY = "META_INSIGHTS_JWT_KEY"
_ALGORITHMS = "META_INSIGHTS_JWT_ALGORITHMS"


class FixedKeys:
    """One key for all tokens, whatever key id they name."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        """Keep the key.

        Args:
            keys: The key as each accepted algorithm wants it.
        """
        self._keys = dict(keys)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms that the key is accepted with."""
        return tuple(self._keys)

    def find(self, key_id: object, algorithm: str) -> Any | None:
        """The key; None for an algorithm that it is not accepted with."""
        del key_id  # there is one key, and a token cannot choose another
        return self._keys.get(algorithm)


def jwks_algorithms(wanted: Sequence[str]) -> tuple[str, ...]:
    """The algorithms accepted with published keys.

    Args:
        wanted: What the settings name; empty for RS256 and ES256.

    Raises:
        SettingsError: One of them signs with a shared secret.
    """
    if shared := [name for name in wanted if name in _SHARED]:
        raise SettingsError(
            f"{_ALGORITHMS} names {shared[0]}, which signs with a shared secret; "
            f"keys of META_INSIGHTS_JWT_JWKS_URL are public: use {', '.join(_PUBLIC)}."
        )
    return tuple(wanted) or JWKS_DEFAULTS


def fixed_keys(text: str, wanted: Sequence[str]) -> FixedKeys:
    r"""The key of the settings: a public key in PEM form, or else a shared secret.

    Args:
        text: The key; in PEM form, line ends may be written as `\n`.
        wanted: The algorithms that the settings name; empty for the first that fits the key.

    Raises:
        SettingsError: The key cannot be used, or not with one of the algorithms. The sentence does not show the key.
    """
    is_public = "-----BEGIN" in text
    if is_public and "PRIVATE KEY" in text:
        raise SettingsError(f"{_KEY} holds a private key; put the public key that belongs to it there.")
    key = text.strip().replace("\\n", "\n") if is_public else text
    family = _PUBLIC if is_public else _SHARED
    for name in wanted:
        if name not in family:
            raise SettingsError(
                f"{_ALGORITHMS} names {name}, which does not go with {_KEY}, "
                f"{'a public key' if is_public else 'a shared secret'}: use {', '.join(family)}."
            )
    keys = {name: prepared for name in wanted or family if (prepared := _prepared(key, name)) is not None}
    if not keys or len(keys) < len(wanted):
        raise SettingsError(_unfit(is_public, [name for name in wanted if name not in keys]))
    return FixedKeys(keys if wanted else dict([next(iter(keys.items()))]))


def _prepared(key: str, algorithm: str) -> Any | None:
    """The key as an algorithm wants it; None when it is of another kind, or too short."""
    method = jwt.get_algorithm_by_name(algorithm)
    try:
        prepared = method.prepare_key(key)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return None if method.check_key_length(prepared) else prepared


def _unfit(is_public: bool, refused: Sequence[str]) -> str:
    algorithms = f" with {', '.join(refused)}" if refused else ""
    if is_public:
        return (
            f"{_KEY} holds a key that cannot be used{algorithms}; put a public key there that begins with "
            "-----BEGIN PUBLIC KEY-----: RSA of 2048 bits or more, an elliptic curve of the algorithm, or Ed25519."
        )
    return (
        f"{_KEY} holds a secret that cannot be used{algorithms}; use random text of 32 characters or more "
        "(48 for HS384, 64 for HS512), or a public key that begins with -----BEGIN PUBLIC KEY-----."
    )
