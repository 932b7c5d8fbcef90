"""Who may talk to the chart's pods, and to whom these may."""

import re
from typing import Any

import pytest
import yaml

from llmbatch.api.batchgateway import BatchGatewaySpec
from llmbatch.settings import Settings
from llmbatch.transfer.pure.manifest import manifest
from llmbatch.transfer.pure.naming import Owner
from tests.chart import values_table
from tests.chart.cases import TWO_NAMESPACES
from tests.chart.helm import Chart, Values, named, of_kind, without_hooks
from tests.chart.test_templates import container
from tests.edges.plans import upload_plan
from tests.support import build

YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ON: Values = {"networkPolicy": {"enabled": True}, "emulator": {"enabled": True}}


def policy(chart: Chart, name: str, **network: Any) -> Any:
    found = chart.render({**ON, "networkPolicy": {"enabled": True, **network}})
    return named(found, "NetworkPolicy", name)["spec"]


def test_there_are_none_unless_they_are_wanted(chart: Chart) -> None:
    assert of_kind(chart.render({"emulator": {"enabled": True}}), "NetworkPolicy") == []
    only = of_kind(chart.render({"networkPolicy": {"enabled": True}}), "NetworkPolicy")
    assert [item["metadata"]["name"] for item in without_hooks(only)] == ["llmbatch"]


@pytest.mark.parametrize("values", [ON, {**ON, **TWO_NAMESPACES}, {**ON, "metrics": {"port": 9090}}])
def test_each_selects_its_own_pods_and_lets_in_what_they_serve(chart: Chart, values: Values) -> None:
    found = chart.render(values)
    for name in ("llmbatch", "llmbatch-emulator"):
        spec, deployment = named(found, "NetworkPolicy", name)["spec"], named(found, "Deployment", name)
        assert spec["podSelector"] == deployment["spec"]["selector"]
        (port,) = container(deployment)["ports"]
        assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": port["containerPort"]}]}]
    assert chart.conform(chart.template(values).output).ok


def test_the_operator_may_reach_everything_and_the_emulators_calls_are_nobodys_concern(chart: Chart) -> None:
    operator = policy(chart, "llmbatch")
    assert (operator["policyTypes"], operator["egress"]) == (["Ingress", "Egress"], [{}])
    assert policy(chart, "llmbatch-emulator")["policyTypes"] == ["Ingress"]


def test_what_the_operator_may_reach_can_be_named_instead(chart: Chart) -> None:
    rules = [
        {"ports": [{"protocol": "UDP", "port": 53}]},
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/16"}}], "ports": [{"port": 443}]},
    ]
    assert policy(chart, "llmbatch", egress=rules)["egress"] == rules


def test_who_may_read_the_metrics_can_be_named_and_a_test_of_the_release_still_reaches_them(chart: Chart) -> None:
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    (rule,) = policy(chart, "llmbatch", metricsFrom=[prometheus])["ingress"]
    first, test = rule["from"]
    assert first == prometheus
    assert test["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    values: Values = {
        **ON,
        "networkPolicy": {"enabled": True, "metricsFrom": [prometheus]},
        "tests": {"enabled": False},
    }
    (rule,) = named(chart.render(values), "NetworkPolicy", "llmbatch")["spec"]["ingress"]
    assert rule["from"] == [prometheus]


@pytest.mark.parametrize("egress", [[], [{"to": [{"ipBlock": {"cidr": "10.0.0.0/16"}}], "ports": [{"port": 6443}]}]])
def test_a_test_and_an_uninstall_reach_whom_they_call_where_all_else_is_forbidden(chart: Chart, egress: Any) -> None:
    """After an uninstall the operator's own policy is gone, and so would be the way to the API server."""
    found = chart.render({**ON, "networkPolicy": {"enabled": True, "egress": egress}})
    pods = {
        "llmbatch-uninstall": named(found, "Job", "llmbatch-uninstall")["spec"]["template"],
        "llmbatch-test": named(found, "Pod", "llmbatch-test"),
    }
    for name, pod in pods.items():
        made = named(found, "NetworkPolicy", name)
        hook = pod["metadata"]["annotations"].get("helm.sh/hook", "post-delete")
        assert made["metadata"]["annotations"]["helm.sh/hook"] == hook
        assert int(made["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0
        spec = made["spec"]
        labels = pod["metadata"]["labels"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()
        assert "ingress" not in spec, "nobody calls them"
        *own, last = spec["egress"]
        assert [last] == (egress or [{}])
        if name == "llmbatch-test":
            (probes,) = own
            operator = named(found, "Deployment", "llmbatch")
            assert probes["to"] == [{"podSelector": operator["spec"]["selector"]}]
            assert probes["ports"] == [{"protocol": "TCP", "port": container(operator)["ports"][0]["containerPort"]}]
    assert chart.conform(chart.template({**ON, "networkPolicy": {"enabled": True, "egress": egress}}).output).ok


@pytest.mark.parametrize("network", [
    pytest.param({"metricsFrom": [{}]}, id="a peer that is nobody"),
    pytest.param({"metricsFrom": [{"podSelectors": {}}]}, id="an unknown peer"),
    pytest.param({"egress": [{"from": []}]}, id="a rule for the other direction"),
])  # fmt: skip
def test_values_that_can_not_work_are_refused(chart: Chart, network: Values) -> None:
    assert not chart.template({"networkPolicy": {"enabled": True, **network}}).ok


def transfer_labels() -> dict[str, str]:
    owner, gateway = Owner("team-a", "job", build.UID), BatchGatewaySpec.parse({"url": "http://kong"})
    job = manifest(owner, build.spec(), gateway, upload_plan("http://kong"), Settings())
    labels: dict[str, str] = job["spec"]["template"]["metadata"]["labels"]
    return labels


def test_the_labels_by_which_transfer_pods_are_selected_are_those_that_they_have() -> None:
    (value,) = [
        item
        for item in values_table.read(values_table.VALUES.read_text(encoding="utf-8"))
        if item.path == ("networkPolicy", "enabled")
    ]
    told = dict(re.findall(r"`([\w./-]+): ([\w-]+)`", value.description))
    assert told
    assert told.items() <= transfer_labels().items()


def test_the_policies_that_the_charts_page_shows_are_valid_and_select_transfer_pods(chart: Chart) -> None:
    blocks = YAML.findall(values_table.README.read_text(encoding="utf-8"))
    values, transfers = [yaml.safe_load(block) for block in blocks]
    rendered = chart.template(values)
    assert rendered.ok, rendered.errors
    finished = chart.conform(f"{rendered.output}\n---\n{yaml.safe_dump(transfers)}")
    assert finished.ok, finished.errors
    assert transfers["spec"]["podSelector"]["matchLabels"].items() <= transfer_labels().items()
