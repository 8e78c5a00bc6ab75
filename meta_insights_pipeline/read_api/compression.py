"""Compressing answers for whoever takes that, but for Parquet, which is compressed, and Arrow, which is read as it lies there.

Short bodies are compressed on the event loop, which takes less than handing them to a thread and waiting for it.
"""

import re
from functools import lru_cache
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipResponder, IdentityResponder
from starlette.types import ASGIApp, Receive, Scope, Send

from meta_insights_pipeline.read_api.parameters import MEDIA_TYPES, Format

_FROM_BYTES: Final = 1024
# On the loop a body of this length takes half a millisecond.
_IN_THREAD_FROM_BYTES: Final = 16 * 1024
# Level 9 takes three times as long for two hundredths less.
_LEVEL: Final = 5
_LEFT_ALONE: Final = (*DEFAULT_EXCLUDED_CONTENT_TYPES, MEDIA_TYPES[Format.PARQUET], MEDIA_TYPES[Format.ARROW])
_WEIGHT = re.compile(r"q=0(\.0{0,3})?")


class CompressionMiddleware:
    """Compresses with gzip."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer: ASGIApp
        if takes_gzip(Headers(scope=scope)):
            answer = GZipResponder(
                self._app,
                _FROM_BYTES,
                _LEVEL,
                thread_minimum_size=_IN_THREAD_FROM_BYTES,
                exclude_content_types=_LEFT_ALONE,
            )
        else:
            answer = IdentityResponder(self._app, _FROM_BYTES, exclude_content_types=_LEFT_ALONE)
        await answer(scope, receive, send)


def takes_gzip(headers: Headers) -> bool:
    """Whether an answer may be compressed: gzip is named, and not with the weight 0."""
    return _names_gzip(",".join(headers.getlist("Accept-Encoding")))


@lru_cache(maxsize=256)
def _names_gzip(accepted: str) -> bool:
    for item in accepted.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name in ("gzip", "x-gzip"):
            return not any(_WEIGHT.fullmatch(part.replace(" ", "")) for part in parameters)
    return False
