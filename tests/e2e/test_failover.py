"""Two operators, of which one works: whatever becomes of it, the other goes on, and nothing is submitted twice."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.chaos.victims import Victim, victims
from tests.cluster import processes
from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.kube import Json, condition
from tests.e2e.release import CHARTS_LEASE, Release

pytestmark = pytest.mark.alone
PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b")})
UNREACHABLE_SECONDS = 60


def job(name: str = "job", prompts: str = "prompts") -> Json:
    return objects.job(name, objects.in_config_map(prompts), objects.in_secret(f"out-{name}", "results"))


def leading(tenant: Tenant) -> tuple[Victim, str]:
    """Give the process that works, and its identity."""
    pod = tenant.release.operator_pod()["metadata"]["name"]
    found = next(victim for victim in victims(tenant.release) if (victim.kind, victim.pod) == ("operator", pod))
    return found, tenant.release.holder()


def until_led_by_another(tenant: Tenant, old: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (now := tenant.release.holder()) in ("", old):
        assert time.monotonic() < deadline, f"{old} still leads, or nobody does: {now!r}"
        time.sleep(0.2)


def until_called(tenant: Tenant, operation: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not tenant.kong.calls(operation) and not (operation == "batches.create" and tenant.kong.batches()):
        assert time.monotonic() < deadline, f"no call of {operation}"
        time.sleep(0.02)


def restarts(tenant: Tenant, pod: str) -> tuple[int, int]:
    """Give how often a pod's container was restarted, and its last exit code."""
    (status,) = tenant.release.kube.get("pod", pod)["status"]["containerStatuses"]
    return status["restartCount"], status.get("lastState", {}).get("terminated", {}).get("exitCode", 0)


@pytest.fixture(scope="module")
def by_default(release: Release) -> Iterator[None]:
    """The chart's own times, in place of the short ones of other tests."""
    release.upgrade(**CHARTS_LEASE)
    yield
    release.install()


@pytest.mark.usefixtures("by_default")
class TestWithTheChartsOwnTimes:
    def test_the_one_that_stands_by_works_when_the_leader_is_killed(self, tenant: Tenant) -> None:
        tenant.kube.apply(PROMPTS)
        leader, old = leading(tenant)
        leader.kill()
        tenant.kube.apply(job())
        # 15 s of the lease, and what it takes to look, to watch, and to begin.
        tenant.kube.until("job", lambda found: "status" in found, "noticed", seconds=20)
        until_led_by_another(tenant, old)
        tenant.kube.wait_for("job", "Complete")
        assert tenant.creates() == 1

    def test_a_leader_that_was_frozen_past_its_lease_ends_and_submits_nothing(self, tenant: Tenant) -> None:
        tenant.kong.configure(in_progress_seconds=1)
        tenant.kube.apply(PROMPTS)
        leader, old = leading(tenant)
        count, _ = restarts(tenant, leader.pod)
        # Frozen in the middle of a create call, and with a job that it has only just heard of.
        tenant.kong.fault("hang_after", "batches.create", seconds=2)
        tenant.kube.apply(job("under-way"))
        until_called(tenant, "batches.create")
        leader.send(signal.SIGSTOP)
        try:
            tenant.kube.apply(job("fresh"))
            until_led_by_another(tenant, old)
            for name in ("under-way", "fresh"):
                tenant.kube.wait_for(name, "Complete", seconds=120)
        finally:
            leader.send(signal.SIGCONT)
        deadline = time.monotonic() + 30
        while restarts(tenant, leader.pod) != (count + 1, 3):
            assert time.monotonic() < deadline, f"it has not ended by itself: {restarts(tenant, leader.pod)}"
            time.sleep(0.2)
        assert tenant.creates() == 2
        assert len(tenant.kong.calls("batches.create")) == 2
        assert "Adopted" in [event["reason"] for event in tenant.kube.events("under-way")]

    def test_told_to_stop_a_leader_finishes_its_call_and_stores_the_id_first(self, tenant: Tenant) -> None:
        tenant.kong.fault("hang_after", "batches.create", seconds=6)
        tenant.kube.apply(PROMPTS, job())
        until_called(tenant, "batches.create")
        leader, old = leading(tenant)
        tenant.release.kube.run("delete", "pod", leader.pod, "--wait=true", "--timeout=60s")
        (batch,) = tenant.kube.get("batchjob", "job")["status"]["batches"]
        assert batch["id"] == tenant.kong.batches()[0]["id"], "it is stored before the process ends"
        until_led_by_another(tenant, old, seconds=10)
        tenant.kube.wait_for("job", "Complete")
        assert "Adopted" not in [event["reason"] for event in tenant.kube.events("job")]
        assert len(tenant.kong.calls("batches.create")) == 1


