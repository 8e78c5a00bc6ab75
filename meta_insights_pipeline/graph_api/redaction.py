"""Keeping secrets out of everything that a person or a file may see."""

import logging
import re
from collections.abc import Iterable

MASK = "[redacted]"
# Shorter ones are no secrets but names such as `any`, and stand in other words.
_SHORTEST_SECRET = 6
# Meta writes the token into `paging.next`, and servers echo addresses in their errors.
_PARAMETERS = re.compile(
    r"""((?:access_token|appsecret_proof|client_secret|input_token|fb_exchange_token)["']?\s*(?:=|:|%3[dD])\s*["']?)[^&\s"'\\]+""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"((?:bearer|oauth)\s+)[A-Za-z0-9|_.\-]{8,}", re.IGNORECASE)


class Redactor:
    """Replaces known secrets, and whatever looks like a token, in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that a secret that holds another is replaced whole.
        self._secrets = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text with every secret masked."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _PARAMETERS.sub(rf"\1{MASK}", text)
        return _BEARER.sub(rf"\1{MASK}", text)


def redact_record(record: logging.LogRecord) -> bool:
    """A filter of a logger: lets every record pass, with whatever looks like a secret masked."""
    record.msg, record.args = Redactor()(record.getMessage()), ()
    return True
