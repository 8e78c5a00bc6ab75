"""Refreshes of entities in the archive: the typed rows as they were merged, and what could not be read."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from meta_insights_pipeline.catalog.entities import EntityKind
from meta_insights_pipeline.catalog.entity_batches import EntityBatch, EntityRow, MissingEntity
from meta_insights_pipeline.warehouse.archive import ArchivedFile
from meta_insights_pipeline.warehouse.archive_files import DamagedFileError, open_file, write_file


class _Missing(BaseModel):
    model_config = ConfigDict(frozen=True)

    kind: EntityKind
    id: str | None
    reason: str


class _Header(BaseModel):
    """What is told of the rows, beside what the file's name tells."""

    model_config = ConfigDict(frozen=True)

    api_version: str
    mode: str
    account_id: str
    full: bool
    kinds: tuple[EntityKind, ...]
    """Of which the rows are, one blob each."""
    missing: tuple[_Missing, ...]


def write_batch(file: Path, batch: EntityBatch, *, mode: str, api_version: str) -> None:
    """Write what one refresh brought to an archived file.

    Args:
        file: Where; its folder exists.
        batch: What it brought.
        mode: `live` or `stub`.
        api_version: Version of the Graph API that answered, like `v26.0`.

    Raises:
        OSError: It cannot be written.
    """
    header = _Header(
        api_version=api_version,
        mode=mode,
        account_id=batch.account_id,
        full=batch.full,
        kinds=tuple(batch.rows),
        missing=tuple(_Missing(kind=one.kind, id=one.id, reason=one.reason) for one in batch.missing),
    )
    blobs = [
        json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"), default=_as_text).encode()
        for rows in batch.rows.values()
    ]
    write_file(file, header.model_dump(mode="json"), blobs, map(len, blobs))


def read_batch(file: ArchivedFile) -> EntityBatch:
    """What a refresh brought; numbers and moments are text, which storing reads alike.

    Raises:
        DamagedFileError: The file cannot be read.
        FileNotFoundError: The file is not there.
    """
    with open_file(file.path) as (line, blobs):
        header = _read_header(line)
        rows: Mapping[EntityKind, list[EntityRow]] = {
            kind: json.loads(blob) for kind, blob in zip(header.kinds, blobs, strict=True)
        }
    return EntityBatch(
        account_id=file.account_id,
        collected_at=file.name.question.collected_at,
        full=header.full,
        rows=rows,
        missing=tuple(MissingEntity(one.kind, one.id, one.reason) for one in header.missing),
    )


def _read_header(line: dict[str, Any]) -> _Header:
    try:
        header = _Header.model_validate(line)
    except ValidationError:
        raise DamagedFileError("its first line does not tell what was refreshed") from None
    if len(header.kinds) != len(line["sizes"]):
        raise DamagedFileError("its first line names another number of kinds than there are")
    return header


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no value of an entity")
