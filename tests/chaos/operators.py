"""The operator as a process of its own, on an API server in memory; started again whenever it ends."""

import asyncio
import os
import signal
from pathlib import Path

from tests.support import spawner
from tests.support.apiserver import ApiServer
from tests.support.inprocess import kubeconfig
from tests.support.spawner import Spawned

QUICK = {
    "LLMBATCH_NAMESPACE": "llmbatch-system",
    "LLMBATCH_METRICS_ADDRESS": "127.0.0.1",
    "LLMBATCH_METRICS_PORT": "0",
    "LLMBATCH_SETTLE_SECONDS": "1.5",
    "LLMBATCH_RECHECK_SECONDS": "0.2",
    "LLMBATCH_REQUEST_RETRY_SECONDS": "0.3",
    "LLMBATCH_CLEANUP_TIMEOUT_SECONDS": "90",
    # On a busy machine a renewal may well take a second.
    "LLMBATCH_LEASE_SECONDS": "4",
    "LLMBATCH_RENEW_SECONDS": "2.7",
    "LLMBATCH_RETRY_SECONDS": "0.1",
    "LLMBATCH_WORKERS": "4",
}


class OperatorProcess:
    """`llmbatch operator`, as Kubernetes runs it."""

    def __init__(self, api: ApiServer, folder: Path, **environment: str) -> None:
        """Prepare; `environment` is added to settings under which no test waits long."""
        self._log = folder / "operator.log"
        self._env = {**os.environ, **QUICK, **environment, "KUBECONFIG": kubeconfig(api, folder)}
        self._process: Spawned | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.exit_codes: list[int] = []

    async def start(self) -> None:
        """Start it, and again whenever it ends by itself."""
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> int:
        """End it by SIGTERM; answers its exit code."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._process is None or self._process.returncode is not None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            return await self._process.wait()

    @property
    def pid(self) -> int:
        """Give the process' id."""
        assert self._process is not None, "the operator was not started"
        return self._process.pid

    def log(self) -> str:
        """Read what it has logged."""
        return self._log.read_text() if self._log.exists() else ""

    async def _keep(self) -> None:
        while True:
            self._process = await spawner.llmbatch("operator", env=self._env, log=self._log)
            self.exit_codes.append(await self._process.wait())
