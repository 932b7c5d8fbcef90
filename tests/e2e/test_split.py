"""An input that is too large for one batch, on a real cluster: pods, volumes, and the API server's own rules for its status."""

import json

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import Json, condition

IDS = [f"r{number}" for number in range(7)]
PLACES = {
    "configmap": (objects.in_config_map("prompts"), objects.in_secret("out", "results")),
    "volume": (objects.in_volume("data", "in/batch.jsonl"), objects.in_volume("data", "out/results.jsonl")),
}


def apply(tenant: Tenant, place: str, **spec: object) -> objects.Volume:
    """Apply a job of three parts, from a place to its like."""
    lines = objects.requests(*IDS[:3], "failing--status-400", *IDS[3:])
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.write("in/batch.jsonl", lines)
    source, target = PLACES[place]
    tenant.kube.apply(
        tenant.gateway(limits={"maxRequestsPerFile": 3}),
        objects.config_map("prompts", {"batch.jsonl": lines}),
        objects.job("job", source, target, splitPolicy="Auto", **spec),
    )
    return volume


def ids(text: str | None) -> list[str]:
    return [json.loads(line)["custom_id"] for line in (text or "").splitlines()]


@pytest.mark.parametrize("place", PLACES)
def test_its_parts_become_one_result(tenant: Tenant, place: str) -> None:
    volume = apply(tenant, place)
    job: Json = tenant.kube.wait_for("job", "Complete", seconds=180)
    status = job["status"]
    assert condition(job, "Ready")["reason"] == "CompletedWithFailures"
    assert (status["parts"], [batch["requests"] for batch in status["batches"]]) == (3, [3, 3, 2])
    assert status["requestCounts"] == {"total": 8, "completed": 7, "failed": 1}
    if place == "volume":
        results, errors = volume.read("out/results.jsonl"), volume.read("out/results.errors.jsonl")
        assert [name for name in volume.files() if ".llmbatch" in name] == []
    else:
        results = objects.stored(tenant.kube, "secret", "out", "results")
        errors = objects.stored(tenant.kube, "secret", "out", "results.errors")
    assert (ids(results), ids(errors)) == (IDS, ["failing--status-400"])
    assert tenant.creates() == 3
    assert [file for file in tenant.kong.files() if not file["deleted"]] == []


def test_its_deletion_cancels_every_batch(tenant: Tenant) -> None:
    tenant.kong.configure(in_progress_seconds=600)
    apply(tenant, "volume")
    tenant.kube.run("wait", "--for=jsonpath={.status.batches[2].id}", "batchjob/job", "--timeout=120s")
    tenant.kube.delete("batchjob", "job")
    assert [batch["object"]["status"] for batch in tenant.kong.batches()] == ["cancelled"] * 3
    assert [file for file in tenant.kong.files() if not file["deleted"]] == []
