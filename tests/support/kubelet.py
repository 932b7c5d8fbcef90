"""What the Job controller and the kubelet do for a transfer Job, for the API server in memory: run it, and tell of it.

The Job's process is a real one. Volumes are folders, one for each claim.
"""

import asyncio
import base64
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmbatch.transfer.edge.main import REPORT_VARIABLE
from llmbatch.transfer.pure.plan import PLAN_VARIABLE
from tests.support import spawner
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.spawner import Spawned

MESSAGE_BYTES = 12 * 1024
"""What the kubelet keeps of the messages of all containers of a pod."""


class Kubelet:
    """Runs every Job that is made."""

    def __init__(self, api: ApiServer, folder: Path, environment: Mapping[str, str]) -> None:
        """Keep volumes and logs below `folder`; `environment` is added to that of every process."""
        self._api, self._folder, self._environment = api, folder, dict(environment)
        self._running: dict[str, Spawned] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.exit_codes: list[int] = []
        self.beside = 0
        """Containers that are put beside the transfer's: each has its part of the room for messages."""
        api.on_change.append(self._changed)

    def volume(self, claim: str) -> Path:
        """Give the folder of a claim, which is made when it is first asked for."""
        path = self._folder / "volumes" / claim
        if not path.exists():
            path.mkdir(parents=True)
            metadata = {"name": claim, "namespace": "team-a"}
            self._api.put("persistentvolumeclaims", {"metadata": metadata, "status": {"phase": "Bound"}})
        return path

    def kill(self) -> None:
        """Kill what runs in pods, as a kernel that is out of memory does."""
        for process in self._running.values():
            process.send_signal(signal.SIGKILL)

    async def close(self) -> None:
        """End what still runs."""
        self._api.on_change.remove(self._changed)
        self.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _changed(self, kind: str, found: Json) -> None:
        if found["_plural"] != "jobs":
            return
        uid = found["metadata"]["uid"]
        if kind == "ADDED":
            task = asyncio.create_task(self._run(found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif kind == "DELETED" and uid in self._running:
            self._running[uid].send_signal(signal.SIGTERM)

    async def _run(self, job: Json) -> None:
        metadata, spec = job["metadata"], job["spec"]["template"]["spec"]
        report = self._folder / f"{metadata['uid']}.report"
        (container,) = spec["containers"]
        self._tell(job, {"phase": "Running"}, {"running": {}})
        env = {**os.environ, **self._environment, **self._env(spec, container), REPORT_VARIABLE: str(report)}
        process = await spawner.llmbatch(*container["args"], env=env, log=self._folder / f"{metadata['name']}.log")
        self._running[metadata["uid"]] = process
        if self._api.get("jobs", metadata["name"], metadata["namespace"]) is None:
            # It was deleted while its pod was being started.
            process.send_signal(signal.SIGTERM)
        code = await process.wait()
        self._running.pop(metadata["uid"], None)
        self.exit_codes.append(code)
        said = {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
        if report.exists():
            # As the kubelet does (normalizeStatus of its status manager).
            room = MESSAGE_BYTES // (1 + self.beside)
            said["message"] = report.read_bytes()[: min(room, 4096)].decode("utf-8", "ignore")
        if self._api.get("jobs", metadata["name"], metadata["namespace"]) is not None:
            self._tell(job, {"phase": "Succeeded" if code == 0 else "Failed"}, {"terminated": said})
            ended = {"type": "Complete" if code == 0 else "Failed", "status": "True"}
            self._api.edit("jobs", metadata["name"], {"status": {"conditions": [ended]}}, metadata["namespace"])

    def _tell(self, job: Json, status: Json, state: Json) -> None:
        metadata, template = job["metadata"], job["spec"]["template"]["metadata"]
        pod = {
            "metadata": {
                "name": f"{metadata['name']}-pod",
                "namespace": metadata["namespace"],
                "labels": {**template["labels"], "batch.kubernetes.io/controller-uid": metadata["uid"]},
                "ownerReferences": [{"uid": metadata["uid"]}],
            },
            "spec": {"containers": [{"name": "transfer"}], "initContainers": [{"name": "mesh"}] * self.beside},
            "status": {**status, "containerStatuses": [{"name": "transfer", "state": state}]},
        }
        self._api.put("pods", pod)

    def _mount(self, volume: Json) -> Path | None:
        """Give the folder of a volume: a claim's, or one with what is in a ConfigMap or Secret."""
        if "persistentVolumeClaim" in volume:
            return self.volume(volume["persistentVolumeClaim"]["claimName"])
        folder = self._folder / f"mount-{os.urandom(4).hex()}"
        for plural, told in (("configmaps", volume.get("configMap")), ("secrets", volume.get("secret"))):
            if told is None:
                continue
            # A folder that is exchanged as a whole, and links to what is in it.
            (folder / "..now").mkdir(parents=True)
            (folder / "..data").symlink_to("..now")
            found = self._api.get(plural, told.get("name") or told["secretName"]) or {}
            for item in told.get("items", []):
                if (value := found.get("data", {}).get(item["key"])) is not None:
                    content = value.encode() if plural == "configmaps" else base64.b64decode(value)
                    (folder / "..now" / item["path"]).write_bytes(content)
                    (folder / item["path"]).symlink_to(f"..data/{item['path']}")
        return folder if folder.exists() else None

    def _env(self, spec: Json, container: Json) -> dict[str, str]:
        folders = {volume["name"]: self._mount(volume) for volume in spec["volumes"]}
        mounts = {
            mount["mountPath"]: str(folder)
            for mount in container["volumeMounts"]
            if (folder := folders[mount["name"]]) is not None
        }
        made: dict[str, str] = {}
        for item in container["env"]:
            value = item.get("value")
            if item["name"] == PLAN_VARIABLE:
                value = json.dumps(_mounted(json.loads(value), mounts))
            if value is None:
                reference = item["valueFrom"]["secretKeyRef"]
                secret = self._api.get("secrets", reference["name"]) or {}
                value = base64.b64decode(secret["data"][reference["key"]]).decode()
            made[item["name"]] = value
        return made


def _mounted(plan: Any, mounts: Mapping[str, str]) -> Any:
    """Put the folders where the plan has the paths that they are mounted at in a pod."""
    return {key: mounts.get(value, value) if isinstance(value, str) else value for key, value in plan.items()}
