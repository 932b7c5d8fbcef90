"""Builders of Kubernetes objects; what a test doesn't care about is filled in."""

import ast
import base64
import json
from typing import Any

from tests.e2e.kube import Kube
from tests.support import canary

Json = dict[str, Any]
API_VERSION = "llmbatch.io/v1alpha1"


def requests(*custom_ids: str, model: str = "gpt-4o", url: str = "/v1/chat/completions", text: str = "") -> str:
    """Make JSONL with a line per custom_id; the canary is in every prompt."""
    prompt = f"{text} {canary.PROMPT}".strip()
    return "".join(
        json.dumps({
            "custom_id": custom_id,
            "method": "POST",
            "url": url,
            "body": {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 60},
        })
        + "\n"
        for custom_id in custom_ids
    )  # fmt: skip


HEADERS = [{"name": "apikey", "valueFrom": {"secretKeyRef": {"name": "canary", "key": "apikey"}}}]
"""A credential that everybody sends, and nobody may ever tell."""


def credential() -> Json:
    """Make the Secret with the canary."""
    return secret("canary", {"apikey": canary.CREDENTIAL})


def gateway(name: str, url: str, **spec: Any) -> Json:
    """Make a BatchGateway that is polled every second."""
    return {
        "apiVersion": API_VERSION,
        "kind": "BatchGateway",
        "metadata": {"name": name},
        "spec": {"url": url, "pollIntervalSeconds": 1, **spec},
    }


def job(name: str, source: Json, target: Json, **spec: Any) -> Json:
    """Make a BatchJob."""
    return {
        "apiVersion": API_VERSION,
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": {"gatewayRef": {"name": "kong"}, "input": source, "output": target, **spec},
    }


def config_map(name: str, data: dict[str, str]) -> Json:
    """Make a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, data: dict[str, str]) -> Json:
    """Make a Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def claim(name: str, size: str = "1Gi") -> Json:
    """Make a PersistentVolumeClaim of the default StorageClass."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }


def in_config_map(name: str, key: str = "batch.jsonl") -> Json:
    """Name a key of a ConfigMap."""
    return {"configMap": {"name": name, "key": key}}


def in_secret(name: str, key: str = "batch.jsonl") -> Json:
    """Name a key of a Secret."""
    return {"secret": {"name": name, "key": key}}


def in_volume(claim_name: str, path: str) -> Json:
    """Name a file in a volume."""
    return {"persistentVolumeClaim": {"claimName": claim_name, "path": path}}


class Volume:
    """A PersistentVolumeClaim with a pod that reads and writes it."""

    def __init__(self, kube: Kube, name: str, image: str, *, mode: int = 0o777) -> None:
        self.kube, self.name, self.mode = kube, name, mode
        kube.apply(claim(name), _shell(name, image))
        kube.run("wait", "--for=condition=Ready", f"pod/shell-{name}", "--timeout=90s")

    def python(self, code: str, *arguments: str, stdin: bytes | None = None) -> str:
        """Run Python beside the volume, which is at /data."""
        return self.kube.run("exec", "-i", f"shell-{self.name}", "--", "python3", "-c", code, *arguments, stdin=stdin)

    def write(self, path: str, content: str) -> None:
        """Write a file."""
        code = "import os,sys; p='/data/'+sys.argv[1]; os.makedirs(os.path.dirname(p),exist_ok=True); open(p,'wb').write(sys.stdin.buffer.read())"
        self.python(code, path, stdin=content.encode())

    def read(self, path: str) -> str | None:
        """Read a file; None when it does not exist."""
        code = "import os,sys; p='/data/'+sys.argv[1]; sys.stdout.write(repr(open(p,'rb').read()) if os.path.exists(p) else 'None')"
        found = self.python(code, path)
        return None if found == "None" else _literal(found)

    def files(self) -> list[str]:
        """List all files, hidden ones too."""
        code = (
            "import os\nfor f,_,n in os.walk('/data'):\n for x in n: print(os.path.relpath(os.path.join(f,x),'/data'))"
        )
        return sorted(self.python(code).split())


def _literal(text: str) -> str:
    value: bytes = ast.literal_eval(text)
    return value.decode()


def _shell(name: str, image: str) -> Json:
    made = pod(f"shell-{name}", image, "import time; time.sleep(86400)")
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    made["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    return made


def pod(name: str, image: str, code: str) -> Json:
    """Make a pod that runs Python once, restricted as its namespace asks."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    whole = {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "shell",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", code],
        "securityContext": security,
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": whole,
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def stored(kube: Kube, kind: str, name: str, key: str) -> str | None:
    """Read a key of a Secret or ConfigMap; None when there is none."""
    found = kube.get(kind, name)
    if kind == "configmap":
        value: str | None = found.get("data", {}).get(key)
        return value
    encoded = found.get("data", {}).get(key)
    return None if encoded is None else base64.b64decode(encoded).decode()
