"""What the chart installs."""

from typing import Any

import pytest
import yaml

from llmbatch.kube.permissions import OWN_PERMISSIONS, PERMISSIONS
from llmbatch.kube.permissions import Permissions as Needed
from llmbatch.settings import PREFIX, Settings
from tests.chart.cases import CASES, EVERYTHING, TWO_NAMESPACES
from tests.chart.helm import CHART, NAMESPACE, Chart, Manifest, Values, named, of_kind, permissions, without_hooks
from tests.chart.schemas import CRDS


@pytest.mark.parametrize("values", CASES)
def test_lint_has_no_complaint(chart: Chart, values: Values) -> None:
    finished = chart.lint(values)

    assert finished.ok, finished.errors


@pytest.mark.parametrize("values", CASES)
def test_every_manifest_fits_kubernetes_own_schemas(chart: Chart, values: Values) -> None:
    rendered = chart.template(values)
    assert rendered.ok, rendered.errors

    finished = chart.conform(rendered.output)

    assert finished.ok, finished.errors


def test_the_schemas_do_refuse_what_kubernetes_does_not_know(chart: Chart) -> None:
    text = chart.template({}).output.replace("terminationGracePeriodSeconds:", "graceSeconds:")

    finished = chart.conform(text)

    assert not finished.ok
    assert "additional properties 'graceSeconds' not allowed" in finished.errors


def test_every_object_says_what_it_belongs_to(chart: Chart) -> None:
    for manifest in chart.render(EVERYTHING):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "llmbatch", manifest["metadata"]["name"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["team"] == "platform"


# --- CustomResourceDefinitions ----------------------------------------------------------------------------------------


def test_the_charts_definitions_are_the_generated_ones() -> None:
    generated = {path.name: path.read_text(encoding="utf-8") for path in CRDS.glob("*.yaml")}
    copies = {path.name: path.read_text(encoding="utf-8") for path in (CHART / "files/crds").glob("*.yaml")}

    assert copies == generated, "charts/llmbatch/files/crds is out of date: run make crds"


def test_definitions_are_installed_unchanged_and_kept_on_uninstall(chart: Chart) -> None:
    installed = {crd["metadata"]["name"]: crd for crd in of_kind(chart.render(), "CustomResourceDefinition")}

    assert set(installed) == {"batchjobs.llmbatch.io", "batchgateways.llmbatch.io"}
    for path in CRDS.glob("*.yaml"):
        generated = yaml.safe_load(path.read_text(encoding="utf-8"))
        crd = installed[generated["metadata"]["name"]]
        assert crd["spec"] == generated["spec"]
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_definitions_are_templates_so_that_helm_upgrades_them() -> None:
    assert not (CHART / "crds").exists()


# --- permissions ------------------------------------------------------------------------------------------------------

Permissions = set[tuple[str, str, str]]


def declared(needed: Needed) -> Permissions:
    return {
        (resource.group, f"{resource.plural}/{subresource}" if subresource else resource.plural, verb)
        for (resource, subresource), verbs in needed.items()
        for verb in verbs
    }


DECLARED, OWN = declared(PERMISSIONS), declared(OWN_PERMISSIONS)


def test_cluster_wide_the_operator_may_do_what_it_declares_and_no_more(chart: Chart) -> None:
    found = without_hooks(chart.render())

    assert permissions(named(found, "ClusterRole", "llmbatch")) == DECLARED
    (own,) = of_kind(found, "Role")
    assert (own["metadata"]["namespace"], permissions(own)) == (NAMESPACE, OWN)
    assert named(found, "ClusterRoleBinding", "llmbatch")["subjects"] == [
        {"kind": "ServiceAccount", "name": "llmbatch", "namespace": NAMESPACE}
    ]


def test_with_watch_namespaces_the_operator_has_roles_there_and_nothing_in_the_cluster(chart: Chart) -> None:
    found = without_hooks(chart.render(TWO_NAMESPACES))

    assert not of_kind(found, "ClusterRole")
    assert not of_kind(found, "ClusterRoleBinding")
    bindings = of_kind(found, "RoleBinding")
    roles = [
        role for role in of_kind(found, "Role") if role["metadata"]["labels"]["app.kubernetes.io/component"] != "users"
    ]
    assert {role["metadata"]["namespace"] for role in roles} == {"team-a", "team-b", NAMESPACE}
    for role, binding in zip(roles, bindings, strict=True):
        assert binding["metadata"]["namespace"] == role["metadata"]["namespace"]
        assert permissions(role) == (OWN if role["metadata"]["namespace"] == NAMESPACE else DECLARED)
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "llmbatch", "namespace": NAMESPACE}]


def test_secrets_can_not_be_listed() -> None:
    assert {verb for group, resource, verb in DECLARED if resource == "secrets"} == {"get", "create", "patch"}


@pytest.mark.parametrize("value", ["podLabels", "commonLabels"])
def test_no_label_of_a_user_takes_the_place_of_one_that_selects(chart: Chart, value: str) -> None:
    theirs = {f"app.kubernetes.io/{name}": "theirs" for name in ("name", "instance", "component", "version")}
    found = chart.render({value: {**theirs, "team": "a"}, "emulator": {"enabled": True}})
    for deployment in of_kind(found, "Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert selector.items() <= labels.items()
        assert "theirs" not in selector.values()
    operator = named(found, "Deployment", "llmbatch")["spec"]["template"]["metadata"]["labels"]
    assert operator["team"] == "a"
    assert operator["app.kubernetes.io/version"] == "theirs"


# --- pods -------------------------------------------------------------------------------------------------------------


def container(deployment: Manifest) -> dict[str, Any]:
    """Give the chart's own: users may put others after it."""
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(deployment: Manifest) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "from the pod") for entry in container(deployment)["env"]}


