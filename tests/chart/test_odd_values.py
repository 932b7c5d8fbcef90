"""Values that are odd but right, and such as would come to nothing without a word."""

from collections.abc import Hashable
from typing import Any

import pytest
import yaml

from llmbatch.api.base import without_nulls
from tests.chart.cases import CASES, EVERYTHING
from tests.chart.helm import Chart, Manifest, Values, named, of_kind
from tests.chart.test_templates import container, environment


class OneKeyOnce(yaml.SafeLoader):
    """Refuses a map that has a key twice, of which each reader takes another one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: {keys}"
        return super().construct_mapping(node, deep)


OWN_DEFAULT: Values = {"podAnnotations": {"kubectl.kubernetes.io/default-container": "agent"}}


@pytest.mark.parametrize("values", [*CASES, pytest.param({**EVERYTHING, **OWN_DEFAULT}, id="a default of users' own")])
def test_no_map_has_a_key_twice(chart: Chart, values: Values) -> None:
    rendered = chart.template(values)
    assert rendered.ok, rendered.errors
    assert list(yaml.load_all(rendered.output, Loader=OneKeyOnce))


def test_an_annotation_of_users_own_comes_in_place_of_the_charts(chart: Chart) -> None:
    pod = named(chart.render(OWN_DEFAULT), "Deployment", "llmbatch")["spec"]["template"]
    assert pod["metadata"]["annotations"] == OWN_DEFAULT["podAnnotations"]


@pytest.mark.parametrize(("values", "name"), [
    pytest.param({}, "LLMBATCH_WORKERS", id="of the chart"),
    pytest.param({}, "LLMBATCH_POD_NAME", id="from the pod"),
    pytest.param({"proxy": {"httpProxy": "http://p"}}, "http_proxy", id="of a value that is set"),
])  # fmt: skip
def test_a_variable_that_is_there_already_is_refused(chart: Chart, values: Values, name: str) -> None:
    """Server-side apply takes no name twice; without it, the first change of one leaves the other's value, or none."""
    finished = chart.template({**values, "operator": {"extraEnv": [{"name": name, "value": "x"}]}})
    assert not finished.ok
    assert f"operator.extraEnv: {name} is there already" in finished.errors


def test_a_variable_of_users_own_may_be_there_once(chart: Chart) -> None:
    given = [{"name": name, "value": "x"} for name in ("TZ", "http_proxy", "LLMBATCH_METRICS_ADDRESS")]
    found = environment(named(chart.render({"operator": {"extraEnv": given}}), "Deployment", "llmbatch"))
    assert found.items() >= {item["name"]: "x" for item in given}.items()
    twice = chart.template({"operator": {"extraEnv": [*given, given[0]]}})
    assert "TZ is there already" in twice.errors


def pods(found: list[Manifest]) -> dict[str, Manifest]:
    """Give the specs of all pods of the chart, by name."""
    kinds = ("Deployment", "Job")
    made = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"] for kind in kinds for item in of_kind(found, kind)
    }
    return {**made, **{item["metadata"]["name"]: item["spec"] for item in of_kind(found, "Pod")}}


def test_whoever_calls_the_api_server_has_the_token_for_it_whatever_the_account_says(chart: Chart) -> None:
    """An account that exists may have automountServiceAccountToken: false, as benchmarks of security ask for."""
    found = pods(chart.render({"emulator": {"enabled": True}, "serviceAccount": {"create": False, "name": "hardened"}}))
    mounted = {name: spec.get("automountServiceAccountToken") for name, spec in found.items()}
    assert mounted == {
        "llmbatch": True, "llmbatch-uninstall": True, "llmbatch-test": True, "llmbatch-emulator": False,
    }  # fmt: skip


def test_every_pod_serves_by_ipv6_too(chart: Chart) -> None:
    found = chart.render({"emulator": {"enabled": True}})
    assert "LLMBATCH_METRICS_ADDRESS" not in environment(named(found, "Deployment", "llmbatch")), "all, by default"
    arguments = container(named(found, "Deployment", "llmbatch-emulator"))["args"]
    assert arguments[arguments.index("--host") + 1] == "::"


def test_a_large_number_reaches_the_emulator_as_it_is(chart: Chart) -> None:
    given = {"EMULATOR_PORT": 10_000_000, "EMULATOR_HALF": 0.5, "EMULATOR_ON": True, "EMULATOR_WORD": "1e3"}
    found = named(chart.render({"emulator": {"enabled": True, "env": given}}), "Deployment", "llmbatch-emulator")
    told = {"EMULATOR_PORT": "10000000", "EMULATOR_HALF": "0.5", "EMULATOR_ON": "true", "EMULATOR_WORD": "1e3"}
    assert environment(found) == told


