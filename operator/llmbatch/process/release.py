"""After an uninstall: takes our finalizer off every BatchJob, so that none is held by an operator that is gone."""

import asyncio
import logging
import time
from dataclasses import dataclass

from llmbatch.api import FINALIZER
from llmbatch.api.reasons import Reason
from llmbatch.batch.edge.seen import Json
from llmbatch.batch.pure import remote_state
from llmbatch.job.edge.cleanup import Finalizers
from llmbatch.kube.client import Cluster, ClusterError
from llmbatch.kube.events import Recorder, Subject
from llmbatch.kube.permissions import JOBS, PODS
from llmbatch.runtime.cache import BATCHJOB
from llmbatch.runtime.queue import Key
from llmbatch.settings import Settings

log = logging.getLogger(__name__)

ROUNDS = 10
PAUSE_SECONDS = 1.0


class InstalledError(Exception):
    """The operator is not being uninstalled: its pods stay."""

    def __init__(self, pods: list[str]) -> None:
        """Name them."""
        super().__init__(
            f"the operator is installed: nobody deletes its pods ({', '.join(pods)}). No BatchJob was let go, which is for"
            " after an uninstall. Of what `helm template` writes apply nothing that is a hook: use --no-hooks."
        )


@dataclass
class Release:
    """Lets BatchJobs go, once and for all of an operator's namespaces."""

    settings: Settings
    cluster: Cluster
    recorder: Recorder
    pause_seconds: float = PAUSE_SECONDS
    released: int = 0

    async def run(self, selector: str, wait_seconds: float) -> int:
        """Wait for the operator's pods to be gone, then let go of everything; answers how many are still held.

        Raises:
            InstalledError: Pods of the operator are there that nobody is deleting.
        """
        if selector:
            await self._wait_for_pods(selector, wait_seconds)
        return await self._rounds()

    async def _wait_for_pods(self, selector: str, seconds: float) -> None:
        """Wait, since an operator that still drains would put the finalizers back."""
        deadline = time.monotonic() + seconds
        staying: list[str] = []
        while time.monotonic() < deadline:
            try:
                pods, _ = await self.cluster.page(PODS, self.settings.namespace, selector=selector)
                if not pods:
                    return
                staying = [pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]
            except ClusterError as error:
                log.warning("the operator's pods can't be listed", extra={"detail": str(error)})
            await asyncio.sleep(self.pause_seconds)
        if staying:
            # What `helm template` writes has this hook in it, and `kubectl apply` doesn't know what a hook is.
            raise InstalledError(staying)
        # Its node may be gone, and its pod with it.
        log.warning("pods of the operator are still there; going on", extra={"selector": selector})

    async def _rounds(self) -> int:
        """Let go until a whole round finds nothing that is held."""
        held = 0
        for number in range(ROUNDS):
            if number:
                await asyncio.sleep(self.pause_seconds)
            try:
                held = 0
                for raw in await self._list():
                    if FINALIZER in (raw["metadata"].get("finalizers") or []):
                        held += 1
                        await self._let_go(raw)
                if held == 0:
                    return 0
            except ClusterError as error:
                held = max(held, 1)
                log.warning("a round was given up", extra={"detail": str(error)})
        return held

    async def _list(self) -> list[Json]:
        found: list[Json] = []
        for namespace in self.settings.watch_namespaces or (None,):
            try:
                async for item in self.cluster.each(JOBS, namespace):
                    found.append(item)  # noqa: PERF401 - what was read before an error counts
            except ClusterError as error:
                # At 404 the definitions are gone, and all BatchJobs with them.
                if error.status != 404:
                    raise
        return found

    async def _let_go(self, raw: Json) -> None:
        metadata = raw["metadata"]
        key = Key(BATCHJOB, metadata["namespace"], metadata["name"])
        left = ", ".join(remote_state.at_the_provider(raw))
        if left and not remote_state.is_ended(raw):
            reason = Reason.RELEASED
            told = f"The operator was uninstalled; {left} stay at the provider. Install it again, and the job goes on."
            if metadata.get("deletionTimestamp"):
                reason = Reason.REMOTE_FILES_RETAINED
                told = f"The operator was uninstalled while this was deleted; left at the provider: {left}. Remove them there."
            subject = Subject(BATCHJOB, key.namespace, key.name, metadata["uid"])
            await self.recorder.tell(subject, "Warning", reason, told)
        if await Finalizers(self.cluster).remove(key, raw):
            self.released += 1


async def release(settings: Settings, selector: str, wait_seconds: float) -> int:
    """Let all BatchJobs go; answers the exit code."""
    cluster = await Cluster.connect()
    try:
        work = Release(settings, cluster, Recorder(cluster, settings.namespace, settings.pod_name, settings.pod_uid))
        held = await work.run(selector, wait_seconds)
    except InstalledError as error:
        log.error(str(error))  # noqa: TRY400 - foreseen: its words are enough
        return 1
    finally:
        await cluster.close()
    log.info("BatchJobs were let go", extra={"released": work.released, "held": held})
    return 1 if held else 0
