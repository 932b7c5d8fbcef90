"""Nothing hangs: whatever is missing or refused shows in a condition, and the job goes on by itself once it is mended."""

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import condition

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
JOB = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))


@pytest.mark.parametrize(
    ("source", "later"),
    [
        pytest.param(objects.in_config_map("prompts"), PROMPTS, id="ConfigMap"),
        pytest.param(
            objects.in_secret("prompts"),
            objects.secret("prompts", {"batch.jsonl": objects.requests("a", "b")}),
            id="Secret",
        ),
    ],
)
def test_an_input_that_appears_later_is_waited_for(tenant: Tenant, source: objects.Json, later: objects.Json) -> None:
    tenant.kube.apply(objects.job("job", source, objects.in_secret("out", "results")))
    job = tenant.kube.until_reason("job", "InputNotFound")
    assert "prompts" in condition(job, "InputReady")["message"]
    # The release of the tests asks a person at once; tests/controller/test_patience.py has the time before.
    assert condition(job, "Stalled")["status"] == "True"
    tenant.kube.apply(later)
    tenant.kube.wait_for("job", "Complete")


def test_a_key_that_appears_later_is_waited_for(tenant: Tenant) -> None:
    tenant.kube.apply(objects.config_map("prompts", {"other": "x"}), JOB)
    job = tenant.kube.until_reason("job", "InputNotFound")
    assert "'batch.jsonl'" in condition(job, "Ready")["message"]
    tenant.kube.apply(PROMPTS)
    tenant.kube.wait_for("job", "Complete")


def test_a_gateway_that_appears_later_is_waited_for(tenant: Tenant) -> None:
    tenant.kube.delete("batchgateway", "kong")
    tenant.kube.apply(PROMPTS, JOB)
    tenant.kube.until_reason("job", "GatewayNotFound")
    tenant.kube.apply(tenant.gateway())
    tenant.kube.wait_for("job", "Complete")


def test_a_gateway_that_is_down_is_waited_for_before_and_during_the_batch(tenant: Tenant) -> None:
    tenant.kong.configure(in_progress_seconds=3)
    tenant.kong.fault("reset_before", times=-1)
    tenant.kube.delete("batchgateway", "kong")
    tenant.kube.apply(tenant.gateway(), PROMPTS, JOB)
    job = tenant.kube.until_reason("job", "GatewayUnreachable")
    assert condition(tenant.kube.get("batchgateway", "kong"), "Ready")["reason"] == "GatewayUnreachable"
    assert "connection" in condition(job, "Ready")["message"]
    tenant.kong.clear_faults()
    tenant.kube.until("job", lambda found: found["status"]["phase"] in ("Validating", "InProgress"), "running")
    tenant.kong.fault("status", status=503, times=-1, as_="kong")
    tenant.kube.until_reason("job", "GatewayUnreachable")
    tenant.kong.clear_faults()
    tenant.kube.wait_for("job", "Complete")
    assert tenant.creates() == 1


def test_a_wrong_key_is_named_and_the_right_one_is_seen_without_a_restart(tenant: Tenant) -> None:
    tenant.kong.configure(kong={"enabled": True, "consumer_keys": ["the-right-key"]})
    key = {"secretKeyRef": {"name": "kong-consumer", "key": "apikey"}}
    tenant.kube.apply(tenant.gateway(headers=[{"name": "apikey", "valueFrom": key}]), PROMPTS, JOB)
    job = tenant.kube.until_reason("job", "CredentialsNotFound")
    assert "kong-consumer" in condition(job, "Ready")["message"]
    tenant.kube.apply(objects.secret("kong-consumer", {"apikey": "a-wrong-key"}))
    job = tenant.kube.until_reason("job", "GatewayUnauthorized")
    assert "401" in condition(job, "Ready")["message"]
    assert condition(job, "Stalled")["status"] == "True"
    assert "a-wrong-key" not in str(job)
    tenant.kube.apply(objects.secret("kong-consumer", {"apikey": "the-right-key"}))
    tenant.kube.wait_for("job", "Complete")


def test_a_gateway_without_the_route_is_told_apart_from_one_that_is_down(tenant: Tenant) -> None:
    tenant.kong.configure(kong={"enabled": True, "routes": ["files"]})
    tenant.kube.delete("batchgateway", "kong")
    tenant.kube.apply(tenant.gateway(), PROMPTS, JOB)
    job = tenant.kube.until_reason("job", "RouteNotFound")
    assert "no Route matched" in condition(job, "Ready")["message"]
    tenant.kong.configure(kong={"enabled": True, "routes": ["files", "batches"]})
    tenant.kube.wait_for("job", "Complete")


def test_no_more_batches_are_active_than_the_gateway_allows(tenant: Tenant) -> None:
    tenant.kong.configure(in_progress_seconds=3)
    tenant.kube.apply(tenant.gateway(limits={"maxActiveBatches": 1}), PROMPTS)
    tenant.kube.apply(*(
        objects.job(f"job{number}", objects.in_config_map("prompts"), objects.in_secret(f"out{number}", "results"))
        for number in (1, 2)
    ))  # fmt: skip
    tenant.kube.wait_for("job1", "Complete")
    tenant.kube.wait_for("job2", "Complete")
    first, second = sorted(tenant.kong.batches(), key=lambda batch: batch["object"]["created_at"])
    assert second["object"]["created_at"] >= first["object"]["completed_at"]
