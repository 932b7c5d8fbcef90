"""Troubles of the transfer Job's pod show in the BatchJob's conditions, with the pod's own words."""

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import condition

TARGET = objects.in_secret("out", "results")


def _volume_job(claim: str = "data", **spec: object) -> objects.Json:
    return objects.job("job", objects.in_volume(claim, "in/batch.jsonl"), TARGET, **spec)


def test_a_claim_and_a_file_that_appear_later_are_waited_for(tenant: Tenant) -> None:
    tenant.kube.apply(_volume_job())
    tenant.kube.until_reason("job", "VolumeClaimNotFound")
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    job = tenant.kube.until_reason("job", "InputNotFound")
    assert "in/batch.jsonl" in condition(job, "InputReady")["message"]
    volume.write("in/batch.jsonl", objects.requests("a"))
    tenant.kube.wait_for("job", "Complete", seconds=120)


def test_a_pod_that_no_node_takes_tells_why(tenant: Tenant) -> None:
    tenant.kube.apply(objects.claim("data"), _volume_job(transfer={"nodeSelector": {"disk": "made-of-gold"}}))
    job = tenant.kube.until_reason("job", "TransferUnschedulable")
    assert "node affinity/selector" in condition(job, "Stalled")["message"]


def test_a_claim_that_can_never_be_bound_tells_so(tenant: Tenant) -> None:
    unbound = objects.claim("data")
    unbound["spec"]["storageClassName"] = "there-is-no-such-class"
    tenant.kube.apply(unbound, _volume_job())
    job = tenant.kube.until_reason("job", "VolumeClaimUnbound")
    assert "PersistentVolumeClaim" in condition(job, "Ready")["message"]


def test_a_volume_that_may_not_be_read_names_the_user_and_the_remedy(tenant: Tenant) -> None:
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.write("in/batch.jsonl", objects.requests("a"))
    volume.python("import os; os.chmod('/data/in/batch.jsonl', 0o400)")
    tenant.kube.apply(
        _volume_job(transfer={"securityContext": {"runAsUser": 1234, "runAsGroup": 1234, "fsGroup": 1234}})
    )
    job = tenant.kube.until_reason("job", "PermissionDenied")
    assert "1234" in condition(job, "Stalled")["message"]
    assert "spec.transfer.securityContext" in condition(job, "Stalled")["message"]


def test_a_pod_that_runs_out_of_memory_says_what_to_raise(tenant: Tenant) -> None:
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.write("in/batch.jsonl", objects.requests("a"))
    tenant.kube.apply(
        _volume_job(transfer={"resources": {"limits": {"memory": "12Mi"}, "requests": {"memory": "12Mi"}}})
    )
    job = tenant.kube.until_reason("job", "TransferFailed")
    assert "memory" in condition(job, "Ready")["message"]


def test_transfer_pods_have_no_token_and_hold_no_secret_in_their_spec(tenant: Tenant) -> None:
    canary = "canary-4711"
    tenant.kong.configure(kong={"enabled": True, "consumer_keys": [canary]})
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.write("in/batch.jsonl", objects.requests("a", text="a prompt that nobody else may read"))
    key = {"secretKeyRef": {"name": "kong-consumer", "key": "apikey"}}
    tenant.kube.apply(
        objects.secret("kong-consumer", {"apikey": canary}),
        tenant.gateway(headers=[{"name": "apikey", "valueFrom": key}]),
        objects.job("job", objects.in_volume("data", "in/batch.jsonl"), objects.in_volume("data", "out/r.jsonl")),
    )
    job = tenant.kube.wait_for("job", "Complete", seconds=120)
    pods = tenant.kube.items("pods", "-l", f"llmbatch.io/batchjob-uid={job['metadata']['uid']}")
    assert len(pods) == 2
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
        logs = tenant.kube.run("logs", pod["metadata"]["name"])
        assert logs.strip(), "long work shows progress"
        for text in (str(pod), logs):
            assert canary not in text
            assert "nobody else may read" not in text
    told = str(job) + str(tenant.kube.events("job")) + tenant.release.kube.run("logs", "deployment/llmbatch")
    assert canary not in told
    assert "nobody else may read" not in told


@pytest.mark.parametrize("name", ["link.jsonl", "folder/batch.jsonl"])
def test_a_link_in_the_volume_leads_nowhere_else(tenant: Tenant, name: str) -> None:
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.python("import os; os.symlink('/etc/passwd', '/data/link.jsonl'); os.symlink('/etc', '/data/folder')")
    tenant.kube.apply(objects.job("job", objects.in_volume("data", name), TARGET))
    job = tenant.kube.until_reason("job", "InputNotFound")
    assert "link" in condition(job, "InputReady")["message"]
    assert name in condition(job, "InputReady")["message"]
    assert tenant.kong.files() == []
