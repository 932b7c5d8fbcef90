"""No result is lost: a destination that can't take them stalls the job, and the results stay where they are."""

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import KubectlError, condition

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})


def test_results_too_large_for_a_secret_stay_at_the_provider_until_a_volume_is_named(tenant: Tenant) -> None:
    kube = tenant.kube
    lines = objects.requests(*(f"r{number}--large-300000" for number in range(5)))
    kube.apply(
        objects.config_map("prompts", {"batch.jsonl": lines}),
        objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results")),
    )
    job = kube.until_reason("job", "OutputTooLarge")
    assert condition(job, "Stalled")["status"] == "True"
    assert "PersistentVolumeClaim" in condition(job, "Stalled")["message"]
    assert not kube.exists("secret", "out")
    assert [file for file in tenant.kong.files() if file["deleted"]] == []
    volume = objects.Volume(kube, "data", tenant.release.cluster.operator_image)
    kube.patch(
        "batchjob", "job", {"spec": {"output": {"secret": None, **objects.in_volume("data", "out/results.jsonl")}}}
    )
    kube.wait_for("job", "Complete")
    assert (volume.read("out/results.jsonl") or "").count("\n") == 5
    assert [file for file in tenant.kong.files() if not file["deleted"]] == []
    assert tenant.creates() == 1


def test_an_object_that_is_not_ours_is_never_overwritten(tenant: Tenant) -> None:
    kube = tenant.kube
    kube.apply(PROMPTS, objects.secret("out", {"results": "somebody's"}))
    kube.apply(objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results")))
    job = kube.until_reason("job", "OutputExists")
    assert condition(job, "InputReady")["reason"] == "OutputExists"
    assert tenant.creates() == 0, "it is looked at before the batch is paid"
    assert objects.stored(kube, "secret", "out", "results") == "somebody's"
    kube.delete("secret", "out")
    kube.wait_for("job", "Complete")


def test_a_file_that_is_there_is_never_overwritten(tenant: Tenant) -> None:
    kube = tenant.kube
    volume = objects.Volume(kube, "data", tenant.release.cluster.operator_image)
    volume.write("out/results.jsonl", "somebody's\n")
    kube.apply(
        PROMPTS, objects.job("job", objects.in_config_map("prompts"), objects.in_volume("data", "out/results.jsonl"))
    )
    kube.until_reason("job", "OutputExists")
    kube.patch("batchjob", "job", {"spec": {"output": objects.in_volume("data", "out/other.jsonl")}})
    kube.wait_for("job", "Complete")
    assert volume.read("out/results.jsonl") == "somebody's\n"
    assert (volume.read("out/other.jsonl") or "").count("\n") == 2


def test_results_belong_to_the_job_and_output_can_no_longer_be_changed(tenant: Tenant) -> None:
    kube = tenant.kube
    for name, policy in (("job", {}), ("brief", {"deletionPolicy": {"output": "Delete"}})):
        target = objects.in_config_map(f"out-{name}", "results")
        kube.apply(PROMPTS, objects.job(name, objects.in_config_map("prompts"), target, **policy))
    job, brief = kube.wait_for("job", "Complete"), kube.wait_for("brief", "Complete")
    kept, owned = kube.get("configmap", "out-job")["metadata"], kube.get("configmap", "out-brief")["metadata"]
    assert kept["labels"]["llmbatch.io/batchjob-uid"] == job["metadata"]["uid"]
    assert "ownerReferences" not in kept, "results outlive their job"
    assert [owner["uid"] for owner in owned["ownerReferences"]] == [brief["metadata"]["uid"]], "unless told otherwise"
    assert job["metadata"].get("finalizers", []) == [], "what has ended can be deleted without the operator"
    with pytest.raises(KubectlError, match=r"spec\.output can't change any more"):
        kube.patch("batchjob", "job", {"spec": {"output": {"configMap": {"name": "elsewhere"}}}})
