"""What the chart says of the transfer pods, and what it leaves to the namespace."""

import pytest
from pydantic import ValidationError

from llmbatch.api.transfer import Transfer
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


@pytest.mark.parametrize("transfer", [
    pytest.param({"labels": {"team": "a b"}}, id="a label with a space"),
    pytest.param({"labels": {f"l{number}": "" for number in range(33)}}, id="too many labels"),
    pytest.param({"annotations": {"a": "x" * 8193}}, id="an annotation that is too long"),
    pytest.param({"nodeSelector": {f"l{number}": "" for number in range(33)}}, id="too many labels of nodes"),
    pytest.param({"tolerations": [{"key": "a", "operator": "exists"}]}, id="an unknown operator"),
    pytest.param({"tolerations": [{"key": "a", "effect": "noSchedule"}]}, id="an unknown effect"),
    pytest.param({"tolerations": [{"tolerationSeconds": "soon"}]}, id="a time in words"),
    pytest.param({"priorityClassName": "Low"}, id="a class in capitals"),
    pytest.param({"serviceAccountName": "my_account"}, id="an account with an underscore"),
    pytest.param({"runtimeClassName": "-x"}, id="a class that begins with a dash"),
    pytest.param({"imagePullSecrets": [{"name": "Registry"}]}, id="a Secret in capitals"),
    pytest.param({"imagePullSecrets": [{"name": "s"}] * 17}, id="too many Secrets"),
    pytest.param({"securityContext": {"supplementalGroups": [None]}}, id="a group that is none"),
])  # fmt: skip
def test_what_the_operator_would_not_start_with_is_refused_before(chart: Chart, transfer: Values) -> None:
    """It reads these values when it starts, and ends at once where one can't be used: of that Helm tells nothing."""
    with pytest.raises(ValidationError):
        Transfer.model_validate(transfer)
    assert not chart.template({"transfer": transfer}).ok


def test_what_the_operator_takes_is_not_refused(chart: Chart) -> None:
    given: Values = {
        "labels": {"example.com/a": "", "b": "A.b_c-1"},
        "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 10_000_000}],
        "priorityClassName": "a.b-1", "imagePullSecrets": [{"name": "s"}] * 16,
        "securityContext": {"supplementalGroups": [1, 2**31 - 1]},
    }  # fmt: skip
    found = settings(chart, {"transfer": given}).transfer_defaults.dump()
    assert {name: found[name] for name in given if name != "securityContext"} == {
        name: value for name, value in given.items() if name != "securityContext"
    }
