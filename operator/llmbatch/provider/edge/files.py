"""The gateway's files route for payloads: streaming upload and download. No call is ever repeated here."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import BinaryIO, Self

import httpx

from llmbatch import crash
from llmbatch.provider.edge import bodies, outcome, pace, trace
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound
from llmbatch.provider.edge.pace import Bounds, Pace
from llmbatch.provider.edge.route import Route, put_aside
from llmbatch.provider.pure import about, wire
from llmbatch.provider.pure.ids import is_safe_id, path_segment
from llmbatch.provider.pure.lenient import WireError
from llmbatch.provider.pure.wire import FilePage, RemoteFile, UnusableIdError

Progress = Callable[[str, int, int | None], None]
"""Told now and then: what is going on ("upload", …), bytes done, bytes in all if known."""

_ERROR_BYTES = 64 * 1024  # of a refusal's body
_ANSWER_BYTES = 1024 * 1024
"""Most bytes of the answer to an upload, which is one file object."""

_LIST_BYTES = 8 * 1024 * 1024
"""Most bytes of a page of files; a thousand entries have some 300,000."""

GONE = frozenset({"deleted", "deleting", "expired", "error"})
"""Statuses of a file whose content can't be had any more."""


class TooLargeError(Exception):
    """A download has more bytes than its caller can use. `size` is the whole size if the gateway told it."""

    def __init__(self, size: int | None) -> None:
        """Tell the size."""
        super().__init__("too large")
        self.size = size


