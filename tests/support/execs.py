"""What the kubelet does for a pod that somebody makes beside a volume, for the API server in memory.

It says that the pod runs, and runs commands in it, as real processes, over a WebSocket as Kubernetes has it
(v4.channel.k8s.io): the first byte of a message is its channel. Volumes are folders, one for each claim.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from aiohttp import WSMsgType, web

from tests.support.apiserver import ApiServer
from tests.support.apistore import Json

PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS = range(4)


class Execs:
    """Has every pod without an owner run."""

    def __init__(self, api: ApiServer, volume: Callable[[str], Path]) -> None:
        """Take the folder of a claim from `volume`."""
        self._api, self._volume = api, volume
        self.made: list[Json] = []
        """Every pod that was made."""
        self.damage: Callable[[bytes], bytes] = lambda block: block
        """What becomes of a block on its way out."""
        self.image_problem: str | None = None
        """Why no pod gets its image."""
        self.cut_after: int | None = None
        """The connection is cut after so many bytes."""
        api.on_change.append(self._changed)
        api.exec = self._exec

    def _changed(self, kind: str, found: Json) -> None:
        if found["_plural"] != "pods" or kind != "ADDED" or found["metadata"].get("ownerReferences"):
            return
        self.made.append(found)
        state: Json = {"running": {}}
        if self.image_problem is not None:
            state = {"waiting": {"reason": "ErrImagePull", "message": self.image_problem}}
        (container,) = found["spec"]["containers"]
        status = {"phase": "Pending", "containerStatuses": [{"name": container["name"], "state": state}]}
        asyncio.get_running_loop().call_soon(self._tell, found["metadata"], status)

    def _tell(self, metadata: Json, status: Json) -> None:
        if self._api.get("pods", metadata["name"], metadata["namespace"]) is not None:
            self._api.edit("pods", metadata["name"], {"status": status}, metadata["namespace"])

    async def _exec(self, request: web.Request, pod: Json) -> web.StreamResponse:
        connection = web.WebSocketResponse(protocols=(PROTOCOL,))
        await connection.prepare(request)
        command = [self._inside(pod, word) for word in request.query.getall("command")]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE if request.query.get("stdin") else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        feeding = asyncio.create_task(self._feed(connection, process))
        try:
            whole = await self._pass_on(connection, process)
        finally:
            feeding.cancel()
            # Also where whoever has called is gone: by that a command sees it.
            if process.stdin is not None:
                process.stdin.close()
        if not whole:
            process.kill()
            await process.wait()
            if request.transport is not None:
                request.transport.abort()
            return connection
        code = await process.wait()
        told: Json = {"metadata": {}, "status": "Success"}
        if code != 0:
            told = {"metadata": {}, "status": "Failure", "message": f"command terminated with exit code {code}"}
        await connection.send_bytes(bytes([STATUS]) + json.dumps(told).encode())
        await connection.close()
        return connection

    def _inside(self, pod: Json, word: str) -> str:
        """Put the folder in the place of the path at which the pod has it."""
        (container,), (volume,) = pod["spec"]["containers"], pod["spec"]["volumes"]
        root, _, path = word.partition(container["volumeMounts"][0]["mountPath"] + "/")
        if root or not path:
            return word
        return str(self._volume(volume["persistentVolumeClaim"]["claimName"]) / path)

    async def _pass_on(self, connection: web.WebSocketResponse, process: asyncio.subprocess.Process) -> bool:
        """Pass on what the command writes; tells whether that was all of it."""
        assert process.stdout is not None
        assert process.stderr is not None
        sent = 0
        while block := await process.stdout.read(8192):
            await connection.send_bytes(bytes([STDOUT]) + self.damage(block))
            sent += len(block)
            if self.cut_after is not None and sent >= self.cut_after:
                return False
        if complaint := await process.stderr.read():
            await connection.send_bytes(bytes([STDERR]) + complaint)
        return True

    async def _feed(self, connection: web.WebSocketResponse, process: asyncio.subprocess.Process) -> None:
        async for message in connection:
            if message.type is WSMsgType.BINARY and message.data[0] == STDIN and process.stdin is not None:
                process.stdin.write(message.data[1:])
                await process.stdin.drain()
