"""The API keys that were made: making, listing, revoking them, and finding whose a presented one is."""

import hmac
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from meta_insights_pipeline.clock import Clock
from meta_insights_pipeline.read_api.access.access_file import AccessFile
from meta_insights_pipeline.read_api.access.api_keys import ApiKey, new_api_key
from meta_insights_pipeline.read_api.access.audit import DONE, KEY_CREATED, KEY_REVOKED, AuditEntry, add_entry
from meta_insights_pipeline.read_api.access.errors import AccessFileError
from meta_insights_pipeline.read_api.access.principal import Role

_LONGEST_NAME = 100
# When a key was used last is written no more often than this, so that reading the API hardly ever writes.
_USE_IS_NOTED_EVERY = timedelta(hours=1)

_COLUMNS = "id, name, role, accounts, created_at, created_by, expires_at, revoked_at, last_used_at"
# No secret has this hash, as far as anybody can know.
_NOBODY = (bytes(32),)


class UnknownKeyError(Exception):
    """There is no key of this id."""


@dataclass(frozen=True)
class KeyRecord:
    """What is known of a key; not its secret. Moments are aware and in UTC."""

    id: str
    name: str
    role: Role
    accounts: frozenset[str] | None
    """Ids of the ad accounts that it is confined to, without `act_`; None for all."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the hour before: written at most once an hour."""

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Whether it is accepted at a moment, and if not, why."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class KeyBook:
    """The keys in the file; safe for threads and processes."""

    def __init__(self, file: AccessFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def create(
        self,
        name: str,
        role: Role,
        *,
        by: str,
        accounts: Collection[str] | None = None,
        days: int | None = None,
    ) -> ApiKey:
        """Make a key. What is returned is the only copy of its secret.

        Args:
            name: What it is for, 1 to 100 characters.
            role: What its holder may do.
            by: Who makes it, like `user:alice`.
            accounts: Ids of ad accounts without `act_` that it is confined to; None for all.
            days: How long it is accepted; None for ever.

        Raises:
            ValueError: The name cannot be used; one sentence without a full stop.
            AccessFileError: The file cannot be written.
        """
        if problem := name_problem(name):
            raise ValueError(problem)
        key, now = new_api_key(), self._clock.now()
        expires_at = None if days is None else _text(now + timedelta(days=days))
        confined = None if accounts is None else sorted(set(accounts))
        with self._file.transaction() as connection:
            connection.execute(
                "INSERT INTO keys (id, name, role, accounts, hash, created_at, created_by, expires_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(key.id, name.strip(), role.value, None if confined is None else json.dumps(confined)),
                    *(key.hash(), _text(now), by, expires_at),
                ),
            )
            details = {"key": key.id, "name": name.strip(), "role": role.value, "accounts": confined}
            add_entry(connection, AuditEntry(now, by, KEY_CREATED, DONE, {**details, "expires_at": expires_at}))
        return key

    def revoke(self, key_id: str, *, by: str) -> tuple[KeyRecord, bool]:
        """End a key. From now on no process accepts it.

        Returns:
            The key, and whether it was not revoked before.

        Raises:
            UnknownKeyError: There is none of this id.
            AccessFileError: The file cannot be written.
        """
        now = self._clock.now()
        with self._file.transaction() as connection:
            changed = connection.execute(
                "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (_text(now), key_id)
            ).rowcount
            row = connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (key_id,)).fetchone()
            if row is None:
                raise UnknownKeyError(key_id)
            record = _record(row)
            if changed:
                details = {"key": key_id, "name": record.name, "role": record.role.value}
                add_entry(connection, AuditEntry(now, by, KEY_REVOKED, DONE, details))
        return record, bool(changed)

    def records(self) -> list[KeyRecord]:
        """Every key, the oldest first."""
        return [_record(row) for row in self._file.read(f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, id")]

    def has_active(self) -> bool:
        """Whether any key is accepted now."""
        now = self._clock.now()
        return any(record.state(now) == "active" for record in self.records())

    def holder(self, key: ApiKey) -> KeyRecord | None:
        """Whose key this is; None when there is no such key, the secret is another, or it has expired or was revoked.

        A key that does not exist takes the steps of one whose secret is wrong.

        Raises:
            AccessFileError: The file cannot be read.
        """
        rows = self._file.read(f"SELECT hash, {_COLUMNS} FROM keys WHERE id = ?", (key.id,))
        stored, *row = (rows or [_NOBODY])[0]
        if not hmac.compare_digest(stored, key.hash()):
            return None
        record, now = _record(tuple(row)), self._clock.now()
        if record.state(now) != "active":
            return None
        if record.last_used_at is None or record.last_used_at <= now - _USE_IS_NOTED_EVERY:
            self._note_use(key.id, now)
        return record

    def _note_use(self, key_id: str, now: datetime) -> None:
        try:
            with self._file.transaction(patience=0) as connection:
                connection.execute("UPDATE keys SET last_used_at = ? WHERE id = ?", (_text(now), key_id))
        except AccessFileError:
            # Somebody else writes, or the disk is full: no reason not to answer, the next request notes it.
            return


def name_problem(name: str) -> str | None:
    """Why a key cannot have this name; None when it can."""
    if not name.strip():
        return "the name is empty; say what the key is for"
    if len(name.strip()) > _LONGEST_NAME:
        return f"the name has {len(name.strip())} characters; use {_LONGEST_NAME} at most"
    return None if name.isprintable() else "the name holds characters that cannot be printed"


def _record(row: tuple[Any, ...]) -> KeyRecord:
    key_id, name, role, accounts, created_at, created_by, *moments = row
    expires_at, revoked_at, last_used_at = (moment and datetime.fromisoformat(moment) for moment in moments)
    return KeyRecord(
        id=key_id,
        name=name,
        role=Role(role),
        accounts=None if accounts is None else frozenset(json.loads(accounts)),
        created_at=datetime.fromisoformat(created_at),
        created_by=created_by,
        expires_at=expires_at,
        revoked_at=revoked_at,
        last_used_at=last_used_at,
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
