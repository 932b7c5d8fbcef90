"""What the chart does when it is uninstalled: no BatchJob is held by an operator that is gone."""

import re

import pytest

from tests.chart.cases import EVERYTHING, TWO_NAMESPACES
from tests.chart.helm import NAMESPACE, Chart, Manifest, Values, named, of_kind, permissions
from tests.chart.test_templates import container
from tests.cluster.paths import REPOSITORY

NAME = "llmbatch-uninstall"
LETS_GO = {("llmbatch.io", "batchjobs", "list"), ("llmbatch.io", "batchjobs", "patch"), ("", "events", "create")}


def hooks(found: list[Manifest]) -> list[Manifest]:
    return [item for item in found if (item["metadata"].get("annotations") or {}).get("helm.sh/hook") == "post-delete"]


def test_all_of_it_is_made_after_the_uninstall_and_removed_again_the_job_last(chart: Chart) -> None:
    made = hooks(chart.render())

    assert {item["kind"] for item in made} == {
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Job",
    }
    for item in made:
        annotations = item["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "post-delete"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    last = max(made, key=lambda item: int(item["metadata"]["annotations"]["helm.sh/hook-weight"]))
    assert last["kind"] == "Job"


def test_it_may_do_no_more_than_it_needs(chart: Chart) -> None:
    found = chart.render()

    assert permissions(named(found, "ClusterRole", NAME)) == LETS_GO
    assert permissions(named(found, "Role", f"{NAME}-own")) == {("", "pods", "list"), ("", "events", "create")}
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        (binding,) = of_kind(hooks(found), kind)
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]


def test_with_watch_namespaces_it_works_in_them_and_nowhere_else(chart: Chart) -> None:
    found = hooks(chart.render(TWO_NAMESPACES))

    assert not of_kind(found, "ClusterRole")
    roles = [role for role in of_kind(found, "Role") if role["metadata"]["name"] == NAME]
    assert [role["metadata"]["namespace"] for role in roles] == ["team-a", "team-b"]
    assert all(permissions(role) == LETS_GO for role in roles)
    variables = {item["name"]: item.get("value") for item in container(named(found, "Job", NAME))["env"]}
    assert variables["LLMBATCH_WATCH_NAMESPACES"] == "team-a,team-b"


@pytest.mark.parametrize(
    "values", [pytest.param({}, id="the defaults"), pytest.param(EVERYTHING, id="all switches on")]
)
def test_it_waits_for_the_operators_pods_and_is_none_of_them(chart: Chart, values: Values) -> None:
    found = chart.render(values)
    job, deployment = named(found, "Job", NAME), named(found, "Deployment", "llmbatch")

    command, pods, seconds = container(job)["args"]
    selected = dict(pair.split("=") for pair in pods.removeprefix("--after-pods=").split(","))

    assert command == "release"
    assert selected == deployment["spec"]["selector"]["matchLabels"]
    assert not selected.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert int(seconds.removeprefix("--wait-seconds=")) > grace
    assert job["spec"]["activeDeadlineSeconds"] > int(seconds.removeprefix("--wait-seconds="))


def test_its_pod_is_as_restricted_as_the_operators(chart: Chart) -> None:
    found = chart.render()
    job, deployment = named(found, "Job", NAME), named(found, "Deployment", "llmbatch")
    pod, operator = job["spec"]["template"]["spec"], deployment["spec"]["template"]["spec"]

    assert pod["securityContext"] == operator["securityContext"]
    assert container(job)["securityContext"] == container(deployment)["securityContext"]
    assert container(job)["resources"] == container(deployment)["resources"]
    assert container(job)["image"] == container(deployment)["image"]


@pytest.mark.parametrize("values", [
    pytest.param({"uninstall": {"releaseJobs": False}}, id="when it is not wanted"),
    pytest.param({"rbac": {"create": False}}, id="without anybody who may do it"),
])  # fmt: skip
def test_it_can_be_left_out(chart: Chart, values: Values) -> None:
    assert hooks(chart.render(values)) == []


def test_without_roles_of_its_own_it_uses_the_account_that_the_operator_was_given(chart: Chart) -> None:
    found = hooks(chart.render({"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "mine"}}))

    assert [item["kind"] for item in found] == ["Job"]
    assert found[0]["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_what_takes_away_by_hand_what_an_uninstall_left_names_all_kinds_of_it(chart: Chart) -> None:
    page = (REPOSITORY / "docs/gitops.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"`kubectl delete\s+(\S+) [^`]*component=uninstall`", page)
    assert {item["kind"].lower() for item in hooks(chart.render(EVERYTHING))} == set(told.split(","))
