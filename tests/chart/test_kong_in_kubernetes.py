"""Kong's side as Kubernetes objects: valid by Kong's own definitions, whole, and the same as decK's form."""

import json
from typing import Any

import pytest

from llmbatch.api.batchgateway import Timeouts
from tests.chart.helm import Chart, Manifest, manifests, named, of_kind
from tests.chart.test_examples import EXAMPLES, deck, read

Json = dict[str, Any]
PATH = EXAMPLES / "kong/kubernetes/azure.yaml"


@pytest.fixture(name="found")
def objects() -> list[Manifest]:
    return manifests(PATH.read_text(encoding="utf-8"))


def plugins_of(found: list[Manifest], path: str) -> list[Manifest]:
    """Give the plugins that a request for a path meets."""
    (route,) = [
        route
        for route in of_kind(found, "HTTPRoute")
        if route["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": path}}]
    ]
    assert route["metadata"]["annotations"]["konghq.com/strip-path"] == "true"
    service = named(found, "Service", route["spec"]["rules"][0]["backendRefs"][0]["name"])
    names = service["metadata"]["annotations"]["konghq.com/plugins"].split(",")
    return [named(found, "KongPlugin", name) for name in names]


def test_it_fits_the_definitions_of_kong_and_of_the_gateway_api(chart: Chart) -> None:
    finished = chart.conform(PATH.read_text(encoding="utf-8"))
    assert finished.ok, finished.errors


@pytest.mark.parametrize("path", ["/files", "/batches"])
def test_each_path_has_the_plugins_that_decks_form_has(found: list[Manifest], path: str) -> None:
    ai_proxy, *guards = plugins_of(found, path)
    service = f"{path[1:]}-service"
    (of_deck,) = [item["config"] for item in deck("azure.yaml")["plugins"] if item["service"] == service]
    wanted = json.loads(json.dumps(of_deck).replace("value-of-DECK_AZURE_INSTANCE_NAME", "my-resource"))
    wanted["model"]["options"]["azure_deployment_id"] = "my-batch-deployment"
    del wanted["auth"]["header_value"]
    assert (ai_proxy["plugin"], ai_proxy["config"]) == ("ai-proxy", wanted)
    wanted_guards = [
        (item["name"], item["config"]) for item in deck("key-auth.yaml")["plugins"] if item["service"] == service
    ]
    assert [(guard["plugin"], guard["config"]) for guard in guards] == wanted_guards


@pytest.mark.parametrize("path", ["/files", "/batches"])
def test_the_providers_key_comes_from_a_secret_as_json(found: list[Manifest], path: str) -> None:
    ai_proxy, *_ = plugins_of(found, path)
    (patch,) = ai_proxy["configPatches"]
    assert patch["path"] == "/auth/header_value"
    reference = patch["valueFrom"]["secretKeyRef"]
    value = named(found, "Secret", reference["name"])["stringData"][reference["key"]]
    assert json.loads(value).startswith("Bearer ")


def test_the_consumer_has_key_and_group_of_secrets_that_kong_takes_for_such(found: list[Manifest]) -> None:
    (consumer,) = of_kind(found, "KongConsumer")
    secrets = [named(found, "Secret", name) for name in consumer["credentials"]]
    given = {item["metadata"]["labels"]["konghq.com/credential"]: item["stringData"] for item in secrets}
    assert given.keys() == {"key-auth", "acl"}
    assert given["key-auth"].keys() == {"key"}
    _, key_auth, acl = plugins_of(found, "/files")
    assert acl["config"]["allow"] == [given["acl"]["group"]]
    (gateway,) = of_kind(read(EXAMPLES / "gateway-key-auth.yaml"), "BatchGateway")
    assert key_auth["config"]["key_names"] == [header["name"] for header in gateway["spec"]["headers"]]


def test_the_largest_file_has_the_time_that_it_takes(found: list[Manifest]) -> None:
    annotations = named(found, "Service", "files")["metadata"]["annotations"]
    patience = str(1000 * Timeouts().transfer_seconds)
    assert {annotations["konghq.com/write-timeout"], annotations["konghq.com/read-timeout"]} == {patience}
