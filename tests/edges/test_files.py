"""A download is whole, or it says that it isn't."""

import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from llmbatch.provider.edge.files import Files, TooLargeError
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Unreachable
from llmbatch.provider.edge.route import resolve
from tests.edges.plans import connection_to


@contextmanager
def answering(answer: bytes, end: bytes = b"\r\n\r\n") -> Iterator[str]:
    """Listen for one request that ends so, send these bytes, and hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            # A client that has had enough hangs up first.
            with client, suppress(OSError):
                asked = b""
                while not asked.endswith(end) and (more := client.recv(65536)):
                    asked += more
                client.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


def downloaded(answer: bytes, most: int | None = None) -> tuple[Answered[int] | Failure, bytes]:
    into = io.BytesIO()
    with answering(answer) as url, Files(resolve(connection_to(url), {})) as files:
        return files.download("file-1", into, most=most), into.getvalue()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"Content-Length: 5\r\n\r\n{}\n{}", id="as long as announced; the last line needs no end"),
        pytest.param(CHUNKED + b"5\r\n{}\n{}\r\n0\r\n\r\n", id="in chunks"),
    ],
)
def test_whole(answer: bytes) -> None:
    assert downloaded(answer) == (Answered(5), b"{}\n{}")


def test_whole_to_the_end_of_the_connection() -> None:
    assert downloaded(OK + b"\r\n{}\n") == (Answered(3), b"{}\n")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"Content-Length: 9\r\n\r\n{}\n", id="shorter than announced"),
        pytest.param(CHUNKED + b"5\r\n{}\n{}\r\n", id="without the last chunk"),
        pytest.param(OK + b"\r\n{}\n{", id="the connection ends within a line"),
        pytest.param(OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", id="damaged"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0\r\n", id="not HTTP"),
    ],
)
def test_not_whole(answer: bytes) -> None:
    result, _ = downloaded(answer)
    assert isinstance(result, Unreachable)
    assert result.sent


@pytest.mark.parametrize("answer", [OK + b"Content-Length: 5\r\n\r\n{}\n{}", CHUNKED + b"5\r\n{}\n{}\r\n0\r\n\r\n"])
def test_more_than_can_be_used_is_not_downloaded(answer: bytes) -> None:
    with pytest.raises(TooLargeError):
        downloaded(answer, most=4)


@pytest.mark.parametrize("unsafe", ["..", "a/b", "", "a\r\nb"])
def test_an_unsafe_id_is_never_sent(unsafe: str, closed_port: str) -> None:
    with Files(resolve(connection_to(closed_port), {})) as files:
        assert isinstance(files.download(unsafe, io.BytesIO()), NotFound)


@pytest.mark.parametrize(
    ("status", "expected"), [(b"200 OK", "the body is larger than"), (b"413 Content Too Large", "answered 413")]
)
def test_an_answer_to_an_upload_that_never_ends_is_not_waited_for(status: bytes, expected: str) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 99999999999\r\n\r\n" + b" " * 3_000_000
    with answering(answer, end=b"--\r\n") as url, Files(resolve(connection_to(url), {})) as files:
        result = files.upload("uid-0-1.jsonl", iter([b"x"]), 1)
    assert not isinstance(result, Answered)
    assert expected in result.message
