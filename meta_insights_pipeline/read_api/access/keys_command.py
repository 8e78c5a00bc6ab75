"""The command `meta-insights keys`: what it does, and how keys and the audit log look on a terminal and for a program."""

import getpass
import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from meta_insights_pipeline.clock import SystemClock
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.api_keys import ApiKey, key_id_in
from meta_insights_pipeline.read_api.access.audit import AuditEntry, AuditLog
from meta_insights_pipeline.read_api.access.key_book import KeyBook, KeyRecord, UnknownKeyError, name_problem
from meta_insights_pipeline.read_api.access.principal import Role
from meta_insights_pipeline.settings import Settings

_NEVER = "never"


def create_key(settings: Settings, name: str, role: Role, accounts: Collection[str], days: int | None) -> ApiKey:
    """Make a key.

    Args:
        settings: The settings.
        name: What it is for.
        role: What its holder may do.
        accounts: Ids of ad accounts, without `act_`; empty for all.
        days: How long it is accepted; None for ever.

    Raises:
        ValueError: The name cannot be used.
        AccessFileError: The file of the keys cannot be used.
    """
    # Before the file, so that a mistake makes none.
    if problem := name_problem(name):
        raise ValueError(problem)
    book = KeyBook(AccessFile(settings.access_path), SystemClock())
    return book.create(name, role, by=_user(), accounts=accounts or None, days=days)


def revoke_key(settings: Settings, text: str) -> str:
    """End a key, named by its id or by the whole key; one sentence on what happened.

    Raises:
        UnknownKeyError: There is no such key. The message is one sentence.
        AccessFileError: The file of the keys cannot be used.
    """
    key_id = key_id_in(text)
    try:
        file = _existing_file(settings)
        if key_id is None or file is None:
            raise UnknownKeyError
        record, is_new = KeyBook(file, SystemClock()).revoke(key_id, by=_user())
    except UnknownKeyError:
        # What is no id may be a secret with a letter too many.
        raise UnknownKeyError(
            f"There is no key {key_id or 'of this form'}; meta-insights keys list shows the ids."
        ) from None
    assert record.revoked_at is not None
    when = "is revoked now" if is_new else f"was revoked before, at {_moment(record.revoked_at)} UTC"
    return f"The key {record.id} ({record.name}) {when}; no server accepts it."


def all_keys(settings: Settings) -> list[KeyRecord]:
    """Every key, the oldest first; makes no file.

    Raises:
        AccessFileError: The file of the keys cannot be used.
    """
    file = _existing_file(settings)
    return [] if file is None else KeyBook(file, SystemClock()).records()


def newest_entries(settings: Settings, count: int) -> list[AuditEntry]:
    """The last entries of the audit log, the newest last; makes no file.

    Raises:
        AccessFileError: The file of the keys cannot be used.
    """
    file = _existing_file(settings)
    return [] if file is None else AuditLog(file, SystemClock()).newest(count)


def keys_as_text(records: Sequence[KeyRecord], now: datetime) -> str:
    """For a terminal: a table."""
    if not records:
        return "There is no key; meta-insights keys create makes one."
    head = ("id", "name", "role", "accounts", "state", "created", "by", "expires", "last used")
    rows = [
        (
            *(record.id, record.name, record.role.value, _accounts(record.accounts), record.state(now)),
            *(_moment(record.created_at), record.created_by, _moment(record.expires_at), _moment(record.last_used_at)),
        )
        for record in records
    ]
    return _table([head, *rows])


def keys_as_json(records: Sequence[KeyRecord], now: datetime) -> str:
    """For a program: one JSON object."""
    return json.dumps({"keys": [_key_object(record, now) for record in records]}, ensure_ascii=False)


def entries_as_text(entries: Sequence[AuditEntry]) -> str:
    """For a terminal: a table."""
    if not entries:
        return "Nothing is recorded yet."
    head = ("at (UTC)", "who", "action", "outcome", "details")
    rows = [
        (_moment(entry.at), entry.principal, entry.action, entry.outcome, json.dumps(entry.details, ensure_ascii=True))
        for entry in entries
    ]
    return _table([head, *rows])


def entries_as_json(entries: Sequence[AuditEntry]) -> str:
    """For a program: one JSON object."""
    objects = [
        {
            "at": entry.at.isoformat(),
            "request_id": entry.request_id,
            "principal": entry.principal,
            "action": entry.action,
            "outcome": entry.outcome,
            "details": entry.details,
        }
        for entry in entries
    ]
    return json.dumps({"entries": objects}, ensure_ascii=False)


def _existing_file(settings: Settings) -> AccessFile | None:
    """The file of the keys; None when no key was ever made."""
    try:
        if not settings.access_path.exists():
            return None
    except OSError:
        # A folder that may not be looked into: the file itself says so, with the remedy.
        pass
    return AccessFile(settings.access_path)


def _user() -> str:
    """The user of this machine, for the books."""
    try:
        return f"user:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return "user:unknown"


def _key_object(record: KeyRecord, now: datetime) -> dict[str, Any]:
    moments = {
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "last_used_at": record.last_used_at,
    }
    return {
        "id": record.id,
        "name": record.name,
        "role": record.role.value,
        "accounts": None if record.accounts is None else sorted(record.accounts),
        "state": record.state(now),
        "created_by": record.created_by,
        **{name: moment and moment.isoformat() for name, moment in moments.items()},
    }


def _accounts(accounts: frozenset[str] | None) -> str:
    return "all" if accounts is None else ", ".join(sorted(accounts))


def _moment(moment: datetime | None) -> str:
    return _NEVER if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
