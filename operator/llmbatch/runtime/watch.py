"""Kopf as our informer: it logs in, lists and watches; what it sees goes into the cache and the queue.

Kopf runs on a thread and an event loop of its own. It treats every task of its loop as its own and cancels them when it
stops, and no create call may ever be cancelled.
"""

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Self

import kopf

from llmbatch.api import BATCHGATEWAYS, BATCHJOBS, FINALIZER, GROUP, VERSION
from llmbatch.kube.login import Login, with_session
from llmbatch.runtime.cache import BATCHGATEWAY, BATCHJOB, known_metadata
from llmbatch.runtime.queue import Key

log = logging.getLogger(__name__)

Json = dict[str, Any]
Tell = Callable[[str, Key, Json], None]
"""Told of every event: its type (None of a list is "LISTED"), the key, the object."""


class Backoffs:
    """Delays between tries of Kopf's calls: growing, capped, without end."""

    def __iter__(self) -> Iterator[float]:
        """Begin anew."""
        delay = 0.5
        while True:
            yield delay * (1 + 0.2 * random.random())  # noqa: S311 - jitter, no secret
            delay = min(30.0, delay * 2)


class Memo:
    """Kopf copies its memo for every object; this one stays itself."""

    def __copy__(self) -> Self:
        """Give itself."""
        return self


def registry(tell: Tell) -> kopf.OperatorRegistry:
    """Make the handlers: they remember and enqueue, and do no I/O."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**kwargs: Any) -> Login | None:  # noqa: ANN401 - Kopf's arguments
        found = kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
        return with_session(found) if found is not None else None

    def handler(kind: str) -> Callable[..., None]:
        def changed(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - Kopf's arguments
            found: Json = dict(event["object"])
            metadata = found["metadata"]
            tell(event["type"] or "LISTED", Key(kind, metadata.get("namespace", ""), metadata["name"]), found)

        return changed

    kopf.on.event(GROUP, VERSION, BATCHJOBS, registry=made, id="batchjobs")(handler(BATCHJOB))
    kopf.on.event(GROUP, VERSION, BATCHGATEWAYS, registry=made, id="batchgateways")(handler(BATCHGATEWAY))
    return made


def settings() -> kopf.OperatorSettings:
    """Make Kopf's settings: watch only, write nothing, for ever."""
    made = kopf.OperatorSettings()
    made.scanning.disabled = True
    made.peering.standalone = True
    made.posting.enabled = False
    made.watching.server_timeout = 300
    made.watching.client_timeout = 330
    # An object may have 1.5 MB, and they are all held in memory together.
    made.watching.chunk_size = 25  # type: ignore[attr-defined,unused-ignore]
    made.networking.connect_timeout = 10
    made.networking.request_timeout = 60
    made.networking.error_backoffs = Backoffs()
    made.queueing.idle_timeout = 1.0
    return made


class Watch:
    """Kopf on its thread."""

    def __init__(self, tell: Tell, namespaces: tuple[str, ...]) -> None:
        """Prepare to watch the given namespaces; none given: all."""
        self._tell = tell
        self._namespaces = namespaces
        self._stop, self.started = threading.Event(), threading.Event()
        self.ended: Future[None] = Future()
        """Done when Kopf has ended; with the error, when it ended by one."""

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._run, name="kopf", daemon=True).start()

    def stop(self) -> None:
        """Ask Kopf to end."""
        self._stop.set()

    def _run(self) -> None:
        try:
            asyncio.run(
                kopf.operator(
                    registry=registry(self._tell),
                    settings=settings(),
                    memo=Memo(),
                    # Its own way to find one fails for a user id without an entry in /etc/passwd, as pods have it.
                    identity="llmbatch",  # type: ignore[arg-type]  # a NewType that Kopf does not export
                    clusterwide=not self._namespaces,
                    namespaces=self._namespaces,
                    stop_flag=self._stop,
                    ready_flag=self.started,
                )
            )
            self.ended.set_result(None)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the end
            self.ended.set_exception(error)


def needs_a_look(before: Json | None, after: Json) -> bool:
    """Tell whether a change is more than our own status write, which must not cause another pass."""
    if before is None:
        return True
    old, new = known_metadata(before), known_metadata(after)
    members = ("uid", "generation", "deletionTimestamp", "annotations", "labels")
    if any(old.get(member) != new.get(member) for member in members):
        return True
    # Somebody took our finalizer away, or the status was changed by another hand.
    return (FINALIZER in (old.get("finalizers") or [])) != (FINALIZER in (new.get("finalizers") or []))
