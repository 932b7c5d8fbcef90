"""Reads a multipart body as it arrives: the file's bytes go straight to disk, the small fields to memory."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

# Large enough that handing it to a thread costs little beside writing and hashing it, small enough to be no memory.
BLOCK_BYTES = 2 * 1024 * 1024
FIELD_LIMIT_BYTES = 64 * 1024


class UploadError(ValueError):
    """The body isn't a multipart form that can be read."""


@dataclasses.dataclass
class Upload:
    """What the form said. A file larger than `limit` is counted to its end but not kept."""

    path: Path
    fields: dict[str, str] = dataclasses.field(default_factory=dict)
    has_file: bool = False
    filename: str | None = None
    content_type: str | None = None
    bytes: int = 0
    sha256: str = ""


class _Form:
    """The parser's callbacks. Blocks of the file pile up in `blocks` until the reader takes them."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.blocks: list[memoryview] = []
        self.pending_bytes = 0
        self.is_whole = False
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None  # None while inside the file part
        self._value = b""

    def parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_text,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def _part_begin(self) -> None:
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_text(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name", b"").decode(errors="replace")
        self._value = b""
        self._field = name
        if name == "file":
            self._field = None
            filename = options.get(b"filename")
            content_type = self._headers.get(b"content-type")
            self.upload.has_file = True
            self.upload.filename = None if filename is None else filename.decode(errors="replace")
            self.upload.content_type = None if content_type is None else content_type.decode(errors="replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self.blocks.append(memoryview(data)[start:end])
            self.pending_bytes += end - start
            return
        self._value += data[start:end]
        if len(self._value) > FIELD_LIMIT_BYTES:
            raise UploadError(f"The field {self._field!r} is too large.")

    def _part_end(self) -> None:
        if self._field is not None:
            self.upload.fields[self._field] = self._value.decode(errors="replace")

    def _end(self) -> None:
        self.is_whole = True

    def take(self) -> list[memoryview]:
        blocks, self.blocks, self.pending_bytes = self.blocks, [], 0
        return blocks


async def read(body: AsyncIterator[bytes], content_type: str, path: Path, target: BinaryIO, limit: int) -> Upload:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise UploadError("The request is not a multipart form.")
    upload = Upload(path)
    form = _Form(upload)
    parser = form.parser(options[b"boundary"])
    digest = hashlib.sha256()

    def keep(blocks: list[memoryview]) -> None:
        for block in blocks:
            digest.update(block)
            upload.bytes += len(block)
            if upload.bytes <= limit:
                target.write(block)

    # One block is written and hashed in a thread while the next one is received and parsed.
    writing: asyncio.Future[None] | None = None
    loop = asyncio.get_running_loop()
    try:
        async for chunk in body:
            parser.write(chunk)
            if form.pending_bytes >= BLOCK_BYTES:
                if writing is not None:
                    await writing
                writing = loop.run_in_executor(None, keep, form.take())
        if not form.is_whole:
            raise UploadError("The multipart form ends before its last boundary.")
    except FormParserError as error:
        raise UploadError(f"The multipart form can't be parsed: {error}") from error
    finally:
        if writing is not None:
            await writing
    await loop.run_in_executor(None, keep, form.take())
    upload.sha256 = digest.hexdigest()
    return upload
