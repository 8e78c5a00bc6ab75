"""A credential known again within a second, and not a moment after its key was revoked."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from meta_insights_pipeline.clock import SystemClock
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.authenticator import Authenticator
from meta_insights_pipeline.read_api.access.errors import CredentialsError
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline.read_api.access.principal import OPEN, Role
from meta_insights_pipeline.read_api.remembering import RememberingAuthenticator


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Home:
    """A file of keys and who remembers them."""

    def __init__(self, folder: Path, *, is_open: bool = False) -> None:
        self.path = folder / "access.sqlite"
        self.book = KeyBook(AccessFile(self.path), SystemClock())
        self.clock = Clock()
        own = Authenticator(self.book, None, is_open=is_open)
        self.authenticator = RememberingAuthenticator(own, self.path, monotonic=self.clock)

    def headers(self) -> Headers:
        return Headers({"X-API-Key": self.book.create("k", Role.VIEWER, by="u", accounts=["1"]).reveal()})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_credential_is_recalled_once_it_was_checked_and_for_a_second(home: Home) -> None:
    headers = home.headers()
    assert home.authenticator.recall(headers) is None
    # The first use of a key is noted in the file.
    home.authenticator.authenticate(headers)
    principal = home.authenticator.authenticate(headers)
    home.clock.now += 0.99
    assert home.authenticator.recall(headers) == principal
    home.clock.now += 0.02
    assert home.authenticator.recall(headers) is None


def test_a_revoked_key_is_not_recalled_even_at_the_same_moment(home: Home) -> None:
    headers = home.headers()
    for _ in range(2):
        principal = home.authenticator.authenticate(headers)
    assert home.authenticator.recall(headers) == principal
    home.book.revoke(principal.subject, by="u")
    assert home.authenticator.recall(headers) is None
    with pytest.raises(CredentialsError):
        home.authenticator.authenticate(headers)
    assert home.authenticator.recall(headers) is None


def test_when_the_file_is_exchanged_or_gone_nothing_is_recalled(home: Home) -> None:
    headers = home.headers()
    for _ in range(2):
        home.authenticator.authenticate(headers)
    copy = home.path.with_name("copy")
    shutil.copyfile(home.path, copy)
    copy.replace(home.path)
    assert home.authenticator.recall(headers) is None
    home.path.unlink()
    assert home.authenticator.recall(headers) is None


def test_a_file_whose_changes_cannot_be_told_from_its_head_is_asked_each_time(home: Home) -> None:
    headers = home.headers()
    with closing(sqlite3.connect(home.path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    for _ in range(2):
        home.authenticator.authenticate(headers)
    assert home.authenticator.recall(headers) is None


def test_a_wrong_credential_and_two_of_them_are_never_recalled(home: Home) -> None:
    right = home.headers()
    for _ in range(2):
        home.authenticator.authenticate(right)
    text = right["X-API-Key"]
    wrong = Headers({"X-API-Key": text[:-1] + ("0" if text[-1] != "0" else "1")})
    both = Headers({**right, "Authorization": f"Bearer {text}"})
    for headers in (wrong, both):
        assert home.authenticator.recall(headers) is None
        with pytest.raises(CredentialsError):
            home.authenticator.authenticate(headers)
        assert home.authenticator.recall(headers) is None


def test_without_credentials_the_headers_of_each_request_decide(tmp_path: Path) -> None:
    closed, opened = Home(tmp_path / "a"), Home(tmp_path / "b", is_open=True)
    local, foreign = Headers({"Host": "127.0.0.1:8080"}), Headers({"Host": "evil.example"})
    assert closed.authenticator.recall(local) is None
    assert opened.authenticator.recall(local) == OPEN
    assert opened.authenticator.recall(foreign) is None


def test_no_secret_is_kept_in_memory(home: Home) -> None:
    headers = home.headers()
    for _ in range(2):
        home.authenticator.authenticate(headers)
    assert headers["X-API-Key"] not in repr(vars(home.authenticator))
