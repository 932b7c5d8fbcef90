"""Transfer pods where others have their say: a sidecar, a queue that suspends, a template that changes before it starts."""

import json
import time
from typing import Any

from llmbatch.transfer.pure import state
from llmbatch.transfer.pure.state import Ended
from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.support import build

Json = dict[str, Any]
TARGET = objects.in_secret("out", "results")


def volume_job(**spec: object) -> Json:
    return objects.job("job", objects.in_volume("data", "in/batch.jsonl"), TARGET, **spec)


def jobs(tenant: Tenant) -> list[Json]:
    found: list[Json] = tenant.kube.items("jobs", "-l", "app.kubernetes.io/managed-by=llmbatch")
    return found


def test_a_job_that_no_node_takes_is_made_anew_once_its_template_is_mended(tenant: Tenant) -> None:
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.write("in/batch.jsonl", objects.requests("a"))
    labels = {"example.com/queue": "batch", "llmbatch.io/batchjob-uid": "another"}
    tenant.kube.apply(volume_job(transfer={"nodeSelector": {"disk": "made-of-gold"}, "labels": labels}))
    tenant.kube.until_reason("job", "TransferUnschedulable")
    (first,) = jobs(tenant)
    assert first["metadata"]["labels"]["example.com/queue"] == "batch"
    assert first["metadata"]["labels"]["llmbatch.io/batchjob-uid"] != "another"
    patch = {"spec": {"transfer": {"nodeSelector": None, "resources": {"limits": {"cpu": "1"}}}}}
    tenant.kube.patch("batchjob", "job", patch)
    tenant.kube.wait_for("job", "Complete", seconds=120)
    (second,) = jobs(tenant)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    limits = second["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert set(limits) == {"cpu", "memory"}


def test_a_suspended_job_says_by_whom_and_goes_on(tenant: Tenant) -> None:
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.write("in/batch.jsonl", objects.requests("a"))
    tenant.kube.apply(volume_job(transfer={"nodeSelector": {"disk": "made-of-gold"}}))
    tenant.kube.until_reason("job", "TransferUnschedulable")
    name = jobs(tenant)[0]["metadata"]["name"]
    tenant.kube.run(
        "patch", "job", name, "--type=merge", "--field-manager=a-queue", "-p", '{"spec": {"suspend": true}}'
    )
    job = tenant.kube.until_reason("job", "TransferSuspended")
    assert "a-queue" in str(job["status"]["conditions"])
    tenant.kube.run("patch", "job", name, "--type=merge", "-p", '{"spec": {"suspend": false}}')
    tenant.kube.until_reason("job", "TransferUnschedulable")


def test_the_kubelets_words_about_a_pod_with_a_sidecar_are_read(tenant: Tenant) -> None:
    """By the code that reads transfer Jobs, from a Job of two containers of which one never ends."""
    report = json.dumps(build.upload_report().dump())
    image = tenant.release.cluster.operator_image

    def container(name: str, code: str) -> Json:
        return {
            "name": name,
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", code],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }

    sidecar = container("a-sidecar", "import time; time.sleep(3600)")
    ours = container("transfer", f"open('/dev/termination-log', 'w').write({report!r})")
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"restartPolicy": "Never", "securityContext": security, "containers": [sidecar, ours]}
    metadata = {"name": "job-upload-0123456789"}
    tenant.kube.apply(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}}}
    )

    def read_now() -> object:
        found = tenant.kube.get("job", metadata["name"])
        pods = tenant.kube.items("pods", "-l", f"batch.kubernetes.io/controller-uid={found['metadata']['uid']}")
        return state.read(found, pods, [], build.NOW)

    deadline = time.monotonic() + 60
    while not isinstance(read := read_now(), Ended) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert read == Ended(build.upload_report())
    assert isinstance(read, Ended)
    assert read.lingers
    tenant.kube.delete("job", metadata["name"])
