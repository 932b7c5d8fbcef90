"""Bodies of answers, undone of their compression: one layer at most, a piece at a time, so that no bomb goes off.

httpx undoes any number of layers, each chunk as a whole, before anybody can count what comes out; and takes a compressed
body that was cut for a whole one. So the raw bytes are decoded here.
"""

import time
import zlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

PIECE_BYTES = 64 * 1024
"""Most that is decoded at once."""
SMALL_BYTES = 64 * 1024
"""An answer up to this size takes no room from anybody."""
ROOM_BYTES = 64 * 1024 * 1024
SHARE_BYTES = 8 * 1024 * 1024
RECOVERY_SECONDS = 8.0
"""So long a taken room counts at least: large answers take not only memory, but the time to read them too."""

PLAIN = frozenset({"", "identity", "none", "binary", "utf-8", "utf8", "8bit"})
"""No compression; the last ones are no encodings of HTTP, but what misconfigured servers write there."""
GZIP = frozenset({"gzip", "x-gzip"})
_FROM_GZIP, _FROM_ZLIB, _FROM_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_MEMBERS = 64
"""A body may have so many members, and more with every kilobyte that they hold: an empty one costs time too."""


class BodyError(Exception):
    """A body that can't be used; the message is a clause about it, and quotes nothing of it."""


class OverlongError(BodyError):
    """One that is larger than it may be; `head` is how it begins."""

    def __init__(self, most: int, head: bytes) -> None:
        """Say what it may have at the most."""
        super().__init__(f"the body is larger than {most} bytes")
        self.head = head


