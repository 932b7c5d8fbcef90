"""What users may do: jobs with the cluster's own roles, gateways apart, since these send Secrets to an address."""

import pytest

from tests.chart.helm import Chart, Manifest, Values, named, of_kind, permissions, without_hooks

INTO = "rbac.authorization.k8s.io/aggregate-to-"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def included_in(role: Manifest) -> set[str]:
    return {name.removeprefix(INTO) for name, value in role["metadata"]["labels"].items() if name.startswith(INTO)}


def test_users_get_the_custom_resources_with_the_clusters_own_roles(chart: Chart) -> None:
    found = chart.render()
    view, edit = named(found, "ClusterRole", "llmbatch-view"), named(found, "ClusterRole", "llmbatch-edit")

    assert included_in(view) == {"view", "edit", "admin"}
    assert {verb for _, _, verb in permissions(view)} == {"get", "list", "watch"}
    assert included_in(edit) == {"edit", "admin"}
    assert {verb for _, _, verb in permissions(edit)} == WRITES


@pytest.mark.parametrize(
    ("values", "roles"),
    [
        pytest.param({}, {"admin"}, id="admin, unless told otherwise"),
        pytest.param({"rbac": {"gatewayEditors": "edit"}}, {"edit", "admin"}, id="edit"),
        pytest.param({"rbac": {"gatewayEditors": "none"}}, set(), id="none"),
    ],
)
def test_who_may_write_gateways_is_a_switch_of_its_own(chart: Chart, values: Values, roles: set[str]) -> None:
    writers = {
        role
        for found in of_kind(chart.render(values), "ClusterRole")
        if ("llmbatch.io", "batchgateways", "create") in permissions(found)
        for role in included_in(found)
    }
    assert writers == roles


def test_in_chosen_namespaces_users_get_roles_to_bind_and_no_clusterrole_is_made(chart: Chart) -> None:
    found = without_hooks(chart.render({"watchNamespaces": ["team-a", "team-b"]}))

    assert of_kind(found, "ClusterRole") == []
    for namespace in ("team-a", "team-b"):
        here = {
            role["metadata"]["name"]: permissions(role)
            for role in of_kind(found, "Role")
            if role["metadata"]["namespace"] == namespace and role["metadata"]["name"] != "llmbatch"
        }
        assert here.keys() == {"llmbatch-view", "llmbatch-edit", "llmbatch-gateway-edit"}
        for name, written in (("view", set()), ("edit", {"batchjobs"}), ("gateway-edit", {"batchgateways"})):
            allowed = here[f"llmbatch-{name}"]
            assert {verb for _, _, verb in allowed} >= {"get", "list", "watch"}, "a Role is bound alone"
            assert {resource for _, resource, verb in allowed if verb in WRITES} == written


def test_the_roles_of_users_can_be_left_out(chart: Chart) -> None:
    found = without_hooks(chart.render({"rbac": {"aggregate": False}}))

    assert [role["metadata"]["name"] for role in of_kind(found, "ClusterRole")] == ["llmbatch"]
