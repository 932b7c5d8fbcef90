"""Fetching results and failed requests, byte for byte, from wherever they were stored."""

import asyncio
import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import FIVE, MIXED, PLACES, Life, Node, Plugin, begun, deployment
from tests.support import build
from tests.support.apiserver import ApiServer
from tests.support.apistore import Json
from tests.support.execs import Execs
from tests.support.inprocess import kubeconfig


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_results_and_errors_come_byte_for_byte_from_wherever_they_are(
    place: Json, life: Life, node: Node, tmp_path: Path
) -> None:
    await life.run(MIXED, output=place)
    output = life.operator.status().output
    assert output is not None
    ran = await life.plugin("results", "job", "--image", "any:1")
    assert (ran.code, ran.err, ran.text.count("\n")) == (0, "", 2)
    assert hashlib.sha256(ran.out).hexdigest() == output.sha256
    file = tmp_path / "errors.jsonl"
    ran = await life.plugin("errors", "job", "-o", str(file), "--image", "any:1")
    assert (ran.code, ran.out, ran.err) == (0, b"", "")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == output.errors_sha256
    assert (len(node.execs.made), node.pods()) == (2 if "persistentVolumeClaim" in place else 0, [])


async def test_megabytes_that_are_no_text_come_byte_for_byte(node: Node) -> None:
    content = bytes(range(256)) * 20_000 + b"\r\n\xff\xfe no line feed at the end"
    node.stored(content)
    ran = await node.plugin("results", "job", "--image", "any:1")
    assert (ran.code, ran.out == content) == (0, True)


async def test_the_pod_is_a_restricted_one_that_reads_and_runs_where_a_transfer_would(node: Node) -> None:
    node.stored(b"{}\n")
    transfer = {"nodeSelector": {"disk": "ssd"}, "securityContext": {"runAsUser": 1000}, "labels": {"team": "a"}}
    node.api.edit("batchjobs", "job", {"spec": {"transfer": transfer}})
    assert (await node.plugin("results", "job", "--image", "any:1")).code == 0
    (pod,) = node.execs.made
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert pod["metadata"]["labels"] == {"team": "a", "app.kubernetes.io/managed-by": "kubectl-llmbatch"}
    assert (spec["nodeSelector"], spec["automountServiceAccountToken"]) == ({"disk": "ssd"}, False)
    assert spec["securityContext"] == {
        "runAsUser": 1000, "runAsGroup": 65532, "fsGroup": 65532, "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"}, "fsGroupChangePolicy": "OnRootMismatch",
    }  # fmt: skip
    assert container["volumeMounts"] == [{"name": "volume", "mountPath": "/data", "readOnly": True}]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip


async def test_the_operators_image_is_taken_where_it_can_be_seen(node: Node) -> None:
    node.stored(b"{}\n")
    ran = await node.plugin("results", "job")
    assert ran.code == 2
    assert "name one that has sh and cat with --image" in ran.err
    environment = {"LLMBATCH_IMAGE": "anybodys:1"}
    node.api.put("deployments", deployment(environment, namespace="anybodys"))
    assert (await node.plugin("results", "job")).code == 2, "whoever may make a Deployment is not the operator"
    assert (node.execs.made, node.pods()) == ([], [])
    node.api.put(
        "deployments", deployment({"LLMBATCH_IMAGE": "llmbatch:0.1.0", "LLMBATCH_IMAGE_PULL_SECRETS": "registry"})
    )
    assert (await node.plugin("results", "job")).code == 0
    (pod,) = node.execs.made
    assert pod["spec"]["containers"][0]["image"] == "llmbatch:0.1.0"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def damaged(execs: Execs) -> None:
    execs.damage = lambda block: block.replace(b"a", b"b")


def cut(execs: Execs) -> None:
    execs.cut_after = 8192


def unpullable(execs: Execs) -> None:
    execs.image_problem = "no such image"


@pytest.mark.parametrize(
    ("trouble", "told", "code"),
    [
        pytest.param(damaged, "it was changed since, or did not arrive whole", 1, id="damaged on the way"),
        pytest.param(cut, "data/out/r.jsonl: the connection to the pod was lost", 2, id="a connection that breaks"),
        pytest.param(unpullable, "does not run: ErrImagePull: no such image", 2, id="an image that nobody has"),
    ],
)
async def test_what_did_not_arrive_whole_is_told_and_has_no_name(
    trouble: Callable[[Execs], None], told: str, code: int, node: Node, tmp_path: Path
) -> None:
    node.stored(b"a" * 100_000)
    trouble(node.execs)
    folder = tmp_path / "fetched"
    folder.mkdir()
    ran = await node.plugin("results", "job", "-o", str(folder / "r.jsonl"), "--image", "any:1", "--timeout", "0.2")
    assert (ran.code, list(folder.iterdir())) == (code, [])
    assert told in ran.err
    assert node.pods() == [], "the pod is deleted in every case"


@pytest.mark.parametrize(
    ("remove", "told"),
    [
        ("out/r.jsonl", "data/out/r.jsonl: cat: "),
        (None, "PersistentVolumeClaim team-a/data does not exist"),
    ],
)
async def test_results_that_are_gone_are_told_of(remove: str | None, told: str, node: Node) -> None:
    node.stored(b"{}\n")
    if remove is not None:
        (node.volume / remove).unlink()
    else:
        node.api.remove("persistentvolumeclaims", "data")
    ran = await node.plugin("results", "job", "--image", "any:1")
    assert (ran.code, ran.out) == (2, b"")
    assert told in ran.err


async def test_where_nothing_failed_there_are_no_errors_to_fetch(life: Life) -> None:
    await life.run(FIVE)
    ran = await life.plugin("errors", "job")
    assert (ran.code, ran.out) == (0, b"")
    assert "no request of BatchJob team-a/job failed" in ran.err