class Decoder:
    """Undoes a body's compression."""

    def __init__(self, headers: httpx.Headers) -> None:
        """Prepare for a body.

        Raises:
            BodyError: It has more than one layer, or one that nobody asked for.
        """
        named = [name.strip().lower() for name in headers.get("Content-Encoding", "").split(",")]
        layers = [name for name in named if name not in PLAIN]
        if len(layers) > 1:
            raise BodyError("its body is compressed more than once; switch the compression of this route off")
        self._kind = layers[0] if layers else ""
        if self._kind and self._kind not in GZIP | {"deflate"}:
            raise BodyError(
                "its body has an encoding that was not asked for (Content-Encoding); switch the compression of this route off"
            )
        self._delimited = "Content-Length" in headers or "Transfer-Encoding" in headers
        self._inflate = zlib.decompressobj(_FROM_GZIP) if self._kind in GZIP else None
        self._begun = False
        self._members, self._produced = 1, 0
        self._head = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decode a chunk, in pieces of at most PIECE_BYTES.

        Raises:
            BodyError: It is damaged.
        """
        if not self._kind:
            for at in range(0, len(chunk), PIECE_BYTES):
                yield chunk[at : at + PIECE_BYTES]
            return
        self._begun = self._begun or bool(chunk)
        if self._inflate is None:
            # "deflate" means with zlib's head; some servers send it without.
            self._head += chunk
            if len(self._head) < 2:
                return
            chunk, self._head = self._head, b""
            bare = chunk[0] & 0x0F != 8 or int.from_bytes(chunk[:2], "big") % 31
            self._inflate = zlib.decompressobj(_FROM_DEFLATE if bare else _FROM_ZLIB)
        yield from self._inflated(self._inflate, chunk)

    def _inflated(self, inflate: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
        more = False
        while data or more:
            if inflate.eof:
                if self._kind not in GZIP:
                    raise BodyError("there is something behind the end of its compressed body")
                # Further members are part of the content; what is none fails as one.
                self._members += 1
                if self._members > _MEMBERS + self._produced // 1024:
                    raise BodyError("its compressed body has too many parts with nothing in them")
                inflate = self._inflate = zlib.decompressobj(_FROM_GZIP)
            try:
                piece = inflate.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise BodyError("its compressed body is damaged; switch the compression of this route off") from None
            # A full piece may leave output behind though all input is taken.
            more = len(piece) == PIECE_BYTES and not inflate.eof
            data = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            if piece:
                self._produced += len(piece)
                yield piece

    def finish(self) -> None:
        """Check that the body is whole.

        Raises:
            BodyError: It is not.
        """
        if not self._kind or (not self._begun and self._delimited):
            return
        if self._inflate is None or not self._inflate.eof:
            raise BodyError("its compressed body ends before its end")


def decoded(response: httpx.Response) -> Iterator[bytes]:
    """Give a whole body's content, in pieces.

    Raises:
        BodyError: It can't be decoded, or is not whole.
        httpx.TransportError: The connection broke.
    """
    decoder = Decoder(response.headers)
    for chunk in response.iter_raw():
        yield from decoder.feed(chunk)
    decoder.finish()


def read(response: httpx.Response, most: int) -> bytes:
    """Read a body of at most `most` bytes.

    Raises:
        BodyError: It is larger, can't be decoded, or is not whole.
        httpx.TransportError: The connection broke.
    """
    collected = _Collected(most)
    for piece in decoded(response):
        collected.add(piece)
    return collected.whole()


def beginning(response: httpx.Response, most: int) -> bytes:
    """Read the first bytes of a refusal, as far as it can be decoded: its status says what matters."""
    found = b""
    try:
        for piece in decoded(response):
            found += piece
            if len(found) >= most:
                break
    except BodyError:
        pass
    return found[:most]


class _Collected:
    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._most:
            raise OverlongError(self._most, self.head)
        self._parts.append(piece)

    @property
    def head(self) -> bytes:
        return b"".join(self._parts[:2])[:PIECE_BYTES]

    def whole(self) -> bytes:
        return b"".join(self._parts)


@dataclass
class Room:
    """Memory for the large ones among the answers that are being read; nobody gets more than a share of it."""

    whole: int = ROOM_BYTES
    share: int = SHARE_BYTES
    _taken: Counter[str] = field(default_factory=Counter)
    _returned: deque[tuple[float, str, int]] = field(default_factory=deque)
    """From when on it counts no more, whose, how much."""

    def take(self, holder: str, size: int) -> None:
        """Take some more.

        Raises:
            BodyError: There is no more, for this holder or at all.
        """
        while self._returned and self._returned[0][0] <= time.monotonic():
            _, whose, much = self._returned.popleft()
            self._taken[whose] -= much
            if self._taken[whose] <= 0:
                del self._taken[whose]
        if self._taken[holder] + size > self.share or self._taken.total() + size > self.whole:
            raise BodyError(
                f"too many answers of more than {SMALL_BYTES} bytes come at the same time; it is tried again"
            )
        self._taken[holder] += size

    def give(self, holder: str, size: int) -> None:
        """Give back what was taken; it counts for a little longer."""
        self._returned.append((time.monotonic() + RECOVERY_SECONDS, holder, size))


@asynccontextmanager
async def reading(response: httpx.Response, most: int, room: Room, holder: str) -> AsyncIterator[bytes]:
    """Read a body of at most `most` bytes, which takes its room until it has been used.

    Raises:
        BodyError: It is larger, can't be decoded, is not whole, or there is no room.
        httpx.TransportError: The connection broke.
    """
    collected, taken = _Collected(most), 0
    decoder, arrived = Decoder(response.headers), 0
    try:
        async for chunk in response.aiter_raw():
            arrived += len(chunk)
            if arrived > most:
                # Compressed bytes without content are no way around the limit.
                raise OverlongError(most, collected.head)
            for piece in decoder.feed(chunk):
                collected.add(piece)
                if collected.size > SMALL_BYTES + taken:
                    more = min(max(taken, PIECE_BYTES), most - taken)
                    room.take(holder, more)
                    taken += more
        decoder.finish()
        yield collected.whole()
    finally:
        if taken:
            room.give(holder, taken)


async def beginning_of(response: httpx.Response, most: int) -> bytes:
    """Read the first bytes of a refusal, as far as it can be decoded: its status says what matters."""
    found, arrived = b"", 0
    try:
        decoder = Decoder(response.headers)
        async for chunk in response.aiter_raw():
            arrived += len(chunk)
            for piece in decoder.feed(chunk):
                found += piece
                if len(found) >= most:
                    return found[:most]
            if arrived > most:
                break
    except BodyError:
        pass
    return found[:most]
