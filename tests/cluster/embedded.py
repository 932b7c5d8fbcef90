"""A single-node Kubernetes of plain processes, for machines with neither a cluster nor Docker."""

import datetime
import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from tests.cluster import debian, leftovers, network, pause, processes, tools
from tests.cluster.components import (
    API_SERVER,
    CONTAINERD_SOCKET,
    ETCD_PORT,
    KUBECONFIG,
    NODE,
    PAUSE_IMAGE,
    PROVISIONER,
    Component,
    components,
    configure,
)
from tests.cluster.kubeapi import KubeApi, wait_until
from tests.cluster.paths import CACHE, STATE, content_hash
from tests.cluster.shell import ClusterError, run, say, step, succeeds

_MADE_BY = STATE / "made-by"
_STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def why_impossible() -> str:
    """Return why this machine can't run it, or nothing."""
    if sys.platform != "linux":
        return "it needs Linux"
    return "" if os.geteuid() == 0 else "it needs root"


def is_up() -> bool:
    """Whether every process is alive and the node takes pods."""
    if not KUBECONFIG.exists() or not _made_by_this_version():
        return False
    running = processes.recorded()
    expected = {component.name for component in components(Path(), Path())}
    if not all(name in running and running[name].alive for name in expected):
        return False
    api = KubeApi(KUBECONFIG)
    return api.ready() and api.node_ready(NODE)


def up(*, fresh: bool = False) -> None:
    """Start whatever is not running."""
    if fresh:
        down()
    if is_up():
        say(f"  It is up already: {API_SERVER}")
        return
    debian.install(debian.CLUSTER)
    programs, servers = tools.toolchain(), tools.servers()
    if STATE.exists() and not _made_by_this_version():
        say("  The cluster found here was made by another version of this code: starting anew")
        down()
    STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
    _MADE_BY.write_text(_version())
    if "etcd" not in running_names() and answers(ETCD_PORT):
        raise ClusterError(
            f"Somebody else's etcd listens at port {ETCD_PORT} of 127.0.0.1, where the cluster's own has to: end it first"
        )
    network.up()
    if not KUBECONFIG.exists():
        configure(newest=tools.kubernetes() == tools.KUBERNETES_VERSION)
    recovering = (STATE / "etcd").exists()
    beginning = datetime.datetime.now(datetime.UTC)
    by_name = {component.name: component for component in components(programs, servers)}
    with step("Container runtime, etcd, API server: starting", about="8 s"):
        started = [name for name in ("containerd", "etcd", "kube-apiserver", "kubelet") if _start(by_name[name])]
        _load_pause_image()
        _wait_for_api()
    api = KubeApi(KUBECONFIG)
    api.create("/apis/storage.k8s.io/v1/storageclasses", _STORAGE_CLASS)
    kubelet_must_report = recovering and "kubelet" in started
    with step("Node: starting the rest and waiting until it takes pods", about="10 s"):
        for component in by_name.values():
            _start(component)
        wait_until(
            lambda: api.node_ready(NODE) and (not kubelet_must_report or api.node_reported_since(NODE, beginning)),
            what="the node to become ready",
            timeout_seconds=90,
            why_not=lambda: processes.last_words("kubelet"),
        )
        wait_until(
            lambda: api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] == 200,
            what="the controllers to work",
            timeout_seconds=60,
            why_not=lambda: processes.last_words("kube-controller-manager"),
        )
    dead = [name for name, process in processes.recorded().items() if not process.alive]
    if dead:
        raise ClusterError(f"{dead[0]} ended right after its start:\n{processes.last_words(dead[0])}")


def down() -> None:
    """End the processes and undo every change to the host. Logs stay."""
    if not STATE.exists() and not leftovers.traces():
        return
    with step("Cluster: ending its processes and undoing its changes", about="5 s"):
        running = processes.recorded()
        # containerd goes last: the pods' shims are its children in all but name.
        steps: tuple[Callable[[], None], ...] = (
            lambda: processes.stop(process for name, process in running.items() if name not in {"containerd", "etcd"}),
            leftovers.end_pods,
            lambda: processes.stop(running[name] for name in ("etcd", "containerd") if name in running),
            leftovers.end_strays,
            leftovers.unmount,
            network.down,
            leftovers.remove_files,
        )
        # Each is tried, whatever became of the one before: an etcd that is left holds the port of the next cluster's.
        failed = [complaint for undo in steps if (complaint := _complaint(undo))]
        if failed:
            raise ClusterError("Not everything could be undone:\n" + "\n".join(failed))
        if STATE.exists():
            shutil.rmtree(STATE)


def _complaint(undo: Callable[[], None]) -> str:
    try:
        undo()
    except (ClusterError, OSError) as error:
        return str(error)
    return ""


def restart(name: str) -> None:
    """Kill one process as a crash would, and start it again with the arguments that it had."""
    running = processes.recorded()
    if name not in running:
        raise ClusterError(f"The cluster has no part called {name!r}; it has {', '.join(running)}")
    processes.kill(running[name])
    processes.start(name, running[name].argv)
    if name in {"kube-apiserver", "etcd"}:
        _wait_for_api()


def containerd(*arguments: str | Path) -> str:
    """Run containerd's own client in the namespace that the kubelet sees."""
    return run(["ctr", "-a", CONTAINERD_SOCKET, "-n", "k8s.io", *arguments])


def running_names() -> set[str]:
    """Name the processes of ours that run."""
    return {name for name, process in processes.recorded().items() if process.alive}


def answers(port: int) -> bool:
    """Tell whether somebody listens at a port of the loopback interface."""
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _start(component: Component) -> bool:
    """Start a process unless it runs; return whether it had to be."""
    process = processes.recorded().get(component.name)
    if process is not None and process.alive:
        return False
    processes.start(component.name, component.argv)
    return True


def _wait_for_api() -> None:
    wait_until(
        KubeApi(KUBECONFIG).ready,
        what="the API server",
        timeout_seconds=90,
        why_not=lambda: processes.last_words("kube-apiserver") + "\n" + processes.last_words("etcd"),
    )


def _version() -> str:
    """Name what a cluster is made by: its programs, and the code that gives them keys and arguments."""
    code = [Path(__file__).with_name(name) for name in ("components.py", "network.py", "pki.py")]
    return f"{tools.folder_of_toolchain().name} {tools.kubernetes()} {content_hash(code)}"


def _made_by_this_version() -> bool:
    return _MADE_BY.exists() and _MADE_BY.read_text() == _version()


def _load_pause_image() -> None:
    wait_until(
        # Not just that the socket is there: a crashed containerd leaves one that nobody listens at.
        lambda: succeeds(["ctr", "-a", CONTAINERD_SOCKET, "version"]),
        what="containerd",
        timeout_seconds=20,
        why_not=lambda: processes.last_words("containerd"),
    )
    if PAUSE_IMAGE in containerd("images", "list", "-q").split():
        return
    containerd("images", "import", pause.image(CACHE))
