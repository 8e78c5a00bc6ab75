"""The form of an archived file: one JSON object on the first line, then blobs as they were, all in one Zstandard frame.

`zstd -dc FILE` shows everything: the first line, and each blob on lines of its own. The frame carries a checksum, so that a
file that is cut off or altered is noticed and never read as data.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

FORMAT = 1
"""Raise it when the form changes; files of earlier forms must stay readable."""
# Of simulated pages of ads (1,300 bytes a row), level 3 leaves 74 bytes of each row at 450 to 670 MB/s, this leaves 51 at
# 180 MB/s, level 9 leaves 49 at 120 MB/s, and level 19 leaves 31 to 35 at 3 MB/s.
_LEVEL, _SHORTEST_MATCH = 6, 6
# Highly repetitive text grows a thousandfold, so that little is read at a time.
_READ_BYTES = 16_384
_LONGEST_HEADER = 1_000_000


class DamagedFileError(Exception):
    """An archived file cannot be read; the message says why, and not which."""


def write_file(file: Path, header: Mapping[str, Any], blobs: Iterable[bytes], sizes: Iterable[int]) -> None:
    """Write a file; the caller sees to it that nobody takes half of it for a whole one.

    The same content always gives the same bytes.

    Args:
        file: Where; its folder exists.
        header: What is told of the blobs, as JSON can hold it; `format` and `sizes` are added.
        blobs: One at a time, so that not all of them need be in memory.
        sizes: Their lengths in bytes.

    Raises:
        OSError: It cannot be written.
    """
    parameters = zstandard.ZstdCompressionParameters.from_level(_LEVEL, min_match=_SHORTEST_MATCH, write_checksum=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    line = json.dumps({"format": FORMAT, **header, "sizes": list(sizes)}, ensure_ascii=False, separators=(",", ":"))
    with file.open("wb") as raw, compressor.stream_writer(raw, closefd=False) as stream:
        stream.write(line.encode() + b"\n")
        for blob in blobs:
            stream.write(blob)
            stream.write(b"\n")


def flush_to_disk(file: Path) -> None:
    """Return when the file's content is on disk.

    Raises:
        OSError: It cannot be written.
    """
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


@contextmanager
def open_file(file: Path) -> Iterator[tuple[dict[str, Any], Iterator[bytes]]]:
    """The header of a file, and its blobs one at a time; all blobs have to be read for the file to count as whole.

    Raises:
        DamagedFileError: It is no archived file, damaged, or of a form that is not known here.
        FileNotFoundError: There is no such file.
    """
    try:
        with file.open("rb") as raw:
            reader = _Reader(raw)
            header = _header(reader.line())
            yield header, _blobs(reader, header["sizes"])
    except zstandard.ZstdError as error:
        raise DamagedFileError(f"it cannot be decompressed ({error})") from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFileError(f"it cannot be read ({error.strerror or error})") from None


def _blobs(reader: "_Reader", sizes: Iterable[int]) -> Iterator[bytes]:
    for size in sizes:
        blob = reader.take(size + 1)
        if not blob.endswith(b"\n"):
            raise DamagedFileError("its parts are not as long as its first line says")
        yield blob[:-1]
    reader.expect_end()


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError:
        raise DamagedFileError("its first line is no JSON") from None
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise DamagedFileError("its first line does not say what it is")
    if header["format"] > FORMAT:
        raise DamagedFileError(f"it has the form {header['format']}, and this program knows forms up to {FORMAT}")
    if not isinstance(header.get("sizes"), list) or not all(isinstance(size, int) for size in header["sizes"]):
        raise DamagedFileError("its first line does not say how long its parts are")
    return header


class _Reader:
    """Reads a frame from its beginning, some bytes at a time."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._buffer = bytearray()

    def line(self) -> bytes:
        """The bytes up to the first line end, without it."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST_HEADER or not self._more():
                raise DamagedFileError("it has no first line")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def take(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._buffer) < size:
            if not self._more():
                raise DamagedFileError("it is cut off")
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def expect_end(self) -> None:
        """Everything was taken, and the checksum is right."""
        while self._more():
            pass
        if not self._frame.eof:
            raise DamagedFileError("it is cut off")
        if self._buffer or self._frame.unused_data:
            raise DamagedFileError("there is something behind its end")

    def _more(self) -> bool:
        """Read on; whether there was anything."""
        if self._frame.eof:
            return False
        chunk = self._raw.read(_READ_BYTES)
        if not chunk:
            return False
        self._buffer += self._frame.decompress(chunk)
        return True
