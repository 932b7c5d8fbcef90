"""What `helm test` runs, and what it may do."""

import pytest

from llmbatch.kube.permissions import TEST_OWN_PERMISSIONS, TEST_PERMISSIONS
from tests.chart.cases import EVERYTHING, TWO_NAMESPACES
from tests.chart.helm import NAMESPACE, Chart, Manifest, Values, named, of_kind, permissions
from tests.chart.test_templates import container, declared

NAME = "llmbatch-test"
EMULATED: Values = {"emulator": {"enabled": True}}


def hooks(found: list[Manifest]) -> list[Manifest]:
    return [item for item in found if (item["metadata"].get("annotations") or {}).get("helm.sh/hook") == "test"]


def arguments(pod: Manifest) -> dict[str, str]:
    """Give what the command is told."""
    (only,) = pod["spec"]["containers"]
    command, *options = only["args"]
    assert command == "selftest"
    return dict(option.removeprefix("--").split("=", 1) for option in options)


def test_with_the_emulator_a_job_is_run_by_it(chart: Chart) -> None:
    found = chart.render(EMULATED)
    service = named(found, "Service", "llmbatch-emulator")
    (port,) = service["spec"]["ports"]
    told = arguments(named(found, "Pod", NAME))
    assert told["gateway-url"] == f"http://{service['metadata']['name']}.{NAMESPACE}:{port['port']}"
    assert told["name"] == NAME


def test_without_it_nothing_is_run_and_nothing_may_be_made(chart: Chart) -> None:
    found = hooks(chart.render())
    assert "gateway-url" not in arguments(named(found, "Pod", NAME))
    (role,) = of_kind(found, "Role")
    assert permissions(role) == {("", "pods", "list")}


@pytest.mark.parametrize("values", [EMULATED, {**EMULATED, **TWO_NAMESPACES}])
def test_it_may_do_what_it_declares_in_the_namespace_that_is_watched_and_no_more(chart: Chart, values: Values) -> None:
    found = hooks(chart.render(values))
    namespace = "team-a" if "watchNamespaces" in values else NAMESPACE
    roles = {role["metadata"]["name"]: role for role in of_kind(found, "Role")}
    assert {name: role["metadata"]["namespace"] for name, role in roles.items()} == {
        NAME: namespace, f"{NAME}-own": NAMESPACE,
    }  # fmt: skip
    assert permissions(roles[NAME]) == declared(TEST_PERMISSIONS)
    assert permissions(roles[f"{NAME}-own"]) == declared(TEST_OWN_PERMISSIONS)
    for rule in roles[NAME]["rules"]:
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == [NAME]
    for binding in of_kind(found, "RoleBinding"):
        role = roles[binding["roleRef"]["name"]]
        assert binding["metadata"]["namespace"] == role["metadata"]["namespace"]
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]


def test_its_pod_comes_last_and_all_is_removed_when_it_went_well(chart: Chart) -> None:
    found = hooks(chart.render(EMULATED))
    for item in found:
        policy = item["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"
    ordered = sorted(found, key=lambda item: int(item["metadata"]["annotations"]["helm.sh/hook-weight"]))
    assert [item["kind"] for item in ordered][-1] == "Pod"
    assert {item["kind"] for item in ordered[:-1]} == {"ServiceAccount", "Role", "RoleBinding"}
    shown = ordered[-1]["metadata"]["annotations"]["helm.sh/hook-output-log-policy"]
    assert shown == "hook-failed,hook-succeeded", "what it found is seen before it is removed"


@pytest.mark.parametrize("values", [EMULATED, EVERYTHING])
def test_it_asks_the_operators_pods_and_is_none_of_them(chart: Chart, values: Values) -> None:
    found = chart.render(values)
    pod, deployment = named(found, "Pod", NAME), named(found, "Deployment", "llmbatch")
    selected = dict(pair.split("=") for pair in arguments(pod)["operator-pods"].split(","))
    assert selected == deployment["spec"]["selector"]["matchLabels"]
    for selector in (item["spec"].get("selector") for item in found if item["kind"] in ("Deployment", "Service")):
        labels = selector.get("matchLabels", selector)
        assert not labels.items() <= pod["metadata"]["labels"].items()
    given = {item["name"]: item.get("value") for item in pod["spec"]["containers"][0]["env"]}
    (port,) = container(deployment)["ports"]
    assert given["LLMBATCH_METRICS_PORT"] == str(port["containerPort"])


def test_its_pod_is_as_restricted_as_the_operators_and_runs_where_that_does(chart: Chart) -> None:
    found = chart.render(EVERYTHING)
    pod, deployment = named(found, "Pod", NAME), named(found, "Deployment", "llmbatch")
    operator = deployment["spec"]["template"]["spec"]
    for name in ("securityContext", "nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"):
        assert pod["spec"][name] == operator[name]
    for name in ("image", "imagePullPolicy", "securityContext", "resources"):
        assert pod["spec"]["containers"][0][name] == container(deployment)[name]


def test_it_ends_by_itself_before_helm_gives_it_up(chart: Chart) -> None:
    pod = named(chart.render(EMULATED), "Pod", NAME)
    assert float(arguments(pod)["wait-seconds"]) + 60 < pod["spec"]["activeDeadlineSeconds"] < 300


@pytest.mark.parametrize("values", [
    pytest.param({"tests": {"enabled": False}}, id="when it is not wanted"),
    pytest.param({"rbac": {"create": False}}, id="without anybody who may do it"),
])  # fmt: skip
def test_it_can_be_left_out(chart: Chart, values: Values) -> None:
    assert hooks(chart.render({**EMULATED, **values})) == []
