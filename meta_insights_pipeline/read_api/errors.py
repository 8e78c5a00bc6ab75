"""Why a request is not answered, as exceptions that a route may raise; how they look is decided in `problems`.

A sentence here goes to whoever asked: it holds no secret, and nothing of an ad account that the asker may not see.
"""

from collections.abc import Mapping
from typing import ClassVar


class ApiError(Exception):
    """A request that is refused with an HTTP status and one sentence."""

    status: ClassVar[int]

    def __init__(self, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.headers = dict(headers or {})
        """Headers of the answer."""


class NotFoundError(ApiError):
    """404: nothing of this id that the asker may see; the same whether there is none or it is another account's."""

    status = 404

    def __init__(self, what: str, identifier: str) -> None:
        """Say what was looked for.

        Args:
            what: The kind of thing, like `campaign`.
            identifier: Its id as it was asked for.
        """
        super().__init__(f"There is no {what} {identifier[:64]} that you may see.")


class UnavailableError(ApiError):
    """503: something that answering needs is out of order; asking again later may help."""

    status = 503