@pytest.mark.parametrize(
    "repository", ["llmbatch", "registry:5000/llmbatch", "ghcr.io/team/llm_batch", "localhost/a.b"]
)
def test_a_repository_is_taken_with_a_port(chart: Chart, repository: str) -> None:
    found = chart.render({"image": {"repository": repository, "tag": "1"}})
    assert container(named(found, "Deployment", "llmbatch"))["image"] == f"{repository}:1"


@pytest.mark.parametrize("values", [
    pytest.param({"image": {"repository": "registry.example.com/llmbatch:1.0"}}, id="a repository with a tag"),
    pytest.param({"image": {"repository": f"llmbatch@sha256:{'0a' * 32}"}}, id="a repository with a digest"),
    pytest.param({"emulator": {"image": {"repository": "a/b:1"}}}, id="the emulator's with a tag"),
    pytest.param({"image": {"repository": "a/b "}}, id="a repository with a space"),
    pytest.param({"image": {"repository": ""}}, id="no repository"),
    pytest.param({"nameOverride": "Batches"}, id="a name in capitals"),
    pytest.param({"fullnameOverride": "my_batches"}, id="a name with an underscore"),
    pytest.param({"fullnameOverride": "-batches"}, id="a name that begins with a dash"),
    pytest.param({"metrics": {"serviceMonitor": {"enabled": True, "interval": ""}}}, id="no interval"),
    pytest.param({"metrics": {"serviceMonitor": {"enabled": True, "interval": "0s"}}}, id="an interval of nothing"),
    pytest.param({"metrics": {"serviceMonitor": {"enabled": True, "interval": "1s1m"}}}, id="a time in no order"),
])  # fmt: skip
def test_values_of_which_nothing_could_come_are_refused(chart: Chart, values: Values) -> None:
    assert not chart.template(values).ok


@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor"])
def test_a_time_may_be_put_together_and_is_none_in_which_prometheus_forgets(chart: Chart, kind: str) -> None:
    def monitor(**given: str) -> Values:
        return {"metrics": {kind: {"enabled": True, **given}, "prometheusRule": {"thresholds": {"stalled": "1h30m"}}}}

    rendered = chart.template(monitor(interval="1m30s", scrapeTimeout="1m15s"))
    assert rendered.ok, rendered.errors
    assert chart.conform(rendered.output).ok
    late = chart.template(monitor(interval="1m30s", scrapeTimeout="1m31s"))
    assert "scrapeTimeout (1m31s) is longer than its interval (1m30s)" in late.errors
    rare = chart.template(monitor(interval="5m"))
    assert "an interval of 5m is not between 1ms and 2m" in rare.errors


def test_a_chart_that_depends_on_this_one_may_ask_whether_it_is_wanted(chart: Chart) -> None:
    assert chart.render({"enabled": True}) == chart.render()


NULLS: Values = {
    "commonLabels": {"a": None},
    "commonAnnotations": {"a": None},
    "podLabels": {"a": None},
    "podAnnotations": {"a": None},
    "deploymentAnnotations": {"a": None},
    "nodeSelector": {"a": None},
    "resources": {"limits": {"cpu": None}, "requests": {"ephemeral-storage": None}},
    "caBundle": {"configMap": None, "secret": {"name": "ca", "key": "ca.crt"}},
    "crds": {"annotations": {"a": None}},
    "serviceAccount": {"annotations": {"a": None}},
    "transfer": {
        "resources": {"limits": {"cpu": None}},
        **{name: {"a": None} for name in ("labels", "annotations", "nodeSelector")},
        "affinity": {"podAffinity": None},
    },
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "uninstall": {"affinity": {"nodeAffinity": None}},
    "metrics": {
        "service": {"annotations": {"a": None}},
        "serviceMonitor": {"enabled": True, "labels": {"a": None}},
        "prometheusRule": {"enabled": True, "labels": {"a": None}},
        "dashboard": {"enabled": True, "labels": {"a": None}, "annotations": {"a": None}},
    },
    "emulator": {
        "enabled": True,
        "env": {"EMULATOR_X": None},
        "nodeSelector": {"a": None},
        "resources": {"limits": {"cpu": None}},
    },
}
"""Of all that is a map of the user's own, a key that is taken away, as from what an earlier file of values has."""


def test_a_key_that_is_null_is_not_there_whichever_helm_hands_it_on(chart: Chart) -> None:
    """Helm 4 hands on what the chart has no default for: a label would be empty, and a limit 0."""
    assert chart.lint(NULLS).ok
    assert chart.render(NULLS) == chart.render(without_nulls(NULLS))


@pytest.mark.parametrize("values", [{"configMap": None}, {"configMap": None, "secret": None}], ids=str)
def test_authorities_that_were_taken_away_are_none(chart: Chart, values: Values) -> None:
    assert chart.render({"caBundle": values}) == chart.render()


def test_authorities_are_of_one_place(chart: Chart) -> None:
    key = {"name": "ca", "key": "ca.crt"}
    assert not chart.template({"caBundle": {"configMap": key, "secret": key}}).ok
