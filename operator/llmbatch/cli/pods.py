"""Short-lived pods beside a volume, through which a person reads a file of it or puts one there, byte for byte."""

import hashlib
import json
import secrets
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from kubernetes import client
from kubernetes.stream import stream
from websocket import ABNF, WebSocketException

from llmbatch.api.transfer import Transfer
from llmbatch.cli import installation, objects
from llmbatch.cli.cluster import Cluster, Json
from llmbatch.cli.told import CommandError
from llmbatch.common.text import one_line
from llmbatch.kube.permissions import CLAIMS, PODS
from llmbatch.settings import Settings
from llmbatch.transfer.pure import pod_template

ROOT = "/data"
CONTAINER = "volume"
LONGEST_SECONDS = 6 * 3600
SILENT_SECONDS = 120
"""A connection on which nothing has come for so long is given up."""
_LOOK_SECONDS = 0.5
_BLOCK_BYTES = 64 * 1024
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
"""Channels of an exec's connection."""
_COPY = """
set -eu
taken() { echo "there is a file of that name, which is not overwritten" >&2; exit 3; }
if [ -e "$1" ]; then taken; fi
folder="$(dirname "$1")"
mkdir -p "$folder"
part="$folder/.llmbatch-$4.part"
set -C
: > "$part"
trap 'rm -f "$part"' EXIT
trap 'exit 5' HUP INT TERM
found="$(head -c "$2" | { tee -a "$part" || echo unwritten; } | sha256sum | cut -c1-64)"
if [ "$found" != "$3" ]; then echo "it arrived damaged, or could not be written" >&2; exit 4; fi
if ! ln "$part" "$1" 2>/dev/null; then
  mv -n "$part" "$1" || [ -e "$1" ]
  if [ -e "$part" ]; then taken; fi
fi
"""
"""Its arguments: path, bytes, SHA-256, a word that no other copy has.

It can't be told where its input ends, so it is told how long that is. It is hashed as it comes: to read a large file again
would take longer than a silent connection lasts. A link takes the place of no file; not every volume has them.
"""


@dataclass(frozen=True)
class Helper:
    """What is known of such a pod."""

    image: str | None = None
    """None: the operator's."""
    start_seconds: float = 120
    """How long it may take until it runs."""
    operator_namespace: str = installation.NAMESPACE


def read(cluster: Cluster, helper: Helper, claim: str, path: str, transfer: Transfer) -> Generator[bytes]:
    """Yield a file of a volume in blocks.

    Raises:
        CommandError: The pod doesn't start, there is no such file, or the connection is lost.
    """
    with _running(cluster, helper, claim, transfer, writes=False) as pod:
        yield from _output(_exec(cluster, pod, ["cat", "--", f"{ROOT}/{path}"]), f"{claim}/{path}")


def copy(cluster: Cluster, helper: Helper, source: BinaryIO, claim: str, path: str) -> None:
    """Put a file into a volume, where none may be of its name.

    Raises:
        CommandError: The pod doesn't start, the file can't be written, or the connection is lost.
    """
    digest, size = hashlib.sha256(), 0
    source.seek(0)
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        size += len(block)
    command = ["sh", "-c", _COPY, "copy", f"{ROOT}/{path}", str(size), digest.hexdigest(), secrets.token_hex(8)]
    with _running(cluster, helper, claim, Transfer(), writes=True) as pod:
        connection = _exec(cluster, pod, command, stdin=True)
        source.seek(0)
        try:
            while block := source.read(_BLOCK_BYTES):
                connection.sock.send(bytes([_STDIN]) + block, opcode=ABNF.OPCODE_BINARY)
        except (WebSocketException, OSError):
            pass  # it has ended before it had read all, and says why
        except BaseException:
            # By that the command sees that it is to end, and takes away what it has written before its pod is deleted.
            connection.sock.shutdown()
            raise
        for _ in _output(connection, f"{claim}/{path}"):
            pass


@contextmanager
def _running(cluster: Cluster, helper: Helper, claim: str, transfer: Transfer, *, writes: bool) -> Iterator[str]:
    if cluster.get(CLAIMS, claim) is None:
        raise CommandError(f"PersistentVolumeClaim {cluster.namespace}/{claim} does not exist: correct its name")
    settings = installation.settings_of(cluster, helper.operator_namespace)
    image = helper.image or (settings.image if settings is not None else None)
    if image is None:
        raise CommandError(
            f"the volume of claim {claim} is read through a pod, and no operator is to be seen in namespace"
            f" {helper.operator_namespace} whose image it could have: name that namespace with --operator-namespace, or"
            " name one that has sh and cat with --image"
        )
    made = manifest(cluster.namespace, claim, image, settings or Settings(), transfer, writes=writes)
    name = str(made["metadata"]["name"])
    try:
        # That it isn't answered does not mean that nothing was made.
        cluster.create(PODS, made)
        _until_running(cluster, name, helper.start_seconds)
        yield name
    finally:
        cluster.clear(PODS, name)


