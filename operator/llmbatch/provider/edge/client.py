"""The gateway's small calls: create, poll, cancel, list batches; look at and delete files. No call is ever repeated here."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from llmbatch import crash
from llmbatch.api.reasons import Reason
from llmbatch.provider.edge import outcome, routes
from llmbatch.provider.edge.bodies import SMALL_BYTES
from llmbatch.provider.edge.calling import Admit, Caller, Observe
from llmbatch.provider.edge.outcome import Answered, Failure, NotFound, Refused, Unreachable
from llmbatch.provider.edge.route import Route, resolve
from llmbatch.provider.edge.routes import Listed, Probe
from llmbatch.provider.edge.tls import Material
from llmbatch.provider.pure import about, shortage, wire
from llmbatch.provider.pure.connection import Connection
from llmbatch.provider.pure.ids import is_safe_id, path_segment
from llmbatch.provider.pure.wire import FilePage, Page, RemoteBatch, RemoteFile


@dataclass(frozen=True)
class Made:
    """The batch was made."""

    batch: RemoteBatch


@dataclass(frozen=True)
class NotMade:
    """The batch was definitely not made."""

    reason: Reason
    message: str
    retry_after: float | None = None  # seconds
    retryable: bool = True  # False: the same request will be refused again
    lacks_file: bool = False  # the provider does not know the file; perhaps not yet


@dataclass(frozen=True)
class UnknownOutcome:
    """The batch may or may not have been made."""

    message: str
    unusable: bool = False
    """It was made, and its id can't be used."""


@dataclass(frozen=True)
class TooLate:
    """The call might not be begun any more; it was not sent."""


Creation = Made | NotMade | UnknownOutcome | TooLate


class _TooLateError(Exception):
    """What keeps a request from being sent."""


def _fence(may_begin: Callable[[], bool]) -> Callable[[str, Any], Awaitable[None]]:
    async def trace(event: str, _: Any) -> None:  # noqa: ANN401 - httpcore's own
        if event not in ("http11.send_request_headers.started", "http11.send_request_body.started"):
            return
        if not may_begin():
            raise _TooLateError
        if event == "http11.send_request_body.started":
            # From here on nobody asks again.
            with crash.around(crash.Effect.SEND_CREATE):
                pass

    return trace


def _creation(result: Answered[RemoteBatch] | Failure) -> Creation:
    """Say whether a call has made a batch."""
    match result:
        case Answered(batch):
            return Made(batch)
        case NotFound(message, body=body):
            # The provider doesn't know the file (any more), or not yet.
            if body is not None and shortage.lacks_file(body.code, body.message, is_object=True):
                return NotMade(Reason.FILE_PENDING, message, lacks_file=True)
            return NotMade(Reason.REQUEST_REFUSED, message, retryable=False)
        case Unreachable(sent=False):
            return NotMade(result.reason, result.message, result.retry_after)
        case Unreachable():
            return UnknownOutcome(result.message, unusable=result.reason is Reason.UNUSABLE_ID)
        case Refused(reason=Reason.REQUEST_REFUSED | Reason.ROUTE_NOT_FOUND) if shortage.lacks_file(
            result.body.code, result.body.message
        ):
            return NotMade(Reason.FILE_PENDING, result.message, result.retry_after, lacks_file=True)
        case Refused():
            if outcome.may_be_done(result.status) and result.reason not in (
                Reason.QUOTA_EXCEEDED,
                Reason.BILLING_LIMIT,
            ):
                return UnknownOutcome(result.message)
            return NotMade(
                result.reason,
                result.message,
                result.retry_after,
                # Whoever redirects, or wants another protocol, has not looked at the request.
                retryable=result.reason is not Reason.REQUEST_REFUSED
                or 300 <= result.status < 400
                or result.status == outcome.UPGRADE,
            )


