"""One call to a gateway: over which connection it goes, how long and how large its answer may be, and what became of it."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from llmbatch.provider.edge import bodies, outcome, pace, trace
from llmbatch.provider.edge.outcome import Answered, Failure
from llmbatch.provider.edge.route import Route, put_aside_here
from llmbatch.provider.pure.lenient import WireError
from llmbatch.provider.pure.wire import UnusableIdError

CREATE_SECONDS = 30.0
"""A create call that isn't answered by then is given up: whoever waits for it to settle counts on that."""
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of a small call's answer, decoded. The largest real ones are lists of batches with many errors."""
MAX_REFUSAL_BYTES = 64 * 1024

ROOM = bodies.Room()
"""Shared by all clients of a process, as its memory is."""

T = TypeVar("T")
Observe = Callable[[str, str, float], None]
"""Told after each call: operation, code (HTTP status, or a word for none), seconds."""
Admit = Callable[[str], Awaitable[None]]
"""Waits until a call may be made: told the operation."""


class Caller:
    """Makes the calls to one gateway, each of them once.

    Whatever becomes of one is a value; only cancellation is raised, and what an extension raises.
    """

    def __init__(self, route: Route, observe: Observe | None, tenant: str, admit: Admit | None = None) -> None:
        """Prepare for calls; nothing is connected yet. What gateways share, this one takes from its tenant's part."""
        self._admit = admit
        self._route = route
        self._tenant = tenant
        self._observe = observe or (lambda *_: None)
        options = route.options(silence_seconds=route.request_seconds) | {"event_hooks": {"response": [put_aside_here]}}
        self._client = httpx.AsyncClient(**options)
        # A kept connection may have been closed by the other side just now, and a create call that runs into that has
        # an unknown outcome. A fresh one fails while connecting, which is known to be harmless.
        # It must not still be connecting when its time is up: that could not be told from waiting for the answer.
        connect = min(route.connect_seconds, CREATE_SECONDS / 2)
        options["timeout"] = httpx.Timeout(route.request_seconds, connect=connect, pool=connect)
        self._fresh = httpx.AsyncClient(**options, limits=httpx.Limits(max_keepalive_connections=0))
        for client in (self._client, self._fresh):
            pace.resolve_apart(client, self._tenant)
        self._under_way = 0
        """Calls over kept connections."""
        self._retired: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._client, self._fresh, self._retired):
            if client is not None:
                await client.aclose()

    async def retire(self) -> None:
        """Keep no connection any more, once the calls under way have ended; one that comes yet has one of its own."""
        if self._client is not self._fresh:
            self._retired, self._client = self._client, self._fresh
        await self._let_go()

    async def _let_go(self) -> None:
        if self._retired is not None and not self._under_way:
            retired, self._retired = self._retired, None
            await retired.aclose()

    async def call(
        self,
        operation: str,
        method: str,
        url: str,
        read: Callable[[bytes], T],
        *,
        overlong: Callable[[bytes], T] | None = None,
        most: int = MAX_BODY_BYTES,
        fresh: bool = False,
        json: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> Answered[T] | Failure:
        """Call once, and read what is answered.

        Args:
            operation: What is done, for messages and metrics.
            method: Of HTTP.
            url: What is called, without the parameters that go with every call.
            read: Makes a value of a body; raises WireError or UnusableIdError of one that it can't use.
            overlong: Makes a value of the head of a body that is too large; None: such a body is no answer.
            most: Bytes of a body that is not too large.
            fresh: Over a connection of its own, and given up after CREATE_SECONDS: for a call that makes something.
            json: Is sent.
            params: Go with this call alone.
            extensions: httpx's own.
        """
        host = self._route.host
        seconds = min(self._route.request_seconds, CREATE_SECONDS) if fresh else self._route.request_seconds
        if self._admit is not None and not fresh:
            # Whoever makes something has waited before anything was written about it.
            await self._admit(operation)
        client = self._fresh if fresh else self._client
        kept = client is not self._fresh
        self._under_way += kept
        began, code, headers = time.monotonic(), "cancelled", None
        # A client's own params replace those of a request that has some, so they are joined here.
        query = self._route.query.merge(params or {})
        try:
            # httpx limits each silence; a gateway that sends a byte now and then would hold a worker for ever.
            async with (
                asyncio.timeout(seconds),
                client.stream(method, url, json=json, params=query, extensions=extensions) as response,
            ):
                code, headers = str(response.status_code), response.headers
                if not response.is_success:
                    said = self._route.without_secrets(await bodies.beginning_of(response, MAX_REFUSAL_BYTES))
                    headers = self._route.headers_of(response)
                    return outcome.from_response(response.status_code, headers, said, operation, host)
                try:
                    async with bodies.reading(response, most, ROOM, self._tenant) as body:
                        return Answered(read(body))
                except bodies.OverlongError as error:
                    if overlong is None:
                        raise
                    return Answered(overlong(error.head))
        except httpx.TransportError as error:
            failure = outcome.from_error(error, operation, host)
            code = "timeout" if isinstance(error, httpx.TimeoutException) else "unreachable"
            return failure
        except ssl.SSLError as error:
            # In the middle of a connection httpx lets it through as it is: an alert about our certificate, most often.
            code = "unreachable"
            return outcome.from_tls_error(error, operation, host)
        except TimeoutError:
            code = "timeout"
            return outcome.from_error(httpx.ReadTimeout(""), operation, host)
        except UnusableIdError as error:
            return outcome.unusable(operation, host, str(error))
        except (bodies.BodyError, WireError) as error:
            return outcome.unreadable(operation, host, str(error))
        finally:
            seconds = time.monotonic() - began
            self._observe(operation, code, seconds)
            trace.tell(operation, method, self._route, code=code, seconds=seconds, headers=headers)
            self._under_way -= kept
            await self._let_go()
