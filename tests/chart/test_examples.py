"""The examples: what they say is valid, and what Kong's files make is what the operator needs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmbatch.api.batchgateway import Timeouts
from llmbatch.api.reasons import Reason
from tests.chart.helm import Chart, Manifest, manifests, of_kind
from tests.cluster import images
from tests.cluster.paths import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
APPLIED = sorted(EXAMPLES.glob("*.yaml"))
IMAGE = re.compile(r"^[ -]*image: *[\"']?([^\"'\s]+)", re.MULTILINE)
KONG = sorted((EXAMPLES / "kong").glob("*.yaml"))

HOW_TO_BYTES = 1560
"""Size of the five-request file that Kong's how-to prints, with its last newline."""


def name(path: Path) -> str:
    return path.name


def read(path: Path) -> list[Manifest]:
    return manifests(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", APPLIED, ids=name)
def test_every_example_can_be_applied_as_it_is(chart: Chart, path: Path) -> None:
    finished = chart.conform(path.read_text(encoding="utf-8"))

    assert finished.ok, finished.errors


def test_every_example_is_in_the_index_and_no_other() -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    linked = set(re.findall(r"\]\(([^)]+\.yaml)\)", index))

    assert linked == {str(path.relative_to(EXAMPLES)) for path in [*APPLIED, *KONG]}


def test_every_image_that_an_example_names_can_be_had_by_anybody_and_is_on_the_embedded_cluster() -> None:
    # Where one of examples/install is to be had says its kustomization.
    files = [path for path in EXAMPLES.rglob("*.yaml") if path.parent != EXAMPLES / "install"]
    named = {image for path in files for image in IMAGE.findall(path.read_text(encoding="utf-8"))}
    assert named == {images.SHELL}
    assert re.fullmatch(r"[a-z]+:[0-9]+\.[0-9]+\.[0-9]+", images.SHELL), "a version that stays what it is"


def test_no_two_examples_make_the_same_object() -> None:
    made = [
        (manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        for path in APPLIED
        for manifest in read(path)
    ]

    assert len(made) == len(set(made))


def test_the_jobs_name_gateways_that_examples_make() -> None:
    everything = [manifest for path in APPLIED for manifest in read(path)]

    gateways = {manifest["metadata"]["name"] for manifest in of_kind(everything, "BatchGateway")}
    named = {manifest["spec"]["gatewayRef"]["name"] for manifest in of_kind(everything, "BatchJob")}

    assert named <= gateways


def inputs(path: Path) -> list[str]:
    return [manifest["data"]["batch.jsonl"] for manifest in of_kind(read(path), "ConfigMap")]


@pytest.mark.parametrize("file", ["batchjob-configmap.yaml", "batchjob-pvc.yaml"])
def test_the_input_is_the_five_line_file_of_kongs_how_to(file: str) -> None:
    (text,) = inputs(EXAMPLES / file)

    assert len(text.encode()) == HOW_TO_BYTES
    assert [json.loads(line)["custom_id"] for line in text.splitlines()] == [
        "prod1",
        "prod2",
        "prod3",
        "prod4",
        "prod5",
    ]


@pytest.mark.parametrize(
    "file", ["batchjob-configmap.yaml", "batchjob-pvc.yaml", "batchjob-deletion-policy.yaml", "openai.yaml"]
)
def test_every_request_is_for_the_jobs_endpoint(file: str) -> None:
    (job,) = of_kind(read(EXAMPLES / file), "BatchJob")
    (text,) = inputs(EXAMPLES / file)
    requests = [json.loads(line) for line in text.splitlines()]

    assert {request["url"] for request in requests} == {job["spec"]["endpoint"]}
    assert len({request["custom_id"] for request in requests}) == len(requests)


# --- Kong -------------------------------------------------------------------------------------------------------------

EXPRESSION = re.compile(r"\$\{\{ env \"(DECK_[A-Z_]+)\" \}\}")


def deck(file: str) -> dict[str, Any]:
    """Read a file as decK does: the expressions are filled in before the YAML is parsed."""
    text = EXPRESSION.sub(r"value-of-\1", (EXAMPLES / "kong" / file).read_text(encoding="utf-8"))
    assert "${{" not in text
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize("file", ["azure.yaml", "openai.yaml"])
def test_each_path_leads_to_the_plugin_with_its_route_type(file: str) -> None:
    state = deck(file)
    types = {plugin["service"]: plugin["config"]["route_type"] for plugin in state["plugins"]}

    reached = {path: types[route["service"]["name"]] for route in state["routes"] for path in route["paths"]}

    # The defaults of BatchGateway's filesPath and batchesPath.
    assert reached == {"/files": "llm/v1/files", "/batches": "llm/v1/batches"}
    assert {service["name"] for service in state["services"]} == set(types)


def test_azures_plugins_are_those_of_kongs_how_to() -> None:
    for plugin in deck("azure.yaml")["plugins"]:
        assert plugin["name"] == "ai-proxy"
        assert plugin["config"]["auth"] == {
            "header_name": "Authorization",
            "header_value": "Bearer value-of-DECK_AZURE_OPENAI_API_KEY",
        }
        assert plugin["config"]["model"] == {
            "provider": "azure",
            "options": {
                # Kong's own default is a version that has no batches.
                "azure_api_version": "2025-01-01-preview",
                "azure_instance": "value-of-DECK_AZURE_INSTANCE_NAME",
                "azure_deployment_id": "value-of-DECK_AZURE_DEPLOYMENT_ID",
            },
        }
        assert plugin["config"]["model_name_header"] is False


def test_openais_plugins_name_the_provider_and_the_key_only() -> None:
    for plugin in deck("openai.yaml")["plugins"]:
        assert plugin["config"]["model"] == {"provider": "openai"}
        assert plugin["config"]["auth"]["header_value"] == "Bearer value-of-DECK_OPENAI_API_KEY"


LARGEST = 200 * 1024**2
"""Bytes of the largest file that Azure takes."""


@pytest.mark.parametrize("file", ["azure.yaml", "openai.yaml", "second-team.yaml"])
def test_the_largest_file_gets_through_kong(file: str) -> None:
    state = deck(file)
    (of_files,) = [plugin for plugin in state["plugins"] if plugin["config"].get("route_type") == "llm/v1/files"]
    assert of_files["config"]["max_request_body_size"] > LARGEST + 1024
    (service,) = [service for service in state["services"] if service["name"] == of_files["service"]]
    patience = 1000 * Timeouts().transfer_seconds
    assert (service["write_timeout"], service["read_timeout"]) == (patience, patience)


def test_a_second_team_has_nothing_in_common_with_the_first() -> None:
    first, keys, second = deck("azure.yaml"), deck("key-auth.yaml"), deck("second-team.yaml")
    for kind in ("services", "routes"):
        assert not {item["name"] for item in first[kind]} & {item["name"] for item in second[kind]}
    paths = [{path for route in state["routes"] for path in route["paths"]} for state in (first, second)]
    assert not paths[0] & paths[1]
    assert not {item["username"] for item in keys["consumers"]} & {item["username"] for item in second["consumers"]}
    assert second["_info"]["select_tags"] == ["llmbatch-team-b"]
    for name in ("key-auth", "acl"):
        guarded = {plugin["service"] for plugin in second["plugins"] if plugin["name"] == name}
        assert guarded == {service["name"] for service in second["services"]}
    (team,) = second["consumers"]
    allowed = {group for plugin in second["plugins"] for group in plugin["config"].get("allow", [])}
    assert allowed == {item["group"] for item in team["acls"]}


def test_the_page_on_kong_names_reasons_files_and_sizes_that_are_so() -> None:
    page = REPOSITORY / "docs/kong.md"
    text = page.read_text(encoding="utf-8")
    reasons = set(re.findall(r"^\|[^|]*\| `(\w+)` \|", text.partition("## What an answer means")[2], re.MULTILINE))
    assert reasons
    assert reasons <= set(Reason)
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert all((page.parent / link).exists() for link in linked)
    sizes = [plugin["config"].get("max_request_body_size") for plugin in deck("azure.yaml")["plugins"]]
    assert f"| {sizes[0]} (" in text


def test_key_authentication_is_on_both_services_and_reads_the_header_that_the_gateway_sends() -> None:
    state = deck("key-auth.yaml")
    (gateway,) = of_kind(read(EXAMPLES / "gateway-key-auth.yaml"), "BatchGateway")
    (header,) = gateway["spec"]["headers"]

    protected = {plugin["service"]: plugin["config"] for plugin in state["plugins"] if plugin["name"] == "key-auth"}

    assert set(protected) == {service["name"] for service in deck("azure.yaml")["services"]}
    for config in protected.values():
        assert config["key_names"] == [header["name"]]
        # Else the provider would be sent the consumer's key.
        assert config["hide_credentials"] is True
    assert state["consumers"][0]["keyauth_credentials"] == [{"key": "value-of-DECK_LLMBATCH_API_KEY"}]


def test_a_key_of_one_team_opens_no_route_of_the_other() -> None:
    """Without the acl plugin, Kong takes the key of whichever consumer."""
    first, second = deck("key-auth.yaml"), deck("second-team.yaml")
    allowed = [
        {plugin["service"]: set(plugin["config"]["allow"]) for plugin in state["plugins"] if plugin["name"] == "acl"}
        for state in (first, second)
    ]
    assert allowed[0].keys() == {service["name"] for service in deck("azure.yaml")["services"]}
    groups = [{item["group"] for item in state["consumers"][0]["acls"]} for state in (first, second)]
    for mine, theirs, services in ((groups[0], groups[1], allowed[0]), (groups[1], groups[0], allowed[1])):
        assert all(mine & may and not theirs & may for may in services.values())


def test_every_variable_is_explained_where_it_is_used() -> None:
    for path in KONG:
        text = path.read_text(encoding="utf-8")
        for variable in set(EXPRESSION.findall(text)):
            assert f"#   export {variable}=" in text, f"{path.name} does not tell of {variable}"