class Gateway:
    """A client of one gateway. Calls answer with values for everything foreseen; only cancellation is raised."""

    def __init__(
        self, route: Route, observe: Observe | None = None, tenant: str = "", admit: Admit | None = None
    ) -> None:
        """Prepare for calls; nothing is connected yet. What gateways share, this one takes from its tenant's part."""
        self._route = route
        self._caller = Caller(route, observe, tenant or f"client {id(self)}", admit)

    @classmethod
    def connect(
        cls,
        connection: Connection,
        environ: Mapping[str, str],
        material: Material | None = None,
        observe: Observe | None = None,
        tenant: str = "",
        *,
        admit: Admit | None = None,
    ) -> Self:
        """Resolve the connection and prepare a client for it.

        Raises:
            ConnectionInvalidError: A value is missing or can't be used.
        """
        return cls(resolve(connection, environ, material), observe, tenant, admit=admit)

    async def close(self) -> None:
        """Close the connections."""
        await self._caller.close()

    async def retire(self) -> None:
        """Keep no connection any more: another client has taken this one's place, or the gateway is gone."""
        await self._caller.retire()

    async def create_batch(
        self,
        input_file_id: str,
        endpoint: str,
        completion_window: str,
        metadata: Mapping[str, str],
        may_begin: Callable[[], bool] = lambda: True,
    ) -> Creation:
        """Create a batch, once.

        `may_begin` is asked again right before each part of the request is sent: connecting takes its time, and this
        process may have stood still meanwhile. Half a request makes no batch.
        """
        order: dict[str, Any] = {
            "input_file_id": input_file_id,
            "endpoint": endpoint,
            "completion_window": completion_window,
        }
        if metadata:
            order["metadata"] = dict(metadata)
        with crash.around(crash.Effect.CREATE_BATCH):
            try:
                result = await self._caller.call(
                    "create batch",
                    "POST",
                    self._route.batches_url,
                    wire.read_batch,
                    json=order,
                    fresh=True,
                    extensions={"trace": _fence(may_begin)},
                )
            except _TooLateError:
                return TooLate()
        return _creation(result)

    async def get_batch(self, batch_id: str) -> Answered[RemoteBatch] | Failure:
        """Look at a batch."""
        if not is_safe_id(batch_id):
            return outcome.unsafe_id("get batch")
        with crash.around(crash.Effect.GET_BATCH):
            url = f"{self._route.batches_url}/{path_segment(batch_id)}"
            return await self._caller.call("get batch", "GET", url, about.this(batch_id, wire.read_batch))

    async def cancel_batch(self, batch_id: str) -> Answered[RemoteBatch] | Failure:
        """Ask for a batch to be cancelled; Refused with 409 when it has ended already."""
        if not is_safe_id(batch_id):
            return outcome.unsafe_id("cancel batch")
        url = f"{self._route.batches_url}/{path_segment(batch_id)}/cancel"
        with crash.around(crash.Effect.CANCEL_BATCH):
            return await self._caller.call("cancel batch", "POST", url, about.this(batch_id, wire.read_batch))

    async def list_batches(self, after: str | None = None, limit: int = 100) -> Answered[Page] | Failure:
        """List one page of batches, in the provider's order."""
        params = {"limit": str(limit)} | ({"after": after} if after else {})
        return await self._caller.call(
            "list batches",
            "GET",
            self._route.batches_url,
            wire.read_page,
            overlong=lambda _: wire.TOO_MANY_BATCHES,
            params=params,
        )

    async def list_files(self, after: str | None = None, limit: int = 1000) -> Answered[FilePage] | Failure:
        """List one page of batches' input files, the newest first where the provider sorts them."""
        params = {"purpose": "batch", "limit": str(limit), "order": "desc"} | ({"after": after} if after else {})
        with crash.around(crash.Effect.LIST_FILES):
            return await self._caller.call(
                "list files",
                "GET",
                self._route.files_url,
                wire.read_files,
                overlong=lambda _: wire.TOO_MANY_FILES,
                params=params,
            )

    async def get_file(self, file_id: str) -> Answered[RemoteFile] | Failure:
        """Look at a file."""
        if not is_safe_id(file_id):
            return outcome.unsafe_id("get file")
        with crash.around(crash.Effect.GET_FILE):
            url = f"{self._route.files_url}/{path_segment(file_id)}"
            return await self._caller.call("get file", "GET", url, about.this(file_id, wire.read_file))

    async def delete_file(self, file_id: str) -> Answered[None] | Failure:
        """Delete a file; NotFound when it is gone already."""
        if not is_safe_id(file_id):
            return outcome.unsafe_id("delete file")
        with crash.around(crash.Effect.DELETE_FILE):
            url = f"{self._route.files_url}/{path_segment(file_id)}"
            answer = await self._caller.call("delete file", "DELETE", url, about.deletion_of(file_id))
        return Answered(None) if isinstance(answer, Refused) and answer.status == outcome.GONE else answer

    async def probe(self) -> Probe:
        """Find out whether both routes answer and accept the credentials, and whether batches can be listed."""
        files, batches = await asyncio.gather(
            self._probe("list files", self._route.files_url), self._probe("list batches", self._route.batches_url)
        )
        return routes.judged_together(
            routes.judged("files", files, self._route.files_url),
            routes.judged("batches", batches, self._route.batches_url),
        )

    async def _probe(self, operation: str, url: str) -> Answered[Listed] | Failure:
        # A list of all that there ever was is known by its head: two of them would be more than there is room for.
        read, head, most = routes.read, routes.read_head, SMALL_BYTES
        return await self._caller.call(operation, "GET", url, read, overlong=head, most=most, params={"limit": "1"})
