"""Requests that are sent again, on a real cluster: pods, volumes, and the API server's own rules."""

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import Json, condition
from tests.e2e.test_split import PLACES, ids

NAMES = ["a", "b--status-429-times-1", "c", "d--missing-times-2", "e", "f", "g--expired-times-1"]
FAILS = "h--status-400"


def apply(tenant: Tenant, place: str, **spec: object) -> objects.Volume:
    """Apply a job of three parts, from a place to its like."""
    lines = objects.requests(*NAMES, FAILS)
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    volume.write("in/batch.jsonl", lines)
    source, target = PLACES[place]
    tenant.kube.apply(
        tenant.gateway(limits={"maxRequestsPerFile": 3}),
        objects.config_map("prompts", {"batch.jsonl": lines}),
        objects.job("job", source, target, backoffLimitPerRequest=2, **spec),
    )
    return volume


@pytest.mark.parametrize("place", PLACES)
def test_several_attempts_at_several_parts_become_one_result(tenant: Tenant, place: str) -> None:
    volume = apply(tenant, place, successPolicy={"minSucceeded": "80%"})
    job: Json = tenant.kube.wait_for("job", "Complete", seconds=240)
    status = job["status"]
    assert condition(job, "Ready")["reason"] == "CompletedWithFailures"
    assert status["requestCounts"] == {"total": 8, "completed": 7, "failed": 1, "retried": 3}
    attempts = [(batch["attempt"], batch.get("parts")) for batch in status["batches"]]
    assert attempts == [(1, None), (1, None), (1, None), (2, [0, 1, 2]), (3, [0, 1, 2])]
    if place == "volume":
        results, errors = volume.read("out/results.jsonl"), volume.read("out/results.errors.jsonl")
        assert [name for name in volume.files() if ".llmbatch" in name] == []
    else:
        results = objects.stored(tenant.kube, "secret", "out", "results")
        errors = objects.stored(tenant.kube, "secret", "out", "results.errors")
    assert (ids(results), ids(errors)) == (NAMES, [FAILS])
    assert tenant.creates() == 5
    assert [file for file in tenant.kong.files() if not file["deleted"]] == []


def test_a_job_in_which_too_few_requests_succeed_has_failed_and_keeps_what_did(tenant: Tenant) -> None:
    apply(tenant, "configmap", successPolicy={"minSucceeded": "100%"})
    job: Json = tenant.kube.wait_for("job", "Failed", seconds=240)
    assert condition(job, "Ready")["reason"] == "SuccessPolicyNotMet"
    assert ids(objects.stored(tenant.kube, "secret", "out", "results")) == NAMES


def test_a_request_that_fails_the_job_ends_it_and_what_was_never_sent_is_named(tenant: Tenant) -> None:
    names = ["a--status-400", "b", "c", "d", "e", "f"]
    volume = objects.Volume(tenant.kube, "data", tenant.release.cluster.operator_image)
    policy = {"rules": [{"action": "FailJob", "onStatusCodes": {"operator": "In", "values": [400]}}]}
    source, target = objects.in_config_map("prompts"), objects.in_volume("data", "out/results.jsonl")
    tenant.kube.apply(
        tenant.gateway(limits={"maxRequestsPerFile": 2, "maxActiveBatches": 1}),
        objects.config_map("prompts", {"batch.jsonl": objects.requests(*names)}),
        objects.job("job", source, target, requestFailurePolicy=policy, parallelism=1),
    )
    job: Json = tenant.kube.wait_for("job", "Failed", seconds=240)
    assert condition(job, "Ready")["reason"] == "RequestFailurePolicy"
    results, errors = ids(volume.read("out/results.jsonl")), ids(volume.read("out/results.errors.jsonl"))
    assert "b" in results
    assert sorted([*results, *errors]) == sorted(names)
    assert tenant.creates() < 3
    assert [file for file in tenant.kong.files() if not file["deleted"]] == []
