"""What the chart says of the transfer pods, and what it leaves to the namespace."""

import pytest

from llmbatch.settings import Settings
from llmbatch.transfer.pure import pod_template
from tests.chart.cases import EVERYTHING
from tests.chart.helm import Chart, Values, named, of_kind
from tests.chart.test_templates import environment
from tests.support import build

LEFT = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
RESTRICTED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def settings(chart: Chart, values: Values) -> Settings:
    return Settings.from_environment(environment(named(chart.render(values), "Deployment", "llmbatch")))


def test_defaults_for_all_transfer_pods_reach_the_operator(chart: Chart) -> None:
    given = settings(chart, EVERYTHING).transfer_defaults
    expected = {key: value for key, value in EVERYTHING["transfer"].items() if key != "securityContext"}
    assert {key: value for key, value in given.dump().items() if key in expected and key != "affinity"} == {
        key: value for key, value in expected.items() if key != "affinity"
    }
    assert pod_template.affinity_of(given) == expected["affinity"]
    security = pod_template.security_context(given, build.spec().transfer)
    assert security == {"runAsGroup": 65532, "fsGroup": 2000}, "null leaves one to the namespace, the others stay"


def test_user_and_groups_can_be_left_to_the_namespace_and_the_rest_stays_restricted(chart: Chart) -> None:
    values = {
        "podSecurityContext": LEFT,
        "transfer": {"securityContext": LEFT},
        "emulator": {"enabled": True},
    }
    found = chart.render(values)
    for kind in ("Deployment", "Job"):
        for manifest in of_kind(found, kind):
            spec = manifest["spec"]["template"]["spec"]
            assert spec["securityContext"] == RESTRICTED, manifest["metadata"]["name"]
            for container in spec["containers"]:
                assert not set(LEFT) & set(container["securityContext"])
    given = settings(chart, values).transfer_defaults
    assert pod_template.security_context(given, build.spec().transfer) == {}


@pytest.mark.parametrize("values", [
    pytest.param({"transfer": {"securityContext": {"runAsUser": 0}}}, id="root"),
    pytest.param({"transfer": {"affinity": {"nodeAfinity": {}}}}, id="a misspelt affinity"),
    pytest.param({"transfer": {"securityContext": {"privileged": True}}}, id="privileged"),
])  # fmt: skip
def test_values_that_can_not_work_are_refused(chart: Chart, values: Values) -> None:
    assert not chart.template(values).ok


def test_proxies_and_the_companys_authorities_reach_the_operator(chart: Chart) -> None:
    deployment = named(chart.render(EVERYTHING), "Deployment", "llmbatch")
    given = environment(deployment)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        assert given[name] == given[name.lower()] != ""
    assert given["LLMBATCH_CA_FILE"] == "/etc/llmbatch/authorities/ca.crt"
    volumes = {item["name"]: item for item in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["authorities"]["configMap"] == {"name": "company", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    secret = chart.render({"caBundle": {"secret": {"name": "company", "key": "ca"}}})
    volumes = {
        item["name"]: item for item in named(secret, "Deployment", "llmbatch")["spec"]["template"]["spec"]["volumes"]
    }
    assert volumes["authorities"]["secret"]["secretName"] == "company"
    assert not {"HTTPS_PROXY", "https_proxy", "NO_PROXY"} & set(
        environment(named(chart.render(), "Deployment", "llmbatch"))
    )
