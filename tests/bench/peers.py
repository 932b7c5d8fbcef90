"""Jobs that run a script of the how-to, beside which BatchJobs are measured; and what memory they take."""

import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("howto.py")


@dataclass
class Peak:
    """The most memory that some processes have had together, sampled once a second while the context is open."""

    bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Peak":
        """Begin."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1):
            self.bytes = max(self.bytes, sum(map(_pss, _processes())))


def peer(name: str, image: str, url: str, poll_seconds: int) -> dict[str, Any]:
    """Make a Job that runs the script in the operator's image."""
    container = {
        "name": "howto",
        "image": image,
        "command": [
            "python3",
            "/script/howto.py",
            url,
            "/input/batch.jsonl",
            "/results/results.jsonl",
            str(poll_seconds),
        ],
        "env": [{"name": "PEER", "value": name}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "script", "mountPath": "/script"},
            {"name": "input", "mountPath": "/input"},
            {"name": "results", "mountPath": "/results"},
        ],
    }
    volumes = [
        {"name": "script", "configMap": {"name": "howto"}},
        {"name": "input", "configMap": {"name": "prompts"}},
        {"name": "results", "emptyDir": {}},
    ]
    pod = {"containers": [container], "volumes": volumes, "restartPolicy": "Never"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 3, "template": {"spec": pod}},
    }


def _processes() -> list[Path]:
    """Find the pods' processes, and the shims that hold them."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command, inside = (folder / "cmdline").read_bytes(), (folder / "cgroup").read_text()
            if b"containerd-shim" in command or ("kubepods" in inside and (b"howto" in command or b"pause" in command)):
                found.append(folder)
        except OSError:
            continue
    return found


def _pss(folder: Path) -> int:
    """Give a process' memory in bytes, with its part of what it shares with others."""
    try:
        rollup = (folder / "smaps_rollup").read_text()
    except OSError:
        return 0
    return int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0]) * 1024
