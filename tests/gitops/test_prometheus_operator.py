"""What the chart makes for the Prometheus Operator becomes, through the Prometheus Operator itself, a scrape that works and
alerts that are loaded."""

import base64
import gzip
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Tenant
from tests.e2e.kube import Json
from tests.e2e.prometheus import Prometheus
from tests.gitops import controllers, programs
from tests.gitops.programs import PROMETHEUS_DISCOVERY

pytestmark = [pytest.mark.cluster, pytest.mark.gitops]

REPLICAS = 2
"""The chart's own."""


@pytest.fixture
def monitored(tenant: Tenant, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Json]:
    """Have the Prometheus Operator find what the chart makes with values; gives the configuration that it makes of it."""
    credentials = controllers.prometheus_operator(tenant.kube.cluster)
    release, kube = tenant.release, tenant.kube
    wanted = {"metrics.prometheusRule.enabled": "true", request.param: "true"}
    rendered = release.template(**wanted)
    made = [item for item in yaml.safe_load_all(rendered) if item and item["apiVersion"].startswith("monitoring.")]
    assert len(made) == 2
    # In a namespace of their own, so that two of these tests don't find each other's.
    here = [{**item, "metadata": {**item["metadata"], "namespace": kube.namespace}} for item in made]
    for item in here:
        if item["kind"] != "PrometheusRule":
            item["spec"]["namespaceSelector"] = {"matchNames": [release.namespace]}
    kube.apply(*here)
    kube.apply(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Prometheus",
            "metadata": {"name": "here"},
            "spec": {
                "replicas": 0,
                "version": "v2.42.0",
                "scrapeInterval": "1s",
                "serviceMonitorSelector": {},
                "podMonitorSelector": {},
                "ruleSelector": {},
                "apiserverConfig": {
                    "host": credentials.server,
                    "tlsConfig": {
                        "caFile": str(credentials.authority),
                        "certFile": str(credentials.certificate),
                        "keyFile": str(credentials.key),
                    },
                },
            },
        }
    )
    kube.until_there("secret", "prometheus-here")
    kube.until_there("configmap", "prometheus-here-rulefiles-0")
    config = _config(tenant)
    for scrape in config["scrape_configs"]:
        (tmp_path / "targets.json").write_text(_targets(scrape.pop("kubernetes_sd_configs")))
        scrape["file_sd_configs"] = [{"files": [str(tmp_path / "targets.json")]}]
    yield config
    kube.run("delete", "prometheus", "here", "--ignore-not-found")


def _config(tenant: Tenant) -> Json:
    deadline = time.monotonic() + 60
    while True:
        data = tenant.kube.get("secret", "prometheus-here").get("data", {})
        packed = base64.b64decode(data.get("prometheus.yaml.gz", ""))
        text = gzip.decompress(packed).decode() if packed else "{}"
        # As the operator's config-reloader does in the pod.
        config: Json = yaml.safe_load(text.replace("$(SHARD)", "0").replace("$(POD_NAME)", "prometheus-here-0"))
        if config.get("scrape_configs"):
            return config
        assert time.monotonic() < deadline, controllers.last_words("prometheus-operator")
        time.sleep(0.5)


def _targets(configs: list[Json]) -> str:
    """Find them as Prometheus does; Debian's was built without it."""
    programs.ensure(PROMETHEUS_DISCOVERY)
    (config,) = configs
    found = subprocess.run(
        [PROMETHEUS_DISCOVERY.program("discover")],
        input=yaml.safe_dump(config),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.parametrize(
    "monitored",
    ["metrics.serviceMonitor.enabled", "metrics.podMonitor.enabled"],
    ids=["ServiceMonitor", "PodMonitor"],
    indirect=True,
)
def test_both_operators_are_scraped_and_every_alert_is_loaded(tenant: Tenant, monitored: Json, tmp_path: Path) -> None:
    rules = tenant.kube.get("configmap", "prometheus-here-rulefiles-0")["data"]
    for name, text in rules.items():
        (tmp_path / name).write_text(text)
    monitored["rule_files"] = [f"{tmp_path}/*.yaml"]
    (scrape,) = monitored["scrape_configs"]
    with Prometheus(tenant.kube.cluster.tools.prometheus, tmp_path, monitored) as prometheus:
        deadline = time.monotonic() + 60
        while len(prometheus.query("llmbatch_build_info and on(instance) up == 1")) != REPLICAS:
            assert time.monotonic() < deadline, f"{scrape}\n{prometheus.query('up')}\n{prometheus.log()}"
            time.sleep(0.5)
        assert len(prometheus.query("llmbatch_leader == 1")) == 1
        # A gateway's namespace is its own, not that of the operator's pod.
        assert prometheus.query(f'llmbatch_gateway_ready{{namespace="{tenant.kube.namespace}",gateway="kong"}}')
        alerts = prometheus.rules()
    assert alerts == {
        rule["alert"] for text in rules.values() for group in yaml.safe_load(text)["groups"] for rule in group["rules"]
    }
    assert "LlmbatchNobodyWorks" in alerts
