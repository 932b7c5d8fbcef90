"""Gathers what a campaign is judged by: the emulator's record, the BatchJobs, and what is stored."""

import base64
import json
from typing import Any

from tests.chaos.verdict import Evidence, Made
from tests.e2e.kube import Kube
from tests.e2e.objects import Volume
from tests.emulator.client import Instance

Json = dict[str, Any]
Stored = tuple[str | None, str | None]

READ_ALL = """
import json, os
folder = '/data/out'
names = os.listdir(folder) if os.path.isdir(folder) else []
print(json.dumps({name: open(os.path.join(folder, name)).read() for name in names}))
"""


def collect(kube: Kube, kong: Instance, volume: Volume, jobs: dict[str, Json], made: dict[str, Made]) -> Evidence:
    """Gather everything."""
    files: dict[str, str] = json.loads(volume.python(READ_ALL))
    objects = {
        kind: {item["metadata"]["name"]: item.get("data") or {} for item in kube.items(kind)}
        for kind in ("secrets", "configmaps")
    }
    stored: dict[str, Stored] = {}
    for job in made.values():
        match job.kind.target:
            case "volume":
                stored[job.name] = files.get(f"{job.name}.jsonl"), files.get(f"{job.name}.errors.jsonl")
            case "secret":
                data = objects["secrets"].get(f"out-{job.name}", {})
                stored[job.name] = _decoded(data.get("results")), _decoded(data.get("results.errors"))
            case _:
                data = objects["configmaps"].get(f"out-{job.name}", {})
                stored[job.name] = data.get("results"), data.get("results.errors")
    remains = [
        {"id": name, "filename": f"temporary file on the volume: {name}", "deleted": False}
        for name in files
        if name.split(".")[0] not in made
    ]
    return Evidence(jobs, kong.batches(), [*kong.files(), *remains], stored)


def _decoded(value: str | None) -> str | None:
    return None if value is None else base64.b64decode(value).decode()
