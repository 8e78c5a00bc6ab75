"""Deterministic pseudo-random numbers: pure functions of (seed, purpose, entity, day).

Belongs here: the hash and the ways to cut numbers from it. Does not belong here: what the numbers mean.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

ONE = 1 << 20
"""The number 1 in the fixed-point fractions used for rates and phases: 20 bits behind the point."""

_MASK64 = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_LOW20 = np.uint64(ONE - 1)

T = TypeVar("T")


def purpose_key(seed: int, purpose: str) -> int:
    """Return 64 bits that stand for one use of randomness in one world."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest(), "big")


def mix(bits: Bits) -> Bits:
    """Scramble 64-bit numbers so that neighbours become unrelated (the finaliser of splitmix64)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_FIRST)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_SECOND)
    return bits ^ (bits >> np.uint64(31))


def entity_bits(key: int, entities: Bits) -> Bits:
    """Return one draw for each entity."""
    return mix(entities + np.uint64(key))


def entity_day_bits(key: int, entities: Bits, days: Ints) -> Bits:
    """Return one draw for each day (rows) and entity (columns)."""
    by_day = days.astype(np.uint64) * np.uint64(_GOLDEN)
    return mix(entity_bits(key, entities)[None, :] ^ by_day[:, None])


def phase(bits: Bits, which: int = 0) -> Ints:
    """Cut the `which`-th (0 to 2) of three independent fractions in [0, ONE) out of a draw."""
    return ((bits >> np.uint64(20 * which)) & _LOW20).astype(np.int64)


def between(bits: Bits, which: int, low: int, high: int) -> Ints:
    """Cut an integer in [low, high) out of a draw."""
    return low + ((phase(bits, which) * (high - low)) >> 20)


def portion(amounts: Ints, rate: Ints | int, carry: Ints) -> Ints:
    """Return about `amounts * rate`, rounded up in a share of cases given by `carry`; never above `amounts`.

    With `rate <= ONE` and `carry < ONE` the answer lies between 0 and the amount, and 0 gives 0, so that a chain of
    portions (clicks of impressions, link clicks of clicks) always nests.
    """
    return (amounts * rate + carry) >> 20


class Dice:
    """A sequence of draws in plain Python, for building the structure of a world entity by entity."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._state = purpose_key(seed, purpose)

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit)."""
        self._state = (self._state + _GOLDEN) & _MASK64
        bits = self._state
        bits = ((bits ^ (bits >> 30)) * _FIRST) & _MASK64
        bits = ((bits ^ (bits >> 27)) * _SECOND) & _MASK64
        return ((bits ^ (bits >> 31)) * limit) >> 64

    def between(self, low: int, high: int) -> int:
        """Return an integer in [low, high]."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """Return True in `percent` of a hundred cases."""
        return self.below(100) < percent

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]