class Files:
    """A client for payloads of one gateway; each silence may take the connection's transfer_seconds, and what is too slow is given up."""

    def __init__(self, route: Route, bounds: Bounds | None = None) -> None:
        """Prepare for calls; nothing is connected yet, but the time for the whole begins."""
        self._route = route
        bounds = bounds or Bounds()
        options = route.options(silence_seconds=route.transfer_seconds)
        self._client = httpx.Client(**options, event_hooks={"response": [put_aside]})
        pace.keep(self._client, Pace(route.transfer_seconds, bounds.whole_seconds), bounds.tenant)

    def __enter__(self) -> Self:
        """Give the client itself."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Close the connections."""
        self._client.close()

    def upload(self, filename: str, content: Iterator[bytes], length: int) -> Answered[RemoteFile] | Failure:
        """Upload `length` bytes as a batch's input. What `content` raises comes out as it is."""
        operation, host = "upload file", self._route.host
        boundary = os.urandom(16).hex()
        # purpose first: a server that reads the form as it comes then knows what the file is for.
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + length + len(tail)),
        }

        def framed() -> Iterator[bytes]:
            yield head
            yield from content
            yield tail

        read = about.upload_of(filename, length, datetime.now(UTC))
        began, code, answered = time.monotonic(), "none", None
        try:
            with (
                crash.around(crash.Effect.UPLOAD_FILE),
                self._client.stream("POST", self._route.files_url, headers=headers, content=framed()) as response,
            ):
                code, answered = str(response.status_code), response.headers
                if not response.is_success:
                    return self._refusal(response, operation)
                return Answered(read(bodies.read(response, _ANSWER_BYTES)))
        except httpx.TransportError as error:
            return outcome.from_error(error, operation, host)
        except UnusableIdError as error:
            return outcome.unusable(operation, host, str(error))
        except (bodies.BodyError, WireError) as error:
            return outcome.unreadable(operation, host, str(error))
        finally:
            seconds = time.monotonic() - began
            trace.tell(operation, "POST", self._route, code=code, seconds=seconds, headers=answered)

    def page(self, after: str | None = None) -> Answered[FilePage] | Failure:
        """List one page of batches' input files, the newest first where the provider sorts them."""
        operation, route = "list files", self._route
        params = {"purpose": "batch", "limit": "1000", "order": "desc"} | ({"after": after} if after else {})
        timeout = httpx.Timeout(route.request_seconds, connect=route.connect_seconds, pool=route.connect_seconds)
        # A client's own params replace those of a request that has some.
        query = route.query.merge(params)
        try:
            with (
                crash.around(crash.Effect.LIST_FILES),
                self._client.stream("GET", route.files_url, params=query, timeout=timeout) as response,
            ):
                if not response.is_success:
                    return self._refusal(response, operation)
                return Answered(wire.read_files(bodies.read(response, _LIST_BYTES)))
        except httpx.TransportError as error:
            return outcome.from_error(error, operation, route.host)
        except bodies.OverlongError:
            return Answered(wire.TOO_MANY_FILES)
        except (bodies.BodyError, WireError) as error:
            return outcome.unreadable(operation, route.host, str(error))

    def is_gone(self, file_id: str) -> bool:
        """Tell whether the provider says of a file that it isn't there any more; False when nobody can say."""
        route = self._route
        timeout = httpx.Timeout(route.request_seconds, connect=route.connect_seconds, pool=route.connect_seconds)
        try:
            with (
                crash.around(crash.Effect.GET_FILE),
                self._client.stream("GET", f"{route.files_url}/{path_segment(file_id)}", timeout=timeout) as response,
            ):
                if response.is_success:
                    return wire.read_file(bodies.read(response, _ANSWER_BYTES)).status in GONE
                failure = self._refusal(response, "get file")
        except (httpx.TransportError, bodies.BodyError, WireError):
            return False
        return isinstance(failure, NotFound) or response.status_code == 410

    def download(
        self, file_id: str, into: BinaryIO, *, most: int | None = None, progress: Progress | None = None
    ) -> Answered[int] | Failure:
        """Download a file's content; answers the number of bytes. A body shorter than announced is Unreachable.

        Raises:
            TooLargeError: There are more than `most` bytes.
            OSError: `into` can't take them.
        """
        operation, host = "download file", self._route.host
        if not is_safe_id(file_id):
            return outcome.unsafe_id(operation)
        done = 0
        last = b""
        try:
            url = f"{self._route.files_url}/{path_segment(file_id)}/content"
            with self._client.stream("GET", url, headers={"Accept": "*/*"}) as response:
                if not response.is_success:
                    return self._refusal(response, operation)
                if response.status_code != 200:
                    return outcome.unreadable(operation, host, f"its status is {response.status_code}, not 200")
                size = _announced(response)
                if most is not None and size is not None and size > most:
                    raise TooLargeError(size)
                for chunk in bodies.decoded(response):
                    done += len(chunk)
                    if most is not None and done > most:
                        raise TooLargeError(size)
                    into.write(chunk)
                    last = chunk[-1:]
                    if progress is not None:
                        progress("download", done, size)
        except httpx.TransportError as error:
            return outcome.from_error(error, operation, host)
        except bodies.BodyError as error:
            return outcome.unreadable(operation, host, f"{error}, after {done} bytes")
        if size is not None and done != size:
            return outcome.unreadable(operation, host, f"it sent {done} bytes of {size}")
        # A body that ends where the connection does can't be told from one that broke off, but for its last line.
        delimited = {"content-length", "transfer-encoding"} & {name.lower() for name in response.headers}
        if not delimited and last not in {b"", b"\n"}:
            return outcome.unreadable(
                operation, host, f"the connection ended in the middle of a line, after {done} bytes"
            )
        return Answered(done)

    def _refusal(self, response: httpx.Response, operation: str) -> Failure:
        route = self._route
        said = route.without_secrets(bodies.beginning(response, _ERROR_BYTES))
        return outcome.from_response(response.status_code, route.headers_of(response), said, operation, route.host)


def _announced(response: httpx.Response) -> int | None:
    """Say how many bytes the content has; None when that isn't told."""
    # Compressed, the length that is announced is not that of the content; httpx itself compares it.
    if response.headers.get("Content-Encoding", "").strip().lower() not in bodies.PLAIN:
        return None
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() else None
