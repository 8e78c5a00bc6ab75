"""Answers as a table: the same query, written as CSV, Parquet or an Arrow stream while its rows are read."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fastapi import Response
from fastapi.responses import StreamingResponse

from meta_insights_pipeline.read_api.csv_lines import lines_of, lines_sql, names_line
from meta_insights_pipeline.read_api.parameters import MEDIA_TYPES, Format
from meta_insights_pipeline.warehouse.reading.snapshots import Snapshot
from meta_insights_pipeline.warehouse.reading.statement import Query, ResultColumn, Shape

_ARROW_TYPES = {
    Shape.TEXT: pa.string(),
    Shape.NAME: pa.string(),
    Shape.INTEGER: pa.int64(),
    Shape.DAY: pa.date32(),
    Shape.MOMENT: pa.timestamp("us"),
    Shape.FLAG: pa.bool_(),
}


def table_answer(query: Query, snapshot: Snapshot, form: Format, name: str) -> Response:
    """The rows of a query as a file.

    Args:
        query: The query.
        snapshot: What it reads; it must stay open until the answer is sent.
        form: Any but JSON.
        name: Of the file, without its suffix.
    """
    parts = _csv(query, snapshot) if form is Format.CSV else _binary(query.arrow(snapshot), form)
    return _streamed(parts, form, name)


def rows_answer(columns: Sequence[ResultColumn], rows: Sequence[dict[str, Any]], form: Format, name: str) -> Response:
    """Rows that are no query's as a file; lists and objects are JSON text in it.

    Args:
        columns: What the rows have.
        rows: As JSON shows them; moments are aware.
        form: Any but JSON.
        name: Of the file, without its suffix.
    """
    flat = [{key: _flat(value) for key, value in row.items()} for row in rows]
    if form is Format.CSV:
        return _streamed(iter([names_line(columns), lines_of(columns, flat)]), form, name)
    schema = pa.schema([(column.name, _ARROW_TYPES[column.shape]) for column in columns])
    batch = pa.RecordBatch.from_pylist(flat, schema)
    return _streamed(_binary(pa.RecordBatchReader.from_batches(schema, [batch]), form), form, name)


def _streamed(parts: Iterator[bytes], form: Format, name: str) -> Response:
    # What reads is run, and refused if it must be, before the answer begins.
    first = next(parts, b"")
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form.value}"'}
    return StreamingResponse(chain([first], parts), media_type=MEDIA_TYPES[form], headers=headers)


def _flat(value: Any) -> Any:
    match value:
        case list() | dict():
            return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None)
        case _:
            return value


def _csv(query: Query, snapshot: Snapshot) -> Iterator[bytes]:
    """CSV: UTF-8, one line of names, numbers as JSON shows them."""
    batches = iter(snapshot.arrow(lines_sql(query), query.parameters))
    first = next(batches, None)
    yield names_line(query.columns) + (b"" if first is None else _joined(first))
    for batch in batches:
        yield _joined(batch)


def _joined(batch: pa.RecordBatch) -> bytes:
    """The texts of the only column, one after the other."""
    texts = batch.column(0).cast(pa.binary())
    joined: bytes = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), b"")[0].as_py()
    return joined


class _Sink(io.RawIOBase):
    """Takes what is written, and gives it away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, piece: Any, /) -> int:
        """Take a piece."""
        data = bytes(piece)
        self._pieces.append(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """How much was written, given away or not."""
        return self._written

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def _binary(reader: pa.RecordBatchReader, form: Format) -> Iterator[bytes]:
    sink = _Sink()
    target = pa.PythonFile(sink, mode="w")
    writer = (
        pq.ParquetWriter(target, reader.schema) if form is Format.PARQUET else pa.ipc.new_stream(target, reader.schema)
    )
    with writer:
        for batch in reader:
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()