@pytest.mark.timeout(600)
def test_while_the_api_server_is_unreachable_for_a_minute_nobody_submits_twice(tenant: Tenant) -> None:
    server = processes.recorded().get("kube-apiserver")
    assert server is not None, "this test stops the API server of the cluster that `make cluster-up` made"
    tenant.kong.configure(in_progress_seconds=5)
    tenant.kong.fault("hang_after", "batches.create", seconds=3, times=2)
    tenant.kube.apply(PROMPTS, *(job(f"job{number}") for number in range(4)))
    until_called(tenant, "batches.create")
    stopped = Victim(server.pid, "operator", "")
    stopped.send(signal.SIGSTOP)
    try:
        time.sleep(UNREACHABLE_SECONDS)
    finally:
        stopped.send(signal.SIGCONT)
    for number in range(4):
        tenant.kube.wait_for(f"job{number}", "Complete", seconds=180)
    uids = [batch["metadata"]["llmbatch_uid"] for batch in tenant.kong.batches()]
    assert len(uids) == len(set(uids)) == 4


def test_an_upgrade_with_jobs_in_every_phase_submits_nothing_anew(tenant: Tenant, release: Release) -> None:
    kong, kube = tenant.kong, tenant.kube
    kong.configure(validating_seconds=3, in_progress_seconds=6, finalizing_seconds=3, cancelling_seconds=3)
    kube.apply(PROMPTS, job("ended"))
    kong.advance(3600)
    kube.until("ended", lambda found: condition(found, "Submitted") != {}, "submitted")
    kong.advance(3600)
    kube.wait_for("ended", "Complete")
    volume = objects.Volume(kube, "data", release.cluster.operator_image)
    volume.write("in/batch.jsonl", objects.requests("a", "b"))
    source = objects.in_volume("data", "in/batch.jsonl")
    # Each begins a little later than the one before, so that the upgrade meets them at different places.
    kube.apply(job("pending", "prompts-to-come"))
    kong.fault("delay", "files.content", seconds=4, times=2)
    for number in range(6):
        kube.apply(job(f"job{number}"))
        kube.apply(objects.job(f"volume{number}", source, objects.in_volume("data", f"out/{number}.jsonl")))
        time.sleep(1.5)
    kong.fault("hang_after", "batches.create", seconds=5)
    kube.apply(job("late"))
    kube.run("delete", "batchjob", "job5", "--wait=false")
    phases = {found["status"]["phase"] for found in kube.items("batchjobs") if "status" in found}
    assert {"Pending", "InProgress", "Complete"} < phases
    release.kube.run("rollout", "restart", f"deployment/{release.name}")
    release.kube.run("rollout", "status", f"deployment/{release.name}", "--timeout=120s", seconds=130)
    kube.apply(objects.config_map("prompts-to-come", {"batch.jsonl": objects.requests("a", "b")}))
    names = [
        "ended",
        "pending",
        "late",
        *(f"job{number}" for number in range(5)),
        *(f"volume{number}" for number in range(6)),
    ]
    for name in names:
        kube.wait_for(name, "Complete", seconds=120)
    uids = [batch["metadata"]["llmbatch_uid"] for batch in kong.batches()]
    assert len(uids) == len(set(uids)), "one batch for each"
    assert len(uids) in (len(names), len(names) + 1), "and perhaps one of the job that was deleted"
    assert len(kong.calls("batches.create")) == len(uids)
