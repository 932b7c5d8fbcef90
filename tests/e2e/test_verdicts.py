"""The truth at the end: every line is judged on its own, and nothing that can't succeed is sent."""

import json

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import condition


def _apply(tenant: Tenant, lines: str, **spec: object) -> None:
    tenant.kube.apply(
        objects.config_map("prompts", {"batch.jsonl": lines}),
        objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"), **spec),
    )


def test_failed_lines_are_stored_beside_the_results_and_counted_from_the_lines(tenant: Tenant) -> None:
    ids = ("a", "b--status-400", "c", "d--status-429", "e--status-400", "f--missing", "g--status-0")
    _apply(tenant, objects.requests(*ids))
    job = tenant.kube.wait_for("job", "Complete")
    status = job["status"]
    assert status["requestCounts"] == {"total": 7, "completed": 2, "failed": 5}
    assert condition(job, "Ready")["reason"] == "CompletedWithFailures"
    results = objects.stored(tenant.kube, "secret", "out", "results") or ""
    errors = objects.stored(tenant.kube, "secret", "out", "results.errors") or ""
    assert [json.loads(line)["custom_id"] for line in results.splitlines()] == ["a", "c"]
    assert [json.loads(line)["custom_id"] for line in errors.splitlines()] == [item for item in ids if "--" in item]
    assert status["output"]["errorsLocation"] == "secret/out key results.errors"
    assert status["failures"][0]["customID"] in ("b--status-400", "e--status-400"), "the most frequent code comes first"


def test_a_job_of_which_every_line_failed_has_failed(tenant: Tenant) -> None:
    _apply(tenant, objects.requests("a--status-400", "b--content-filter"))
    job = tenant.kube.wait_for("job", "Failed")
    assert condition(job, "Failed")["reason"] == "AllRequestsFailed"
    assert condition(job, "Ready")["status"] == "False"
    assert job["status"]["requestCounts"] == {"total": 2, "completed": 0, "failed": 2}
    assert (objects.stored(tenant.kube, "secret", "out", "results.errors") or "").count("\n") == 2


def test_invalid_input_is_named_line_by_line_and_nothing_is_sent(tenant: Tenant) -> None:
    good = objects.requests("a", "b")
    _apply(tenant, good + '{"custom_id": "a"}\nno json at all\n')
    job = tenant.kube.wait_for("job", "Failed")
    told = condition(job, "InputReady")
    assert told["status"] == "False"
    assert told["reason"] == "InvalidInput"
    assert "line 3" in told["message"]
    assert "custom_id" in told["message"]
    assert "line 4" in told["message"]
    assert "no json at all" not in told["message"], "a line may hold a prompt"
    assert tenant.kong.files() == []
    assert tenant.creates() == 0


def test_what_the_provider_refuses_fails_with_its_own_words_and_leaves_no_file(tenant: Tenant) -> None:
    tenant.kong.configure(models=["another-deployment"])
    _apply(tenant, objects.requests("a"))
    job = tenant.kube.wait_for("job", "Failed")
    assert condition(job, "Failed")["reason"] == "BatchFailed"
    assert "model" in condition(job, "Failed")["message"]
    assert [file["id"] for file in tenant.kong.files() if not file["deleted"]] == []


def test_an_expired_batch_keeps_what_was_answered_and_has_failed(tenant: Tenant) -> None:
    tenant.kong.configure(in_progress_seconds=4, window_seconds=3)
    _apply(tenant, objects.requests(*(f"r{number}" for number in range(20))))
    job = tenant.kube.wait_for("job", "Failed")
    assert condition(job, "Failed")["reason"] == "BatchExpired"
    counts = job["status"]["requestCounts"]
    assert counts["completed"] > 0
    assert counts["completed"] + counts["failed"] == 20
    assert (objects.stored(tenant.kube, "secret", "out", "results") or "").count("\n") == counts["completed"]


def test_the_model_of_the_spec_replaces_that_of_every_line(tenant: Tenant) -> None:
    tenant.kong.configure(models=["gpt-4o-batch"])
    _apply(tenant, objects.requests("a", "b", model="something"), model="gpt-4o-batch")
    tenant.kube.wait_for("job", "Complete")


def test_remote_files_are_kept_on_request_and_events_tell_the_story_once(tenant: Tenant) -> None:
    tenant.kong.configure(in_progress_seconds=4)
    _apply(tenant, objects.requests("a"), remoteFiles="Retain")
    tenant.kube.wait_for("job", "Complete")
    assert len([file for file in tenant.kong.files() if not file["deleted"]]) == 2
    reasons = [event["reason"] for event in tenant.kube.events("job")]
    assert sorted(reasons) == sorted(set(reasons)), "no event is repeated, however often the batch is polled"
    assert reasons[-1] == "Succeeded"
    assert len(tenant.kong.calls("batches.get")) >= 3


def test_kubectl_wait_returns_when_the_results_are_stored(tenant: Tenant) -> None:
    _apply(tenant, objects.requests("a"))
    tenant.kube.run("wait", "--for=condition=Complete", "bj/job", "--timeout=60s")
    assert objects.stored(tenant.kube, "secret", "out", "results")
