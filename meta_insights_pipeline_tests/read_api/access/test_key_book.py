"""API keys: made, found again, revoked, expired, also by several processes; and nothing tells whether a key exists."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.api_keys import ApiKey, new_api_key
from meta_insights_pipeline.read_api.access.audit import AuditLog
from meta_insights_pipeline.read_api.access.key_book import KeyBook, UnknownKeyError
from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline_tests.clocks import SkippingClock

REVOKE = """
import sys
from pathlib import Path
from meta_insights_pipeline.clock import SystemClock
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.key_book import KeyBook
KeyBook(AccessFile(Path(sys.argv[1])), SystemClock()).revoke(sys.argv[2], by="user:other")
"""
CREATE = """
import sys
from pathlib import Path
from meta_insights_pipeline.clock import SystemClock
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.key_book import KeyBook
from meta_insights_pipeline.read_api.access.principal import Role
for number in range(25):
    book = KeyBook(AccessFile(Path(sys.argv[1])), SystemClock())
    print(book.create(f"{sys.argv[2]} {number}", Role.VIEWER, by="user:" + sys.argv[2]).reveal())
"""


def test_a_key_is_found_again_with_what_it_was_made_with(book: KeyBook, clock: SkippingClock) -> None:
    key = book.create(" the dashboard ", Role.OPERATOR, by="user:alice", accounts=["2", "1", "2"], days=7)
    record = book.holder(key)
    assert record is not None
    assert (record.id, record.name, record.role, record.accounts, record.created_by) == (
        *(key.id, "the dashboard", Role.OPERATOR),
        *(frozenset({"1", "2"}), "user:alice"),
    )
    assert record.expires_at == record.created_at + timedelta(days=7)
    assert record.state(clock.now()) == "active"


def test_a_key_for_all_accounts_is_another_than_one_for_none(book: KeyBook) -> None:
    of_all = book.holder(book.create("k", Role.VIEWER, by="u"))
    of_none = book.holder(book.create("k", Role.VIEWER, by="u", accounts=[]))
    assert of_all is not None
    assert of_none is not None
    assert of_all.accounts is None
    assert of_none.accounts == frozenset()


def test_the_secret_is_nowhere_in_the_file(book: KeyBook, path: Path) -> None:
    keys = [book.create(f"key {number}", Role.ADMIN, by="u") for number in range(3)]
    book.revoke(keys[0].id, by="u")
    content = path.read_bytes()
    for key in keys:
        assert key.id.encode() in content
        assert key.hash() in content
        assert key.secret.encode() not in content
        assert bytes.fromhex(key.secret) not in content


def test_a_wrong_secret_and_a_key_that_was_never_made_are_nobody(book: KeyBook) -> None:
    key = book.create("k", Role.VIEWER, by="u")
    assert book.holder(ApiKey(key.id, new_api_key().secret)) is None
    assert book.holder(ApiKey(new_api_key().id, key.secret)) is None
    assert book.holder(new_api_key()) is None


def test_a_revoked_key_is_nobody_and_revoking_it_again_changes_nothing(book: KeyBook, clock: SkippingClock) -> None:
    key = book.create("one", Role.VIEWER, by="u")
    clock.sleep(1)
    other = book.create("two", Role.VIEWER, by="u")
    record, is_new = book.revoke(key.id, by="user:bob")
    assert is_new
    assert record.revoked_at is not None
    clock.sleep(100)
    assert book.revoke(key.id, by="user:eve") == (record, False)
    assert book.holder(key) is None
    assert book.holder(other) is not None
    assert [(one.name, one.state(clock.now())) for one in book.records()] == [("one", "revoked"), ("two", "active")]
    with pytest.raises(UnknownKeyError):
        book.revoke(new_api_key().id, by="u")


def test_a_key_ends_with_its_days_to_the_second(book: KeyBook, clock: SkippingClock) -> None:
    key = book.create("k", Role.VIEWER, by="u", days=1)
    (record,) = book.records()
    assert record.expires_at is not None
    clock.sleep((record.expires_at - clock.now()).total_seconds() - 0.001)
    assert book.holder(key) is not None
    assert book.has_active()
    clock.sleep(0.001)
    assert book.holder(key) is None
    assert not book.has_active()
    assert record.state(clock.now()) == "expired"


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "\x1b[2J"])
def test_a_name_that_a_list_could_not_show_is_refused_and_makes_no_key(book: KeyBook, name: str) -> None:
    with pytest.raises(ValueError, match="the name"):
        book.create(name, Role.VIEWER, by="u")
    assert book.records() == []


def test_the_last_use_is_noted_once_an_hour(book: KeyBook, clock: SkippingClock) -> None:
    key = book.create("k", Role.VIEWER, by="u")

    def noted() -> object:
        (record,) = book.records()
        return record.last_used_at

    assert noted() is None
    book.holder(ApiKey(key.id, new_api_key().secret))
    assert noted() is None, "a wrong secret is no use of the key"
    book.holder(key)
    first = noted()
    assert first is not None
    clock.sleep(3000)
    book.holder(key)
    assert noted() == first
    clock.sleep(700)
    book.holder(key)
    assert noted() != first


def test_a_key_is_accepted_while_another_process_writes(book: KeyBook, file: AccessFile) -> None:
    key = book.create("k", Role.VIEWER, by="u")
    with file.transaction():
        assert book.holder(key) is not None
    (record,) = book.records()
    assert record.last_used_at is None


def test_a_revocation_by_another_process_counts_from_the_next_request_on(book: KeyBook, path: Path) -> None:
    key = book.create("k", Role.VIEWER, by="u")
    assert book.holder(key) is not None
    subprocess.run([sys.executable, "-c", REVOKE, str(path), key.id], check=True, timeout=60)
    assert book.holder(key) is None


def test_processes_may_make_keys_at_once_and_all_are_kept(path: Path, clock: SkippingClock) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", CREATE, str(path), name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    printed = [line for process in processes for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in processes] == [0, 0]
    book = KeyBook(AccessFile(path), clock)
    assert {record.id for record in book.records()} == {line.split("_")[1] for line in printed}
    assert len(printed) == 50
    assert len(AuditLog(AccessFile(path), clock).newest(100)) == 50


def test_every_change_of_a_key_is_in_the_audit_log_without_its_secret(
    book: KeyBook, file: AccessFile, clock: SkippingClock
) -> None:
    key = book.create("k", Role.ADMIN, by="user:alice", accounts=["1"])
    book.revoke(key.id, by="user:bob")
    book.revoke(key.id, by="user:eve")
    entries = AuditLog(file, clock).newest(10)
    assert [(entry.principal, entry.action, entry.outcome) for entry in entries] == [
        ("user:alice", "key created", "done"),
        ("user:bob", "key revoked", "done"),
    ]
    assert entries[0].details == {"key": key.id, "name": "k", "role": "admin", "accounts": ["1"], "expires_at": None}
    assert key.secret not in json.dumps([dict(entry.details) for entry in entries])


def test_a_key_that_does_not_exist_takes_the_steps_of_one_whose_secret_is_wrong(book: KeyBook) -> None:
    """Not by a clock, which a busy machine disturbs: every function that is called, in its order, C functions too."""
    key, gone = book.create("k", Role.VIEWER, by="u"), book.create("k", Role.VIEWER, by="u")
    book.revoke(gone.id, by="u")
    wrong = new_api_key().secret
    presented = [new_api_key(), ApiKey(key.id, wrong), ApiKey(gone.id, wrong)]
    unknown, known, revoked = (steps_of(partial(book.holder, one)) for one in presented)
    assert unknown == known == revoked
    assert any(step.endswith("compare_digest") for step in unknown)
    assert any(step.endswith("Connection.execute") for step in unknown)


def steps_of(work: Callable[[], object]) -> list[str]:
    """The names of all functions that are called, Python's and C's."""
    steps: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            steps.append(frame.f_code.co_qualname)
        elif event == "c_call":
            name = getattr(argument, "__qualname__", "?")
            steps.append(f"{getattr(argument, '__module__', None) or ''}.{name}")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return steps
