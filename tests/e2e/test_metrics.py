"""Prometheus scrapes the operator, and its linter has nothing to say."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e import objects
from tests.e2e.conftest import Tenant
from tests.e2e.forward import forward
from tests.e2e.prometheus import Prometheus

PROMPTS = objects.config_map("prompts", {"batch.jsonl": objects.requests("a", "b--status-400")})
JOB = objects.job("job", objects.in_config_map("prompts"), objects.in_secret("out", "results"))


@pytest.fixture
def metrics(tenant: Tenant) -> Iterator[str]:
    """URL of the metrics of the operator that works."""
    leader = tenant.release.operator_pod()["metadata"]["name"]
    with forward(tenant.release.cluster, tenant.release.namespace, f"pod/{leader}", 8080) as url:
        yield url


def test_prometheus_scrapes_the_counters_of_a_finished_job(tenant: Tenant, metrics: str, tmp_path: Path) -> None:
    tenant.kube.apply(PROMPTS, JOB)
    tenant.kube.wait_for("job", "Complete")
    scrape = {"job_name": "llmbatch", "static_configs": [{"targets": [metrics.removeprefix("http://")]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    with Prometheus(tenant.release.cluster.tools.prometheus, tmp_path, config) as prometheus:
        expected = [
            'up{job="llmbatch"} == 1',
            'llmbatch_jobs_finished_total{result="complete",reason="CompletedWithFailures"} >= 1',
            'llmbatch_requests_total{result="failed"} >= 1',
            'llmbatch_tokens_total{kind="output"} > 0',
            'llmbatch_jobs{phase="Complete"} >= 1',
            'llmbatch_gateway_request_duration_seconds_count{operation="create batch",code="2xx"} >= 1',
            "llmbatch_duplicate_batches_total == 0",
            "llmbatch_leader == 1",
            "llmbatch_build_info == 1",
        ]
        deadline = time.monotonic() + 30
        while missing := [expression for expression in expected if not prometheus.query(expression)]:
            assert time.monotonic() < deadline, f"Prometheus has no {missing}"
            time.sleep(0.5)


def test_promtool_has_nothing_to_say_about_the_metrics(tenant: Tenant, metrics: str) -> None:
    text = httpx.get(f"{metrics}/metrics", timeout=10).text
    assert "llmbatch_jobs" in text
    checked = subprocess.run(
        [str(tenant.release.cluster.tools.promtool), "check", "metrics"],
        input=text, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_no_label_holds_the_name_of_a_job_and_only_gateways_are_told_of_by_namespace(
    tenant: Tenant, metrics: str
) -> None:
    name = "a-job-with-an-unusual-name"
    tenant.kube.apply(PROMPTS, {**JOB, "metadata": {"name": name}})
    tenant.kube.wait_for(name, "Complete")
    text = httpx.get(f"{metrics}/metrics", timeout=10).text
    assert name not in text
    named = {line.partition("{")[0] for line in text.splitlines() if tenant.kube.namespace in line}
    assert 'llmbatch_gateway_ready{gateway="kong",namespace="' + tenant.kube.namespace + '"} 1.0' in text
    assert all(metric.startswith("llmbatch_gateway_") for metric in named)


def test_the_service_leads_to_the_one_that_works_and_to_the_one_that_stands_by(tenant: Tenant) -> None:
    slices = tenant.release.kube.items("endpointslices", "-l", "kubernetes.io/service-name=llmbatch-metrics")
    reached = {endpoint["targetRef"]["name"] for found in slices for endpoint in found["endpoints"]}
    assert len(reached) == 2
    leading = []
    for pod in reached:
        with forward(tenant.release.cluster, tenant.release.namespace, f"pod/{pod}", 8080) as url:
            text = httpx.get(f"{url}/metrics", timeout=10).text
            leading += [pod for line in text.splitlines() if line == "llmbatch_leader 1.0"]
    assert leading == [tenant.release.leader()]


def test_probes_answer(metrics: str) -> None:
    for path in ("/livez", "/readyz"):
        assert httpx.get(f"{metrics}{path}", timeout=10).text == "ok"
