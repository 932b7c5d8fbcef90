"""One paid batch per intended batch, whatever is killed or lost."""

import time

import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
JOB = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))


def _until_made(tenant: Tenant) -> None:
    deadline = time.monotonic() + 30
    while tenant.creates() == 0:
        assert time.monotonic() < deadline, "no batch was made"
        time.sleep(0.02)


@pytest.mark.alone
def test_an_operator_killed_between_the_call_and_the_write_adopts_its_batch(tenant: Tenant) -> None:
    tenant.kong.fault("hang_after", "batches.create", seconds=20)
    tenant.kube.apply(PROMPTS, JOB)
    _until_made(tenant)
    tenant.release.kill_operator()
    assert "batches" not in tenant.kube.get("batchjob", "job")["status"] or not any(
        "id" in batch for batch in tenant.kube.get("batchjob", "job")["status"]["batches"]
    )
    tenant.kube.wait_for("job", "Complete")
    assert tenant.creates() == 1
    assert "Adopted" in [event["reason"] for event in tenant.kube.events("job")]


def test_a_batch_whose_answer_was_lost_is_adopted(tenant: Tenant) -> None:
    tenant.kong.fault("reset_after", "batches.create")
    tenant.kube.apply(PROMPTS, JOB)
    tenant.kube.wait_for("job", "Complete")
    assert tenant.creates() == 1
    assert len(tenant.kong.calls("batches.create")) == 1


def test_a_504_of_kong_after_the_batch_was_made_is_no_reason_for_a_second(tenant: Tenant) -> None:
    tenant.kong.fault("accepted_status", "batches.create", status=504, as_="kong")
    tenant.kube.apply(PROMPTS, JOB)
    tenant.kube.wait_for("job", "Complete")
    assert tenant.creates() == 1


def test_a_call_that_a_proxy_sent_twice_leaves_one_batch(tenant: Tenant) -> None:
    # Longer than the settle period: the second batch is to be found while both run.
    tenant.kong.configure(in_progress_seconds=20)
    tenant.kong.fault("repeat", "batches.create", seconds=1.1)
    tenant.kube.apply(PROMPTS, JOB)
    job = tenant.kube.wait_for("job", "Complete")
    (call,) = tenant.kong.calls("batches.create")
    (older,) = call["unseen_ids"]
    assert {batch["id"]: batch["status"] for batch in tenant.kong.batches()} == {
        older: "completed",
        call["answer_id"]: "cancelled",
    }
    assert job["status"]["batches"][0]["id"] == older
    assert "duplicatesCheckedTime" in job["status"]
    assert {"Adopted", "DuplicateCancelled"} <= {event["reason"] for event in tenant.kube.events("job")}


def test_a_call_that_never_arrived_is_made_again_after_the_settle_period(tenant: Tenant) -> None:
    tenant.kong.fault("reset_before", "batches.create")
    tenant.kube.apply(PROMPTS, JOB)
    job = tenant.kube.wait_for("job", "Complete")
    assert tenant.creates() == 1
    assert job["status"]["attempts"] == 2
    first, second = tenant.kong.calls("batches.create")
    assert second["time"] - first["time"] >= 7
    looked = [call for call in tenant.kong.calls("batches.list") if first["time"] < call["time"] < second["time"]]
    assert len(looked) >= 2, "it is looked for before and after the settle period"


def test_a_gateway_without_a_list_asks_a_person_and_goes_on_at_their_word(tenant: Tenant) -> None:
    tenant.kong.configure(list_supported=False)
    tenant.kube.delete("batchgateway", "kong")
    tenant.kube.apply(tenant.gateway())
    tenant.kong.fault("reset_before", "batches.create")
    tenant.kube.apply(PROMPTS, JOB)
    tenant.kube.until_reason("job", "SubmissionUnknown")
    tenant.kube.run("annotate", "batchjob", "job", "llmbatch.io/resubmit=2")
    tenant.kube.wait_for("job", "Complete")
    assert tenant.creates() == 1


@pytest.mark.alone
def test_an_operator_that_is_restarted_goes_on_with_every_job(tenant: Tenant) -> None:
    tenant.kong.configure(in_progress_seconds=4)
    tenant.kube.apply(PROMPTS, *(
        objects.job(f"job{number}", objects.in_config_map("prompts"), objects.in_secret(f"out{number}", "results"))
        for number in range(4)
    ))  # fmt: skip
    _until_made(tenant)
    tenant.release.kill_operator()
    for number in range(4):
        tenant.kube.wait_for(f"job{number}", "Complete")
    assert tenant.creates() == 4