def manifest(namespace: str, claim: str, image: str, settings: Settings, own: Transfer, *, writes: bool) -> Json:
    """Make the pod: where and as whom a transfer pod would run, within the restricted pod security standard.

    Args:
        namespace: Where the claim is.
        claim: Its name.
        image: With sh, cat and the like.
        settings: The operator's, or their defaults where they can't be seen.
        own: The BatchJob's spec.transfer.
        writes: The volume is mounted to be written.
    """
    transfer = pod_template.merged(settings.transfer_defaults, own)
    security = pod_template.security_context(settings.transfer_defaults, own)
    spec = {
        **pod_template.pod(transfer, security, settings.image_pull_secrets),
        "terminationGracePeriodSeconds": 1,
        "activeDeadlineSeconds": LONGEST_SECONDS,
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": settings.image_pull_policy,
                "command": ["sleep", str(LONGEST_SECONDS)],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
                "volumeMounts": [{"name": "volume", "mountPath": ROOT, **({} if writes else {"readOnly": True})}],
                "securityContext": pod_template.RESTRICTED,
            }
        ],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}],
    }
    name = f"llmbatch-volume-{secrets.token_hex(4)}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": objects.metadata(
            name,
            namespace,
            labels={**pod_template.allowed(transfer.labels), "app.kubernetes.io/managed-by": "kubectl-llmbatch"},
            annotations=pod_template.allowed(transfer.annotations),
        ),
        "spec": {key: value for key, value in spec.items() if value not in ([], {}, None)},
    }


def _until_running(cluster: Cluster, name: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        status = (cluster.get(PODS, name) or {}).get("status") or {}
        states = [
            item.get("state") or {} for item in status.get("containerStatuses") or [] if item["name"] == CONTAINER
        ]
        if any("running" in state for state in states):
            return
        if status.get("phase") in ("Failed", "Succeeded") or time.monotonic() > deadline:
            raise CommandError(
                f"pod {cluster.namespace}/{name}, through which the volume is read, does not run: {_why(status, states)};"
                " --image names another image, --timeout gives it more time"
            )
        time.sleep(_LOOK_SECONDS)


def _why(status: Json, states: list[Json]) -> str:
    waiting = [state["waiting"] for state in states if "waiting" in state]
    ended = [state["terminated"] for state in states if "terminated" in state]
    unmet = [item for item in status.get("conditions") or [] if item.get("status") == "False" and item.get("message")]
    for found in (*ended, *waiting, *unmet, status):
        told = ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
        if told and told != "ContainerCreating":
            return one_line(told, 512)
    return "it has not started in time"


def _exec(cluster: Cluster, pod: str, command: list[str], *, stdin: bool = False) -> Any:  # noqa: ANN401 - the package is untyped
    core = client.CoreV1Api(cluster.api)
    try:
        connection = stream(
            core.connect_get_namespaced_pod_exec,
            pod,
            cluster.namespace,
            command=command,
            container=CONTAINER,
            stdin=stdin,
            stdout=True,
            stderr=True,
            tty=False,
            binary=True,
            _preload_content=False,
        )
    except client.ApiException as error:
        raise CommandError(
            f"nothing can be run in pod {cluster.namespace}/{pod}: {one_line(str(error.reason), 512)};"
            f" kubectl llmbatch doctor -n {cluster.namespace} says whether you may (pods/exec)"
        ) from None
    connection.sock.settimeout(SILENT_SECONDS)
    return connection


def _output(connection: Any, what: str) -> Iterator[bytes]:  # noqa: ANN401 - the package is untyped
    """Yield what a command writes. Frame by frame: the package's own reading keeps all that has come in memory.

    Raises:
        CommandError: It has failed, or the connection is lost.
    """
    complaints, status = b"", b""
    try:
        while True:
            kind, frame = connection.sock.recv_data_frame(control_frame=True)
            if kind == ABNF.OPCODE_CLOSE:
                break
            if kind not in (ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT) or not frame.data:
                continue
            channel, block = frame.data[0], frame.data[1:]
            if channel == _STDOUT and block:
                yield block
            elif channel == _STDERR:
                complaints = (complaints + block)[:4096]
            elif channel == _STATUS:
                status += block
    except (WebSocketException, OSError) as error:
        if not status:
            raise CommandError(f"{what}: the connection to the pod was lost ({error}); try again") from None
    finally:
        connection.sock.shutdown()
    if (why := _failure(status)) is not None:
        told = one_line(complaints.decode(errors="replace"), 512)
        raise CommandError(f"{what}: {told or why}")


def _failure(status: bytes) -> str | None:
    """Say how a command has ended, unless it has ended well."""
    try:
        told = json.loads(status)
    except ValueError:
        return "the command in the pod has ended without a word; try again"
    return None if told.get("status") == "Success" else str(told.get("message") or "the command in the pod has failed")
