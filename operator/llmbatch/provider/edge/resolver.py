"""Finding the addresses of hosts on threads of our own: the system's resolver can't be interrupted, and may take minutes.

Nothing else waits for these threads, and nobody gets more than a few of them: a name that doesn't resolve holds up those
of its own tenant.
"""

import asyncio
import ipaddress
import socket
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from dataclasses import dataclass

from llmbatch.common import addresses

THREADS = 32
SHARE = 2
"""Names of one tenant that are looked up at the same time."""
FRESH_SECONDS = 30.0
FAILED_SECONDS = 5.0
"""A name that was not found is not looked up again for so long."""
MOST_NAMES = 10_000
MOST_WAITING = 256
"""Names of one tenant that wait for a thread."""
MOST_ADDRESSES = 16
"""Of one name that are tried."""

Addresses = tuple[str, ...]
Asked = Future[Addresses]


@dataclass(frozen=True)
class _Known:
    until: float
    found: Addresses | OSError


class Names:
    """Looks names up, each once at a time however many ask for it."""

    def __init__(self, threads: int = THREADS, share: int = SHARE) -> None:
        """Begin without a thread; each lives for one name."""
        self._threads, self._share = threads, share
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._asked: dict[str, Asked] = {}
        self._waiting: deque[tuple[str, str]] = deque()  # tenant and host; a host in the line of each that asks for it
        self._busy: Counter[str] = Counter()

    async def find(self, host: str, tenant: str, seconds: float | None) -> Addresses:
        """Give a host's addresses.

        Raises:
            OSError: It has none, or they were not found in time.
        """
        asked = self._ask(host, tenant)
        if not isinstance(asked, Future):
            return asked
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(asyncio.wrap_future(asked))
        except TimeoutError:
            raise _late() from None

    def wait(self, host: str, tenant: str, seconds: float | None) -> Addresses:
        """Give a host's addresses, to a thread.

        Raises:
            OSError: It has none, or they were not found in time.
        """
        asked = self._ask(host, tenant)
        if not isinstance(asked, Future):
            return asked
        try:
            return asked.result(seconds)
        except TimeoutError:
            raise _late() from None

    def _ask(self, host: str, tenant: str) -> Addresses | Asked:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            return _reachable((host,))
        with self._lock:
            known = self._known.get(host)
            if known is not None and time.monotonic() < known.until:
                if isinstance(known.found, OSError):
                    # A new one: each that is raised gets its own trace.
                    raise type(known.found)(*known.found.args)
                return known.found
            lines = {whose for whose, which in self._waiting if which == host}
            if tenant in lines or (host in self._asked and not lines):
                # It is in this tenant's line, or being looked up.
                return self._asked[host]
            if sum(whose == tenant for whose, _ in self._waiting) >= MOST_WAITING:
                raise socket.gaierror(socket.EAI_AGAIN, "Too many names are to be resolved at the same time")
            # Another tenant may wait for it too, for as long as his line is: of all lines that it is in, the first counts.
            asked = self._asked.setdefault(host, Future())
            self._waiting.append((tenant, host))
            self._begin()
            return asked

    def _begin(self) -> None:
        """Begin what may be begun: the oldest of those whose tenants have threads left."""
        begun: set[str] = set()
        for tenant, host in list(self._waiting):
            if self._busy.total() >= self._threads:
                return
            if host not in begun and self._busy[tenant] < self._share:
                begun.add(host)
                for line in [line for line in self._waiting if line[1] == host]:
                    self._waiting.remove(line)
                self._busy[tenant] += 1
                # A daemon: the end of the process waits for no name.
                threading.Thread(target=self._look_up, args=(tenant, host), name="names", daemon=True).start()

    def _look_up(self, tenant: str, host: str) -> None:
        found: Addresses | OSError
        try:
            listed = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found = _reachable(tuple(dict.fromkeys(str(item[4][0]) for item in listed))[:MOST_ADDRESSES])
        except OSError as error:
            found = error
        except ValueError:  # what no name can be; UnicodeError is one
            found = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        with self._lock:
            failed = isinstance(found, OSError)
            if len(self._known) >= MOST_NAMES:
                self._known.clear()
            self._known[host] = _Known(time.monotonic() + (FAILED_SECONDS if failed else FRESH_SECONDS), found)
            asked = self._asked.pop(host)
            self._busy[tenant] -= 1
            if not self._busy[tenant]:
                del self._busy[tenant]
            self._begin()
        if isinstance(found, OSError):
            asked.set_exception(found)
        else:
            asked.set_result(found)


def _reachable(found: Addresses) -> Addresses:
    """Leave out addresses of nodes: no gateway is there, but what gives a node its credentials (169.254.169.254) is.

    Raises:
        OSError: There are no others.
    """
    others = tuple(address for address in found if not addresses.is_of_node(address))
    if found and not others:
        raise socket.gaierror(
            socket.EAI_FAIL, "A link-local address, or one of a cloud's metadata service, which is not called"
        )
    return others


def _late() -> OSError:
    return socket.gaierror(socket.EAI_AGAIN, "Its name was not resolved in time")


NAMES = Names()
"""Shared by all clients of a process."""
