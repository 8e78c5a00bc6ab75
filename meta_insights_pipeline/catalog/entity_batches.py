"""What passes between collecting entities and storing them: plain values, no rule and no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from meta_insights_pipeline.catalog.entities import EntityKind

Value = str | int | bool | Decimal | datetime | None
EntityRow = Mapping[str, Value]
"""One entity: its table's columns, and `is_deleted` and `recovered`. A column that is not there is NULL."""


class Recovered(StrEnum):
    """How an entity was had that no list shows."""

    BY_ID = "by_id"
    """Meta gave it when it was asked for by id."""
    INSIGHTS = "insights"
    """Meta does not know the id any more; name and parents are those of its insights."""
    KEPT = "kept"
    """Meta does not know the id any more; the attributes are the last ones seen. Such a row holds its key alone."""


@dataclass(frozen=True)
class Ghost:
    """An entity that has insights and no row."""

    kind: EntityKind
    id: str
    attributes: Mapping[str, str]
    """What its newest insights say, by column: the name, the ids of its parents."""


@dataclass(frozen=True)
class KnownEntities:
    """What is stored of one account, as far as the next refresh needs it."""

    live: Mapping[EntityKind, Mapping[str, str | None]] = field(default_factory=dict)
    """Status by id, of those that are not deleted, beginning with what has not been seen for longest."""
    deleted: Mapping[EntityKind, frozenset[str]] = field(default_factory=dict)
    updated: Mapping[EntityKind, datetime] = field(default_factory=dict)
    """The highest `updated_time` (UTC) that a list showed."""
    listed_at: datetime | None = None
    """When (UTC) everything was last listed; None when it never was."""

    def holds(self, kind: EntityKind, entity_id: str) -> bool:
        """Whether there is a row for it."""
        return entity_id in self.live.get(kind, {}) or entity_id in self.deleted.get(kind, frozenset())


@dataclass(frozen=True)
class MissingEntity:
    """What could not be read of an account."""

    kind: EntityKind
    id: str | None
    """None when it concerns the account's list as a whole."""
    reason: str


@dataclass(frozen=True)
class EntityBatch:
    """What one refresh of an account brought."""

    account_id: str
    collected_at: datetime
    """When (UTC) it was true: the moment before the first call."""
    full: bool
    """Whether everything was listed, and not only what has changed."""
    rows: Mapping[EntityKind, Sequence[EntityRow]]
    fetched_by_id: Mapping[EntityKind, frozenset[str]] = field(default_factory=dict)
    """Ids that were asked for one by one, whatever became of them."""
    missing: tuple[MissingEntity, ...] = ()