@pytest.mark.parametrize("name", ["llmbatch", "llmbatch-emulator"])
def test_pods_meet_the_restricted_standard_and_write_only_to_their_own_folders(chart: Chart, name: str) -> None:
    deployment = named(chart.render({"emulator": {"enabled": True}}), "Deployment", name)
    pod = deployment["spec"]["template"]["spec"]

    assert (
        pod["securityContext"] | {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        == pod["securityContext"]
    )
    assert pod["securityContext"]["runAsUser"] == 65532
    assert container(deployment)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])


def test_two_operators_run_and_an_upgrade_is_ready_before_it_takes_one_away(chart: Chart) -> None:
    found = chart.render()
    spec = named(found, "Deployment", "llmbatch")["spec"]

    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    (budget,) = of_kind(found, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == spec["selector"]
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == spec["selector"]


def test_a_release_has_its_own_lease(chart: Chart) -> None:
    given = environment(named(chart.render({"fullnameOverride": "other"}), "Deployment", "other"))

    assert given["LLMBATCH_LEASE_NAME"] == "other"


@pytest.mark.parametrize("values", CASES)
def test_every_variable_is_a_setting_that_the_operator_reads(chart: Chart, values: Values) -> None:
    given = environment(named(chart.render(values), "Deployment", "llmbatch"))

    ours = {name.removeprefix(PREFIX).lower() for name in given if name.startswith(PREFIX)}

    # The address is for programs that run beside others; in a pod it is always all of them.
    assert ours == set(Settings.model_fields) - {"metrics_address"}


def test_the_charts_defaults_are_the_operators_own(chart: Chart) -> None:
    given = environment(named(chart.render(), "Deployment", "llmbatch"))
    of_this_install = {"namespace", "pod_name", "pod_uid", "image"}

    settings = Settings.from_environment(given)

    assert settings.model_dump(exclude=of_this_install) == Settings().model_dump(exclude=of_this_install)


def test_values_reach_the_operator(chart: Chart) -> None:
    given = environment(named(chart.render({**EVERYTHING, **TWO_NAMESPACES}), "Deployment", "llmbatch"))

    settings = Settings.from_environment(given)

    assert settings.watch_namespaces == ("team-a", "team-b")
    assert settings.image == "registry.example.com/llmbatch:1.2.3"
    assert settings.image_pull_policy == "Always"
    assert settings.image_pull_secrets == ("registry", "mirror")
    assert settings.metrics_port == 9090
    assert settings.log_level == "debug"
    assert given["TZ"] == "UTC"


def test_large_numbers_are_not_written_as_floats(chart: Chart) -> None:
    given = environment(
        named(chart.render({"operator": {"cleanupTimeoutSeconds": 10_000_000}}), "Deployment", "llmbatch")
    )

    assert given["LLMBATCH_CLEANUP_TIMEOUT_SECONDS"] == "10000000"


def test_the_image_is_that_of_the_charts_version_unless_told_otherwise(chart: Chart) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]

    assert container(named(chart.render(), "Deployment", "llmbatch"))["image"] == f"localhost/llmbatch:{version}"


@pytest.mark.parametrize(("service", "deployment"), [
    pytest.param("llmbatch-metrics", "llmbatch", id="metrics"),
    pytest.param("llmbatch-emulator", "llmbatch-emulator", id="emulator"),
])  # fmt: skip
def test_services_reach_their_own_pods_and_no_others(chart: Chart, service: str, deployment: str) -> None:
    found = chart.render({"emulator": {"enabled": True}})
    spec = named(found, "Service", service)["spec"]

    reached = [
        candidate["metadata"]["name"]
        for candidate in of_kind(found, "Deployment")
        if spec["selector"].items() <= candidate["spec"]["template"]["metadata"]["labels"].items()
    ]

    assert reached == [deployment]
    ports = {port["name"] for port in container(named(found, "Deployment", deployment))["ports"]}
    assert {port["targetPort"] for port in spec["ports"]} <= ports


def test_the_service_monitor_finds_the_metrics_service(chart: Chart) -> None:
    found = chart.render(EVERYTHING)
    (monitor,) = of_kind(found, "ServiceMonitor")
    service = named(found, "Service", "llmbatch-metrics")

    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [
        port["name"] for port in service["spec"]["ports"]
    ]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    # Or the namespace of each gateway would be the operator's, in the alerts and on the dashboard.
    assert all(endpoint["honorLabels"] for endpoint in monitor["spec"]["endpoints"])


def test_without_its_service_there_is_no_service_monitor(chart: Chart) -> None:
    finished = chart.template({"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}})

    assert not finished.ok
    assert "metrics.serviceMonitor.enabled needs metrics.service.enabled" in finished.errors


def test_a_pod_monitor_selects_the_operators_pods_by_the_port_that_they_have(chart: Chart) -> None:
    found = chart.render({"metrics": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}})
    (monitor,) = of_kind(found, "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    template = named(found, "Deployment", "llmbatch")["spec"]["template"]
    ports = {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}
    assert endpoint["port"] in ports
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_the_same_pods_are_not_scraped_twice(chart: Chart) -> None:
    both = {"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}}
    assert "each figure would be there twice" in chart.template(both).errors


def test_the_emulator_is_off_by_default(chart: Chart) -> None:
    assert [item["metadata"]["name"] for item in of_kind(chart.render(), "Deployment")] == ["llmbatch"]
