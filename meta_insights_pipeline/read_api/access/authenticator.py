"""From the headers of a request to whoever sends it."""

from starlette.datastructures import Headers

from meta_insights_pipeline.read_api.access.api_keys import PREFIX, parse_api_key
from meta_insights_pipeline.read_api.access.credentials import credential_in, is_local
from meta_insights_pipeline.read_api.access.errors import CredentialsError
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline.read_api.access.principal import OPEN, Principal
from meta_insights_pipeline.read_api.access.tokens import TokenVerifier


class Authenticator:
    """Tells who asks; safe for threads."""

    def __init__(self, keys: KeyBook, tokens: TokenVerifier | None, *, is_open: bool) -> None:
        """Take what credentials are checked with.

        Args:
            keys: The API keys.
            tokens: None when no tokens are accepted.
            is_open: Whether requests of this machine without credentials are answered; only as `start_verdict` allows.
        """
        self._keys = keys
        self._tokens = tokens
        self._is_open = is_open

    def recall(self, headers: Headers) -> Principal | None:
        """Who sends a request, if that is known without a check; here it never is."""
        del headers
        return None

    def authenticate(self, headers: Headers) -> Principal:
        """Who sends a request. Credentials that are sent must be right, also where none are needed.

        Raises:
            CredentialsError: No credentials, or none that are accepted.
            ForbiddenError: A token that is accepted but gives no role.
            UnavailableError: A token that cannot be checked now.
            AccessFileError: The file of the keys cannot be read.
        """
        credential = credential_in(headers)
        if credential is None:
            return self._without(headers)
        # The prefix cannot begin a token, which is Base64 of a JSON object.
        if credential.startswith(PREFIX):
            return self._by_key(credential)
        if self._tokens is None:
            raise CredentialsError.invalid()
        return self._tokens.principal(credential)

    def _without(self, headers: Headers) -> Principal:
        if not self._is_open:
            raise CredentialsError.missing()
        if not is_local(headers):
            raise CredentialsError.not_local()
        return OPEN

    def _by_key(self, text: str) -> Principal:
        key = parse_api_key(text)
        record = None if key is None else self._keys.holder(key)
        if record is None:
            raise CredentialsError.invalid()
        return Principal(kind="key", subject=record.id, role=record.role, accounts=record.accounts)
