"""Judged last: nothing that any test before made the operator tell holds a credential or a prompt."""

import time
from collections.abc import Callable

import httpx
import pytest

from llmbatch.transfer.pure import naming
from tests.e2e import objects
from tests.e2e.canary import KINDS, Collector
from tests.e2e.conftest import Tenant
from tests.e2e.forward import forward
from tests.support.canary import CREDENTIAL, PROMPT, PROMPT_WORD

pytestmark = pytest.mark.judges


def test_a_credential_or_prompt_that_is_told_is_found(tenant: Tenant, canaries: Collector) -> None:
    """Without this the next test could pass by being blind."""
    namespace = tenant.kube.namespace
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "planted"},
        "involvedObject": {"kind": "BatchJob", "name": "planted", "namespace": namespace},
        "reason": "Planted",
        "message": f"refused: {PROMPT}",
        "type": "Normal",
    }
    pod = objects.pod("planted", tenant.release.cluster.operator_image, f"print({CREDENTIAL!r})")
    pod["metadata"]["labels"] = {naming.LABEL_UID: "planted"}
    tenant.kube.apply(event, pod)
    for what in (f"events {namespace}/planted: the prompt", f"logs {namespace}/planted: the credential"):
        _until(lambda what=what: any(found.startswith(what) for found in canaries.findings()))  # type: ignore[misc]


def test_nothing_that_any_test_produced_holds_a_credential_or_a_prompt(tenant: Tenant, canaries: Collector) -> None:
    kube = tenant.kube
    kube.apply(
        objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b--echo", "c--status-429")}),
        objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results")),
    )
    job = kube.wait_for("job", "Complete")
    assert {failure["code"] for failure in job["status"]["failures"]} == {"invalid_prompt", "rate_limit_exceeded"}
    assert PROMPT_WORD in (objects.stored(kube, "secret", "out", "results.errors") or "")
    release = tenant.release
    canaries.look_at("helm", *(release.helm("get", part, release.name) for part in ("manifest", "notes", "values")))
    with forward(release.cluster, release.namespace, "service/llmbatch-metrics", 8080) as url:
        canaries.look_at("metrics", httpx.get(f"{url}/metrics").raise_for_status().text)
    found = [finding for finding in canaries.findings() if "/planted: " not in finding]
    assert found == [], "\n".join(found)
    assert canaries.seen.keys() >= {*KINDS, "logs", "helm", "metrics"}, "everything was looked at"
    _until(lambda: canaries.seen["logs"] > 0)


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "that never came"
        time.sleep(0.5)