async def test_before_results_are_stored_it_is_said_what_is_going_on(api: ApiServer, plugin: Plugin) -> None:
    ready = build.condition("Ready", "Unknown", "InProgress")
    api.put("batchjobs", {**build.batchjob(), "status": build.submitted(conditions=[ready]).dump()})
    ran = await plugin("results", "job")
    assert (ran.code, ran.out) == (1, b"")
    assert (
        "BatchJob team-a/job has stored no results yet (InProgress: Told.); kubectl llmbatch watch job -n team-a"
        in ran.err
    )


async def test_results_that_somebody_changed_are_told_of(life: Life) -> None:
    await life.run(MIXED, output=PLACES["a ConfigMap"])
    life.api.edit("configmaps", "results", {"data": {"r.jsonl": "{}\n"}})
    ran = await life.plugin("results", "job")
    assert ran.code == 1
    assert "configmap/results key r.jsonl has 3 bytes" in ran.err


async def fetching(node: Node, folder: Path, *, stdout: int) -> asyncio.subprocess.Process:
    """Fetch results in a process of its own."""
    config, piped = kubeconfig(node.api, folder), asyncio.subprocess.PIPE
    return await begun(config, "results", "job", "--image", "any:1", stdout=stdout, stderr=piped)


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_command_that_is_told_to_stop_deletes_its_pod(node: Node, tmp_path: Path, told: signal.Signals) -> None:
    node.stored(b"{}\n")
    node.execs.image_problem = "it takes for ever"
    process = await fetching(node, tmp_path, stdout=asyncio.subprocess.DEVNULL)
    while not node.pods():  # noqa: ASYNC110 - the pod is another process' doing
        await asyncio.sleep(0.01)
    process.send_signal(told)
    assert await process.wait() == 128 + told
    assert node.pods() == []


async def test_results_for_which_there_is_no_room_are_told_of_and_the_pod_is_deleted(
    node: Node, tmp_path: Path
) -> None:
    node.stored(b"{}\n" * 1_000_000)
    full = os.open("/dev/full", os.O_WRONLY)
    process = await fetching(node, tmp_path, stdout=full)
    os.close(full)
    _, told = await process.communicate()
    assert process.returncode == 2
    assert told == b"error: standard output can't be written to: No space left on device; send it elsewhere\n"
    assert node.pods() == []


async def test_a_command_whose_reader_has_had_enough_deletes_its_pod(node: Node, tmp_path: Path) -> None:
    node.stored(b"{}\n" * 1_000_000)
    reading, writing = os.pipe()
    process = await fetching(node, tmp_path, stdout=writing)
    os.close(writing)
    assert await asyncio.to_thread(os.read, reading, 3) == b"{}\n"
    os.close(reading)
    _, complaint = await process.communicate()
    assert (node.pods(), complaint) == ([], b"")
    assert process.returncode == 141, "no answer, and above all not the answer no"


async def test_a_pod_that_can_not_be_deleted_takes_no_results_and_no_error_away(node: Node) -> None:
    node.stored(b"{}\n")
    node.api.fault("status", "delete", "pods", status=403, times=-1)
    ran = await node.plugin("results", "job", "--image", "any:1")
    (pod,) = node.pods()
    assert (ran.code, ran.out) == (0, b"{}\n")
    assert f"pods/{pod} may be left: made to fail; look, and delete it: kubectl delete -n team-a pods/{pod}" in ran.err
    (node.volume / "out" / "r.jsonl").unlink()
    ran = await node.plugin("results", "job", "--image", "any:1")
    assert ran.code == 2
    assert "error: data/out/r.jsonl: cat: " in ran.err


async def test_a_pod_whose_create_call_is_not_answered_is_deleted(node: Node) -> None:
    node.stored(b"{}\n")
    node.api.fault("cut after", "create", "pods")
    assert (await node.plugin("results", "job", "--image", "any:1")).code == 2
    assert (len(node.execs.made), node.pods()) == (1, [])


@pytest.mark.parametrize("kind", ["a pipe", "a link", "a file"])
async def test_what_is_written_to_stays_what_it_is(kind: str, node: Node, tmp_path: Path) -> None:
    node.stored(b"{}\n")
    target, file = tmp_path / "there", tmp_path / "file"
    if kind == "a pipe":
        os.mkfifo(target)
    else:
        file.write_bytes(b"before")
        target.symlink_to(file) if kind == "a link" else target.write_bytes(b"before")
    fetching = asyncio.create_task(node.plugin("results", "job", "-o", str(target), "--image", "any:1"))
    if kind == "a pipe":
        assert await asyncio.to_thread(target.read_bytes) == b"{}\n"
    assert (await fetching).code == 0
    if kind != "a pipe":
        assert target.read_bytes() == b"{}\n"
        assert target.stat().st_mode & 0o777 == 0o666 & ~_umask(), "as of any file that a program makes"
    assert (target.is_fifo(), target.is_symlink()) == (kind == "a pipe", kind == "a link")


async def test_a_file_that_only_its_owner_may_read_stays_one(node: Node, tmp_path: Path) -> None:
    node.stored(b"{}\n")
    target = tmp_path / "there"
    target.write_bytes(b"before")
    target.chmod(0o600)
    assert (await node.plugin("results", "job", "-o", str(target), "--image", "any:1")).code == 0
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"{}\n", 0o600)


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


async def test_the_file_may_have_the_longest_name_that_there_is(node: Node, tmp_path: Path) -> None:
    node.stored(b"{}\n")
    into = tmp_path / ("r" * 255)
    ran = await node.plugin("results", "job", "--image", "any:1", "-o", str(into))
    assert ran.code == 0, ran
    assert into.read_bytes() == b"{}\n"
